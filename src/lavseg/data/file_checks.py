"""Images and sounds of a data set on disk, looked at to see that they are whole and fit together."""

import struct
import warnings
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image

from ..backbones.vggish.feature_extraction_vggish import check_sampling_rate, to_channels
from ..media import read_audio
from ..media.packets import SOUND_SLACK
from .masks import same_shape
from .tables import DataError

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
# Pillow's names. JPEG blurs the edges of masks.
FRAMES, MASKS = ("JPEG", "MPO", "PNG", "WEBP"), ("PNG",)
# A frame of 8K video has as many.
MAX_PIXELS = 7680 * 4320
_TURNED = (5, 6, 7, 8)
_FETCH = "Copy or download it again, or leave such rows out with on_error='skip'."
_PCM = 1


def numbered_images(clip: str, folder: Path, first: int = 0, masks: bool = False) -> dict[int, str]:
    """Paths of a folder's images by the number that ends their name, in the order of these numbers from `first` on.

    Hidden files are passed over, such as those that macOS puts beside others. `masks` have to be PNG.

    Raises:
        DataError: that names the first file which is not as it should be.
    """
    if not folder.is_dir():
        raise DataError("missing folder", clip, folder, _FETCH)
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in _IMAGE_SUFFIXES:
            continue
        number = path.stem.rsplit("_", 1)[-1]
        if not (number.isascii() and number.isdecimal()):
            raise DataError("unnumbered image", clip, repr(str(path)), "Names must end in the number of the frame.")
        other = found.setdefault(int(number), path)
        if other != path:
            raise DataError("two images with one number", clip, path, f"{other.name} is there as well; keep one.")
    if not found:
        raise DataError("folder without images", clip, folder, _FETCH)
    numbers = sorted(found)
    if numbers != list(range(first, first + len(numbers))):
        raise DataError("missing image", clip, folder, f"Numbers are {numbers}, expected {first} on, no gaps. {_FETCH}")
    sizes = {check_image(clip, path, MASKS if masks else FRAMES) for path in found.values()}
    if len(sizes) > 1:
        raise DataError("images of different sizes", clip, folder, f"Sizes are {sorted(sizes)}.")
    return {number: str(found[number]) for number in numbers}


def check_image(clip: str, path: Path, formats: tuple[str, ...] = FRAMES) -> tuple[int, int]:
    """Width and height, as it is shown, of an image that has its header and its end; pixels are not decoded.

    Raises:
        DataError: when it is missing, damaged, cut short, an animation, too large, or of another format.
    """
    if not path.is_file():
        raise DataError("missing file", clip, path, "It is a folder or a link to nothing.")
    with path.open("rb") as file:
        return check_image_in(file, clip, path, formats)


def check_image_in(file: BinaryIO, clip: str, name: str | Path, formats: tuple[str, ...] = FRAMES) -> tuple[int, int]:
    """[`check_image`] of an open file, which errors call `name`."""
    length = file.seek(0, 2)
    if length == 0:
        raise DataError("empty file", clip, name, _FETCH)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            size, found, animated = _look_at(file)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError("image too large", clip, name, f"Up to {MAX_PIXELS} pixels are taken.") from error
    except Exception as error:  # Pillow's readers of damaged files raise any
        raise DataError("damaged image", clip, name, _FETCH) from error
    if size[0] * size[1] > MAX_PIXELS:
        raise DataError("image too large", clip, name, f"It has {size}, up to {MAX_PIXELS} pixels are taken.")
    if found not in formats:
        kind = "mask" if formats == MASKS else "image"
        raise DataError(f"{kind} in another format", clip, name, f"It is {found}; save it as {' or '.join(formats)}.")
    if animated:
        raise DataError("animation", clip, name, "Give an image of one picture.")
    if found in ("JPEG", "MPO"):
        file.seek(-min(length, 4096), 2)
        if b"\xff\xd9" not in file.read():
            raise DataError("truncated image", clip, name, _FETCH)
    return size


def _look_at(file: BinaryIO) -> tuple[tuple[int, int], str, bool]:
    """Size as shown, format, and whether it is an animation, of an image whose checksums are right."""
    file.seek(0)
    with Image.open(file) as image:
        size, found = _upright(image), image.format or ""
        animated = found in ("PNG", "WEBP") and getattr(image, "is_animated", False)
        if found == "PNG":
            image.verify()
    return size, found, animated


def shown_size(source: str | BinaryIO) -> tuple[int, int]:
    """Width and height of an image as it is shown, from its header."""
    with Image.open(source) as image:
        return _upright(image)


