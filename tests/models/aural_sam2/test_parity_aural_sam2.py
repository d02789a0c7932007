"""Agreement with outputs of the released code."""

import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_aural_sam2 import (
    det_input,
    det_state,
    golden_inputs,
    golden_model,
    load_fuser,
    load_sam2,
)
from transformers import RobertaConfig, RobertaModel, Sam2VideoModel

from conftest import golden_files
from lavseg.backbones.sam2.configuration_sam2 import hiera_sam2_config
from lavseg.backbones.sam2.every_frame_tracking import EveryFrameTracker
from lavseg.backbones.sam2.tracking_sam2 import ImageFeatures
from lavseg.backbones.vggish import VggishConfig, VggishModel
from lavseg.modeling.encoders import encode_text
from lavseg.modeling.initialization import rebuild
from lavseg.models.aural_sam2 import AuralSam2Config, modeling_aural_sam2
from lavseg.models.aural_sam2.convert_aural_sam2 import _UNREAD_TEXT, fuser_state_from_release
from lavseg.models.aural_sam2.decoder_aural_sam2 import AuralSam2TwoWayTransformer, StagePrompt
from lavseg.models.aural_sam2.fuser_aural_sam2 import AuralSam2BatchNorm, AuralSam2Fuser

pytestmark = pytest.mark.parity


def close(found, expected, atol=2e-4):
    torch.testing.assert_close(found, torch.from_numpy(np.ascontiguousarray(expected)), atol=atol, rtol=0)


def sub_grid(maps, step):
    """`[T, P, C]` as maps `[T, C, h, w]`, every `step`-th position."""
    edge = round(maps.shape[1] ** 0.5)
    return maps.transpose(1, 2).unflatten(2, (edge, edge))[..., ::step, ::step]


@torch.no_grad()
@pytest.mark.parametrize("file", golden_files("auralsam2/fuser_only_*.npz", quick=1))
def test_fuser(file):
    variant, seed = re.fullmatch(r"fuser_only_(avs|ref)_seed(\d+)", file.stem).groups()
    seed = int(seed)
    fuser = load_fuser(AuralSam2Fuser(AuralSam2Config(use_text=variant == "ref", behavior="release")), variant)
    vggish = VggishModel(VggishConfig()).eval()
    state = det_state(f"keys_aural_fuser_{variant}.json", "aural_fuser.", "vgg.")
    vggish.load_state_dict({key.removeprefix("vgg."): value for key, value in state.items()})
    maps = [det_input(f"fpn{k}", seed, 4, 256, edge, edge) for k, edge in enumerate((64, 32, 16))]
    patches = [level[None] for level in fuser.embed_patches(maps)]
    audio = vggish(det_input("spect", seed, 4, 2, 96, 64)).embeddings.flatten(1)[None]
    text = det_input("text", seed, 1, 1, 25, 768) if variant == "ref" else None
    with np.load(file) as golden:
        for number, level in enumerate(fuser(patches, audio, text), start=1):
            close(level.frames[0, :, ::2, ::2], golden[f"r_v{number}"])
            close(level.tokens[0], golden[f"r_c{number}"])
            # The released code takes the first ten tokens for the sound, text or not.
            frames, sound = fuser.contrastive_features(level, len(golden[f"proj_a{number}"]))
            close(sub_grid(frames[0], 2)[:, ::4], golden[f"proj_v{number}"])
            close(sound[0], golden[f"proj_a{number}"])
        for module in fuser.modules():
            module.train(isinstance(module, AuralSam2BatchNorm))
        for number, level in enumerate(fuser(patches, audio, text), start=1):
            close(level.frames[0, :, ::2, ::4], golden[f"bn_train_r_v{number}"])
            close(level.tokens[0], golden[f"bn_train_r_c{number}"])
        norm = fuser.levels[0].fusion.frame_batch_norm
        close(norm.running_mean, golden["bn_train_running_mean_W_z_level1"])
        close(fuser.levels[2].fusion.token_batch_norm.running_var, golden["bn_train_running_var_W_z2_level3"], 1e-3)


