"""Agreement with the released code of ST-BAVA on deterministic weights."""

import json
import re

import numpy as np
import pytest
import torch
from tiny.configurations import tiny_config

from conftest import GOLDEN, golden_files, slow_after
from lavseg.backbones.vggish import VggishConfig
from lavseg.models.st_bava import StBavaConfig, StBavaModel
from lavseg.models.st_bava.convert_st_bava import ST_BAVA_KEYS
from sam_reference import (
    assert_near,
    audio_input,
    check_gradients,
    det_input,
    fill,
    label_input,
    reference_keys,
    tiny_sam_config,
)

pytestmark = pytest.mark.parity

# The inputs are what VGGish would give: only the width of the network matters.
AUDIO = tiny_config(VggishConfig, embedding_size=128)


def make_model(image_size, num_layers, **overrides):
    config = StBavaConfig(
        sam_config=tiny_sam_config(image_size), audio_config=AUDIO, num_fusion_layers=num_layers, **overrides
    )
    model, _ = fill(StBavaModel(config), reference_keys("st_bava/keys_tiny256_L5.json", num_layers), ST_BAVA_KEYS)
    return model


def record(module, kept):
    module.register_forward_hook(lambda module, args, output: kept.append(output))


def numbers(file, pattern):
    return [int(number) for number in re.fullmatch(pattern, file.stem).groups()]


def fuse(model, seed, frames, edge):
    images = det_input("V", seed, (frames, 256, edge, edge))
    frame_mask = torch.ones(1, frames, dtype=torch.bool)
    positions = model.sam.get_image_wide_positional_embeddings()
    return model.fuse(images, audio_input(seed, frames), positions, frame_mask)


@pytest.mark.parametrize("file", golden_files("st_bava/block_*_T5_seed*.npz"))
@torch.no_grad()
def test_block(file):
    edge, seed = numbers(file, r"block_(\d+)x\d+_T5_seed(\d+)")
    golden, model = np.load(file), make_model(16 * edge, 1)
    layer, kept = model.fusion.layers[0], []
    for stream in (layer.audio, layer.vision):
        for norm in (stream.norm_in, stream.norm_temporal, stream.norm_spatial, stream.norm_out):
            record(norm, kept)
    fuse(model, seed, 5, edge)
    if "A0" in golden:
        code = torch.nn.functional.normalize(model.audio_projection(audio_input(seed)), dim=-1)
        assert_near(code[0, :, None], golden["A0"], 1e-6)
    if "vpe" in golden:
        assert_near(model.sam.get_image_wide_positional_embeddings().flatten(2).mT, golden["vpe"], 1e-5)
    names = ["A1", "V1", "A2", "A3", "A4", "V2", "V3", "V4"]
    for name, value in zip(names, kept, strict=True):
        if name.startswith("A"):
            assert_near(value[0, :, None], golden[name], 1e-4)
        else:
            assert_near(value[0, :, :, ::2] if name == "V4" else value[0, :, ::4, ::2], golden[name], 1e-4)


@pytest.mark.parametrize("file", golden_files("st_bava/block_*_otherT_seed*.npz"))
@torch.no_grad()
def test_block_with_other_numbers_of_frames(file):
    edge, seed = numbers(file, r"block_(\d+)x\d+_otherT_seed(\d+)")
    golden, model, kept = np.load(file), make_model(16 * edge, 1), []
    record(model.fusion.layers[0], kept)
    counts = [int(name.removeprefix("A4_T")) for name in golden if name.startswith("A4_T")]
    assert counts
    for frames in counts:
        fuse(model, seed, frames, edge)
        audio, vision, *_ = kept.pop()
        assert_near(audio[0, :, None], golden[f"A4_T{frames}"], 1e-4)
        assert_near(vision[0, :, ::4, ::4], golden[f"V4_T{frames}"], 1e-4)


@pytest.mark.parametrize("file", golden_files("st_bava/stack_*.npz", quick=1))
@torch.no_grad()
def test_stack(file):
    layers, edge, seed = numbers(file, r"stack_L(\d+)_(\d+)x\d+_seed(\d+)")
    golden, model, kept = np.load(file), make_model(16 * edge, layers), []
    for layer in model.fusion.layers:
        record(layer, kept)
    fused = fuse(model, seed, 5, edge)
    assert_near(torch.stack([audio[0] for audio, *_ in kept]), golden["A_blocks"], 1e-4)
    if "V_blocks" in golden:
        assert_near(torch.stack([vision[0, :, ::32, ::4] for _, vision, *_ in kept]), golden["V_blocks"], 1e-4)
    assert_near(fused.audio[0, :, None], golden["A_out"], 1e-4)
    steps = (2, 2) if edge == 16 else (4, 8)
    vision = fused.vision[0].mT.unflatten(-1, (edge, edge))
    assert_near(vision[:, :: steps[0], :: steps[1], :: steps[1]], golden["V_out"], 1e-4)


