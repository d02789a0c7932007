"""Models whose weights are finite but whose outputs are not end in an error, wherever masks or scores are made."""

import numpy as np
import pytest
import torch
from tiny.configurations import tiny_config
from transformers import pipeline
from typer.testing import CliRunner

from lavseg.cli import app
from lavseg.data import ClipCollator, load_ref_avs, render_clip, write_ref_avs
from lavseg.evaluation.evaluate_model import evaluate, evaluate_semantic
from lavseg.hub import TASK
from lavseg.inference.segment_video import segment_video
from lavseg.media import write_video
from lavseg.modeling.outputs import AudioVisualSegmentationOutput
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2ForSemanticSegmentation, AuralSam2Processor
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel
from tiny_methods import EVERY_METHOD, method_named, poison, texts_for, tiny_method

NOT_FINITE = "the model gives NaN or infinite values"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    made = render_clip(np.random.default_rng(0), 3, (60, 82))
    write_video(path, made.frames, 1, made.waveform, 16000)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_ref_avs(tmp_path_factory.mktemp("data") / "root", {"train": 1, "test_s": 1}, 2, (32, 40))


@torch.no_grad()
def overflowing(model):
    """Weights that float32 holds, and outputs that it does not."""
    for parameter in model.parameters():
        parameter.fill_(3e38)
    return model


@pytest.mark.parametrize("damage", [poison, overflowing])
@pytest.mark.parametrize("classes", EVERY_METHOD)
def test_segmenting_a_video(classes, damage, tokenizer, clip):
    model, processor = tiny_method(classes, tokenizer)
    assert len(list(segment_video(model, processor, clip, texts_for(processor)))) == 3
    with pytest.raises(ValueError, match=NOT_FINITE):
        next(segment_video(damage(model), processor, clip, texts_for(processor)))


@pytest.mark.parametrize("classes", EVERY_METHOD)
def test_the_pipeline(classes, tokenizer, clip):
    model, processor = tiny_method(classes, tokenizer)
    segment = pipeline(TASK, model=model, processor=processor, device="cpu")
    assert segment(str(clip), text=texts_for(processor) or None)[0]["masks"].shape == (3, 60, 82)
    poison(segment.model)
    with pytest.raises(ValueError, match=NOT_FINITE):
        segment(str(clip), text=texts_for(processor) or None)


@pytest.mark.parametrize("classes", EVERY_METHOD)
def test_scoring(classes, tokenizer, data):
    model, processor = tiny_method(classes, tokenizer)
    with pytest.raises(ValueError, match=NOT_FINITE):
        evaluate(poison(model), ClipCollator(processor), load_ref_avs(data, "test_s"))


def test_scoring_classes(tokenizer):
    config = tiny_config(AuralSam2Config, use_text=False, num_labels=3)
    model, processor = AuralSam2ForSemanticSegmentation(config).eval(), AuralSam2Processor.from_config(config)
    inputs = processor(torch.zeros(2, 40, 56, 3, dtype=torch.uint8), torch.zeros(32000), sampling_rate=16000)
    with torch.no_grad():
        outputs = model(**inputs)
    outputs.class_logits[0, 0, 1, 0, 0] = float("nan")
    with pytest.raises(ValueError, match=f"class_logits: {NOT_FINITE}"):
        processor.post_process_semantic_segmentation(outputs, inputs["original_sizes"])
    collated = {
        "class_labels": torch.zeros(1, 2, 8, 8, dtype=torch.uint8),
        "label_mask": torch.ones(1, 2, dtype=torch.bool),
        "labels": None,
    }
    del inputs["original_sizes"]
    # dataclasses.replace needs a real collator; its batches are these.
    collator = type("Collator", (ClipCollator,), {"__call__": lambda self, clips: type(inputs)({**inputs, **collated})})
    with pytest.raises(ValueError, match=NOT_FINITE):
        evaluate_semantic(poison(model), collator(processor), [0])


@pytest.mark.parametrize("name", ["iou_scores", "object_score_logits", "presence_logits"])
def test_scores_count_where_the_masks_are_fine(tokenizer, clip, name, monkeypatch):
    model, processor = tiny_method(method_named("sam2_love"), tokenizer)

    def forward(self, frame_mask, **inputs):
        masks = torch.zeros(1, 1, frame_mask.shape[1], 8, 8)
        frames = masks[..., 0, 0]
        scores = {"iou_scores": frames, "object_score_logits": frames, "presence_logits": frames[..., 0]}
        scores[name] = scores[name] / 0
        return AudioVisualSegmentationOutput(pred_masks=masks, **scores)

    monkeypatch.setattr(type(model), "forward", forward)
    with pytest.raises(ValueError, match=f"{name}: {NOT_FINITE}"):
        next(segment_video(model, processor, clip, ["the red circle"]))


def test_half_precision_that_is_too_narrow_says_so(tokenizer, clip):
    torch.manual_seed(0)
    model = Sam2LoveModel(tiny_config(Sam2LoveConfig, len(tokenizer))).eval()
    decoder = model.sam2.mask_decoder
    torch.nn.init.constant_(decoder.pred_obj_score_head.proj_out.bias, 10.0)
    torch.nn.init.constant_(decoder.upscale_conv2.weight, 6e4)
    processor = tiny_method(method_named("sam2_love"), tokenizer)[1]
    made = pipeline(TASK, model=model.to(torch.float16), processor=processor, device="cpu")
    with pytest.raises(ValueError, match="float32 or bfloat16 would do"):
        made(str(clip), text="the red circle")


@pytest.mark.parametrize("command", ["segment", "evaluate"])
def test_commands_end_with_one_line_and_leave_nothing(command, tokenizer, clip, data, tmp_path):
    model, processor = tiny_method(method_named("sam2_love"), tokenizer)
    overflowing(model).save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    given = {
        "segment": [str(clip), "--text", "the red circle"],
        "evaluate": ["--data", str(data), "--split", "test_s"],
    }
    out = tmp_path / "out"
    options = ["--model", str(tmp_path / "model"), "--out", str(out)]
    done = CliRunner().invoke(app, [command, *given[command], *options])
    assert done.exit_code == 2, done.output
    assert done.stderr.splitlines()[-1].startswith(f"lavseg {command}: ") and NOT_FINITE in done.stderr
    assert not out.exists()


def test_a_later_window_is_looked_at_even_where_tracking_would_replace_its_masks(tokenizer, tmp_path, monkeypatch):
    model, processor = tiny_method(method_named("sam2_love"), tokenizer)
    torch.nn.init.constant_(model.sam2.mask_decoder.pred_obj_score_head.proj_out.bias, 10.0)
    made = render_clip(np.random.default_rng(0), 13, (60, 82))
    write_video(tmp_path / "clip.mp4", made.frames, 1, made.waveform, 16000)
    forward, windows = type(model).forward, []

    def second_is_nan(self, *args, **inputs):
        outputs = forward(self, *args, **inputs)
        windows.append(outputs)
        if len(windows) == 2:
            outputs.pred_masks.fill_(float("nan"))
        return outputs

    monkeypatch.setattr(type(model), "forward", second_is_nan)
    with pytest.raises(ValueError, match=f"pred_masks: {NOT_FINITE}"):
        list(segment_video(model, processor, tmp_path / "clip.mp4", ["the red circle"]))
    assert len(windows) == 2
