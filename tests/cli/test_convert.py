import json
import math
from hashlib import sha256

import pytest
import torch
from transformers import AutoModel, AutoProcessor, Sam2VideoModel
from typer.testing import CliRunner

from avsegformer_reference import UNUSED
from hub_stand_in import empty_cache
from lavseg import released as registry
from lavseg.backbones.sam2.convert_sam2 import read_sam2
from lavseg.cli import app
from lavseg.models.st_bava import convert_st_bava
from published_files import PUBLISHED, aural_sam2_file, expect_tiny, st_bava_file, vggish_file


def convert(*arguments):
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


@pytest.fixture(autouse=True)
def tiny_sizes(monkeypatch):
    expect_tiny(monkeypatch.setattr)


@pytest.fixture
def st_bava(tmp_path):
    return st_bava_file(tmp_path)


@pytest.fixture
def aural_sam2(tmp_path):
    return aural_sam2_file(tmp_path)


@pytest.fixture(params=PUBLISHED)
def released(request, tmp_path):
    """Name of a method, its published file, and options that go with it."""
    return request.param.replace("_", "-"), *PUBLISHED[request.param](tmp_path)


def test_a_folder_that_the_auto_classes_read(released, tmp_path):
    name, file, options = released
    out = tmp_path / "new" / "out"
    result = convert(name, file, "--out", out, *options)
    assert result.exit_code == 0, result.output
    model = AutoModel.from_pretrained(out)
    assert model.config.model_type == name.replace("-", "_")
    count = sum(parameter.numel() for parameter in model.parameters())
    assert result.stdout.splitlines()[0] == f"{out}: {type(model).__name__}, {count:,} parameters"
    if name not in ("vggish", "referformer"):  # which hear for others, or nothing
        assert AutoProcessor.from_pretrained(out).feature_extractor.sampling_rate == 16000
    files = {"st-bava": convert_st_bava.UNUSED_KEYS, "avsegformer": UNUSED, "eemc": ["model_v.criterion.empty_weight"]}
    files["stepping-stones"] = ["model.criterion.empty_weight"]
    files["referformer"] = ["text_encoder.embeddings.position_ids"]
    unused = sorted(files.get(name, ()))
    assert result.stdout.splitlines()[1:] == [f"not used: {key}" for key in unused]


def test_for_machines(st_bava, tmp_path):
    result = convert("st-bava", st_bava[0], "--out", tmp_path / "out", *st_bava[1], "--json")
    found = json.loads(result.stdout)
    assert found["model"] == "StBavaModel" and found["unused"] == sorted(convert_st_bava.UNUSED_KEYS)


def test_what_whoever_uses_it_has_to_know_is_said(tmp_path):
    file, options = PUBLISHED["stepping_stones"](tmp_path)
    state = {key: value for key, value in torch.load(file).items() if "blocks.0.output.swin_adapt_3" not in key}
    torch.save(state, file)
    said = convert("stepping-stones", file, "--out", tmp_path / "out", *options).stdout.splitlines()
    result = convert("stepping-stones", file, "--out", tmp_path / "again", *options, "--json")
    notice = AutoModel.from_pretrained(tmp_path / "out").config.notice
    assert "lacks" in notice and said[1] == f"note: {notice}" and json.loads(result.stdout)["notice"] == notice


def refused(result, name, *words):
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"lavseg convert {name}: ") and len(result.stderr.splitlines()) == 1
    assert all(word in result.stderr for word in words), result.stderr


def test_a_truncated_file_leaves_nothing_behind(released, tmp_path):
    name, file, options = released
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    before = {path.name for path in tmp_path.iterdir()}
    refused(convert(name, file, "--out", tmp_path / "out", *options), name, str(file))
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_file_of_another_method_leaves_nothing_behind(released, tmp_path):
    name, _, options = released
    torch.save({"backbone.weight": torch.zeros(3)}, tmp_path / "other.pth")
    refused(convert(name, tmp_path / "other.pth", "--out", tmp_path / "out", *options), name, "backbone.weight")
    assert not (tmp_path / "out").exists()


