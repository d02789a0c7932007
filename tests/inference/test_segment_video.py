"""A clip of any length, from a file to masks."""

import av
import numpy as np
import pytest
import torch
from tiny.configurations import tiny_config

from lavseg.inference.segment_video import segment_video
from lavseg.media import ClipPart, ClipReader, VideoInfo, iter_clip, read_video
from lavseg.modeling.outputs import AudioVisualSegmentationOutput
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from lavseg.models.st_bava import StBavaConfig, StBavaModel, StBavaProcessor
from scripted_clips import RATE, SIZE, write_clip


@pytest.fixture(scope="module")
def st_bava():
    torch.manual_seed(0)
    config = tiny_config(StBavaConfig, spatial_mode="gate")
    return StBavaModel(config).eval(), StBavaProcessor.from_config(config)


@torch.inference_mode()
def in_one_piece(model, processor, path, texts):
    inputs = processor(path, text=texts or None)
    outputs = model(**inputs)
    masks = processor.post_process_masks(outputs, inputs["original_sizes"])[0]
    return masks.reshape(-1, *masks.shape[-3:]).numpy(), outputs


@pytest.mark.parametrize("num_frames", [1, 10])
def test_a_clip_of_the_methods_length_is_segmented_in_one_piece(shipped, tmp_path, num_frames):
    write_clip(tmp_path / "clip.mp4", num_frames)
    texts = ["the red circle", "the object making a sound"]
    expected, outputs = in_one_piece(*shipped, tmp_path / "clip.mp4", texts)
    found = list(segment_video(*shipped, tmp_path / "clip.mp4", texts))
    assert (np.stack([frame.masks for frame in found], axis=1) != expected).mean() < 1e-3
    for name, values in {
        "iou_scores": outputs.iou_scores[0],
        "object_score_logits": outputs.object_score_logits[0],
        "presence_logit": outputs.presence_logits[0, :, None].expand(-1, num_frames),
    }.items():
        np.testing.assert_allclose(np.stack([frame.scores[name] for frame in found], axis=1), values, atol=1e-6)
    clip = read_video(tmp_path / "clip.mp4")
    np.testing.assert_array_equal(np.stack([frame.part.frame for frame in found]), clip.frames)
    np.testing.assert_array_equal(np.concatenate([frame.part.waveform for frame in found], axis=1), clip.waveform)


class Echo:
    """A method without memory whose masks say which frame and which second of sound it was given.

    Frame `t` of a clip is `4 t` bright and its second of sound is `t / 100` loud.
    """

    device = torch.device("cpu")
    clip_length = tracking_host = None
    embedding_inputs = ()
    fps = 1.0

    def __init__(self):
        self.lengths = []

    def __call__(self, frames, sound, **inputs):
        self.lengths.append(len(frames))
        seen = torch.as_tensor(frames[:, 0, 0, 0] / 4.0).round()
        heard = torch.as_tensor(sound.reshape(1, len(frames), -1)[0, :, 4000:12000].mean(1) * 100)
        values = torch.stack([seen, heard.float()])[None, None].transpose(2, 3)
        return AudioVisualSegmentationOutput(pred_masks=values[..., None])


