from dataclasses import replace

import numpy as np
import pytest

from flat_cast import FlatCast
from lavseg.data.synthetic.cast import DRAWN_BAND, SEEN
from lavseg.data.synthetic.queries import PROPERTIES, Query, find_absent, find_queries, held_out
from lavseg.data.synthetic.scene import SceneObject


def thing(category, x=0.5, sound="..........", level=0.1, motion="still", end=None):
    """An object whose centre goes from `x` to `end` and that sounds where `sound` has an x."""
    seconds = np.array([letter == "x" for letter in sound])
    centers = np.stack([np.full(len(seconds), 0.5), np.linspace(x, x if end is None else end, len(seconds))], 1)
    return SceneObject(category, seconds, level, centers, 0.3, np.zeros(len(seconds)), False, motion)


SCENE = [
    thing("guitar", 0.2, "xxxxxxxxxx", 0.2),
    thing("guitar", 0.8, "..xxxx....", 0.04),
    thing("drum", 0.3, "....xxxxxx", 0.1),
    thing("dog", 0.7, end=0.2, motion="left"),
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query("guitar"), [0, 1]),
        (Query("guitar", side="left"), [0]),
        (Query(side="left"), [0, 2]),
        (Query(sounds=False), [3]),
        (Query(sounds=True, side="right"), [1]),
        (Query(motion="left"), [3]),
        (Query("dog", motion="right"), []),
        (Query("car"), []),
        (Query(part="first"), [0]),
        (Query(part="last"), [2]),
        (Query(part="stops"), [1]),
        (Query(part="louder"), []),
        (Query("guitar", part="louder"), [0]),
        (Query("guitar", part="softer"), [1]),
        (Query("drum", part="first"), []),
    ],
)
def test_what_fits(query, found):
    assert query.matches(SCENE) == found


def test_levels_have_to_be_eight_decibels_apart():
    for level, found in ((0.2 * 10**-0.41, [0]), (0.2 * 10**-0.39, [])):
        scene = [thing("drum", 0.2, "xxxxxxxxxx", 0.2), thing("dog", 0.8, "xxxxxxxxxx", level)]
        assert Query(part="louder").matches(scene) == found
        assert Query(part="softer").matches(scene) == [1 - index for index in found]


def test_what_pauses_does_not_stop_and_leaves_open_who_does():
    pausing, stopping = thing("drum", 0.2, "xxx..xxxxx"), thing("dog", 0.8, "xxxxxxx...")
    assert Query(part="stops").matches([stopping, thing("drum", 0.2, "xxxxxxxxxx")]) == [0]
    assert Query(part="stops").matches([stopping, pausing]) == []
    assert Query(part="stops").matches([pausing, thing("dog", 0.8, "xxxxxxxxxx")]) == []


@pytest.mark.parametrize(
    ("query", "clear"),
    [
        (Query("guitar"), True),
        (Query("guitar", side="left"), True),
        (Query(side="right"), False),  # the dog crosses the middle
        (Query(sounds=True, side="right"), False),  # one cannot hear which guitar sounds
        (Query(sounds=False), False),
        (Query("drum", sounds=True), True),
        (Query(part="last"), True),
        (Query(part="first"), False),
        (Query("guitar", part="louder"), True),
        (Query(motion="left"), True),
    ],
)
def test_what_viewers_agree_on(query, clear):
    assert query.is_clear(SCENE) == clear


def test_wandering_and_coming_is_moving_somehow():
    for motion, clear in (("still", True), ("up", True), ("wanders", False), ("enters", False)):
        scene = [thing("drum", motion="right"), thing("drum", motion=motion)]
        assert Query("drum", motion="right").is_clear(scene) == clear
        assert Query("dog", motion="right").is_clear(scene)
    assert Query("drum", motion="leaves").is_clear([thing("drum", motion="leaves"), thing("drum", motion="enters")])


def test_the_louder_of_two_alike_has_to_be_on_the_other_side():
    left, right = SCENE[:2]
    for pair in ([left, right], [right, left]):
        assert Query("guitar", part="louder").is_clear(pair) and Query("guitar", part="louder").needs_stereo
    assert not Query("guitar", part="louder").is_clear([left, replace(right, centers=left.centers)])
    assert not Query(part="louder").is_clear([left, right])


def test_kinds_say_what_is_needed():
    scene = [thing("drum", 0.2, "xxxxxxxxxx"), thing("dog", 0.3), thing("car", 0.8, "xxxxxxxxxx"), thing("bell", 0.7)]
    kinds = {query: query.kind(scene) for query in find_queries(scene)}
    assert kinds[Query("drum")] == kinds[Query("dog", sounds=False)] == "words"
    assert kinds[Query(sounds=True, side="left")] == kinds[Query(sounds=False, side="right")] == "both"
    assert not any(query.motion for query in kinds if query.category is None), "none moves"
    assert {query.kind(SCENE[2:]) for query in (Query(sounds=True), Query(sounds=False))} == {"sound"}
    assert all(query.matches(scene) != [] for query in kinds)


def test_absent_queries_fit_nothing_and_name_what_is_allowed():
    scene, named = [thing("drum", 0.2, "xxxxxxxxxx"), thing("dog", 0.8)], set()
    for seed in range(40):
        queries = list(find_absent(np.random.default_rng(seed), scene, ["car", "bell", "dog"]))
        assert queries and not any(query.matches(scene) for query in queries)
        named |= {query.category for query in queries}
        assert Query("dog", sounds=True) in queries and Query("drum", sounds=False) in queries
        assert Query(sounds=True, side="right") in queries and Query(sounds=True) not in queries
    assert named == {None, "car", "bell", "drum", "dog"}
    silent = [replace(item, seconds=np.zeros(10, bool)) for item in scene]
    queries = list(find_absent(np.random.default_rng(0), silent, ["drum", "dog"]))
    assert {Query(sounds=True), Query(part="first"), Query("drum", sounds=True)} <= set(queries)


def test_of_two_on_the_right_one_is_still_the_left_one():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        drums = list(find_absent(rng, [thing("drum", 0.6), thing("drum", 0.9)], ["drum", "dog"]))
        assert not any(query.side for query in drums if query.category in (None, "drum") and not query.sounds)
        both = list(find_absent(rng, [thing("drum", 0.6, "x"), thing("dog", 0.9, "x")], ["drum", "dog"]))
        assert Query(sounds=True, side="left") not in both and Query(sounds=False, side="left") in both


def test_a_fifth_of_the_pairs_is_held_out():
    pairs = [
        Query(name, **{field: value}) for name in SEEN for field in ("side", "motion") for value in PROPERTIES[field]
    ]
    kept = [query for query in pairs if held_out(query, DRAWN_BAND)]
    assert len(pairs) == 90 and len(kept) == 18
    assert all(sum(query.category == name for query in kept) in (1, 2) for name in SEEN)
    assert all(held_out(replace(query, sounds=True), DRAWN_BAND) for query in kept)
    for query in (Query("guitar"), Query(side="left"), Query("bird", side="left"), Query("guitar", sounds=True)):
        assert not held_out(query, DRAWN_BAND)
    assert any(held_out(replace(query, category="drum"), FlatCast()) for query in pairs)
