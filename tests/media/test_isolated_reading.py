"""Reading in a child process: the same results, and an end to whatever goes wrong there."""

import itertools
import signal
import subprocess
import sys
import time
from contextlib import closing

import av
import numpy as np
import pytest

from lavseg import media
from lavseg.media import MediaError, MediaWarning, isolated_reading
from lavseg.media.isolated_reading import IsolatedClipReader
from marked_clips import Writer, steady, tone
from strange_files import LEFT, RIGHT, mapped_movie, movie


def program(*changes: str) -> str:
    """What the child runs, after changes to what it reads with."""
    return isolated_reading.PROGRAM.replace(
        "main(*", f"from lavseg.media import isolated_reading, reading, streams; {'; '.join(changes)}; main(*"
    )


@pytest.fixture
def clip(tmp_path):
    return movie(tmp_path / "clip.mov", 60, layout="stereo")


@pytest.fixture
def children(monkeypatch):
    """The processes that are started."""
    started, popen = [], subprocess.Popen

    def start(*given, **options):
        started.append(popen(*given, **options))
        return started[-1]

    monkeypatch.setattr(isolated_reading.subprocess, "Popen", start)
    yield started
    assert started and all(child.poll() is not None for child in started)


@pytest.mark.parametrize("options", [(), (2.5, "start")])
@pytest.mark.parametrize("layout", ["stereo", None])
def test_the_same_as_reading_here(tmp_path, children, options, layout):
    path = movie(tmp_path / "clip.mov", 60, layout)
    reader = IsolatedClipReader(path, 60)
    assert reader.info == media.inspect_video(path)
    for (time_there, there), (time_here, here) in zip(
        reader.iter_frames(*options), media.iter_frames(path, *options), strict=True
    ):
        assert time_there == time_here and there.dtype == np.uint8
        np.testing.assert_array_equal(there, here)
    for there, here in zip(reader.iter_clip(*options), media.iter_clip(path, *options), strict=True):
        assert (there.time, there.sampling_rate) == (here.time, here.sampling_rate)
        np.testing.assert_array_equal(there.frame, here.frame)
        assert (there.waveform is None) == (here.waveform is None) == (layout is None)
        if layout:
            assert there.waveform.dtype == np.float32
            np.testing.assert_array_equal(there.waveform, here.waveform)


@pytest.mark.parametrize(
    ("name", "options", "kind", "message"),
    [
        ("absent.mp4", (), MediaError, "absent.mp4: no such file"),
        ("clip.mov", (0,), ValueError, "fps is 0"),
        ("n\u00f6\udcff tes.mp4", (), MediaError, "n\u00f6\udcff tes.mp4: damaged or not a media file"),
    ],
)
def test_the_same_errors(tmp_path, clip, children, name, options, kind, message):
    if "tes" in name:
        (tmp_path / name).write_text("no video")
    with pytest.raises(ValueError, match=message) as caught:
        list(IsolatedClipReader(tmp_path / name, 60).iter_clip(*options))
    assert type(caught.value) is kind


def test_the_same_warnings(tmp_path, children):
    path = tmp_path / "clip.mp4"
    Writer(path).video(steady(3)).sound(tone(1)).save()
    reader = IsolatedClipReader(path, 60)
    with pytest.warns(MediaWarning) as here:
        list(media.iter_clip(path))
    with pytest.warns(MediaWarning) as there:
        list(reader.iter_clip())
        list(reader.iter_clip())
    assert {str(one.message) for one in here} == {str(one.message) for one in there} == {*reader.remarks}
    assert len(reader.remarks) == 1 and "its sound lasts 1." in reader.remarks[0]


def test_the_child_waits_and_ends_when_nobody_reads_on(tmp_path, children):
    path = movie(tmp_path / "clip.mp4", 60, size=(640, 480))
    with closing(IsolatedClipReader(path, 60).iter_frames(25)) as frames:
        assert next(frames)[1].shape == (480, 640, 3)
        time.sleep(1)
        assert children[0].poll() is None
    assert children[0].returncode == -signal.SIGKILL


