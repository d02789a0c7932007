from functools import cache
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny.configurations import tiny_config

from conftest import ROOT
from lavseg.checkpoint import load_checkpoint
from lavseg.data import render_clip
from lavseg.inference.windows import OVERLAP, _windows, segment_video, window_length
from lavseg.media import iter_clip, read_video, write_video
from lavseg.modeling.outputs import AudioVisualSegmentationOutput
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from lavseg.models.st_bava import StBavaConfig, StBavaModel, StBavaProcessor

RATE = 16000
SIZE = (60, 82)


def write_clip(path, num_frames, fps=1, seed=0):
    """A rendered clip; returns the masks of its objects, `[K, T, H, W]`."""
    clip = render_clip(np.random.default_rng(seed), num_frames, SIZE)
    sound = clip.waveform[: round(num_frames / fps * RATE)]
    write_video(path, clip.frames, fps, sound, RATE)
    return clip.masks


@pytest.fixture(scope="module")
def shipped():
    folder = ROOT / "examples" / "sam2-love-tiny"
    if not (folder / "model.safetensors").is_file():
        pytest.skip("the checkpoint examples/sam2-love-tiny is not there")
    return load_checkpoint(folder)


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
    np.testing.assert_array_equal(np.stack([frame.masks for frame in found], axis=1), expected)
    for name, values in {
        "iou_scores": outputs.iou_scores[0],
        "object_score_logits": outputs.object_score_logits[0],
        "presence_logit": outputs.presence_logits[0, :, None].expand(-1, num_frames),
    }.items():
        np.testing.assert_allclose(np.stack([frame.scores[name] for frame in found], axis=1), values, atol=1e-6)
    clip = read_video(tmp_path / "clip.mp4")
    np.testing.assert_array_equal(np.stack([frame.part.frame for frame in found]), clip.frames)
    np.testing.assert_array_equal(np.concatenate([frame.part.waveform for frame in found], axis=1), clip.waveform)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(2, 12), st.data())
def test_windows_cover_all_frames_and_are_of_one_length(count, length, data):
    overlap = data.draw(st.integers(0, length - 1))
    windows = list(_windows(iter(range(count)), length, overlap))
    assert all(window == list(range(begin, begin + len(window))) for begin, window in windows)
    assert {len(window) for _, window in windows} == {min(length, count)}
    ends = [begin + len(window) for begin, window in windows]
    assert windows[0][0] == 0 and ends[-1] == count
    assert all(end - begin >= overlap for end, (begin, _) in zip(ends, windows[1:], strict=False))
    assert all(after > before for before, after in pairwise(ends))


class Echo:
    """A method without memory whose masks say which frame and which second of sound it was given.

    Frame `t` of a clip is `4 t` bright and its second of sound is `t / 100` loud.
    """

    device = torch.device("cpu")
    config = SimpleNamespace()
    fps = 1.0

    def __init__(self):
        self.lengths = []

    def backbones(self):
        return {}

    def forward(self, **inputs):
        raise NotImplementedError

    def __call__(self, frames, sound, **inputs):
        self.lengths.append(len(frames))
        seen = torch.as_tensor(frames[:, 0, 0, 0] / 4.0).round()
        heard = torch.as_tensor(sound.reshape(1, len(frames), -1)[0, :, 4000:12000].mean(1) * 100)
        values = torch.stack([seen, heard.float()])[None, None].transpose(2, 3)
        return AudioVisualSegmentationOutput(pred_masks=values[..., None])


