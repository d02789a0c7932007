"""Agreement with the released code of AVSegFormer on deterministic weights."""

import json
import re
from math import ceil, sqrt

import numpy as np
import pytest
import torch
from golden_avsegformer import golden_case, make_inputs, make_model, own_names
from tiny.configurations import tiny_config
from torch import nn
from transformers.models.pvt_v2.modeling_pvt_v2 import PvtV2DropPath

from conftest import golden_files
from lavseg.modeling.inputs import ClipInputs
from lavseg.models.avsegformer import AvsegFormerConfig, AvsegFormerForSemanticSegmentation, AvsegFormerModel
from lavseg.models.avsegformer.layers_avsegformer import AvsegFormerAttention
from lavseg.models.avsegformer.modeling_avsegformer import DecodedRows
from pyramid_reference import assert_near, det_fill, det_input

pytestmark = pytest.mark.parity
TOLERANCE = 2e-4
BCE = {"dice": 0.0, "bce": 1.0, "mix_dice": 0.0, "mix_bce": 0.1}


def watch(model):
    """What the parts of a model will have given, by the names of the golden data: a list of what each run gave."""
    pixels, masks, kept = model.pixel_decoder, model.mask_decoder, {}
    parts = {
        "audio_proj": model.audio_projection,
        "encoder_first": pixels.layers[0],
        "memory": pixels.layers[-1],
        "out_conv": pixels.output,
        "generated_query": masks.generator,
        "decoder_first": masks.layers[0],
        "decoder_last": masks.layers[-1],
        "mlp": masks.squeeze,
        "vggish": model.audio_encoder,
        "mask_feature": masks,
    }
    parts |= {f"in_proj{stage}": layer for stage, layer in enumerate(pixels.input_projections, 1)}
    choose = {"vggish": lambda output: output.embeddings, "mask_feature": lambda output: output[1]}
    for name, module in parts.items():
        pick = choose.get(name, lambda output: output)
        module.register_forward_hook(
            lambda _, args, output, name=name, pick=pick: kept.setdefault(name, []).append(pick(output))
        )
    model.vision_encoder.register_forward_hook(
        lambda _, args, output: kept.update({f"backbone{i}": [x] for i, x in enumerate(output.feature_maps, 1)})
    )
    pixels.layers[0].register_forward_pre_hook(lambda _, args: kept.update(pos=[args[1]], reference_points=[args[2]]))
    return kept


