"""`lavseg recipes`: the recipes that come with the package."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from .printing import print_json, print_table


def recipes(as_json: Annotated[bool, typer.Option("--json", help="Print all that is known as JSON.")] = False) -> None:
    """List the recipes that `lavseg train` takes by name, and the published table row that each one reproduces."""
    from ..recipe_files import shipped_recipes

    found = shipped_recipes()
    if as_json:
        print_json([asdict(recipe) for recipe in found])
        return
    print_table(
        ["recipe", "reproduces", "published"],
        [(recipe.name, _row(recipe.reproduces), published_numbers(recipe.reproduces)) for recipe in found],
    )


def _row(reproduces: dict[str, Any]) -> str:
    return ", ".join(str(reproduces[part]) for part in ("paper", "table", "row") if part in reproduces)


def published_numbers(reproduces: dict[str, Any]) -> str:
    """Published numbers of what a recipe or a checkpoint reproduces, by split or subset."""
    splits = reproduces.get("published", {}).items()
    return "; ".join(f"{split} " + " ".join(f"{name} {value}" for name, value in row.items()) for split, row in splits)
