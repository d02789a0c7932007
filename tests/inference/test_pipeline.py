import functools
import threading
from contextlib import closing
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.configurations import nano_sam2_config, tiny_config
from transformers import BertConfig, BertModel, pipeline

from lavseg.data import render_clip
from lavseg.inference.pipeline import AudioVisualSegmentationPipeline
from lavseg.inference.result_files import ResultFiles
from lavseg.inference.segment_video import segment_video
from lavseg.media import read_video, write_video
from lavseg.models.referformer import ReferFormerConfig, ReferFormerModel, ReferFormerProcessor
from lavseg.models.sam2_love import Sam2LoveModel
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from saved_clips import visible_sam2_love

TASK = "audio-visual-segmentation"
TEXTS = ["the red circle", "the object making a sound"]


@pytest.fixture(scope="module")
def segment(tiny_processor):
    """A pipeline of an untrained model that judges every object visible."""
    model = visible_sam2_love(len(tiny_processor.tokenizer))
    return pipeline(TASK, model=model, processor=tiny_processor, device="cpu")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips of three and of two seconds that differ in size, one without sound, and a text file."""
    folder = tmp_path_factory.mktemp("clips")
    for seed, name, seconds, size in ((0, "long.mp4", 3, (60, 82)), (1, "short.mp4", 2, (48, 64))):
        clip = render_clip(np.random.default_rng(seed), seconds, size)
        write_video(folder / name, clip.frames, 1, clip.waveform, 16000)
    write_video(folder / "mute.mp4", clip.frames, 1)
    (folder / "notes.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def url(clips):
    """Where the clips are served."""
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *arguments: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=clips))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_notice_is_told(segment, caplog, monkeypatch):
    monkeypatch.setattr(segment.model.config, "notice", "a toy of this test")
    AudioVisualSegmentationPipeline(model=segment.model, processor=segment.processor, device="cpu")
    assert "a toy of this test" in caplog.text


@pytest.fixture(scope="module")
def found(segment, clips):
    return segment(str(clips / "long.mp4"), text=TEXTS)


def same(one, other):
    assert [entry["label"] for entry in one] == [entry["label"] for entry in other]
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left["masks"], right["masks"])
        assert left["score"] == pytest.approx(right["score"], abs=1e-5)


def test_a_clip_gives_masks_scores_and_label_of_each_sentence(segment, found, clips):
    assert [entry["label"] for entry in found] == TEXTS
    clip = read_video(clips / "long.mp4")
    inputs = segment.processor(clip.frames, clip.waveform, TEXTS, sampling_rate=clip.sampling_rate)
    with torch.no_grad():
        outputs = segment.model(**inputs)
    masks = segment.processor.post_process_masks(outputs, inputs["original_sizes"])[0].numpy()
    for index, entry in enumerate(found):
        assert entry["masks"].dtype == bool and entry["masks"].any()
        np.testing.assert_array_equal(entry["masks"], masks[index])
        assert entry["iou_scores"] == pytest.approx(outputs.iou_scores[0, index].tolist(), abs=1e-5)
        assert entry["object_score_logits"] == pytest.approx(outputs.object_score_logits[0, index].tolist(), abs=1e-4)
        expected = outputs.object_score_logits[0, index].sigmoid() * outputs.iou_scores[0, index].clamp(0, 1)
        if outputs.presence_logits is not None:
            expected = expected * outputs.presence_logits[0, index].sigmoid()
        shown = masks[index].any((1, 2))
        assert entry["frame_scores"] == pytest.approx(np.where(shown, expected, 0).tolist(), abs=1e-5)
        assert entry["score"] == pytest.approx(expected.numpy()[shown].mean(), abs=1e-5)


def test_the_scores_are_those_of_the_frames_and_of_result_json(segment, found, clips, tmp_path):
    frames = list(segment_video(segment.model, segment.processor, clips / "long.mp4", TEXTS))
    np.testing.assert_allclose(
        np.stack([frame.score for frame in frames], axis=1), [entry["frame_scores"] for entry in found], atol=1e-5
    )
    with closing(ResultFiles(tmp_path, TEXTS, frames[0], 1.0)) as files:
        for frame in frames:
            files.write(frame)
    for expression, entry in zip(files.summary()["expressions"], found, strict=True):
        assert expression["score"] == pytest.approx(entry["score"], abs=1e-4)
        assert expression["frame_scores"] == pytest.approx(entry["frame_scores"], abs=1e-4)
        assert entry.keys() - expression.keys() == {"label", "masks"}


def test_all_kinds_of_input_are_the_same_clip(segment, found, clips, url, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    path = clips / "long.mp4"
    clip = read_video(path)
    sound = {"audio": clip.waveform, "sampling_rate": clip.sampling_rate}
    images = [Image.fromarray(frame) for frame in clip.frames]
    same(segment(path, text=TEXTS), found)
    same(segment(f"{url}/long.mp4", text=TEXTS, private_addresses=True), found)
    same(segment(clip.frames, text=TEXTS, **sound), found)
    same(segment(images, text=TEXTS, **sound), found)
    same(segment({"video": torch.from_numpy(clip.frames), "text": TEXTS, **sound}), found)
    same(segment({"video": clip.frames, "audio": f"{url}/long.mp4"}, text=TEXTS, private_addresses=True), found)
    same(segment([{"video": images, **sound}], text=TEXTS)[0], found)


def test_a_batch_gives_what_single_clips_give(segment, found, clips):
    inputs = [{"video": clips / "short.mp4", "text": TEXTS[::-1]}, clips / "long.mp4", str(clips / "short.mp4")]
    single = [segment(clip, text=TEXTS) for clip in inputs]
    same(single[1], found)
    for batch_size in (2, 3):
        together = segment(inputs, text=TEXTS, batch_size=batch_size)
        assert len(together) == 3
        for one, other in zip(single, together, strict=True):
            same(one, other)


def test_a_generator_is_answered_one_by_one(segment, clips):
    results = segment((clips / name for name in ("long.mp4", "short.mp4")), text=TEXTS[0])
    assert not isinstance(results, list)
    assert [(len(entries), len(entries[0]["masks"])) for entries in results] == [(1, 3), (1, 2)]


def test_a_sentence_may_be_given_when_the_pipeline_is_made(segment, found, clips):
    made = pipeline(TASK, model=segment.model, processor=segment.processor, device="cpu", text=TEXTS)
    same(made(clips / "long.mp4"), found)
    assert [entry["label"] for entry in made(clips / "short.mp4", text=TEXTS[1])] == TEXTS[1:]


def test_a_method_that_does_not_read_has_no_label(clips, tmp_path):
    config = tiny_config(SamaAvsConfig)
    model, processor = SamaAvsModel(config).eval(), SamaAvsProcessor.from_config(config)
    made = pipeline(TASK, model=model, processor=processor, device="cpu")
    [entry] = made(clips / "long.mp4")
    assert entry["label"] is None and entry["masks"].shape == (3, 60, 82)
    assert "object_score_logits" not in entry
    ious = np.clip(entry["iou_scores"], 0, 1)
    np.testing.assert_allclose(entry["frame_scores"], np.where(entry["masks"].any((1, 2)), ious, 0))
    made.save_pretrained(tmp_path)
    same(pipeline(TASK, model=str(tmp_path), device="cpu")(clips / "long.mp4"), [entry])


@pytest.fixture(scope="module")
def shown_to():
    """A pipeline that takes a user's prompts."""
    torch.manual_seed(0)
    config = tiny_config(SamaAvsConfig, sam_config=nano_sam2_config(128), conditioning_frame="middle")
    return pipeline(
        TASK, model=SamaAvsModel(config).eval(), processor=SamaAvsProcessor.from_config(config), device="cpu"
    )


