from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from tiny.configurations import nano_sam2_config, tiny_config
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import RobertaConfig, RobertaModel, Sam2Config, Sam2Model, Sam2VideoModel

from lavseg.backbones.sam2.encoder_sam2 import encode_images
from lavseg.backbones.sam2.losses_sam2 import dice_loss
from lavseg.backbones.sam2.tracking_sam2 import Sam2Tracker, project_features
from lavseg.backbones.vggish import VggishConfig, VggishModel
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, modeling_aural_sam2

BEHAVIORS = ["release", "paper"]


def make_model(seed=0, **overrides):
    torch.manual_seed(seed)
    model = AuralSam2Model(tiny_config(AuralSam2Config, **overrides)).eval()
    with torch.no_grad():  # away from zero-initialised parts, and masks of a natural size
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def make_inputs(clips=1, frames=3, expressions=1, text=True, seed=1):
    generator = torch.Generator().manual_seed(seed)
    inputs = {
        "pixel_values": torch.randn(clips, frames, 3, 128, 128, generator=generator),
        "input_features": torch.randn(clips, frames, 2, 96, 64, generator=generator),
    }
    if text:
        inputs["input_ids"] = torch.randint(3, 390, (clips, expressions, 12), generator=generator)
        inputs["attention_mask"] = (torch.arange(12) < 9).long().expand(clips, expressions, 12)
    return inputs


def make_labels(clips=1, frames=3, expressions=1, size=(40, 48)):
    labels = torch.zeros(clips, expressions, frames, *size, dtype=torch.uint8)
    labels[..., 10:30, 20:40] = 1
    return labels


def clip_of(inputs, index):
    return {name: value[index : index + 1] for name, value in inputs.items()}


@pytest.mark.parametrize("use_text, expected", [(True, 59_329_280), (False, 58_279_424)])
def test_the_released_network_trains_what_the_released_code_trains(use_text, expected):
    with torch.device("meta"):
        model = AuralSam2Model(AuralSam2Config(use_text=use_text, behavior="release"))
    trainable = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    # The released fuser counts 9,733,632 parameters that no forward pass reads; they are not built here.
    assert sum(trainable.values()) == expected - 9_733_632
    assert {name.split(".")[0] for name in trainable} == {"fuser"}


@pytest.mark.parametrize("behavior", BEHAVIORS)
@torch.no_grad()
def test_clips_of_several_lengths_equal_single_runs(behavior):
    model = make_model(behavior=behavior)
    inputs = make_inputs(clips=2, frames=4)
    inputs["frame_mask"] = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    inputs["audio_mask"] = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]]).bool()
    together = model(**inputs)
    short = clip_of(inputs, 1)
    short["pixel_values"] = short["pixel_values"][:, :2]
    short["frame_mask"] = short["frame_mask"][:, :2]
    alone = model(**short)
    torch.testing.assert_close(together.pred_masks[1, :, :2], alone.pred_masks[0], atol=1e-4, rtol=0)
    assert (together.pred_masks[1, :, 2:] == -1024).all()
    assert together.key_frames.flatten().tolist() == [2, 1]
    lasting = clip_of(inputs, 0)
    lasting["input_features"][:, 3] = lasting["input_features"][:, 2]
    lasting["audio_mask"] = None
    torch.testing.assert_close(together.pred_masks[0], model(**lasting).pred_masks[0], atol=1e-4, rtol=0)


@torch.no_grad()
def test_expressions_share_one_encoding_of_each_frame(monkeypatch):
    encoded = []
    monkeypatch.setattr(
        modeling_aural_sam2,
        "encode_images",
        lambda sam, images: encoded.append(len(images)) or encode_images(sam, images),
    )
    make_model()(**make_inputs(clips=2, frames=3, expressions=3))
    assert encoded == [2, 2, 2]


@torch.no_grad()
def test_padded_text_is_read_as_released_and_hidden_in_the_paper():
    for behavior, changes in {"release": True, "paper": False}.items():
        model, inputs = make_model(behavior=behavior), make_inputs()
        before = model(**inputs).pred_masks
        inputs["input_ids"] = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, 7)
        assert ((model(**inputs).pred_masks - before).abs().max() > 1e-5).item() == changes


