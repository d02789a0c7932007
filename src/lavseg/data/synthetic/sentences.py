"""Sentences about synthetic clips: how what they say is worded, scenes that allow them, and a tokenizer for them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from tokenizers import ByteLevelBPETokenizer
from transformers import RobertaTokenizer

from .cast import DRAWN_BAND, Cast
from .queries import PROPERTIES, Query, find_absent, find_queries, held_out
from .scene import SceneObject, draw_objects

KINDS = ("words", "sound", "both", "null")
SCENES = ("words", "sound", "both", "combination", "silent")
ANIMALS = ("dog", "bird")
# How often a scene is drawn for each kind of sentence where none is asked for.
_MIXTURE = {"words": 0.2, "sound": 0.4, "both": 0.4}
_ONE_SOUNDS = 0.65
_MOST_DRAWS = 2000

_SIDES = ("on the {}", "on the {} side", "in the {} half of the picture")
_MOVES = {
    "left": ("moves left", "moves to the left"),
    "right": ("moves right", "moves to the right"),
    "up": ("moves up", "moves upwards"),
    "down": ("moves down", "moves downwards"),
    "still": ("stays in place", "stays where it is"),
    "enters": ("comes in late", "comes into the picture later", "is not there at first"),
    "leaves": ("leaves", "leaves the picture", "goes away"),
}
_SOUNDS = {
    True: ("that you can hear", "that you hear", "that makes a sound", "that can be heard"),
    False: ("that you cannot hear", "that makes no sound", "that stays silent"),
}
_SOUNDS_OF_MOVING = {True: ("makes a sound", "can be heard"), False: ("makes no sound", "cannot be heard")}
_PLAYS = {True: "that is playing", False: "that is not playing"}
_PARTS = {
    "first": ("the {} you hear first", "the {} that starts first", "the first {} you hear"),
    "last": ("the {} that starts last", "the last {} to start", "the {} that joins in last"),
    "stops": ("the {} that falls silent", "the {} that stops making a sound", "the {} that goes quiet"),
}
# Names whose plural is not theirs with an s are not used in it.
_ODD_PLURALS = ("s", "x", "z", "ch", "sh", "y", "f", "man", "goose", "sheep")
_COMPARED = {"louder": ("louder", "loudest"), "softer": ("quieter", "quietest")}


@dataclass(frozen=True)
class Expression:
    """A sentence about a clip, its kind (one of `KINDS`), the object meant (index; None for `null`), its meaning."""

    text: str
    kind: str
    target: int | None
    query: Query


def draw_expressions(
    rng: np.random.Generator,
    objects: Sequence[SceneObject],
    cast: Cast = DRAWN_BAND,
    categories: Sequence[str] | None = None,
    combinations: bool = False,
) -> list[Expression]:
    """Every kind of sentence these objects allow, in random order, each with exactly one referent or, for `null`, none.

    `words`: name, position or motion decide, what is said of sound is no more than true. `sound`: what is heard
    decides. `both`: what is seen and what is heard each fit several and only together decide. `null`: nothing fits.

    Args:
        cast: whom the objects are of.
        categories: what sentences that fit nothing may name; None means those of `cast` that are not unseen.
        combinations: also word the combinations of a category and a property that training never shows, see
            `held_out`.
    """
    if categories is None:
        categories = [name for name in cast.categories if name not in cast.unseen]
    found = [(query.kind(objects), query, query.matches(objects)[0]) for query in find_queries(objects)]
    found += [("null", query, None) for query in find_absent(rng, objects, categories)]
    expressions = {}
    for kind, query, target in found:
        if combinations or not held_out(query, cast):
            for _ in range(2 if query == Query(sounds=True) else 1):
                text = _word(rng, query, objects, target, cast)
                expressions[text] = Expression(text, kind, target, query)
    return [list(expressions.values())[index] for index in rng.permutation(len(expressions))]


def draw_scene(
    rng: np.random.Generator,
    scene: str | None = None,
    num_frames: int = 10,
    cast: Cast = DRAWN_BAND,
    categories: Sequence[str] | None = None,
    required: Sequence[str] = (),
) -> list[SceneObject]:
    """Objects as of `draw_objects`, drawn until they allow a sentence of the kind that is asked for.

    Args:
        scene: `words`, `sound` or `both`, a kind of sentence; `combination`, one that is held out from training;
            `silent`, nothing sounds; None draws one of the kinds.
        num_frames, cast, categories, required: see `draw_objects`.

    Raises:
        ValueError: the scene is unknown, or these categories and frames do not allow it.
    """
    if scene is None:
        scene = str(rng.choice(list(_MIXTURE), p=list(_MIXTURE.values())))
    if scene not in SCENES:
        raise ValueError(f"scene: got {scene!r}, expected one of {', '.join(SCENES)} or None.")
    one_sounds = bool(rng.random() < _ONE_SOUNDS)
    for _ in range(_MOST_DRAWS):
        objects = draw_objects(rng, num_frames, cast, categories, required)
        if scene == "silent":
            return [replace(item, seconds=np.zeros_like(item.seconds)) for item in objects]
        if scene == "sound" and num_frames > 1 and one_sounds != (sum(item.sounds for item in objects) == 1):
            continue
        for query in find_queries(objects):
            if held_out(query, cast) if scene == "combination" else query.kind(objects) == scene:
                return objects
    raise ValueError(f"scene: found none of {scene!r} with num_frames={num_frames} and categories={categories}.")


def _word(
    rng: np.random.Generator, query: Query, objects: Sequence[SceneObject], target: int | None, cast: Cast
) -> str:
    """A query in one of its wordings."""
    meant = query.category or (None if target is None else objects[target].category)
    compared = [item.category for item in objects if item.sounds and query.category in (None, item.category)]
    plays = meant in cast.instruments
    if query.category:
        what = query.category.lower()
    else:
        nouns = ["one", "one", "object"]
        if query.part not in _COMPARED or _group(compared, cast) is not None:
            nouns.append(_group([meant], cast) or "one")
        what = str(rng.choice(nouns))
    alike = sum(item.category == query.category for item in objects)
    instruments = sum(item.category in cast.instruments for item in objects)
    two = alike if query.category else instruments if what == "instrument" else 0
    options = list(_wordings(query, what, plays, alike > 1 and target is not None, two == 2, len(compared) > 2))
    return options[rng.integers(len(options))]


def _group(categories: Sequence[str], cast: Cast) -> str | None:
    """A word for all of these categories."""
    for noun, members in (("instrument", cast.instruments), ("animal", ANIMALS)):
        if categories and set(categories) <= set(members):
            return noun
    return None


def _wordings(
    query: Query, what: str, plays: bool = False, twins: bool = False, two: bool = False, many: bool = False
) -> Iterator[str]:
    """All wordings of a query.

    Args:
        what: the category or a word for any object.
        plays: it is an instrument.
        twins: there are others of its category.
        two: there are exactly two that `what` fits.
        many: more than two sound.
    """
    sides = [tail.format(query.side) for tail in _SIDES] if query.side else []
    moves = _MOVES.get(query.motion, ())
    if query.part:
        yield from _part_wordings(query, what, plays, two, many)
    elif query.sounds is None and not (sides or moves):
        yield from (f"the {what}", f"the {what} in the picture", f"the {what} in the video")
        yield f"{'an' if _begins_with_vowel(what) else 'a'} {what}"
    elif query.sounds is None:
        yield from (f"the {what} {tail}" for tail in sides)
        yield from (f"the {what} that {verb}" for verb in moves)
        if sides and twins:
            yield f"the {query.side} {what}"
    elif moves:
        yield from (f"the {what} that {verb} and {tail}" for verb in moves for tail in _SOUNDS_OF_MOVING[query.sounds])
        if not query.sounds:
            yield from (f"the silent {what} that {verb}" for verb in moves)
    else:
        place = f"{what} {sides[0]}" if sides else what
        yield from (f"the {place} {tail}" for tail in _SOUNDS[query.sounds])
        if plays:
            yield f"the {place} {_PLAYS[query.sounds]}"
        yield (
            f"the {what} making a sound {sides[0] if sides else ''}".rstrip() if query.sounds else f"the silent {place}"
        )


def _part_wordings(query: Query, what: str, plays: bool, two: bool, many: bool) -> Iterator[str]:
    """Wordings of a query that compares what sounds, see `_wordings`."""
    if query.part in _PARTS:
        yield from (wording.format(what) for wording in _PARTS[query.part])
        if plays and query.part == "stops":
            yield f"the {what} that stops playing"
        return
    word = _COMPARED[query.part][many]
    yield from (f"the {word} {what}", f"the {what} that is {'the ' if many else ''}{word}")
    if two and not many and not what.endswith(_ODD_PLURALS):
        yield from [f"the {word} of the two {what}s"] * 2


def _begins_with_vowel(word: str) -> bool:
    return word[0] in "aeiou" and not word.startswith(("uk", "uni", "ut", "eu"))


def build_tokenizer(*texts: str) -> RobertaTokenizer:
    """A byte-level BPE tokenizer of about 500 tokens trained on all wordings, the same on every call; given further
    texts, it knows their words, too."""
    words = (*DRAWN_BAND.categories, "one", "object", "instrument", "animal")
    queries = [
        Query(None, sounds, side, motion)
        for sounds, side, motion in product((None, True, False), (None, *PROPERTIES["side"]), (None, *_MOVES))
    ]
    queries += [Query(part=name) for name in PROPERTIES["part"]]
    sentences = {
        text
        for what, query, flag in product(words, queries, (True, False))
        for text in _wordings(query, what, plays=True, twins=True, two=True, many=flag)
        if not (query.side and query.motion)
    }
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(
        sorted({*sentences, *texts}),
        vocab_size=1000,
        min_frequency=1,
        show_progress=False,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    )
    model = json.loads(trainer.to_str())["model"]
    return RobertaTokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]])