def test_points_boxes_and_masks_are_the_models(shown_to, clips):
    path, mask = str(clips / "long.mp4"), np.zeros((1, 1, 1, 60, 82), bool)
    mask[..., 10:30, 10:30] = True
    shown = {
        "input_points": [[[[[40, 30], [10, 5]]]]],
        "input_labels": [[[[1, 0]]]],
        "input_boxes": [[[[5, 4, 50, 40]]]],
        "input_masks": mask,
    }
    [found] = shown_to(path, **shown, prompt_frames=[2])
    inputs = shown_to.processor(path, **shown)
    with torch.no_grad():
        outputs = shown_to.model(**inputs, prompt_frames=[2])
    expected = shown_to.processor.post_process_masks(outputs, inputs["original_sizes"])[0]
    np.testing.assert_array_equal(found["masks"], expected)
    np.testing.assert_allclose(found["iou_scores"], outputs.iou_scores[0, 0], atol=1e-6)
    [[of_dictionary], [without]] = shown_to([{"video": path, **shown, "prompt_frames": [2]}, path])
    same([of_dictionary], [found])
    assert without["iou_scores"] != found["iou_scores"]
    [first], [unnamed] = shown_to(path, **shown, prompt_frames=[0]), shown_to(path, **shown)
    same([unnamed], [first])


def test_prompts_that_cannot_be_used(shown_to, segment, clips):
    path, box = str(clips / "long.mp4"), {"input_boxes": [[[5, 4, 50, 40]]]}
    with pytest.raises(ValueError, match=r"^batch_size: clips with a user's prompts come one by one; leave it out$"):
        shown_to([path, path], **box, batch_size=2)
    with pytest.raises(ValueError, match=r"^input_boxes: \(5, 4, 90, 40\) was given"):
        shown_to(path, input_boxes=[[[5, 4, 90, 40]]])
    with pytest.raises(ValueError, match=r"^input_boxes: Sam2LoveModel takes no points, boxes or masks here"):
        segment(path, text="it", **box)


