import pytest

from lavseg.models.aural_sam2 import AuralSam2Config
from lavseg.recipe_files import SHIPPED
from lavseg.training.run import parse

RECIPES = [path for path in sorted(SHIPPED.glob("aural_sam2_*.yaml")) if path.stem != "aural_sam2_tables"]
MASKS = [recipe for recipe in RECIPES if "semantic" not in recipe.stem]
EPOCHS = {"v1s": 140, "v1m": 140, "v2": 90, "ref_avs": 50}


def read(recipe):
    return parse([str(recipe), "--data_root=R", "--output_dir=O", "--use_cpu", "--audio=A"])


def test_there_is_a_recipe_for_every_row():
    names = {f"aural_sam2_{data}_{kind}" for data in EPOCHS for kind in ("release", "paper")}
    assert {recipe.stem for recipe in RECIPES} == names | {"aural_sam2_v2_semantic"}


@pytest.mark.parametrize("recipe", MASKS, ids=lambda recipe: recipe.stem)
def test_recipes_hold_the_published_numbers(recipe):
    run, args, overrides = read(recipe)
    data, _, kind = recipe.stem.removeprefix("aural_sam2_").rpartition("_")
    config = AuralSam2Config(**overrides)
    assert run.method == "aural-sam2" and run.encoders["sam2"] == "facebook/sam2-hiera-large"
    assert config.behavior == kind and config.use_text == (data == "ref_avs") == ("text" in run.encoders)
    assert config.train_audio_encoder == (kind == "paper")
    assert (args.learning_rate, args.adam_beta1, args.adam_beta2, args.max_grad_norm) == (1e-4, 0.9, 0.999, 0)
    assert args.lr_scheduler_type == "polynomial" and args.lr_scheduler_kwargs == {"power": 0.9, "lr_end": 0.0}
    assert args.per_device_train_batch_size == 1 and args.bf16
    assert args.loss_weights == {"focal": 20.0}
    samples = {"paper": 512, "release": 192 if data == "ref_avs" else 384}
    assert config.contrastive_samples == samples[kind]
    assert args.weight_decay == {"release": 0.05, "paper": 0.01}[kind]
    assert args.num_train_epochs == {"release": EPOCHS[data], "paper": 180}[kind]
    assert args.audio_learning_rate_factor == 1.0
    assert config.contrastive_loss == {"release": "audiocon_release", "paper": "audiocon"}[kind]
    expected = {"ref_avs": [], "v1s": ["v1s"], "v1m": ["v1m"], "v2": ["v1s", "v1m", "v2"]}
    assert run.subset == expected[data] and run.dataset == ("ref_avs" if data == "ref_avs" else "avsbench")
    assert run.label_size == [1024, 1024] and args.metric_protocols == ["aural_sam2"]
    assert args.per_device_eval_batch_size == (4 if data == "ref_avs" else 1)
    assert bool(args.gradient_checkpointing) == (data in ("ref_avs", "v2"))  # clips of ten frames


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_checkpoints_are_selected_on_val(recipe):
    run, args, _ = read(recipe)
    assert run.train_split == "train" and run.eval_splits == ["val"]
    assert args.load_best_model_at_end and args.metric_for_best_model.startswith("val_")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_every_value_of_a_recipe_says_where_it_comes_from(recipe):
    ruling = recipe.read_text().split("# Selection of the checkpoint")[0].partition("\nmethod:")[2]
    values = [line for line in ruling.splitlines() if line and line[0] != "#" and line[-1] != ":"]
    assert len(values) > 10 and all(" # " in line for line in values)


def test_the_semantic_recipe_adds_a_class_head():
    run, args, overrides = read(next(recipe for recipe in RECIPES if "semantic" in recipe.stem))
    assert run.architecture == "AuralSam2ForSemanticSegmentation"
    assert overrides == {"class_layers": 3} and args.num_train_epochs == 40
