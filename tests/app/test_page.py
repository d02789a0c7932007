"""The web app: what its page calls, and the whole of it in a real browser."""

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub.utils import httpx
from PIL import Image
from tiny.configurations import tiny_config

from conftest import ROOT
from lavseg.data import draw_objects, render_clip
from lavseg.inference.windows import segment_video
from lavseg.media import isolated_reading, read_video, write_video
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel
from strange_files import movie

gr = pytest.importorskip("gradio", reason="Gradio is not installed (extra app)")

from lavseg.app import page as app  # noqa: E402

SECONDS = 4
TEXTS = ["the red circle", "the <b>object</b> making a sound"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A clip, one without sound, a file that is none, and one that was cut short."""
    folder = tmp_path_factory.mktemp("clips")
    clip = render_clip(np.random.default_rng(0), SECONDS, (60, 82))
    write_video(folder / "clip.mp4", clip.frames, 1, clip.waveform, 16000)
    write_video(folder / "mute.mp4", clip.frames, 1)
    (folder / "notes.mp4").write_text("no video")
    (folder / "half.mp4").write_bytes((folder / "clip.mp4").read_bytes()[:3000])
    return folder


@pytest.fixture(scope="module")
def love(tiny_processor):
    torch.manual_seed(0)
    model = Sam2LoveModel(tiny_config(Sam2LoveConfig, len(tiny_processor.tokenizer))).eval()
    torch.nn.init.constant_(model.sam2.mask_decoder.pred_obj_score_head.proj_out.bias, 10.0)
    return model


@pytest.fixture(scope="module")
def aural(tokenizer):
    torch.manual_seed(0)
    config = tiny_config(AuralSam2Config, len(tokenizer))
    return AuralSam2Model(config).eval(), AuralSam2Processor.from_config(config, tokenizer)


@pytest.fixture
def web_app(love, tiny_processor, tmp_path):
    return app.WebApp(love, tiny_processor, tmp_path)


def masks_in(archive):
    """The masks `[E, T, H, W]` and the labels of a zip file."""
    with zipfile.ZipFile(archive) as files:
        names = sorted(name for name in files.namelist() if name.endswith(".png"))
        masks = [np.asarray(Image.open(io.BytesIO(files.read(name)))) > 0 for name in names]
        labels = files.read("labels.txt").decode().splitlines()
    assert names == [f"{i}/{t:05d}.png" for i in range(len(labels)) for t in range(len(names) // len(labels))]
    return np.stack(masks).reshape(len(labels), -1, *masks[0].shape), labels


def test_an_answer_holds_what_the_model_finds(web_app, clips, tmp_path):
    clip = str(clips / "clip.mp4")
    video, strip, button = web_app.segment(clip, "\n".join([*TEXTS, " "]), 0, [])
    masks, labels = masks_in(button.value["path"])
    expected = segment_video(web_app.model, web_app.processor, clip, TEXTS)
    assert labels == TEXTS and button.interactive
    np.testing.assert_array_equal(masks, np.stack([frame.masks for frame in expected], axis=1))
    assert masks.any()
    drawn = read_video(video)
    assert drawn.frames.shape[0] == SECONDS and drawn.waveform is not None
    assert strip.count("<rect") == 2 * SECONDS and "&lt;b&gt;object" in strip and "<b>" not in strip
    assert Path(video).is_relative_to(tmp_path)


@pytest.mark.parametrize(
    ("name", "sentences", "message"),
    [
        (None, "the dog", "Choose or record a clip"),
        ("clip.mp4", " \n", "Write a sentence"),
        ("clip.mp4", "the dog\n" * 9, "9 sentences were given; up to 8"),
        ("mute.mp4", "the dog", "mute.mp4: carries no sound"),
        ("notes.mp4", "the dog", "notes.mp4: damaged or not a media file"),
        ("half.mp4", "the dog", "half.mp4: "),
    ],
)
def test_what_cannot_be_used_gives_a_message_and_leaves_nothing(web_app, clips, tmp_path, name, sentences, message):
    clip = name and str(clips / name)
    with pytest.raises(gr.Error, match=message) as caught:
        web_app.segment(clip, sentences, 0, [])
    assert str(clips) not in caught.value.message and not caught.value.print_exception
    assert not list(tmp_path.iterdir())


def test_long_clips_are_refused_when_they_are_chosen(web_app, clips, monkeypatch):
    web_app.look_at_clip(str(clips / "clip.mp4"))
    monkeypatch.setattr(app, "MAX_SECONDS", SECONDS - 1)
    with pytest.raises(gr.Error, match=r"clip.mp4: lasts 4 seconds; clips of up to 3"):
        web_app.look_at_clip(str(clips / "clip.mp4"))


def test_large_pictures_are_refused_when_they_are_chosen(web_app, clips, monkeypatch):
    monkeypatch.setattr(app, "MAX_SIDES", (82, 59))
    with pytest.raises(gr.Error, match=r"clip.mp4: its pictures are 82x60; up to 82x59"):
        web_app.look_at_clip(str(clips / "clip.mp4"))


@pytest.mark.parametrize("end", ["", "#EXT-X-ENDLIST\n"])
@pytest.mark.parametrize("suffix", ["m3u8", "mp4"])
def test_a_playlist_shows_nobody_elses_file(web_app, aural, clips, tmp_path, suffix, end):
    secret = movie(tmp_path / "secret.ts", 200)
    path = tmp_path / f"upload.{suffix}"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret}\n{end}")
    asked = app.WebApp(*aural, tmp_path)
    for ask in (
        asked.look_at_clip,
        lambda clip: asked.look_at_frame(clip, 0),
        lambda clip: asked.segment(clip, "it", 0, []),
    ):
        with pytest.raises(gr.Error, match=rf"upload\.{suffix}: .* playlists and other lists of files are refused"):
            ask(str(path))


@pytest.mark.parametrize(
    ("code", "seconds", "message"),
    [
        ("import os; os.abort()", 60, "clip.mp4: the decoder crashed on this file"),
        ("import time; time.sleep(60)", 0.5, "clip.mp4: not done within 0.5 seconds"),
    ],
)
def test_a_file_that_ends_or_hangs_the_decoder_leaves_the_app_working(
    web_app, aural, clips, tmp_path, monkeypatch, code, seconds, message
):
    clip, asked = str(clips / "clip.mp4"), app.WebApp(*aural, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(isolated_reading, "PROGRAM", code)
        patch.setattr(app, "LOOK_SECONDS", seconds)
        patch.setattr(app, "JOB_SECONDS", seconds)
        for ask in (
            asked.look_at_clip,
            lambda clip: asked.look_at_frame(clip, 0),
            lambda clip: asked.segment(clip, "it", 0, []),
        ):
            with pytest.raises(gr.Error, match=message):
                ask(clip)
    assert not list(tmp_path.iterdir())
    assert web_app.segment(clip, TEXTS[0], 0, [])[2].interactive


def test_a_job_that_takes_too_long_ends(web_app, tmp_path, monkeypatch):
    """The model is slow, not the file: the next window finds the time over."""
    clip = render_clip(np.random.default_rng(0), 20, (60, 82))
    write_video(tmp_path / "long.mp4", clip.frames, 1, clip.waveform, 16000)
    forward = type(web_app.model).forward

    def slow(model, *given, **named):
        time.sleep(4)
        return forward(model, *given, **named)

    monkeypatch.setattr(type(web_app.model), "forward", slow)
    monkeypatch.setattr(app, "JOB_SECONDS", 3)
    with pytest.raises(gr.Error, match=r"long.mp4: not done within 3 seconds; give a shorter"):
        web_app.segment(str(tmp_path / "long.mp4"), TEXTS[0], 0, [])
    assert [path.name for path in tmp_path.iterdir()] == ["long.mp4"]


def test_large_uploads_are_refused_and_recordings_not_edited(love, tiny_processor, tmp_path, monkeypatch):
    class Answered(Exception):
        pass

    def upload(address):
        for size in (1000, 2**20 + 1000):
            files = {"files": ("clip.mp4", bytes(size))}
            statuses.append(httpx.post(f"{address}gradio_api/upload", files=files).status_code)
        recording = {"video": ("clip.mp4", bytes(1000))}
        statuses.append(httpx.post(f"{address}gradio_api/process_recording", files=recording).status_code)
        raise Answered

    statuses = []
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(app, "MAX_MEGABYTES", 1)
    monkeypatch.setattr(app, "load_checkpoint", lambda name: (love, tiny_processor))
    with pytest.raises(Answered):
        app.launch("tiny", tmp_path, on_ready=upload)
    gr.close_all()
    assert statuses == [200, 413, 404]


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_hosts_of_ipv6(love, tiny_processor, tmp_path, monkeypatch, host):
    class Answered(Exception):
        pass

    def ask(address):
        raise Answered(address, httpx.get(address).status_code)

    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(app, "load_checkpoint", lambda name: (love, tiny_processor))
    with pytest.raises(Answered) as caught:
        app.launch("tiny", tmp_path, host, on_ready=ask)
    gr.close_all()
    address, status = caught.value.args
    assert address.startswith("http://[::1]:") and status == 200


def test_points_reach_the_model_at_their_frame(aural, clips, tmp_path):
    model, processor = aural
    web_app, clip = app.WebApp(model, processor, tmp_path), str(clips / "clip.mp4")
    slider, picture, points = web_app.look_at_clip(clip)
    assert slider.maximum == SECONDS - 1 and picture.shape == (60, 82, 3) and points == []
    for place, side in (([40, 30], app.ON_OBJECT), ([10, 5], app.OFF_OBJECT)):
        before = picture
        picture, points = app.add_point(picture, points, side, SimpleNamespace(index=place))
        assert (picture[place[1], place[0]] != before[place[1], place[0]]).any()
    assert points == [[40, 30, 1], [10, 5, 0]]
    _, _, button = web_app.segment(clip, TEXTS[0], 2, points)
    masks, _ = masks_in(button.value["path"])

    read = read_video(clip)
    inputs = processor(
        read.frames,
        read.waveform,
        TEXTS[0],
        read.sampling_rate,
        input_points=[[[[40, 30], [10, 5]]]],
        input_labels=[[[1, 0]]],
    )
    with torch.inference_mode():
        found = model(**inputs, prompt_frames=[2]).pred_masks
    np.testing.assert_array_equal(masks[0], processor.post_process_masks(found, [(60, 82)])[0].numpy())
    with pytest.raises(gr.Error, match="Points show one object"):
        web_app.segment(clip, "\n".join(TEXTS), 2, points)


def test_points_are_offered_where_the_method_takes_them(web_app, aural, tmp_path):
    assert app.WebApp(*aural, tmp_path).takes_points and not web_app.takes_points
    assert web_app.look_at_clip(None)[1:] == (None, [])


@pytest.mark.parametrize("seconds", [1, 7, 60])
def test_the_strip_spans_the_clip(seconds):
    scores = np.linspace(0, 1, seconds)[None]
    strip = app.time_strip(np.zeros(seconds * 20), scores, ["a"], np.array([[1, 2, 3]]), 1.0)
    ticks = [float(part.split("%")[0]) for part in strip.split('<span style="left: ')[1:]]
    assert ticks == sorted(ticks) and ticks[0] == 0 and len(ticks) <= 10 and ticks[-1] < 100
    assert strip.count("<rect") == seconds and f'viewBox="0 0 {seconds} 1"' in strip and "nan" not in strip


@contextmanager
def served(place, *options):
    """The address of `lavseg app`, run with `place` for home, working and temporary folder."""
    place.mkdir()
    environment = os.environ | {"HOME": str(place), "TMPDIR": str(place)}
    program = [sys.executable, "-B", "-c", "from lavseg.cli import main; main()", "app", *map(str, options)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(program, cwd=place, env=environment, **pipes) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("lavseg app: http://127.0.0.1:"), line + process.stdout.read()
            yield line.split()[2]
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=60)[0]
    assert "Traceback" not in said, said


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium of the system."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium: install Debian's package chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (extra dev)")
    # Chromium needs a home to write to, a temporary folder whose path fits a socket, and UTF-8 for the files it sends.
    with playwright.sync_playwright() as driver, TemporaryDirectory(dir="/tmp") as place:
        environment = os.environ | {"HOME": place, "TMPDIR": place, "LC_ALL": "C.UTF-8"}
        launched = driver.chromium.launch(executable_path=chromium, env=environment)
        yield launched
        launched.close()


@pytest.fixture
def tab(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(120_000)
    yield page
    page.close()


def choose(tab, clip):
    tab.locator("#clip input[type=file]").set_input_files(clip)


def found(tab):
    """Wait for an answer that the browser plays; the text of the time strip."""
    tab.wait_for_function("document.querySelector('#overlay video')?.readyState >= 2")
    tab.locator("#strip .row").first.wait_for()
    return tab.locator("#strip").inner_text()


def downloaded(tab):
    with tab.expect_download() as download:
        tab.locator("#masks").click()
    return masks_in(download.value.path())


def reachable(host, port):
    with socket.socket() as caller:
        caller.settimeout(5)
        return caller.connect_ex((host, port)) == 0


def outside_address():
    """An address of this machine that others may know; none where it has only loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return probe.getsockname()[0]


@pytest.mark.slow
def test_from_upload_to_download(tab, clips, tmp_path):
    if not (ROOT / "examples" / "sam2-love-tiny" / "model.safetensors").is_file():
        pytest.skip("the checkpoint examples/sam2-love-tiny is not there")
    rng = np.random.default_rng(2025)
    clip = render_clip(rng, 10, (224, 288), objects=draw_objects(rng, plan="both"))
    write_video(tmp_path / "shapes.mp4", clip.frames, 1, clip.waveform, 16000)
    (tmp_path / "big.mp4").touch()
    os.truncate(tmp_path / "big.mp4", app.MAX_MEGABYTES * 10**6 + 1)
    place = tmp_path / "server"
    with served(place) as address:
        port = int(address.strip("/").split(":")[-1])
        assert reachable("127.0.0.1", port)
        assert outside_address() in (None, "127.0.0.1") or not reachable(outside_address(), port)
        tab.goto(address)
        tab.locator("#find").click()
        tab.get_by_text("Choose or record a clip first.").wait_for()

        choose(tab, tmp_path / "shapes.mp4")
        tab.locator("#clip video").wait_for()
        sentences = ["the green one you hear", 'a "star" ${1 + 1} <img src=x onerror="alert(1)">']
        tab.locator("#sentences textarea").fill("\n".join(sentences))
        tab.locator("#find").click()
        strip = found(tab)
        assert all(text in strip for text in sentences) and "Sound" in strip
        tab.locator("#overlay video").evaluate("video => { video.currentTime = 5 }")
        tab.wait_for_function("parseFloat(document.querySelector('#strip .playhead').style.left) > 40")
        masks, labels = downloaded(tab)
        assert labels == sentences and masks.shape == (2, 10, 224, 288) and masks[0].any()
        tab.screenshot(path=tmp_path / "answer.png", full_page=True)

        for name, message in (
            ("notes.mp4", "notes.mp4: damaged or not a media file"),
            ("mute.mp4", "mute.mp4: carries no sound"),
        ):
            tab.reload()
            choose(tab, clips / name)
            tab.get_by_text(message).wait_for()
        tab.screenshot(path=tmp_path / "message.png", full_page=True)

        said = []
        tab.on("dialog", lambda dialog: (said.append(dialog.message), dialog.accept()))
        tab.reload()
        choose(tab, tmp_path / "big.mp4")
        assert said == [f"The file is too large: clips of up to {app.MAX_MEGABYTES} MB are taken here."]

        tab.reload()
        tab.locator("tr", has_text="the ").last.click()
        tab.locator("#clip video").wait_for()
        tab.locator("#find").click()
        found(tab)
        tab.screenshot(path=tmp_path / "example.png", full_page=True)
        assert [path.name[:11] for path in place.iterdir()] == ["lavseg-app-"]
    assert not list(place.iterdir())


@pytest.mark.slow
def test_points_on_a_frame(tab, aural, clips, tmp_path):
    for part in aural:
        part.save_pretrained(tmp_path / "model")
    with served(tmp_path / "server", "--model", tmp_path / "model") as address:
        tab.goto(address)
        choose(tab, clips / "clip.mp4")
        tab.locator("#sentences textarea").fill(TEXTS[0])
        tab.get_by_text("Points on a frame").click()
        tab.locator("#picture img").click(position={"x": 30, "y": 30})
        tab.get_by_label(app.OFF_OBJECT).check()
        tab.locator("#picture img").click(position={"x": 60, "y": 40})
        tab.wait_for_timeout(1000)
        tab.screenshot(path=tmp_path / "points.png", full_page=True)
        tab.locator("#find").click()
        assert TEXTS[0] in found(tab)
        assert downloaded(tab)[0].shape == (1, SECONDS, 60, 82)
