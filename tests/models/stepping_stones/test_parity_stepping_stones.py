"""Agreement with the released code of Stepping-Stones on deterministic weights."""

import json
import re
from functools import lru_cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_stepping_stones import CLASSES, class_maps, config_of, make_model, prior_masks, released_shapes

from conftest import GOLDEN, golden_files
from lavseg.backbones.mask2former.modeling_mask2former import QueryPredictions
from lavseg.data import ClipCollator, load_avsbench
from lavseg.metrics.protocols import AvsMetric
from lavseg.metrics.semantic import class_statistics
from lavseg.models.stepping_stones import SteppingStonesOutput, SteppingStonesProcessor
from lavseg.models.stepping_stones.convert_stepping_stones import current_name, released_class
from lavseg.models.stepping_stones.loss_stepping_stones import FrameTargets, clip_losses, level_losses, match
from lavseg.models.stepping_stones.outputs_stepping_stones import class_scores
from pyramid_reference import det_input

pytestmark = pytest.mark.parity
FULL = np.s_[:]
SIZE = 384
WEIGHTS = torch.tensor([2.0, 5.0, 5.0], dtype=torch.float64)
TERMS = ("class", "mask", "dice")


# The files are read in the order of their names, so that one model at a time is enough.
@lru_cache(maxsize=1)
def model_of(kind, size):
    return make_model(kind, size)


def assert_near(found, golden, name, where=FULL, tolerance=2e-5):
    difference = np.abs(found.detach().numpy()[where] - golden[name]).max()
    assert difference <= tolerance, f"{name}: {difference}"


def assert_mostly_near(found, golden, name, where=FULL):
    """After the decoder, where mask logits next to zero may fall on either side: 99 % within 2e-5 of the largest value
    and all within 2e-3 of it."""
    expected = golden[name]
    difference = np.abs(found.detach().numpy()[where] - expected) / np.abs(expected).max()
    assert np.quantile(difference, 0.99) <= 2e-5 and difference.max() <= 2e-3, f"{name}: {difference.max()}"


def scaled(scores, size=224):
    return F.interpolate(scores, (size, size), mode="bilinear")


class Kept(dict):
    """What a model's parts were given and returned, by name, of one forward pass."""

    def __init__(self, model):
        super().__init__()
        decoder = model.mask2former.model.transformer_module.decoder
        for name, part in {"decoder": decoder, "layer": decoder.layers[0], "prompt": model.audio_projection}.items():
            part.register_forward_hook(lambda *found, name=name: self.keep(name, found), with_kwargs=True)

    def keep(self, name, found):
        self.setdefault(name, found)


def run_case(file):
    """A golden case, the model, what went through it, and what queries say before the first layer and after each."""
    golden = np.load(file)
    kind, size = file.stem.split("_")[:2]
    seed, frames = golden["meta"].tolist()
    soft, silent = file.stem.endswith("_soft"), file.stem.endswith("_empty")
    model = model_of(kind, size)
    kept = Kept(model)
    features = model.embed_frames(det_input("pixel_values", seed, (frames, 3, SIZE, SIZE)))
    queries = model.prompt(det_input("audio", seed, (frames, 128)))
    known = model.prior and model.prior(prior_masks(seed, frames, soft), features)
    levels = model.mask2former.decode_every_layer(features, queries, known)
    return golden, model, kept, (features, queries, known), levels, class_maps(kind, seed, frames, silent)


def check_host(golden, kept, features, queries, known):
    assert_near(features.encoder_map, golden, "encoder_last_hidden_state", np.s_[:, ::8])
    for index, step in enumerate((1, 2, 4)):
        assert_near(features.levels[index], golden, f"multi_scale{index}", np.s_[:, ::8, ::step, ::step])
    _, args, kwargs, _ = kept["layer"]
    if known is not None:
        for index, step in enumerate((1, 2, 4)):
            positions = args[3][index].permute(1, 2, 0).unflatten(2, features.levels[index].shape[-2:])
            assert_near(positions, golden, f"key_positions{index}", np.s_[:, ::8, ::step, ::step])
    assert_near(kept["decoder"][1][4], golden, "mask_features", np.s_[:, ::8, ::4, ::4])
    assert_near(queries, golden, "query_features", np.s_[:, ::2, ::2])
    blocked = kwargs["encoder_attention_mask"].unflatten(0, (len(queries), -1))
    assert torch.equal(blocked, blocked[:, :1].expand_as(blocked))
    assert np.array_equal(np.packbits(blocked[:, 0].numpy()), golden["first_attention_blocked"])


