"""What the page's requests are answered with."""

import io
import json
import re
import shutil
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lavseg.data import render_clip
from lavseg.inference.segment_video import segment_video
from lavseg.media import MediaWarning, isolated_reading, read_video, write_video
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from lavseg.models.referformer import ReferFormerConfig, ReferFormerModel, ReferFormerProcessor
from lavseg.models.sam2_love import Sam2LoveModel
from marked_clips import Writer, steady, tone
from saved_clips import SECONDS, masks_in, save_clips, visible_sam2_love
from scripted_clips import write_clip
from strange_files import movie
from tiny_methods import tiny_method

gr = pytest.importorskip("gradio", reason="Gradio is not installed (extra app)")

from lavseg.app import answers, user_input  # noqa: E402
from lavseg.app.clicks import CORNER, OFF_OBJECT, ON_OBJECT, Click  # noqa: E402

TEXTS = ["the red circle", "the <b>object</b> making a sound"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return save_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def love(tiny_processor):
    return visible_sam2_love(len(tiny_processor.tokenizer))


@pytest.fixture(scope="module")
def aural(tokenizer):
    """It judges every object visible, or else no mask would be left."""
    torch.manual_seed(0)
    model, processor = tiny_method((AuralSam2Config, AuralSam2Model, AuralSam2Processor), tokenizer)
    torch.nn.init.constant_(model.sam2.mask_decoder.pred_obj_score_head.proj_out.bias, 9.0)
    return model, processor


def serving(*method, folder):
    return answers.WebApp({"tiny": method}, folder)


def segment(web_app, *given, **named):
    """What the button's last answer is."""
    return list(web_app.segment(*given, **named))[-1]


@pytest.fixture
def web_app(love, tiny_processor, tmp_path):
    return serving(love, tiny_processor, folder=tmp_path)


def test_an_answer_holds_what_the_model_finds(web_app, clips, tmp_path):
    clip = str(clips / "clip.mp4")
    video, strip, archive = segment(web_app, clip, "\n".join([*TEXTS, " "]))
    masks, labels = masks_in(archive)
    expected = segment_video(*web_app.models["tiny"], clip, TEXTS)
    assert labels == TEXTS
    np.testing.assert_array_equal(masks, np.stack([frame.masks for frame in expected], axis=1))
    assert masks.any()
    drawn = read_video(video)
    assert drawn.frames.shape[0] == SECONDS and drawn.waveform is not None
    assert strip.count("<rect") == 2 * SECONDS and "&lt;b&gt;object" in strip and "<b>" not in strip
    assert Path(video).is_relative_to(tmp_path)


def test_what_was_noticed_about_a_clip_is_said_once_and_without_its_place(web_app, tmp_path):
    clip = tmp_path / "short sound.mp4"
    Writer(clip).video(steady(3), codec="mpeg4").sound(0 * tone(0.5)).save()
    with pytest.warns(MediaWarning, match="its sound lasts"):
        _, strip, _ = segment(web_app, str(clip), TEXTS[0])
    assert strip.count("Note: ") == 2 and str(tmp_path) not in strip
    assert strip.count("Note: its sound lasts 0.") == strip.count("Note: the sound is silent throughout") == 1


def test_a_model_that_hears_nothing_takes_clips_without_sound_and_says_what_it_did_not_hear(tokenizer, clips, tmp_path):
    model = tiny_method((ReferFormerConfig, ReferFormerModel, ReferFormerProcessor), tokenizer)
    web_app, found = serving(*model, folder=tmp_path), {}
    for name, unheard, rows in (("mute", 0, ["0: the dog"]), ("clip", 1, ["Sound", "0: the dog"])):
        clip = str(clips / f"{name}.mp4")
        assert web_app.look_at_clip(clip, "tiny")[0].maximum == SECONDS - 1
        _, strip, archive = segment(web_app, clip, "the dog")
        assert strip.count("Note: the sound was not heard, the model takes none") == unheard
        assert re.findall(r"([^<>]+)</div><div class=\"row\">", strip) == rows
        found[name] = masks_in(archive)[0]
    np.testing.assert_array_equal(found["mute"], found["clip"])


@pytest.mark.parametrize(
    ("name", "sentences", "message"),
    [
        (None, "the dog", "Choose or record a clip"),
        ("clip.mp4", " \n", "Write a sentence"),
        ("clip.mp4", "the dog\n" * 9, "9 sentences were given; up to 8"),
        ("clip.mp4", "the dog\n" + "x" * 501, "A sentence has 501 characters; up to 500"),
        ("mute.mp4", "the dog", "mute.mp4: carries no sound"),
        ("notes.mp4", "the dog", "notes.mp4: damaged or not a media file"),
        ("half.mp4", "the dog", "half.mp4: "),
    ],
)
def test_what_cannot_be_used_gives_a_message_and_leaves_nothing(web_app, clips, tmp_path, name, sentences, message):
    clip = name and str(clips / name)
    with pytest.raises(gr.Error, match=message) as caught:
        segment(web_app, clip, sentences)
    assert str(clips) not in caught.value.message and not caught.value.print_exception
    assert not list(tmp_path.iterdir())


def test_long_clips_are_refused_when_they_are_chosen(web_app, clips, monkeypatch):
    web_app.look_at_clip(str(clips / "clip.mp4"), "tiny")
    monkeypatch.setattr(user_input, "MAX_SECONDS", SECONDS - 1)
    with pytest.raises(gr.Error, match=r"clip.mp4: lasts 4 seconds; clips of up to 3"):
        web_app.look_at_clip(str(clips / "clip.mp4"), "tiny")


def test_large_pictures_are_refused_when_they_are_chosen(web_app, clips, monkeypatch):
    monkeypatch.setattr(user_input, "MAX_SIDES", (82, 59))
    with pytest.raises(gr.Error, match=r"clip.mp4: its pictures are 82x60; up to 82x59"):
        web_app.look_at_clip(str(clips / "clip.mp4"), "tiny")


def test_clips_of_too_many_frames_are_refused_when_they_are_chosen(web_app, clips, monkeypatch):
    monkeypatch.setattr(user_input, "MAX_FRAMES", SECONDS - 1)
    with pytest.raises(gr.Error, match=r"clip.mp4: has 4 frames; up to 3 are taken here"):
        web_app.look_at_clip(str(clips / "clip.mp4"), "tiny")


@pytest.mark.parametrize("end", ["", "#EXT-X-ENDLIST\n"])
@pytest.mark.parametrize("suffix", ["m3u8", "mp4"])
def test_a_playlist_shows_nobody_elses_file(web_app, aural, clips, tmp_path, suffix, end):
    secret = movie(tmp_path / "secret.ts", 200)
    path = tmp_path / f"upload.{suffix}"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret}\n{end}")
    asked = serving(*aural, folder=tmp_path)
    for ask in (
        lambda clip: asked.look_at_clip(clip, "tiny"),
        lambda clip: asked.look_at_frame(clip, "tiny", 0, []),
        lambda clip: segment(asked, clip, "it"),
    ):
        with pytest.raises(gr.Error, match=rf"upload\.{suffix}: .* playlists and other lists of files are refused"):
            ask(str(path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "seconds", "message"),
    [
        ("import os; os.abort()", 60, "clip.mp4: the decoder crashed on this file"),
        ("import time; time.sleep(60)", 0.5, "clip.mp4: not done within 0.5 seconds"),
    ],
)
def test_a_file_that_ends_or_hangs_the_decoder_leaves_the_app_working(
    web_app, aural, clips, tmp_path, monkeypatch, code, seconds, message
):
    clip, asked = str(clips / "clip.mp4"), serving(*aural, folder=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(isolated_reading, "PROGRAM", code)
        patch.setattr(answers, "LOOK_SECONDS", seconds)
        patch.setattr(answers, "JOB_SECONDS", seconds)
        for ask in (
            lambda clip: asked.look_at_clip(clip, "tiny"),
            lambda clip: asked.look_at_frame(clip, "tiny", 0, []),
            lambda clip: segment(asked, clip, "it"),
        ):
            with pytest.raises(gr.Error, match=message):
                ask(clip)
    assert not list(tmp_path.iterdir())
    assert segment(web_app, clip, TEXTS[0])[2].endswith(".zip")


def test_a_job_that_takes_too_long_ends(web_app, tmp_path, monkeypatch):
    """The model is slow, not the file: the next window finds the time over."""
    clip = render_clip(np.random.default_rng(0), 20, (60, 82))
    write_video(tmp_path / "long.mp4", clip.frames, 1, clip.waveform, 16000)
    forward = Sam2LoveModel.forward

    def slow(model, *given, **named):
        time.sleep(4)
        return forward(model, *given, **named)

    monkeypatch.setattr(Sam2LoveModel, "forward", slow)
    monkeypatch.setattr(answers, "JOB_SECONDS", 3)
    with pytest.raises(gr.Error, match=r"long.mp4: not done within 3 seconds; give a shorter"):
        segment(web_app, str(tmp_path / "long.mp4"), TEXTS[0])
    assert [path.name for path in tmp_path.iterdir()] == ["long.mp4"]


def test_clicks_reach_the_model_at_their_frames(aural, clips, tmp_path):
    web_app, clip = serving(*aural, folder=tmp_path), str(clips / "clip.mp4")
    frames, rates, picture, clicks = web_app.look_at_clip(clip, "tiny")
    assert (frames.maximum, rates.interactive, clicks) == (SECONDS - 1, False, [])
    assert picture.shape == (60, 82, 3)
    for frame, index, place, kind in (
        (0, 0, [40, 30], ON_OBJECT),
        (0, 0, [10, 5], OFF_OBJECT),
        (2, 1, [50, 40], CORNER),
        (2, 1, [20, 10], CORNER),
    ):
        clicks, picture = web_app.add_click(clip, "tiny", frame, index, kind, clicks, SimpleNamespace(index=place))
        assert (picture[place[1], place[0]] != web_app.look_at_frame(clip, "tiny", frame, [])[place[1], place[0]]).any()
    masks, _ = masks_in(segment(web_app, clip, "\n".join(TEXTS), clicks=clicks)[2])

    model, processor = aural
    read, nothing = read_video(clip), [[0, 0], [0, 0]]
    inputs = processor(
        read.frames,
        read.waveform,
        TEXTS,
        read.sampling_rate,
        input_points=[[[[[40, 30], [10, 5]], nothing], [nothing, [[20, 10], [50, 40]]]]],
        input_labels=[[[[1, 0], [-1, -1]], [[-1, -1], [2, 3]]]],
    )
    with torch.inference_mode():
        found = model(**inputs, prompt_frames=[0, 2])
    np.testing.assert_array_equal(masks, processor.post_process_masks(found, [(60, 82)])[0].numpy())
    with pytest.raises(gr.Error, match="Clicks show object 1, there is no sentence for it"):
        segment(web_app, clip, TEXTS[0], clicks=clicks)


def test_a_preview_shows_the_masks_of_one_frame(aural, clips, tmp_path):
    web_app, clip = serving(*aural, folder=tmp_path), str(clips / "clip.mp4")
    clicks = [Click(0, 2, 40, 30, ON_OBJECT), Click(0, 2, 5, 5, CORNER)]
    plain = web_app.look_at_frame(clip, "tiny", 2, clicks)
    previews = [web_app.preview(clip, TEXTS[0], "tiny", 2, threshold, clicks) for threshold in (0.05, 0.5, 0.95)]
    assert len({each.tobytes() for each in (plain, *previews)}) == 4
    np.testing.assert_array_equal(web_app.preview(clip, "", "tiny", 1, 0.5, clicks), read_video(clip).frames[1])
    with pytest.raises(gr.Error, match="Write a sentence"):
        web_app.preview(clip, "", "tiny", 2, 0.5, clicks)


def test_clicks_are_for_methods_that_take_them(web_app, clips):
    clip = str(clips / "clip.mp4")
    assert web_app.look_at_clip(clip, "tiny")[2] is None
    assert web_app.look_at_clip(None, "tiny")[2:] == (None, [])
    clicked = segment(web_app, clip, TEXTS[0], clicks=[Click(0, 0, 1, 1, ON_OBJECT)])
    np.testing.assert_array_equal(masks_in(clicked[2])[0], masks_in(segment(web_app, clip, TEXTS[0])[2])[0])


def test_rate_threshold_and_form_of_the_masks(love, tiny_processor, tmp_path):
    write_clip(tmp_path / "clip.mp4", 12, fps=4)
    web_app, clip = serving(love, tiny_processor, folder=tmp_path), str(tmp_path / "clip.mp4")
    rates = web_app.look_at_clip(clip, "tiny")[1]
    assert (rates.minimum, rates.maximum, rates.value, rates.interactive) == (1, 4, 1, True)
    sizes = []
    for threshold in (0.2, 0.8):
        *steps, last = web_app.segment(clip, TEXTS[0], None, 2, threshold, "npz")
        with zipfile.ZipFile(last[2]) as archive:
            assert sorted(archive.namelist()) == ["0.npz", "overlay.mp4", "result.json"]
            found = np.load(io.BytesIO(archive.read("0.npz")))
            result = json.loads(archive.read("result.json"))
        assert len(steps) == len(found) == len(result["frame_times"]) == 6 and result["model"] == "tiny"
        assert len(result["expressions"][0]["object_score_logits"]) == 6
        sizes.append(sum(found[name].sum() for name in found))
    assert sizes[0] > sizes[1]
    with pytest.raises(gr.Error, match="fps is 60; give 1"):
        segment(web_app, clip, TEXTS[0], fps=60)
    with pytest.raises(gr.Error, match="The threshold is 1; give a number between 0 and 1"):
        segment(web_app, clip, TEXTS[0], threshold=1)
    with pytest.raises(gr.Error, match="Masks as gif are not known here; give one of png, rle, npz"):
        segment(web_app, clip, TEXTS[0], mask_format="gif")


def test_work_that_is_left_leaves_nothing(web_app, clips, tmp_path):
    work = web_app.segment(str(clips / "clip.mp4"), TEXTS[0])
    next(work)
    assert len(list(tmp_path.iterdir())) == 1
    work.close()
    assert not list(tmp_path.iterdir())


def test_work_that_its_user_ends_leaves_nothing(web_app, clips, tmp_path):
    request = gr.Request(session_hash="a")
    work = web_app.segment(str(clips / "clip.mp4"), TEXTS[0], request=request)
    next(work)
    waiting = web_app.segment(str(clips / "clip.mp4"), TEXTS[0], request=request)
    next(waiting)
    web_app.end_work(gr.Request(session_hash="b"))
    web_app.end_work(request, unless=str(clips / "clip.mp4"))
    next(work)
    web_app.end_work(request)
    assert not list(work) and not list(waiting) and not list(tmp_path.iterdir())
    assert segment(web_app, str(clips / "clip.mp4"), TEXTS[0], request=request)[2].endswith(".zip")


def test_work_that_ends_while_its_files_are_finished_shows_nothing(web_app, clips, tmp_path, monkeypatch):
    request, finish = gr.Request(session_hash="a"), answers.AnswerFiles.finish

    def ended(files, about):
        web_app.end_work(request)
        return finish(files, about)

    monkeypatch.setattr(answers.AnswerFiles, "finish", ended)
    *_, last = web_app.segment(str(clips / "clip.mp4"), TEXTS[0], request=request)
    assert last == answers.unchanged() and not list(tmp_path.iterdir())


def test_an_example_that_is_ended_is_not_kept(web_app):
    request = gr.Request(session_hash="a")
    work = web_app.segment_example((1, None), "tiny", request=request)
    for _ in range(2):
        next(work)
    web_app.end_work(request)
    assert not list(work)
    assert Path(list(web_app.segment_example((1, None), "tiny"))[-1][0]).is_file()


def test_an_example_is_segmented_once_while_its_files_are_there(web_app, monkeypatch):
    asked, segment = [], web_app.segment

    def counted(*given, **named):
        asked.append(given)
        return segment(*given, **named)

    monkeypatch.setattr(web_app, "segment", counted)
    first = list(web_app.segment_example((1, None), "tiny"))
    assert first[0] == answers.NOTHING and asked == [tuple(web_app.examples[1])]
    again = list(web_app.segment_example((1, None), "tiny"))
    assert len(asked) == 1 and again[-1] == first[-1] and Path(again[-1][0]).is_file()
    Path(again[-1][0]).unlink()
    assert Path(list(web_app.segment_example((1, None), "tiny"))[-1][0]).is_file() and len(asked) == 2


def test_an_example_is_known_by_its_content(web_app, clips, tmp_path):
    copy = tmp_path / "other.mp4"
    shutil.copy(web_app.examples[0][0], copy)
    assert web_app.example_like(str(copy)) == web_app.examples[0][0]
    assert web_app.example_like(None) is None and web_app.example_like(str(clips / "clip.mp4")) is None


def test_there_is_an_object_to_click_on_for_each_sentence():
    several, one = answers.choose_object("the dog\n\nthe cat\n"), answers.choose_object("")
    assert [index for _, index in several.choices] == [0, 1] and several.visible and not one.visible
