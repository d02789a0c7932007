"""Every frame goes through the image encoders once, and nothing else comes out than when windows stand alone."""

from collections import Counter

import pytest
import torch
from tiny.configurations import nano_sam2_config, tiny_config

from lavseg.inference import segment_video, windows
from lavseg.inference.clip_segmenter import ClipSegmenter
from lavseg.inference.encoded_frames import FrameInput
from lavseg.media import iter_clip
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from lavseg.models.avsegformer import AvsegFormerConfig, AvsegFormerModel, AvsegFormerProcessor
from lavseg.models.eemc import EemcConfig, EemcModel, EemcProcessor
from lavseg.models.gavs import GavsConfig, GavsModel, GavsProcessor
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from lavseg.models.simtoken import SimTokenConfig, SimTokenModel, SimTokenProcessor
from lavseg.models.st_bava import StBavaConfig, StBavaModel, StBavaProcessor
from lavseg.models.stepping_stones import SteppingStonesConfig, SteppingStonesModel, SteppingStonesProcessor
from lavseg.models.tpavi import TpaviConfig, TpaviModel, TpaviProcessor
from scripted_clips import write_clip
from tiny_clips import away_from_zero

SENTENCES = ["the red circle", "the object making a sound"]
AURAL = AuralSam2Config, AuralSam2Model, AuralSam2Processor
AVSEGFORMER = AvsegFormerConfig, AvsegFormerModel, AvsegFormerProcessor
EEMC = EemcConfig, EemcModel, EemcProcessor
GAVS = GavsConfig, GavsModel, GavsProcessor
LOVE = Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor
SAMA = SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
SIMTOKEN = SimTokenConfig, SimTokenModel, SimTokenProcessor
ST_BAVA = StBavaConfig, StBavaModel, StBavaProcessor
STEPPING_STONES = SteppingStonesConfig, SteppingStonesModel, SteppingStonesProcessor
TPAVI = TpaviConfig, TpaviModel, TpaviProcessor
NANO = {"sam_config": nano_sam2_config(128)}
POINT = {"input_points": [[[[40, 30]]]], "input_labels": [[[1]]], "prompt_frames": [0]}
OPTIONS = {"windows": {}, "rate": {"fps": 2}, "shown": POINT}
FILES = {"windows": "windows.mp4", "rate": "rate.mp4", "shown": "windows.mp4"}
# How often each frame goes through the image encoder. The two windows share three of five frames. Adapters that hear
# are given the sound as a window cuts it, at a higher rate the second before each frame; SAM2 tracks without adapters.
ONCE, HEARD = [1] * 5, [1, 1, 2, 2, 2]
METHODS = {
    "sam2_love": (LOVE, {"max_frames": 4}, {"windows": ONCE, "rate": [1] * 10}),
    "aural_sam2": (AURAL, {"use_text": True}, {"windows": ONCE, "rate": [1] * 10}),
    "aural_sam2 without text": (AURAL, {"use_text": False}, {"shown": ONCE}),
    "avsegformer": (AVSEGFORMER, {}, {"windows": ONCE, "rate": [1] * 10}),
    "avsegformer that reads two sentences": (AVSEGFORMER, {"use_text": True}, {"windows": ONCE, "rate": [1] * 10}),
    "eemc": (EEMC, {}, {"windows": ONCE}),
    "gavs": (GAVS, {}, {"windows": ONCE, "rate": [1] * 10}),
    "gavs on sam2": (GAVS, NANO, {"shown": ONCE}),
    "gavs that reads two sentences": (GAVS, {"use_text": True}, {"windows": [2] * 5, "rate": [1] * 5 + [3] * 5}),
    "sama_avs": (SAMA, {}, {"windows": HEARD, "rate": [1] * 10}),
    "sama_avs on sam2": (SAMA, NANO, {"windows": HEARD, "rate": [1] * 5 + [2, 2, 3, 3, 3]}),
    "simtoken": (SIMTOKEN, {"max_frames": 4}, {"windows": ONCE}),
    "st_bava": (ST_BAVA, {}, {"windows": HEARD, "rate": [1] * 10}),
    "st_bava without adapters": (ST_BAVA, {"use_adapters": False}, {"windows": ONCE, "rate": [1] * 10}),
    "stepping_stones": (STEPPING_STONES, {}, {"windows": ONCE, "rate": [1] * 10}),
    "tpavi": (TPAVI, {}, {"windows": ONCE, "rate": [1] * 10}),
    "tpavi that reads two sentences": (TPAVI, {"use_text": True}, {"windows": ONCE, "rate": [1] * 10}),
}
# The default suite has one of each kind.
QUICK = {("sam2_love", "rate"), ("aural_sam2 without text", "shown"), ("gavs", "windows"), ("sama_avs", "rate")}
QUICK |= {("st_bava", "windows"), ("gavs that reads two sentences", "windows")}
QUICK |= {("simtoken", "windows"), ("eemc", "windows"), ("tpavi that reads two sentences", "windows")}
CASES = [
    pytest.param(name, clip, marks=[] if (name, clip) in QUICK else pytest.mark.slow)
    for name, (_, _, expected) in METHODS.items()
    for clip in expected
]