def check_losses(golden, levels, maps, seed, tied):
    targets = FrameTargets.of(maps, SIZE, levels[-1].class_logits.shape[-1] - 1)
    torch.manual_seed(seed)
    found = [level_losses(level, targets) for level in (levels[-1], *levels[:-1])]
    weighted = np.array([[loss[term].item() for term in TERMS] for loss in found]) * WEIGHTS.numpy()
    assert np.allclose(weighted, golden["losses"], rtol=1e-2 if tied else 1e-4, atol=1e-4)
    assert weighted.sum() == pytest.approx(float(golden["loss"]), rel=1e-3 if tied else 1e-4)


def whole_cases():
    return [
        *golden_files("stepping_stones/avs_base_*.npz", quick=0),
        *golden_files("stepping_stones/avs_tiny_*.npz", quick=1),
        *golden_files("stepping_stones/avss_base_*.npz", quick=0),
        *golden_files("stepping_stones/avss_tiny_*.npz", quick=0),
    ]


@pytest.mark.parametrize("file", whole_cases())
@torch.no_grad()
def test_whole_model(file):
    golden, model, kept, given, levels, maps = run_case(file)
    kind, tied = file.stem.split("_")[0], file.stem.endswith("_soft")
    assert_near(kept["prompt"][3], golden, "audio_prompt")
    places = model.mask2former.query_places(torch.device("cpu"))
    assert_near(F.cosine_similarity(places, kept["prompt"][3][:, None], dim=-1), golden, "cosine")
    check_host(golden, kept, *given)
    assert_mostly_near(kept["decoder"][3].last_hidden_state, golden, "decoder_last_hidden_state", np.s_[:, ::2, ::4])
    check_losses(golden, levels, maps, int(golden["meta"][0]), tied)
    # At inference, only the last masks are made in full.
    found = model.mask2former.decode(*given)
    assert_mostly_near(found.class_logits, golden, "class_logits")
    assert_mostly_near(found.masks, golden, "mask_logits", np.s_[:, :: 2 if kind == "avs" else 6, ::6, ::6])
    scores = scaled(torch.stack([class_scores(*each, SIZE) for each in zip(*found, strict=True)]))
    where = np.s_[..., ::2, ::2] if kind == "avs" else np.s_[:, ::6, ::4, ::4]
    assert_mostly_near(scores, golden, "scores", where)
    check_prediction(golden, scores, maps)


def check_prediction(golden, scores, maps):
    classes = scores.argmax(1)
    if scores.shape[1] == 2:
        assert np.array_equal(np.packbits(classes.bool().numpy()), golden["prediction"])
        metric = AvsMetric("stepping_stones")
        metric.update(scores[:, 1] - scores[:, 0], maps, 2 * scores[:, 1] - scores[:, 0])
        values = metric.compute()
        assert values["jaccard"] == pytest.approx(float(golden["metric_j"]), abs=1e-6)
        assert values["f_score"] == pytest.approx(float(golden["metric_f"]), abs=1e-6)
    else:
        assert np.array_equal(classes.numpy(), golden["prediction"])
        sums = class_statistics(classes, maps, 71).numpy()
        for row, name in zip(sums, ("metric_iou_sum", "metric_f_sum", "metric_count"), strict=True):
            assert np.abs(row - golden[name]).max() <= 1e-5, name