class EchoProcessor:
    fps = 1.0

    class Inputs(dict):
        def to(self, device):
            return self

    def __call__(self, frames, sound, texts, sampling_rate):
        return self.Inputs(frames=frames, sound=sound)

    def gate_masks(self, outputs):
        return outputs.pred_masks

    def post_process_masks(self, logits, sizes):
        return [logits[0, 0, 0, :, 0][None, :, None].expand(1, 2, sizes[0][0] * sizes[0][1] // 2).reshape(1, *sizes[0])]


@pytest.mark.parametrize("num_frames", [1, 9, 10, 11, 18, 19, 27])
def test_every_frame_comes_once_with_its_sound_in_order(num_frames):
    from lavseg.media import ClipPart, VideoInfo

    frames = [np.full((2, 2, 3), 4 * t, np.uint8) for t in range(num_frames)]
    sounds = [np.full((1, RATE), t / 100, np.float32) for t in range(num_frames)]
    parts = [ClipPart(float(t), *pair, RATE) for t, pair in enumerate(zip(frames, sounds, strict=True))]
    reader = SimpleNamespace(
        inspect_video=lambda clip: VideoInfo(num_frames, 1), iter_clip=lambda clip, rate: iter(parts)
    )
    model = Echo()
    found = list(segment_video(model, EchoProcessor(), "clip.mp4", reader=reader))
    values = np.stack([frame.masks.reshape(2, -1)[:, 0] for frame in found])
    np.testing.assert_allclose(values, np.repeat(np.arange(num_frames)[:, None], 2, axis=1), atol=1e-4)
    assert [frame.part for frame in found] == parts
    assert set(model.lengths) == {min(10, num_frames)}


@cache
def low_resolution(size):
    return torch.nn.AdaptiveAvgPool2d((size, size))


def script(model, monkeypatch, answers):
    """Let the model answer with given masks, one bool `[T, H, W]` a window."""
    waiting = iter(answers)

    def forward(pixel_values, **inputs):
        size = pixel_values.shape[-1] // 4
        masks = torch.from_numpy(next(waiting)).float()
        assert len(masks) == pixel_values.shape[1]
        logits = 20 * (low_resolution(size)(masks[None]) > 0.5).float()[:, None] - 10
        ones = torch.ones(1, 1, len(masks))
        return AudioVisualSegmentationOutput(pred_masks=logits, iou_scores=ones, object_score_logits=ones)

    monkeypatch.setattr(model, "forward", forward)


def jaccard(masks, others):
    return ((masks & others).sum((-2, -1)) / np.maximum((masks | others).sum((-2, -1)), 1)).mean()


def large_objects(masks):
    """The two objects of a clip that are seen best."""
    return masks[np.argsort(masks.sum((2, 3)).min(1))[-2:]]


def test_a_window_that_means_something_else_does_not_take_the_object_away(shipped, tmp_path, monkeypatch):
    first, second = large_objects(write_clip(tmp_path / "clip.mp4", 14, seed=3))
    script(shipped[0], monkeypatch, [first[:10], second[4:]])
    found = np.stack([frame.masks[0] for frame in segment_video(*shipped, tmp_path / "clip.mp4", ["it"])])
    assert jaccard(found[:10], first[:10]) > 0.6
    assert jaccard(found[10:], first[10:]) > 0.5 > 0.1 > jaccard(found[10:], second[10:])


def test_the_newer_window_goes_on_where_it_means_the_same_or_the_object_was_lost(shipped, tmp_path, monkeypatch):
    first, second = large_objects(write_clip(tmp_path / "clip.mp4", 14, seed=3))
    lost = first.copy()
    lost[9:] = False
    for earlier, later in ((first, first), (lost, second)):
        script(shipped[0], monkeypatch, [earlier[:10], later[4:]])
        found = np.stack([frame.masks[0] for frame in segment_video(*shipped, tmp_path / "clip.mp4", ["it"])])
        assert jaccard(found[:8], earlier[:8]) > 0.6 and jaccard(found[10:], later[10:]) > 0.6


def test_a_higher_rate_keeps_the_methods_frames_and_tracks_between(shipped, tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    truth = large_objects(write_clip(path, 14, fps=4, seed=3))[0]
    script(shipped[0], monkeypatch, [truth[3::4]] * 2)
    keyed = list(segment_video(*shipped, path, ["it"]))
    dense = list(segment_video(*shipped, path, ["it"], fps=4))
    assert len(keyed) == 3 and len(dense) == 14
    for index, frame in enumerate(keyed):
        np.testing.assert_array_equal(dense[4 * index + 3].masks, frame.masks)
    assert jaccard(np.stack([frame.masks[0] for frame in dense]), truth) > 0.6
    sound = np.concatenate([part.waveform for part in iter_clip(path, 4)], axis=1)
    np.testing.assert_array_equal(np.concatenate([frame.part.waveform for frame in dense], axis=1), sound)


def test_nothing_is_tracked_between_two_frames_without_the_object(shipped, tmp_path, monkeypatch):
    write_clip(tmp_path / "clip.mp4", 8, fps=4)
    script(shipped[0], monkeypatch, [np.zeros((2, *SIZE), bool)])
    found = list(segment_video(*shipped, tmp_path / "clip.mp4", ["it"], fps=4))
    assert len(found) == 8 and not any(frame.masks.any() for frame in found)


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
    np.testing.assert_array_equal(found[-1].masks[0], expected[-1])
    maps = torch.stack(outputs.vision_attentions)[:, 0, -1].mean(1)
    np.testing.assert_allclose(found[-1].attentions["vision_attentions"], maps, atol=1e-5)
    assert found[0].attentions["audio_attentions"].shape == maps.shape


def test_aural_sam2_keeps_its_frames_and_its_windows_are_handed_over(tmp_path):
    path = tmp_path / "clip.mp4"
    write_clip(path, 24, fps=2)
    torch.manual_seed(0)
    config = tiny_config(AuralSam2Config, use_text=False)
    method = AuralSam2Model(config).eval(), AuralSam2Processor.from_config(config)
    keyed = list(segment_video(*method, path))
    dense = list(segment_video(*method, path, fps=2))
    assert len(keyed) == 12 and len(dense) == 24
    for index, frame in enumerate(keyed):
        np.testing.assert_array_equal(dense[2 * index + 1].masks, frame.masks)
    assert set(dense[0].scores) == {"object_score_logits", "iou_scores"}


def test_jca_takes_clips_of_its_own_length():
    assert window_length(tiny_config(StBavaConfig, fusion="jca", jca_num_frames=5)) == 5 > OVERLAP
    assert window_length(tiny_config(StBavaConfig)) == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0.5}, r"fps is 0.5; give 1, .* to 4, the rate of .*clip\.mp4"),
        ({"fps": 5}, "fps is 5; give 1"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"output_attentions": True}, "Sam2LoveModel has no attention maps"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(shipped, tmp_path, options, message):
    write_clip(tmp_path / "clip.mp4", 8, fps=4)
    with pytest.raises(ValueError, match=message):
        segment_video(*shipped, tmp_path / "clip.mp4", ["it"], **options)