def test_a_crash_of_the_decoder_is_one_message(tmp_path, children, monkeypatch):
    path = mapped_movie(tmp_path / "clip.mov", [RIGHT, LEFT])
    reader = IsolatedClipReader(path, 60)
    with pytest.raises(MediaError, match="no usual layout"):
        list(reader.iter_clip())
    # PyAV frees the channel map of a stream each time it is asked for.
    twice = "streams.require_usual_channels = lambda stream, name: [stream.layout, stream.layout]"
    monkeypatch.setattr(isolated_reading, "PROGRAM", program(twice))
    with pytest.raises(MediaError, match=r"clip\.mov: the decoder crashed on this file") as caught:
        list(reader.iter_clip())
    assert "\n" not in str(caught.value) and children[-1].returncode in (-signal.SIGABRT, -signal.SIGSEGV)
    assert len(list(IsolatedClipReader(mapped_movie(path, [LEFT, RIGHT]), 60).iter_clip())) == 2


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import time; time.sleep(60)", "not done within 0.5 seconds"),
        ("import os; os.abort()", "the decoder crashed"),
        ("import os; os._exit(0)", "the decoder crashed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", "takes more than 300 seconds"),
    ],
)
def test_whatever_ends_the_child_is_one_message(clip, children, monkeypatch, code, message):
    monkeypatch.setattr(isolated_reading, "PROGRAM", code)
    seconds = 0.5 if "sleep" in code else 60
    began = time.monotonic()
    with pytest.raises(MediaError, match=message):
        assert IsolatedClipReader(clip, seconds).info
    assert time.monotonic() - began < 20


def test_the_time_limit_holds_between_frames(tmp_path, children):
    path = movie(tmp_path / "clip.mp4", 60, size=(640, 480))
    frames = IsolatedClipReader(path, 3).iter_frames(25)
    next(frames)
    time.sleep(3)
    with pytest.raises(MediaError, match="not done within 3 seconds"):
        list(frames)


def test_a_file_that_takes_too_much_memory(clip, children, monkeypatch):
    """Its header states a sampling rate of which a second is 16 GiB."""
    monkeypatch.setattr(isolated_reading, "PROGRAM", program("isolated_reading.MEMORY = 2**30"))
    movie(clip.with_suffix(".avi"), layout="stereo", codec="mpeg4")
    content = bytearray(clip.with_suffix(".avi").read_bytes())
    at = content.index(b"\1\0\2\0" + (16000).to_bytes(4, "little"))
    content[at + 4 : at + 8] = (2**31 - 1).to_bytes(4, "little")
    clip.with_suffix(".avi").write_bytes(content)
    with pytest.raises(MediaError, match="decoding takes more than 1 GiB of memory"):
        list(IsolatedClipReader(clip.with_suffix(".avi"), 60).iter_clip())


def test_the_child_has_limits(clip, children, monkeypatch):
    limits = "[r.getrlimit(k)[0] for k in (r.RLIMIT_AS, r.RLIMIT_CPU, r.RLIMIT_FSIZE, r.RLIMIT_CORE)]"
    change = f"import resource as r; reading.inspect_video = lambda path: (_ for _ in ()).throw(ValueError({limits}))"
    monkeypatch.setattr(isolated_reading, "PROGRAM", program(change))
    with pytest.raises(ValueError, match=rf"\[{4 * 2**30}, 300, 0, 0\]"):
        assert IsolatedClipReader(clip, 60).info


def test_the_child_loads_no_model_code(clip):
    code = (
        "import sys; from lavseg.media.isolated_reading import READERS; next(READERS['inspect_video'](sys.argv[1]));"
        "list(READERS['iter_clip'](sys.argv[1]));"
        "print(sorted({'torch', 'transformers', 'gradio', 'huggingface_hub', 'typer'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(clip)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_reading_on_past_a_decoder_that_crashes_midway(tmp_path, children, monkeypatch):
    """What came before the crash is there; the crash is not taken for the end of the clip."""
    ends = "[number == 3 and os.abort(), frame][1] for number, frame in enumerate(frames(*given))"
    change = f"import os; frames = reading.iter_frames; reading.iter_frames = lambda *given: ({ends})"
    monkeypatch.setattr(isolated_reading, "PROGRAM", program(change))
    frames = IsolatedClipReader(movie(tmp_path / "clip.mp4"), 60).iter_frames(5)
    assert len(list(itertools.islice(frames, 3))) == 3
    with pytest.raises(MediaError, match="crashed"):
        next(frames)


def test_sound_of_eight_channels_comes_through(cases):
    path = cases / "sound-8-channels" / "clip71.mp4"
    parts = list(IsolatedClipReader(path, 60).iter_clip())
    assert {part.waveform.shape for part in parts} == {(8, 44100)} and av.open(str(path)).streams.video