def test_code_in_a_file_is_not_run(released, tmp_path):
    name, _, options = released

    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    torch.save({"trap": Trap()}, tmp_path / "trap.pth")
    refused(convert(name, tmp_path / "trap.pth", "--out", tmp_path / "out", *options), name, "trap.pth")
    assert not (tmp_path / "sprung").exists() and not (tmp_path / "out").exists()


def test_a_folder_with_content_is_left_alone(released, tmp_path):
    name, file, options = released
    refused(convert(name, file, "--out", tmp_path, *options), name, "give a new or an empty folder")


def test_a_fuser_without_its_host_and_a_host_of_another_kind(aural_sam2, tmp_path):
    refused(convert("aural-sam2", aural_sam2[0], "--out", tmp_path / "out"), "aural-sam2", "sam2: ", "holds no host")
    assert not (tmp_path / "out").exists()


def test_the_host_comes_from_the_named_folder(aural_sam2, tmp_path):
    assert convert("aural-sam2", aural_sam2[0], "--out", tmp_path / "out", *aural_sam2[1]).exit_code == 0
    host = read_sam2(tmp_path / "host")
    found = AutoModel.from_pretrained(tmp_path / "out").sam2
    assert isinstance(found, Sam2VideoModel)
    assert all(torch.equal(value, host[key]) for key, value in found.state_dict().items())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_leave_nothing_behind(released, tmp_path, value):
    name, file, options = released
    content = torch.load(file)
    state = content.get("model", content)
    next(tensor for tensor in state.values() if tensor.is_floating_point() and tensor.numel()).view(-1)[0] = value
    torch.save(content, file)
    refused(convert(name, file, "--out", tmp_path / "out", *options), name, "holds NaN or infinite values")
    assert not (tmp_path / "out").exists()


def test_what_is_on_the_hub_is_converted_from_there(released, hub, monkeypatch, tmp_path):
    name, file, options = released
    empty_cache(monkeypatch, tmp_path / "cache")
    hub.repos["owner/name"] = {"private": False, "files": {f"ckpts/{file.name}": file.read_bytes()}}
    file.unlink()
    result = convert(name, f"hf://owner/name/ckpts/{file.name}", "--out", tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    assert AutoModel.from_pretrained(tmp_path / "out").config.model_type == name.replace("-", "_")
    absent = convert(name, "hf://owner/name/absent.pth", "--out", tmp_path / "other", *options)
    refused(absent, name, "hf://owner/name/absent.pth: cannot be fetched (")


@pytest.fixture
def public_vggish(hub, monkeypatch, tmp_path):
    """VGGish where its publisher has it, and the digest that is known of it."""
    content = vggish_file(tmp_path)[0].read_bytes()
    hub.pages["/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth"] = content
    text = registry.REGISTRY.read_text().replace("https://github.com", hub.endpoint)
    (tmp_path / "released.yaml").write_text(text.replace('10086976"', sha256(content).hexdigest()[:8] + '"'))
    monkeypatch.setattr(registry, "REGISTRY", tmp_path / "released.yaml")
    empty_cache(monkeypatch, tmp_path / "cache")


def test_vggish_needs_no_file(public_vggish, tmp_path):
    assert convert("vggish", "--out", tmp_path / "out").exit_code == 0
    assert convert("vggish", "--out", tmp_path / "again").exit_code == 0
    assert AutoModel.from_pretrained(tmp_path / "again").config.model_type == "vggish"


def test_another_file_in_the_place_of_vggish_is_refused(public_vggish, hub, tmp_path):
    (path,) = hub.pages
    hub.pages[path] = hub.pages[path][:-1]
    refused(convert("vggish", "--out", tmp_path / "out"), "vggish", "its sha256 is", "fetch it again")
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused_before_anything_is_fetched(public_vggish, hub, tmp_path):
    refused(convert("vggish", "--out", tmp_path), "vggish", "give a new or an empty folder")
    assert hub.requests == []
