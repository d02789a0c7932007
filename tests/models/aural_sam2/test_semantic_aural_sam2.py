import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny.configurations import tiny_config
from transformers import AutoModel, AutoModelForSemanticSegmentation

from lavseg.models.aural_sam2 import (
    AuralSam2Config,
    AuralSam2ForSemanticSegmentation,
    AuralSam2Model,
    AuralSam2Output,
    AuralSam2Processor,
)
from lavseg.models.aural_sam2.fuser_aural_sam2 import FusedLevel
from lavseg.models.aural_sam2.semantic_aural_sam2 import AuralSam2ClassHead, class_losses

CLASSES = 4


def make_model(**overrides):
    torch.manual_seed(0)
    return AuralSam2ForSemanticSegmentation(
        tiny_config(AuralSam2Config, use_text=False, num_labels=CLASSES + 1, dropout=0.0, **overrides)
    ).eval()


def make_inputs(clips=2, frames=3):
    generator = torch.Generator().manual_seed(1)
    return {
        "pixel_values": torch.randn(clips, frames, 3, 128, 128, generator=generator),
        "input_features": torch.randn(clips, frames, 2, 96, 64, generator=generator),
    }


def make_labels(clips=2, frames=3, size=(40, 48)):
    labels = torch.zeros(clips, frames, *size, dtype=torch.uint8)
    labels[0, :, 10:30, 5:20], labels[-1, :, 10:30, 25:40] = 1, 3
    return labels


@torch.no_grad()
def test_a_class_head_leaves_the_masks_as_they_are(tmp_path):
    torch.manual_seed(3)
    masks_alone = AuralSam2Model(tiny_config(AuralSam2Config, use_text=False)).eval()
    masks_alone.save_pretrained(tmp_path)
    model = AuralSam2ForSemanticSegmentation.from_pretrained(tmp_path, num_labels=CLASSES + 1).eval()
    assert model.class_head.tokens.std() > 0.5
    assert all(torch.isfinite(parameter).all() for parameter in model.class_head.parameters())
    inputs = make_inputs()
    found, expected = model(**inputs), masks_alone(**inputs)
    torch.testing.assert_close(found.pred_masks, expected.pred_masks)
    assert found.class_logits.shape == (2, CLASSES + 1, 3, 8, 8) and expected.class_logits is None
    model.save_pretrained(tmp_path)
    assert type(AutoModel.from_pretrained(tmp_path)) is AuralSam2ForSemanticSegmentation
    assert type(AutoModelForSemanticSegmentation.from_pretrained(tmp_path)) is AuralSam2ForSemanticSegmentation
    back = AuralSam2Model.from_pretrained(tmp_path)
    torch.testing.assert_close(back(**inputs).pred_masks, expected.pred_masks)


def test_classes_go_by_their_names(tmp_path):
    names = {0: "background", 1: "dog", 2: "violin"}
    config = tiny_config(AuralSam2Config, use_text=False, id2label=names)
    model = AuralSam2ForSemanticSegmentation(config)
    assert model.num_classes == 2 and len(model.class_head.tokens) == 3
    model.save_pretrained(tmp_path)
    assert AutoModel.from_pretrained(tmp_path).config.id2label == names


def test_nothing_but_the_class_head_trains_and_it_learns():
    model = make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    assert not model.fuser.training and model.class_head.training
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(6):
        output = model(**make_inputs(), labels=make_labels() > 0, class_labels=make_labels())
        assert set(output.loss_dict) == {"class"}
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        losses.append(output.loss.item())
    assert losses[-1] < 0.7 * losses[0]
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"class_head"}
    untouched = [name for name, p in model.class_head.named_parameters() if p.grad is None]
    assert not untouched


def test_in_training_the_masks_are_those_of_inference():
    model, inputs = make_model(conditioning_frame="first"), make_inputs()
    with torch.no_grad():
        torch.testing.assert_close(model.train()(**inputs).pred_masks, model.eval()(**inputs).pred_masks)


