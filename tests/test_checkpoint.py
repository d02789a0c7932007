import json
import math
import shutil

import pytest
import torch
from transformers import AutoProcessor

from foreign_methods import checkpoint_with_code
from lavseg.checkpoint import CheckpointError, load_checkpoint
from tiny_methods import EVERY_METHOD, damage_weights, tiny_method


@pytest.fixture(params=EVERY_METHOD)
def folder(request, tokenizer, tmp_path):
    for part in tiny_method(request.param, tokenizer):
        part.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused_in_one_line(folder, value):
    load_checkpoint(folder)
    name = damage_weights(folder, value)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    assert str(caught.value).startswith(f"{folder}: its weights cannot be loaded ({name} of ")
    assert "holds NaN or infinite values" in str(caught.value) and "\n" not in str(caught.value)


def test_a_notice_is_logged_once_and_stays(tokenizer, tmp_path, caplog):
    model, processor = tiny_method(EVERY_METHOD[0].values[0], tokenizer)
    model.config.notice = "a toy of this test"
    for part in (model, processor):
        part.save_pretrained(tmp_path)
    for _ in range(2):
        assert load_checkpoint(tmp_path)[0].config.notice == "a toy of this test"
    assert [record.getMessage() for record in caplog.records] == [f"{tmp_path}: a toy of this test"]


def test_large_weights_whose_sum_is_not_finite_are_fine(tokenizer, tmp_path):
    model, processor = tiny_method(EVERY_METHOD[0].values[0], tokenizer)
    with torch.no_grad():
        next(model.parameters()).fill_(3e38)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded, _ = load_checkpoint(tmp_path)
    assert next(loaded.parameters()).min() == torch.tensor(3e38)


WRONG_CONSTANTS = {
    "mean": ("image_processor", "image_mean", [0.5, math.nan, 0.5]),
    "infinite deviation": ("image_processor", "image_std", [0.5, 0.5, math.inf]),
    "no deviation": ("image_processor", "image_std", [0.5, 0.0, 0.5]),
    "scale": ("image_processor", "rescale_factor", math.nan),
    "scale of zero": ("image_processor", "rescale_factor", 0),
    "sound": ("feature_extractor", "sampling_rate", math.nan),
    "rate": (None, "fps", math.inf),
    "rate that is no number": (None, "fps", math.nan),
    "rate of zero": (None, "fps", 0.0),
}


@pytest.mark.parametrize(("part", "name", "value"), WRONG_CONSTANTS.values(), ids=WRONG_CONSTANTS)
def test_constants_of_processors_that_make_no_sense_are_refused_in_one_line(folder, part, name, value):
    path = folder / "processor_config.json"
    content = json.loads(path.read_text())
    if part is not None and part not in content:
        pytest.skip(f"this method has no {part}")
    (content if part is None else content[part])[name] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"{name}:? has to be "):
        AutoProcessor.from_pretrained(folder)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    assert str(caught.value).startswith(f"{folder}: its processor cannot be used (") and name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_without_a_processor_is_told_as_before(tokenizer, tmp_path):
    tiny_method(EVERY_METHOD[0].values[0], tokenizer)[0].save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="holds no processor; save it beside the model"):
        load_checkpoint(tmp_path)


