"""Which files are opened, what a file can make its reader do, and files that are not whole."""

import os
from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition

from lavseg.media import (
    MediaError,
    containers,
    iter_frames,
    read_audio,
    read_video,
)
from lavseg.media.containers import CONTAINERS
from marked_clips import RATE, Writer, grey, indices, steady, tone
from strange_files import movie, referring_movie


@pytest.fixture
def clip(tmp_path):
    """Three seconds at 25 frames a second, a tone of the same length, the index at the front."""
    path = tmp_path / "clip.mp4"
    Writer(path, movflags="+faststart").video(steady(3)).sound(tone(3)).save()
    return path


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
    "hls by URL": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{folder}/secret.ts\n#EXT-X-ENDLIST\n",
    "hls beside": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecret.ts\n#EXT-X-ENDLIST\n",
    "hls without end": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{folder}/secret.ts\n",
    "hls that looks like MPEG-TS": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n/G/secret.ts\n" + "#\n" * 90,
    "concat": "ffconcat version 1.0\nfile secret.ts\n",
    "concat by path": "ffconcat version 1.0\nfile {folder}/secret.ts\n",
    "concat of URLs": "ffconcat version 1.0\nfile concat:{folder}/secret.ts\n",
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
    monkeypatch.setattr(containers, "PATIENCE", 0)
    with pytest.raises(MediaError, match="within 0 seconds"):
        read_video(movie(tmp_path / "clip.mp4"))


def test_the_default_one_of_several_streams(tmp_path):
    writer = Writer(tmp_path / "clip.mp4").video(steady(1), [grey(1, (16, 16))] * 25).video(steady(1))
    writer.sound(tone(1, rate=8000), rate=8000).sound(tone(1, rate=32000), rate=32000)
    for stream in list(writer.container.streams)[1::2]:
        stream.disposition = Disposition.default.value
    writer.save()
    seen = read_video(tmp_path / "clip.mp4")
    assert seen.frames.shape == (1, 32, 48, 3) and indices(seen.frames) == [24]
    assert seen.sampling_rate == 32000 and seen.waveform.shape == (1, 32000)


def test_cover_art_is_not_video(tmp_path):
    Writer(tmp_path / "clip.mp4").video(steady(1)).cover().save()
    assert read_video(tmp_path / "clip.mp4").frames.shape == (1, 32, 48, 3)
    Writer(tmp_path / "song.mp3").sound(tone(1), codec="libmp3lame").cover().save()
    with pytest.raises(MediaError, match="only sound"):
        read_video(tmp_path / "song.mp3")
    assert read_audio(tmp_path / "song.mp3")[1] == RATE


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8, 0.97])
@pytest.mark.parametrize("suffix", ["mp4", "fragments.mp4", "mkv", "avi", "wav", "flac"])
def test_files_cut_short_are_refused(tmp_path, suffix, share):
    path, noise = tmp_path / f"clip.{suffix}", np.random.default_rng(0)
    images = [noise.integers(0, 255, (32, 48, 3), np.uint8) for _ in range(75)]
    flags = {"mp4": "+faststart", "fragments.mp4": "frag_keyframe+empty_moov+skip_trailer"}.get(suffix)
    writer = Writer(path, **({"movflags": flags} if flags else {}))
    if suffix in ("wav", "flac"):
        writer.sound(tone(3), codec={"wav": "pcm_s16le", "flac": "flac"}[suffix]).save()
    else:
        writer.video(steady(3), images, codec="ffv1" if suffix == "avi" else "libx264").sound(tone(3)).save()
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(MediaError, match=f"clip.{suffix}: (cut short|damaged)"):
        read_audio(path) if suffix in ("wav", "flac") else read_video(path)


def test_wav_written_to_a_pipe_is_whole(tmp_path):
    Writer(tmp_path / "sound.wav").sound(tone(1), codec="pcm_s16le").save()
    content = bytearray((tmp_path / "sound.wav").read_bytes())
    data = content.index(b"data")
    content[4:8] = content[data + 4 : data + 8] = b"\xff" * 4
    assert read_audio(bytes(content))[0].shape == (1, RATE)
    with pytest.raises(MediaError, match="cut short"):
        read_audio((tmp_path / "sound.wav").read_bytes()[:-9000])


def test_cut_before_the_index_is_refused(tmp_path):
    Writer(tmp_path / "clip.mp4").video(steady(1)).save()
    os.truncate(tmp_path / "clip.mp4", (tmp_path / "clip.mp4").stat().st_size // 2)
    with pytest.raises(MediaError, match=r"clip\.mp4: cut short, \d+ of \d+ bytes"):
        read_video(tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.mp4", None, "no such file"),
        ("empty.mp4", b"", "empty"),
        ("garbage.mp4", bytes(range(256)) * 64, "damaged or not a media file"),
        ("notes.txt", b"a note about a clip\n" * 50, "holds no video|not a media file"),
    ],
)
@pytest.mark.parametrize("read", [read_video, read_audio])
def test_files_that_are_no_media(tmp_path, name, content, message, read):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match=f"{name}: .*({message}|holds no sound)"):
        read(path)


def test_folder_audio_only_and_wrong_kinds(tmp_path, clip):
    with pytest.raises(MediaError, match="is a folder"):
        read_video(tmp_path)
    Writer(tmp_path / "sound.m4a").sound(tone(1)).save()
    with pytest.raises(MediaError, match=r"sound\.m4a: holds no video, only sound"):
        read_video(tmp_path / "sound.m4a")
    with pytest.raises(MediaError, match="int is not a media file"):
        read_video(3)
    for rate in (0, -1, float("nan"), float("inf"), "1"):
        with pytest.raises(ValueError, match="fps is"):
            iter_frames(clip, rate)
    with pytest.raises(ValueError, match="'middle'"):
        read_video(clip, at="middle")


def test_read_audio_of_bytes_that_are_no_sound():
    with pytest.raises(MediaError, match=r"<7 bytes>: damaged"):
        read_audio(b"nothing")
    with pytest.raises(MediaError, match="empty"):
        read_audio(b"")