@pytest.mark.parametrize("file", golden_files("stepping_stones/*_post_process_*.npz"))
@torch.no_grad()
def test_post_processing(file):
    kind, seed, frames = re.search(r"(avss?)_post_process_seed(\d+)_n(\d+)", file.stem).groups()
    seed, frames, golden = int(seed), int(frames), np.load(file)
    queries = 30 if kind == "avs" else 100
    found = QueryPredictions(
        3 * det_input("class_logits", seed, (frames, queries, CLASSES[kind] + 1)),
        5 * det_input("mask_logits", seed, (frames, queries, 96, 96)),
    )
    scores = torch.stack([class_scores(*each, SIZE) for each in zip(*found, strict=True)])
    if kind == "avs":
        scores = scaled(scores)
        assert_near(scores, golden, "scores", np.s_[..., ::2, ::2], 1e-5)
        outputs = SteppingStonesOutput(class_scores=scores.transpose(0, 1)[None])
        assert torch.equal(outputs.curve_masks[0, 0], 2 * scores[:, 1] - scores[:, 0])
        check_prediction(golden, scores, class_maps(kind, seed, frames, silent_last=True))
        return
    classes = scaled(scores).argmax(1)
    assert np.array_equal(classes.numpy(), golden["prediction"])
    truth = (50 * det_input("labels", seed, (frames, 8, 8)).abs()).floor().long() % 71
    right = det_input("right", seed, (frames, 8, 8)) > 0
    truth, right = (each.repeat_interleave(28, -1).repeat_interleave(28, -2) for each in (truth, right))
    check_prediction(golden, scaled(scores), torch.where(right, classes, truth))


@pytest.mark.parametrize("file", golden_files("stepping_stones/*_criterion_*.json"))
def test_criterion(file):
    golden, kind = json.loads(file.read_text()), file.stem.split("_")[0]
    seed, frames = golden["seed"], golden["frames"]
    queries = 30 if kind == "avs" else 100
    class_logits = (2 * det_input("class_logits", seed, (frames, queries, CLASSES[kind] + 1))).requires_grad_()
    coarse = 4 * det_input("mask_logits", seed, (frames, queries, 12, 12))
    masks = F.interpolate(coarse, (96, 96), mode="bilinear").requires_grad_()
    targets = FrameTargets.of(class_maps(kind, seed, frames, silent_last=True), SIZE, CLASSES[kind])
    check_targets(golden, targets, file.parent / f"{kind}_targets_seed{seed}.npz")
    torch.manual_seed(seed)
    rows, found, matched = match(class_logits, masks, targets)
    starts = np.cumsum([0, *targets.counts])
    for frame, (expected, labels) in enumerate(zip(golden["matched_queries"], golden["matched_labels"], strict=True)):
        assert found[rows == frame].tolist() == expected
        assert (matched[rows == frame] - starts[frame]).tolist() == labels
    torch.manual_seed(seed)
    losses = clip_losses([QueryPredictions(class_logits, masks)], targets)
    names = {"class": "loss_cross_entropy", "mask": "loss_mask", "dice": "loss_dice"}
    assert {names[term]: value.item() for term, value in losses.items()} == pytest.approx(golden["losses"], rel=1e-5)
    total = sum(weight * losses[term] for weight, term in zip(WEIGHTS.tolist(), TERMS, strict=True))
    assert total.item() == pytest.approx(golden["total_weighted"], rel=1e-5)
    total.backward()
    norms = {"class_logits": class_logits.grad.norm().item(), "mask_logits": masks.grad.norm().item()}
    assert norms == pytest.approx(golden["gradient_norms"], rel=1e-3)


def check_targets(golden, targets, file):
    classes, masks = targets.classes.split(targets.counts), targets.masks.split(targets.counts)
    assert [each.tolist() for each in classes] == golden["class_labels"]
    assert [each.sum((1, 2)).tolist() for each in masks] == golden["mask_label_areas"]
    with np.load(file) as packed:
        for frame, each in enumerate(masks):
            assert np.array_equal(np.packbits(each.numpy()), packed[f"mask_labels_{frame}"])


