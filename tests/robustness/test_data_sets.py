"""Tables and trees of data sets, changed one way or another: read as before, or refused in words.

What `lavseg data check --deep` passes, is made into batches as training does, with the masks and sentences as before.
"""

import csv
import json
import os
import random
import shutil
import struct
import wave
from io import StringIO
from pathlib import Path

import av
import numpy as np
import pytest
from harness import ended_well, refused, survived
from PIL import Image

from lavseg.auto import METHODS
from lavseg.data import ClipCollator, build_tokenizer, row_masks, write_ref_avs
from lavseg.data.layouts import check_data_set, load_rows
from tiny_methods import tiny_method

SIZE, SPLIT = (32, 40), "train"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_ref_avs(tmp_path_factory.mktemp("whole") / "data", {"train": 2, "val": 1}, 3, SIZE)


@pytest.fixture(scope="module")
def expected(whole, forked):
    return ended_well(forked.call(contents, whole)).value


def contents(root):
    """Sentence, masks and number of frames of each row of training, and the shapes of their batch."""
    rows = load_rows(root, SPLIT)
    config_class, model_class, processor_class = METHODS[0]
    _, processor = tiny_method((config_class, model_class, processor_class), build_tokenizer())
    batches = [ClipCollator(processor)([row]) for row in rows]
    return [
        (row["uid"], row["text"], len(row["frames"]), row_masks(row).tobytes(), tuple(batch["labels"].shape))
        for row, batch in zip(rows, batches, strict=True)
    ]


def examine(root):
    """What is said about a data set, what loading it for training says, and its contents where nothing is wrong."""
    try:
        said = [report.fault for report in check_data_set(root, deep=True) if report.fault]
    except ValueError as error:
        said = [str(error)]
    try:
        load_rows(root, SPLIT)
        loading = ""
    except ValueError as error:
        loading = str(error)
    return said, loading, [] if said else contents(root)


class Tree:
    """A copy of a data set, with files of a clip of its training split."""

    def __init__(self, root, seed):
        self.root, self.random = root, random.Random(seed)
        self.table = root / "metadata.csv"
        self.text = self.table.read_bytes().decode("utf-8")
        self.rows = list(csv.reader(StringIO(self.text, newline="")))
        # Rows of training that have masks.
        self.numbers = [i for i, row in enumerate(self.rows) if row[2] == SPLIT and "_null_" not in row[1]]
        self.number = self.random.choice(self.numbers)
        row = self.rows[self.number]
        self.clip = row[1].rsplit("_", 2)[0]
        self.frames = root / "media" / self.clip / "frames"
        self.masks = root / "gt_mask" / self.clip / f"fid_{row[3]}"
        self.sound = root / "media" / self.clip / "audio.wav"

    def pick(self, folder):
        return self.random.choice(sorted(folder.iterdir()))

    def lines(self, change, quoting=csv.QUOTE_MINIMAL, delimiter=","):
        """Write the table anew with its rows changed in place."""
        change(self.rows)
        text = StringIO(newline="")
        csv.writer(text, quoting=quoting, delimiter=delimiter).writerows(self.rows)
        self.table.write_bytes(text.getvalue().encode())

    def field(self, column, value):
        """Another value in one field of the row."""

        def change(rows):
            rows[self.number][column] = value(rows[self.number][column])

        self.lines(change)

    def raw(self, change):
        """Write the line of the row as it is given."""
        lines = self.text.split("\r\n")
        lines[self.number] = change(lines[self.number])
        self.table.write_bytes("\r\n".join(lines).encode())

    def bytes_of(self, path, change):
        path.write_bytes(change(path.read_bytes()))

    def images(self, folder, change):
        """Save every image of a folder anew as `change` gives it."""
        for path in sorted(folder.iterdir()):
            with Image.open(path) as image:
                image.load()
            change(image, path)


VID, UID, SPLIT_COLUMN, FID, SENTENCE = range(5)


def quoted(line):
    """A line whose sentence begins with a quote that nobody closes."""
    head, sentence = line.rsplit(",", 1)
    return f'{head},"{sentence.strip(chr(34))}'


