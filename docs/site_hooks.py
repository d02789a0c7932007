"""What the site has from elsewhere: the repository's address from pyproject.toml, and the page on the commands."""

import re
import tomllib
from pathlib import Path
from typing import Any

import typer
from typer.cli import get_docs_for_click

from lavseg.cli import app

ROOT = Path(__file__).parents[1]


def on_config(config: Any) -> None:
    """Link to the repository, and from each page to its source."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    config.repo_url = project["urls"]["Repository"]
    config.repo_name = config.repo_url.split("/", 3)[-1]
    config.edit_uri = "edit/main/docs/"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put the commands where a page asks for them."""
    return markdown.replace("<!-- commands -->", commands()) if page.file.src_uri == "command_line.md" else markdown


def commands() -> str:
    """All commands with their arguments and options, from what `--help` says, as Markdown below headings of level 2."""
    group = typer.main.get_command(app)
    text = get_docs_for_click(obj=group, ctx=typer.Context(group, info_name="lavseg"), name="lavseg", indent=1)
    text = text.replace("```console\n$ ", "```text\n")
    # Of arguments the type goes without saying, and a list is a matter of Python.
    text = re.sub(r"^(\* `[^-`]+?) <(?:str|path|list\[str\])>`", r"\1`", text, flags=re.M)
    return text.replace("<list[str]>`", "<str>`")
