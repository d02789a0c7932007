"""`lavseg app`: the web app."""

import os
import socket
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from .first_use import MODEL, Yes, make_available
from .one_line_errors import one_line_errors
from .outside import Plugins, TrustRemoteCode, load_plugins
from .quiet import silence_libraries

# The demo's model, in a clone of the repository.
SHIPPED_MODEL = Path(__file__).parents[3] / "examples" / "sam2-love-tiny"


def serve(
    model: Annotated[
        str | None,
        typer.Option(help=MODEL, show_default="the demo's, in a clone of the repository"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Port to listen at.", show_default="a free one from 7860 on", min=0, max=65535)
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
        if model is None and not SHIPPED_MODEL.is_dir():
            raise ValueError("--model: is missing; give the folder or Hub id of a checkpoint")
        _check_address(host, port)
        make_available(model or str(SHIPPED_MODEL), yes)
        _run(plugin, model or str(SHIPPED_MODEL), host, port, trust_remote_code)


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


def _run(plugins: list[str] | None, model: str, host: str, port: int | None, trust_remote_code: bool) -> None:
    """`launch` in a temporary folder, with the libraries' own messages silenced."""
    with TemporaryDirectory(prefix="lavseg-app-") as folder:
        # Read when Gradio and matplotlib are imported; without the last one matplotlib writes into the user's home.
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "MPLCONFIGDIR": folder}
        from ..app import launch

        load_plugins(plugins)
        silence_libraries()
        launch(model, folder, host, port, _tell_address, trust_remote_code)


def _tell_address(url: str) -> None:
    typer.echo(f"lavseg app: {url} (Ctrl-C ends it)")
