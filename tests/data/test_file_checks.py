import os
import struct
import wave
from io import BytesIO
from zlib import crc32

import av
import numpy as np
import pytest
from PIL import Image

from lavseg.data import file_checks
from lavseg.data.file_checks import check_fit, check_image, checked_sound, numbered_images, shown_size
from lavseg.data.tables import DataError
from lavseg.media import read_audio


def images(folder, names, size=(4, 3)):
    folder.mkdir()
    for name in names:
        Image.new("L", size).save(folder / name)
    return folder


@pytest.mark.parametrize(
    ("names", "first", "numbers"),
    [
        (["10.png", "9.png", "8.png", *(f"{n}.png" for n in range(8))], 0, list(range(11))),
        (["a.mp4_2.png", "a.mp4_1.webp", "a.mp4_3.jpg"], 1, [1, 2, 3]),
        (["a_b_00000.png"], 0, [0]),
    ],
)
def test_images_come_in_the_order_of_their_numbers(tmp_path, names, first, numbers):
    found = numbered_images("clip", images(tmp_path / "images", names), first)
    assert list(found) == numbers and len(set(found.values())) == len(names)


@pytest.mark.parametrize(
    ("names", "first"), [(["1.png", "2.png"], 0), (["0.png", "1.png"], 1), (["0.png"], 1), (["0.png", "2.png"], 0)]
)
def test_numbers_start_where_they_should_and_have_no_gaps(tmp_path, names, first):
    with pytest.raises(DataError, match=rf"clip c: missing image: .*expected {first} on"):
        numbered_images("c", images(tmp_path / "images", names), first)


def test_what_systems_put_beside_images_is_left_alone(tmp_path):
    folder = images(tmp_path / "images", ["0.png", "1.png"])
    for name in ("._0.png", "._1.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".2.png"):
        (folder / name).write_bytes(b"\0\5\x16\7")
    assert list(numbered_images("c", folder)) == [0, 1]


def test_one_number_is_one_image(tmp_path):
    folder = images(tmp_path / "images", ["0.png", "1.png", "00001.png"])
    with pytest.raises(DataError, match=r"two images with one number: .*1\.png\. 00001\.png is there as well"):
        numbered_images("c", folder)


def png_of(edge):
    """A PNG that states a size and holds hardly anything."""
    content = BytesIO()
    Image.new("1", (8, 8)).save(content, "PNG")
    content = content.getvalue()
    header = content[12:16] + struct.pack(">II", edge, edge) + content[24:29]
    return content[:12] + header + struct.pack(">I", crc32(header)) + content[33:]


WRONG = {
    "folder": (lambda path: path.mkdir(), "missing file"),
    "pipe": (os.mkfifo, "missing file"),
    "link to nothing": (lambda path: path.symlink_to("nowhere"), "missing file"),
    "empty": (lambda path: path.touch(), "empty file"),
    "GIF": (lambda path: Image.new("L", (4, 3)).save(path, "GIF"), r"image in another format: .*It is GIF; save it as"),
    "PostScript": (
        lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 3\n"),
        "image in another format: .*It is EPS",
    ),
    "bomb": (lambda path: path.write_bytes(png_of(40_000)), "image too large"),
    "more than is taken": (lambda path: path.write_bytes(png_of(9_000)), "image too large"),
    "animation": (
        lambda path: Image.new("L", (4, 3)).save(
            path, "PNG", save_all=True, append_images=[Image.new("L", (4, 3), 9)], duration=9
        ),
        "animation",
    ),
}


@pytest.mark.parametrize(("make", "reason"), WRONG.values(), ids=WRONG)
def test_what_is_no_image_of_a_data_set_is_named(tmp_path, make, reason):
    make(tmp_path / "0.png")
    with pytest.raises(DataError, match=f"^clip c: ({reason})"):
        check_image("c", tmp_path / "0.png")


def test_a_size_that_takes_too_much_memory_is_refused(tmp_path, monkeypatch):
    Image.new("L", (40, 30)).save(tmp_path / "0.png")
    assert check_image("c", tmp_path / "0.png") == (40, 30)
    monkeypatch.setattr(file_checks, "MAX_PIXELS", 1199)
    with pytest.raises(DataError, match=r"image too large: .*It has \(40, 30\), up to 1199 pixels are taken"):
        check_image("c", tmp_path / "0.png")


def test_masks_are_png_whatever_their_name(tmp_path):
    folder = images(tmp_path / "masks", ["0.png"])
    assert list(numbered_images("c", folder, masks=True)) == [0]
    Image.new("L", (4, 3)).save(folder / "0.png", "JPEG")
    assert list(numbered_images("c", folder)) == [0]
    with pytest.raises(DataError, match=r"mask in another format: .*It is JPEG; save it as PNG"):
        numbered_images("c", folder, masks=True)


def test_sizes_are_those_that_are_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("0.jpg", "0.png"):
        Image.new("L", (40, 30)).save(tmp_path / name, exif=exif)
        assert check_image("c", tmp_path / name) == shown_size(tmp_path / name) == (30, 40)


@pytest.mark.parametrize(
    ("size", "fits"), [((40, 30), True), ((80, 60), True), ((13, 10), True), ((30, 40), False), ((40, 40), False)]
)
def test_masks_have_the_shape_of_their_frames(tmp_path, size, fits):
    frames = numbered_images("c", images(tmp_path / "frames", ["0.jpg"], (40, 30)))
    masks = numbered_images("c", images(tmp_path / "masks", ["0.png"], size))
    if fits:
        check_fit("c", tmp_path / "masks", frames, masks)
    else:
        with pytest.raises(DataError, match=r"masks of another shape than the frames: .* frames \(40, 30\)"):
            check_fit("c", tmp_path / "masks", frames, masks)
    with pytest.raises(DataError, match=r"frames and masks differ: .*masks\. Frames are \[0\], masks are \[1\]"):
        check_fit("c", tmp_path / "masks", frames, {1: masks[0]})


def wav(path, seconds=3.0, rate=8000, channels=1, width=2):
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(bytes(int(seconds * rate) * channels * width))
    return path


@pytest.mark.parametrize("rate, channels, width", [(8000, 1, 1), (44100, 2, 2), (48000, 2, 3), (4009, 1, 4)])
def test_usual_sounds_are_known_by_their_header(tmp_path, monkeypatch, rate, channels, width):
    path = wav(tmp_path / "a.wav", 3, rate, channels, width)
    assert read_audio(path)[0].shape == (channels, 3 * rate)
    monkeypatch.setattr(file_checks, "read_audio", None)
    short = []
    assert checked_sound("c", path, 3, short) == checked_sound("c", path, 4, short) == str(path) and not short
    assert checked_sound("c", path, 5, short) == str(path)
    assert [error.reason for error in short] == ["sound shorter than the clip"]
    assert "It lasts 3 s, and the 5 frames stand for a second each. Silence stands for the rest." in str(short[0])


def test_other_sounds_are_decoded_whatever_their_name(tmp_path):
    path = tmp_path / "a.wav"
    for form in ("mp3", "flac", "wav"):
        codec = {"mp3": "libmp3lame", "flac": "flac", "wav": "pcm_f32le"}[form]
        with av.open(str(path), "w", format=form) as container:
            stream = container.add_stream(codec, rate=16000, layout="mono")
            kind = {"mp3": "s16p", "flac": "s16", "wav": "flt"}[form]
            samples = np.zeros((1, 48000), np.float32 if kind == "flt" else np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format=kind, layout="mono")
            frame.sample_rate = 16000
            container.mux([*stream.encode(frame), *stream.encode()])
        assert checked_sound("c", path, 3, []) == str(path)


def floats(path, value):
    """A sound of floats that are zero but for one."""
    samples = np.zeros(24000, "<f4")
    samples[7] = value
    header = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 3, 1, 8000, 32000, 4, 32) + b"data" + struct.pack("<I", 96000)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(header) + 96000) + header + samples.tobytes())