@pytest.mark.parametrize("file", golden_files("st_bava/decoder_only_*.npz"))
@torch.no_grad()
def test_decoder_alone(file):
    (edge,) = numbers(file, r"decoder_only_(\d+)x\d+")
    golden, model = np.load(file), make_model(16 * edge, 1)
    for name in (name for name in golden if name.startswith("low_res")):
        kind, seed = re.fullmatch(r"low_res_(multi|single)_seed(\d+)", name).groups()
        masks, ious = model.sam.mask_decoder(
            image_embeddings=det_input("dec_img", int(seed), (1, 256, edge, edge)),
            image_positional_embeddings=model.sam.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=det_input("dec_sparse", int(seed), (1, 2, 256))[:, None],
            dense_prompt_embeddings=det_input("dec_dense", int(seed), (1, 256, edge, edge)),
            multimask_output=kind == "multi",
        )
        assert_near(masks[:, 0], golden[name], 1e-4)
        assert_near(ious[:, 0], golden[name.replace("low_res", "iou")], 1e-4)


@pytest.mark.parametrize("file", golden_files("st_bava/path_*.npz"))
@torch.no_grad()
def test_fusion_and_decoder(file):
    layers, edge, seed = numbers(file, r"path_L(\d+)_(\d+)x\d+_seed(\d+)")
    golden, model, kept = np.load(file), make_model(16 * edge, layers), []
    record(model.sam.mask_decoder, kept)
    images = det_input("V", seed, (5, 256, edge, edge))
    output = model(image_embeddings=images[None], audio_embeddings=audio_input(seed))
    check_masks(model, kept[0], output, golden)


def check_masks(model, decoded, output, golden, low_res=1):
    candidates, ious = decoded[0][:, 0], decoded[1][:, 0]
    assert_near(candidates[:, :, ::low_res, ::low_res], golden["low_res"], 1e-4)
    assert_near(ious, golden["iou"], 1e-4)
    logits = model.scale_masks(output.pred_masks[0, 0], (224, 224))
    assert_near(logits[:, 1::3, 1::3], golden["logits224"], 3e-4)


@pytest.mark.parametrize("file", golden_files("st_bava/e2e_*.npz"))
@torch.no_grad()
def test_end_to_end(file):
    size, layers, seed = numbers(file, r"e2e_(\d+)_L(\d+)_seed(\d+)")
    golden, model = np.load(file), make_model(size, layers)
    encoded, decoded, fused = [], [], []
    record(model.sam.vision_encoder.neck, encoded)
    record(model.sam.mask_decoder, decoded)
    record(model.fusion.layers[-1], fused)
    inputs = {
        "pixel_values": det_input("frames", seed, (5, 3, size, size))[None],
        "audio_embeddings": audio_input(seed),
        "labels": label_input(seed, 5, 224),
    }
    output = model(**inputs)
    scale = size // 256
    assert_near(torch.cat(encoded)[:, ::4, :: 2 * scale, :: 2 * scale], golden["enc"], 1e-4)
    audio, vision, *_ = fused[0]
    assert_near(audio[0, :, None], golden["A_last"], 1e-4)
    assert_near(vision[0, :, :: 16 * scale, ::4], golden["V_last"], 1e-4)
    assert_near(output.pred_masks[0, 0, :, ::scale, ::scale], golden["low_res_sum"], 1e-4)
    check_masks(model, decoded[0], output, golden, 2 if scale == 1 else 4)
    losses = json.loads((GOLDEN / "st_bava/meta_e2e.json").read_text()).get(file.stem)
    if losses is not None:
        first = torch.arange(5)[None] == 0
        assert output.loss.item() == pytest.approx(losses["loss_ms3_all_frames"], abs=1e-5)
        of_first = model(**inputs, label_mask=first).loss.item()
        assert of_first == pytest.approx(losses["loss_s4_frame0"], abs=1e-5)


def training_case(name):
    layers = int(re.search(r"L(\d+)", name)[1])
    overrides = {"train_fusion": "frozen_fusion" not in name}
    if name.startswith("stageA"):
        overrides["use_adapters"] = False
    model = make_model(256, layers, **overrides)
    inputs = {"audio_embeddings": audio_input(0), "labels": label_input(0, 5, 224)}
    if name.startswith("stageA"):
        inputs["image_embeddings"] = det_input("V", 0, (5, 256, 16, 16))[None]
    else:
        inputs["pixel_values"] = det_input("frames", 0, (5, 3, 256, 256))[None]
    if "s4" in name:
        inputs["label_mask"] = torch.arange(5)[None] == 0
    return model, inputs


def training_cases():
    file = GOLDEN / "st_bava/train_step.json"
    if not file.is_file():
        return [pytest.param(None, None, marks=pytest.mark.skip(reason=f"no {file} (set LAVSEG_GOLDEN)"), id="absent")]
    cases = json.loads(file.read_text())
    return [
        pytest.param(name, case, id=name, marks=slow_after(index, quick=1))
        for index, (name, case) in enumerate(cases.items())
    ]


GROUPS = {
    "adapters": "adapters.",
    "decoder": "sam.mask_decoder.",
    "audio_embed": "audio_projection.",
    "fusion": "fusion.",
}


@pytest.mark.parametrize(("name", "golden"), training_cases())
def test_training_steps(name, golden):
    model, inputs = training_case(name)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if "n_trainable" in golden:
        assert sum(parameter.numel() for parameter in trained) == golden["n_trainable"]
    optimizer = torch.optim.Adam(trained, lr=1e-4)
    for step, expected in enumerate(golden.get("losses_before_each_step", [golden.get("loss")])):
        optimizer.zero_grad()
        loss = model(**inputs).loss
        loss.backward()
        assert loss.item() == pytest.approx(expected, abs=1e-5), step
        if step == 0:
            check_gradients(model, golden, ST_BAVA_KEYS, GROUPS)
        optimizer.step()
