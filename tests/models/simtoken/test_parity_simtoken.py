"""Agreement with the released code of SimToken on deterministic weights."""

import json
import re
import shutil
from functools import cache

import numpy as np
import pytest
import torch
from golden_simtoken import cells, det_input, det_uniform, golden_tokenizer, inputs_of, make_model, released_state

from conftest import golden_files
from lavseg.backbones.sam.configuration_sam import vit_sam_config
from lavseg.backbones.vggish import VggishOutput
from lavseg.losses import mask_bce, mask_dice
from lavseg.metrics import AvsMetric
from lavseg.modeling.encoders import load_tokenizer
from lavseg.models.simtoken import SimTokenConfig, SimTokenModel, SimTokenProcessor
from lavseg.models.simtoken.convert_simtoken import LORA_SCALE, UNUSED_KEYS, current_names
from lavseg.models.simtoken.loss_simtoken import PromptBank, alignment
from lavseg.models.simtoken.merging_simtoken import assign_clusters, mean_of_clusters, merge_clip, no_noise
from lavseg.models.simtoken.prompt_simtoken import LEARNED, PromptWriter, lay_out
from lavseg.models.simtoken.scaling_simtoken import size_without_padding

pytestmark = pytest.mark.parity
SEG = 512
LEVELS = ((64, 5), (32, 3), (16, 3))


@cache
def model_without_noise():
    return make_model(merge_noise=False)


@cache
def writer():
    return PromptWriter(golden_tokenizer(), "release", SEG)


def assert_near(found, golden, name, tolerance=2e-5):
    difference = np.abs(np.asarray(found.detach()) - golden).max()
    assert difference <= tolerance, f"{name}: {difference}"


def tokens_of(seed, shape, groups):
    if not groups:
        return det_input("tokens", seed, shape)
    batch, count, width = shape
    centres = det_input("centres", seed, (batch, groups, width))
    assigned = (det_uniform("assign", seed, (batch, count)) * groups).floor().long()
    jitter = det_input("jitter", seed, shape)
    return centres.gather(1, assigned[..., None].expand(-1, -1, width)) + 0.3 * jitter


