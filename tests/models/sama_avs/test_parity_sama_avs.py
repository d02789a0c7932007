"""Agreement with the released code of SAMA-AVS on deterministic weights."""

import json
import re

import numpy as np
import pytest
import torch
from tiny.configurations import tiny_config

from conftest import GOLDEN, golden_files
from lavseg.backbones.sam.adapters_sam import encode_frames
from lavseg.backbones.vggish import VggishConfig
from lavseg.losses import mask_bce
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel
from lavseg.models.sama_avs.convert_sama_avs import SAMA_AVS_KEYS
from lavseg.models.sama_avs.modeling_sama_avs import mask_soft_iou
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

META = GOLDEN / "sama_avs/meta.json"


def make_model(image_size, whole_vggish=False):
    audio = VggishConfig() if whole_vggish else tiny_config(VggishConfig, embedding_size=128)
    keys = reference_keys("sama_avs/keys_tiny256.json")
    if not whole_vggish:
        keys = [key for key in keys if not key.startswith("audio_encoder.")]
    model = SamaAvsModel(SamaAvsConfig(sam_config=tiny_sam_config(image_size), audio_config=audio))
    return fill(model, keys, SAMA_AVS_KEYS)[0]


def make_inputs(source, image_size, seed, frames):
    inputs = {
        "pixel_values": det_input("frames", seed, (frames, 3, image_size, image_size))[None],
        "labels": label_input(seed, frames, image_size),
    }
    if source == "audio":
        return inputs | {"audio_embeddings": audio_input(seed)[:, :frames]}
    return inputs | {"input_features": det_input("spect", seed, (frames, 1, 96, 64))[None]}


@pytest.mark.parametrize("file", golden_files("sama_avs/encoder_tiny*.npz"))
@torch.no_grad()
def test_encoder(file):
    size, seed = map(int, re.fullmatch(r"encoder_tiny(\d+)_seed(\d+)", file.stem).groups())
    golden, model, step = np.load(file), make_model(size), 2 if size == 256 else 8
    frames, audio = det_input("frames", seed, (3, 3, size, size)), audio_input(seed)[0, :3]
    blocks = []
    for layer in model.sam.vision_encoder.layers:
        layer.register_forward_hook(lambda module, args, output: blocks.append(output))
    prompts = model.adapters.prompts(audio)
    assert_near(prompts, golden["prompts"], 1e-4)
    for name, given in {"audio": prompts, "zero_audio": model.adapters.prompts(audio * 0), "no_prompt": None}.items():
        blocks.clear()
        encoded = encode_frames(model.sam.vision_encoder, frames, given)
        assert_near(encoded[:, ::4, ::step, ::step], golden[name], 1e-4)
        if f"blocks_{name}" in golden:
            assert_near(torch.stack(blocks)[:, :, ::step, ::step, ::8], golden[f"blocks_{name}"], 1e-4)


@pytest.mark.parametrize("file", golden_files("sama_avs/e2e_*.npz"))
@torch.no_grad()
def test_end_to_end(file):
    size, source, seed = re.fullmatch(r"e2e_(\d+)_(audio|spect)_seed(\d+)", file.stem).groups()
    size, golden = int(size), np.load(file)
    frames, step = len(golden["iou"]), 1 if size == 256 else 4
    model = make_model(size, source == "spect")
    inputs = make_inputs(source, size, int(seed), frames)
    output = model(**inputs)
    assert_near(output.pred_masks[0, 0, :, None, ::step, ::step], golden["low_res"], 1e-4)
    assert_near(output.iou_scores[0, 0, :, None], golden["iou"], 1e-4)
    logits = model.scale_masks(output.pred_masks[0, 0], (size, size))
    step = 3 if size == 256 else 16
    assert_near(logits[:, 1::step, 1::step], golden["pred"], 1e-4)
    if source == "spect":
        embeddings = model.audio_encoder(inputs["input_features"]).embeddings
        assert_near(embeddings[0, :, 0], golden["vggish"], 1e-4)
    losses = json.loads(META.read_text()).get(file.stem)
    if losses is not None:
        assert output.loss_dict["bce"].item() == pytest.approx(losses["bce"], abs=1e-5)
        assert output.loss_dict["soft_iou"].item() == pytest.approx(losses["soft_iou"], abs=1e-5)
        assert output.loss.item() == pytest.approx(losses["total"], abs=1e-5)


@pytest.mark.skipif(not META.is_file(), reason=f"no {META} (set LAVSEG_GOLDEN)")
@torch.no_grad()
def test_two_clips_of_one_frame_each():
    inputs = make_inputs("audio", 256, 0, 2)
    inputs = {name: value.transpose(0, 1) for name, value in inputs.items()}
    expected = json.loads(META.read_text())["two_clips_T1"]["bce"]
    assert make_model(256)(**inputs).loss_dict["bce"].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("file", golden_files("sama_avs/loss_cases.npz"))
def test_losses(file):
    golden, expected = np.load(file), json.loads(META.read_text())["loss_cases"]
    logits, targets = (torch.from_numpy(golden[name])[:, 0] for name in ("logits", "target"))
    assert mask_bce(logits, targets).mean().item() == pytest.approx(expected["bce"], abs=1e-5)
    assert mask_soft_iou(logits, targets).tolist() == pytest.approx(expected["soft_iou_per_frame"], abs=1e-5)
    assert mask_soft_iou(logits, targets).mean().item() == pytest.approx(expected["soft_iou"], abs=1e-5)


GROUPS = {
    "adapters": "adapters.",
    "decoder": "sam.mask_decoder.",
    "no_mask_embed": "sam.prompt_encoder.no_mask_embed.",
}


@pytest.mark.slow
@pytest.mark.parametrize("file", golden_files("sama_avs/train_step.json"))
@pytest.mark.parametrize("source", ["audio", "spect"])
def test_training_steps(file, source):
    golden = json.loads(file.read_text())[source]
    model = make_model(256, source == "spect")
    inputs = make_inputs(source, 256, 0, 5)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    settings = golden["optimizer"]
    optimizer = torch.optim.AdamW(
        trained, lr=settings["lr"], weight_decay=settings["weight_decay"], betas=settings["betas"]
    )
    # The released script leaves VGGish trainable but runs it without gradient.
    golden["no_grad"] = [key for key in golden["no_grad"] if not key.startswith("audio_encoder.")]
    golden["per_tensor"] = {k: v for k, v in golden["per_tensor"].items() if not k.startswith("audio_encoder.")}
    for step, expected in enumerate(golden["losses"]):
        optimizer.zero_grad()
        loss = model(**inputs).loss
        loss.backward()
        assert loss.item() == pytest.approx(expected, abs=1e-5), step
        if step == 0:
            check_gradients(model, golden, SAMA_AVS_KEYS, GROUPS)
        optimizer.step()