def places_kept(name, case):
    """Which entries of a tensor of frames the golden data keeps."""
    step = ceil(sqrt(max(1, case["hw"][0] * case["hw"][1] // 4096) * max(1, case["clips"] * case["length"] // 5)))
    every = slice(None)
    if name.startswith(("backbone", "in_proj")):
        space = slice(None, None, (4, 2, 1, 1)[int(name[-1]) - 1])
        return every, slice(None, None, 16), space, space
    if name in ("generated_query", "decoder_first", "decoder_last"):
        return every, slice(None, None, 30)
    if name in ("encoder_first", "memory"):
        return every, slice(None, None, 4 * step), slice(None, None, 2)
    if name in ("out_conv", "mlp", "mask_feature"):
        return every, slice(None, None, 16 * step), slice(None, None, 2), slice(None, None, 2)
    return (every,)


def pred_step(case):
    height, width = case["hw"]
    if case["variant"] == "avss":
        return 8
    return 1 if height * width * case["clips"] * case["length"] <= 40960 else 2


@pytest.mark.parametrize("file", golden_files("avsegformer/*_seed*.npz", quick=0))
@torch.no_grad()
def test_whole_model(file):
    golden, case = np.load(file), golden_case(file)
    model = make_model(case)
    kept = watch(model)
    frames, sounds, real = make_inputs(case)
    outputs = model(pixel_values=frames, input_features=sounds, frame_mask=real)
    semantic = case["variant"] == "avss"
    logits = outputs.class_logits.transpose(1, 2) if semantic else outputs.pred_masks[:, 0, :, None]
    real = real.flatten()
    assert set(golden) <= {*kept, "pred"}
    for name in set(golden) - {"pred"}:
        value = torch.cat(kept[name])
        value = value.flatten(0, 1)[real] if name in ("vggish", "audio_proj") else value
        expected = golden[name] if name in ("pos", "reference_points") else golden[name][real.numpy()]
        assert_near(value[places_kept(name, case)].reshape(expected.shape), expected, TOLERANCE)
    step = pred_step(case)
    assert_near(logits.flatten(0, 1)[real][:, :, ::step, ::step], golden["pred"][real.numpy()], TOLERANCE)


def targets_of(variant, seed, clips, size):
    """Masks or classes `[B, T, h, w]` and which frames carry one, as a batch of the variant's data set has them."""
    if variant == "avss":
        return torch.from_numpy(det_fill().det_labels("mask", seed, (clips * 10, *size))).unflatten(0, (-1, 10))
    count = clips if variant == "s4" else clips * 5
    masks = torch.from_numpy(det_fill().det_mask("mask", seed, (count, *size)))
    if variant == "ms3":
        return masks.unflatten(0, (-1, 5))
    return torch.cat([masks[:, None], torch.zeros(clips, 4, *size)], dim=1)


def labelled(variant, sets, clips):
    """Bool `[B, T]`."""
    counts = {"v1s": 1, "v1m": 5, "v2": 10}
    numbers = [counts[name] for name in sets] if variant == "avss" else [{"s4": 1, "ms3": 5}[variant]] * clips
    return torch.arange(10 if variant == "avss" else 5) < torch.tensor(numbers)[:, None]


def joined(terms, weights=("dice", "bce", "class")):
    """The two terms of the release from those of `loss_dict`."""
    return {
        "iou_loss": sum(value for name, value in terms.items() if name in weights),
        "mix_loss": sum(value for name, value in terms.items() if name.startswith("mix_")),
    }


def assert_terms(outputs, expected, total):
    for name, value in joined(outputs.loss_dict).items():
        assert value.item() == pytest.approx(expected[name], rel=1e-5, abs=1e-6), name
    assert outputs.loss.item() == pytest.approx(total, rel=1e-5)


def loss_cases():
    (found,) = golden_files("avsegformer/losses.json")
    if found.values[0] is None:
        return [found]
    content = json.loads(found.values[0].read_text())
    return [
        pytest.param(int(seed.removeprefix("seed")), name, terms, id=f"{seed}-{name}")
        for seed, cases in content.items()
        for name, terms in cases.items()
    ]


@pytest.mark.parametrize(("seed", "name", "expected"), loss_cases())
def test_losses(seed, name, expected):
    variant, semantic = re.match("[a-z0-9]+", name)[0], name == "avss"
    length, maps = (10, 71) if semantic else (5, 1)
    model_class = AvsegFormerForSemanticSegmentation if semantic else AvsegFormerModel
    model = model_class(tiny_config(AvsegFormerConfig, **({"num_labels": maps} if semantic else {})))
    if name.endswith("bce"):
        model.set_loss_weights(BCE)
    count, there = 2 * length, torch.ones(2, length, dtype=torch.bool)
    targets = targets_of(variant, seed, 2, (32, 32))
    given = ClipInputs(
        None, [length] * 2, there, there, None if semantic else targets[:, None], labelled(variant, ["v1s", "v2"], 2)
    )
    logits = 2 * det_input("pred", seed, (count, maps, 32, 32))
    features = 8 * det_input("mask_feature", seed, (count, 256, 8, 8))
    rows = DecodedRows(logits, features.mean(1), there[:, None])
    outputs = model._output(rows, given, targets if semantic else None)
    assert_terms(outputs, expected, expected["total"])


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, PvtV2DropPath):
            module.drop_prob = 0.0
        elif isinstance(module, AvsegFormerAttention):
            module.dropout = 0.0
    return model


@pytest.mark.parametrize("file", golden_files("avsegformer/train_step_*.json", quick=0))
def test_training_step(file):
    case = golden_case(file)
    model = without_dropout(make_model(case)).train()
    model.vision_encoder.requires_grad_(not case["backbone_frozen"])
    if case["loss_options"].get("loss_type") == "bce":
        model.set_loss_weights(BCE)
    frames, sounds, _ = make_inputs(case)
    variant = case["variant"]
    targets = targets_of(variant, case["seed"], case["clips"], case["hw"])
    # Frames that the release pads go through the backbone there, and into its statistics.
    outputs = model(
        pixel_values=frames,
        input_features=sounds,
        label_mask=labelled(variant, case["sets"], case["clips"]),
        **{"class_labels" if variant == "avss" else "labels": targets},
    )
    outputs.loss.backward()
    assert_terms(outputs, case["terms"], case["loss"])
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    names = own_names(case)
    for key, expected in case["grad_norm"].items():
        found = sum(gradients[name].square().sum() for name in names[key]).sqrt().item()
        assert found == pytest.approx(expected, rel=5e-3, abs=1e-4 * case["total_grad_norm"]), key
    for key in case["no_grad"]:
        assert all(gradients.get(name) is None for name in names[key]), key
    for key, (mean, std) in case["bn_after"].items():
        (name,) = names[key]
        value = model.get_buffer(name)
        assert (value.mean().item(), value.std().item()) == pytest.approx((mean, std), rel=1e-4, abs=1e-6), key
