"""What a file can make its reader do: open other files, wait, end the process."""

import io
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from lavseg.media import reading
from lavseg.media.reading import CONTAINERS, MediaError, iter_clip, read_audio, read_video
from strange_files import CENTER, LEFT, RIGHT, caf, mapped_movie, movie, referring_movie, samples, wav

# For each container: FFmpeg's name of its writer, a video codec and its pixel format, a sound codec.
WRITERS = {
    "mov": ("mp4", "libx264", "yuv420p", "aac"),
    "matroska": ("matroska", "libx264", "yuv420p", "aac"),
    "avi": ("avi", "mpeg4", "yuv420p", "mp2"),
    "flv": ("flv", "flv", "yuv420p", "aac"),
    "mpegts": ("mpegts", "libx264", "yuv420p", "aac"),
    "mpeg": ("mpeg", "mpeg1video", "yuv420p", "mp2"),
    "asf": ("asf", "wmv2", "yuv420p", "mp2"),
    "mxf": ("mxf", "mpeg2video", "yuv420p", "pcm_s16le"),
    "nut": ("nut", "libx264", "yuv420p", "aac"),
    "rm": ("rm", "rv10", "yuv420p", None),
    "dv": ("dv", "dvvideo", "yuv420p", None),
    "gif": ("gif", "gif", "rgb8", None),
    "ivf": ("ivf", "libvpx", "yuv420p", None),
    "h264": ("h264", "libx264", "yuv420p", None),
    "hevc": ("hevc", "libx265", "yuv420p", None),
    "m4v": ("m4v", "mpeg4", "yuv420p", None),
    "mpegvideo": ("mpeg1video", "mpeg1video", "yuv420p", None),
    "mjpeg": ("mjpeg", "mjpeg", "yuvj420p", None),
    "obu": ("obu", "libsvtav1", "yuv420p", None),
    "yuv4mpegpipe": ("yuv4mpegpipe", "wrapped_avframe", "yuv420p", None),
    "ogg": ("ogg", None, None, "flac"),
    "wav": ("wav", None, None, "pcm_s16le"),
    "w64": ("w64", None, None, "pcm_s16le"),
    "flac": ("flac", None, None, "flac"),
    "mp3": ("mp3", None, None, "libmp3lame"),
    "aac": ("adts", None, None, "aac"),
    "ac3": ("ac3", None, None, "ac3"),
    "eac3": ("eac3", None, None, "eac3"),
    "aiff": ("aiff", None, None, "pcm_s16be"),
    "au": ("au", None, None, "pcm_s16be"),
    "caf": ("caf", None, None, "pcm_s16be"),
    "amr": ("amr", None, None, "libopencore_amrnb"),
    "wv": ("wv", None, None, "wavpack"),
    "tta": ("tta", None, None, "tta"),
}


def write(path, writer, video, pixels, sound):
    """A second of pictures that grow lighter, and of silence."""
    width, height = (720, 576) if video == "dvvideo" else (176, 144)
    rate = 8000 if writer == "amr" else 48000
    with av.open(str(path), "w", format=writer) as container:
        pictures = video and container.add_stream(video, rate=25, width=width, height=height, pix_fmt=pixels)
        silence = sound and container.add_stream(sound, rate=rate, layout="mono")
        for index in range(25 if video else 0):
            frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 3 * index, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(pictures.encode(frame))
        if video:
            container.mux(pictures.encode())
        if sound:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, rate), np.float32), format="fltp", layout="mono")
            frame.pts, frame.sample_rate, frame.time_base = 0, rate, Fraction(1, rate)
            container.mux([*silence.encode(frame), *silence.encode()])
    return rate