@torch.no_grad()
def test_class_tokens_look_inside_the_mask_and_hear_even_without_one():
    model = make_model()
    head, generator = model.class_head, torch.Generator().manual_seed(2)
    masks = torch.full((1, 1, 32, 32), -5.0)
    masks[..., 16:] = 5.0

    def run(frames, tokens, masks):
        levels = [FusedLevel(frames, tokens, frames) for _ in range(3)]
        return head(levels, masks)[0, :, 0]

    frames, tokens = torch.randn(1, 1, 64, 128, generator=generator), torch.randn(1, 1, 128, generator=generator)
    base = run(frames, tokens, masks)
    outside = frames.clone().unflatten(2, (8, 8))
    outside[..., :2, :] += 3.0
    changed = run(outside.flatten(2, 3), tokens, masks)
    torch.testing.assert_close(changed[..., 2:], base[..., 2:], atol=1e-5, rtol=0)
    inside = frames.clone().unflatten(2, (8, 8))
    inside[..., 6:, :] += torch.randn(128, generator=generator)
    assert (run(inside.flatten(2, 3), tokens, masks)[..., :2] - base[..., :2]).abs().max() > 1e-4
    assert (run(frames, tokens + torch.randn(128, generator=generator), masks) - base).abs().max() > 1e-4
    nothing = run(frames, tokens, torch.full_like(masks, -5.0))
    assert torch.isfinite(nothing).all()
    assert (run(frames, -tokens, torch.full_like(masks, -5.0)) - nothing).abs().max() > 1e-4


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 10**6))
def test_the_loss_is_the_mean_over_pixels_of_masks_and_objects(clips, frames, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(clips, 3, frames, 4, 4, generator=generator)
    masks = torch.randn(clips, frames, 4, 4, generator=generator)
    labels = torch.randint(0, 3, (clips, frames, 4, 4), generator=generator)
    labeled = torch.rand(clips, frames, generator=generator) > 0.3
    found = class_losses(logits, masks, labels, labeled)
    for clip in range(clips):
        costs = [
            F.cross_entropy(logits[clip, :, t, y, x], labels[clip, t, y, x]).item()
            for t in range(frames)
            for y in range(4)
            for x in range(4)
            if labeled[clip, t] and (masks[clip, t, y, x] > 0 or labels[clip, t, y, x] > 0)
        ]
        assert found[clip].item() == pytest.approx(sum(costs) / max(len(costs), 1), abs=1e-5)


def test_classes_are_read_inside_the_masks_at_the_clips_own_size():
    processor = AuralSam2Processor.from_config(tiny_config(AuralSam2Config, use_text=False))
    masks = torch.full((2, 1, 3, 32, 32), -1.0)
    masks[..., 8:24, 8:24] = 1.0
    logits = torch.zeros(2, CLASSES + 1, 3, 8, 8)
    logits[0, 2, :, :, :4], logits[0, 3, :, :, 4:], logits[1, 0] = 5.0, 5.0, 5.0
    frame_mask = torch.tensor([[True, True, True], [True, True, False]])
    outputs = AuralSam2Output(pred_masks=masks, class_logits=logits)
    first, second = processor.post_process_semantic_segmentation(outputs, [(40, 80), (64, 48)], frame_mask)
    assert first.shape == (3, 40, 80) and first.dtype == torch.uint8 and second.shape == (2, 64, 48)
    assert (first[:, 12:28, 22:36] == 2).all() and (first[:, 12:28, 44:58] == 3).all()
    assert (first[:, :8] == 0).all() and (second == 0).all()
    with pytest.raises(ValueError, match="outputs: hold no class_logits"):
        processor.post_process_semantic_segmentation(AuralSam2Output(pred_masks=masks), [(40, 80), (64, 48)])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"labels": make_labels()[:, None] > 0}, "class_labels: missing"),
        ({"class_labels": make_labels()[:, :2]}, "class_labels: has to be"),
        ({"class_labels": make_labels()[:, None]}, "class_labels: has to be"),
        ({"class_labels": make_labels() * 255}, "class_labels: has to hold ids from 0 to .*, got 255"),
        ({"class_labels": make_labels().float()}, "class_labels: has to hold whole numbers"),
    ],
)
def test_class_labels_that_do_not_fit_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        make_model()(**make_inputs(), **change)


def test_a_head_can_have_the_classes_of_avsbench_semantic():
    with torch.device("meta"):
        head = AuralSam2ClassHead(AuralSam2Config(use_text=False, num_labels=71))
    assert head.tokens.shape == (71, 256)
