"""Writes a Hugging Face Space that serves the web app."""

import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import requires, version
from pathlib import Path

from huggingface_hub import SpaceCardData
from packaging.requirements import Requirement

from ..checkpoint import CODE, FILES, load_checkpoint
from ..output_folders import check_new_folder, staged_folder
from .layout import TITLE
from .page import shown_names

PACKAGE = Path(__file__).parents[1]
PORT = 7860
# A Space is reached through the proxy of the Hub alone, which names the user.
PROGRAM = '''"""Serves the web app of lavseg."""

import os
import sys

os.environ["FORWARDED_ALLOW_IPS"] = "*"
sys.argv[1:] = {arguments}

from lavseg.cli import main  # noqa: E402

main()
'''


def write_space(folder: str | Path, models: Sequence[str | Path], trust_remote_code: bool = False) -> None:
    """Write the files of a Space: `app.py`, `requirements.txt`, `README.md` with its front matter, this package, and
    those of the checkpoints that are folders here.

    Args:
        folder: a new or an empty one.
        models: folders or Hub ids of checkpoints, for users to choose from; what the Space fetches from the Hub when
            it starts is not looked at.
        trust_remote_code: see [`load_checkpoint`].

    Raises:
        ValueError: (of which `CheckpointError` is one) the folder is in use, or a checkpoint cannot be used.
    """
    check_new_folder(folder, "space")
    names = shown_names(models)
    with staged_folder(folder) as space:
        arguments = ["app", "--host", "0.0.0.0", "--port", str(PORT)]
        for model, name in zip(models, names, strict=True):
            if Path(model).is_dir():
                load_checkpoint(model, trust_remote_code)
                name = f"checkpoints/{name}"
                _copy_checkpoint(Path(model), space / name, trust_remote_code)
            arguments += ["--model", name]
        arguments += ["--trust-remote-code"] * trust_remote_code
        shutil.copytree(PACKAGE, space / "lavseg", ignore=shutil.ignore_patterns("__pycache__"))
        (space / "app.py").write_text(PROGRAM.format(arguments=arguments), encoding="utf-8")
        (space / "requirements.txt").write_text("\n".join(_requirements()) + "\n", encoding="utf-8")
        card = _card([name for model, name in zip(models, names, strict=True) if not Path(model).is_dir()])
        (space / "README.md").write_text(card, encoding="utf-8")


def _copy_checkpoint(source: Path, target: Path, with_code: bool) -> None:
    """What loading reads, and texts about it."""
    target.mkdir(parents=True)
    for pattern in (*FILES, *(CODE if with_code else []), "*.md", "LICENSE*"):
        for file in source.glob(pattern):
            shutil.copy(file, target / file.name)


def _requirements() -> list[str]:
    """What the package and its web app need, by version."""
    found = [Requirement(line) for line in requires("lavseg") or []]
    needed = [one for one in found if one.marker is None or one.marker.evaluate({"extra": "app"})]
    return [f"{one.name}{one.specifier}" for one in needed]


def _card(hub_models: list[str]) -> str:
    fields = SpaceCardData(
        title=TITLE,
        sdk="gradio",
        sdk_version=version("gradio"),
        python_version=f"{sys.version_info.major}.{sys.version_info.minor}",
        app_file="app.py",
        models=hub_models or None,
        tags=["audio-visual-segmentation"],
        emoji="🎺",
        colorFrom="green",
        colorTo="yellow",
        pinned=False,
    )
    return (
        f"---\n{fields.to_yaml()}\n---\n\n# {TITLE}\n\nWritten by `lavseg app --space`: `app.py` serves the web app "
        "of the package in the folder `lavseg`.\n"
    )