def test_every_container_is_tried():
    assert set(WRITERS) == set(CONTAINERS)


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_that_are_taken_whatever_their_name(tmp_path, container):
    writer, video, pixels, sound = WRITERS[container]
    if {video, sound, None} - av.codecs_available - {None}:
        pytest.skip(f"this FFmpeg cannot write {video or sound}")
    path = tmp_path / "upload.bin"
    rate = write(path, writer, video, pixels, sound)
    with av.open(str(path)) as opened:
        assert container in opened.format.name.split(",")
    if video:
        frames = read_video(path).frames
        assert len(frames) == 1 and abs(frames[0].mean() / 3 - 24) < 3
    if sound:
        for source in (path, path.read_bytes()):
            waveform, read_rate = read_audio(source)
            assert read_rate == rate and abs(waveform.shape[1] / rate - 1) < 0.1


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{folder}/secret.ts\n#EXT-X-ENDLIST\n",
    "hls by address": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{folder}/secret.ts\n#EXT-X-ENDLIST\n",
    "hls beside": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecret.ts\n#EXT-X-ENDLIST\n",
    "hls without end": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{folder}/secret.ts\n",
    "concat": "ffconcat version 1.0\nfile secret.ts\n",
    "concat by path": "ffconcat version 1.0\nfile {folder}/secret.ts\n",
    "concat of addresses": "ffconcat version 1.0\nfile concat:{folder}/secret.ts\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT2S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" '
    'bandwidth="1"><BaseURL>{folder}/secret.ts</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "asx": "[Reference]\nRef1=file://{folder}/secret.ts\n",
    "imf": '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"/>',
    "vobsub": "# VobSub index file, v7 (do not modify this line!)\n",
    "text": "a line\n" * 200,
}