@torch.no_grad()
@pytest.mark.parametrize("file", golden_files("auralsam2/decoder_only_*.npz"))
def test_decoder(file):
    seed = int(file.stem.rpartition("seed")[2])
    sam = load_sam2(Sam2VideoModel(hiera_sam2_config("tiny", 256)), "t")
    stock = sam.mask_decoder.transformer
    sam.mask_decoder.transformer = rebuild(stock, lambda: AuralSam2TwoWayTransformer(sam.mask_decoder.config))
    shapes = {"dec_s0": (32, 64, 64), "dec_s1": (64, 32, 32), "dec_pix": (256, 16, 16)}
    features = ImageFeatures(*(det_input(name, seed, 1, *shape) for name, shape in shapes.items()))
    stages = [
        StagePrompt(det_input(f"dec_rv{k}", seed, 256, 256)[None], det_input(f"dec_ra{k}", seed, 256)[None])
        for k in (3, 2, 1)
    ]
    tracker, empty = EveryFrameTracker(sam, 1), torch.zeros(1, 0, 256)
    prediction = tracker.decode(features, features.stride16, empty, stage_prompts=stages, prompts_are_positions=True)
    with np.load(file) as golden:
        close(prediction.candidates, golden["low_res_multimasks"])
        close(prediction.candidate_scores, golden["ious"])
        close(prediction.masks[:, None], golden["low_res_masks"])
        close(prediction.object_score_logits[:, None], golden["object_score_logits"])
        close(tracker.encode_memory(features.stride16, prediction, True).pointer, golden["obj_ptr"])
        close(tracker.image_positions[:, ::8], golden["dense_pe_sub"])
        close(sam.prompt_encoder.no_mask_embed.weight, golden["no_mask_embed"])


