"""Options of the commands that take checkpoints: methods and code from outside the package."""

from collections.abc import Iterable
from typing import Annotated

import typer

Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="MODULE",
        help="Python module that registers a method from outside the package; give it again for further ones.",
        show_default=False,
    ),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Run Python files that lie in a checkpoint where they define its method. They can do whatever you can: "
        "only for checkpoints whose authors you trust.",
    ),
]


def load_plugins(modules: Iterable[str] | None) -> None:
    """Import the modules of `--plugin`."""
    if modules:
        from ..auto import load_plugin

        for module in modules:
            load_plugin(module)
