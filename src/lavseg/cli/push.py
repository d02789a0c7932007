"""`lavseg push`: a checkpoint to the Hub."""

from pathlib import Path
from typing import Annotated

import typer

from .one_line_errors import one_line_errors
from .outside import Plugins, TrustRemoteCode, load_plugins
from .printing import Json, print_json
from .quiet import silence_libraries


def push(
    folder: Annotated[Path, typer.Argument(help="Folder of a checkpoint.", metavar="FOLDER", show_default=False)],
    name: Annotated[str, typer.Argument(help="Where to, on the Hub.", metavar="ORG/NAME", show_default=False)],
    private: Annotated[bool, typer.Option("--private", help="Make it private if it is new.")] = False,
    plugin: Plugins = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
) -> None:
    """Upload model and processor with a model card.

    A README.md in FOLDER is the card; without one the card is written from the configuration, the record that
    training left in FOLDER, and an evaluation.json there (lavseg evaluate --out). Log in first: hf auth login.
    """
    with one_line_errors("lavseg push"):
        page = _run(plugin, folder, name, private, trust_remote_code)
    if as_json:
        print_json({"name": name, "page": page})
    else:
        typer.echo(page)


def _run(plugins: list[str] | None, folder: Path, name: str, private: bool, trust_remote_code: bool) -> str:
    """`push_to_hub` with its stages shown on stderr and the libraries' own messages silenced."""
    from rich.console import Console

    with Console(stderr=True).status("Starting") as status:
        silence_libraries()
        from ..hub.upload import push_to_hub

        load_plugins(plugins)
        return push_to_hub(folder, name, private, status.update, trust_remote_code)