def check_level(tokens, clusters, neighbours, noise, golden, names=("assignment", "merged")):
    assigned = assign_clusters(tokens, clusters, neighbours, noise)
    np.testing.assert_array_equal(assigned, golden[names[0]])
    merged = mean_of_clusters(tokens, assigned, clusters)
    assert_near(merged[..., :: max(1, tokens.shape[-1] // 64)], golden[names[1]], names[1], 2e-6)


@pytest.mark.parametrize("file", golden_files("simtoken/merge_level_*.npz"))
def test_a_level_of_merging(file):
    golden = np.load(file)
    seed, batch, count, width, clusters, neighbours, groups = golden["meta"].tolist()
    tokens = tokens_of(seed, (batch, count, width), groups)
    check_level(tokens, clusters, neighbours, torch.zeros(batch, count), golden)


@pytest.mark.parametrize("file", golden_files("simtoken/merge_few_*.npz"))
def test_fewer_clusters_than_neighbours(file):
    golden = np.load(file)
    seed, count, width = map(int, re.findall(r"\d+", file.stem))
    tokens = det_input("tokens", seed, (1, count, width))
    for name in golden.files:
        if name.startswith("assign_n"):
            clusters = int(name.removeprefix("assign_n"))
            noise = det_uniform(f"noise.n{clusters}", seed, (1, count))
            check_level(tokens, clusters, 5, noise, golden, (name, f"merged_n{clusters}"))


@pytest.mark.parametrize("file", golden_files("simtoken/merge_tie_*.npz"))
def test_tokens_that_are_the_same(file):
    seed, count, width, clusters = map(int, re.findall(r"\d+", file.stem))
    tokens = det_input("tokens", seed + 5, (1, count // 4, width)).repeat_interleave(4, 1)
    check_level(tokens, clusters, 5, det_uniform("noise.tie", seed, (1, count)), np.load(file))


@pytest.mark.parametrize("file", golden_files("simtoken/merge_clip_*.npz"))
def test_a_clip_is_merged(file):
    golden = np.load(file)
    seed, frames, count, width, groups, _ = golden["meta"].tolist()
    patches = tokens_of(seed, (frames, count, width), groups)
    channels = np.s_[..., :: max(1, width // 64)]
    merged = merge_clip(patches, LEVELS, 5, no_noise)
    for name, found in (("frame_means", merged.frames), ("video", merged.video), ("image", merged.image)):
        assert_near(found[channels], golden[f"{name}_zero"], name, 2e-6)

    def named(name, shape):
        return det_uniform(name if name.startswith("event") else f"video.{name}", seed, shape)

    assert_near(merge_clip(patches, LEVELS, 5, named).video[channels], golden["video_named"], "video_named", 2e-6)


@pytest.mark.parametrize("file", golden_files("simtoken/prompt.json"))
def test_prompts_and_their_labels(file):
    for golden in json.loads(file.read_text()):
        tokens, marks = writer().write(golden["sentence"])
        assert tokens == golden["input_ids"], golden["sentence"]
        learned = [token if mark == LEARNED else -100 for token, mark in zip(tokens, marks, strict=True)]
        assert learned == golden["labels"], golden["sentence"]


@pytest.mark.parametrize("file", golden_files("simtoken/prompt.json"))
def test_a_folder_with_a_tokenizer_of_sentencepiece_gives_the_same_prompts(file, tmp_path):
    """As Chat-UniVi's is: of a type of its own, without the tokenizer's file of Transformers."""
    pytest.importorskip("sentencepiece", reason="reads tokenizer.model, and is not installed")
    shutil.copy(file.parent / "tiny_tokenizer.model", tmp_path / "tokenizer.model")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    (tmp_path / "config.json").write_text('{"model_type": "ChatUniVi"}')
    writer = PromptWriter(load_tokenizer("language", tmp_path), "release", SEG)
    for golden in json.loads(file.read_text()):
        assert writer.write(golden["sentence"])[0] == golden["input_ids"], golden["sentence"]


def prompts_of(sentences):
    """Prompts of clips about each of which there is one sentence, right-padded."""
    rows = [writer().write(sentence) for sentence in sentences]
    padded = [
        torch.nn.utils.rnn.pad_sequence(list(map(torch.tensor, of)), batch_first=True) for of in zip(*rows, strict=True)
    ]
    return {name: of[:, None] for name, of in zip(("input_ids", "attention_mask"), padded, strict=True)}


@torch.no_grad()
def check_clip(model, golden, row, info, inputs, prompt):
    """What is made of one clip on the way, and its prompt token."""
    images, patches = model.embed_frames(inputs["pixel_values"], inputs["clip_pixel_values"])
    frames = len(patches)
    assert_near(patches[:, ::8, ::2], golden["clip_features"][row * frames : (row + 1) * frames], "clip_features")
    assert_near(images[:, ::8, ::2, ::2], golden[f"sam_features{row}"], "sam_features")
    assert_near(model.audio_feature_layer(inputs["audio"]), golden["audio"][row], "audio")
    prefix = model.embed_prefix(prompt, patches, inputs["audio"])
    whole = torch.cat([prefix, model._embed(prompt.suffixes[0])])
    count = golden["attention_mask"][row].sum()
    assert len(whole) == count
    assert_near(whole, golden["inputs_embeds"][row][:count], "inputs_embeds")
    states = model.language_model(inputs_embeds=whole[None]).last_hidden_state[0]
    kept = -(-int(count) // 8)
    assert_near(states[::8], golden["hidden_last"][row][:kept], "hidden_last")
    labels = np.full(len(whole), -100)
    labels[[len(prefix) + place for place in prompt.learned[0]]] = [prompt.suffixes[0][i] for i in prompt.learned[0]]
    np.testing.assert_array_equal(labels, golden["labels"][row][:count])
    read = model.read(prompt, prefix)
    assert_near(read[0], golden["read"][row], "read")
    token = model.text_hidden_fcs(read)
    assert_near(token[0], golden["seg"][row], "seg")
    masks, scores, _ = model.segment([images], token)
    assert_near(masks[0][:, None], golden[f"low_res{row}"], "low_res")
    assert_near(scores[0][:, None], golden[f"iou{row}"], "iou")
    assert_near(model.scale_masks(masks[0], tuple(info["orig"][row]))[None, :, ::4, ::4], golden[f"pred{row}"], "pred")
    return model.scale_masks(masks[0], tuple(info["orig"][row]))


@pytest.mark.parametrize("file", golden_files("simtoken/e2e_*.npz", quick=1))
def test_the_whole_model_and_its_scores(file):
    golden, info = np.load(file), json.loads(file.with_suffix(".json").read_text())
    given = prompts_of(info["sentences"])
    np.testing.assert_array_equal(given["input_ids"][:, 0], golden["input_ids"])
    for row, size in enumerate(info["orig"]):
        inputs = inputs_of(info["seed"] * 100 + row, info["T"], info["A"], size)
        marks = given["attention_mask"][row].tolist()
        model = model_without_noise()
        prompt = lay_out(given["input_ids"][row].tolist(), marks, SEG, SEG + 1)
        pred = check_clip(model, golden, row, info, inputs, prompt)
        if len(info["orig"]) > 1:  # one frame is empty where a batch was run
            inputs["labels"][3] = 0
        check_scores(pred, inputs["labels"], info["metrics"][row])


def check_scores(logits, truth, expected):
    metric = AvsMetric("simtoken")
    metric.update(logits, truth)
    found = metric.compute()
    for name, key in (("jaccard", "J"), ("f_score", "F"), ("s", "S")):
        assert found[name] == pytest.approx(expected[key], abs=1e-5), name


@pytest.mark.parametrize("file", golden_files("simtoken/metrics_*.json"))
def test_scores(file):
    golden = json.loads(file.read_text())
    for index, info in enumerate(golden["sentences"]):
        shape = (info["T"], 1, info["H"], info["W"])
        drawn = [det_input(name, golden["seed"] + index, shape) for name in ("m_pred", "m_gt")]
        smooth = [torch.nn.functional.avg_pool2d(values, 9, 1, 4)[:, 0] for values in drawn]
        predicted, other = (values / values.std() for values in smooth)
        truth = 0.6 * other + 0.4 * predicted > 0.6
        truth[info["empty"]] = False
        check_scores(2 * predicted, truth, info)


@pytest.mark.parametrize("file", golden_files("simtoken/losses_*.json"))
def test_losses(file):
    golden = json.loads(file.read_text())
    seed = golden["seed"]
    logits = det_input("loss_logits", seed, (5, 40, 60)) * 3
    targets = (det_input("loss_target", seed, (5, 40, 60)) > 0.3).float()
    targets[2] = 0
    for name, loss in (("bce", mask_bce), ("dice", mask_dice)):
        costs = loss(logits, targets)
        assert_near(costs, np.array(golden[f"{name}_frames"]), name)
        assert_near(costs.mean(), golden[name], name)
    bank = PromptBank()
    for step, batch in enumerate(golden["alignment"]):
        prompts = det_input(f"bank_query{step}", seed, (3, 16))
        objects = list(zip(batch["vids"], batch["fids"], strict=True))
        assert [len(bank.of(*of)) for of in objects] == batch["positives"]
        assert_near(alignment(prompts, objects, bank, contrastive=False), batch["loss"], f"alignment {step}")
        bank.add(prompts, objects)


class GivenSound(torch.nn.Module):
    """Stands in for the encoder of sound, whose embeddings `[B, A, 128]` are given."""

    def __init__(self, embeddings):
        super().__init__()
        self.found = VggishOutput(embeddings[:, :, None])

    def forward(self, input_features):
        return self.found


def train_on(model, batch, frames, rows, size, empty):
    samples = [inputs_of(batch["sample_seed"] * 100 + row, frames, rows, size) for row in range(2)]
    given = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
    given["labels"][:, empty] = 0
    model.audio_encoder = GivenSound(given.pop("audio"))
    model.zero_grad()
    outputs = model(
        **given,
        **prompts_of(batch["sentences"]),
        input_features=torch.zeros(2, rows, 1, 96, 64),
        object_ids=torch.tensor([[[0, fid]] for fid in batch["fids"]]),
    )
    outputs.loss.backward()
    return outputs


def gradient_norms(model, state):
    """Those of what the release trains, by its names; of LoRA from the gradient of the weight that it was added to."""
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    norms = {}
    for key in state:
        if ".lora_" not in key:
            gradient = found.get(current_names(key)[0])
        else:
            whole = found[current_names(key.split(".lora_")[0] + ".weight")[0]]
            if ".lora_A." in key:
                gradient = LORA_SCALE * state[key.replace("lora_A", "lora_B")].T @ whole
            else:
                gradient = LORA_SCALE * whole @ state[key.replace("lora_B", "lora_A")].T
        norms[key] = None if gradient is None else gradient.norm().item()
    return norms


@pytest.mark.slow
@pytest.mark.parametrize("file", golden_files("simtoken/train_*.json"))
def test_training_steps(file):
    golden = json.loads(file.read_text())
    model = make_model(merge_noise=False).train()
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name, parameter in model.named_parameters():
        if re.search(r"language_model.*\.[qv]_proj", name):
            parameter.requires_grad = True
    for batch in golden["batches"]:
        outputs = train_on(model, batch, golden["T"], golden["A"], golden["orig"], golden["empty_frames"])
        terms = {"ce_loss": "ce", "mask_bce_loss": "bce", "mask_dice_loss": "dice"}
        for name, term in terms.items():
            assert_near(outputs.loss_dict[term], batch[name], name)
        assert_near(outputs.loss_dict["alignment"] / 0.1, batch["ct_loss"], "ct_loss")
        assert_near(outputs.loss, batch["loss"], "loss")
    expected, state = golden["gradient_norms_of_last_batch"], released_state()
    norms = gradient_norms(model, state)
    for key, norm in expected.items():
        assert norms[key] == pytest.approx(norm, rel=2e-4, abs=1e-5), key
    assert all(norms[key] is None for key in golden["trainable_without_gradient"])
    own = {current_names(key)[0] for key in (*expected, *golden["trainable_without_gradient"]) if ".lora_" not in key}
    assert own == trained
    rows = {"embed_tokens": model.language_model.embed_tokens, "lm_head": model.lm_head}
    for name, norm in golden["gradient_of_seg_row"].items():
        assert rows[name].weight.grad[SEG].norm().item() == pytest.approx(norm, rel=1e-4), name


@pytest.mark.parametrize("file", golden_files("simtoken/keys_full.json"))
def test_every_key_of_the_released_file_has_its_place(file):
    shapes = {key: tuple(shape) for key, shape in json.loads(file.read_text()).items() if not UNUSED_KEYS.search(key)}
    found = {name: shape for key, shape in shapes.items() if ".lora_" not in key for name in current_names(key)}
    with torch.device("meta"):
        expected = {name: tuple(value.shape) for name, value in SimTokenModel(SimTokenConfig()).state_dict().items()}
    assert found == {name: shape for name, shape in expected.items() if not name.startswith("audio_encoder.")}


@pytest.mark.parametrize("file", golden_files("simtoken/image_*.npz"))
def test_frames_become_inputs(file):
    golden = np.load(file)
    seed, height, width = map(int, re.findall(r"\d+", file.stem))
    drawn = det_input("image", seed, (height // 8, width // 8, 3)).permute(2, 0, 1)
    frame = cells((drawn * 50 + 120).round().clamp(0, 255), 8).to(torch.uint8)
    model = SimTokenConfig(sam_config=vit_sam_config("base"))
    inputs = SimTokenProcessor.from_config(model, golden_tokenizer()).image_inputs([frame])
    assert_near(inputs["clip_pixel_values"][0][:, ::2, ::2], golden["clip"], "clip", 1e-6)
    assert_near(inputs["pixel_values"][0][:, ::8, ::8], golden["sam"], "sam", 1e-6)
    assert size_without_padding((height, width), 1024) == tuple(golden["resize"])
