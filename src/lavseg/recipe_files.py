"""Recipes: YAML files with the arguments of a training run, those that ship with the package and one's own.

A recipe holds keys and values, and under `reproduces` what was published for it. Or it holds what sets it apart from a
recipe beside it or of the package, `base` and `set`; or `variants`, each with these two and the published row.
"""

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

SHIPPED = Path(__file__).parent / "recipes"
# What a file with variants says about all of them at once, and what one of them says of itself.
_SHARED = ("paper", "protocol", "left_open")
_ROW = (*_SHARED, "table", "row", "published")
_LINES = "lines of a name and what it stands for"


@dataclass(frozen=True)
class Recipe:
    """Arguments of a training run.

    Args:
        name: what it was asked for as.
        keys: arguments of the run, and `model` with fields of the method's configuration.
        reproduces: of a published row `paper`, `table`, `row`, `published` (the numbers), `protocol` and `left_open`;
            empty where nothing was published.
    """

    name: str
    keys: dict[str, Any] = field(default_factory=dict)
    reproduces: dict[str, Any] = field(default_factory=dict)


def shipped_recipes() -> list[Recipe]:
    """The recipes in the package and their variants, by the names that [`load_recipe`] takes."""
    contents = {path.stem: _read(path) for path in sorted(SHIPPED.glob("*.yaml"))}
    found = [_plain(name, content) for name, content in contents.items() if "method" in content]
    for name, content in contents.items():
        if "base" in content:
            found.append(_changed(name, content, _plain(name, contents[content["base"]])))
        for variant, entry in content.get("variants", {}).items():
            found.append(_variant(f"{name}:{variant}", content, entry, _plain(name, contents[entry["base"]])))
    return found


def load_recipe(given: str) -> Recipe:
    """A recipe by the path of its file or, of those in the package, by its name; `:` and a name for a variant.

    Raises:
        ValueError: when there is none of that name, or it is not readable as a recipe.
        OSError: when a path leads to no file.
    """
    return _load(given, ())


def _load(given: str, changed: tuple[str, ...]) -> Recipe:
    """A recipe, on the way from those in `changed` to what they change."""
    if given in changed:
        raise ValueError(f"recipe: {changed[0]} changes itself, by way of the recipe under `base`")
    changed = (*changed, given)
    name, variant = given, ""
    if ":" in given and not Path(given).is_file():
        name, _, variant = given.rpartition(":")
    path = _find(name)
    content = _read(path)
    if "variants" not in content:
        if variant:
            raise ValueError(f"recipe: {name} has no variants, {variant!r} was asked for")
        return _changed(given, content, _base(content, path, changed)) if "base" in content else _plain(given, content)
    _check_read(name, content, "variants", _SHARED)
    variants = content["variants"]
    if variant not in variants:
        asked = f"{variant!r} is none of its" if variant else "name one of its"
        known = ", ".join(variants)
        raise ValueError(f"recipe: {name}: {asked} variants, which are {known}{resembling(variant, variants)}")
    entry = _check_kinds(f"{name}:{variant}", variants[variant])
    if "base" not in entry:
        raise ValueError(f"recipe: variant {variant!r} of {name} has no `base`, the recipe that it changes")
    return _variant(given, content, entry, _base(entry, path, changed))


def parse_settings(given: Iterable[str]) -> dict[str, Any]:
    """Values by name from `NAME=VALUE`, the value as in YAML or JSON.

    Raises:
        ValueError: for anything else.
    """
    settings = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ValueError(f"set: takes KEY=VALUE, such as model.num_hidden_layers=12, got {text!r}")
        try:
            settings[name.replace("-", "_")] = _value(value)
        except yaml.YAMLError as error:
            raise ValueError(f"set: the value in {text!r} is not readable as YAML") from error
    return settings


def with_settings(keys: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """`keys` with other values of some, named with dots where they lie deeper: `{"model.num_hidden_layers": 12}`.

    Raises:
        ValueError: when a name leads into something that has no fields.
    """
    changed = copy.deepcopy(dict(keys))
    for name, value in settings.items():
        *path, last = name.split(".")
        place = changed
        for part in path:
            if place.get(part) is None:
                place[part] = {}
            place = place[part]
            if not isinstance(place, dict):
                raise ValueError(f"set: {name} leads into {part}, which is {place!r} and has no fields")
        place[last] = value
    return changed


def _plain(name: str, content: dict[str, Any]) -> Recipe:
    keys = {key: value for key, value in content.items() if key != "reproduces"}
    return Recipe(name, keys, content.get("reproduces") or {})


def _base(entry: dict[str, Any], path: Path, changed: tuple[str, ...]) -> Recipe:
    """The recipe that an entry of the file `path` changes: another one beside it, or one of the package."""
    beside = path.with_name(f"{entry['base']}.yaml")
    return _load(str(beside) if beside.is_file() and beside != path else entry["base"], changed)


def _changed(name: str, content: dict[str, Any], base: Recipe) -> Recipe:
    _check_read(name, content, "base", ("set", "reproduces"))
    return Recipe(name, with_settings(base.keys, content.get("set") or {}), content.get("reproduces") or {})


def _variant(name: str, content: dict[str, Any], entry: dict[str, Any], base: Recipe) -> Recipe:
    _check_read(name, entry, "base", ("set", *_ROW))
    shared = {key: content[key] for key in _SHARED if key in content}
    own = {key: value for key, value in entry.items() if key not in ("base", "set")}
    return Recipe(name, with_settings(base.keys, entry.get("set") or {}), base.reproduces | shared | own)


def _check_read(name: str, entry: dict[str, Any], beside: str, read: Iterable[str]) -> None:
    """Refuse keys that nothing would read, of an entry that has the key `beside`."""
    for key in entry:
        if key not in (beside, *read):
            place = "`set` of a variant" if beside == "variants" else "`set`"
            raise ValueError(f"{name}: {key!r} beside `{beside}` would not be read; put it under {place}")


def _check_kinds(name: str, entry: Any) -> dict[str, Any]:
    """A recipe or variant as it is, where what leads to other recipes can be followed."""
    if not isinstance(entry, dict):
        raise ValueError(f"{name}: a recipe holds 'argument: value' lines")
    for key, kind, told in (("base", str, "the name of a recipe"), ("set", dict, _LINES), ("variants", dict, _LINES)):
        if entry.get(key) is not None and not isinstance(entry[key], kind):
            raise ValueError(f"{name}: `{key}` has to be {told}, got {entry[key]!r}")
    return entry


def _value(text: str) -> Any:
    try:  # YAML takes 1e-4 for a word
        return json.loads(text)
    except ValueError:
        return yaml.safe_load(text)


def _find(name: str) -> Path:
    path, shipped = Path(name), SHIPPED / f"{name}.yaml"
    if path.is_file() or not shipped.is_file():
        if path.exists() or path.suffix or len(path.parts) > 1:
            return path
        known = [recipe.stem for recipe in SHIPPED.glob("*.yaml")]
        raise ValueError(
            f"recipe: {name!r} is neither a file nor a recipe of the package{resembling(name, known)}; "
            "`lavseg recipes` lists those"
        )
    return shipped


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as YAML: {error}") from error
    return _check_kinds(str(path), content)


def resembling(name: str, known: Iterable[str]) -> str:
    """What an error adds where one of the known names is close to the one that was given."""
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