@pytest.mark.parametrize("file", golden_files("stepping_stones/image_*.npz"))
def test_images(file):
    seed, height, width = (int(number) for number in re.search(r"seed(\d+)_(\d+)x(\d+)", file.stem).groups())
    coarse = np.clip(np.round(det_input("image", seed, (height // 4, width // 4, 3)).numpy() * 50 + 120), 0, 255)
    frame = torch.from_numpy(coarse.astype(np.uint8).repeat(4, 0).repeat(4, 1)).permute(2, 0, 1)
    processor = SteppingStonesProcessor.from_config(config_of("avs", "tiny"))
    found = processor.image_inputs([frame])["pixel_values"][0]
    assert_near(found, np.load(file), "pixel_values", np.s_[:, ::3, ::3], 1e-6)


@pytest.mark.parametrize("file", golden_files("stepping_stones/*_loader.json"))
def test_loaders(file):
    kind, golden = file.stem.split("_")[0], json.loads(file.read_text())
    arrays = np.load(file.with_suffix(".npz"))
    processor = SteppingStonesProcessor.from_config(config_of(kind, "tiny"))
    resize = "bilinear_gt0" if kind == "avs" else "nearest"
    collator = ClipCollator(processor, (224, 224), resize, class_labels=kind == "avss")
    for name, expected in golden.items():
        subset, split, _ = name.split("_")
        rows = load_avsbench(GOLDEN / "loader" / "synth" / "AVSBench", subset, split)
        [row] = [each for each in rows if each["uid"] == expected["uid"]]
        batch = collator([row])
        maps = (batch["class_labels"] if kind == "avss" else batch["labels"][:, 0])[batch["label_mask"]].long()
        # For training on single sources, the release repeats the first frame and its mask.
        frames = len(maps)
        assert np.array_equal(maps.numpy(), arrays[f"mask_{name}"][:frames]), name
        assert_near(batch["pixel_values"][0, :1, :, ::8, ::8], arrays, f"pixels_{name}", FULL, 1e-6)
        targets = FrameTargets.of(maps, SIZE, CLASSES[kind])
        found = [each.tolist() for each in targets.classes.split(targets.counts)]
        assert found == expected["class_labels"][:frames], name
        areas = [each.sum((1, 2)).tolist() for each in targets.masks.split(targets.counts)]
        assert areas == expected["mask_label_areas"][:frames], name
        assert batch["input_features"].shape[1] == expected["audio_rows"]


@pytest.mark.parametrize("phase", ["phase1", "phase2"])
@pytest.mark.parametrize("file", golden_files("stepping_stones/train_step_*.json", quick=0))
def test_gradients(file, phase):
    golden = json.loads(file.read_text())[phase]
    kind, size, seed, frames = re.search(r"train_step_(avss?)_(\w+)_seed(\d+)_t(\d+)", file.stem).groups()
    seed, frames = int(seed), int(frames)
    model = make_model(kind, size, encoder_adapters=phase == "phase2")
    maps = class_maps(kind, seed, frames)[None]
    given = {"labels": maps} if kind == "avs" else {"class_labels": maps}
    if kind == "avss":
        soft = file.stem.endswith("_soft")
        given["prior_masks"] = prior_masks(seed, frames, soft=True)[None] if soft else (maps > 0).float()
    torch.manual_seed(seed)
    outputs = model(
        det_input("pixel_values", seed, (1, frames, 3, SIZE, SIZE)),
        audio_embeddings=det_input("audio", seed, (1, frames, 128)),
        **given,
    )
    assert outputs.loss.item() == pytest.approx(golden["loss"], rel=1e-3)
    outputs.loss.backward()
    found = {name: p.grad.norm().item() for name, p in model.named_parameters() if p.grad is not None}
    expected = {current_name(key, model.config): value for key, value in golden["gradient_norms"].items()}
    trained = [p for p in model.parameters() if p.requires_grad]
    assert len(trained) == golden["trainable_tensors"]
    assert sum(p.numel() for p in trained) == golden["trainable_parameters"]
    assert found.keys() == expected.keys()
    largest = max(expected.values())
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-3, abs=1e-6 * largest), name


@pytest.mark.parametrize("file", golden_files("stepping_stones/keys_*.json"))
def test_the_keys_of_the_released_model_fill_the_whole_model(file):
    _, kind, size = file.stem.split("_")
    config = config_of(kind, size)
    with torch.device("meta"):
        state = released_class(config)(config).state_dict()
    expected = {name: (*value.shape,) for name, value in state.items() if not name.startswith("audio_encoder")}
    found = {current_name(key, config): shape for key, shape in released_shapes(kind, size).items()}
    assert {name: shape for name, shape in found.items() if name is not None} == expected