@torch.no_grad()
@pytest.mark.parametrize("file", golden_files("auralsam2/*_[tb]*[0-9]_seed*.npz", quick=1))
def test_whole_model(file, monkeypatch):
    info = json.loads(file.with_suffix(".json").read_text())
    size, num_frames = info["size"], info["frames"]
    model = golden_model(info["variant"], info["backbone"], size)
    monkeypatch.setattr(model.config, "conditioning_frame", "middle" if info["cond_frame"] else "first")
    bias = model.sam2.mask_decoder.pred_obj_score_head.proj_out.bias
    monkeypatch.setattr(bias, "data", bias - (1.088 if "objbias" in file.stem else 0.0))
    segmented, embedded = [], []
    segment, hear = model._segment, model.audio_encoder.forward
    monkeypatch.setattr(model.audio_encoder, "forward", lambda *args: embedded.append(hear(*args)) or embedded[-1])
    monkeypatch.setattr(model, "_segment", lambda *args: segmented.append(segment(*args)) or segmented[-1])
    output = model(**golden_inputs(model, num_frames, info["seed"]))

    (found, levels), step = segmented[0], 2 if size > 256 else 1
    assert output.key_frames.item() == info["cond_frame"]
    with np.load(file) as golden:
        for channel, side in enumerate(("left", "right")):
            close(embedded[0].embeddings[0, :, channel], golden[f"vggish_{side}"])
        close(found.candidates[0, ..., ::step, ::step], golden["low_res_multimasks"])
        close(output.pred_masks[0, 0, :, None, ::step, ::step], golden["low_res_best"])
        close(found.candidate_scores[0], golden["ious"])
        close(output.object_score_logits[0, 0, :, None], golden["object_score_logits"])
        close(output.iou_scores[0, 0], golden["ious"].max(1))
        high = F.interpolate(found.candidates[0], (size, size), mode="bilinear")[..., 3::16, 5::16]
        close(high, golden["high_res_multimasks_sub"])
        for number, level in enumerate(levels, start=1):
            thin, wide = (8 if size > 256 else 4), max(1, size // 256)
            close(level.tokens[0], golden[f"r_c{number}"])
            close(level.frames[0, :, :: thin * wide, ::thin], golden[f"r_v{number}"])
            close(level.frame_attention[0, :, :: thin * wide, ::thin], golden[f"frame_attn{number}"])
            frames, sound = model.fuser.contrastive_features(level, num_frames)
            close(sub_grid(frames[0], wide)[:, ::8], golden[f"proj_v{number}"])
            close(sound[0], golden[f"proj_a{number}"])


@torch.no_grad()
@pytest.mark.parametrize("file", golden_files("auralsam2/text_encoder.npz"))
def test_text_encoder(file, monkeypatch):
    """The states that the model hands to the fuser, of sentences read with a text encoder out of a whole-model file."""
    default = AuralSam2Config()
    model = golden_model("ref", "t", 256)
    encoder = RobertaModel(RobertaConfig(**default.text_config.to_dict()), add_pooling_layer=False).eval()
    state = det_state("keys_distilroberta.json", "t_model.")
    read = {key: value for key, value in state.items() if not _UNREAD_TEXT.search(key)}
    missing, unexpected = encoder.load_state_dict(read, strict=False)
    assert not unexpected and not [key for key in missing if "position_ids" not in key and "token_type_ids" not in key]
    monkeypatch.setattr(model, "text_encoder", encoder)
    with np.load(file) as golden:
        seeds = [name.removeprefix("input_ids_") for name in golden if name.startswith("input_ids_")]
        assert seeds
        for seed in seeds:
            ids, mask = (torch.from_numpy(golden[f"{name}_{seed}"])[None] for name in ("input_ids", "attention_mask"))
            states, _ = encode_text(model.text_encoder, ids, mask)
            close(states[0], golden[f"last_hidden_state_{seed}"])


def our_name(released):
    return next(iter(fuser_state_from_release({released: torch.zeros(1)})), None)


@pytest.mark.slow
@pytest.mark.parametrize("file", golden_files("auralsam2/train_step_*.npz"))
def test_gradients_of_one_training_step(file, monkeypatch):
    expected = json.loads(file.with_suffix(".json").read_text())
    variant = file.stem.removeprefix("train_step_")
    frames = 10 if variant == "ref" else 5
    model = golden_model(variant, "t", 256)
    monkeypatch.setattr(model.config, "conditioning_frame", "middle")
    with np.load(file) as golden:
        shape = tuple(golden["label_shape"])
        labels = torch.from_numpy(np.unpackbits(golden["label_bits"])[: np.prod(shape)].reshape(shape))
        low_res_best = golden["low_res_best"]
    terms, losses = [], modeling_aural_sam2.clip_losses
    monkeypatch.setattr(modeling_aural_sam2, "clip_losses", lambda *args: terms.append(losses(*args)) or terms[-1])
    torch.manual_seed(4321)
    output = model(**golden_inputs(model, frames, 0), labels=labels.view(1, frames, *shape[-2:]))
    close(output.pred_masks[0, 0, :, None].detach(), low_res_best)
    named = {"focal": 20 * expected["loss_mask"], "dice": expected["loss_dice"], "iou": expected["loss_iou"]}
    named.update(object=expected["loss_class"], contrastive=expected["contrastive"])
    for name, value in named.items():
        assert output.loss_dict[name].item() == pytest.approx(value, rel=1e-4), name

    contrastive = terms[0]["contrastive"].sum()
    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    for part, loss in {"core_loss": output.loss - contrastive, "contrastive": contrastive}.items():
        gradients = torch.autograd.grad(loss, parameters.values(), retain_graph=True, allow_unused=True)
        gradients = dict(zip(parameters, gradients, strict=True))
        for released, norm in expected["grad_l2_norms"][part].items():
            if (name := our_name(released)) is not None:
                found = 0.0 if gradients[name] is None else gradients[name].norm().item()
                assert found == pytest.approx(norm or 0.0, rel=2e-3, abs=1e-4), (part, released)