@pytest.mark.parametrize("suffix", ["m3u8", "ffconcat", "mpd", "sdp", "txt", "mp4", "ts", "wav"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_files_that_name_others_are_refused_at_once(tmp_path, kind, suffix):
    movie(tmp_path / "secret.ts", 200)
    content = PLAYLISTS[kind].format(folder=tmp_path)
    path = tmp_path / f"upload.{suffix}"
    path.write_text(content)
    for read, source in ((read_video, path), (read_audio, path), (read_audio, content.encode())):
        with pytest.raises(MediaError, match=r"not a media file of a kind that is taken .* playlists") as caught:
            read(source)
        assert "\n" not in str(caught.value)


def test_the_playlists_name_a_file_that_ffmpeg_reads_otherwise(tmp_path):
    """Or else their refusal would say nothing."""
    movie(tmp_path / "secret.ts", 200)
    for name, kind in (("upload.m3u8", "hls"), ("upload.txt", "concat")):
        (tmp_path / name).write_text(PLAYLISTS[kind].format(folder=tmp_path))
        with av.open(str(tmp_path / name)) as container:
            assert next(container.decode(video=0)).to_ndarray(format="gray").mean() > 150


@pytest.mark.parametrize("name", ["frame%03d.png", "frame*.jpg", "frame.png"])
def test_image_sequences_are_refused(tmp_path, name):
    from PIL import Image

    for file in ("frame000.png", "frame000.jpg", name):
        Image.new("RGB", (64, 48), (200, 0, 0)).save(tmp_path / file)
    with pytest.raises(MediaError, match="kind that is taken"):
        read_video(tmp_path / name)


def test_no_format_that_names_other_files_is_taken():
    names = {"hls", "concat", "dash", "sdp", "imf", "image2", "image2pipe", "asx", "rtsp", "rtp", "sap", "lavfi", "tty"}
    names |= {"vobsub", "webm_dash_manifest", "concatf", "ffmetadata", "txt", "fifo", "video4linux2", "x11grab", "iamf"}
    assert not names & set(CONTAINERS)
    assert not [name for name in CONTAINERS if name.endswith("_pipe")]


def test_data_in_another_file_are_not_read(tmp_path):
    secret = movie(tmp_path / "secret.mov", 200, codec="rawvideo")
    path = referring_movie(tmp_path / "upload.mov", secret)
    with av.open(str(path), container_options={"enable_drefs": "1", "use_absolute_path": "1"}) as container:
        assert next(container.decode(video=0)).to_ndarray(format="gray").mean() > 150
    with pytest.raises(MediaError, match=r"upload\.mov: "):
        read_video(path)


def test_opening_has_a_time_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PATIENCE", 0)
    with pytest.raises(MediaError, match="within 0 seconds"):
        read_video(movie(tmp_path / "clip.mp4"))


@pytest.mark.parametrize(
    "source",
    [
        *((wav, (channels, None)) for channels in (1, 2, 3, 5, 8, 9, 24, 32)),
        (wav, (1, 0x1)),
        (wav, (2, 0x9)),
        (wav, (6, 0x3F)),
        (wav, (8, 0x63F)),
        (wav, (18, 0x3FFFF)),
        (wav, (24, 0x3F)),
        (caf, ([LEFT, RIGHT],)),
        (caf, ([LEFT, CENTER],)),
    ],
    ids=lambda source: f"{source[0].__name__}{source[1]}",
)
def test_sound_of_many_channels_is_read_whole(source):
    make, arguments = source
    waveform, rate = read_audio(make(*arguments))
    assert rate == 8000 and waveform.dtype == np.float32 and waveform.flags.c_contiguous
    np.testing.assert_array_equal(waveform, samples(len(waveform)).T / np.float32(32768))


# A regression would end the process, so another one is asked.
ASK = """
import gc, sys
from lavseg.media import iter_clip, read_audio
read = {"audio": read_audio, "clip": lambda path: list(iter_clip(path))}[sys.argv[1]]
try:
    read(sys.argv[2])
except ValueError as error:
    print(error)
gc.collect()
"""


def asked(read, path):
    done = subprocess.run([sys.executable, "-c", ASK, read, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (caf([RIGHT, LEFT]), "its 2 channels of sound have no usual layout"),
        (caf([LEFT, RIGHT, LEFT]), "its 3 channels"),
        (caf([LEFT] * 16), "its 16 channels"),
        (wav(24, 0xFFFFFF), "its 24 channels"),
        (wav(33), "33 channels of sound; up to 32"),
        (wav(500), "500 channels"),
    ],
)
def test_other_channels_are_refused_before_they_do_harm(tmp_path, content, message):
    (tmp_path / "sound.bin").write_bytes(content)
    for _ in range(2):
        said = asked("audio", tmp_path / "sound.bin")
        assert message in said and said.count("\n") == 1


def test_a_clip_whose_channels_are_mapped_is_refused(tmp_path):
    assert "have no usual layout" in asked("clip", mapped_movie(tmp_path / "clip.mov", [RIGHT, LEFT]))
    parts = list(iter_clip(mapped_movie(tmp_path / "clip.mov", [LEFT, RIGHT])))
    assert [part.waveform.shape for part in parts] == [(2, 16000)] * 2


def test_sound_without_a_decoder(tmp_path):
    path = movie(tmp_path / "clip.mov", layout="stereo")
    path.write_bytes(path.read_bytes().replace(b"sowt", b"zzzz"))
    for read in (read_video, read_audio):
        with pytest.raises(MediaError, match=r"clip\.mov: its sound is in a format without a decoder"):
            read(path)


def test_sound_in_eight_channels(cases):
    for name, shape, rate in (("71.wav", (8, 8000), 8000), ("clip71.mp4", (8, 133120), 44100)):
        waveform, read_rate = read_audio(cases / "sound-8-channels" / name)
        assert waveform.shape == shape and read_rate == rate and np.abs(waveform[0]).max() > 0.3


def test_planar_sound_in_eight_channels(tmp_path):
    sound = np.stack([np.full(4 * 4096, channel / 10, np.float32) for channel in range(8)])
    content = io.BytesIO()
    with av.open(content, "w", format="caf") as container:
        stream = container.add_stream("alac", rate=16000, layout="7.1(wide)")
        frame = av.AudioFrame.from_ndarray(sound.T.reshape(1, -1).copy(), format="flt", layout="7.1(wide)")
        frame.pts, frame.sample_rate, frame.time_base = 0, 16000, Fraction(1, 16000)
        container.mux([*stream.encode(frame), *stream.encode()])
    waveform, _ = read_audio(content.getvalue())
    np.testing.assert_allclose(waveform, sound, atol=1e-3)
