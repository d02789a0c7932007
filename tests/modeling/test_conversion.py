import json

import pytest
import torch
from safetensors.torch import save_file

from lavseg.modeling.conversion import TensorFolder, read_tensors, write_shards


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_short_is_named(tmp_path, legacy, share):
    whole, cut = tmp_path / "whole.pth", tmp_path / "cut.pth"
    torch.save({"a": torch.randn(300, 300), "b": torch.ones(5)}, whole, _use_new_zipfile_serialization=not legacy)
    cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    assert read_tensors(whole, "file").keys() == {"a", "b"}
    with pytest.raises(ValueError, match=r"file: .*cut\.pth is not a PyTorch file of plain tensors, or was cut short"):
        read_tensors(cut, "file")


@pytest.mark.parametrize("content", [[torch.ones(2)], {"a": 1}, {0: torch.ones(2)}, {"model": [torch.ones(2)]}])
def test_other_content_is_named(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="does not hold a state dict"):
        read_tensors(tmp_path / "other.pth", "file")


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_the_tensors_of_a_folder_are_read_one_by_one(tmp_path, kind):
    state = {name: torch.randn(3, 2) for name in ("first", "second", "third")}
    for index, names in enumerate((["first", "second"], ["third"])):
        part = {name: state[name] for name in names}
        if kind == "bin":
            torch.save(part, tmp_path / f"pytorch_model-{index}.bin")
        else:
            save_file(part, tmp_path / f"model-{index}.safetensors")
    found = TensorFolder(tmp_path, "folder")
    assert len(found) == 3 and found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    first = next(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:40])
    with pytest.raises(ValueError, match=f"^folder: .*{first.name}"):
        TensorFolder(tmp_path, "folder")


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"^folder: .* holds no \*\.safetensors and no pytorch_model"):
        TensorFolder(tmp_path, "folder")


def test_tensors_are_written_file_by_file_and_loaded_as_a_model(tmp_path):
    model = torch.nn.Sequential(*(torch.nn.Linear(8, 8) for _ in range(6)))
    state = {f"layer.{name}": value for name, value in model.state_dict().items()}
    shared = {"first": state["layer.0.weight"], "second": state["layer.0.weight"]}
    write_shards({**state, **shared}.items(), tmp_path, shard_bytes=600)
    files = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert len(files) > 2 and files[0] == f"model-00001-of-{len(files):05}.safetensors"
    found = TensorFolder(tmp_path, "folder")
    assert found.keys() == {*state, *shared}
    assert all(torch.equal(found[name], value) for name, value in {**state, **shared}.items())
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == set(files) and index["weight_map"].keys() == found.keys()
    (tmp_path / "one.d").mkdir()
    write_shards(state.items(), tmp_path / "one.d")
    assert [path.name for path in (tmp_path / "one.d").iterdir()] == ["model.safetensors"]
    with pytest.raises(ValueError, match=r"^b holds NaN"):
        write_shards([("a", torch.ones(2)), ("b", torch.full((2,), torch.nan))], tmp_path / "one.d")