@pytest.mark.parametrize("behavior", BEHAVIORS)
@torch.no_grad()
def test_fresh_weights_are_those_of_the_released_code(behavior):
    model = AuralSam2Model(tiny_config(AuralSam2Config, behavior=behavior)).eval()
    for level in model.fuser.levels:
        level_output = level.fusion(torch.randn(1, 2, 16, 128), torch.randn(1, 4, 128), None)
        assert level_output.frame_attention.abs().max() == 0
    code = model.sam2.shared_image_embedding.positional_embedding
    assert torch.equal(code, model.sam2.prompt_encoder.shared_embedding.positional_embedding)
    weights = torch.cat([block.linear1.weight.flatten() for block in model.fuser.levels[2].frame_blocks])
    assert weights.std().item() == pytest.approx(0.02, rel=0.05)


@torch.no_grad()
def test_levels_reach_the_decoders_stages_deepest_first_as_released_and_in_order_in_the_paper():
    expected = {
        ("release", (1, 2, 3)): [3, 2, 1],
        ("paper", (1, 2, 3)): [1, 2, 3],
        ("release", (3,)): [3, None, None],
        ("paper", (2, 3)): [None, 2, 3],
    }
    for (behavior, levels), order in expected.items():
        model = make_model(behavior=behavior, pyramid_levels=levels, use_text=False)
        fused = [
            modeling_aural_sam2.FusedLevel(*(torch.full((1, 2, 1, 1), float(level)) for _ in range(3)))
            for level in levels
        ]
        stages = model._stage_prompts(fused, 0)
        assert [stage.dense if stage.dense is None else int(stage.dense) for stage in stages] == order
        assert torch.isfinite(model(**make_inputs(text=False)).pred_masks).all()


@pytest.mark.parametrize("multimask", [True, False])
@torch.no_grad()
def test_without_prompts_the_conditioning_frame_is_segmented_as_by_stock_sam2(multimask):
    model = make_model(sparse_prompts=False, dense_prompts=False, use_text=False)
    model.sam2.config.multimask_output_in_sam = multimask
    inputs = make_inputs(text=False)
    features = project_features(model.sam2, encode_images(model.sam2, inputs["pixel_values"][:, 0]))
    stock = Sam2Tracker(model.sam2, 1).prompt(features, torch.zeros(1, 0, 128), multimask=multimask)
    torch.testing.assert_close(model(**inputs).pred_masks[:, 0, 0], stock.masks)
    for part in ("sparse_prompts", "dense_prompts"):
        setattr(model.config, part, True)
        assert (model(**inputs).pred_masks[:, 0, 0] - stock.masks).abs().max() > 1e-4
        setattr(model.config, part, False)


@torch.no_grad()
def test_a_model_without_sound_does_not_hear():
    inputs, other = make_inputs(), make_inputs(seed=2)["input_features"]
    for use_audio in (True, False):
        model = make_model(use_audio=use_audio)
        change = model(**inputs).pred_masks - model(**{**inputs, "input_features": other}).pred_masks
        assert (change.abs().max() > 1e-5).item() == use_audio


@torch.no_grad()
def test_points_boxes_and_masks_prompt_the_frames_they_are_on():
    model = make_model(sparse_prompts=False, dense_prompts=False, use_text=False)
    inputs = make_inputs(text=False, frames=4)
    point, label = torch.tensor([[[[60.0, 50.0]]]]), torch.ones(1, 1, 1, dtype=torch.int32)
    box = torch.tensor([[[20.0, 30.0, 90.0, 100.0]]])
    previous = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(5))
    cases = {
        "point": (dict(input_points=point, input_labels=label), (point, label, None, None)),
        "box": (dict(input_boxes=box), (None, None, box, None)),
        "mask": (dict(input_masks=previous), (None, None, None, previous)),
        "point and box": (dict(input_points=point, input_labels=label, input_boxes=box), (point, label, box, None)),
    }
    features = project_features(model.sam2, encode_images(model.sam2, inputs["pixel_values"][:, 2]))
    tracker, seen = Sam2Tracker(model.sam2, 1), []
    for name, (prompts, encoder_arguments) in cases.items():
        sparse, dense = model.sam2.prompt_encoder(*encoder_arguments)
        sparse = torch.zeros(1, 0, 128) if sparse is None else sparse[:, 0]
        expected = tracker.prompt(features, sparse, dense).masks
        output = model(**inputs, **prompts, prompt_frames=[2])
        torch.testing.assert_close(output.pred_masks[:, 0, 2], expected, msg=name)
        assert output.key_frames.item() == 2
        seen.append(output.pred_masks)
    assert all((a - b).abs().max() > 1e-4 for a, b in pairwise(seen))


