import pytest
import torch
from safetensors.torch import save_file
from tiny.configurations import nano_sam_config, tiny_config
from torch import nn
from transformers import SamModel

from lavseg.backbones.vggish import VggishConfig, VggishModel
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel
from lavseg.models.st_bava import StBavaConfig, StBavaModel
from lavseg.recipe_files import load_recipe
from sam_reference import with_joined_projections
from tiny_clips import away_from_zero, make_inputs, make_labels

EDGE, WIDTH = 8, 32
FUSIONS = ["st_bava", "none", "tpavi", "han", "cmran", "jca"]


def make_model(seed=0, **overrides):
    torch.manual_seed(seed)
    return away_from_zero(StBavaModel(tiny_config(StBavaConfig, **overrides)))


def trainable(model):
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@pytest.mark.parametrize(
    ("overrides", "expected", "share"),
    [
        ({"num_fusion_layers": 5}, 12_145_380, 0.0189),
        ({"num_fusion_layers": 7}, 14_258_916, 0.0222),
        ({"num_fusion_layers": 7, "share_directions": False}, 17_022_180, 0.0266),
        ({"num_fusion_layers": 5, "use_adapters": False}, 9_375_204, 0.0146),
        ({"num_fusion_layers": 5, "train_fusion": False}, 6_828_516, 0.0107),
    ],
)
def test_the_trainable_budget_stays_under_four_percent_of_sam(overrides, expected, share):
    with torch.device("meta"):
        model = StBavaModel(StBavaConfig(**overrides))
    assert trainable(model) == expected
    of_sam = expected / sum(parameter.numel() for parameter in model.sam.parameters())
    assert of_sam == pytest.approx(share, abs=5e-5) and of_sam < 0.04
    assert sum(parameter.numel() for parameter in model.fusion.layers[0].parameters()) == (
        1_056_768 if overrides.get("share_directions", True) else 1_583_104
    )


