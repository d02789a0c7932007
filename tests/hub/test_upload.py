import json
import math
import shutil
from fnmatch import fnmatch

import pytest
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from tiny.configurations import tiny_config

from foreign_methods import checkpoint_with_code
from fresh_interpreters import run_each
from hub_stand_in import use
from lavseg import checkpoint
from lavseg.backbones.vggish import VggishConfig, VggishModel
from lavseg.checkpoint import CheckpointError, load_checkpoint
from lavseg.hub import TASK
from lavseg.hub.record import EVALUATION, PREVIEW, RECORD
from lavseg.hub.upload import make_repo, push_to_hub
from lavseg.modeling.remote_code import STUB
from tiny_methods import damage_weights

NAME = "org/a-model"
PIPELINE = """
import sys
from transformers import pipeline
assert "lavseg" not in sys.modules
made = pipeline({task!r}, model={name!r}, trust_remote_code=True)
print(type(made.processor).__module__, type(made.model).__module__, type(made.model.config).__module__)
"""
CLASSES = " ".join(f"lavseg.models.sam2_love.{role}_sam2_love" for role in ("processing", "modeling", "configuration"))


@pytest.fixture
def folder(saved_sam2_love, tmp_path):
    return shutil.copytree(saved_sam2_love, tmp_path / "model")


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


@pytest.mark.slow
def test_what_was_pushed_loads_by_its_name_in_a_fresh_process(hub, folder, tmp_path):
    for name in ("config.json", "processor_config.json"):
        content = json.loads((folder / name).read_text())
        del content["auto_map"]
        (folder / name).write_text(json.dumps(content))
    push_to_hub(folder, NAME)
    caches = {"HF_HOME": str(tmp_path / "hf"), "HF_MODULES_CACHE": str(tmp_path / "modules")}
    done = run_each(PIPELINE.format(task=TASK, name=NAME), **caches, **hub.environment)
    assert done.returncode == 0 and done.stdout.strip() == CLASSES, done.stderr


def test_the_hub_takes_the_card_without_a_warning_and_shows_the_preview(hub, folder, recwarn):
    (folder / PREVIEW).write_bytes(b"a picture")
    push_to_hub(folder, NAME)
    files = hub.repos[NAME]["files"]
    assert files[PREVIEW] == b"a picture" and not any("metadata" in str(one.message) for one in recwarn)
    ModelCard(files["README.md"].decode()).validate()
    card = ModelCard(files["README.md"].decode())
    assert card.data.thumbnail == f"{hub.endpoint}/{NAME}/resolve/main/{PREVIEW}" and f"]({PREVIEW})" in card.text


def test_the_stand_in_warns_as_the_hub_does(hub, folder):
    (folder / "README.md").write_text("---\npipeline_tag: audio-visual-segmentation\nlicense: other\n---\n# Mine\n")
    with pytest.warns(UserWarning, match=r"not in the list of tasks\n- license other wants license_name"):
        push_to_hub(folder, NAME)


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
    VggishModel(tiny_config(VggishConfig)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="vggish"):
        push_to_hub(tmp_path, NAME)
    assert not hub.requests


def test_names_that_the_hub_does_not_take(hub, folder):
    for name in ("", "name", "a/b/c", "org/", "org/what?", "org/-x"):
        with pytest.raises(ValueError):
            push_to_hub(folder, name)
    assert not hub.requests


def test_a_refusal_of_the_hub_says_to_log_in(hub, folder, monkeypatch):
    use(hub, monkeypatch, token="hf_wrong")
    for attempt in (lambda: push_to_hub(folder, NAME), lambda: make_repo(NAME)):
        with pytest.raises(ValueError, match="hf auth login"):
            attempt()
    assert not hub.repos


def test_no_hub_is_an_error_of_one_sentence(hub, folder):
    hub.shutdown()
    hub.server_close()
    with pytest.raises(ValueError, match=r"org/a-model: the Hub cannot be reached"):
        push_to_hub(folder, NAME)


def test_code_that_lies_in_a_checkpoint_goes_with_it_and_is_fetched_with_it(hub, tmp_path, monkeypatch):

    def download(repo_id, allow_patterns):
        """In place of the Hub's own, which in a process that imported it asks the real one."""
        for file, content in hub.repos[repo_id]["files"].items():
            if any(fnmatch(file, pattern) for pattern in allow_patterns):
                (tmp_path / "hub").mkdir(exist_ok=True)
                (tmp_path / "hub" / file).write_bytes(content)
        return tmp_path / "hub"

    monkeypatch.setattr(checkpoint, "snapshot_download", download)
    with checkpoint_with_code(tmp_path, monkeypatch) as folder:
        with pytest.raises(CheckpointError, match="--trust-remote-code"):
            push_to_hub(folder, NAME)
        assert not hub.requests
        push_to_hub(folder, NAME, trust_remote_code=True)
        files = hub.repos[NAME]["files"]
        assert files["own_gavs.py"] == (folder / "own_gavs.py").read_bytes()
        for name in ("config.json", "processor_config.json"):
            assert json.loads(files[name]) == json.loads((folder / name).read_text())
        assert "trust_remote_code=True" in files["README.md"].decode()
        model, processor = load_checkpoint(NAME, trust_remote_code=True)
        assert type(model).__name__ == "OwnModel" and type(processor).__name__ == "OwnProcessor"
