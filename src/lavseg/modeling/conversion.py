"""Reads foreign PyTorch files without executing code, compares them with models, and splits layers that were one."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from transformers.core_model_loading import Chunk, WeightConverter

from .inputs import first_non_finite

_PROJECTIONS = ("q_proj", "k_proj", "v_proj")
# For `from_pretrained`, what `split_in_proj` is for state dicts.
IN_PROJ_CONVERTERS = [
    WeightConverter(
        [rf"\.in_proj\.{kind}"], [f".{projection}.{kind}" for projection in _PROJECTIONS], operations=[Chunk(dim=0)]
    )
    for kind in ("weight", "bias")
]


def split_in_proj(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict in which each `in_proj.weight` or `in_proj_weight`, that of queries, keys and values in one, has
    become `q_proj.weight`, `k_proj.weight` and `v_proj.weight`; biases likewise."""
    split = {}
    for key, value in state.items():
        parent, found, kind = key.rpartition("in_proj")
        if found and kind[1:] in ("weight", "bias"):
            names = (f"{parent}{projection}.{kind[1:]}" for projection in _PROJECTIONS)
            split |= zip(names, value.chunk(3), strict=True)
        else:
            split[key] = value
    return split


def split_in_proj_hook(module: nn.Module, state: dict[str, torch.Tensor], *args: Any) -> None:
    """Let `load_state_dict` of a layer with three projections read the state dict of one that had them in one, see
    `torch.nn.Module.register_load_state_dict_pre_hook`."""
    split = split_in_proj(state)
    state.clear()
    state.update(split)


def read_tensors(path: str | Path, argument: str, mmap: bool = False) -> dict[str, torch.Tensor]:
    """The state dict that a PyTorch file holds, on its own or as its "model" entry.

    Args:
        path: the file; only tensors and plain containers are unpickled.
        argument: its name in error messages.
        mmap: leave the tensors on disk until they are read.

    Raises:
        ValueError: when there is no such file, it cannot be read, or it holds something else.
    """
    content = unpickled(path, argument, mmap)
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in content.items()
    ):
        raise ValueError(f"{argument}: {path} does not hold a state dict, a dict from names to tensors")
    return content


def unpickled(path: str | Path, argument: str, mmap: bool = False) -> Any:
    """What a PyTorch file holds, of tensors, plain containers and what `torch.serialization.safe_globals` lets in.

    Args:
        path, argument, mmap: as in `read_tensors`.

    Raises:
        ValueError: when there is no such file, or it cannot be read.
    """
    if not Path(path).is_file():
        raise ValueError(f"{argument}: there is no file {path}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # what torch raises for a damaged file is not bounded
        raise ValueError(
            f"{argument}: {path} is not a PyTorch file of plain tensors, or was cut short: {error}"
        ) from error


class TensorFolder(Mapping):
    """The tensors of a folder as models of Transformers are saved, read from disk one by one when they are asked for.

    Args:
        folder: with `*.safetensors` or, where there are none, `pytorch_model*.bin` files.
        argument: its name in error messages.

    Raises:
        ValueError: when it holds no such file, or one cannot be read.
    """

    def __init__(self, folder: str | Path, argument: str):
        self._files = {}
        for path in sorted(Path(folder).glob("*.safetensors")):
            with _readable(path, argument), safe_open(path, "pt") as file:
                self._files |= dict.fromkeys(file.keys(), path)
        if not self._files:
            for path in sorted(Path(folder).glob("pytorch_model*.bin")):
                self._files |= read_tensors(path, argument, mmap=True)
        if not self._files:
            raise ValueError(f"{argument}: {folder} holds no *.safetensors and no pytorch_model*.bin")

    def __getitem__(self, key: str) -> torch.Tensor:
        found = self._files[key]
        if isinstance(found, torch.Tensor):
            return found
        with safe_open(found, "pt") as file:
            return file.get_tensor(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


@contextmanager
def _readable(path: Path, argument: str) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{argument}: {path} cannot be read, or was cut short: {error}") from error


def write_shards(
    tensors: Iterable[tuple[str, torch.Tensor]], folder: str | Path, shard_bytes: int = 1_000_000_000
) -> None:
    """Write tensors as the weights of a model, as they come: no more than one file's worth of them is held in memory.

    Args:
        tensors: by name.
        folder: where `model*.safetensors` and, if there are several, their index go.
        shard_bytes: size of a file that is not exceeded but by a single tensor.

    Raises:
        ValueError: that names the first tensor with NaN or infinite values.
    """
    folder, shards, shard, size = Path(folder), [], {}, 0

    def flush() -> None:
        path = folder / f"shard-{len(shards)}"
        save_file(shard, path, {"format": "pt"})
        path.chmod(0o644)  # safetensors lets nobody but the owner read
        shards.append(list(shard))
        shard.clear()

    total = 0
    for name, tensor in tensors:
        check_finite({name: tensor})
        if shard and size + tensor.nbytes > shard_bytes:
            flush()
            size = 0
        shared = any(tensor.data_ptr() == other.data_ptr() for other in shard.values())  # under two names
        shard[name] = tensor.clone() if shared else tensor.contiguous()
        size, total = size + tensor.nbytes, total + tensor.nbytes
    flush()
    names = [f"model-{index + 1:05}-of-{len(shards):05}.safetensors" for index in range(len(shards))]
    names = names if len(shards) > 1 else ["model.safetensors"]
    for index, name in enumerate(names):
        (folder / f"shard-{index}").rename(folder / name)
    if len(shards) > 1:
        places = {key: name for keys, name in zip(shards, names, strict=True) for key in keys}
        index = {"metadata": {"total_size": total}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")


def check_finite(tensors: dict[str, torch.Tensor]) -> None:
    """Look at the numbers of a file.

    Raises:
        ValueError: that names the first tensor with NaN or infinite values.
    """
    if name := first_non_finite(tensors):
        raise ValueError(f"{name} holds NaN or infinite values; fetch the file again, or take another one")


def check_state(
    state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], what: str, unknown: Iterable[str] = ()
) -> None:
    """Compare a converted state dict with the model's own, and look at its numbers.

    Args:
        state: tensors by the model's names.
        expected: the model's own state dict.
        what: what the file should be, for the message.
        unknown: keys of the file that no rule converts.

    Raises:
        ValueError: that names every key which is missing, unexpected or of another shape, or else the first tensor with
            NaN or infinite values.
    """
    misshaped = [
        f"{key} is {list(state[key].shape)} instead of {list(expected[key].shape)}"
        for key in sorted(expected.keys() & state.keys())
        if state[key].shape != expected[key].shape
    ]
    problems = {
        "missing keys": sorted(expected.keys() - state.keys()),
        "unexpected keys": sorted({*(state.keys() - expected.keys()), *unknown}),
        "wrong shapes": misshaped,
    }
    found = [f"{problem}: {', '.join(items)}" for problem, items in problems.items() if items]
    if found:
        raise ValueError(f"this is not {what}; {'; '.join(found)}")
    check_finite(state)
