"""Settings that a command line or a recipe gives as one value: a mapping, as YAML or JSON."""

from dataclasses import fields
from typing import Any, TypeVar

import yaml

from ..modeling.inputs import check_keys

Settings = TypeVar("Settings")


def read_yaml(name: str, given: str | None) -> Any:
    """What `given` says, None for nothing.

    Raises:
        ValueError: when it is not readable.
    """
    try:
        return yaml.safe_load(given) if given else None
    except yaml.YAMLError as error:
        raise ValueError(f"{name}: {given!r} is not readable as YAML: {error}") from error


def read_settings(name: str, given: str | None, kind: type[Settings]) -> Settings | None:
    """An object of the dataclass `kind`: with its defaults for "true", with other fields for a mapping, and None for
    nothing or "false".

    Raises:
        ValueError: when it is something else, or does not fit the fields.
    """
    settings = read_yaml(name, given)
    if settings in (None, False):
        return None
    if settings is True:
        settings = {}
    if not isinstance(settings, dict):
        raise ValueError(f"{name}: takes true, or fields of {kind.__name__} as a mapping, got {given!r}")
    check_keys(name, settings, {item.name for item in fields(kind)})
    try:
        return kind(**settings)
    except TypeError as error:
        raise ValueError(f"{name}: {given!r} holds a value of a wrong type: {error}") from error
