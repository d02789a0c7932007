"""What media files state and FFmpeg does not tell: how many bytes they have, and how long the tracks of an MP4 last."""

from collections.abc import Iterator
from typing import BinaryIO

# Bytes that may be missing in RIFF files: some programs count a few too many.
RIFF_SLACK = 1000
# Boxes that stand alone in MP4 and QuickTime files; others are taken for bytes that something appended.
BOXES = {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"mfra", b"sidx", b"free", b"skip", b"wide", b"pnot", b"uuid"}
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def stated_size(file: BinaryIO) -> int:
    """Bytes that a RIFF (AVI, WAV), MP4, QuickTime or Matroska file has at least by what it states; 0 if nothing."""
    file.seek(0)
    head = file.read(12)
    if head[:4] == b"RIFF":
        size = int.from_bytes(head[4:8], "little")
        # Programs that write to a pipe cannot know the size and put the largest number there.
        return size + 8 - RIFF_SLACK if size < 0x7FFF0000 else 0
    if head[:4] == EBML:
        return _end_of_segment(file)
    return max((end for _, _, end in _boxes(file)), default=0)


def stated_seconds(file: BinaryIO) -> list[float]:
    """For each track of an MP4 or QuickTime file how many seconds of it are played, 0 where it does not say; nothing
    for other files."""
    scale, lengths = 0, []
    for name, body, end in _boxes(file):
        for inner, begin, inner_end in _boxes(file, body, end) if name == b"moov" else ():
            if inner == b"mvhd":
                scale = _number(file, begin, (12, 16), (20, 24))
            for kind, at, _ in _boxes(file, begin, inner_end) if inner == b"trak" else ():
                if kind == b"tkhd":
                    lengths.append(_number(file, at, (20, 24), (28, 36)))
    return [length / scale if scale else 0.0 for length in lengths]


def _boxes(file: BinaryIO, begin: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Name, and where the body begins and ends, of the boxes of a file or of a box; the last may not be whole."""
    while end is None or begin + 8 <= end:
        file.seek(begin)
        head = file.read(16)
        name, size, body = head[4:8], int.from_bytes(head[:4], "big"), begin + 8
        if size == 1:
            size, body = int.from_bytes(head[8:], "big"), begin + 16
        # A last box that goes to the end of the file may state 0.
        if size < 8 or (end is None and name not in BOXES):
            return
        begin += size
        yield name, body, begin


def _number(file: BinaryIO, body: int, first: tuple[int, int], second: tuple[int, int]) -> int:
    """A number of a box, by its places in the first and in the second version; 0 for one that was not known."""
    file.seek(body)
    content = file.read(36)
    number = content[slice(*(second if content[:1] == b"\1" else first))]
    return 0 if number == b"\xff" * len(number) else int.from_bytes(number, "big")


def _end_of_segment(file: BinaryIO) -> int:
    """Where the segment ends that follows the head of a Matroska file; 0 where that was not known in advance."""
    file.seek(4)
    length, width = _ebml_number(file)
    file.seek(4 + width + length)
    if file.read(4) != SEGMENT:
        return 0
    size, width = _ebml_number(file)
    return 0 if size == (1 << 7 * width) - 1 else file.tell() + size


def _ebml_number(file: BinaryIO) -> tuple[int, int]:
    """A number of one to eight bytes, and how many: before its first one come as many zeros as further bytes."""
    first = file.read(1)
    if not first or not first[0]:
        return 0, 1
    width = 9 - first[0].bit_length()
    return int.from_bytes(first + file.read(width - 1), "big") - (1 << 7 * width), width
