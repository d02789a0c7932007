"""Deterministic damage to files: of their bytes, and of the values in JSON."""

import json
import random

# What stands in place of a value, beside values of its own kind.
VALUES = (None, 0, -1, 10**9, 10**30, 0.5, float("nan"), float("inf"), "", "no such thing", [], [[]], {}, True, False)


def damage_bytes(path, rng):
    """Cut, empty, overwrite or lengthen a file; returns what was done, in words."""
    content = bytearray(path.read_bytes())
    kind = rng.choice(("cut", "empty", "bytes", "head", "noise", "longer"))
    if kind == "cut":
        content = content[: rng.randrange(len(content))]
    elif kind == "empty":
        content = b""
    elif kind == "bytes":
        for _ in range(20):
            content[rng.randrange(len(content))] = rng.randrange(256)
    elif kind == "head":
        for place in range(min(16, len(content))):
            content[place] = rng.randrange(256)
    elif kind == "noise":
        content = rng.randbytes(1000)
    else:
        content += rng.randbytes(1000)
    path.write_bytes(content)
    return f"{path.name}: {kind}"


def damage_json(path, rng):
    """Remove or replace one value somewhere in a JSON file, or nest it deeply; returns what was done, in words."""
    content = json.loads(path.read_text())
    places = list(_places(content))
    container, key = rng.choice(places)
    kind = rng.choice(("remove", "replace", "replace", "replace", "like", "deep"))
    before = container[key]
    if kind == "remove":
        del container[key]
        done = "removed"
    else:
        container[key] = {"replace": rng.choice(VALUES), "like": _like(before, rng), "deep": "DEEP"}[kind]
        done = f"{str(before)[:40]} is {container[key]!r}"
    path.write_text(json.dumps(content).replace('"DEEP"', "[" * 5000 + "]" * 5000))
    return f"{path.name}: {key} {done}"


def _places(value):
    """Every place in nested lists and dictionaries; of long ones the first few."""
    keys = range(len(value)) if isinstance(value, list) else list(value)
    for key in keys[:40]:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _like(value, rng):
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return rng.choice((value + 1, value * 2, -value, value * 1000))
    if isinstance(value, str):
        return value[::-1] or "x"
    return value * 2 if isinstance(value, list) else {}


def generator(seed):
    """Random numbers that are the same wherever the tests run."""
    return random.Random(seed)