def _upright(image: Image.Image) -> tuple[int, int]:
    # Pillow would decode a PNG to look for an orientation that it does not have.
    known = image.format != "PNG" or "exif" in image.info
    return image.size[::-1] if known and image.getexif().get(ExifTags.Base.Orientation) in _TURNED else image.size


def check_fit(clip: str, folder: Path, frames: dict[int, str], masks: dict[int, str]) -> None:
    """Each frame has a mask of its shape, which may be a smaller or larger copy.

    Args:
        folder: that of the masks, for the message.
        frames, masks: as `numbered_images` gives them.

    Raises:
        DataError: when numbers differ, height and width are swapped, or in another ratio.
    """
    if masks.keys() != frames.keys():
        advice = f"Frames are {list(frames)}, masks are {list(masks)}."
        raise DataError("frames and masks differ", clip, folder, advice)
    frame, mask = (check_image(clip, Path(next(iter(images.values())))) for images in (frames, masks))
    if not same_shape(frame, mask):
        advice = f"Width and height are {mask}, those of the frames {frame}."
        raise DataError("masks of another shape than the frames", clip, folder, advice)


def checked_sound(clip: str, path: Path, num_frames: int, short: list[DataError]) -> str:
    """Path of a sound that can be read and lasts no longer than the frames, one of which stands for a second.

    Of usual WAV files the header is looked at; anything else is decoded, whatever its name.

    Args:
        short: a sound that ends before the frames, as some of the published data sets do, is added to it.

    Raises:
        DataError: when it is missing, damaged, cut short, longer than the frames, or at a rate that is not taken.
    """
    if not path.is_file():
        raise DataError("missing file", clip, path, _FETCH)
    check_sound(clip, path, path, num_frames, short)
    return str(path)


def check_sound(clip: str, name: str | Path, source: Path | bytes, num_frames: int, short: list[DataError]) -> None:
    """[`checked_sound`] of a file or its content, which errors call `name`."""
    with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        rate, seconds = _pcm_wav(clip, name, file) or _decoded_length(clip, name, source)
    try:
        check_sampling_rate(rate)
    except ValueError as error:
        raise DataError("sound at an unusual rate", clip, name, f"{error}.") from error
    lasts = f"It lasts {seconds:.4g} s, and the {num_frames} frames stand for a second each."
    if seconds - num_frames > SOUND_SLACK:
        raise DataError("sound longer than the clip", clip, name, lasts)
    if num_frames - seconds > SOUND_SLACK:
        short.append(DataError("sound shorter than the clip", clip, name, f"{lasts} Silence stands for the rest."))


def decode_sound(clip: str, name: str | Path, source: Path | bytes) -> tuple[np.ndarray, int]:
    """The whole sound of a file or its content, see `read_audio`.

    Args:
        name: of the file, for the message.

    Raises:
        DataError: when it cannot be decoded, or has samples that no model takes, such as NaN.
    """
    try:
        waveform, rate = read_audio(source)
        to_channels(waveform, "its sound")
    except ValueError as error:
        raise DataError("damaged sound", clip, name, f"{error}. {_FETCH}") from error
    return waveform, rate


def _decoded_length(clip: str, name: str | Path, source: Path | bytes) -> tuple[int, float]:
    waveform, rate = decode_sound(clip, name, source)
    return rate, waveform.shape[1] / rate


def _pcm_wav(clip: str, name: str | Path, file: BinaryIO) -> tuple[int, float] | None:
    """Rate and seconds of a WAV file of whole numbers in mono or stereo, by its header; None for anything else."""
    size = file.seek(0, 2)
    if size == 0:
        raise DataError("empty file", clip, name, _FETCH)
    file.seek(0)
    start = file.read(12)
    stated = int.from_bytes(start[4:8], "little") + 8
    if start[:4] != b"RIFF" or start[8:] != b"WAVE":
        return None
    fields, length = _chunks(file)
    if length is None or fields is None:
        return None
    kind, channels, rate, _, align, bits = fields
    if length != 0xFFFFFFFF and file.tell() + length > size:
        raise DataError("truncated sound", clip, name, _FETCH)
    usual = kind == _PCM and channels in (1, 2) and bits in (8, 16, 24, 32) and align == channels * bits // 8
    whole = stated <= size and length != 0xFFFFFFFF and length >= align
    return (rate, length / align / rate) if usual and whole and rate else None


def _chunks(file: BinaryIO) -> tuple[tuple[int, ...] | None, int | None]:
    """Fields of the format and bytes of sound of a WAV file, which is left at the first sample."""
    fields = None
    while len(header := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", header)
        if name == b"data":
            return fields, length
        if name == b"fmt " and length >= 16:
            fields = struct.unpack("<HHIIHH", file.read(16).ljust(16, b"\0"))
            length -= 16
        file.seek(length + length % 2, 1)
    return fields, None
