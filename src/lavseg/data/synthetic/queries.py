"""What sentences about synthetic clips say: which objects they fit, and whether a viewer could tell."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise, permutations, product

import numpy as np

from .cast import Cast
from .scene import SceneObject

# What can be said of an object, by field of `Query`. `part`: which of those that sound.
PROPERTIES = {
    "side": ("left", "right"),
    "motion": ("left", "right", "up", "down", "still", "enters", "leaves"),
    "part": ("first", "last", "stops", "louder", "softer"),
}
# How far apart two onsets (seconds) or levels (decibels) are where a sentence compares them.
ONSET_GAP, LEVEL_GAP = 1, 8
_HELD_OUT_SHARE = 5


@dataclass(frozen=True)
class Query:
    """What a sentence says about the object meant, all of it at once; None leaves it open.

    Attributes:
        category: what it is.
        sounds: whether it sounds at any time.
        side: `left` or `right`, where it is as long as it is in view.
        motion: `left`, `right`, `up`, `down`, `still`, `enters` (late) or `leaves`.
        part: of two or more that sound (and are of `category`, if that is given), the one that starts `first` or
            `last`, the only one that `stops` before the end, or the `louder` or `softer` one.
    """

    category: str | None = None
    sounds: bool | None = None
    side: str | None = None
    motion: str | None = None
    part: str | None = None

    @property
    def is_about_sound(self) -> bool:
        return self.sounds is not None or self.part is not None

    @property
    def needs_stereo(self) -> bool:
        """Whether only the two channels tell apart what it compares, see `is_clear`."""
        return self.category is not None and self.part is not None

    def matches(self, objects: Sequence[SceneObject]) -> list[int]:
        """Indices of the objects that fit."""
        found = [index for index, item in enumerate(objects) if self._fits(item)]
        if self.part is None:
            return found
        compared = [item for item in objects if item.sounds and self.category in (None, item.category)]
        meant = _one_of(compared, self.part)
        return [index for index in found if objects[index] is meant]

    def _fits(self, item: SceneObject) -> bool:
        return (
            self.category in (None, item.category)
            and self.motion in (None, item.motion)
            and (self.sounds is None or self.sounds == item.sounds)
            and (self.side is None or self.side == item.side)
        )

    def is_clear(self, objects: Sequence[SceneObject]) -> bool:
        """Whether people who see the clip and hear it in mono agree on what fits.

        Nobody is asked for the left one where something else that might be meant is in the middle or crosses it, or
        for what moves right where something wanders. Objects of one category sound alike, so that which of them does
        is unknown, unless the louder of two is meant of which one is on the left and one on the right.
        """
        if self.side and any(objects[i].side is None for i in replace(self, side=None).matches(objects)):
            return False
        unclear = {"wanders"} | ({"enters", "leaves"} if self.motion in ("left", "right", "up", "down") else set())
        if self.motion and any(objects[i].motion in unclear for i in replace(self, motion=None).matches(objects)):
            return False
        if not self.is_about_sound:
            return True
        if self.part in ("louder", "softer") and self.category:
            twins = [item.side for item in objects if item.category == self.category]
            return len(twins) == 2 and set(twins) == {"left", "right"}
        found = self.matches(objects)
        return all(self.matches(other) == found for other in _heard_alike(objects))

    def kind(self, objects: Sequence[SceneObject]) -> str:
        """What of these objects tells the one meant: `words` what is seen, `sound` what is heard, `both` only both."""
        if len(replace(self, sounds=None, part=None).matches(objects)) == 1:
            return "words"
        return "sound" if len(Query(sounds=self.sounds, part=self.part).matches(objects)) == 1 else "both"


def held_out(query: Query, cast: Cast) -> bool:
    """Whether sentences of training never say this: a fifth of the pairs of a seen category and a side or motion."""
    seen = [name for name in cast.categories if name not in cast.unseen]
    if query.category not in seen:
        return False
    said = [name == getattr(query, field) for field in ("side", "motion") for name in PROPERTIES[field]]
    return any((seen.index(query.category) + index) % _HELD_OUT_SHARE == 0 for index in np.flatnonzero(said))


def find_queries(objects: Sequence[SceneObject]) -> Iterator[Query]:
    """All that can be said of these objects so that exactly one fits, each once, in a fixed order."""
    for query in dict.fromkeys(_true_queries(objects)):
        if len(query.matches(objects)) == 1 and query.is_clear(objects):
            needs_both = query.sounds is not None and query.category is None and (query.side or query.motion)
            if not needs_both or query.kind(objects) == "both":
                yield query


def find_absent(rng: np.random.Generator, objects: Sequence[SceneObject], categories: Sequence[str]) -> Iterator[Query]:
    """What can be said so that none of these objects fits; categories that none has are drawn from `categories`."""
    shown = sorted({item.category for item in objects})
    missing = [name for name in categories if name not in shown]
    queries = [Query(sounds=True), Query(sounds=False)]
    queries += [Query(sounds=sounds, side=side) for sounds in (True, False) for side in PROPERTIES["side"]]
    if not any(item.sounds for item in objects):
        queries += [Query(part=name) for name in PROPERTIES["part"]]
    others = rng.choice(missing, min(2, len(missing)), replace=False).tolist() if missing else []
    queries += [Query(category=name) for name in others]
    fields_seen = ("side", "motion") if len(objects[0].seconds) > 1 else ("side",)
    for name in (*shown, *others[:1]):
        queries += [Query(name, sounds=sounds) for sounds in (True, False)]
        for field in fields_seen:
            queries.append(Query(name, **{field: str(rng.choice(PROPERTIES[field]))}))
        queries.append(replace(queries[-len(fields_seen)], sounds=bool(rng.random() < 0.5)))
    for query in dict.fromkeys(queries):
        # Of two on the right, one is still the left one.
        is_relative = query.side is not None and len(replace(query, side=None).matches(objects)) > 1
        if not is_relative and not query.matches(objects) and query.is_clear(objects):
            yield query


def _true_queries(objects: Sequence[SceneObject]) -> Iterator[Query]:
    """What is true of some object, in the combinations that people say."""
    yield from (Query(sounds=True), Query(sounds=False))
    yield from (Query(part=name) for name in PROPERTIES["part"])
    moves = len(objects[0].seconds) > 1
    for item in objects:
        seen = [Query(side=item.side)] if item.side else []
        seen += [Query(motion=item.motion)] if moves and item.motion in PROPERTIES["motion"] else []
        yield Query(item.category)
        yield Query(item.category, sounds=item.sounds)
        yield from (Query(item.category, part=name) for name in ("louder", "softer"))
        for query in seen:
            yield query
            yield replace(query, category=item.category)
            yield replace(query, sounds=item.sounds)
            if query.side:
                yield replace(query, category=item.category, sounds=item.sounds)


def _one_of(items: Sequence[SceneObject], part: str) -> SceneObject | None:
    """The one of these sounding objects that `part` says, None where none stands out."""
    if len(items) < 2:
        return None
    if part == "stops":
        stopping = [item for item in items if any(now and not then for now, then in pairwise(item.seconds))]
        return stopping[0] if len(stopping) == 1 and not stopping[0].seconds[-1] else None
    if part in ("first", "last"):
        values, gap = [int(item.seconds.argmax()) for item in items], ONSET_GAP
    else:
        values, gap = [20 * np.log10(item.level) for item in items], LEVEL_GAP
    sign = -1 if part in ("first", "softer") else 1
    *_, second, best = sorted(range(len(items)), key=lambda index: sign * values[index])
    return items[best] if sign * (values[best] - values[second]) >= gap else None


def _heard_alike(objects: Sequence[SceneObject]) -> Iterator[list[SceneObject]]:
    """Scenes that look the same and, in mono, sound the same: where there are several of a category, any may sound."""
    shared = []
    for name, count in Counter(item.category for item in objects).items():
        places = [index for index, item in enumerate(objects) if item.category == name and count > 1]
        if any(objects[index].sounds for index in places):
            sounds = [(objects[index].seconds, objects[index].level) for index in places]
            heard = np.any([seconds for seconds, _ in sounds], axis=0)
            all_heard, silent = (heard, max(level for _, level in sounds)), (np.zeros_like(heard), sounds[0][1])
            ways = [*permutations(sounds), [all_heard] * count]
            ways += [[all_heard if index == place else silent for index in places] for place in places]
            shared.append([dict(zip(places, way, strict=True)) for way in ways])
    for ways in product(*shared) if shared else ():
        scene = list(objects)
        for index, (seconds, level) in chain.from_iterable(way.items() for way in ways):
            scene[index] = replace(scene[index], seconds=seconds, level=level)
        yield scene
