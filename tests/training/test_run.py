import json
from dataclasses import fields
from inspect import signature

import pytest
import torch
import yaml
from tiny.configurations import tiny_config
from transformers import AutoModel, AutoProcessor, Sam2VideoConfig, ViTImageProcessor
from transformers.image_utils import IMAGENET_DEFAULT_MEAN

from conftest import ROOT
from lavseg import auto
from lavseg.auto import methods
from lavseg.data import ClipAugmentation, write_avsbench, write_ref_avs
from lavseg.data.layouts import export_parquet, load_rows
from lavseg.metrics.protocols import PROTOCOLS
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from lavseg.models.st_bava import StBavaConfig, StBavaModel, StBavaProcessor
from lavseg.models.stepping_stones import SteppingStonesConfig, SteppingStonesModel, SteppingStonesProcessor
from lavseg.recipe_files import shipped_recipes
from lavseg.training.run import RunArguments, accepted_keys, build_model, parse, prepare, train

RECIPE = ROOT / "src" / "lavseg" / "recipes" / "sam2_love.yaml"
RECIPES = [recipe.name for recipe in shipped_recipes() if ":" not in recipe.name]
# Recipes of this package's own, of no table.
OURS = ("referformer_ref_avs_absence", "sam2_love_by_clip", "sam2_love_plus", "simtoken_small")
FAST = ["--use_cpu", "--bf16=false", "--dataloader_num_workers=0", "--gradient_accumulation_steps=1"]
FAST += ["--per_device_train_batch_size=2", "--disable_tqdm=true", "--logging_steps=1", "--max_steps=1"]
FAST += ["--save_strategy=no"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_ref_avs(tmp_path_factory.mktemp("data"), {"train": 3, "val": 1}, 3, (32, 40))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Clips of AVSBench, which have no sentences."""
    counts = {"train": 2, "test": 1}
    return write_avsbench(tmp_path_factory.mktemp("sounds") / "root", {"s4": counts, "ms3": counts}, (32, 40))


@pytest.fixture(scope="module")
def save(tmp_path_factory, tokenizer):
    """Saves an untrained tiny checkpoint of a method, with other fields of its configuration."""
    classes = {
        "sam2-love": (Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor),
        "aural-sam2": (AuralSam2Config, AuralSam2Model, AuralSam2Processor),
        "sama-avs": (SamaAvsConfig, SamaAvsModel, SamaAvsProcessor),
        "st-bava": (StBavaConfig, StBavaModel, StBavaProcessor),
        "stepping-stones": (SteppingStonesConfig, SteppingStonesModel, SteppingStonesProcessor),
    }

    def make(method, seed=0, **fields):
        folder = tmp_path_factory.mktemp(method)
        config_class, model_class, processor_class = classes[method]
        reads = method == "sam2-love" or (method == "aural-sam2" and fields.get("use_text", True))
        if method in ("sam2-love", "aural-sam2"):
            fields["vocab_size"] = len(tokenizer)
        config = tiny_config(config_class, **fields)
        torch.manual_seed(seed)
        model_class(config).save_pretrained(folder)
        processor_class.from_config(config, *([tokenizer] if reads else [])).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="module")
def checkpoint(save):
    return save("sam2-love")


def test_the_recipe_holds_the_papers_numbers():
    run, args, overrides = parse([str(RECIPE), "--data_root=R", "--output_dir=O", "--use_cpu", "--audio=A"])
    assert run.method == "sam2-love"
    assert run.encoders == {
        "sam2": "facebook/sam2-hiera-large",
        "vision": "google/vit-base-patch16-224",
        "text": "distilbert/distilroberta-base",
        "audio": "A",
    }
    assert (run.train_split, run.eval_splits, run.data_root) == ("train", ["val"], "R")
    assert (args.optim, args.learning_rate, args.weight_decay) == ("adamw_torch", 1e-4, 0)
    assert (args.adam_beta1, args.adam_beta2, args.max_grad_norm) == (0.9, 0.95, 1)
    assert (args.lr_scheduler_type, args.warmup_steps, args.num_train_epochs) == ("linear", 100, 20)
    gpus = 2
    assert args.per_device_train_batch_size * args.gradient_accumulation_steps * gpus == 32
    assert args.bf16 and args.synthetic_null_probability == 0
    assert args.loss_weights == {"bce": 1, "dice": 1}
    paper = Sam2LoveConfig()
    assert overrides and all(getattr(paper, name) == value for name, value in overrides.items())


def test_every_value_of_the_recipe_says_where_it_comes_from():
    ruling = RECIPE.read_text().split("# Selection of the checkpoint")[0].partition("\nmethod:")[2]
    values = [line for line in ruling.splitlines() if line and line[0] != "#" and line[-1] != ":"]
    assert len(values) > 15 and all(" # " in line for line in values)


def configured(config_class, encoders, overrides):
    """The configuration of a recipe that starts from encoders; the others change that of a checkpoint."""
    if encoders.keys() & {"sam2", "sam"}:
        host = {"sam_config": Sam2VideoConfig()} if "sam2" in encoders.get("sam", "") else {}
        config_class(**host, **overrides)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_shipped_recipe_fits_its_method(recipe):
    run, args, overrides = parse([recipe, "--data=R", "--out=O", "--use_cpu", "--bf16=false"])
    config_class, model_class, processor_class = methods()[run.method]
    assert (args.loss_weights or {}).keys() <= model_class.default_loss_weights.keys()
    assert yaml.safe_load(run.processor or "{}").keys() <= signature(processor_class.from_config).parameters.keys()
    assert set(overrides) <= {field.name for field in fields(config_class)}
    configured(config_class, run.encoders, overrides)


def test_every_variant_fits_its_method_and_says_what_it_reproduces():
    for recipe in shipped_recipes():
        names = {field.name for field in fields(methods()[recipe.keys["method"]][0])}
        assert recipe.keys.keys() <= accepted_keys() | {"model"}, recipe.name
        assert recipe.keys.get("model", {}).keys() <= names, recipe.name
        if recipe.name in OURS:
            continue
        assert recipe.reproduces.keys() >= {"paper", "table", "row", "published", "protocol"}, recipe.name
        assert recipe.reproduces["protocol"] in {*PROTOCOLS, "avss"}, recipe.name
        for scores in recipe.reproduces["published"].values():
            assert scores and scores.keys() <= {"J", "F", "J&F", "S", "mIoU"}, recipe.name
            if {"J", "F", "J&F"} <= scores.keys():  # which the papers round from more digits
                assert scores["J&F"] == pytest.approx((scores["J"] + scores["F"]) / 2, abs=0.1), recipe.name


def test_the_command_line_wins_over_the_recipe():
    given = [str(RECIPE), "--data=R", "--out=O", "--use_cpu", "--learning-rate=3e-5", "--eval_splits", "a", "b"]
    run, args, _ = parse(given)
    assert args.learning_rate == 3e-5 and run.eval_splits == ["a", "b"] and args.adam_beta2 == 0.95
    assert (run.data_root, args.output_dir) == ("R", "O")


def test_every_key_of_a_recipe_is_set_on_the_command_line():
    given = [
        "sam2_love",
        "--data=R",
        "--out=O",
        "--use_cpu",
        "--set",
        "model.num_hidden_layers=12",
        "loss_weights.bce=2",
    ]
    given += ["--set", "model.text_config={hidden_dropout_prob: 0.5}", "--set=adam-beta2=5e-1", "--set=vision=V"]
    run, args, overrides = parse(given)
    assert overrides == {
        "num_hidden_layers": 12,
        "num_seg_tokens": 1,
        "text_config": {"hidden_dropout_prob": 0.5},
    }
    assert args.loss_weights == {"bce": 2, "dice": 1} and args.adam_beta2 == 0.5 and run.encoders["vision"] == "V"
    run, _, overrides = parse([*given[1:4], "--method=gavs", "--set=model.adapter_size=4"])
    assert run.method == "gavs" and overrides == {"adapter_size": 4}


@pytest.mark.parametrize(
    "setting, message",
    [
        ("model.hiden_size=8", "unknown key 'hiden_size'; did you mean 'hidden_size'?"),
        ("modle.hidden_size=8", "set: unknown key 'modle'; did you mean 'model'?"),
        ("lerning_rate=1", "set: unknown key 'lerning_rate'; did you mean 'learning_rate'?"),
        (
            "model.text_config.hiden_size=8",
            "model.text_config, fields of RobertaConfig: unknown key 'hiden_size'; did you mean 'hidden_size'?",
        ),
        ("model.sam2_config.vision_config.fpn_hiden_size=8", "model.sam2_config.vision_config, fields of"),
        ("model.text_config.hidden_size=8", "does not fit with text_config.hidden_size=8 ("),
        ("model=folder", "give a checkpoint as --model"),
        ("model.num_hidden_layers", "set: takes KEY=VALUE, such as model.num_hidden_layers=12, got 'model.num_hidd"),
        ("learning_rate.fast=1", "set: learning_rate.fast leads into learning_rate, which is 0.1 and has no fields"),
    ],
)
def test_a_wrong_setting_is_refused_and_writes_nothing(tmp_path, data, checkpoint, setting, message):
    path, output = tmp_path / "recipe.yaml", tmp_path / "run"
    path.write_text("learning_rate: 0.1")
    with pytest.raises(ValueError) as error:
        train([str(path), f"--model={checkpoint}", f"--data={data}", f"--out={output}", "--set", setting, *FAST])
    assert message in str(error.value)
    assert not output.exists()


@pytest.mark.parametrize(
    "recipe, message",
    [
        ("lerning_rate: 1.0e-4", "unknown key 'lerning_rate'; did you mean 'learning_rate'?"),
        ("model: {hiden_size: 8}", "unknown key 'hiden_size'; did you mean 'hidden_size'?"),
        (
            "model: {hidden_size: 8}",
            "hidden_size=8 (96 there), which change the size of its weights (size mismatch for",
        ),
        ("model: {mask_selection: worst}", "mask_selection: 'worst' was given"),
        ("model: folder", "--model"),
        ("learning_rate: fast", "--learning_rate"),
        ("learning_rate: [1", "YAML"),
        ("- learning_rate", "argument: value"),
        ("metric_protocols: [frames]", "metric_protocols"),
        ("label_size: [3]", "label_size"),
        ("label_size: [0, 256]", "label_size: takes height and width, two whole numbers above 0, got [0, 256]"),
        ("label_size: [-1, 5]", "label_size: takes height and width, two whole numbers above 0, got [-1, 5]"),
        ("synthetic_null_probability: 2", "null_probability"),
        ("train_split: trian", "split"),
        ("eval_splits: [test_n]", "test_n"),
        ("eval_strategy: epoch", "eval_dataset"),
        ("resume: true", "no complete checkpoint"),
        ("method: sam3", "method: 'sam3' is unknown, accepted are"),
        ("method: aural-sam2", "is a 'sam2_love' checkpoint"),
        ("dataset: davis", "dataset: got 'davis'"),
        ("subset: [s4]", "subset: Ref-AVS has none"),
        ("dataset: avsbench", "subset: missing"),
        (
            "loss_weights: {dise: 1}",
            "loss_weights, of bce, dice, object, iou: unknown key 'dise'; did you mean 'dice'?",
        ),
        ("loss_weights: {dice: -1}", "loss_weights: dice has to be a finite number of at least 0, got -1"),
        ("loss_weights: {dice: half}", "loss_weights: dice has to be a finite number of at least 0, got 'half'"),
        ("loss_weights: 3", "loss_weights: takes weights by name"),
        ("processor: {max_text_lenght: 9}", "unknown key 'max_text_lenght'; did you mean 'max_text_length'?"),
        ("processor: {max_text_length: 9}", "processor: max_text_length is 25 in the processor of"),
        ("processor: 9", "processor: takes settings of Sam2LoveProcessor as a mapping, got '9'"),
        ("processor: '{a: ['", "processor: '{a: [' is not readable as YAML"),
        ("augment: 3", "augment: takes true"),
        ("augment: '{a: ['", "augment: '{a: [' is not readable as YAML"),
        ("augment: {degrees: big}", "degrees: got 'big', has to be a number"),
        ("augment: {flip_prob: 1}", "unknown key 'flip_prob'; did you mean 'flip_probability'?"),
    ],
)
def test_a_wrong_recipe_is_refused_and_writes_nothing(tmp_path, data, checkpoint, recipe, message):
    path, output = tmp_path / "recipe.yaml", tmp_path / "run"
    path.write_text(recipe)
    with pytest.raises(ValueError) as error:
        train([str(path), f"--model={checkpoint}", f"--data={data}", f"--out={output}", *FAST])
    assert message in str(error.value)
    assert not output.exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "--data_root"),
        (["--data=absent", "--out=O", "--model=M"], "there is no folder absent; give one, or the Hub id"),
        (["--data=absent", "--out=O", "--lerning_rate=1"], "'lerning_rate'; did you mean 'learning_rate'?"),
        (["--data=absent", "--out=O", "recipe.yaml"], "recipe.yaml"),
        (["absent.yaml"], "absent.yaml"),
    ],
)
def test_a_wrong_command_line_is_refused(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, OSError), match=message.replace("?", r"\?")):
        train(arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "method, encoders, message",
    [
        (None, {}, "method: missing; name one of"),
        ("sam2-love", {}, "audio: a VGGish checkpoint is needed"),
        ("st_bava", {"sam2": "S", "text": "T"}, "sam2, text: no encoder of st_bava, which is made of sam, audio"),
    ],
)
def test_encoders_have_to_be_the_methods(method, encoders, message):
    with pytest.raises(ValueError, match=message):
        build_model(run_on(encoders, method), {})


def test_encoders_are_options_by_the_names_of_the_methods(monkeypatch):
    class Named(AuralSam2Model):
        @classmethod
        def from_backbones(cls, speech, sam2="S", **config_overrides): ...

    class NamedConfig(AuralSam2Config):
        model_type = "named"

    monkeypatch.setattr(auto, "METHODS", [*auto.METHODS, (NamedConfig, Named, AuralSam2Processor)])
    run, *_ = parse(["--data_root=R", "--out=O", "--use_cpu", "--method=named", "--speech", "L"])
    assert run.encoders == {"speech": "L"}
    with pytest.raises(ValueError, match="unknown key 'speec'; did you mean 'speech'"):
        parse(["--data_root=R", "--out=O", "--use_cpu", "--speec=L"])
    monkeypatch.undo()
    with pytest.raises(ValueError, match="unknown key 'speech'"):
        parse(["--data_root=R", "--out=O", "--use_cpu", "--speech=L"])


def run_on(encoders, method):
    run = RunArguments(data_root="R", method=method)
    run.encoders = encoders
    return run


def list_of(value):
    return list(value) if isinstance(value, tuple) else value


def encoders_of(model, folder, tokenizer):
    """Arguments that name the encoders of `model`, saved apart."""
    for name, encoder in model.backbones().items():
        encoder.save_pretrained(folder / name)
    if "text" in model.backbones():
        tokenizer.save_pretrained(folder / "text")
    if "vision" in model.backbones():  # with the statistics of DINO and MAE, which are ViTs too
        ViTImageProcessor(image_mean=IMAGENET_DEFAULT_MEAN, resample=3).save_pretrained(folder / "vision")
    return {name: str(folder / name) for name in model.backbones()}


def shapes_of(model):
    """Fields that give another model of the method the size of `model`."""
    shapes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "projection_size")
    shapes += ("adapter_size", "num_fusion_layers", "visual_depths", "token_depths", "mlp_ratio", "fusion_size")
    return {name: value for name, value in model.config.to_dict().items() if name in shapes}


@pytest.mark.parametrize("method", ["sam2-love", "aural-sam2", "sama-avs", "st-bava"])
def test_training_starts_from_published_encoders(tmp_path, save, tokenizer, method):
    start = save(method)
    model = AutoModel.from_pretrained(start)
    encoders, shared = encoders_of(model, tmp_path, tokenizer), shapes_of(model)
    built, processor = build_model(run_on(encoders, method), shared)
    built_fields = built.config.to_dict()
    assert type(built) is type(model) and all(
        list_of(built_fields[name]) == list_of(value) for name, value in shared.items()
    )
    for name, encoder in built.backbones().items():
        expected = model.backbones()[name].state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in encoder.state_dict().items()), name
    assert processor.image_processor.size == AutoProcessor.from_pretrained(start).image_processor.size


def test_fields_of_the_encoders_are_fields_of_the_model(tmp_path, checkpoint, tokenizer):
    model = AutoModel.from_pretrained(checkpoint)
    run = run_on(encoders_of(model, tmp_path, tokenizer), "sam2-love")
    for started in (run, RunArguments("R", model=[str(checkpoint)])):
        fields = {"text_config": {"hidden_dropout_prob": 0.25}}
        fields["sam2_config"] = {"vision_config": {"layer_norm_eps": 1e-3}}
        changed, _ = build_model(started, shapes_of(model) | fields)
        assert changed.config.text_config.hidden_dropout_prob == 0.25
        assert changed.config.sam2_config.vision_config.layer_norm_eps == 1e-3
        assert changed.config.text_config.hidden_size == model.config.text_config.hidden_size
        embeddings = (part.text_encoder.get_input_embeddings().weight for part in (changed, model))
        assert torch.equal(*embeddings)
    with pytest.raises(ValueError, match="model: text_config does not fit the encoder's weights"):
        build_model(run, shapes_of(model) | {"text_config": {"intermediate_size": 7}})


def test_settings_of_the_processor_stand_in_a_section_or_as_once_among_the_models(tmp_path, checkpoint, tokenizer):
    model = AutoModel.from_pretrained(checkpoint)
    run = run_on(encoders_of(model, tmp_path, tokenizer), "sam2-love")
    run.processor = '{"max_text_length": 9}'
    built, processor = build_model(run, shapes_of(model))
    assert list(processor.vit_image_processor.image_mean) == IMAGENET_DEFAULT_MEAN
    assert processor.vit_image_processor.resample == 3
    assert processor.max_text_length == 9 and built.loss_weights == model.loss_weights
    run.processor = None
    with pytest.deprecated_call(match="iou_loss_weight, max_text_length: no longer fields of Sam2LoveConfig"):
        built, processor = build_model(run, {**shapes_of(model), "iou_loss_weight": 0.5, "max_text_length": 12})
    assert processor.max_text_length == 12 and built.loss_weights == {**model.loss_weights, "iou": 0.5}
    run.processor = '{"max_text_length": 0}'
    with pytest.raises(ValueError, match="max_text_length: has to be a whole number above 0, up to 10000, got 0"):
        build_model(run, shapes_of(model))
    run.processor = '{"vit_image_processor": 1}'
    with pytest.raises(ValueError, match="unknown key 'vit_image_processor'"):
        build_model(run, shapes_of(model))


def test_loss_weights_of_an_older_checkpoint_rule_under_other_fields_too(tmp_path, save):
    folder = save("sam2-love")
    stored = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**stored, "iou_loss_weight": 0.5, "dice_weight": 2.0}))
    model, _ = build_model(RunArguments("R", model=[str(folder)]), {"seg_readout": "mean", "bce_weight": 3.0})
    assert model.config.seg_readout == "mean"
    assert model.loss_weights == {"bce": 3.0, "dice": 2.0, "object": 0.0, "iou": 0.5}


def test_training_on_avsbench_takes_a_method_without_text(tmp_path, save, sounds):
    arguments = [f"--data={sounds}", f"--out={tmp_path / 'run'}", "--dataset=avsbench", "--subset", "s4", "ms3", *FAST]
    result = train([*arguments, f"--model={save('st-bava')}", "--eval_splits=test", "--augment=true"])
    assert result["steps"] == 1 and result["train_loss"] > 0
    assert (tmp_path / "run" / "processor_config.json").is_file()
    with pytest.raises(ValueError, match="has no sentence"):
        train([*arguments, f"--model={save('sam2-love')}", f"--out={tmp_path / 'other'}"])


def test_training_reads_an_exported_data_set_also_as_a_stream(tmp_path, save, sounds, datasets_cache):
    splits = {split: load_rows(sounds, split, "avsbench", ["s4"]) for split in ("train", "test")}
    exported = export_parquet(splits, tmp_path / "exported")
    given = [f"--model={save('sama-avs')}", f"--out={tmp_path / 'out'}", "--dataset=avsbench", "--subset=s4", *FAST]

    def batches(data, *arguments):
        trainer, _ = prepare([f"--data={data}", "--eval_splits=test", *given, *arguments])
        loaders = trainer.get_train_dataloader(), trainer.get_eval_dataloader(trainer.eval_dataset["test"])
        return [next(iter(loader)) for loader in loaders]

    def equal(found, expected, order=slice(None)):
        names = [name for name, value in expected.items() if isinstance(value, torch.Tensor)]
        return "labels" in names and all(torch.equal(found[name][order], expected[name]) for name in names)

    original, found, streamed = batches(sounds), batches(exported), batches(exported, "--streaming=true")
    assert all(map(equal, found, original)) and equal(streamed[1], original[1])
    assert any(equal(streamed[0], original[0], order) for order in ([0, 1], [1, 0]))
    with pytest.raises(ValueError, match=r"^max_steps: missing; a stream has no length, say how many steps"):
        batches(exported, "--streaming=true", "--max_steps=-1")
    with pytest.raises(ValueError, match=r"^streaming: is for what `lavseg data export` wrote"):
        batches(sounds, "--streaming=true")
    with pytest.raises(ValueError, match=r"^feature_cache: is filled from all rows, of which streaming keeps none"):
        batches(exported, "--streaming=true", f"--feature_cache={tmp_path / 'cache'}")
    assert not (tmp_path / "out").exists()


def test_augmentation_is_for_training(tmp_path, save, sounds):
    arguments = [f"--data={sounds}", f"--out={tmp_path}", "--dataset=avsbench", "--subset=s4", *FAST]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"augment": {"degrees": 0, "color_jitter": True}, "eval_splits": ["test"]}))
    trainer, _ = prepare([str(recipe), *arguments, f"--model={save('sama-avs')}"])
    expected = ClipAugmentation(degrees=0, color_jitter=True)
    assert trainer.get_train_dataloader().collate_fn.augment == expected
    assert trainer.get_eval_dataloader(trainer.eval_dataset["test"]).collate_fn.collator.augment is None
    trainer.args.max_steps, trainer.args.num_train_epochs = -1, 3
    trainer.train()
    assert trainer.get_train_dataloader().collate_fn.epoch == 2


def test_a_feature_cache_is_filled_once_and_trains_the_same(tmp_path, save, sounds):
    checkpoint, folder = save("st-bava", use_adapters=False, attention_dropout=0.0), tmp_path / "cache"
    arguments = [f"--data={sounds}", "--dataset=avsbench", "--subset=s4", "--eval_splits=test", *FAST]
    arguments.append(f"--model={checkpoint}")
    losses, written = [], []
    for name in ("plain", "first", "second"):
        more = [] if name == "plain" else [f"--feature_cache={folder}"]
        trainer, _ = prepare([*arguments, f"--out={tmp_path / name}", *more])
        written.append({path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")})
        losses.append([trainer.train().training_loss, trainer.evaluate()["eval_test_loss"]])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4) and losses[2] == losses[1]
    assert not written[0] and len(written[1]) == 3 and written[2] == written[1]
    inputs = next(iter(trainer.get_train_dataloader()))
    assert "image_embeddings" in inputs and "pixel_values" not in inputs
    trainer.save_model()
    loaded = AutoProcessor.from_pretrained(tmp_path / "second")
    assert "pixel_values" in loaded.image_inputs([torch.zeros(3, 8, 8, dtype=torch.uint8)])


@pytest.mark.parametrize(
    ("fields", "arguments", "message"),
    [
        ({"use_adapters": False}, ["--augment=true"], "feature_cache: augment gives other frames"),
        ({}, [], "model: only image embeddings of SAM without adapters"),
    ],
    ids=["augmented", "adapters"],
)
def test_what_cannot_be_cached_is_refused_and_writes_nothing(tmp_path, save, sounds, fields, arguments, message):
    arguments = [f"--data={sounds}", "--dataset=avsbench", "--subset=s4", *FAST, *arguments]
    arguments += [f"--model={save('st-bava', **fields)}", f"--out={tmp_path / 'run'}"]
    with pytest.raises(ValueError, match=message):
        prepare([*arguments, f"--feature_cache={tmp_path / 'cache'}"])
    assert not list(tmp_path.iterdir())


def test_a_stage_starts_from_another_with_other_parts_in_training(save):
    fusion = save("st-bava", use_adapters=False)
    build = lambda overrides, *models: build_model(RunArguments("R", model=[str(m) for m in models]), overrides)[0]  # noqa: E731
    first = build({}, fusion)
    assert first.adapters is None and any(parameter.requires_grad for parameter in first.fusion.parameters())

    adapters = save("sama-avs", seed=1)
    joint = build({"use_adapters": True, "train_fusion": False}, fusion, adapters)
    assert not any(parameter.requires_grad for parameter in joint.fusion.parameters())
    assert all(parameter.requires_grad for parameter in joint.adapters.parameters())
    loaded, weights = joint.state_dict(), AutoModel.from_pretrained(adapters).state_dict()
    for key, value in loaded.items():
        source = weights if key.startswith("adapters.") else first.state_dict()
        assert torch.equal(value, source[key]), key


def test_a_class_head_is_an_architecture_with_the_classes_of_the_data(save):
    masks = str(save("aural-sam2", use_text=False))
    asked = {"data_root": "data", "dataset": "avsbench", "subset": ["v1m"], "model": [masks]}
    semantic = "AuralSam2ForSemanticSegmentation"
    model, _ = build_model(RunArguments(**asked, architecture=semantic), {})
    assert type(model).__name__ == semantic and len(model.class_head.tokens) == 71
    assert model.config.id2label[1] == "accordion" and model.config.label2id["woman"] == 70
    assert {name.split(".")[0] for name, value in model.named_parameters() if value.requires_grad} == {"class_head"}
    kept = AutoModel.from_pretrained(masks).state_dict()
    assert all(torch.equal(model.state_dict()[name], value) for name, value in kept.items())
    named, _ = build_model(RunArguments(**asked, architecture=semantic), {"id2label": {0: "background", 1: "dog"}})
    assert named.num_classes == 1
    with pytest.deprecated_call(match="num_classes: no longer a field"):
        former, _ = build_model(RunArguments(**asked), {"num_classes": 3})
    assert type(former).__name__ == semantic and former.num_classes == 3
    with pytest.raises(ValueError, match="architecture: got 'Best', aural_sam2 has AuralSam2Model, AuralSam2For"):
        build_model(RunArguments(**asked, architecture="Best"), {})
    with pytest.raises(ValueError, match="names classes, the masks of avsbench s4 do not say them"):
        build_model(RunArguments(**{**asked, "subset": ["s4"]}, architecture=semantic), {})


def test_parts_that_no_checkpoint_holds_are_named(save, monkeypatch):
    messages = []
    monkeypatch.setattr("lavseg.training.run.logger.warning", messages.append)
    run = RunArguments("R", model=[str(save("st-bava", fusion="none"))])
    build_model(run, {"fusion": "st_bava"})
    assert (
        len(messages) == 1
        and "audio_projection, fusion" in messages[0]
        and "fusion=st_bava (none there)" in messages[0]
    )
    build_model(run, {"train_mask_decoder": False})
    assert len(messages) == 1


def test_layers_that_a_recipe_takes_away_are_named_with_the_fields(checkpoint, monkeypatch):
    messages = []
    monkeypatch.setattr("lavseg.training.run.logger.warning", messages.append)
    build_model(RunArguments("R", model=[str(checkpoint)]), {"num_hidden_layers": 1, "num_seg_tokens": 1})
    (message,) = messages
    assert "trained weights of prompter are left out" in message and "num_hidden_layers=1 (3 there)" in message
    assert "num_seg_tokens" not in message


def test_layers_that_adapters_take_in_are_not_left_out(save, monkeypatch):
    messages = []
    monkeypatch.setattr("lavseg.training.run.logger.warning", messages.append)
    first = str(save("stepping-stones", encoder_adapters=False))
    model, _ = build_model(RunArguments("R", model=[first]), {"encoder_adapters": True})
    assert model.config.encoder_adapters and messages == []
    own, kept = model.state_dict(), AutoModel.from_pretrained(first).state_dict()
    layer = "mask2former.model.pixel_level_module.encoder.swin.encoder.layers.0.blocks.0.attention.o_proj"
    assert torch.equal(own[f"{layer}.projection.weight"], kept[f"{layer}.weight"])


def test_the_second_stage_of_stepping_stones_keeps_its_last_checkpoint():
    """Its loss on val is that of a model told nothing of what sounds."""
    recipe = RECIPE.with_name("stepping_stones_avss.yaml")
    _, args, _ = parse([str(recipe), "--data_root=R", "--output_dir=O", "--use_cpu", "--audio=A"])
    assert not args.load_best_model_at_end and args.metric_for_best_model is None


def test_a_folder_with_checkpoints_is_not_trained_over(tmp_path, data, checkpoint):
    (tmp_path / "checkpoint-5").mkdir()
    (tmp_path / "checkpoint-5" / "trainer_state.json").write_text(json.dumps({}))
    with pytest.raises(ValueError, match="--resume"):
        train([f"--model={checkpoint}", f"--data={data}", f"--out={tmp_path}", *FAST])


def test_a_folder_with_a_model_is_not_trained_over(tmp_path, data, checkpoint):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="holds a model already"):
        train([f"--model={checkpoint}", f"--data={data}", f"--out={tmp_path}", *FAST])
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_file_is_no_output_folder(tmp_path, data, checkpoint):
    (tmp_path / "out").touch()
    for path in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(ValueError, match=r"^output_dir: .*out is (a file; give a folder|not a folder one may)"):
            train([f"--model={checkpoint}", f"--data={data}", f"--out={path}", *FAST])


def test_a_recipe_names_the_modules_of_methods_from_outside(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("plugin: [json, not_there]\nmethod: gavs\n")
    with pytest.raises(ValueError, match=r"^plugin not_there: cannot be used \(No module named 'not_there'\)$"):
        prepare([str(recipe), "--data", "nowhere", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
