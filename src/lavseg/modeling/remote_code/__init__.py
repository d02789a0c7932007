"""Lets `trust_remote_code=True` find the installed package from a checkpoint alone."""

import shutil
from pathlib import Path

STUB = Path(__file__).with_name("hub_lavseg.py")

# What `auto_map` in config.json and processor_config.json says; the same for every method.
AUTO_MAP = {
    "AutoConfig": f"{STUB.stem}.Config",
    "AutoModel": f"{STUB.stem}.Model",
    "AutoProcessor": f"{STUB.stem}.Processor",
}


def write_stub(folder: str | Path) -> Path:
    """Put the file that `AUTO_MAP` points to into a checkpoint; returns its path there."""
    return Path(shutil.copyfile(STUB, Path(folder) / STUB.name))
