import json
import math
import os
import shutil
import subprocess
import sys

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from tiny.configurations import tiny_config
from transformers import AutoModel, AutoProcessor

import lavseg
from hub_stand_in import running_hub, use
from lavseg.auto import METHODS
from lavseg.checkpoint import CheckpointError
from lavseg.data import ClipCollator, load_ref_avs, write_ref_avs
from lavseg.hub import TASK
from lavseg.hub.model_card import method_card, model_card
from lavseg.hub.record import EVALUATION, RECORD, Record, Result, hub_ids, read_record
from lavseg.hub.upload import push_to_hub
from lavseg.modeling.remote_code import AUTO_MAP, STUB
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor
from lavseg.training import LavsegTrainer, LavsegTrainingArguments
from tiny_methods import damage_weights

NAME = "org/a-model"
SCORES = {"jaccard": 0.61234567, "f_score": 0.7, "j_and_f": 0.65, "s": 0.1, "s_ratio": 0.01, "loss": 1.0}


@pytest.fixture(scope="module")
def model(tiny_processor):
    torch.manual_seed(0)
    return Sam2LoveModel(tiny_config(Sam2LoveConfig, vocab_size=len(tiny_processor.tokenizer))).eval()


@pytest.fixture(scope="module")
def saved(model, tiny_processor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "tiny-1.0"
    model.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


@pytest.fixture
def hub(monkeypatch):
    with running_hub() as hub:
        use(hub, monkeypatch)
        yield hub


def fresh(code, tmp_path, **environment):
    """Runs code in a process that has not imported the package, with caches of its own."""
    given = {
        **os.environ,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_MODULES_CACHE": str(tmp_path / "modules"),
        **environment,
    }
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=given, timeout=280)


LOAD = """
import sys
from transformers import AutoModel, AutoProcessor
assert "lavseg" not in sys.modules
processor = AutoProcessor.from_pretrained({name!r}, trust_remote_code=True)
model = AutoModel.from_pretrained({name!r}, trust_remote_code=True)
print(type(processor).__module__, type(model).__module__, type(model.config).__module__)
"""
PIPELINE = """
import sys
from transformers import pipeline
assert "lavseg" not in sys.modules
made = pipeline({task!r}, model={name!r}, trust_remote_code=True)
print(type(made.processor).__module__, type(made.model).__module__, type(made.model.config).__module__)
"""
CLASSES = " ".join(f"lavseg.models.sam2_love.{role}_sam2_love" for role in ("processing", "modeling", "configuration"))


def test_a_checkpoint_loads_without_importing_the_package_and_can_be_saved_again(saved, tmp_path):
    again = tmp_path / "again"
    code = (
        LOAD.format(name=str(saved))
        + f"model.save_pretrained({str(again)!r}); processor.save_pretrained({str(again)!r})"
    )
    done = fresh(code, tmp_path)
    assert done.returncode == 0 and done.stdout.strip() == CLASSES, done.stderr
    assert {path.name for path in again.iterdir()} == {path.name for path in saved.iterdir()}
    assert (again / STUB.name).read_text() == STUB.read_text()
    for name in ("config.json", "processor_config.json"):
        assert json.loads((again / name).read_text())["auto_map"] == AUTO_MAP


def test_without_the_package_the_error_says_how_to_install_it(saved, tmp_path):
    hidden = "import sys; sys.modules['lavseg'] = None\n"
    done = fresh(hidden + LOAD.format(name=str(saved)).replace('assert "lavseg"', 'assert "no"'), tmp_path)
    assert done.returncode and "pip install lavseg" in done.stderr.splitlines()[-1], done.stderr


@pytest.mark.parametrize("name", ["config.json", "processor_config.json"])
def test_checkpoints_say_where_their_code_is(saved, name):
    assert json.loads((saved / name).read_text())["auto_map"] == AUTO_MAP
    assert all((saved / f"{reference.split('.')[0]}.py").is_file() for reference in AUTO_MAP.values())


def test_every_method_has_a_card_in_the_package():
    for config, _, _ in METHODS:
        text = method_card(config.model_type)
        assert text.startswith("# ") and "\n## " in text


@pytest.fixture
def record():
    return Record(
        base_models=["facebook/sam2-hiera-large"],
        datasets=["org/data", "data at home"],
        license="cc-by-nc-4.0",
        recipe={"learning_rate": 1e-4, "steps": 12},
        results=[Result("Ref-AVS", "test_s", "ref_avs", SCORES), Result("Ref-AVS", "test_n", "frame", {"s": 0.25})],
    )


