"""Agreement with the released code of ReferFormer on deterministic weights."""

import json

import numpy as np
import pytest
import torch
from golden_referformer import FOLDER, det_input, golden_case, make_inputs, make_model, own_names, targets_of
from torch import nn

from conftest import golden_files
from lavseg.backbones.sam.convert_sam import rename_keys
from lavseg.models.referformer import ReferFormerConfig, ReferFormerModel
from lavseg.models.referformer.convert_referformer import (
    REFERFORMER_KEYS,
    released_vision_config,
    split_released,
)
from lavseg.models.referformer.loss_referformer import (
    TrackPredictions,
    generalized_iou,
    make_targets,
    mask_boxes,
    match,
    track_losses,
)
from lavseg.models.referformer.text_referformer import map_positions, word_positions
from pyramid_reference import assert_near

pytestmark = pytest.mark.parity
MASKS, FEATURES = 2e-4, 5e-5
TERMS = {"class": "ce", "box": "bbox", "giou": "giou", "mask": "mask", "dice": "dice"}


def every(step, *axes):
    """A slice that takes each `step`-th entry of the last axes, as many as there are `axes`."""
    return (..., *(slice(None, None, each) for each in (step, *axes)))


def watch(model):
    """What the parts of a model will have given, by the names of the golden data, one entry for each sentence."""
    kept, levels = {}, model.pixel_decoder.levels

    def keep(name, value):
        kept.setdefault(name, []).append(value)

    def hook(name, choose=lambda args, output: output):
        return lambda _, args, output: keep(name, choose(args, output))

    model.vision_encoder.register_forward_hook(hook("maps", lambda args, output: output.feature_maps))
    model.text_encoder.register_forward_hook(hook("text_hidden", lambda args, output: output.last_hidden_state))
    model.text_encoder.pooler.dense.register_forward_hook(hook("text_pooled", lambda args, output: output.tanh()))
    model.text_projection.register_forward_hook(hook("projected"))
    model.fusion.register_forward_hook(hook("fused"))
    model.transformer.encoder_layers[0].register_forward_hook(hook("encoder_first"))
    model.transformer.encoder_layers[-1].register_forward_hook(hook("memory"))
    for layer in model.transformer.decoder_layers:
        layer.register_forward_hook(hook("hs"))
    for index, level in enumerate(levels):
        level.word_attention.register_forward_hook(hook(f"fpn_attn{4 - index}"))
        level.layer.register_forward_hook(hook(f"fpn_layer{4 - index}"))
    model.pixel_decoder.mask_features.register_forward_hook(hook("mask_features"))
    model.mask_head.controller.register_forward_hook(hook("controller_last"))
    return kept