@torch.no_grad()
def test_prompts_on_several_frames_join_the_sound():
    model, inputs = make_model(use_text=False), make_inputs(text=False, frames=4)
    points = torch.rand(1, 1, 2, 3, 2) * 128
    labels = torch.tensor([1, 0, -1], dtype=torch.int32).expand(1, 1, 2, 3)
    prompted = model(**inputs, input_points=points, input_labels=labels, prompt_frames=[3, 1])
    plain = model(**inputs)
    assert prompted.key_frames.item() == 1
    assert ((prompted.pred_masks - plain.pred_masks).abs().amax((0, 1, 3, 4)) > 1e-5).all()
    swapped = model(**inputs, input_points=points.flip(2), input_labels=labels, prompt_frames=[1, 3])
    torch.testing.assert_close(swapped.pred_masks, prompted.pred_masks)
    other = {**inputs, "input_features": torch.randn(1, 4, 2, 96, 64)}
    heard = model(**other, input_points=points, input_labels=labels, prompt_frames=[3, 1])
    assert (heard.pred_masks - prompted.pred_masks).abs().max() > 1e-5


@pytest.mark.parametrize("behavior", BEHAVIORS)
@pytest.mark.parametrize("use_text", [True, False])
@pytest.mark.parametrize("contrastive_loss", ["audiocon", "supcon", "audiocon_release", "none"])
def test_a_training_step_reaches_every_trainable_weight_and_nothing_else(behavior, use_text, contrastive_loss):
    model = make_model(behavior=behavior, use_text=use_text, contrastive_loss=contrastive_loss, contrastive_samples=24)
    model.train()
    assert not model.sam2.training and model.fuser.training
    before = {name: value.clone() for name, value in model.sam2.state_dict().items()}
    inputs = make_inputs(clips=2, frames=3, text=use_text)
    output = model(**inputs, labels=make_labels(clips=2, frames=3))
    contrast = set() if contrastive_loss == "none" else {"contrastive"}
    assert set(output.loss_dict) == {"focal", "dice", "iou", "object"} | contrast
    output.loss.backward()
    heads = ("fuser.frame_head", "fuser.token_head") if contrastive_loss == "none" else ()
    for name, parameter in model.named_parameters():
        trains = name.startswith("fuser") or (behavior == "paper" and name.startswith("audio_encoder"))
        assert parameter.requires_grad == trains, name
        if trains and not name.startswith(heads or "-"):
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    assert all(torch.equal(value, before[name]) for name, value in model.sam2.state_dict().items())


class Waits(TorchDispatchMode):
    """Records operations whose result the host would have to wait for on an accelerator."""

    names = ("_local_scalar_dense", "nonzero", "_unique2", "unique_dim", "unique_consecutive", "masked_select", "equal")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        indices = args[1] if name in ("index", "index_put", "index_put_") else []
        if name in self.names or any(index is not None and index.dtype == torch.bool for index in indices):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("behavior", BEHAVIORS)
@pytest.mark.parametrize("contrastive_loss", ["audiocon", "supcon"])
def test_a_training_step_waits_for_the_device_before_it_begins_only(behavior, contrastive_loss):
    """Clips of two lengths; these and the labels are looked at once, before anything is computed."""
    model = make_model(behavior=behavior, contrastive_loss=contrastive_loss, contrastive_samples=8, use_text=False)
    model.train()
    inputs = make_inputs(clips=2, frames=3, text=False)
    frame_mask = torch.tensor([[True, True, True], [True, True, False]])
    label_mask = torch.tensor([[True, False, False], [True, True, True]])
    with Waits() as waits:
        loss = model(**inputs, frame_mask=frame_mask, labels=make_labels(2, 3), label_mask=label_mask).loss
        loss.backward()
    assert waits.found == ["_local_scalar_dense"]  # of the labels
    with Waits() as waits:
        bool(frame_mask.any())
        make_labels()[torch.ones(1, dtype=torch.bool)]
    assert waits.found == ["_local_scalar_dense", "index"]