def make_method(classes, overrides, tokenizer):
    config_class, model_class, processor_class = classes
    reads = overrides.get("use_text", processor_class in (EemcProcessor, Sam2LoveProcessor, SimTokenProcessor))
    torch.manual_seed(0)
    config = tiny_config(config_class, vocab_size=len(tokenizer), **overrides)
    processor = processor_class.from_config(config, *([tokenizer] if reads else []))
    model = away_from_zero(model_class(config))
    if model.tracking_host is not None:  # objects that are judged absent are not tracked
        with torch.no_grad():
            model.tracking_host.mask_decoder.pred_obj_score_head.proj_out.bias.add_(20)
    return model, processor, SENTENCES if reads else []


def count(model):
    """How often each frame goes through each image encoder from now on, and calls of text, sound and whole model."""
    parts = model.backbones()
    images = [part for name, part in parts.items() if name.startswith(("sam", "mask2former", "vision"))]
    layers = dict(zip(("image", "vision"), images, strict=False))
    frames, calls = {name: Counter() for name in layers}, Counter()
    for name, part in layers.items():

        def see(module, args, name=name):
            frames[name].update(image.numpy().tobytes() for image in args[0])

        part.get_input_embeddings().register_forward_pre_hook(see)
    for name, part in {"model": model, **{name: parts[name] for name in {"text", "audio"} & parts.keys()}}.items():
        part.register_forward_pre_hook(lambda module, args, name=name: calls.update([name]))
    return frames, calls


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "windows.mp4", 5)
    write_clip(folder / "rate.mp4", 10, fps=2)
    return folder


def predictions(method, clip, monkeypatch, **options):
    """Logits and scores of all frames of a clip, in windows of four frames."""
    monkeypatch.setattr(windows, "WINDOW", 4)
    monkeypatch.setattr(segment_video, "segmented_frame", lambda processor, part, found, threshold: found)
    model, processor, texts = method
    frames = list(segment_video.segment_video(model, processor, clip, texts, **options))
    scores = {name: torch.cat([frame.scores[name] for frame in frames], dim=1) for name in frames[0].scores}
    return {"logits": torch.cat([frame.logits for frame in frames], dim=1), **scores}


@pytest.mark.parametrize(("name", "clip"), CASES)
def test_frames_and_sentences_are_encoded_once_and_predictions_stay(name, clip, tokenizer, clips, monkeypatch):
    classes, overrides, expected = METHODS[name]
    method, options = make_method(classes, overrides, tokenizer), OPTIONS[clip]
    frames, calls = count(method[0])
    found = predictions(method, clips / FILES[clip], monkeypatch, **options)
    # What a window tracks on into the next one SAM2 sees once more without the adapters.
    extra = 1 if method[0].tracking_host is not None and classes in (GAVS, SAMA) else 0
    times = sorted(frames["image"].values())
    assert all(least <= many <= least + extra for least, many in zip(expected[clip], times, strict=True)), times
    assert "vision" not in frames or [*frames["vision"].values()] == [1] * 5
    assert calls["text"] == ("text" in method[0].backbones()) and calls["audio"] == calls["model"]
    monkeypatch.setattr(classes[1], "embedding_inputs", ())
    for key, values in predictions(method, clips / FILES[clip], monkeypatch, **options).items():
        torch.testing.assert_close(found[key], values, atol=2e-5, rtol=2e-5)


def test_nothing_is_kept_but_the_last_window(tokenizer, clips):
    model, processor, _ = make_method(GAVS, {}, tokenizer)
    segmenter = ClipSegmenter(model, processor, [])
    items = [FrameInput(part, part.waveform, number) for number, part in enumerate(iter_clip(clips / "windows.mp4"))]
    frames, _ = count(model)
    for window in (items[:3], items[2:5], items[:1]):
        segmenter.segment_clip(window)
    assert sorted(frames["image"].values()) == [1, 1, 1, 1, 2]
