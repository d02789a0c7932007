"""A user's cut-outs on disk: pictures with transparency, sounds of equal name, photographs to put them on."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ...backbones.vggish.channels import to_stereo
from ...backbones.vggish.feature_extraction_vggish import SAMPLING_RATE, check_sampling_rate, resample, to_channels
from ...media import read_audio
from ...media.containers import open_media
from ...media.packets import source_name
from ..file_checks import check_image
from ..tables import DataError

_SOUNDS = (".wav", ".ogg", ".mp3")
# What people keep beside pictures to say where they have them from; files without a suffix, such as LICENSE, too.
_NOTES = (".txt", ".md", ".csv", ".json", "")
# What sentences call any object, and what Ref-AVS calls none.
_TAKEN = ("one", "object", "instrument", "animal", "null")
_NAME = re.compile(r"[^\W_]+(?:[_-][^\W_]+)*")
# Pixels: what the longer side of a cut-out and the shorter side of a background have at least, and keep at most.
_SMALLEST, _LARGEST = 8, 512
# Opacities out of 255: below the first a pixel is no part of the object, from the second on it is in the mask.
_FAINT, _OPAQUE = 16, 128
# Scenes show objects from about this size in pixels on. At it, a mask has to have so many pixels.
_SHOWN, _PIXELS_OF_MASK = 32, 8
# Seconds.
_SHORTEST, _LONGEST, _BLOCK, _PAUSE, _FADE = 0.1, 300, 0.05, 0.3, 0.005
# Root mean square of a block: below the first all is silence, below the second (of the loudest block) it is a pause.
_SILENCE, _QUIET = 1e-3, 1e-2


def find_pairs(folder: str | Path, faults: list[str]) -> dict[str, list[tuple[Path, Path]]]:
    """Pictures, each with the sound of equal name, of a folder that has a folder for each category.

    Hidden files and notes (`.txt`, `.md`, `.csv`, `.json` or no suffix) are left alone.

    Args:
        faults: what is wrong is added to it, a line each with the file and what to do. Nothing is opened.

    Returns:
        Paths by category, as the folders are named, in alphabetic order.

    Raises:
        ValueError: when `folder` is no folder.
    """
    folders = []
    for path in _visible(folder, "objects", "a folder for each category, with its pictures and sounds"):
        if path.is_dir():
            folders.append(path)
        else:
            faults.append(f"{path} belongs to no category, move it into the folder of one")
    faults += _faults_of_names(folders)
    return {path.name: list(_pairs(path, faults)) for path in folders}


def _faults_of_names(folders: list[Path]) -> Iterator[str]:
    """What would make sentences about these categories wrong."""
    names = [path.name for path in folders]
    for path in folders:
        if not _NAME.fullmatch(path.name) or path.name != path.name.lower() or path.name in _TAKEN:
            yield f"{path} is no name of a category, write it in lower-case letters, words joined by _"
        for other in names:
            if path.name.endswith(f"_{other}"):
                yield f"{path} is a {other} in sentences, put both into one folder or call {other} otherwise"


def _visible(folder: str | Path, argument: str, content: str) -> list[Path]:
    """What a folder holds, without hidden files and notes."""
    if not Path(folder).is_dir():
        raise ValueError(f"{argument}: {folder} is no folder; give one that holds {content}")
    paths = (path for path in sorted(Path(folder).iterdir()) if not path.name.startswith("."))
    return [path for path in paths if path.is_dir() or path.suffix.lower() not in _NOTES]


def _pairs(folder: Path, faults: list[str]) -> Iterator[tuple[Path, Path]]:
    """Pictures of a category with their sounds."""
    pictures: dict[str, Path] = {}
    sounds: dict[str, Path] = {}
    for path in _visible(folder, "objects", "pictures and sounds"):
        suffix = path.suffix.lower()
        kind = pictures if suffix == ".png" else sounds if suffix in _SOUNDS else None
        if path.is_dir():
            faults.append(f"{path} is a folder in that of a category, move what it holds out of it")
        elif kind is None:
            faults.append(f"{path} is neither .png nor {', '.join(_SOUNDS)}, save it as one of them or move it away")
        elif (other := kind.setdefault(path.stem, path)) != path:
            faults.append(f"{path} has the name of {other}, keep one")
    if not pictures:
        faults.append(f"{folder} holds no picture, put .png files there or remove it")
    for name in sorted(pictures.keys() ^ sounds.keys()):
        if name in pictures:
            faults.append(f"{pictures[name]} has no sound, put {' or '.join(name + one for one in _SOUNDS)} beside it")
        elif pictures:
            faults.append(f"{sounds[name]} has no picture, put {name}.png beside it or remove it")
    yield from ((pictures[name], sounds[name]) for name in sorted(pictures.keys() & sounds.keys()))


def find_backgrounds(folder: str | Path, faults: list[str]) -> list[Path]:
    """Paths of the photographs in a folder; see [`find_pairs`]."""
    found = _visible(folder, "backgrounds", "photographs")
    if not found:
        faults.append(f"{folder} holds no picture, put photographs there")
    return found


def read_cut_out(path: Path) -> np.ndarray:
    """A picture with transparency, cropped to what is seen of it, its longer side of at most 512 pixels.

    Returns:
        uint8 RGBA `[h, w, 4]`, straight alpha.

    Raises:
        ValueError: that says what is wrong and what to do, without the path.
    """
    image = _open(path, ("PNG",), "save it again as a PNG with transparency").convert("RGBA")
    alpha = image.getchannel("A")
    least, most = alpha.getextrema()
    if least == 255:
        raise ValueError("has no transparency, cut the object out and make all around it transparent")
    if most < _OPAQUE:
        raise ValueError("shows nothing, no pixel is more than half opaque; make the object opaque")
    image = image.crop(alpha.point(lambda level: 255 * (level >= _FAINT)).getbbox())
    if max(image.size) < _SMALLEST:
        raise ValueError(f"is too small, {image.width}x{image.height} pixels are seen; give at least {_SMALLEST}")
    if (np.asarray(scaled(image, _SHOWN))[..., 3] >= _OPAQUE).sum() < _PIXELS_OF_MASK:
        raise ValueError(f"is too thin, nothing is left of it at {_SHOWN} pixels; give an object that fills more")
    return np.asarray(image if max(image.size) <= _LARGEST else scaled(image, _LARGEST))


def scaled(image: Image.Image, size: int) -> Image.Image:
    """An image of which the longer side has `size` pixels; colours of transparent pixels do not bleed."""
    width, height = (max(1, round(edge * size / max(image.size))) for edge in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def read_background(path: Path) -> np.ndarray:
    """A photograph, its shorter side of at most 512 pixels, uint8 `[h, w, 3]`; errors as [`read_cut_out`]."""
    image = _open(path, ("JPEG", "MPO", "PNG", "WEBP"), "give a photograph as JPEG, PNG or WebP")
    if image.convert("RGBA").getchannel("A").getextrema()[0] < 255:
        raise ValueError("has transparency, give a photograph without")
    if min(image.size) < _SMALLEST:
        raise ValueError(f"is too small, {image.width}x{image.height} pixels; give a photograph")
    shorter, longer = sorted(image.size)
    image = image.convert("RGB")
    return np.asarray(image if shorter <= _LARGEST else scaled(image, round(_LARGEST * longer / shorter)))


def _open(path: Path, formats: tuple[str, ...], advice: str) -> Image.Image:
    """A decoded image, upright."""
    try:
        check_image("", path, formats)
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image)
    except DataError as error:
        reason = error.reason
    except Exception:  # Pillow's decoders of damaged files raise any
        reason = "damaged image"
    raise ValueError(f"cannot be used ({reason}), {advice}")


def read_sound(path: Path) -> np.ndarray:
    """A sound in mono at 16 kHz that begins at once and has no pauses of more than 0.3 seconds.

    Returns:
        float32 `[samples]`.

    Raises:
        ValueError: see [`read_cut_out`].
    """
    try:
        _require_short(path)
        samples, rate = read_audio(path)
        stereo = to_stereo(to_channels(samples, "sound"))
        mono = resample(stereo.mean(0), check_sampling_rate(rate), SAMPLING_RATE).numpy()
    except ValueError as error:
        reason = str(error).removeprefix(f"{source_name(path)}: ")
        raise ValueError(f"cannot be used ({reason}), save it again as a .wav file") from error
    mono = _without_pauses(mono - mono.mean()) if mono.size else mono
    if len(mono) < _SHORTEST * SAMPLING_RATE:
        raise ValueError(f"is silent, or is heard for less than {_SHORTEST} s; give a longer or louder sound")
    fade = np.linspace(0, 1, round(_FADE * SAMPLING_RATE))
    mono[: len(fade)] *= fade
    mono[-len(fade) :] *= fade[::-1]
    return mono.astype(np.float32)


def _require_short(path: Path) -> None:
    """Refuse what would fill the memory, before it is decoded."""
    with open_media(path) as container:
        seconds = (container.duration or 0) / 1e6
    if seconds > _LONGEST:
        raise ValueError(f"it lasts {seconds:.0f} s, of which up to {_LONGEST} s are taken")


def _without_pauses(waveform: np.ndarray) -> np.ndarray:
    """The blocks in which something is heard, and what follows each for up to 0.3 seconds."""
    size = round(_BLOCK * SAMPLING_RATE)
    blocks = waveform[: len(waveform) // size * size].reshape(-1, size)
    levels = np.sqrt((blocks**2).mean(1))
    heard = levels > max(_SILENCE, _QUIET * levels.max(initial=0))
    numbers = np.arange(len(blocks))
    since = numbers - np.maximum.accumulate(np.where(heard, numbers, -len(blocks) - _PAUSE / _BLOCK))
    return blocks[since <= _PAUSE / _BLOCK].ravel()
