"""Small audio-visual scenes: coloured shapes that move over a dark background, each with a sound of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SAMPLING_RATE = 16000
SEEN = ("circle", "square", "triangle", "star", "ring", "plus-sign")
UNSEEN = ("diamond", "moon")
COLORS = {
    "red": (215, 40, 40),
    "green": (40, 185, 60),
    "blue": (50, 90, 225),
    "yellow": (235, 215, 50),
    "white": (235, 235, 235),
    "magenta": (215, 50, 205),
}
PLANS = {"words": 0.2, "sound": 0.35, "both": 0.4, "silent": 0.05}
SHORTEST_SOUND = 4


@dataclass(frozen=True)
class SceneObject:
    """One shape of a clip: its category, its colour word, and the seconds (bool `[T]`) in which it sounds."""

    category: str
    color: str
    seconds: np.ndarray

    @property
    def sounds(self) -> bool:
        return bool(self.seconds.any())


@dataclass(frozen=True)
class SyntheticClip:
    """A rendered clip of `T` frames (one per second) and `K` objects, the last object in front.

    Attributes:
        frames: uint8 `[T, H, W, 3]`.
        masks: bool `[K, T, H, W]`, the visible part of each object.
        waveform: float32 `[T * 16000]` at 16 kHz, within -1..1.
        objects: the `K` objects.
    """

    frames: np.ndarray
    masks: np.ndarray
    waveform: np.ndarray
    objects: list[SceneObject]


def draw_objects(
    rng: np.random.Generator,
    num_frames: int = 10,
    categories: Sequence[str] = SEEN,
    plan: str | None = None,
    required: Sequence[str] = (),
) -> list[SceneObject]:
    """Draw two to four objects of different categories for a clip that suits one kind of sentence.

    Args:
        plan: `words` any colours and sounds; `sound` exactly one object sounds; `both` two objects share a colour, one
            of them silent, and others repeat their sound states in other colours; `silent` nothing sounds; None draws
            one.
        required: categories that must occur.
    """
    if plan is None:
        plan = str(rng.choice(list(PLANS), p=list(PLANS.values())))
    if plan not in PLANS:
        raise ValueError(f"plan: got {plan!r}, expected one of {', '.join(PLANS)} or None.")
    unknown = sorted({*categories, *required} - {*SEEN, *UNSEEN})
    if unknown or len(categories) < 4 or len(set(categories)) < len(categories):
        raise ValueError(
            f"categories: got {list(categories)} with required={list(required)}, expected 4 or more, no two alike, of "
            f"{', '.join(SEEN + UNSEEN)}."
        )
    count = int(rng.integers(3 if plan == "both" else 2, 5))
    others = rng.permutation([name for name in categories if name not in required])
    names = [*required, *others.tolist()][:count]
    rng.shuffle(names)
    colors = rng.choice(list(COLORS), count).tolist()
    if plan == "both":
        shared, *rest = rng.permutation(list(COLORS)).tolist()
        colors = [shared, shared, *rest[: count - 2]]
        third = bool(rng.random() < 0.7)
        sounding = [True, False, third, not third][:count]
    elif plan == "sound":
        sounding = [True] + [False] * (count - 1)
    elif plan == "silent":
        sounding = [False] * count
    else:
        sounding = (rng.random(count) < 0.5).tolist()
    order = rng.permutation(count)
    return [SceneObject(names[i], colors[i], _draw_seconds(rng, num_frames, sounding[i])) for i in order]


def render_clip(
    rng: np.random.Generator,
    num_frames: int = 10,
    frame_size: tuple[int, int] = (112, 144),
    categories: Sequence[str] = SEEN,
    objects: list[SceneObject] | None = None,
) -> SyntheticClip:
    """Render moving shapes with their sound, one frame per second.

    Args:
        rng: source of everything random; the same state gives the same clip.
        num_frames: number of frames and of seconds of sound.
        frame_size: height and width in pixels, at least 16.
        categories: what `draw_objects` draws from where `objects` is not given.
        objects: what the clip shows, back to front, e.g. from `draw_objects`.
    """
    height, width = frame_size
    if num_frames < 1 or height < 16 or width < 16:
        raise ValueError(
            f"num_frames and frame_size: got {num_frames} and {tuple(frame_size)}, expected at least 1 frame of 16x16."
        )
    if objects is None:
        objects = draw_objects(rng, num_frames, categories)
    if not objects or any(len(item.seconds) != num_frames for item in objects):
        raise ValueError(f"objects: expected at least one, each with `seconds` of length num_frames={num_frames}.")
    radii = rng.uniform(16, 26, len(objects)) * min(height / 112, width / 144)
    centers = _draw_paths(rng, radii, num_frames, height, width)
    first_angle, turn = rng.uniform([[0], [-0.15]], [[2 * np.pi], [0.15]], (2, len(objects)))
    angles = first_angle[:, None] + turn[:, None] * np.arange(num_frames)
    distances = np.stack(
        [
            _signed_distance(item.category, radius, center, angle, height, width)
            for item, radius, center, angle in zip(objects, radii, centers, angles, strict=True)
        ]
    )
    frames = _draw_background(rng, num_frames, height, width)
    for item, distance in zip(objects, distances, strict=True):
        color = np.clip(np.array(COLORS[item.color]) + rng.uniform(-15, 15, 3), 0, 255).astype(np.float32)
        coverage = np.clip(0.5 - distance, 0, 1)[..., None]
        frames += coverage * (color - frames)
    frames += 3 * rng.standard_normal((num_frames, height, width, 1), dtype=np.float32)
    inside = distances < 0
    hidden = np.zeros_like(inside)
    hidden[:-1] = np.logical_or.accumulate(inside[:0:-1])[::-1]
    return SyntheticClip(
        frames=np.clip(frames, 0, 255).astype(np.uint8),
        masks=inside & ~hidden,
        waveform=_render_sound(rng, objects, num_frames),
        objects=objects,
    )


def _draw_seconds(rng: np.random.Generator, num_frames: int, sounding: bool) -> np.ndarray:
    """A run of whole seconds, in half of the cases the whole clip."""
    seconds = np.zeros(num_frames, bool)
    if sounding:
        shortest = min(SHORTEST_SOUND, num_frames)
        length = num_frames if rng.random() < 0.5 else int(rng.integers(shortest, num_frames + 1))
        start = int(rng.integers(0, num_frames - length + 1))
        seconds[start : start + length] = True
    return seconds


def _draw_paths(rng: np.random.Generator, radii: np.ndarray, num_frames: int, height: int, width: int) -> np.ndarray:
    """Centres `[K, T, 2]` (y, x): straight, reflected at the borders; in a tenth of clips one leaves at the end."""
    count = len(radii)
    margin = 0.9 * radii[:, None]
    room = np.array([height, width]) - 2 * margin
    candidates = margin + rng.random((256, count, 2)) * room
    gaps = np.linalg.norm(candidates[:, :, None] - candidates[:, None], axis=-1) / (radii[:, None] + radii)
    gaps[:, np.arange(count), np.arange(count)] = np.inf
    start = candidates[np.minimum(gaps.min((1, 2)), 1.1).argmax()]
    heading = rng.uniform(0, 2 * np.pi, count)
    speed = rng.uniform(3, 8, count) * min(height / 112, width / 144)
    velocity = speed[:, None] * np.stack([np.sin(heading), np.cos(heading)], -1)
    straight = start[:, None] + velocity[:, None] * np.arange(num_frames)[:, None]
    phase = np.mod(straight - margin[:, None], 2 * room[:, None])
    paths = margin[:, None] + np.minimum(phase, 2 * room[:, None] - phase)
    if num_frames >= 6 and rng.random() < 0.1:
        leaver = int(rng.integers(count))
        last_inside = paths[leaver, -6, 1]
        outside = -1.5 * radii[leaver] if last_inside < width / 2 else width + 1.5 * radii[leaver]
        paths[leaver, -6:, 1] = last_inside + (outside - last_inside) * np.minimum(np.arange(6) / 4, 1)
    return paths


def _signed_distance(
    category: str, radius: float, centers: np.ndarray, angles: np.ndarray, height: int, width: int
) -> np.ndarray:
    """Distance in pixels to the outline, negative inside, `[T, H, W]` float32, for a shape at `centers` `[T, 2]`."""
    cos, sin = (np.float32(f(angles))[:, None, None] for f in (np.cos, np.sin))
    down = (np.arange(height) + 0.5 - centers[:, :1]).astype(np.float32)[:, :, None]
    right = (np.arange(width) + 0.5 - centers[:, 1:]).astype(np.float32)[:, None, :]
    x, y = cos * right + sin * down, cos * down - sin * right
    return _OUTLINES[category](x, y, np.float32(radius))


def _circle(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    return np.hypot(x, y) - 0.9 * r


def _square(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    return np.maximum(np.abs(x), np.abs(y)) - 0.8 * r


def _triangle(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    return np.maximum(np.sqrt(np.float32(0.75)) * np.abs(x) - 0.5 * y, y) - 0.55 * r


def _star(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    sector = np.float32(2 * np.pi / 5)
    angle = np.abs(np.mod(np.arctan2(y, x) + sector / 2, sector) - sector / 2)
    tip, notch = 1.15 * r, 0.5 * r
    edge = np.array([notch * np.cos(np.pi / 5) - tip, notch * np.sin(np.pi / 5)])
    normal = np.array([edge[1], -edge[0]], np.float32) / np.float32(np.linalg.norm(edge))
    length = np.hypot(x, y)
    return length * (np.cos(angle) * normal[0] + np.sin(angle) * normal[1]) - tip * normal[0]


def _ring(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    return np.abs(np.hypot(x, y) - 0.75 * r) - 0.25 * r


def _plus(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.minimum(x, y) - 0.3 * r, np.maximum(x, y) - r)


def _diamond(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    return (np.abs(x) + 0.55 * np.abs(y) - 0.6 * r) / np.sqrt(np.float32(1 + 0.55**2))


def _moon(x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    return np.maximum(np.hypot(x, y) - r, 0.8 * r - np.hypot(x - 0.55 * r, y))


_OUTLINES = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "plus-sign": _plus,
    "diamond": _diamond,
    "moon": _moon,
}


def _draw_background(rng: np.random.Generator, num_frames: int, height: int, width: int) -> np.ndarray:
    """A dark gradient with waves and grain, the same in every frame, float32 `[T, H, W, 3]`."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    angle, wave_angle = rng.uniform(0, 2 * np.pi, 2)
    ramp = 0.5 + 0.4 * (np.cos(angle) * (x - 0.6) + np.sin(angle) * (y - 0.5))
    wave = np.sin(rng.uniform(8, 30) * (np.cos(wave_angle) * x + np.sin(wave_angle) * y))
    near, far = rng.uniform(5, 75, (2, 3)).astype(np.float32)
    picture = near + ramp[..., None] * (far - near) + rng.uniform(2, 8) * wave[..., None]
    picture += 4 * rng.standard_normal((height, width, 1), dtype=np.float32)
    return np.repeat(picture[None].astype(np.float32), num_frames, axis=0)


