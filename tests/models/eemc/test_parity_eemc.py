"""Agreement with the released code of EEMC on deterministic weights."""

import json
import re
from functools import lru_cache

import numpy as np
import pytest
import torch
from golden_eemc import config_of, det_input, make_model

from conftest import golden_files
from lavseg.losses import mask_bce
from lavseg.models.eemc import EemcModel, EemcProcessor
from lavseg.models.eemc.convert_eemc import UNUSED_KEYS, current_name
from lavseg.models.eemc.modeling_eemc import scale_in_two_steps, sum_of_masks

pytestmark = pytest.mark.parity
FULL = np.s_[:]
FUSION = {
    "audio_proj": np.s_[..., ::4],
    "text_proj": np.s_[..., ::4],
    "mha_a_t": np.s_[..., ::4],
    "mha_v_t": np.s_[:, ::8, ::8],
    "cues_mm": np.s_[:, :, ::4, ::8],
    "mha_mm": np.s_[:, :, ::4, ::8],
}


# The files are read in the order of their names, so that one model at a time is enough.
@lru_cache(maxsize=1)
def model_of(size, across_clips):
    return make_model(size, across_clips=across_clips)


def assert_near(found, golden, name, where=FULL, tolerance=2e-5):
    difference = np.abs(found.detach().numpy()[where] - golden[name]).max()
    assert difference <= tolerance, f"{name}: {difference}"


def assert_mostly_near(found, golden, name, where=FULL):
    """After the decoder, where mask logits next to zero may fall on either side: 99 % within 2e-5 of the largest value
    and all within 2e-3 of it."""
    expected = golden[name]
    difference = np.abs(found.detach().numpy()[where] - expected) / np.abs(expected).max()
    assert np.quantile(difference, 0.99) <= 2e-5 and difference.max() <= 2e-3, f"{name}: {difference.max()}"


def inputs_of(seed, clips, seconds):
    return det_input("audio", seed, (clips, seconds, 128)), det_input("text", seed, (clips, 25, 768))


class Kept(dict):
    """What modules return, by a name for each; of one that runs several times, all of it in a list."""

    def __init__(self, **modules):
        super().__init__({name: [] for name in modules})
        for name, module in modules.items():
            module.register_forward_hook(lambda module, args, output, name=name: self[name].append((args, output)))

    def outputs(self, name):
        return [output for _, output in self[name]]


def keep_fusion(fusion):
    parts = {"audio_proj": fusion.audio_proj, "text_proj": fusion.text_proj, "prompt": fusion.prompt_proj}
    return Kept(**parts, mha_a_t=fusion.audio_text, mha_v_t=fusion.image_text)


def check_fusion(kept, cues, golden, prompt_at):
    for name in ("audio_proj", "text_proj", "mha_a_t", "mha_v_t"):
        found = torch.cat(kept.outputs(name))
        found = found.view(len(cues), -1, found.shape[-1])
        assert_near(found, golden, name, FUSION[name])
    assert_near(cues, golden, "cues_mm", FUSION["cues_mm"])
    mixed = torch.cat([args[0] for args, _ in kept["prompt"]])
    assert_near(mixed.view_as(cues), golden, "mha_mm", FUSION["mha_mm"])
    assert_near(torch.cat(kept.outputs("prompt")).flatten(0, 1), golden, "prompt", prompt_at)


@pytest.mark.parametrize("file", golden_files("eemc/fusion_*.npz"))
@torch.no_grad()
def test_fusion(file):
    golden = np.load(file)
    seed, clips, frames, seconds = golden["meta"].tolist()
    fusion = model_of("tiny", True).fusion
    maps = det_input("encoder_map", seed, (clips * frames, 1024, 12, 12)).unflatten(0, (clips, frames))
    audio, text = inputs_of(seed, clips, seconds)
    kept = keep_fusion(fusion)
    cues = torch.cat([fusion.cues(maps[clip], audio[clip], text[clip, None]) for clip in range(clips)])
    prompts = fusion.prompts(cues)
    full = golden["prompt"].shape[1] == prompts.shape[2]
    check_fusion(kept, cues, golden, FULL if full else np.s_[:, ::2, ::2])


@pytest.mark.parametrize("file", golden_files("eemc/query_attention_*.npz"))
@torch.no_grad()
def test_query_attention(file):
    seed, clips, length = (int(number) for number in re.search(r"seed(\d+)_b(\d+)l(\d+)", file.stem).groups())
    target, source = det_input("target", seed, (100, clips, 256)), det_input("source", seed, (clips, length, 256))
    found = model_of("tiny", True).query_attention(target.transpose(0, 1), source)
    assert_near(found.transpose(0, 1), np.load(file), "out")


@pytest.mark.parametrize("file", golden_files("eemc/post_process_*.npz"))
def test_post_processing(file):
    seed, count = (int(number) for number in re.search(r"seed(\d+)_n(\d+)", file.stem).groups())
    classes = 3 * det_input("class_logits", seed, (count, 100, 151))
    masks = sum_of_masks(classes, 5 * det_input("mask_logits", seed, (count, 100, 96, 96)))
    found = scale_in_two_steps(masks[:, None], (256, 256))[:, 0]
    assert_near(found, np.load(file), "out", np.s_[:, ::2, ::2], 1e-4)


