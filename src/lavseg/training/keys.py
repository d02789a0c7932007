"""What the keys of recipes mean: what `lavseg train --keys` lists."""

from dataclasses import MISSING, Field, fields

from transformers import TrainingArguments

from .arguments import LavsegTrainingArguments
from .run import RunArguments, encoders


def own_keys() -> dict[str, tuple[str, str]]:
    """Keys that are this package's: of each its default, empty where it has none, and its meaning."""
    theirs = {item.name for item in fields(TrainingArguments)}
    own = [item for kind in (RunArguments, LavsegTrainingArguments) for item in fields(kind) if item.init]
    found = {item.name: _described(item) for item in own if item.name not in theirs}
    parts = {name: f"Checkpoint of an encoder, of {', '.join(methods)}." for name, methods in encoders().items()}
    return found | {name: ("", meaning) for name, meaning in parts.items()}


def transformers_keys() -> dict[str, tuple[str, str]]:
    """As [`own_keys`], those of Transformers' `TrainingArguments`, with the defaults that rule here."""
    theirs = {item.name: item for item in fields(TrainingArguments)}
    here = {item.name: item for item in fields(LavsegTrainingArguments)}
    return {name: _described(here[name]) for name in theirs if here[name].init}


def _described(item: Field) -> tuple[str, str]:
    default = item.default_factory() if item.default_factory is not MISSING else item.default
    shown = "" if default is MISSING or default in (None, [], {}) else str(getattr(default, "value", default))
    return shown, " ".join(item.metadata.get("help", "").replace("%%", "%").split())
