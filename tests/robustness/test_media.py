"""Damaged clips and sounds: read as they are, refused in one line, or said to be incomplete."""

import random
import warnings
from hashlib import sha1

import numpy as np
import pytest
from harness import ended_well, mutants, raised, refused_or_done, survived, tree, unchanged

from lavseg.media import MediaWarning, inspect_video, iter_clip, read_audio
from marked_clips import Writer, indices, steady, tone

SECONDS, RATE = 3, 16000
# Suffix, video codec, sound codec, and options of the writer.
CLIPS = (
    ("mp4", "libx264", "aac", {"movflags": "+faststart"}),
    ("fragments.mp4", "libx264", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    ("mov", "libx264", "pcm_s16le", {}),
    ("mkv", "libx264", "aac", {}),
    ("webm", "libvpx", "libopus", {}),
    ("avi", "mpeg4", "mp2", {}),
    ("flv", "libx264", "aac", {}),
    ("ts", "libx264", "aac", {}),
)
SOUNDS = (("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame"), ("m4a", "aac"))


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Whole files by their names."""
    folder, written = tmp_path_factory.mktemp("whole"), {}
    for suffix, picture, sound, options in CLIPS:
        path = folder / f"clip.{suffix}"
        Writer(path, **options).video(steady(SECONDS), codec=picture).sound(
            tone(SECONDS, rate=48000), 48000, codec=sound
        ).save()
        written[path.name] = path.read_bytes()
    for suffix, sound in SOUNDS:
        path = folder / f"sound.{suffix}"
        Writer(path).sound(tone(SECONDS), codec=sound).save()
        written[path.name] = path.read_bytes()
    return written


def cut(rng, content):
    return content[: rng.randrange(len(content))]


def overwrite(rng, content):
    """Random bytes in one place."""
    at, count = rng.randrange(len(content)), rng.choice((1, 4, 100, 2000))
    return content[:at] + rng.randbytes(count) + content[at + count :]


def overwrite_head(rng, content):
    """A few bytes where the description of the streams is."""
    at = rng.randrange(min(len(content), 1500))
    return content[:at] + rng.choice((bytes(4), b"\xff" * 4, rng.randbytes(4))) + content[at + 4 :]


def erase(rng, content):
    at, count = rng.randrange(len(content)), rng.choice((1, 188, 3000))
    return content[:at] + content[at + count :]


def insert(rng, content):
    at = rng.randrange(len(content))
    return content[:at] + rng.randbytes(rng.choice((1, 188, 3000))) + content[at:]


def swap(rng, content):
    """Two pieces change places."""
    first, second, third = sorted(rng.randrange(len(content)) for _ in range(3))
    return content[:first] + content[second:third] + content[first:second] + content[third:]


def append(rng, content):
    return content + rng.choice((rng.randbytes(1000), bytes(5000), content))


MUTATIONS = (cut, overwrite, overwrite_head, overwrite_head, erase, insert, swap, append)


def mutated(originals, seed):
    """Name and content of a mutant."""
    rng = random.Random(seed)
    name = rng.choice(sorted(originals))
    content = rng.choice(MUTATIONS)(rng, originals[name])
    return name, content


def read(path):
    """Numbers of the frames shown at each second, seconds of sound, and what was said about the file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default", MediaWarning)
        if path.name.startswith("sound"):
            waveform, rate = read_audio(path)
            assert np.isfinite(waveform).all()
            found = [], waveform.shape[1] / rate
        else:
            info, parts = inspect_video(path), list(iter_clip(path))
            assert abs(info.seconds - len(parts)) < 1.5, (info, len(parts))
            sound = [part.waveform for part in parts if part.waveform is not None]
            assert all(np.isfinite(waveform).all() for waveform in sound)
            seconds = (
                sum(map(np.size, sound)) / (parts[0].sampling_rate or 1) / max(len(sound[:1]) and len(sound[0]), 1)
            )
            found = indices(np.stack([part.frame for part in parts])), seconds
    return *found, [str(one.message) for one in caught]


def test_whole_files_are_read(forked, originals, tmp_path):
    for name, content in originals.items():
        (tmp_path / name).write_bytes(content)
        numbers, seconds, said = ended_well(forked.call(read, tmp_path / name)).value
        assert abs(seconds - SECONDS) < 0.15 and said == []
        assert np.abs(np.subtract(numbers, [24, 49, 74] if name.startswith("clip") else [])).max(initial=0) <= 1


@pytest.mark.parametrize("seed", mutants(7000, 150))
def test_damaged_files(forked, originals, tmp_path, seed):
    name, content = mutated(originals, seed)
    path = tmp_path / name
    path.write_bytes(content)
    with unchanged(tmp_path):
        outcome = survived(forked.call(read, path, seconds=30, cpu_seconds=20, folder=tmp_path))
    if outcome.error:
        raised(outcome, says=name, kind="MediaError")
        return
    numbers, seconds, said = ended_well(outcome).value
    states = name.endswith((".mp4", ".mov", ".mkv", ".avi", ".wav", ".flac", ".m4a"))
    if states and not said:
        assert abs(seconds - SECONDS) < 1.1 and len(numbers) in (0, SECONDS), (numbers, seconds)


def shown(path):
    """Digests of what a clip shows and sounds like second by second, as the command reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = list(iter_clip(path))
    sounds = [b"" if part.waveform is None else part.waveform.tobytes() for part in parts]
    return [sha1(part.frame.tobytes() + sound).hexdigest() for part, sound in zip(parts, sounds, strict=True)]


def masks(folder):
    """Digests of the masks in a result."""
    return {name: digest for name, digest in tree(folder).items() if name.endswith(".png")}


# Of the mutants above some that can be read, of which half show what the whole clip shows, and five that cannot.
SEGMENTED = (
    *(7005, 7012, 7013, 7027, 7032, 7041, 7058, 7074, 7107, 7149),
    *(7015, 7040, 7084, 7085, 7096, 7097, 7102, 7106, 7127, 7139),
    *(7000, 7001, 7002, 7003, 7004),
)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "seed"), enumerate(SEGMENTED))
def test_the_command_on_damaged_files(forked, originals, saved_method, tmp_path, number, seed):
    """What is shown as before, is segmented as before; of anything else there is a mask for each second shown."""
    (model, reads), (name, content) = saved_method(number), mutated(originals, seed)
    arguments = ["--model", model, *(["--text", "the dog"] if reads else [])]
    path, whole, out = tmp_path / name, tmp_path / "whole" / name, tmp_path / "out"
    whole.parent.mkdir()
    path.write_bytes(content)
    whole.write_bytes(originals[name])
    before = sorted(tmp_path.iterdir())
    if not refused_or_done(forked.command("segment", path, "--out", out, *arguments, folder=tmp_path)):
        assert sorted(tmp_path.iterdir()) == before
        return
    assert (out / "result.json").is_file() and sorted(tmp_path.iterdir()) == sorted([*before, out])
    found, expected = (ended_well(forked.call(shown, each)).value for each in (path, whole))
    assert len(masks(out)) == len(found)
    if found == expected:
        ended_well(forked.command("segment", whole, "--out", tmp_path / "expected", *arguments))
        assert masks(out) == masks(tmp_path / "expected")