def test_half_precision(segment, clips):
    model = Sam2LoveModel(segment.model.config).to(torch.bfloat16).eval()
    made = pipeline(TASK, model=model, processor=segment.processor, device="cpu")
    [entry] = made(clips / "short.mp4", text=TEXTS[0])
    assert entry["masks"].shape == (2, 48, 64) and isinstance(entry["score"], float)


def bad_inputs():
    frames = np.zeros((2, 32, 40, 3), np.uint8)
    return {
        "absent": (("absent.mp4",), {"text": "a"}, "absent.mp4"),
        "no video": (("notes.mp4",), {"text": "a"}, "notes.mp4"),
        "no sound": (("mute.mp4",), {"text": "a"}, "carries no sound"),
        "no text": (("long.mp4",), {}, "text"),
        "empty text": (("long.mp4",), {"text": " "}, "empty"),
        "a number": ((3,), {"text": "a"}, "video"),
        "None": ((None,), {"text": "a"}, "video"),
        "an empty list": (([],), {"text": "a"}, "inputs: the list is empty"),
        "an unknown key": (({"film": "long.mp4"},), {"text": "a"}, "unknown keys film"),
        "a dictionary of clips": (({"video": ["long.mp4", "long.mp4"]},), {"text": ["a", "b"]}, "one clip"),
        "sound for several": ((["long.mp4", "short.mp4"],), {"text": "a", "audio": "long.mp4"}, "audio"),
        "no rate": ((frames,), {"text": "a", "audio": np.zeros(32000, np.float32)}, "sampling_rate"),
        "frames without sound": ((frames,), {"text": "a"}, "audio"),
    }


@pytest.mark.parametrize(("inputs", "options", "words"), bad_inputs().values(), ids=bad_inputs())
def test_bad_input(segment, clips, monkeypatch, inputs, options, words):
    monkeypatch.chdir(clips)
    with pytest.raises(ValueError, match=words):
        segment(*inputs, **options)


def test_clips_of_a_batch_take_the_same_number_of_sentences(segment, clips):
    inputs = [{"video": clips / "short.mp4", "text": "a"}, {"video": clips / "short.mp4", "text": ["a", "b"]}]
    with pytest.raises(ValueError, match=r"text: the clips of a batch .* \[1, 2\]"):
        segment(inputs, batch_size=2)
    assert [len(entries) for entries in segment(inputs)] == [1, 2]


def test_clips_of_a_batch_agree_in_the_shapes_that_the_processor_keeps(tokenizer):
    config = tiny_config(ReferFormerConfig, len(tokenizer))
    model, processor = ReferFormerModel(config).eval(), ReferFormerProcessor.from_config(config, tokenizer)
    made = pipeline(TASK, model=model, processor=processor, device="cpu")
    square, wide = (np.zeros((1, 32, width, 3), np.uint8) for width in (32, 64))
    clips = [{"video": frames, "text": "it"} for frames in (square, wide)]
    names = (
        r"pixel_values of several shapes, \[\(3, 64, 64\), \(3, 64, 128\)\]",
        "(input_ids|attention_mask) of several",
    )
    for other, name in zip((clips[1], {"video": square, "text": "the red circle"}), names, strict=True):
        with pytest.raises(ValueError, match=f"^batch_size: ReferFormerProcessor gives {name}.*; leave it out$"):
            made([clips[0], other], batch_size=2)
        assert len(made([clips[0], other])) == 2


def test_urls_that_cannot_be_fetched_or_read(segment, url, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(ValueError, match=r"absent\.mp4: cannot be fetched \(.*404"):
        segment(f"{url}/absent.mp4", text="a", private_addresses=True)
    with pytest.raises(ValueError, match=f"^{url}/notes.mp4"):
        segment(f"{url}/notes.mp4", text="a", private_addresses=True)
    with pytest.raises(ValueError, match="no public address; pass private_addresses=True"):
        segment(f"{url}/notes.mp4", text="a")
    with pytest.raises(ValueError, match="cannot be fetched"):
        segment("http://127.0.0.1:1/clip.mp4", text="a", private_addresses=True)


def test_other_models_and_processors_are_refused(segment, tiny_processor):
    tiny = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9)
    with pytest.raises(ValueError, match=r"model: .* BertModel"):
        AudioVisualSegmentationPipeline(BertModel(tiny), processor=tiny_processor)
    with pytest.raises(ValueError, match=r"processor: .* Sam2LoveModel"):
        AudioVisualSegmentationPipeline(segment.model, processor=None)