@pytest.mark.parametrize("behavior", BEHAVIORS)
def test_half_precision_stays_close(behavior):
    model, inputs = make_model(behavior=behavior, contrastive_loss="none"), make_inputs()
    expected = model(**inputs, labels=make_labels())
    with torch.autocast("cpu", torch.bfloat16):
        found = model(**inputs, labels=make_labels())
    found.loss.backward()
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=0.02)
    key = expected.key_frames.item()
    agreement = ((found.pred_masks > 0) == (expected.pred_masks > 0))[:, :, key].float().mean()
    assert agreement > 0.97
    inputs["pixel_values"] = inputs["pixel_values"].bfloat16()
    with torch.no_grad():
        half = model.bfloat16()(**inputs).pred_masks
    assert half.dtype == torch.bfloat16 and torch.isfinite(half).all()


def test_a_host_of_one_mask_trains_it_on_every_frame():
    model, labels = make_model(use_text=False), make_labels()
    model.sam2.config.multimask_output_in_sam = False
    decoder = model.sam2.mask_decoder
    decoder.dynamic_multimask_via_stability = False
    outputs = model(**make_inputs(text=False), labels=labels)
    outputs.loss.backward()
    masks = F.interpolate(outputs.pred_masks[:, 0], labels.shape[-2:], mode="bilinear", align_corners=False)
    assert outputs.loss_dict["dice"] == sum(dice_loss(masks[:, frame], labels[:, 0, frame]) for frame in range(3))


def test_conditioning_frame_follows_text_and_training():
    for use_text, first in ((True, False), (False, True)):
        model, inputs = make_model(use_text=use_text), make_inputs(frames=4, text=use_text)
        with torch.no_grad():
            assert model(**inputs).key_frames.item() == (0 if first else 2)
            assert model.train()(**inputs).key_frames.item() == 2


@torch.no_grad()
def test_from_backbones_takes_over_every_weight(tmp_path):
    parts = {
        "sam2": Sam2VideoModel(nano_sam2_config()),
        "text": RobertaModel(RobertaConfig(vocab_size=50, hidden_size=64, num_hidden_layers=1, num_attention_heads=2)),
        "audio": VggishModel(tiny_config(VggishConfig, embedding_size=64)),
    }
    for name, part in parts.items():
        part.save_pretrained(tmp_path / name)
    folders = {name: str(tmp_path / name) for name in parts}
    model = AuralSam2Model.from_backbones(**folders, text_projection_size=32, visual_depths=(1, 1, 1))
    for name, module in model.backbones().items():
        state = parts[name].state_dict()
        assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert AuralSam2Model.from_backbones(**folders, use_text=False, visual_depths=(1, 1, 1)).text_encoder is None
    with pytest.raises(ValueError, match="audio: a VGGish checkpoint is needed"):
        AuralSam2Model.from_backbones(folders["sam2"])
    Sam2Model(Sam2Config(vision_config=parts["sam2"].config.vision_config)).save_pretrained(tmp_path / "image")
    with pytest.raises(ValueError, match=r"sam2: .*image is a 'sam2' checkpoint, 'sam2_video' is needed"):
        AuralSam2Model.from_backbones(**{**folders, "sam2": str(tmp_path / "image")})


@pytest.mark.parametrize(
    "change, message",
    [
        ({"input_boxes": torch.zeros(1, 1, 4), "prompt_frames": [3]}, "prompt_frames: .* has frames 0 to 2"),
        ({"input_boxes": torch.zeros(1, 1, 4), "prompt_frames": [0, 1]}, "prompt_frames: the prompts cover 1"),
        ({"prompt_frames": [0]}, "prompt_frames: pass input_points"),
    ],
)
def test_inputs_that_do_not_fit_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        make_model()(**{**make_inputs(), **change})


def test_a_single_frame_is_segmented_but_not_trained_on():
    model, inputs = make_model(use_text=False), make_inputs(frames=1, text=False)
    with torch.no_grad():
        assert torch.isfinite(model(**inputs).pred_masks).all()
    with pytest.raises(ValueError, match="a single clip of one frame is too little"):
        model.train()(**inputs, labels=make_labels(frames=1))


@pytest.mark.parametrize("behavior", BEHAVIORS)
def test_a_single_frame_with_a_sentence_is_trained_on(behavior):
    model, inputs = make_model(behavior=behavior).train(), make_inputs(frames=1)
    loss = model(**inputs, labels=make_labels(frames=1)).loss
    loss.backward()
    norms = [level.fusion.token_batch_norm.weight.grad for level in model.fuser.levels]
    assert loss.isfinite() and all(norm.isfinite().all() and norm.any() for norm in norms)