@pytest.mark.parametrize("file", golden_files("eemc/image_*.npz"))
def test_images(file, tokenizer):
    seed, height, width = (int(number) for number in re.search(r"seed(\d+)_(\d+)x(\d+)", file.stem).groups())
    coarse = np.clip(np.round(det_input("image", seed, (height // 4, width // 4, 3)).numpy() * 50 + 120), 0, 255)
    frame = torch.from_numpy(coarse.astype(np.uint8).repeat(4, 0).repeat(4, 1)).permute(2, 0, 1)
    processor = EemcProcessor.from_config(config_of("tiny"), tokenizer)
    assert_near(
        processor.image_inputs([frame])["pixel_values"][0], np.load(file), "pixel_values", np.s_[:, ::3, ::3], 1e-6
    )


def labels_of(seed, clips, frames):
    coarse = (det_input("labels", seed, (clips, frames, 8, 8)) > 0.5).float()
    return coarse.repeat_interleave(32, -1).repeat_interleave(32, -2)


def loss_of(model, seed, clips, frames, seconds):
    """Scaled logits `[clips * frames, 256, 256]` and the release's loss of a golden case."""
    pixels = det_input("pixel_values", seed, (clips, frames, 3, 384, 384))
    audio, text = inputs_of(seed, clips, seconds)
    masks = torch.cat(
        [each[0] for each in model.segment([model.embed_frames(each) for each in pixels], [*audio], text[:, None])]
    )
    logits = model.scale_masks(masks, (256, 256))
    return logits, mask_bce(logits, labels_of(seed, clips, frames).flatten(0, 1)).mean()


def check_host(kept, golden):
    features = kept.outputs("host")
    assert_near(torch.cat([each.encoder_map for each in features]), golden, "encoder_last_hidden_state", np.s_[:, ::4])
    assert_near(torch.cat([each.mask_features for each in features]), golden, "mask_features", np.s_[:, ::8, ::4, ::4])
    for index, step in enumerate((1, 2, 4)):
        level = torch.cat([each.levels[index] for each in features])
        assert_near(level, golden, f"multi_scale{index}", np.s_[:, ::8, ::step, ::step])
    queries = torch.cat(kept.outputs("queries"))
    assert_near(queries, golden, "query_features", np.s_[:, ::2, ::2])
    assert_mostly_near(torch.cat(kept.outputs("classes")), golden, "class_logits_0_null", np.s_[..., (0, -1)])
    states = torch.cat([decoded.last_hidden_state for decoded in kept.outputs("decoder")])
    assert_mostly_near(states, golden, "decoder_last_hidden_state", np.s_[..., ::4])
    masks = torch.cat([decoded.masks_queries_logits[-1] for decoded in kept.outputs("decoder")])
    assert_mostly_near(masks, golden, "mask_logits", np.s_[:, ::5, ::6, ::6])


def whole_cases():
    return [*golden_files("eemc/base_*.npz", quick=0), *golden_files("eemc/tiny_*.npz", quick=1)]


@pytest.mark.parametrize("file", whole_cases())
@torch.no_grad()
def test_whole_model(file):
    golden = np.load(file)
    seed, clips, frames, seconds = golden["meta"].tolist()
    model = model_of(file.stem.split("_")[0], True)
    host, module = model.mask2former, model.mask2former.model.transformer_module
    kept, cues = keep_fusion(model.fusion), []
    parts = {"host": host, "queries": model.query_attention, "classes": host.class_predictor, "decoder": module.decoder}
    kept_host = Kept(**parts)
    integrate = model.fusion.integrate
    model.fusion.integrate = lambda given: (cues.append(given), integrate(given))[1]
    logits, loss = loss_of(model, seed, clips, frames, seconds)
    del model.fusion.integrate
    check_fusion(kept, cues[0], golden, np.s_[:, ::2, ::4])
    check_host(kept_host, golden)
    assert_mostly_near(logits, golden, "pred", np.s_[:, ::2, ::2])
    assert loss.item() == pytest.approx(float(golden["loss"]), rel=1e-5)
    if "mask_logits_no_prompt" in golden:
        features = kept_host.outputs("host")
        found = [
            host.decode(each, host.start_queries(torch.device("cpu")).expand(frames, -1, -1)).masks for each in features
        ]
        assert_mostly_near(torch.cat(found), golden, "mask_logits_no_prompt", np.s_[:, ::10, ::8, ::8])


@pytest.mark.parametrize("file", golden_files("eemc/train_step_*.json", quick=0))
def test_gradients(file):
    golden = json.loads(file.read_text())
    size, *numbers = re.search(r"train_step_(\w+)_seed(\d+)_b(\d+)t(\d+)a(\d+)", file.stem).groups()
    model = make_model(size, across_clips=True)
    host_and_fusion = [model.mask2former, model.fusion, model.query_attention]
    counts = [(p.numel(), p.requires_grad) for part in host_and_fusion for p in part.parameters()]
    assert sum(count for count, _ in counts) == golden["parameters"]
    assert sum(count for count, trains in counts if trains) == golden["trainable"]
    _, loss = loss_of(model, *map(int, numbers))
    loss.backward()
    assert loss.item() == pytest.approx(golden["loss"], rel=1e-5)
    found = {name: p.grad.norm().item() for name, p in model.named_parameters() if p.grad is not None}
    expected = {current_name(key): value for key, value in golden["grad_l2"].items()}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if not name.endswith("key_embedding.bias"):  # zero in theory
            assert found[name] == pytest.approx(value, rel=1e-3), name


@pytest.mark.parametrize("file", golden_files("eemc/keys_*.json"))
def test_the_keys_of_the_released_model_fill_the_whole_model(file):
    shapes = {key: shape for key, shape in json.loads(file.read_text()).items() if not UNUSED_KEYS.search(key)}
    with torch.device("meta"):
        state = EemcModel(config_of(file.stem.removeprefix("keys_"))).state_dict()
    expected = {name: [*value.shape] for name, value in state.items() if not name.startswith(("audio_en", "text_en"))}
    assert {current_name(key): shape for key, shape in shapes.items()} == expected