def overstated(path):
    content = bytearray(wav(path).read_bytes())
    content[4:8] = struct.pack("<I", 10 * len(content))
    path.write_bytes(content)


SOUNDS = {
    "too long": (lambda path: wav(path, 5), r"sound longer than the clip: .*It lasts 5 s, and the 3 frames"),
    "without samples": (lambda path: wav(path, 0), "damaged sound|truncated sound"),
    "at a rate that nobody hears": (lambda path: wav(path, 3, 100), "sound at an unusual rate: .*got 100"),
    "in the range of integers": (
        lambda path: floats(path, 20_000),
        "damaged sound: .*its sound has floats up to 20000",
    ),
    "not finite": (lambda path: floats(path, np.nan), "damaged sound: .*its sound has NaN or infinite samples"),
    "stating more than there is": (overstated, "damaged sound: .*cut short"),
    "of a codec that nobody knows": (
        lambda path: path.write_bytes(wav(path).read_bytes().replace(b"\1\0\1\0", b"\xab\xcd\1\0", 1)),
        "damaged sound",
    ),
    "pipe": (os.mkfifo, "missing file"),
}


@pytest.mark.parametrize(("make", "reason"), SOUNDS.values(), ids=SOUNDS)
def test_sounds_that_training_could_not_read_are_named(tmp_path, make, reason):
    make(tmp_path / "a.wav")
    with pytest.raises(DataError, match=f"^clip c: ({reason})"):
        checked_sound("c", tmp_path / "a.wav", 3, [])


def test_a_sound_of_the_cases_is_read_under_another_name(cases):
    assert checked_sound("c", cases / "wav-not-wav" / "audio.wav", 6, [])
    assert checked_sound("c", cases / "sound-8-channels" / "71.wav", 1, [])
