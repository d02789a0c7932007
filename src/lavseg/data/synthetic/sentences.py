"""Sentences about synthetic clips: what they mean, how they are worded, and a tokenizer for them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import ByteLevelBPETokenizer
from transformers import RobertaTokenizer

from .scene import COLORS, SEEN, UNSEEN, SceneObject

KINDS = ("words", "sound", "both", "null")

# Keyed by what a wording says: a colour, a shape, and whether the object is heard.
_WORDINGS = {
    (True, True, None): (
        "the {color} {category}",
        "The {category} that is {color}.",
        "the {category}, the {color} one",
        'The {color} "{category}"',
        " The {color} {category} ",
    ),
    (False, True, None): ("the {category}", "The {category} in the video.", "the object that is a {category}"),
    (True, False, None): ("the {color} object", "The object that is {color}.", "the {color} one", "the {color} shape"),
    (False, False, True): (
        "the object making a sound",
        "The shape that can be heard.",
        "the sounding object",
        "The object we’re hearing",
        " the shape that makes the sound ",
        "the one you hear, the object making a sound",
    ),
    (True, False, True): (
        "the {color} object making a sound",
        "The sounding {color} shape.",
        "the {color} shape that can be heard",
        "The {color} object, making a sound",
        "the {color} one you hear",
    ),
    (True, False, False): (
        "the silent {color} object",
        "The {color} shape making no sound.",
        "the {color} object that isn’t making a sound",
        "The silent shape, the {color} one",
    ),
}


@dataclass(frozen=True)
class Query:
    """What a sentence says about the object meant; None leaves it open."""

    color: str | None = None
    category: str | None = None
    sounds: bool | None = None

    def matches(self, objects: Sequence[SceneObject]) -> list[int]:
        """Indices of the objects that fit."""
        return [
            index
            for index, item in enumerate(objects)
            if self.color in (None, item.color)
            and self.category in (None, item.category)
            and self.sounds in (None, item.sounds)
        ]

    def word(self, rng: np.random.Generator) -> str:
        """The query in one of its wordings."""
        wordings = _WORDINGS[self.color is not None, self.category is not None, self.sounds]
        return str(rng.choice(wordings)).format(color=self.color, category=self.category)


@dataclass(frozen=True)
class Expression:
    """A sentence about a clip, its kind (one of `KINDS`), the object meant (index; None for `null`), its meaning."""

    text: str
    kind: str
    target: int | None
    query: Query


def draw_expressions(rng: np.random.Generator, objects: Sequence[SceneObject]) -> list[Expression]:
    """Every kind of sentence these objects allow, in random order, each with exactly one referent or, for `null`, none.

    `words`: colour or shape decide, sound is a distractor. `sound`: the only sounding object. `both`: colour and
    sound are each shared with another object and only together decide. `null`: nothing fits, although each word alone
    may fit something.
    """
    unique, absent = _queries(rng, objects)
    expressions = []
    for kind, queries in unique.items():
        for query in queries:
            found = query.matches(objects)
            if len(found) == 1:
                expressions.append(Expression(query.word(rng), kind, found[0], query))
    for query in absent:
        if not query.matches(objects):
            expressions.append(Expression(query.word(rng), "null", None, query))
    return [expressions[index] for index in rng.permutation(len(expressions))]


def _queries(rng: np.random.Generator, objects: Sequence[SceneObject]) -> tuple[dict[str, list[Query]], list[Query]]:
    """Candidates of every kind: those that must have one referent, by kind, and those that must have none."""
    colors = sorted({item.color for item in objects})
    categories = sorted({item.category for item in objects})
    sounding = Query(sounds=True)
    words = [Query(item.color, item.category) for item in objects]
    words += [Query(category=name) for name in categories] + [Query(color=name) for name in colors]
    with_sound = [Query(color=name, sounds=state) for name in colors for state in (True, False)]
    both = [
        query
        for query in with_sound
        if len(Query(color=query.color).matches(objects)) > 1 and len(Query(sounds=query.sounds).matches(objects)) > 1
    ]
    other_color = str(rng.choice([name for name in COLORS if name not in colors]))
    other_category = str(rng.choice([name for name in SEEN if name not in categories]))
    absent = [sounding, *(query for query in with_sound if query.sounds)]
    mixed = [Query(color, category) for color in colors for category in categories]
    absent += [query for query in mixed if not query.matches(objects)][:: max(1, len(colors))]
    absent += [Query(str(rng.choice(colors)), other_category), Query(other_color, str(rng.choice(categories)))]
    absent += [Query(category=other_category), Query(color=other_color)]
    return {"words": words, "sound": [sounding], "both": both}, absent


def build_tokenizer() -> RobertaTokenizer:
    """A byte-level BPE tokenizer of about 400 tokens trained on all wordings; the same on every call."""
    sentences = sorted(
        wording.format(color=color, category=category)
        for wordings in _WORDINGS.values()
        for wording in wordings
        for color in COLORS
        for category in SEEN + UNSEEN
    )
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(
        sentences,
        vocab_size=420,
        min_frequency=1,
        show_progress=False,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    )
    model = json.loads(trainer.to_str())["model"]
    return RobertaTokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]])
