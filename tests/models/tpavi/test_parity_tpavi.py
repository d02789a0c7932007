"""Agreement with the released code of TPAVI on deterministic weights."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny.configurations import tiny_config

from conftest import golden_files
from lavseg.backbones.pyramids.configuration_pyramids import pvt_v2_b5_config
from lavseg.backbones.sam.convert_sam import rename_keys
from lavseg.backbones.vggish import VggishConfig
from lavseg.losses import mask_bce, weighted_mean
from lavseg.models.tpavi import TpaviForSemanticSegmentation, TpaviModel
from lavseg.models.tpavi.convert_tpavi import TPAVI_KEYS, released_config, split_released
from lavseg.models.tpavi.loss_tpavi import audio_visual_mapping
from pyramid_reference import assert_near, det_fill, det_input, released_state

pytestmark = pytest.mark.parity

UNUSED = ("resnet.layer3_2.", "resnet.layer4_2.", "path4.resConfUnit1.")
# The inputs are what VGGish would give: only the width of the network matters.
AUDIO = tiny_config(VggishConfig, embedding_size=128)
# Options of the released losses that no script sets, and which are not here.
LEFT_OUT = {"euclidean_flag", "closer_flag", "threshold", "mask_pooling_type"}


def make_model(case, **overrides):
    """The model of a case with its deterministic weights."""
    options = case.get("options", {})
    absent = tuple(f"tpavi_b{stage + 1}." for stage in range(4) if stage not in options.get("stages", range(4)))
    variant = "avss" if case["variant"] == "avss" else "bin"
    file = f"tpavi/keys_{case['backbone']}_{variant}.json"
    state = split_released(released_state(file, lambda key: not key.startswith((*UNUSED, *absent))))
    attention = {"attend_to_vision": options.get("vv", False), "attend_to_audio": options.get("va", True)}
    config = released_config(state, audio_config=AUDIO, **attention, **overrides)
    model = (TpaviForSemanticSegmentation if variant == "avss" else TpaviModel)(config)
    names = rename_keys(state, TPAVI_KEYS)
    missing, unexpected = model.load_state_dict({names[key]: state[key] for key in state}, strict=False)
    assert not unexpected and all(name.startswith("audio_encoder.") for name in missing)
    return model.eval()


def make_inputs(case):
    """Frames, embeddings and masks of a case, and `[B, T]` which frames have a label."""
    clips, frames = case["clips"], 10 if case["variant"] == "avss" else 5
    sets = case.get("sets") or ["v2"] * clips
    steps = torch.arange(frames)
    real = torch.stack([steps < (5 if name.startswith("v1") else frames) for name in sets])
    labeled = torch.stack([steps < 1 if name == "v1s" else real[clip] for clip, name in enumerate(sets)])
    images = det_input("imgs", case["seed"], (clips * frames, 3, *case["hw"])).unflatten(0, (clips, frames))
    audio = det_input("audio", case["seed"], (clips * frames, 128)).relu().unflatten(0, (clips, frames))
    inputs = {
        "pixel_values": images * real[..., None, None, None],
        "audio_embeddings": audio * real[..., None],
        "frame_mask": real,
    }
    return inputs, labeled


def record(module, kept):
    module.register_forward_hook(lambda module, args, output: kept.append(output))


def grid(tokens, size):
    """`[B, T, P, C]` as `[B * T, C, h, w]`."""
    return tokens.flatten(0, 1).transpose(1, 2).unflatten(-1, size)


@pytest.mark.parametrize("file", golden_files("tpavi/[pr]*_seed*.npz", quick=1))
@torch.no_grad()
def test_whole_models(file):
    golden, case = np.load(file), json.loads(file.with_suffix(".json").read_text())
    model, (inputs, _) = make_model(case), make_inputs(case)
    real, clips = inputs["frame_mask"].flatten(), case["clips"]
    encoded, paths, blocks = [], [[] for _ in range(4)], {name: [] for name in model.blocks}
    stages = [[] for _ in range(4)]
    record(model.vision, encoded)
    for module, kept in [*zip(model.stages, stages, strict=True), *zip(model.decoder.paths, paths, strict=True)]:
        record(module, kept)
    for name, kept in blocks.items():
        record(model.blocks[name].norm, kept)
    mixed = []
    mix = model.mix
    model.mix = lambda *args: mixed.append(mix(*args)) or mixed[0]
    output = model(**inputs)
    for stage in range(4):
        number, skip, step, wide = stage + 1, 8 * clips, (4, 2, 1, 1)[stage], (8, 4, 2, 1)[stage]
        for name, found in (("backbone", encoded[0].feature_maps[stage]), ("conv", stages[stage][0])):
            assert_near(found[:, ::skip, ::step, ::step], golden[f"{name}{number}"])
        found, expected = mixed[0].maps[stage][:, ::skip, ::step, ::step], golden[f"vmap{number}"]
        assert_near(found[real], expected[real.numpy()])
        found, expected = torch.cat(paths[stage])[:, ::skip, ::wide, ::wide], golden[f"path{number}"]
        assert_near(found[real], expected[real.numpy()])
        calls = [name for name in golden if name.startswith(f"tpavi{number}_call")]
        assert len(calls) == len(blocks.get(str(stage), []))
        for name, call in zip(calls, blocks.get(str(stage), []), strict=True):
            maps = grid(call, encoded[0].feature_maps[stage].shape[-2:])[:, ::skip, ::step, ::step]
            assert_near(maps.unflatten(0, (-1, 5)).transpose(1, 2), golden[name])
        if calls:
            assert_near(mixed[0].sounds[stage].unflatten(0, (-1, 5)), golden[f"afea{number}"])
    check_predictions(output, golden["pred"], case)


def check_predictions(output, expected, case):
    if case["variant"] == "avss":
        logits = output.class_logits.transpose(1, 2).flatten(0, 1)
        assert_near(logits[:, :, ::8, ::8], expected)
        shown = logits.argmax(1) != 0
        padded = (logits == 0).all(1)
        assert torch.equal(output.pred_masks.flatten(0, 2) > 0, shown & ~padded)
    else:
        step = 1 if case["hw"][0] * case["hw"][1] < 8192 else 2
        assert_near(output.pred_masks.flatten(0, 2)[:, None, ::step, ::step], expected)


def supported(name, options):
    return not (LEFT_OUT & options.keys() or (options and options.get("norm_fea", True)) or name.startswith("s4_sa"))


@pytest.mark.parametrize("file", golden_files("tpavi/losses.json"))
def test_losses(file):
    for seed, cases in json.loads(file.read_text()).items():
        compared = {name for name, case in cases.items() if supported(name, case["options"])}
        assert compared >= {"s4_bce", "ms3_bce", "ms3_script", "avss_ce", "avss_script"}
        for name in compared:
            term, regularizer = losses_of(name.split("_")[0], int(seed.removeprefix("seed")))
            assert term.item() == pytest.approx(cases[name]["iou_loss"], rel=1e-5, abs=1e-6), name
            if cases[name]["options"]:
                assert regularizer.item() == pytest.approx(cases[name]["sa_loss"], rel=1e-5, abs=1e-6), name


def losses_of(variant, seed):
    classes, frames = (71, 20) if variant == "avss" else (1, 10)
    logits = 2 * det_input("pred", seed, (frames, classes, 32, 32))
    visions = [det_input(f"vmap{i}", seed, (frames, 256, s, s)) for i, s in enumerate((8, 4, 2, 1), 1)]
    sounds = [det_input(f"afea{i}", seed, (frames // 5, 5, 256)).flatten(0, 1) for i in range(1, 5)]
    make = det_fill()
    if variant == "avss":
        logits[:, 0] += 4
        labeled = (torch.arange(20) == 0) | (torch.arange(20) >= 10)
        targets = torch.from_numpy(make.det_labels("mask", seed, (20, 32, 32)))
        costs = F.cross_entropy(logits, targets, reduction="none").mean((-2, -1))
        shown = (logits.argmax(1) != 0).float()
        mapping = audio_visual_mapping(shown, visions, sounds, soft=False)
        return weighted_mean(costs, labeled.float()), weighted_mean(mapping, labeled.float())
    rows = slice(None, None, 5) if variant == "s4" else slice(None)
    targets = torch.from_numpy(make.det_mask("mask", seed, (len(logits[rows]), 32, 32)))
    return mask_bce(logits[rows, 0], targets).mean(), audio_visual_mapping(logits[:, 0], visions, sounds).sum()


def training_inputs(case):
    inputs, labeled = make_inputs(case)
    clips, frames = labeled.shape
    make, seed, size = det_fill(), case["seed"], case["hw"]
    if case["variant"] == "avss":
        targets = torch.from_numpy(make.det_labels("mask", seed, (clips * frames, *size)))
        return {**inputs, "class_labels": targets.unflatten(0, (clips, frames)), "label_mask": labeled}
    labels = torch.zeros(clips, frames, *size)
    if case["variant"] == "s4":
        labels[:, 0] = torch.from_numpy(make.det_mask("mask", seed, (clips, *size)))
        labeled = torch.arange(frames).expand(clips, -1) == 0
    else:
        labels = torch.from_numpy(make.det_mask("mask", seed, (clips * frames, *size))).view_as(labels)
    return {**inputs, "labels": labels, "label_mask": labeled}


def names_here(key):
    """Names here of an official key; of keys and values in one there are two."""
    keys = [key.replace(".kv.", f".{part}.") for part in "kv"] if ".kv." in key else [key]
    return [rename_keys([each], TPAVI_KEYS)[each] for each in keys]


@pytest.mark.parametrize("file", golden_files("tpavi/train_step_*.json", quick=0))
def test_training_steps(file):
    case = json.loads(file.read_text())
    pvt = {"vision_config": pvt_v2_b5_config(drop_path_rate=0.0)} if case["backbone"] == "pvt" else {}
    model = make_model(case, **pvt).train()
    if not case["loss_options"]:
        model.set_loss_weights({"avm": 0.0})
    loss = model(**training_inputs(case)).loss
    loss.backward()
    assert loss.item() == pytest.approx(case["loss"], rel=1e-4)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    share = 2e-2 if case["backbone"] == "res50" else 5e-3
    for key, expected in case["grad_norm"].items():
        found = torch.stack([gradients[name].norm() for name in names_here(key)]).norm().item()
        assert found == pytest.approx(expected, rel=share, abs=1e-4 * case["total_grad_norm"]), key
    trained = {name for key in case["grad_norm"] for name in names_here(key)}
    assert trained == {name for name, gradient in gradients.items() if gradient is not None}
    assert all(key.startswith(UNUSED) for key in case["no_grad"]) or case["loss_options"] == {}
    buffers = dict(model.named_buffers())
    for key, (mean, std) in case["bn_after"].items():
        (name,) = names_here(key)
        assert buffers[name].mean().item() == pytest.approx(mean, rel=1e-3, abs=1e-5), key
        assert buffers[name].std().item() == pytest.approx(std, rel=1e-3, abs=1e-5), key
