"""Pictures and sound of a synthetic scene."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from .cast import DRAWN_BAND, Cast
from .scene import SceneObject, SyntheticClip, draw_objects

SAMPLING_RATE = 16000
_FADE = 160
_LARGEST_PEAK = 0.99


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
    frames, masks = _render_frames(rng, objects, cast, num_frames, height, width)
    return SyntheticClip(frames, masks, _render_sound(rng, objects, cast, num_frames), objects)


def _render_frames(
    rng: np.random.Generator, objects: list[SceneObject], cast: Cast, num_frames: int, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 `[T, H, W, 3]` and visible masks bool `[K, T, H, W]`."""
    frames = np.repeat(cast.background(rng, height, width)[None].astype(np.float32), num_frames, axis=0)
    masks = np.zeros((len(objects), num_frames, height, width), bool)
    for index, item in enumerate(objects):
        size = item.size * min(height, width)
        picture = cast.picture(item.category, rng, max(round(size), 4))
        if item.mirrored:
            picture = picture[:, ::-1]
        source = Image.fromarray(np.ascontiguousarray(picture)).convert("RGBa")
        scale = size / max(source.size)
        for t in range(num_frames):
            placed = _place(source, scale, item.centers[t] * (height, width), item.angles[t], height, width)
            if placed is None:
                continue
            rows, columns, tile = placed
            alpha = tile[..., 3:]
            inside = alpha[..., 0] >= 128
            frames[t, rows, columns] *= 1 - alpha.astype(np.float32) / 255
            frames[t, rows, columns] += tile[..., :3]
            masks[:index, t, rows, columns] &= ~inside
            masks[index, t, rows, columns] = inside
    frames += 2 * rng.standard_normal((num_frames, height, width, 1), dtype=np.float32)
    return np.clip(frames + 0.5, 0, 255).astype(np.uint8), masks


def _place(
    source: Image.Image, scale: float, center: np.ndarray, angle: float, height: int, width: int
) -> tuple[slice, slice, np.ndarray] | None:
    """The part of a frame that a turned picture reaches and what it shows there, uint8 with premultiplied alpha.

    None where it is out of view.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    half = scale * np.array([abs(cos), abs(sin), abs(sin), abs(cos)]).reshape(2, 2) @ source.size / 2 + 1
    left, top = (max(int(np.floor(center[1 - i] - half[i])), 0) for i in (0, 1))
    right, bottom = (min(int(np.ceil(center[1 - i] + half[i])), (width, height)[i]) for i in (0, 1))
    if left >= right or top >= bottom:
        return None
    a, b, d, e = cos / scale, -sin / scale, sin / scale, cos / scale
    x, y = left - center[1], top - center[0]
    middle_x, middle_y = source.width / 2, source.height / 2
    coefficients = (a, b, a * x + b * y + middle_x, d, e, d * x + e * y + middle_y)
    tile = source.transform(
        (right - left, bottom - top), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
    )
    return slice(top, bottom), slice(left, right), np.asarray(tile)


def _render_sound(rng: np.random.Generator, objects: list[SceneObject], cast: Cast, num_frames: int) -> np.ndarray:
    """The sum of all sounds over weak background noise, float32 `[2, num_frames * 16000]`."""
    size = num_frames * SAMPLING_RATE
    noise = rng.uniform(0.001, 0.003) * rng.standard_normal(size, dtype=np.float32)
    waveform = np.stack([noise, noise])
    for item in objects:
        if item.sounds:
            first, last = np.flatnonzero(item.seconds)[[0, -1]]
            begin, end = first * SAMPLING_RATE, (last + 1) * SAMPLING_RATE
            sound = item.level * cast.sound(item.category, rng, end - begin) * _gate(item.seconds)[begin:end]
            waveform[:, begin:end] += _pan(item, num_frames)[:, begin:end] * sound
    return waveform * np.float32(min(1, _LARGEST_PEAK / np.abs(waveform).max()))


def _gate(seconds: np.ndarray) -> np.ndarray:
    """Float32 `[T * 16000]`: 1 while an object sounds, 0 else, with short fades within the seconds of sound."""
    gate = np.repeat(seconds.astype(np.float32), SAMPLING_RATE)
    rising = np.linspace(0, 1, _FADE, dtype=np.float32)
    edges = np.diff(np.pad(seconds.astype(np.int8), 1))
    for begin in np.flatnonzero(edges == 1) * SAMPLING_RATE:
        gate[begin : begin + _FADE] = rising
    for end in np.flatnonzero(edges == -1) * SAMPLING_RATE:
        gate[end - _FADE : end] = rising[::-1]
    return gate


def _pan(item: SceneObject, num_frames: int) -> np.ndarray:
    """Gains `[2, T * 16000]` of the left and right channel: equal power, 1 in both for an object in the middle."""
    angles = np.clip(item.centers[:, 1], 0, 1) * np.pi / 2
    gains = np.sqrt(2) * np.stack([np.cos(angles), np.sin(angles)])
    moments = np.arange(num_frames * SAMPLING_RATE) / SAMPLING_RATE
    return np.stack([np.interp(moments, np.arange(num_frames) + 0.5, gain) for gain in gains]).astype(np.float32)