def test_the_card_tells_configuration_recipe_scores_and_data(model, tiny_processor, record):
    card = ModelCard(str(model_card(model, tiny_processor, NAME, record)))
    data = card.data.to_dict()
    assert data["pipeline_tag"] == TASK and data["library_name"] == "transformers"
    assert data["base_model"] == record.base_models and data["license"] == record.license
    assert data["datasets"] == ["org/data"] and {"lavseg", "sam2_love"} <= set(data["tags"])
    found = {(r.dataset_split, r.metric_type, r.metric_config): r.metric_value for r in card.data.eval_results}
    assert found[("test_s", "jaccard", "ref_avs")] == 0.6123 and found[("test_n", "s", "frame")] == 0.25
    assert len(found) == 5 and all(r.metric_config in r.metric_name for r in card.data.eval_results)
    text = card.text
    assert text.lstrip().startswith("# SAM2-LOVE")
    assert text.index("## This checkpoint") < text.index("| learning_rate | 0.0001 |") < text.index("## What it is")
    assert "| Ref-AVS | test_s | `ref_avs` | 0.6123 | 0.7000 | 0.6500 | 0.1000 |" in text
    assert "| Ref-AVS | test_n | `frame` |  |  |  | 0.2500 |" in text
    assert f"| hidden_size | {model.config.hidden_size} |" in text and "@inproceedings" in text
    assert "data at home" in text and "licences of the encoders" not in text


def test_scores_of_classes_have_columns_of_their_own(model, tiny_processor):
    scores = {"miou": 0.25, "f_score": 0.5, "miou_no_background": 0.125}
    text = model_card(model, tiny_processor, NAME, Record(results=[Result("AVS v2", "test", "avss", scores)])).text
    assert "| data | split | protocol | mIoU | F |" in text and "| AVS v2 | test | `avss` | 0.2500 | 0.5000 |" in text
    assert "- `avss`: AVSBench-semantic" in text


def test_the_card_claims_nothing_that_is_not_known(model, tiny_processor):
    card = model_card(model, tiny_processor, NAME, Record())
    assert card.data.license == "other" and not card.data.eval_results
    assert not {"base_model", "datasets", "model-index", "model_name"} & card.data.to_dict().keys()
    assert all(words in card.text for words in ("not recorded", "None are recorded", "licences of the encoders"))


def test_a_method_that_does_not_read_is_shown_without_text():
    config = tiny_config(SamaAvsConfig)
    card = model_card(SamaAvsModel(config), SamaAvsProcessor.from_config(config), NAME, Record())
    assert 'segment("clip.mp4"):' in card.text and "language" not in card.data.to_dict()


def test_the_snippet_of_the_card_is_python(model, tiny_processor, record):
    block = model_card(model, tiny_processor, NAME, record).text.split("```python\n")[1].split("```")[0]
    compile(block, "card", "exec")


def test_a_record_with_a_score_that_is_no_number_is_not_made(tmp_path):
    with pytest.raises(ValueError, match="scores: have to be finite numbers"):
        Result("data", "test", "frame", {"jaccard": math.nan})
    with pytest.raises(ValueError, match="not JSON compliant"):
        Record(recipe={"learning_rate": math.inf}).save(tmp_path)
    assert not (tmp_path / RECORD).exists()


def test_a_record_is_read_as_it_was_written(record, tmp_path):
    record.save(tmp_path)
    assert read_record(tmp_path) == record
    report = {"data_root": "/data/AVS", "subsets": ["v1s"], "protocol": "avsbench", "splits": {"test": SCORES}}
    (tmp_path / EVALUATION).write_text(json.dumps(report))
    assert read_record(tmp_path).results == [*record.results, Result("AVS v1s", "test", "avsbench", SCORES)]


@pytest.mark.parametrize("name", [RECORD, EVALUATION])
@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '{"nothing": "known"}',
        '{"data_root": "d", "protocol": "mine", "splits": {"test": {}}}',
        '{"data_root": "d", "protocol": "frame", "splits": {"test": {"jaccard": "good"}}}',
    ],
)
def test_files_that_are_no_record_are_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name):
        read_record(tmp_path)