@pytest.mark.parametrize("part", ["fusion", "adapters", "mask_decoder"])
def test_each_part_can_be_frozen(part):
    model = make_model(**{f"train_{part}": False}).train()
    modules = {"fusion": model.fusion, "adapters": model.adapters, "mask_decoder": model.sam.mask_decoder}
    for name, module in modules.items():
        assert all(parameter.requires_grad == (name != part) for parameter in module.parameters())
        assert module.training == (name != part)
    assert model.audio_projection.weight.requires_grad == (part != "fusion")


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("a", {"fusion", "audio_projection", "mask_decoder"}),
        ("b", {"adapters"}),
        ("c", {"fusion", "audio_projection", "mask_decoder", "adapters"}),
    ],
)
def test_each_stage_trains_what_its_recipe_says(stage, expected):
    model = StBavaModel(tiny_config(StBavaConfig, **load_recipe(f"st_bava_stage_{stage}").keys["model"]))
    trained = {name.removeprefix("sam.").split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == expected


def test_adapters_trained_as_sama_avs_fit_in():
    sama = SamaAvsModel(tiny_config(SamaAvsConfig)).adapters.state_dict()
    fitting = make_model().adapters.state_dict()
    assert {name: value.shape for name, value in sama.items()} == {n: v.shape for n, v in fitting.items()}


@pytest.mark.parametrize("overrides", [{"fusion": fusion} for fusion in FUSIONS[1:]])
@torch.no_grad()
def test_in_compared_fusions_a_batch_equals_single_runs_also_with_clips_of_different_length(overrides):
    lengths = (5, 5) if overrides.get("fusion") == "jca" else (5, 3)
    model, inputs = make_model(**overrides), make_inputs(clips=2, frames=5)
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    labels = make_labels(clips=2, frames=5)
    batch = model(**inputs, frame_mask=mask, labels=labels)
    losses = []
    for index, length in enumerate(lengths):
        single = {name: value[index : index + 1, :length] for name, value in inputs.items()}
        alone = model(**single, labels=labels[index : index + 1, :length])
        found = batch.pred_masks[index : index + 1, :, :length]
        torch.testing.assert_close(found, alone.pred_masks, atol=1e-4, rtol=1e-5)
        assert (batch.pred_masks[index, :, length:] == -1024).all()
        losses.append(alone.loss * length)
    torch.testing.assert_close(batch.loss, sum(losses) / sum(lengths), atol=1e-5, rtol=1e-5)


def test_both_modes_have_the_same_parameters():
    release, gate = make_model(), make_model(spatial_mode="gate")
    assert {n: p.shape for n, p in release.named_parameters()} == {n: p.shape for n, p in gate.named_parameters()}


@pytest.mark.parametrize("frames", [1, 5, 10])
@torch.no_grad()
def test_any_number_of_frames(frames):
    output = make_model()(**make_inputs(frames=frames))
    assert output.pred_masks.shape == (1, 1, frames, 32, 32)
    assert output.iou_scores is None


SWITCHES = [
    *({"fusion": fusion, "jca_num_frames": 4} for fusion in FUSIONS),
    {"spatial_mode": "gate"},
    {"order": "spatial_first"},
    {"share_directions": False},
    {"temporal_attention": False},
    {"bidirectional": False},
    {"bidirectional": False, "temporal_attention": False, "use_adapters": False},
    {"use_adapters": False},
    {"mask_reduce": "best_iou", "loss_weights": {"iou": 1.0}},
    {"mask_reduce": "single"},
]


@pytest.mark.parametrize(
    "overrides", SWITCHES, ids=lambda overrides: "-".join(f"{k}={v}" for k, v in overrides.items())
)
def test_every_switch_trains_and_changes_the_masks(overrides):
    weights = overrides.get("loss_weights", {})
    model, inputs = make_model(**{k: v for k, v in overrides.items() if k != "loss_weights"}), make_inputs(clips=2)
    model.set_loss_weights(weights)
    output = model.train()(**inputs, labels=make_labels(clips=2))
    output.loss.backward()
    assert torch.isfinite(output.loss) and weights.keys() <= output.loss_dict.keys()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not [name for name in without if "iou_prediction_head" not in name]
    for name in model.unreached_modules():
        assert not any(parameter.requires_grad for parameter in model.get_submodule(name).parameters())
    assert bool(model.unreached_modules()) == (not overrides.get("share_directions", True))
    model.eval()
    with torch.no_grad():
        masks = model(**inputs).pred_masks
        assert masks.shape == (2, 1, 4, 32, 32)
        silent = dict(inputs, input_features=torch.zeros_like(inputs["input_features"]))
        assert (model(**silent).pred_masks - masks).abs().max() > 1e-5
        if overrides != SWITCHES[0]:
            default = make_model()
            state = {key: value for key, value in default.state_dict().items() if key in model.state_dict()}
            model.load_state_dict(state, strict=False)
            assert (default(**inputs).pred_masks - model(**inputs).pred_masks).abs().max() > 1e-5


@torch.no_grad()
def test_masks_are_reduced_as_said():
    inputs, masks, scores = make_inputs(), {}, {}
    for reduce in ("sum", "best_iou", "single"):
        model, kept = make_model(mask_reduce=reduce), []
        model.sam.mask_decoder.register_forward_hook(lambda module, args, output, kept=kept: kept.append(output))
        output = model(**inputs)
        candidates, ious = kept[0][0][:, 0], kept[0][1][:, 0]
        masks[reduce], scores[reduce] = output.pred_masks[0, 0], output.iou_scores
        if reduce == "sum":
            torch.testing.assert_close(masks[reduce], candidates.sum(1))
        elif reduce == "best_iou":
            best = ious.argmax(1)
            torch.testing.assert_close(masks[reduce], candidates[torch.arange(4), best])
            torch.testing.assert_close(scores[reduce][0, 0], ious.max(1).values)
        else:
            assert candidates.shape[1] == 1
            torch.testing.assert_close(masks[reduce], candidates[:, 0])
    assert scores["sum"] is None


@pytest.mark.parametrize("spatial_mode", ["release", "gate"])
@torch.no_grad()
def test_attention_maps(spatial_mode):
    model, inputs = make_model(spatial_mode=spatial_mode), make_inputs(clips=2)
    assert model(**inputs).vision_attentions is None
    output = model(**inputs, output_attentions=True)
    for maps in (output.audio_attentions, output.vision_attentions):
        assert [m.shape for m in maps] == [(2, 4, 4, EDGE, EDGE)] * 2
    pooled = output.vision_attentions if spatial_mode == "release" else output.audio_attentions
    for weights in pooled:
        torch.testing.assert_close(weights.sum((-2, -1)), torch.ones(2, 4, 4))
        assert weights.std((-2, -1)).max() > 1e-4
    [before], [after] = output.before_attentions, output.after_attentions
    torch.testing.assert_close(before.sum((-2, -1)), torch.ones(2, 4, 1))
    assert before.shape == after.shape == (2, 4, 1, EDGE, EDGE) and (after - before).abs().max() > 1e-4
    if spatial_mode == "release":
        assert all((weights == 1).all() for weights in output.audio_attentions)
    else:
        assert all(((weights > 0) & (weights < 1)).all() for weights in output.vision_attentions)


@torch.no_grad()
def test_maps_of_one_direction_and_of_other_fusions():
    output = make_model(bidirectional=False)(**make_inputs(), output_attentions=True)
    assert output.audio_attentions is None and len(output.vision_attentions) == 2
    with pytest.raises(ValueError, match=r"^output_attentions: StBavaModel has no attention"):
        make_model(fusion="han")(**make_inputs(), output_attentions=True)


def test_fresh_parts_are_initialised_as_released():
    torch.manual_seed(0)
    model = StBavaModel(tiny_config(StBavaConfig, adapter_size=512))
    for linear in (*model.adapters.audio_layers, model.adapters.shared):
        assert linear.weight.std().item() == pytest.approx(0.02, rel=0.05) and not linear.bias.any()
    attention = model.fusion.layers[0].temporal[0]
    assert not attention.out_proj.bias.any()
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        assert not projection.bias.any()
        assert projection.weight.abs().max().item() == pytest.approx((6 / (4 * WIDTH)) ** 0.5, rel=0.05)
    assert model.audio_projection.weight.abs().max().item() == pytest.approx(32**-0.5, rel=0.05)


def test_files_of_joined_projections_are_read(tmp_path):
    model = make_model()
    old = with_joined_projections(model.state_dict(), "in_proj.")
    assert len(old) == len(model.state_dict()) - 2 * 2 * 2 * 2
    fresh = StBavaModel(model.config)
    fresh.load_state_dict(old)
    model.save_pretrained(tmp_path)
    save_file({name: value.clone() for name, value in old.items()}, tmp_path / "model.safetensors")
    loaded, report = StBavaModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    for read in (fresh, loaded):
        for name, value in model.state_dict().items():
            assert torch.equal(read.state_dict()[name], value), name


def test_a_fresh_model_has_one_position_code_and_changes_nothing_in_sams_map_with_tpavi():
    model = StBavaModel(tiny_config(StBavaConfig, fusion="tpavi")).eval()
    code = model.sam.shared_image_embedding.positional_embedding
    assert code is model.sam.prompt_encoder.shared_embedding.positional_embedding
    assert 0.3 < code.std() < 3
    images = torch.randn(3, WIDTH, EDGE, EDGE)
    fused = model.fuse(images, torch.randn(1, 3, 32), torch.randn(1, WIDTH, EDGE, EDGE), torch.ones(1, 3).bool())
    tokens = images.flatten(2).mT[None]
    torch.testing.assert_close(fused.vision, nn.functional.layer_norm(tokens, (WIDTH,)))


def test_from_backbones_holds_the_published_weights(tmp_path):
    torch.manual_seed(7)
    sam, audio = SamModel(nano_sam_config()), VggishModel(tiny_config(VggishConfig))
    sam.save_pretrained(tmp_path / "sam")
    audio.save_pretrained(tmp_path / "audio")
    model = StBavaModel.from_backbones(str(tmp_path / "sam"), str(tmp_path / "audio"), num_attention_heads=4)
    for name, part in {"sam": sam, "audio": audio}.items():
        found = model.backbones()[name].state_dict()
        assert all(torch.equal(value, found[key]) for key, value in part.state_dict().items())
    assert model.config.sam_config.mask_decoder_config.layer_norm_eps == 1e-5
    with pytest.raises(ValueError, match=r"audio: .*convert"):
        StBavaModel.from_backbones(str(tmp_path / "sam"))
