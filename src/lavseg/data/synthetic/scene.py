"""Scenes in words and numbers: which objects a synthetic clip shows, where they move and when they sound."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .cast import DRAWN_BAND, Cast

MOTIONS = {
    "still": 0.4,
    "left": 0.11,
    "right": 0.11,
    "up": 0.09,
    "down": 0.09,
    "enters": 0.06,
    "leaves": 0.06,
    "wanders": 0.08,
}
# Shares of the clips with two, three and four objects, and with none to three that sound.
NUM_OBJECTS = (0.4, 0.4, 0.2)
NUM_SOUNDING = (0.08, 0.42, 0.33, 0.17)
SHORTEST_SOUND = 4
LOUDEST, SOFTEST_DB = 0.15, -14
# Paths are laid out for frames of this shape; others show them stretched.
ASPECT = 4 / 3
# How far objects move at least, as shares of height and width; the largest have just this room between the borders.
_TRAVEL = (0.27, 0.3)


@dataclass(frozen=True, eq=False)
class SceneObject:
    """One object of a clip of `T` frames, one per second.

    Attributes:
        category: a category of the cast.
        seconds: bool `[T]`, when it sounds.
        level: root mean square of its sound while it sounds, full scale being 1.
        centers: float `[T, 2]`, its centre (y, x) as shares of the frame's height and width; outside 0..1 while it is
            out of view.
        size: its longer side as a share of the frame's smaller side.
        angles: float `[T]`, how far it is turned anticlockwise, in radians.
        mirrored: whether its picture is flipped left to right.
        motion: still, left, right, up, down, enters, leaves or wanders.
    """

    category: str
    seconds: np.ndarray
    level: float
    centers: np.ndarray
    size: float
    angles: np.ndarray
    mirrored: bool
    motion: str

    @cached_property
    def sounds(self) -> bool:
        return bool(self.seconds.any())

    @cached_property
    def side(self) -> str | None:
        """`left` or `right` where it is in that part of the frame as long as it is in view, else None."""
        margin = self.size / 2
        in_view = ((self.centers > -margin) & (self.centers < 1 + margin)).all(1)
        x = self.centers[in_view, 1]
        if x.size and x.max() < 0.45:
            return "left"
        if x.size and x.min() > 0.55:
            return "right"
        return None


@dataclass(frozen=True)
class SyntheticClip:
    """A rendered clip of `T` frames (one per second) and `K` objects, the last object in front.

    Attributes:
        frames: uint8 `[T, H, W, 3]`.
        masks: bool `[K, T, H, W]`, the visible part of each object.
        waveform: float32 `[2, T * 16000]` at 16 kHz within -1..1, each sound panned to where its object is.
        objects: the `K` objects.
    """

    frames: np.ndarray
    masks: np.ndarray
    waveform: np.ndarray
    objects: list[SceneObject]


def draw_objects(
    rng: np.random.Generator,
    num_frames: int = 10,
    cast: Cast = DRAWN_BAND,
    categories: Sequence[str] | None = None,
    required: Sequence[str] = (),
) -> list[SceneObject]:
    """Draw two to four objects, in a third of the clips two of one category, of which none to three sound.

    Args:
        rng: source of everything random; the same state gives the same objects.
        num_frames: number of frames and of seconds.
        cast: who may appear.
        categories: what to draw from; None means the categories of `cast` that are not unseen.
        required: categories that must occur, at most four.
    """
    if categories is None:
        categories = [name for name in cast.categories if name not in cast.unseen]
    _check(num_frames, cast, categories, required)
    names, twins = _draw_names(rng, categories, required)
    count = len(names)
    sounding = rng.permutation(count) < rng.choice(len(NUM_SOUNDING), p=NUM_SOUNDING)
    sizes = rng.uniform([0.46, 0.42, 0.36][count - 2], [0.64, 0.56, 0.48][count - 2], count)
    motions = _draw_motions(rng, count, num_frames)
    centers = _draw_paths(rng, sizes, motions, twins, num_frames)
    return [
        SceneObject(
            category=names[i],
            seconds=_draw_seconds(rng, num_frames, bool(sounding[i])),
            level=_draw_level(rng),
            centers=centers[i],
            size=float(sizes[i]),
            angles=_draw_angles(rng, num_frames),
            mirrored=bool(rng.random() < 0.5),
            motion=motions[i],
        )
        for i in range(count)
    ]


def _check(num_frames: int, cast: Cast, categories: Sequence[str], required: Sequence[str]) -> None:
    if num_frames < 1:
        raise ValueError(f"num_frames: got {num_frames}, expected at least 1.")
    unknown = sorted({*categories, *required} - set(cast.categories))
    if unknown or len(categories) < 2 or len(set(categories)) < len(categories) or len(required) > 4:
        raise ValueError(
            f"categories: got {list(categories)} with required={list(required)}, expected 2 or more, no two alike, of "
            f"{', '.join(cast.categories)}, and at most 4 required."
        )


def _draw_names(
    rng: np.random.Generator, categories: Sequence[str], required: Sequence[str]
) -> tuple[list[str], list[int]]:
    """Categories of the objects, back to front, and the indices of two of one category if there are such."""
    count = max(int(rng.choice([2, 3, 4], p=NUM_OBJECTS)), len(required))
    others = rng.permutation([name for name in categories if name not in required]).tolist()
    names = [*required, *others][:count]
    count = len(names)
    if len(set(names)) == count and count > len(required) and rng.random() < 0.36:
        names[-1] = names[0]
    names = [names[i] for i in rng.permutation(count)]
    twins = [i for i in range(count) if names.count(names[i]) > 1][:2]
    return names, twins


def _draw_motions(rng: np.random.Generator, count: int, num_frames: int) -> list[str]:
    motions = rng.choice(list(MOTIONS), count, p=list(MOTIONS.values())).tolist()
    possible = MOTIONS if num_frames >= 6 else ("left", "right", "up", "down") if num_frames > 1 else ()
    return [name if name in possible else "still" for name in motions]


def _draw_paths(
    rng: np.random.Generator, sizes: np.ndarray, motions: list[str], twins: list[int], num_frames: int
) -> np.ndarray:
    """Centres `[K, T, 2]` (y, x); where the objects start they overlap as little as can be."""
    count = len(sizes)
    margin = sizes[:, None] * [0.56, 0.48]
    low, high = margin.copy(), 1 - margin
    for i, motion in enumerate(motions):
        axis = 0 if motion in ("up", "down") else 1
        if motion in ("left", "up"):
            low[i, axis] += _TRAVEL[axis]
        elif motion in ("right", "down"):
            high[i, axis] -= _TRAVEL[axis]
    sides = rng.choice(["left", "right", "any"], count, p=[0.44, 0.44, 0.12]).tolist()
    if twins and rng.random() < 0.8:
        sides[twins[0]], sides[twins[1]] = rng.permutation(["left", "right"])
    for i, side in enumerate(sides):
        if side == "left":
            high[i, 1] = max(low[i, 1], 0.37)
        elif side == "right":
            low[i, 1] = min(high[i, 1], 0.63)
    candidates = low + rng.random((128, count, 2)) * (high - low)
    between = np.linalg.norm((candidates[:, :, None] - candidates[:, None]) * [1, ASPECT], axis=-1)
    gaps = between / (0.5 * (sizes[:, None] + sizes))
    gaps[:, np.arange(count), np.arange(count)] = np.inf
    starts = candidates[np.minimum(gaps.min((1, 2)), 1.1).argmax()]
    return np.stack(
        [_draw_path(rng, starts[i], motions[i], margin[i], float(sizes[i]), num_frames) for i in range(count)]
    )


def _draw_path(
    rng: np.random.Generator, start: np.ndarray, motion: str, margin: np.ndarray, size: float, num_frames: int
) -> np.ndarray:
    """Centres `[T, 2]` of one object from where it starts, or rests in the case of `enters`."""
    progress = np.linspace(0, 1, num_frames)[:, None]
    path = np.repeat(start[None], num_frames, axis=0)
    match motion:
        case "left" | "right" | "up" | "down":
            axis = 0 if motion in ("up", "down") else 1
            sign = -1 if motion in ("left", "up") else 1
            room = start[axis] - margin[axis] if sign < 0 else 1 - margin[axis] - start[axis]
            path[:, axis] += sign * rng.uniform(_TRAVEL[axis], max(_TRAVEL[axis], min(room, 0.6))) * progress[:, 0]
        case "wanders":
            turn = 2 * np.pi * progress[:, 0] * rng.choice([-1, 1]) + rng.uniform(0, 2 * np.pi)
            circle = np.stack([np.sin(turn), np.cos(turn)], 1) * rng.uniform(0.04, 0.07)
            path = np.clip(path + circle, margin, 1 - margin)
        case "enters" | "leaves":
            steps = int(rng.integers(2, 4))
            moves = int(rng.integers(1, num_frames - steps - 1))
            share = np.clip((np.arange(num_frames) - moves) / steps, 0, 1)
            outside = -0.6 * size if start[1] < 0.5 else 1 + 0.6 * size
            path[:, 1] += (outside - start[1]) * (1 - share if motion == "enters" else share)
    return path


def _draw_angles(rng: np.random.Generator, num_frames: int) -> np.ndarray:
    first, last = rng.uniform(-0.3, 0.3) + rng.uniform(-0.1, 0.1, 2)
    return np.linspace(first, last, num_frames)


def _draw_level(rng: np.random.Generator) -> float:
    """Loud in three of five cases, else soft: levels of one clip are often alike and often clearly apart."""
    decibels = rng.uniform(-3, 0) if rng.random() < 0.6 else rng.uniform(SOFTEST_DB, -10)
    return float(LOUDEST * 10 ** (decibels / 20))


def _draw_seconds(rng: np.random.Generator, num_frames: int, sounding: bool) -> np.ndarray:
    """A run of whole seconds, bool `[T]`, from the start or later, to the end or not, now and then with a pause."""
    seconds = np.zeros(num_frames, bool)
    if sounding:
        spare = num_frames - min(SHORTEST_SOUND, num_frames)
        start = int(rng.integers(spare + 1)) if rng.random() < 0.5 else 0
        rest = int(rng.integers(spare - start + 1)) if rng.random() < 0.4 else 0
        seconds[start : num_frames - rest] = True
        if seconds.sum() >= 7 and rng.random() < 0.15:
            pause = int(rng.integers(start + 2, num_frames - rest - 3))
            seconds[pause : pause + 2] = False
    return seconds