def test_only_names_on_the_hub_count_as_base_models(tmp_path, monkeypatch):
    (tmp_path / "runs" / "vggish").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    cached = "/home/me/.cache/huggingface/hub/models--org--a-model/snapshots/0123abc"
    assert hub_ids(["", "a/b", "runs/vggish", "/some/where", "a/b", "one", cached]) == ["a/b", "org/a-model"]


def test_push_uploads_everything_in_one_commit_and_leaves_the_folder_alone(hub, folder):
    (folder / "checkpoint-7").mkdir()
    (folder / "training_args.bin").write_bytes(b"pickle")
    (folder / STUB.name).unlink()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert push_to_hub(folder, NAME, private=True) == f"{hub.endpoint}/{NAME}"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    repo = hub.repos[NAME]
    kept = {path.name for path in folder.iterdir()} - {"checkpoint-7", "training_args.bin"}
    assert repo["private"] and set(repo["files"]) == kept | {STUB.name, "README.md"}
    assert repo["files"]["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert json.loads(repo["files"]["config.json"]) == json.loads((folder / "config.json").read_text())
    assert sum(path.endswith("/commit/main") for _, path in hub.requests) == 1


def test_what_was_pushed_loads_by_its_name_in_a_fresh_process(hub, folder, tmp_path):
    for name in ("config.json", "processor_config.json"):
        content = json.loads((folder / name).read_text())
        del content["auto_map"]
        (folder / name).write_text(json.dumps(content))
    push_to_hub(folder, NAME)
    done = fresh(PIPELINE.format(task=TASK, name=NAME), tmp_path, **hub.environment)
    assert done.returncode == 0 and done.stdout.strip() == CLASSES, done.stderr


def test_a_readme_of_the_folder_is_the_card(hub, folder):
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    push_to_hub(folder, NAME)
    assert hub.repos[NAME]["files"]["README.md"] == (folder / "README.md").read_bytes()


def test_pushing_again_replaces_the_weights(hub, folder):
    push_to_hub(folder, NAME)
    weights = load_file(folder / "model.safetensors")
    names = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(weights)}
    for file in set(names.values()):
        save_file({name: weights[name] for name in weights if names[name] == file}, folder / file, {"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    push_to_hub(folder, NAME)
    files = set(hub.repos[NAME]["files"])
    assert {*names.values(), "model.safetensors.index.json"} <= files and "model.safetensors" not in files


def cut_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def drop_tensor(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["prompter.seg_tokens"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def evaluated(score):
    """Puts a report with this score beside a checkpoint."""
    report = '{"data_root": "data", "protocol": "frame", "splits": {"test_n": {"jaccard": %s}}}'
    return lambda folder: (folder / EVALUATION).write_text(report % score)


BROKEN = {
    "no folder": (lambda folder: shutil.rmtree(folder), "no such folder"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "weights"),
    "weights cut short": (cut_weights, "weights"),
    "a tensor missing": (drop_tensor, "prompter.seg_tokens"),
    "no processor": (lambda folder: (folder / "processor_config.json").unlink(), "processor"),
    "broken record": (lambda folder: (folder / RECORD).write_text("{"), RECORD),
    "weights that are NaN": (lambda folder: damage_weights(folder, math.nan), "holds NaN or infinite values"),
    "weights that are infinite": (lambda folder: damage_weights(folder, math.inf), "holds NaN or infinite values"),
    "recipe that is NaN": (
        lambda folder: (folder / RECORD).write_text('{"recipe": {"seed": NaN}}'),
        f"{RECORD}.*it holds NaN",
    ),
    "scores that are infinite": (evaluated("-Infinity"), f"{EVALUATION}.*it holds -Infinity"),
    "scores that are NaN under a card": (
        lambda folder: (evaluated("NaN")(folder), (folder / "README.md").write_text("# Mine")),
        f"{EVALUATION}.*it holds NaN",
    ),
    "scores that are too large": (evaluated("1e999"), f"{EVALUATION}.* have to be finite numbers"),
    "configuration that is NaN": (
        lambda folder: (folder / "config.json").write_text(
            (folder / "config.json").read_text().replace("{", '{"own": NaN,', 1)
        ),
        r"config.json.*it holds NaN",
    ),
}


@pytest.mark.parametrize(("damage", "words"), BROKEN.values(), ids=BROKEN)
def test_folders_that_are_not_whole_are_refused_before_anything_is_sent(hub, folder, damage, words):
    damage(folder)
    with pytest.raises(ValueError, match=words):
        push_to_hub(folder, NAME)
    assert not hub.requests


def test_other_models_are_refused(hub, tmp_path):
    SamaAvsModel(tiny_config(SamaAvsConfig)).audio_encoder.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="vggish"):
        push_to_hub(tmp_path, NAME)
    assert not hub.requests


@pytest.mark.parametrize("name", ["", "name", "a/b/c", "org/", "org/what?", "org/-x"])
def test_names_that_the_hub_does_not_take(hub, folder, name):
    with pytest.raises(ValueError):
        push_to_hub(folder, name)
    assert not hub.requests


def test_a_refusal_of_the_hub_says_to_log_in(hub, folder, monkeypatch):
    use(hub, monkeypatch, token="hf_wrong")
    with pytest.raises(ValueError, match="hf auth login"):
        push_to_hub(folder, NAME)
    assert not hub.repos


def test_no_hub_is_an_error_of_one_sentence(hub, folder):
    hub.shutdown()
    hub.server_close()
    with pytest.raises(ValueError, match=r"org/a-model: the Hub did not take it"):
        push_to_hub(folder, NAME)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    root = write_ref_avs(tmp_path_factory.mktemp("rows"), {"train": 1, "test_n": 1}, 2, (32, 40))
    return {split: load_ref_avs(root, split) for split in ("train", "test_n")}


def trainer_of(model, processor, folder, rows, **options):
    args = LavsegTrainingArguments(
        str(folder), max_steps=1, save_strategy="no", use_cpu=True, disable_tqdm=True, report_to="none", **options
    )
    return LavsegTrainer(model, args, ClipCollator(processor), train_dataset=rows["train"], processing_class=processor)


def test_the_trainer_pushes_model_processor_and_card_in_one_call(hub, model, tiny_processor, rows, tmp_path):
    trainer = trainer_of(model, tiny_processor, tmp_path / "run", rows, hub_model_id=NAME)
    trainer.train()
    trainer.evaluate(rows["test_n"], metric_key_prefix="eval_test_n")
    trainer.push_to_hub(dataset="org/shapes", license="mit", finetuned_from="org/encoder")
    files = hub.repos[NAME]["files"]
    assert {"config.json", "model.safetensors", "processor_config.json", STUB.name, "README.md"} <= set(files)
    card = ModelCard(files["README.md"].decode())
    assert card.data.base_model == ["org/encoder"] and card.data.license == "mit"
    assert {r.dataset_split for r in card.data.eval_results} == {"test_n"}
    assert {r.metric_config for r in card.data.eval_results} == {"frame"}
    assert "| steps | 1 |" in card.text and f"| training_clips | {len(rows['train'])} |" in card.text
    assert NAME in card.text and str(tmp_path) not in card.text
    # What the run left is enough for the command to write the same card.
    (tmp_path / "run" / "README.md").unlink()
    push_to_hub(tmp_path / "run", NAME)
    assert ModelCard(hub.repos[NAME]["files"]["README.md"].decode()).data.to_dict() == card.data.to_dict()


def test_the_trainer_pushes_no_model_without_its_processor(model, tiny_processor, rows, tmp_path):
    trainer = trainer_of(model, tiny_processor, tmp_path, rows, hub_model_id=NAME)
    trainer.processing_class = None
    with pytest.raises(ValueError, match="processing_class"):
        trainer.push_to_hub()


def test_saving_leaves_the_record_of_the_run(model, tiny_processor, rows, tmp_path):
    trainer_of(model, tiny_processor, tmp_path / "run", rows).save_model()
    assert read_record(tmp_path / "run") == Record()
    trainer = trainer_of(model, tiny_processor, tmp_path / "run", rows, max_grad_norm=math.inf)
    trainer.train()
    trainer.save_model()
    assert read_record(tmp_path / "run").recipe["max_grad_norm"] == "inf"


def test_methods_without_a_tokenizer_carry_their_code_too(tmp_path):
    config = tiny_config(SamaAvsConfig)
    SamaAvsModel(config).save_pretrained(tmp_path)
    SamaAvsProcessor.from_config(config).save_pretrained(tmp_path)
    assert (tmp_path / STUB.name).is_file()
    assert isinstance(AutoModel.from_pretrained(tmp_path), lavseg.SamaAvsModel)
    assert isinstance(AutoProcessor.from_pretrained(tmp_path), lavseg.SamaAvsProcessor)