def assert_parts(kept, golden):
    """The parts of a model are as the golden data has them, where one sentence is asked of each clip."""
    for index, axes in enumerate(((16, 4, 4), (16, 2, 2), (16, 1, 1), (16, 1, 1))):
        assert_near(kept["maps"][0][index][every(*axes)], golden[f"backbone{index}"], FEATURES)
    assert_near(kept["text_hidden"][0][every(4)], golden["text_hidden"], FEATURES)
    assert_near(kept["text_pooled"][0][every(4)], golden["text_pooled"], FEATURES)
    words, sentences = (value[:, 0] for value in kept["projected"])
    assert_near(words, golden["words"], FEATURES)
    assert_near(sentences, golden["sentence"], FEATURES)
    sizes = [golden[f"feature_mask{level}"].shape[-2:] for level in range(1, 4)]
    sizes.append(tuple(-(-edge // 2) for edge in sizes[-1]))
    fused = kept["fused"][0].split([height * width for height, width in sizes], dim=1)
    for level, (tokens, size, step) in enumerate(zip(fused, sizes, (2, 1, 1, 1), strict=True)):
        assert_near(tokens.mT.unflatten(-1, size)[every(8, step, step)], golden[f"src{level}"], FEATURES)
    for name in ("encoder_first", "memory"):
        assert_near(kept[name][0][:, ::2, ::8], golden[name], FEATURES)
    assert_near(torch.stack(kept["hs"])[every(4)], golden["hs"], FEATURES)
    for index, (tokens, channels) in {4: (1, 4), 3: (2, 8), 2: (4, 8), 1: (8, 8)}.items():
        found = kept[f"fpn_attn{index}"][0].transpose(0, 1)[::tokens, :, ::channels]
        assert_near(found, golden[f"fpn_attn{index}"], FEATURES)
    for index, step in {4: 1, 3: 1, 2: 2, 1: 2}.items():
        assert_near(kept[f"fpn_layer{index}"][0][every(8, step, step)], golden[f"fpn_layer{index}"], FEATURES)
    assert_near(kept["mask_features"][0][every(8, 2, 2)], golden["mask_features"], FEATURES)
    assert_near(kept["controller_last"][-1][every(16)], golden["controller_last"], FEATURES)


def whole_cases(quick):
    files = golden_files("referformer/*_seed*.npz")
    if files[0].values[0] is None:
        return files
    files = [file.values[0] for file in files if not file.id.startswith(("referformer/modules", "referformer/train"))]
    return [
        pytest.param(file, id=file.stem, marks=[] if file.stem in quick else [pytest.mark.slow])
        for file in files
        if "three_sentences" not in file.stem
    ]


@pytest.mark.parametrize("file", whole_cases(quick=("res50_pad_seed0",)))
@torch.no_grad()
def test_whole_model(file):
    golden, case = np.load(file), golden_case(file)
    model = make_model(case)
    kept = watch(model)
    outputs = model(**make_inputs(case), output_query_masks=True)
    if case.get("valid_indices"):
        # The release sees all frames of a clip first.
        frames = [case["frames"] * clip + frame for clip, frame in enumerate(case["valid_indices"])]
        chosen = {name: golden[name][frames] if name.startswith("backbone") else golden[name] for name in golden}
    else:
        chosen = golden
    assert_parts(kept, chosen)
    assert_near(outputs.query_masks[:, 0], golden["pred_masks"], MASKS)
    assert_near(outputs.query_logits[:, 0], golden["pred_logits"][-1, ..., 0], FEATURES)
    assert_near(outputs.pred_boxes[:, 0], golden["pred_boxes"][-1], FEATURES)
    if "selected_logits" in golden:
        size = case["selection"]["original_size"]
        logits = model.scale_masks(outputs.pred_masks[0, 0], size)
        assert_near(logits[:, ::4, ::4], golden["selected_logits"], MASKS)
        expected = np.unpackbits(golden["selected_masks"])[: logits.numel()].reshape(logits.shape).astype(bool)
        # A pixel at the border may fall on either side.
        assert ((logits > 0).numpy() == expected)[logits.abs() > MASKS].all()


@pytest.mark.parametrize("file", golden_files("referformer/*three_sentences*.npz", quick=1))
@torch.no_grad()
def test_sentences_of_a_clip_share_what_does_not_depend_on_them(file):
    golden, case = np.load(file), golden_case(file)
    model = make_model(case)
    runs = []
    model.vision_encoder.register_forward_hook(lambda *_: runs.append(1))
    outputs = model(**make_inputs(case), output_query_masks=True)
    assert len(runs) == 1
    assert_near(outputs.query_masks[0], golden["pred_masks"], MASKS)
    assert_near(outputs.query_logits[0], golden["pred_logits"][:, -1, ..., 0], FEATURES)
    assert_near(outputs.pred_boxes[0], golden["pred_boxes"][:, -1], FEATURES)
    for index, query in enumerate(golden["query"]):
        assert_near(outputs.pred_masks[0, index], golden["pred_masks"][index, :, query], MASKS)


def moved(values):
    """`[L, B, C]` as the release has it, with clips first."""
    return values.transpose(0, 1)


@pytest.mark.parametrize("file", golden_files("referformer/modules_seed*.npz", quick=0))
@torch.no_grad()
def test_modules(file):
    golden, seed = np.load(file), golden_case(file)["seed"]
    model = make_model(golden_case(FOLDER / "res50_pad_seed0.json"))

    def given(name, shape):
        return det_input(name, seed, shape)

    centres = given("head_refs", (2, 10, 2)).sigmoid() * torch.tensor([[[40.0, 48]], [[33, 40]]])
    weights = 0.1 * given("head_params", (2, 10, 2153)).view(4, 5, 2153)
    features = given("head_features", (2, 2, 256, 12, 10)).flatten(0, 1)
    masks = model.mask_head.masks(weights, features, centres.view(4, 5, 2))
    assert_near(masks.view(2, 10, 12, 10), golden["head_masks"], FEATURES)
    assert_near(
        model.mask_head.controller(given("head_hs", (4, 5, 256)))[..., ::8], golden["head_controller"], FEATURES
    )
    mask = torch.arange(6) < torch.tensor([[6], [4]])
    codes = word_positions(mask, 256, torch.float32)
    assert_near(codes.mT, golden["text_pos"], FEATURES)
    assert_near(model.text_projection(given("resizer", (2, 6, 768)))[..., ::4], golden["resizer"], FEATURES)
    real = torch.zeros(2, 7, 9, dtype=torch.bool)
    real[0], real[1, :5, :6] = True, True
    assert_near(map_positions(real, 256, torch.float32)[:, ::4], golden["pos2d"], FEATURES)
    words = moved(given("fusion_mem", (6, 2, 256)))
    read = (words, codes, mask)
    fused = model.fusion(moved(given("fusion_tgt", (30, 2, 256))), *read)
    assert_near(moved(fused)[..., ::4], golden["fusion"], FEATURES)
    for level, (height, width), step in ((4, (3, 4), 1), (3, (5, 7), 1), (2, (9, 13), 4), (1, (18, 25), 16)):
        shape, part = (2 * height * width, 2, 256), model.pixel_decoder.levels[4 - level]
        maps, places = (
            moved(given(f"{name}{level}", shape)).mT.unflatten(-1, (2, height, width)).movedim(2, 1)
            for name in ("block", "blockpos")
        )
        seen = torch.ones(2, 2, height, width, dtype=torch.bool)
        seen[1, :, :, 2 * width // 3 :] = False
        found = clip_block(part, maps, places, seen, read)
        assert_near(moved(found)[::step, :, ::8], golden[f"fpn_block{level}"], FEATURES)


def clip_block(level, maps, places, seen, read):
    """Both attentions of a level, with codes `[B, T, C, h, w]` that differ between frames."""
    frames = maps.shape[1]
    attention = level.clip_attention
    small = [edge // attention.reduction for edge in maps.shape[-2:]]

    def reduce(values):
        return nn.functional.interpolate(values.flatten(0, 1), small).unflatten(0, (-1, frames)).movedim(2, -1)

    tokens, codes = (values.movedim(2, -1).flatten(1, 3) for values in (maps, places))
    values, query = (reduce(each).flatten(1, 3) for each in (maps, maps + places))
    mask = reduce(seen[:, :, None].float()).flatten(1) > 0
    attended = attention.attention(query, query, mask, values=values).unflatten(1, (frames, *small)).movedim(-1, 2)
    attended = nn.functional.interpolate(attended.flatten(0, 1), maps.shape[-2:], mode="bilinear")
    attended = attended.unflatten(0, (-1, frames)).movedim(2, -1).flatten(1, 3)
    return level.word_attention(attention.norm(tokens + attended), codes, *read)


@pytest.mark.parametrize("file", golden_files("referformer/modules_seed*.npz", quick=0))
@torch.no_grad()
def test_deformable_attention(file):
    golden, seed = np.load(file), golden_case(file)["seed"]
    model = make_model(golden_case(FOLDER / "res50_pad_seed0.json"))
    sizes = [(6, 5), (3, 3), (2, 2), (1, 1)]
    mask = torch.ones(2, 44, dtype=torch.bool)
    mask[1, 3::7] = False
    for name, axes in (("points", 2), ("boxes", 4)):
        reference = det_input(f"msda_ref{axes}", seed, (2, 5, 4, axes)).sigmoid()
        found, _ = model.transformer.decoder_layers[0].encoder_attn(
            det_input("msda_query", seed, (2, 5, 256)),
            attention_mask=mask,
            encoder_hidden_states=det_input("msda_value", seed, (2, 44, 256)),
            reference_points=reference,
            spatial_shapes=torch.tensor(sizes),
            spatial_shapes_list=sizes,
        )
        assert_near(found, golden[f"msda_{name}"], FEATURES)


def loss_cases():
    (found,) = golden_files("referformer/losses.json")
    if found.values[0] is None:
        return [found]
    content = json.loads(found.values[0].read_text())
    cases = {name: case for name, case in content.items() if isinstance(case, dict) and "terms" in case}
    return [pytest.param(content["seed"], case, id=name) for name, case in cases.items()]


@pytest.mark.parametrize(("seed", "case"), loss_cases())
def test_losses(seed, case):
    sizes, frames, queries = case["sizes"], case["frames"], case["queries"]
    height, width = (-max(edges) // 32 * -8 for edges in zip(*sizes, strict=True))
    masks = targets_of(sizes, frames, seed)
    boxes = torch.stack([mask_boxes(mask) for mask in masks])
    torch.testing.assert_close(boxes, torch.tensor(case["boxes"]), atol=1e-6, rtol=0)
    labeled = torch.ones(len(sizes), frames, dtype=torch.bool)
    targets = make_targets(masks, labeled, sizes, (height, width))
    assert targets.visible.tolist() == [[bool(value) for value in row] for row in case["valid"]]
    for layer, matched in enumerate(case["matched_query"]):
        axes = (len(sizes), frames, queries)
        found = TrackPredictions(
            2 * det_input(f"logits{layer}", seed, (*axes, 1))[..., 0] - 2,
            det_input(f"boxes{layer}", seed, (*axes, 4)).sigmoid(),
            3 * det_input(f"masks{layer}", seed, (*axes, height, width)),
        )
        assert match(found, targets).tolist() == matched
        assert_terms(track_losses(found, targets), case["terms"], layer)


def assert_terms(found, expected, layer):
    suffix = "" if layer == 3 else f"_{layer}"
    for name, other in TERMS.items():
        assert found[name].item() == pytest.approx(expected[f"loss_{other}{suffix}"], rel=1e-5, abs=1e-6), (layer, name)


@pytest.mark.parametrize("file", golden_files("referformer/losses.json"))
def test_generalized_iou(file):
    content = json.loads(file.read_text())
    boxes, other = (
        det_input(f"giou{index}", content["seed"], (count, 4)).sigmoid() for index, count in ((1, 5), (2, 1))
    )
    for name, truth in (("random", other), ("empty_target", torch.zeros(1, 4))):
        assert generalized_iou(boxes, truth).tolist() == pytest.approx(content["giou"][name], abs=1e-5)


@pytest.mark.parametrize("file", golden_files("referformer/train_step_*.json", quick=0))
def test_training_step(file, monkeypatch):
    case = golden_case(file)
    model = make_model(case, dropout=0.0)
    model.text_encoder.requires_grad_(not case["text_encoder_frozen"])
    terms, masks = [], targets_of(case["sizes"], case["frames"], case["seed"])
    module = "lavseg.models.referformer.modeling_referformer"
    # Labels of clips of several sizes are brought to one before they come here.
    monkeypatch.setattr(f"{module}.make_targets", lambda labels, *given: make_targets(masks, *given))
    monkeypatch.setattr(f"{module}.track_losses", lambda *given: terms.append(track_losses(*given)) or terms[-1])
    labels = torch.zeros(len(masks), case["frames"], 8, 8)
    outputs = model.train()(**make_inputs(case), labels=labels)
    outputs.loss.backward()
    for layer, found in enumerate(terms):
        assert_terms(found, case["terms"], layer)
    assert outputs.loss.item() == pytest.approx(case["total"], rel=1e-5)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    names = own_names(case["backbone"], case["text_config"])
    for key, expected in case["gradient_norms"].items():
        found = sum(gradients[name].square().sum() for name in names[key]).sqrt().item()
        assert found == pytest.approx(expected, rel=5e-3, abs=1e-4 * case["total_gradient_norm"]), key
    for key in (*case["without_gradient"], *case["frozen_not_text"]):
        assert all(gradients.get(name) is None for name in names[key]), key


@pytest.mark.parametrize("file", golden_files("referformer/keys_*.json"))
def test_every_key_of_the_release_has_its_place(file):
    content = json.loads(file.read_text())
    shapes = {key: shape for key, shape in content["keys"].items() if "decoder.bbox_embed" not in key}
    with torch.device("meta"):
        state = split_released({key: torch.empty(shape) for key, shape in shapes.items()})
        model = ReferFormerModel(ReferFormerConfig(vision_config=released_vision_config(state)))
    names = rename_keys(state, REFERFORMER_KEYS)
    found = {names[key]: list(value.shape) for key, value in state.items()}
    assert found == {name: list(value.shape) for name, value in model.state_dict().items()}
    parameters = list(model.parameters())
    assert sum(parameter.numel() for parameter in parameters) == content["parameters"]
    trainable = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    assert trainable == content["trainable_text_frozen"]