def test_code_of_a_checkpoint_runs_only_where_it_is_trusted(tmp_path, monkeypatch):
    with checkpoint_with_code(tmp_path, monkeypatch) as folder:
        (folder / "own_gavs.py").write_text(
            (folder / "own_gavs.py").read_text() + f"open({str(tmp_path / 'ran')!r}, 'w')"
        )
        with pytest.raises(
            CheckpointError, match=r"no checkpoint of a method that is known here .*--trust-remote-code"
        ):
            load_checkpoint(folder)
        assert not (tmp_path / "ran").exists()
        model, processor = load_checkpoint(folder, trust_remote_code=True)
        assert (tmp_path / "ran").exists() and type(model).__module__.startswith("transformers_modules.")
        # What is trained from it takes the code along.
        model.save_pretrained(tmp_path / "again")
        processor.save_pretrained(tmp_path / "again")
        again, processor = load_checkpoint(tmp_path / "again", trust_remote_code=True)
        assert type(again).__name__ == "OwnModel" and type(processor).__name__ == "OwnProcessor"
        assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_checkpoint_of_a_method_that_is_not_there_is_told_so_without_a_question(tokenizer, tmp_path):
    for part in tiny_method(EVERY_METHOD[0].values[0], tokenizer):
        part.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "not_there"}))
    for trust in (False, True):
        with pytest.raises(CheckpointError, match=r"is no checkpoint of a method that is known here .*--plugin"):
            load_checkpoint(tmp_path, trust)


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_what_a_processor_needs_and_lacks_is_an_error(folder):
    parts = [name for name, value in json.loads((folder / "processor_config.json").read_text()).items() if "_" in name]
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    lacking = {
        name: lambda name=name: edit(folder / "processor_config.json", lambda content: content.pop(name))
        for name in parts
        if name.endswith(("processor", "extractor"))
    }
    lacking |= {name: (folder / name).unlink for name in ("processor_config.json", "tokenizer.json") if name in kept}
    assert len(lacking) >= 3
    for name, remove in lacking.items():
        remove()
        with pytest.raises(CheckpointError, match="processor") as caught:
            load_checkpoint(folder)
        assert "\n" not in str(caught.value), name
        with pytest.raises((ValueError, OSError)):
            AutoProcessor.from_pretrained(folder)
        for name, content in kept.items():
            (folder / name).write_bytes(content)


def test_model_and_processor_have_to_agree_on_sentences(saved_sam2_love, saved_sama_avs, tmp_path):
    text = shutil.copytree(saved_sam2_love, tmp_path / "text")
    edit(text / "tokenizer.json", lambda content: content["model"]["vocab"].update(zebra=5000))
    with pytest.raises(CheckpointError, match="its tokenizer gives tokens up to 5000, the model knows"):
        load_checkpoint(text)
    silent = shutil.copytree(saved_sama_avs, tmp_path / "silent")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(saved_sam2_love / file, silent)
    edit(silent / "processor_config.json", lambda content: content.update(needs_text=True))
    with pytest.raises(CheckpointError, match="the model does not read, its processor does"):
        load_checkpoint(silent)


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_hidden_layers", 10**9), ("depth", 10_001), ("image_size", [10**9, 10**9]), ("any", 10**30)],
)
def test_sizes_that_no_model_has_are_refused_before_anything_is_built(saved_sam2_love, tmp_path, name, value):
    folder = shutil.copytree(saved_sam2_love, tmp_path / "large")
    edit(folder / "config.json", lambda content: content["sam2_config"].update({name: value}))
    with pytest.raises(CheckpointError, match=f"{name} is 10.* in its config.json, .* is the most accepted"):
        load_checkpoint(folder)


@pytest.mark.parametrize("table", ["AAAA", "/////wAA", "no base 64", "", "AwAAAAAAAA=="])
def test_tables_of_characters_that_would_end_the_process_are_refused(saved_sam2_love, tmp_path, table):
    folder = shutil.copytree(saved_sam2_love, tmp_path / "table")
    normalizer = {"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": table}]}
    edit(folder / "tokenizer.json", lambda content: content.update(normalizer=normalizer))
    with pytest.raises(CheckpointError, match=r"precompiled_charsmap in its tokenizer.json is damaged"):
        load_checkpoint(folder)


@pytest.mark.parametrize("file", ["config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_files_that_are_not_what_they_should_be_are_told_in_one_line(saved_sam2_love, tmp_path, file, content):
    folder = shutil.copytree(saved_sam2_love, tmp_path / "damaged")
    (folder / file).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    assert str(caught.value).startswith(f"{folder}: ") and "\n" not in str(caught.value)
