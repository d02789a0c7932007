"""`lavseg info`: versions and devices, for reports of faults."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from .printing import print_json

PACKAGES = (
    "lavseg",
    "torch",
    "torchaudio",
    "torchvision",
    "transformers",
    "accelerate",
    "datasets",
    "evaluate",
    "huggingface-hub",
    "av",
    "numpy",
    "gradio",
    "deepspeed",
    "sam2",
)


def info(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """Show the versions of the packages involved and the devices that models can run on."""
    found = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": _devices(),
    }
    if as_json:
        print_json(found)
        return
    for name, value in {"python": found["python"], "platform": found["platform"], **found["packages"]}.items():
        typer.echo(f"{name:16} {value or 'not installed'}")
    for device in found["devices"]:
        typer.echo(f"{device['name']:16} {device['description']}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _devices() -> list[dict[str, str]]:
    """Devices by the names that `--device` takes."""
    import torch

    found = [{"name": "cpu", "description": f"{os.cpu_count()} cores, {torch.get_num_threads()} threads used"}]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / 2**30
        found.append({"name": f"cuda:{index}", "description": f"{properties.name}, {memory:.1f} GiB"})
    if torch.backends.mps.is_available():
        found.append({"name": "mps", "description": "Apple GPU"})
    return found
