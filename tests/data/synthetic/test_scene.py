from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavseg.data.synthetic.cast import BAND, SEEN, UNSEEN
from lavseg.data.synthetic.scene import MOTIONS, SceneObject, draw_objects

AXES = {"left": (1, -1), "right": (1, 1), "up": (0, -1), "down": (0, 1)}


def draw(seed, *arguments, **options):
    return draw_objects(np.random.default_rng(seed), *arguments, **options)


def many(count=300, **options):
    return [draw(seed, **options) for seed in range(count)]


def at(x, size=0.4, y=0.5):
    x = np.asarray(x, float)
    centers = np.stack([np.full_like(x, y), x], axis=1)
    return SceneObject("dog", np.ones(len(x), bool), 0.1, centers, size, np.zeros(len(x)), False, "still")


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_frames=st.integers(1, 12))
def test_objects_are_as_described(seed, num_frames):
    objects = draw(seed, num_frames)
    assert 2 <= len(objects) <= 4 and {item.category for item in objects} <= set(SEEN)
    for item in objects:
        assert item.seconds.shape == item.angles.shape == (num_frames,) and item.seconds.dtype == bool
        assert item.centers.shape == (num_frames, 2) and item.motion in MOTIONS
        assert 0.0299 <= item.level <= 0.2 and 0.36 <= item.size <= 0.64 and np.abs(item.angles).max() <= 0.4
        if item.motion not in ("enters", "leaves"):
            assert (item.centers[:, 0] > item.size / 2).all() and (item.centers[:, 0] < 1 - item.size / 2).all()
            assert (item.centers[:, 1] > 0.45 * item.size).all() and (item.centers[:, 1] < 1 - 0.45 * item.size).all()


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_frames=st.integers(1, 12))
def test_motions_are_what_they_are_called(seed, num_frames):
    for item in draw(seed, num_frames):
        steps, whole = np.diff(item.centers, axis=0), item.centers[-1] - item.centers[0]
        outside = np.abs(item.centers[:, 1] - 0.5) > 0.5 + 0.375 * item.size
        if item.motion == "still":
            assert not steps.any()
        elif item.motion in AXES:
            axis, sign = AXES[item.motion]
            assert (sign * steps[:, axis] > 0).all() and sign * whole[axis] >= 0.25
            assert not steps[:, 1 - axis].any()
        elif item.motion == "wanders":
            assert steps.any() and np.abs(item.centers - item.centers[0]).max() < 0.2
        else:
            late, early = (outside[0], outside[-1]) if item.motion == "enters" else (outside[-1], outside[0])
            assert late and not early and (np.diff(outside.astype(int)) != 0).sum() == 1


def test_short_clips_do_not_come_and_go():
    assert {item.motion for objects in many(num_frames=1) for item in objects} == {"still"}
    assert {item.motion for objects in many(num_frames=3) for item in objects} == {"still", *AXES}
    assert {item.motion for objects in many() for item in objects} == set(MOTIONS)


def test_mixture_of_clips():
    clips = many()
    counts = Counter(len(objects) for objects in clips)
    sounding = Counter(sum(item.sounds for item in objects) for objects in clips)
    twins = [objects for objects in clips if len({item.category for item in objects}) < len(objects)]
    assert min(counts[n] for n in (2, 3, 4)) > 50 and 70 < len(twins) < 140
    assert 10 < sounding[0] < 45 and sounding[1] > 80 and sounding[2] > 70 and sounding[3] > 20
    apart = sum(
        {"left", "right"} <= {item.side for item in objects if item.category == name}
        for objects in twins
        for name, count in Counter(item.category for item in objects).items()
        if count == 2
    )
    assert apart > len(twins) / 3
    sides = Counter(item.side for objects in clips for item in objects)
    assert min(sides.values()) > 100 and abs(sides["left"] - sides["right"]) < 100


