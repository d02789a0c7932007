"""What the page's requests are answered with."""

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lavseg.data import render_clip
from lavseg.inference.segment_video import segment_video
from lavseg.media import MediaWarning, isolated_reading, read_video, write_video
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from marked_clips import Writer, steady, tone
from saved_clips import SECONDS, masks_in, save_clips, visible_sam2_love
from strange_files import movie
from tiny_methods import tiny_method

gr = pytest.importorskip("gradio", reason="Gradio is not installed (extra app)")

from lavseg.app import answers  # noqa: E402

TEXTS = ["the red circle", "the <b>object</b> making a sound"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return save_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def love(tiny_processor):
    return visible_sam2_love(len(tiny_processor.tokenizer))


@pytest.fixture(scope="module")
def aural(tokenizer):
    return tiny_method((AuralSam2Config, AuralSam2Model, AuralSam2Processor), tokenizer)


@pytest.fixture
def web_app(love, tiny_processor, tmp_path):
    return answers.WebApp(love, tiny_processor, tmp_path)


def test_an_answer_holds_what_the_model_finds(web_app, clips, tmp_path):
    clip = str(clips / "clip.mp4")
    video, strip, button = web_app.segment(clip, "\n".join([*TEXTS, " "]), 0, [])
    masks, labels = masks_in(button.value["path"])
    expected = segment_video(web_app.model, web_app.processor, clip, TEXTS)
    assert labels == TEXTS and button.interactive
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
        _, strip, _ = web_app.segment(str(clip), TEXTS[0], 0, [])
    assert strip.count("Note: ") == 2 and str(tmp_path) not in strip
    assert strip.count("Note: its sound lasts 0.") == strip.count("Note: the sound is silent throughout") == 1


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
        web_app.segment(clip, sentences, 0, [])
    assert str(clips) not in caught.value.message and not caught.value.print_exception
    assert not list(tmp_path.iterdir())


def test_long_clips_are_refused_when_they_are_chosen(web_app, clips, monkeypatch):
    web_app.look_at_clip(str(clips / "clip.mp4"))
    monkeypatch.setattr(answers, "MAX_SECONDS", SECONDS - 1)
    with pytest.raises(gr.Error, match=r"clip.mp4: lasts 4 seconds; clips of up to 3"):
        web_app.look_at_clip(str(clips / "clip.mp4"))


def test_large_pictures_are_refused_when_they_are_chosen(web_app, clips, monkeypatch):
    monkeypatch.setattr(answers, "MAX_SIDES", (82, 59))
    with pytest.raises(gr.Error, match=r"clip.mp4: its pictures are 82x60; up to 82x59"):
        web_app.look_at_clip(str(clips / "clip.mp4"))


def test_clips_of_too_many_frames_are_refused_when_they_are_chosen(web_app, clips, monkeypatch):
    monkeypatch.setattr(answers, "MAX_FRAMES", SECONDS - 1)
    with pytest.raises(gr.Error, match=r"clip.mp4: has 4 frames; up to 3 are taken here"):
        web_app.look_at_clip(str(clips / "clip.mp4"))


@pytest.mark.parametrize("end", ["", "#EXT-X-ENDLIST\n"])
@pytest.mark.parametrize("suffix", ["m3u8", "mp4"])
def test_a_playlist_shows_nobody_elses_file(web_app, aural, clips, tmp_path, suffix, end):
    secret = movie(tmp_path / "secret.ts", 200)
    path = tmp_path / f"upload.{suffix}"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret}\n{end}")
    asked = answers.WebApp(*aural, tmp_path)
    for ask in (
        asked.look_at_clip,
        lambda clip: asked.look_at_frame(clip, 0),
        lambda clip: asked.segment(clip, "it", 0, []),
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
    clip, asked = str(clips / "clip.mp4"), answers.WebApp(*aural, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(isolated_reading, "PROGRAM", code)
        patch.setattr(answers, "LOOK_SECONDS", seconds)
        patch.setattr(answers, "JOB_SECONDS", seconds)
        for ask in (
            asked.look_at_clip,
            lambda clip: asked.look_at_frame(clip, 0),
            lambda clip: asked.segment(clip, "it", 0, []),
        ):
            with pytest.raises(gr.Error, match=message):
                ask(clip)
    assert not list(tmp_path.iterdir())
    assert web_app.segment(clip, TEXTS[0], 0, [])[2].interactive


def test_a_job_that_takes_too_long_ends(web_app, tmp_path, monkeypatch):
    """The model is slow, not the file: the next window finds the time over."""
    clip = render_clip(np.random.default_rng(0), 20, (60, 82))
    write_video(tmp_path / "long.mp4", clip.frames, 1, clip.waveform, 16000)
    forward = type(web_app.model).forward

    def slow(model, *given, **named):
        time.sleep(4)
        return forward(model, *given, **named)

    monkeypatch.setattr(type(web_app.model), "forward", slow)
    monkeypatch.setattr(answers, "JOB_SECONDS", 3)
    with pytest.raises(gr.Error, match=r"long.mp4: not done within 3 seconds; give a shorter"):
        web_app.segment(str(tmp_path / "long.mp4"), TEXTS[0], 0, [])
    assert [path.name for path in tmp_path.iterdir()] == ["long.mp4"]


def test_points_reach_the_model_at_their_frame(aural, clips, tmp_path):
    model, processor = aural
    web_app, clip = answers.WebApp(model, processor, tmp_path), str(clips / "clip.mp4")
    slider, picture, points = web_app.look_at_clip(clip)
    assert slider.maximum == SECONDS - 1 and picture.shape == (60, 82, 3) and points == []
    for place, side in (([40, 30], answers.ON_OBJECT), ([10, 5], answers.OFF_OBJECT)):
        before = picture
        picture, points = answers.add_point(picture, points, side, SimpleNamespace(index=place))
        assert (picture[place[1], place[0]] != before[place[1], place[0]]).any()
    assert points == [[40, 30, 1], [10, 5, 0]]
    _, _, button = web_app.segment(clip, TEXTS[0], 2, points)
    masks, _ = masks_in(button.value["path"])

    read = read_video(clip)
    inputs = processor(
        read.frames,
        read.waveform,
        TEXTS[0],
        read.sampling_rate,
        input_points=[[[[40, 30], [10, 5]]]],
        input_labels=[[[1, 0]]],
    )
    with torch.inference_mode():
        found = model(**inputs, prompt_frames=[2]).pred_masks
    np.testing.assert_array_equal(masks[0], processor.post_process_masks(found, [(60, 82)])[0].numpy())
    with pytest.raises(gr.Error, match="Points show one object"):
        web_app.segment(clip, "\n".join(TEXTS), 2, points)


def test_points_are_offered_where_the_method_takes_them(web_app, aural, tmp_path):
    assert answers.WebApp(*aural, tmp_path).takes_points and not web_app.takes_points
    assert web_app.look_at_clip(None)[1:] == (None, [])