class EchoProcessor:
    fps, needs_audio = 1.0, True

    class Inputs(dict):
        def to(self, device):
            return self

    def __call__(self, frames, text, audio, sampling_rate):
        return self.Inputs(frames=frames, sound=audio, frame_mask=torch.ones(1, len(frames), dtype=torch.bool))

    def gate_masks(self, outputs):
        return outputs.pred_masks

    def binarize(self, logits, sizes, mask_threshold):
        return [logits[0, 0, 0, :, 0][None, :, None].expand(1, 2, sizes[0][0] * sizes[0][1] // 2).reshape(1, *sizes[0])]


@pytest.mark.parametrize("num_frames", [1, 9, 10, 11, 18, 19, 27])
def test_every_frame_comes_once_with_its_sound_in_order(num_frames):
    frames = [np.full((2, 2, 3), 4 * t, np.uint8) for t in range(num_frames)]
    sounds = [np.full((1, RATE), t / 100, np.float32) for t in range(num_frames)]
    parts = [ClipPart(float(t), *pair, RATE) for t, pair in enumerate(zip(frames, sounds, strict=True))]
    reader = ClipReader("clip.mp4")
    reader.info = VideoInfo(num_frames, 1)
    reader.iter_clip = lambda fps: iter(parts)
    model = Echo()
    found = list(segment_video(model, EchoProcessor(), reader))
    values = np.stack([frame.masks.reshape(2, -1)[:, 0] for frame in found])
    np.testing.assert_allclose(values, np.repeat(np.arange(num_frames)[:, None], 2, axis=1), atol=1e-4)
    assert [frame.part for frame in found] == parts
    assert set(model.lengths) == {min(10, num_frames)}


def test_methods_on_single_frames_segment_every_frame_with_the_second_before_it(st_bava, tmp_path):
    path = tmp_path / "clip.mp4"
    write_clip(path, 11, fps=4)
    found = list(segment_video(*st_bava, path, fps=4, output_attentions=True))
    assert len(found) == 11
    model, processor = st_bava
    parts = list(iter_clip(path, 4))
    sounds = [np.concatenate([p.waveform for p in parts[max(0, i - 3) : i + 1]], axis=1) for i in range(11)]
    inputs = processor([part.frame[None] for part in parts[1:]], sounds[1:], sampling_rate=RATE)
    whole = {name: inputs[name].transpose(0, 1) for name in ("pixel_values", "input_features", "frame_mask")}
    with torch.no_grad():
        outputs = model(**whole, output_attentions=True)
    expected = processor.post_process_masks(outputs, [SIZE])[0].numpy()
    assert (found[-1].masks[0] != expected[-1]).mean() < 1e-2
    maps = torch.stack(outputs.vision_attentions)[:, 0, -1].mean(1)
    np.testing.assert_allclose(found[-1].attentions["vision_attentions"], maps, atol=1e-5)
    assert found[0].attentions["audio_attentions"].shape == maps.shape


def test_a_method_without_memory_that_takes_sound_by_the_clip_keeps_its_rate(shipped, tmp_path, monkeypatch):
    write_clip(tmp_path / "clip.mp4", 8, fps=4)
    monkeypatch.setattr(type(shipped[0]), "tracking_host", None)
    found = segment_video(*shipped, tmp_path / "clip.mp4", ["it"], fps=4)
    with pytest.raises(ValueError, match=r"^fps: Sam2LoveProcessor cannot give each frame a sound of its own"):
        next(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0.5}, r"fps is 0.5; give 1, .* to 4, the rate of .*clip\.mp4"),
        ({"fps": 5}, "fps is 5; give 1"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"output_attentions": True, "fps": 4}, "attention: there are maps for the frames the method sees"),
        ({"output_classes": True}, "classes: Sam2LoveModel finds masks and names no classes; leave it out"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(shipped, tmp_path, options, message):
    write_clip(tmp_path / "clip.mp4", 8, fps=4)
    with pytest.raises(ValueError, match=message):
        segment_video(*shipped, tmp_path / "clip.mp4", ["it"], **options)


def test_between_the_frames_that_a_method_sees_there_are_no_classes(shipped, tmp_path, monkeypatch):
    write_clip(tmp_path / "clip.mp4", 8, fps=4)
    monkeypatch.setattr(type(shipped[0]), "names_classes", True)
    with pytest.raises(ValueError, match=r"^classes: there are maps for the frames the method sees; leave fps out"):
        segment_video(*shipped, tmp_path / "clip.mp4", ["it"], fps=4, output_classes=True)


def count_opens(monkeypatch):
    """The files that PyAV opens from now on."""
    opened, real = [], av.open

    def count(file, *given, **options):
        opened.append(file)
        return real(file, *given, **options)

    monkeypatch.setattr(av, "open", count)
    return opened


@pytest.mark.parametrize(("fps", "opens"), [(None, 3), (4, 5)])
def test_a_clip_is_opened_once_for_its_packets_and_at_each_rate_for_frames_and_sound(
    shipped, tmp_path, monkeypatch, fps, opens
):
    write_clip(tmp_path / "clip.mp4", 8, fps=4)
    opened = count_opens(monkeypatch)
    reader = ClipReader(tmp_path / "clip.mp4")
    assert reader.info.seconds == pytest.approx(2, abs=0.1)
    assert len(list(segment_video(*shipped, reader, ["it"], fps))) == (fps or 1) * 2
    assert len(opened) == opens


@pytest.fixture(scope="module")
def aural():
    torch.manual_seed(0)
    config = tiny_config(AuralSam2Config, use_text=False)
    return AuralSam2Model(config).eval(), AuralSam2Processor.from_config(config)


def test_prompts_on_frames_of_a_short_clip_are_segmented_in_one_piece(aural, tmp_path):
    path = tmp_path / "clip.mp4"
    write_clip(path, 10)
    model, processor = aural
    points = {"input_points": [[[[[40, 30], [10, 5]], [[20, 20], [0, 0]]]]], "input_labels": [[[[1, 0], [1, -1]]]]}
    masks = np.zeros((1, 1, 2, *SIZE), bool)
    masks[..., 5:20, 5:30] = True
    shown = {**points, "input_boxes": [[[[3, 4, 40, 30], [0, 0, 9, 9]]]], "input_masks": masks}
    found = list(segment_video(model, processor, path, prompt_frames=[2, 9], **shown))
    with torch.inference_mode():
        outputs = model(**processor(path, **shown), prompt_frames=[2, 9])
        without = model(**processor(path))
    masks = processor.post_process_masks(outputs, [SIZE])[0].numpy()
    np.testing.assert_array_equal(np.stack([frame.masks[0] for frame in found]), masks)
    assert not torch.equal(outputs.pred_masks, without.pred_masks)
    for name in ("object_score_logits", "iou_scores"):
        np.testing.assert_allclose([frame.scores[name][0] for frame in found], outputs[name][0, 0], atol=1e-6)


def test_points_without_a_frame_are_on_the_first(aural, tmp_path):
    write_clip(tmp_path / "clip.mp4", 3)
    points = {"input_points": [[[[40, 30]]]], "input_labels": [[[1]]]}
    chosen, named = (
        [frame.masks for frame in segment_video(*aural, tmp_path / "clip.mp4", prompt_frames=frames, **points)]
        for frames in (None, [0])
    )
    np.testing.assert_array_equal(chosen, named)


def test_points_hold_at_every_rate(aural, tmp_path):
    path = tmp_path / "clip.mp4"
    write_clip(path, 8, fps=4)
    points = {"input_points": [[[[40, 30]]]], "input_labels": [[[1]]], "prompt_frames": [1]}
    coarse, fine = (list(segment_video(*aural, path, fps=fps, **points)) for fps in (None, 4))
    assert len(fine) == 8
    np.testing.assert_array_equal(fine[7].masks, coarse[1].masks)


def test_prompts_that_cannot_be_used(aural, st_bava, tmp_path):
    path = tmp_path / "clip.mp4"
    write_clip(path, 2)
    points = {"input_points": [[[[40, 30]]]], "input_labels": [[[1]]]}
    assert aural[0].takes_points and not st_bava[0].takes_points
    for methods, given, message in (
        (st_bava, points, "^input_points: StBavaModel takes no points, boxes or masks here; AuralSAM2 does, and GAVS"),
        (aural, {**points, "prompt_frames": [2]}, r"^prompt_frames: \[2\] were given, the clip has frames 0 to 1$"),
        (aural, {"prompt_frames": [0]}, "^prompt_frames: pass input_points"),
        (aural, {"input_points": points["input_points"]}, "^input_points and input_labels: pass both or neither"),
        (aural, {**points, "input_points": [[[[float("nan"), 0]]]]}, "^input_points: holds NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            next(segment_video(*methods, path, **given))


def test_the_threshold_cuts_logits(aural, tmp_path):
    write_clip(tmp_path / "clip.mp4", 2)
    model, processor = aural
    inputs = processor(tmp_path / "clip.mp4")
    with torch.inference_mode():
        outputs = model(**inputs)
    threshold = float(outputs.pred_masks.median())
    expected = processor.post_process_masks(outputs, inputs["original_sizes"], mask_threshold=threshold)[0]
    found = segment_video(model, processor, tmp_path / "clip.mp4", mask_threshold=threshold)
    masks = np.stack([frame.masks for frame in found], axis=1)
    np.testing.assert_array_equal(masks, expected.reshape(masks.shape).numpy())
    assert 0 < masks.mean() < 1