def test_sounds_start_stop_and_pause_and_differ_in_level():
    pairs = [[item for item in objects if item.sounds] for objects in many()]
    pairs = [items[:2] for items in pairs if len(items) >= 2]
    gaps = np.array([abs(20 * np.log10(one.level / other.level)) for one, other in pairs])
    onsets = np.array([abs(int(one.seconds.argmax()) - int(other.seconds.argmax())) for one, other in pairs])
    assert gaps.max() <= 14 and (gaps >= 8).mean() > 0.25 and (gaps < 4).mean() > 0.25
    assert (onsets >= 1).mean() > 0.4
    seconds = np.stack([item.seconds for pair in pairs for item in pair])
    assert 0.2 < (~seconds[:, -1]).mean() < 0.5
    rises = np.diff(np.pad(seconds.astype(int), ((0, 0), (1, 1))), axis=1) == 1
    assert set(rises.sum(1)) == {1, 2} and (rises.sum(1) == 2).mean() < 0.15
    assert seconds.sum(1).min() >= 4


def test_objects_hardly_overlap_at_first():
    free = []
    for objects in many(200):
        where = np.array([item.centers[-1 if item.motion == "enters" else 0] for item in objects]) * [1, 4 / 3]
        gaps = np.linalg.norm(where[:, None] - where, axis=-1)
        reach = np.array([item.size for item in objects]) / 2
        free.append((gaps + np.eye(len(objects)) > 0.6 * (reach[:, None] + reach)).all())
    assert np.mean(free) > 0.85


def test_nothing_seen_tells_what_sounds():
    """Within a clip what sounds and what is silent are of one size, speed and place on average."""
    gaps = []
    for objects in many(500):
        looks = np.array([[o.size, np.ptp(o.centers, 0).sum(), *o.centers[0], o.mirrored, o.level] for o in objects])
        twin = [[item.category for item in objects].count(o.category) > 1 for o in objects]
        looks = np.column_stack([looks, twin, np.arange(len(objects))])
        sounds = np.array([item.sounds for item in objects])
        if 0 < sounds.sum() < len(sounds):
            gaps.append(looks[sounds].mean(0) - looks[~sounds].mean(0))
    gaps = np.array(gaps)
    assert (np.abs(gaps.mean(0)) < 3.5 * gaps.std(0) / np.sqrt(len(gaps))).all()


def test_required_categories_occur():
    for seed in range(30):
        assert UNSEEN[0] in {item.category for item in draw(seed, required=UNSEEN[:1])}
        assert len(draw(seed, required=BAND[:4])) == 4
        assert {item.category for item in draw(seed, categories=BAND[:2])} <= set(BAND[:2])
        assert [item.category for item in draw(seed, required=["dog", "dog"])].count("dog") == 2


def test_side_is_where_an_object_stays():
    assert at([0.2, 0.44]).side == "left" and at([0.56, 0.8]).side == "right"
    assert at([0.5]).side is None and at([0.3, 0.6]).side is None and at([0.44, 0.46]).side is None
    assert at([-0.5, 0.7, 0.8]).side == "right" and at([0.3, 1.5]).side == "left" and at([2, 3]).side is None
    assert at([0.3], y=-0.5).side is None


def test_sounds_says_whether_any_second_does():
    item = at([0.2, 0.2])
    assert item.sounds and not replace(item, seconds=np.zeros(2, bool)).sounds


def test_the_same_seed_gives_the_same_objects():
    for one, other in zip(draw(5), draw(5), strict=True):
        assert one.category == other.category and one.level == other.level
        assert np.array_equal(one.centers, other.centers) and np.array_equal(one.seconds, other.seconds)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"categories": ("dog", "car", "cube")}, "categories: got .*'cube'"),
        ({"categories": ("dog",)}, "categories: .*expected 2 or more"),
        ({"categories": (*SEEN, "dog")}, "categories"),
        ({"required": ["cube"]}, r"required=\['cube'\]"),
        ({"required": BAND[:5]}, "at most 4 required"),
        ({"num_frames": 0}, "num_frames: got 0"),
    ],
)
def test_bad_arguments_are_named(options, named):
    with pytest.raises(ValueError, match=named) as error:
        draw(0, **options)
    assert "\n" not in str(error.value)
