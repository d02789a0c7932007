"""Pictures and sound of a synthetic scene."""

from collections.abc import Sequence
from math import ceil, floor
from statistics import NormalDist

import numpy as np
from PIL import Image

from .cast import DRAWN_BAND, Cast
from .scene import SceneObject, SyntheticClip, draw_objects
from .sound_parts import SAMPLING_RATE

_FADE = np.linspace(0, 1, 160, dtype=np.float32)
_LARGEST_PEAK = 0.99
# Loudness follows an object's place in steps of 10 ms.
_STEPS = 100
_STEP = SAMPLING_RATE // _STEPS
_SMALLEST = 4
# A grey level of noise for each of 256 equally likely bytes.
_NOISE = np.rint([2 * NormalDist().inv_cdf((byte + 0.5) / 256) for byte in range(256)]).astype(np.int16)


def render_clip(
    rng: np.random.Generator,
    num_frames: int = 10,
    frame_size: tuple[int, int] = (192, 256),
    categories: Sequence[str] | None = None,
    objects: list[SceneObject] | None = None,
    cast: Cast = DRAWN_BAND,
) -> SyntheticClip:
    """Render moving objects with their sounds, one frame per second.

    Args:
        rng: source of everything random; the same state gives the same clip.
        num_frames: number of frames and of seconds of sound.
        frame_size: height and width in pixels, at least 16.
        categories: what `draw_objects` draws from where `objects` is not given.
        objects: what the clip shows, back to front, e.g. from `draw_objects`.
        cast: where pictures, sounds and backgrounds come from.

    Raises:
        ValueError: frames are too few or too small, or the objects are none or of another length.
    """
    height, width = frame_size
    if num_frames < 1 or height < 16 or width < 16:
        raise ValueError(
            f"num_frames and frame_size: got {num_frames} and {tuple(frame_size)}, expected at least 1 frame of 16x16."
        )
    if objects is None:
        objects = draw_objects(rng, num_frames, cast, categories)
    lengths = {len(values) for item in objects for values in (item.seconds, item.centers, item.angles)}
    if lengths != {num_frames}:
        raise ValueError(
            f"objects: expected at least one, each with seconds, centers and angles of length num_frames={num_frames}."
        )
    choices = rng.random(len(objects)).tolist()
    frames, masks = _render_frames(rng, objects, choices, cast, num_frames, height, width)
    return SyntheticClip(frames, masks, _render_sound(rng, objects, choices, cast, num_frames), objects)


def _render_frames(
    rng: np.random.Generator,
    objects: list[SceneObject],
    choices: list[float],
    cast: Cast,
    num_frames: int,
    height: int,
    width: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 `[T, H, W, 3]` and visible masks bool `[K, T, H, W]`."""
    background = Image.fromarray(cast.background(rng, height, width))
    frames = [background.copy() for _ in range(num_frames)]
    masks = np.zeros((len(objects), num_frames, height, width), bool)
    for index, (item, choice) in enumerate(zip(objects, choices, strict=True)):
        size = item.size * min(height, width)
        picture = cast.picture(item.category, choice, rng, max(round(size), _SMALLEST))
        if item.mirrored:
            picture = np.ascontiguousarray(picture[:, ::-1])
        source = Image.fromarray(picture).convert("RGBa")
        for t, frame in enumerate(frames):
            placed = _place(source, size, item.centers[t] * (height, width), item.angles[t], height, width)
            if placed is not None:
                (left, top, right, bottom), tile = placed
                frame.paste(tile, (left, top), tile)
                inside = np.asarray(tile.getchannel("A")) >= 128
                masks[:index, t, top:bottom, left:right] &= ~inside
                masks[index, t, top:bottom, left:right] = inside
    noise = _NOISE[np.frombuffer(rng.bytes(num_frames * height * width), np.uint8)]
    noisy = np.stack(frames) + noise.reshape(num_frames, height, width, 1)
    return np.clip(noisy, 0, 255).astype(np.uint8), masks


def _place(
    source: Image.Image, size: float, center: np.ndarray, angle: float, height: int, width: int
) -> tuple[tuple[int, int, int, int], Image.Image] | None:
    """The box (left, top, right, bottom) of a frame that a turned picture reaches, and what it shows there, RGBA.

    Args:
        source: the picture, with premultiplied alpha: dark or bright fringes come from blending without.
        size: its longer side in pixels of the frame.
        center: its centre (y, x) in pixels of the frame.

    Returns:
        None where it is out of view.
    """
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    scale = size / max(source.size)
    half_width = scale / 2 * (abs(cos) * source.width + abs(sin) * source.height) + 1
    half_height = scale / 2 * (abs(sin) * source.width + abs(cos) * source.height) + 1
    y, x = map(float, center)
    left, top = max(floor(x - half_width), 0), max(floor(y - half_height), 0)
    right, bottom = min(ceil(x + half_width), width), min(ceil(y + half_height), height)
    if left >= right or top >= bottom:
        return None
    rows = np.array([[cos, -sin], [sin, cos]]) / scale
    shift = rows @ [left - x, top - y] + np.array(source.size) / 2
    tile = source.transform(
        (right - left, bottom - top),
        Image.Transform.AFFINE,
        (*rows[0], shift[0], *rows[1], shift[1]),
        Image.Resampling.BICUBIC,
    )
    return (left, top, right, bottom), tile.convert("RGBA")


def _render_sound(
    rng: np.random.Generator, objects: list[SceneObject], choices: list[float], cast: Cast, num_frames: int
) -> np.ndarray:
    """All sounds over weak noise, float32 `[2, num_frames * 16000]`; softer as a whole where it would clip."""
    noise = rng.standard_normal(num_frames * SAMPLING_RATE, dtype=np.float32) * np.float32(rng.uniform(0.001, 0.003))
    waveform = np.stack([noise, noise])
    for item, choice in zip(objects, choices, strict=True):
        if item.sounds:
            first, last = np.flatnonzero(item.seconds)[[0, -1]]
            span = slice(first * SAMPLING_RATE, (last + 1) * SAMPLING_RATE)
            sound = np.float32(item.level) * cast.sound(item.category, choice, rng, span.stop - span.start)
            _silence_pauses(sound, item.seconds[first : last + 1])
            steps = sound.reshape(-1, _STEP) * _gains(item.centers[:, 1])[:, first * _STEPS : (last + 1) * _STEPS, None]
            waveform[:, span] += steps.reshape(2, -1)
    return waveform * np.float32(min(1, _LARGEST_PEAK / np.abs(waveform).max()))


def _silence_pauses(sound: np.ndarray, seconds: np.ndarray) -> None:
    """Leave of a sound the given seconds only, with short fades at their edges."""
    edges = np.diff(np.pad(seconds.astype(np.int8), 1))
    sound.reshape(-1, SAMPLING_RATE)[~seconds] = 0
    for begin in np.flatnonzero(edges == 1) * SAMPLING_RATE:
        sound[begin : begin + len(_FADE)] *= _FADE
    for end in np.flatnonzero(edges == -1) * SAMPLING_RATE:
        sound[end - len(_FADE) : end] *= _FADE[::-1]


def _gains(x: np.ndarray) -> np.ndarray:
    """Gains of the left and right channel, float32 `[2, steps]`: equal power, 1 in both for an object in the middle."""
    moments = (np.arange(len(x) * _STEPS) + 0.5) / _STEPS - 0.5
    angles = np.interp(moments, np.arange(len(x)), np.clip(x, 0, 1)) * np.pi / 2
    return np.sqrt(2, dtype=np.float32) * np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
