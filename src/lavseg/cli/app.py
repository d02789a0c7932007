"""`lavseg app`: the web app."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from .first_use import CHOICE, MODEL, Yes, make_available
from .one_line_errors import one_line_errors
from .outside import Plugins, TrustRemoteCode, load_plugins
from .quiet import silence_libraries

# The demo's model, in a clone of the repository.
SHIPPED_MODEL = Path(__file__).parents[3] / "examples" / "sam2-love-tiny"


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{MODEL} Give it again for further ones to choose from.",
            show_default="a toy that knows drawn objects, in a clone of the repository",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port to listen at.", show_default="a free one from 7860 on", min=0, max=65535)
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(
            help="Serve nothing, but write a Hugging Face Space with the page into this folder, new or empty.",
            show_default=False,
        ),
    ] = None,
    plugin: Plugins = None,
    trust_remote_code: TrustRemoteCode = False,
    yes: Yes = False,
) -> None:
    """Open a web page that segments clips: upload or record one, write sentences, see and download the masks.

    Uploads and results lie in a temporary folder that is gone when Ctrl-C ends the app.
    """
    with one_line_errors("lavseg app"):
        if find_spec("gradio") is None:
            raise ImportError("Gradio is not installed; install it with: pip install 'lavseg[app]'")
        if space is None:
            _check_address(host, port)
            models = model or _toy()
            for name in models:
                make_available(name, yes)
            _serve(plugin, models, host, port, trust_remote_code)
        elif plugin:
            raise ValueError("--plugin: a Space holds this package alone; leave it out, or add the module to the Space")
        else:
            _write_space(space, _without_names(model or _toy()), trust_remote_code)


def _without_names(models: list[str]) -> list[str]:
    """Folders and Hub ids as they are: in a Space nobody agrees to what a released checkpoint fetches."""
    from ..released import find_release

    for name in models:
        if find_release(name):
            raise ValueError(
                f"--model: a Space takes folders and Hub ids, not {name}; push the folder that "
                "lavseg.checkpoint_folder gives to the Hub, if its licence allows, and give that id"
            )
    return models


def _toy() -> list[str]:
    """The shipped model, whose notice is logged when it is loaded: it is of no use for real clips."""
    if not SHIPPED_MODEL.is_dir():
        raise ValueError(f"--model: is missing; {CHOICE}")
    return [str(SHIPPED_MODEL)]


def _check_address(host: str, port: int | None) -> None:
    """Find out before anything is loaded whether the server could listen there."""
    try:
        (family, kind, _, _, address), *_ = socket.getaddrinfo(
            host.strip("[]") or None, port or 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        with socket.socket(family, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except (OSError, UnicodeError) as error:
        raise ValueError(
            f"--host, --port: cannot listen at {host}{'' if port is None else f' port {port}'} "
            f"({error.strerror if isinstance(error, OSError) else error}); "
            "give an address of this machine, such as 127.0.0.1, and a free port"
        ) from error


def _serve(plugins: list[str] | None, models: list[str], host: str, port: int | None, trust_remote_code: bool) -> None:
    with _folder_of_gradio() as folder:
        from ..app import launch

        load_plugins(plugins)
        silence_libraries()
        launch(models, folder, host, port, _tell_address, trust_remote_code)


def _write_space(space: Path, models: list[str], trust_remote_code: bool) -> None:
    with _folder_of_gradio():
        from ..app.space import write_space

        silence_libraries()
        write_space(space, models, trust_remote_code)
    typer.echo(f"{space}: a Space; upload it with: hf upload USER/NAME {space} --repo-type space")


@contextmanager
def _folder_of_gradio() -> Iterator[str]:
    """A temporary folder for what Gradio and matplotlib write, once they are imported: the latter would write into the
    user's home."""
    with TemporaryDirectory(prefix="lavseg-app-") as folder:
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "MPLCONFIGDIR": folder}
        yield folder


def _tell_address(url: str) -> None:
    typer.echo(f"lavseg app: {url} (Ctrl-C ends it)")