# Changes after which the data say what they said before.
HARMLESS_TABLES = {
    "byte order mark": lambda tree: tree.bytes_of(tree.table, lambda text: b"\xef\xbb\xbf" + text),
    "line ends of Unix": lambda tree: tree.bytes_of(tree.table, lambda text: text.replace(b"\r\n", b"\n")),
    "line ends of old Macs": lambda tree: tree.bytes_of(tree.table, lambda text: text.replace(b"\r\n", b"\r")),
    "quotes around everything": lambda tree: tree.lines(lambda rows: None, csv.QUOTE_ALL),
    "empty lines at the end": lambda tree: tree.bytes_of(tree.table, lambda text: text + b"\r\n\r\n"),
    "no line end at the end": lambda tree: tree.bytes_of(tree.table, lambda text: text.rstrip()),
    "a further column": lambda tree: tree.lines(lambda rows: [row.append("x") for row in rows]),
    "columns in another order": lambda tree: tree.lines(lambda rows: [row.reverse() for row in rows]),
}
TABLES = {
    "a field less": lambda tree: tree.lines(lambda rows: rows[tree.number].pop()),
    "a field more": lambda tree: tree.lines(lambda rows: rows[tree.number].append("x")),
    "a comma without quotes": lambda tree: tree.raw(lambda line: line.replace('"', "") + ", on the left"),
    "a quote that is not closed": lambda tree: tree.raw(quoted),
    "text behind a quote": lambda tree: tree.raw(lambda line: quoted(line) + '" dog'),
    "a line break": lambda tree: tree.raw(lambda line: line.replace(" ", "\r\n", 1)),
    "a line break in quotes": lambda tree: tree.field(SENTENCE, lambda text: text.replace(" ", "\n", 1)),
    "half a line": lambda tree: tree.raw(lambda line: line[: len(line) // 2]),
    "a column twice": lambda tree: tree.lines(lambda rows: [row.append(row[tree.random.randrange(5)]) for row in rows]),
    "semicolons": lambda tree: tree.lines(lambda rows: None, delimiter=";"),
    "tabs": lambda tree: tree.lines(lambda rows: None, delimiter="\t"),
    "bars": lambda tree: tree.lines(lambda rows: None, delimiter="|"),
    "no header": lambda tree: tree.lines(lambda rows: rows.pop(0)),
    "a header in capitals": lambda tree: tree.lines(lambda rows: rows.__setitem__(0, [c.upper() for c in rows[0]])),
    "a header alone": lambda tree: tree.lines(lambda rows: rows.__delitem__(slice(1, None))),
    "nothing": lambda tree: tree.bytes_of(tree.table, lambda text: b""),
    "UTF-16": lambda tree: tree.bytes_of(tree.table, lambda text: text.decode().encode("utf-16")),
    "UTF-16 without a mark": lambda tree: tree.bytes_of(tree.table, lambda text: text.decode().encode("utf-16-be")),
    "UTF-32": lambda tree: tree.bytes_of(tree.table, lambda text: text.decode().encode("utf-32")),
    "Latin-1": lambda tree: tree.bytes_of(tree.table, lambda text: text + b"caf\xe9\r\n"),
    "bytes that are no text": lambda tree: tree.bytes_of(tree.table, lambda text: tree.random.randbytes(len(text))),
    "compressed": lambda tree: tree.bytes_of(tree.table, lambda text: b"PK\3\4" + tree.random.randbytes(999)),
    "a sentence without end": lambda tree: tree.field(SENTENCE, lambda text: "dog " * 50_000),
    "a long sentence": lambda tree: tree.field(SENTENCE, lambda text: "dog " * 999),
    "a name without end": lambda tree: tree.field(UID, lambda uid: "x" * 1500 + uid),
    "a zero byte": lambda tree: tree.field(SENTENCE, lambda text: text + "\0"),
    "a bell": lambda tree: tree.field(SENTENCE, lambda text: text + "\a"),
    "a path out of the root": lambda tree: tree.field(UID, lambda uid: "../../" + uid),
    "an absolute path": lambda tree: tree.field(UID, lambda uid: "/etc/" + uid),
    "a path with backslashes": lambda tree: tree.field(UID, lambda uid: "..\\" + uid),
    "the folder above": lambda tree: tree.field(UID, lambda uid: ".._cat_1"),
    "a clip without a name": lambda tree: tree.field(UID, lambda uid: "_cat_1"),
    "a uid of one part": lambda tree: tree.field(UID, lambda uid: "cat"),
    "no uid": lambda tree: tree.field(UID, lambda uid: ""),
    "an object of letters": lambda tree: tree.field(FID, lambda fid: "two"),
    "an object below zero": lambda tree: tree.field(FID, lambda fid: "-1"),
    "an object between": lambda tree: tree.field(FID, lambda fid: "1.0"),
    "an object without bounds": lambda tree: tree.field(FID, lambda fid: "9" * 30),
    "another object": lambda tree: tree.field(FID, lambda fid: "987"),
    "no object": lambda tree: tree.field(FID, lambda fid: ""),
    "no sentence": lambda tree: tree.field(SENTENCE, lambda text: ""),
    "a blank sentence": lambda tree: tree.field(SENTENCE, lambda text: " \u3000 "),
    "a split in capitals": lambda tree: tree.field(SPLIT_COLUMN, lambda split: "Train"),
    "a split with a blank": lambda tree: tree.field(SPLIT_COLUMN, lambda split: "train "),
    "no table": lambda tree: tree.table.unlink(),
    "a folder as table": lambda tree: (tree.table.unlink(), tree.table.mkdir()),
    "a pipe as table": lambda tree: (tree.table.unlink(), os.mkfifo(tree.table)),
}


def resaved(mode):
    return lambda image, path: image.convert("L").point(lambda level: 255 if level else 0).convert(mode).save(path)


def masks_as(function):
    """Save every mask as `function` makes it of bool `[H, W]`."""

    def change(image, path):
        function(np.asarray(image.convert("L")) > 0).save(path, "PNG")

    return lambda tree: tree.images(tree.masks, change)


def indices(inside, colors=(), value=1):
    image = Image.fromarray(inside.astype(np.uint8) * value, "P")
    image.putpalette(colors)
    return image


def in_alpha(inside, color):
    image = Image.new("RGB", inside.shape[::-1], color)
    image.putalpha(Image.fromarray(inside.astype(np.uint8) * 255))
    return image


def renamed(folder, name):
    for path in sorted(folder.iterdir()):
        path.rename(folder / name(path))


def beside(folder, names, content=b"\0\5\x16\7\0\2"):
    for name in names:
        (folder / name).write_bytes(content)


def linked(path):
    target = path.with_name("elsewhere-" + path.name)
    path.rename(target)
    path.symlink_to(target)


def coded(path, codec, form, kind, rate=None):
    """Save a sound anew with another codec and format, under its name."""
    with wave.open(str(path)) as file:
        own, count = file.getframerate(), file.getnframes()
    rate = rate or own
    samples = np.zeros((1, count * rate // own), np.float32 if kind.startswith("flt") else np.int16)
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        for begin in range(0, samples.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(samples[:, begin : begin + 1024], format=kind, layout="mono")
            frame.sample_rate, frame.pts = rate, begin
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def wav(path, seconds, rate=16000, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(bytes(2 * channels * int(seconds * rate)))


HARMLESS_TREES = {
    "files of macOS": lambda tree: (
        beside(tree.frames, [f"._{path.name}" for path in tree.frames.iterdir()] + [".DS_Store"]),
        beside(tree.masks, [f"._{path.name}" for path in tree.masks.iterdir()]),
    ),
    "files of Windows": lambda tree: beside(tree.frames, ["Thumbs.db", "desktop.ini"]),
    "hidden images": lambda tree: beside(tree.masks, [".00000.png", ".9.png"]),
    "names of the video": lambda tree: renamed(tree.frames, lambda path: f"{tree.clip}.mp4_{path.name}"),
    "numbers with zeros": lambda tree: renamed(tree.frames, lambda path: f"{int(path.stem):07d}.jpg"),
    "endings in capitals": lambda tree: renamed(tree.frames, lambda path: f"{path.stem}.JPG"),
    "frames as PNG": lambda tree: tree.images(tree.frames, lambda image, path: image.save(path, "PNG")),
    "frames as WebP": lambda tree: tree.images(tree.frames, lambda image, path: image.save(path, "WEBP")),
    "frames of lower quality": lambda tree: tree.images(tree.frames, lambda image, path: image.save(path, quality=30)),
    "gray frames": lambda tree: tree.images(tree.frames, lambda image, path: image.convert("L").save(path)),
    "frames behind links": lambda tree: linked(tree.frames),
    "a clip behind a link": lambda tree: linked(tree.masks.parent),
    "masks of one bit": lambda tree: tree.images(tree.masks, resaved("1")),
    "masks in RGB": lambda tree: tree.images(tree.masks, resaved("RGB")),
    "masks in RGBA": lambda tree: tree.images(tree.masks, resaved("RGBA")),
    "masks with a palette": lambda tree: tree.images(tree.masks, resaved("P")),
    "masks of 0 and 1": masks_as(lambda inside: Image.fromarray(inside.astype(np.uint8))),
    "indices without colours": masks_as(indices),
    "black indices": masks_as(lambda inside: indices(inside, [0, 0, 0] * 4, 3)),
    "indices past the colours": masks_as(lambda inside: indices(inside, [0, 0, 0, 128, 0, 0], 9)),
    "indices in red": masks_as(lambda inside: indices(inside, [0, 0, 0, 128, 0, 0])),
    "masks in alpha over black": masks_as(lambda inside: in_alpha(inside, "black")),
    "masks in alpha over white": masks_as(lambda inside: in_alpha(inside, "white")),
    "masks of 16 bits, 0 and 1": masks_as(lambda inside: Image.fromarray(inside.astype(np.uint16))),
    "masks of 16 bits, 0 and 256": masks_as(lambda inside: Image.fromarray(inside.astype(np.uint16) * 256)),
    "sound as MP3": lambda tree: coded(tree.sound, "libmp3lame", "mp3", "s16p", 16000),
    "sound as FLAC": lambda tree: coded(tree.sound, "flac", "flac", "s16"),
    "sound as floats": lambda tree: coded(tree.sound, "pcm_f32le", "wav", "flt"),
    "sound at an odd rate": lambda tree: wav(tree.sound, 3, 8009),
    "sound a little short": lambda tree: wav(tree.sound, 2.4),
    "sound of six channels": lambda tree: wav(tree.sound, 3, 16000, 6),
}


def cut(tree, folder_or_file):
    path = tree.pick(folder_or_file) if folder_or_file.is_dir() else folder_or_file
    tree.bytes_of(path, lambda content: content[: int(len(content) * tree.random.uniform(0.1, 0.9))])


def replaced(tree, folder, make):
    path = tree.pick(folder) if folder.is_dir() else folder
    path.unlink()
    make(path)


def noise_in_pixels(tree, path):
    """Other bytes among the compressed pixels of a PNG."""

    def change(content):
        begin = content.index(b"IDAT") + 6
        return content[:begin] + tree.random.randbytes(4) + content[begin + 4 :]

    tree.bytes_of(path, change)


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
TREES = {
    "a frame gone": lambda tree: tree.pick(tree.frames).unlink(),
    "a mask gone": lambda tree: tree.pick(tree.masks).unlink(),
    "no sound": lambda tree: tree.sound.unlink(),
    "no frames": lambda tree: shutil.rmtree(tree.frames),
    "no masks": lambda tree: shutil.rmtree(tree.masks),
    "no media": lambda tree: shutil.rmtree(tree.root / "media"),
    "an empty folder": lambda tree: (shutil.rmtree(tree.frames), tree.frames.mkdir()),
    "an empty frame": lambda tree: tree.bytes_of(tree.pick(tree.frames), lambda content: b""),
    "an empty mask": lambda tree: tree.bytes_of(tree.pick(tree.masks), lambda content: b""),
    "an empty sound": lambda tree: tree.bytes_of(tree.sound, lambda content: b""),
    "a cut frame": lambda tree: cut(tree, tree.frames),
    "a cut mask": lambda tree: cut(tree, tree.masks),
    "a cut sound": lambda tree: cut(tree, tree.sound),
    "text as frame": lambda tree: tree.bytes_of(tree.pick(tree.frames), lambda content: b"not an image"),
    "a page as mask": lambda tree: tree.bytes_of(tree.pick(tree.masks), lambda content: b"<html>not found</html>"),
    "noise as frame": lambda tree: tree.bytes_of(tree.pick(tree.frames), lambda c: tree.random.randbytes(len(c))),
    "noise as sound": lambda tree: tree.bytes_of(tree.sound, lambda c: tree.random.randbytes(9999)),
    "noise in a mask": lambda tree: noise_in_pixels(tree, tree.pick(tree.masks)),
    "a folder as frame": lambda tree: replaced(tree, tree.frames, Path.mkdir),
    "a pipe as frame": lambda tree: replaced(tree, tree.frames, os.mkfifo),
    "a pipe as mask": lambda tree: replaced(tree, tree.masks, os.mkfifo),
    "a pipe as sound": lambda tree: replaced(tree, tree.sound, os.mkfifo),
    "a link to nothing": lambda tree: replaced(tree, tree.frames, lambda path: path.symlink_to("nowhere")),
    "a link to itself": lambda tree: replaced(tree, tree.masks, lambda path: path.symlink_to(path.name)),
    "a device as frame": lambda tree: replaced(tree, tree.frames, lambda path: path.symlink_to("/dev/zero")),
    "a device as sound": lambda tree: replaced(tree, tree.sound, lambda path: path.symlink_to("/dev/zero")),
    "a frame twice": lambda tree: shutil.copy(tree.frames / "1.jpg", tree.frames / "0001.jpg"),
    "a mask twice": lambda tree: shutil.copy(tree.masks / "00001.png", tree.masks / "1.png"),
    "a frame without number": lambda tree: (tree.frames / "1.jpg").rename(tree.frames / "one.jpg"),
    "a copy of a frame": lambda tree: shutil.copy(tree.frames / "1.jpg", tree.frames / "1 (copy).jpg"),
    "a name that is not UTF-8": lambda tree: shutil.copy(
        tree.frames / "1.jpg", os.fsdecode(os.fsencode(tree.frames) + b"/\xff_3.jpg")
    ),
    "a name of two lines": lambda tree: shutil.copy(tree.frames / "1.jpg", tree.frames / "a\nb.jpg"),
    "frames from 1 on": lambda tree: renamed(
        tree.frames, lambda path: f"x{int(path.stem) + 1}_{int(path.stem) + 1}.jpg"
    ),
    "a frame too many": lambda tree: shutil.copy(tree.frames / "2.jpg", tree.frames / "3.jpg"),
    "a mask too many": lambda tree: shutil.copy(tree.masks / "00002.png", tree.masks / "00003.png"),
    "a frame of another size": lambda tree: Image.new("RGB", (9, 9)).save(tree.pick(tree.frames)),
    "a mask of another size": lambda tree: Image.new("L", (9, 9)).save(tree.pick(tree.masks)),
    "masks with swapped edges": lambda tree: tree.images(
        tree.masks, lambda image, path: image.transpose(Image.Transpose.TRANSPOSE).save(path)
    ),
    "frames with swapped edges": lambda tree: tree.images(
        tree.frames, lambda image, path: image.transpose(Image.Transpose.ROTATE_90).save(path)
    ),
    "square masks": lambda tree: tree.images(tree.masks, lambda image, path: image.resize((32, 32)).save(path)),
    "masks as JPEG": lambda tree: tree.images(
        tree.masks, lambda image, path: image.convert("L").save(path.with_suffix(".jpg"))
    ),
    "masks that are JPEG": lambda tree: tree.images(
        tree.masks, lambda image, path: image.convert("L").save(path, "JPEG")
    ),
    "masks as GIF": lambda tree: tree.images(tree.masks, lambda image, path: image.convert("L").save(path, "GIF")),
    "masks as animations": lambda tree: tree.images(
        tree.masks,
        lambda image, path: image.save(
            path, "PNG", save_all=True, append_images=[image.point(lambda v: 255 - v)], duration=1
        ),
    ),
    "a bomb": lambda tree: Image.new("1", (20_000, 20_000)).save(tree.pick(tree.frames), "PNG"),
    "a page of PostScript": lambda tree: tree.pick(tree.frames).write_bytes(POSTSCRIPT),
    "a sound that ends early": lambda tree: wav(tree.sound, 1.2),
    "a sound of thrice the length": lambda tree: wav(tree.sound, 9),
    "a sound without samples": lambda tree: wav(tree.sound, 0),
    "a sound at a rate of 1": lambda tree: wav(tree.sound, 3, 1),
    "a sound at a rate of 100": lambda tree: wav(tree.sound, 3, 100),
    "a rate of another sound": lambda tree: tree.bytes_of(
        tree.sound, lambda content: content[:24] + struct.pack("<I", 4000) + content[28:]
    ),
    "an unknown codec": lambda tree: tree.bytes_of(tree.sound, lambda wav: wav[:20] + b"\xab\xcd" + wav[22:]),
    "a playlist as sound": lambda tree: tree.sound.write_text("#EXTM3U\n#EXTINF:3,\n/etc/passwd\n"),
}
JOBS = [
    *((group, name, seed) for group in ("HARMLESS_TABLES", "TABLES") for name in globals()[group] for seed in (0,)),
    *((group, name, seed) for group in ("HARMLESS_TREES", "TREES") for name in globals()[group] for seed in (0,)),
    *(("TREES", name, seed) for name in TREES if name.startswith(("a cut", "noise")) for seed in (1, 2)),
]
# One in so many runs by default.
EVERY = 15


@pytest.mark.parametrize(
    "group, name, seed",
    [
        pytest.param(*job, id=f"{job[1]} {job[2]}", marks=[pytest.mark.slow] if index % EVERY else [])
        for index, job in enumerate(JOBS)
    ],
)
def test_data_are_read_as_before_or_refused(forked, whole, expected, tmp_path, group, name, seed):
    root = shutil.copytree(whole, tmp_path / "data")
    globals()[group][name](Tree(root, seed))
    # Of files no contents: there are pipes and devices among them.
    before = sorted(os.walk(tmp_path))
    said, loading, found = ended_well(forked.call(examine, root, folder=tmp_path, seconds=60)).value
    assert sorted(os.walk(tmp_path)) == before
    assert not any("\n" in text for text in (*said, loading)), said
    if group.startswith("HARMLESS"):
        assert (said, loading) == ([], "") and found == expected
    else:
        # Of a table with an unknown split, what is said of that split names the accepted ones.
        assert any(str(root) in text for text in said)
        assert all(str(root) in text or text.startswith("split: got ") for text in said)
        # Decoding alone finds noise, and silence stands for what a sound lacks.
        assert loading or name in ("noise in a mask", "a sound that ends early")


@pytest.mark.parametrize("name", ["UTF-16", "a comma without quotes", "no sentence", "a pipe as frame", "a cut mask"])
def test_the_command_says_so_in_words(forked, whole, tmp_path, name):
    root = shutil.copytree(whole, tmp_path / "data")
    group = TABLES if name in TABLES else TREES
    group[name](Tree(root, 0))
    found = survived(forked.command("data", "check", root, "--json", folder=tmp_path))
    if found.status == 2:
        refused(found, says=str(root))
    else:
        assert found.status == 1 and found.stderr == "", str(found)
        assert any(str(root) in report["fault"] for report in json.loads(found.stdout) if report["fault"]), str(found)