def _render_sound(rng: np.random.Generator, objects: list[SceneObject], num_frames: int) -> np.ndarray:
    """The sum of all sounds over weak background noise, float32 `[num_frames * 16000]`."""
    size = num_frames * SAMPLING_RATE
    time = np.arange(size, dtype=np.float32) / SAMPLING_RATE
    waveform = rng.uniform(0.002, 0.006) * rng.standard_normal(size, dtype=np.float32)
    rising = np.cumsum(np.hanning(321)) / np.hanning(321).sum()
    for item in objects:
        if item.sounds:
            sound = _sound(item.category, rng, time)
            gate = np.repeat(item.seconds.astype(np.float32), SAMPLING_RATE)
            edges = np.flatnonzero(np.diff(item.seconds)) + 1
            for edge in edges * SAMPLING_RATE:
                gate[edge - 160 : edge + 161] = rising if gate[edge] else rising[::-1]
            loudness = rng.uniform(0.08, 0.12) / np.sqrt(np.mean(np.square(sound)))
            waveform += loudness * gate * sound
    return np.clip(waveform, -1, 1).astype(np.float32)


def _sound(category: str, rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    """The sound of a category over the whole clip, its pitch and tempo varied by 3 %."""
    time = time * np.float32(rng.uniform(0.97, 1.03)) + np.float32(rng.uniform(0, 1))
    turn = np.float32(2 * np.pi)
    match category:
        case "circle":
            return np.sin(turn * 440 * time)
        case "square":
            return np.sign(np.sin(turn * 180 * time))
        case "triangle":
            return _band_noise(rng, time.size, 3000, 5000)
        case "star":
            return np.sin(turn * 1200 * time) * (np.mod(8 * time, 1) < 0.5)
        case "ring":
            within = np.mod(time, 0.5)
            return np.sin(turn * (600 * within + 1800 * within * within))
        case "plus-sign":
            return _band_noise(rng, time.size, 200, 700) * (np.mod(3 * time, 1) < 0.5)
        case "diamond":
            return np.sin(turn * 900 * time) + np.sin(turn * 1350 * time)
        case "moon":
            return np.sin(turn * 700 * time + 40 * np.sin(turn * 5 * time))
    raise ValueError(f"category: got {category!r}, expected one of {', '.join(SEEN + UNSEEN)}.")


def _band_noise(rng: np.random.Generator, size: int, low: float, high: float) -> np.ndarray:
    spectrum = np.zeros(size // 2 + 1, np.complex64)
    first, last = (int(frequency * size / SAMPLING_RATE) for frequency in (low, high))
    parts = rng.standard_normal((2, last - first), dtype=np.float32)
    spectrum[first:last] = parts[0] + 1j * parts[1]
    return np.fft.irfft(spectrum, size).astype(np.float32)
