"""The page as it is served, and the whole of it in a real browser."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from huggingface_hub.utils import httpx
from tiny.configurations import nano_sam2_config, tiny_config

from conftest import ROOT
from lavseg.data import draw_scene, render_clip
from lavseg.media import read_video, write_video
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from saved_clips import SECONDS, masks_in, save_checkpoint, save_clips
from scripted_clips import write_clip
from tiny_methods import tiny_method

gr = pytest.importorskip("gradio", reason="Gradio is not installed (extra app)")

from gradio_client import Client, handle_file  # noqa: E402

from lavseg.app import limits, page  # noqa: E402
from lavseg.app.clicks import CORNER, OFF_OBJECT  # noqa: E402
from lavseg.app.layout import TITLE  # noqa: E402
from lavseg.app.space import write_space  # noqa: E402

TEXTS = ["the red circle", "the <b>object</b> making a sound"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return save_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def aural(tokenizer):
    return tiny_method((AuralSam2Config, AuralSam2Model, AuralSam2Processor), tokenizer)


def test_large_uploads_and_waiting_requests_are_refused_and_recordings_not_edited(aural, tmp_path, monkeypatch):
    class Answered(Exception):
        pass

    def upload(url):
        for size in (1000, 2**20 + 1000):
            files = {"files": ("clip.mp4", bytes(size))}
            statuses.append(httpx.post(f"{url}gradio_api/upload", files=files).status_code)
        for path in ("queue/join", "call/segment", "call/v2/segment", "run/segment"):
            statuses.append(httpx.post(f"{url}gradio_api/{path}", json={"data": []}).status_code)
        recording = {"video": ("clip.mp4", bytes(1000))}
        statuses.append(httpx.post(f"{url}gradio_api/process_recording", files=recording).status_code)
        raise Answered

    statuses = []
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(page, "MAX_MEGABYTES", 1)
    monkeypatch.setattr(limits, "MAX_WAITING", 0)
    monkeypatch.setattr(page, "load_checkpoint", lambda name, trust_remote_code: aural)
    with pytest.raises(Answered):
        page.launch(["tiny"], tmp_path, on_ready=upload)
    gr.close_all()
    assert statuses == [200, 413, 429, 429, 429, 404, 404]


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_hosts_of_ipv6(aural, tmp_path, monkeypatch, host):
    class Answered(Exception):
        pass

    def ask(url):
        raise Answered(url, httpx.get(url).status_code)

    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(page, "load_checkpoint", lambda name, trust_remote_code: aural)
    with pytest.raises(Answered) as caught:
        page.launch(["tiny"], tmp_path, host, on_ready=ask)
    gr.close_all()
    url, status = caught.value.args
    assert url.startswith("http://[::1]:") and status == 200


def test_programs_ask_by_one_public_endpoint(aural, clips, tmp_path, monkeypatch):
    class Answered(Exception):
        pass

    def ask(url):
        client = Client(url, verbose=False, analytics_enabled=False, download_files=tmp_path / "downloads")
        endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
        answer = client.predict(handle_file(clips / "clip.mp4"), "\n".join(TEXTS), "tiny", api_name="/segment")
        with pytest.raises(Exception, match=r"mute.mp4: carries no sound"):
            client.predict(handle_file(clips / "mute.mp4"), TEXTS[0], api_name="/segment")
        with pytest.raises(Exception, match="Addresses are not fetched here; upload the clip"):
            client.predict(handle_file("http://127.0.0.1:1/clip.mp4"), TEXTS[0], api_name="/segment")
        raise Answered(endpoints, *answer)

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(page, "load_checkpoint", lambda name, trust_remote_code: aural)
    with pytest.raises(Answered) as caught:
        page.launch(["tiny"], tmp_path, on_ready=ask)
    gr.close_all()
    endpoints, video, strip, archive = caught.value.args
    assert [*endpoints] == ["/segment"] and "Segment a clip" in endpoints["/segment"]["description"]
    names = [parameter["parameter_name"] for parameter in endpoints["/segment"]["parameters"]]
    assert names == ["clip", "sentences", "model", "fps", "threshold", "mask_format"]
    masks, labels = masks_in(archive)
    assert labels == TEXTS and masks.shape == (2, SECONDS, 60, 82)
    assert len(read_video(video).frames) == SECONDS and "Sound" in strip


def test_users_see_names_and_no_places(tmp_path):
    folders = [tmp_path / run / "tiny" for run in "ab"]
    for folder in folders:
        folder.mkdir(parents=True)
    assert page.shown_names([folders[0], "org/tiny"]) == ["tiny", "org/tiny"]
    assert page.shown_names(folders) == ["tiny (1)", "tiny (2)"]


@contextmanager
def served(place, *options):
    """The url of `lavseg app`, run with `place` for home, working and temporary folder."""
    place.mkdir()
    with running(place, "-c", "from lavseg.cli import main; main()", "app", *map(str, options)) as url:
        yield url


@contextmanager
def running(place, *program, **environment):
    """The url that a program serves, run with `place` for home, working and temporary folder."""
    environment = os.environ | {"HOME": str(place), "TMPDIR": str(place)} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen([sys.executable, "-B", *program], cwd=place, env=environment, **pipes) as process:
        before = []
        try:
            while not before or not before[-1].startswith("lavseg app: http://"):
                before.append(process.stdout.readline())
                assert before[-1], before
            yield before[-1].split()[2]
        finally:
            process.send_signal(signal.SIGTERM)
            said = "".join(before) + process.communicate(timeout=60)[0]
    assert "Traceback" not in said and said.count("a toy") <= 1, said


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
    clip = render_clip(rng, 10, (224, 288), objects=draw_scene(rng, "both"))
    write_video(tmp_path / "band.mp4", clip.frames, 1, clip.waveform, 16000)
    (tmp_path / "big.mp4").touch()
    os.truncate(tmp_path / "big.mp4", page.MAX_MEGABYTES * 10**6 + 1)
    place = tmp_path / "server"
    with served(place) as url:
        port = int(url.strip("/").split(":")[-1])
        assert reachable("127.0.0.1", port)
        assert outside_address() in (None, "127.0.0.1") or not reachable(outside_address(), port)
        tab.goto(url)
        tab.locator("#find").click()
        tab.get_by_text("Choose or record a clip first.").wait_for()

        choose(tab, tmp_path / "band.mp4")
        tab.locator("#clip video").wait_for()
        sentences = ["the one that makes the sound", 'a "trumpet" ${1 + 1} <img src=x onerror="alert(1)">']
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
        assert said == [f"The file is too large: clips of up to {page.MAX_MEGABYTES} MB are taken here."]

        tab.reload()
        tab.locator("tr", has_text="the ").last.click()
        found(tab)
        tab.screenshot(path=tmp_path / "example.png", full_page=True)
        assert [path.name[:11] for path in place.iterdir()] == ["lavseg-app-"]
    assert not list(place.iterdir())


@pytest.mark.slow
def test_clicks_on_frames(tab, aural, clips, tmp_path):
    for part in aural:
        part.save_pretrained(tmp_path / "model")
    with served(tmp_path / "server", "--model", tmp_path / "model") as url:
        tab.goto(url)
        choose(tab, clips / "clip.mp4")
        tab.locator("#sentences textarea").fill("\n".join(TEXTS))
        tab.get_by_text("Points and boxes").click()
        picture = tab.locator("#picture img")
        shown = [click(tab, picture, 30, 30)]
        tab.get_by_label(OFF_OBJECT).check()
        shown.append(click(tab, picture, 60, 40))
        tab.locator("#thing input").click()
        tab.get_by_role("option", name=f"1: {TEXTS[1]}").click()
        tab.get_by_label(CORNER).check()
        shown += [click(tab, picture, *place) for place in ((40, 20), (70, 50))]
        assert len({*shown}) == 4
        tab.screenshot(path=tmp_path / "clicks.png", full_page=True)
        tab.locator("#find").click()
        assert all(text in found(tab) for text in TEXTS)
        assert downloaded(tab)[0].shape == (2, SECONDS, 60, 82)


def click(tab, picture, x, y):
    """Click on a picture; its address once the click is drawn. Masks, where the model finds any, may follow."""
    before = picture.get_attribute("src")
    picture.click(position={"x": x, "y": y})
    tab.wait_for_function("before => document.querySelector('#picture img').src != before", arg=before)
    tab.wait_for_timeout(2000)
    return picture.get_attribute("src")


@pytest.mark.slow
def test_work_is_stopped(tab, tokenizer, tmp_path):
    # Larger frames than elsewhere, so that the work lasts longer than a click takes on a busy machine.
    config = tiny_config(AuralSam2Config, len(tokenizer), sam2_config=nano_sam2_config(512))
    for part in (AuralSam2Model(config), AuralSam2Processor.from_config(config, tokenizer)):
        part.save_pretrained(tmp_path / "model")
    write_clip(tmp_path / "long.mp4", 50)
    place = tmp_path / "server"
    with served(place, "--model", tmp_path / "model") as url:
        tab.goto(url)

        def begin():
            choose(tab, tmp_path / "long.mp4")
            tab.locator("#clip video").wait_for()
            tab.locator("#sentences textarea").fill(TEXTS[0])
            tab.locator("#find").click()
            tab.locator("#overlay").get_by_text("/50").wait_for()
            assert [*place.glob("lavseg-app-*/tmp*/masks")]

        begin()
        assert tab.get_by_text("/50").count() == 1, "progress is shown in one place"
        tab.screenshot(path=tmp_path / "progress.png", full_page=True)
        tab.locator("#stop").click()
        ended(tab, place)
        tab.reload()
        begin()
        tab.get_by_label("Clear").first.click()
        ended(tab, place)


def ended(tab, place):
    """Wait until nothing of the work is left; the page shows no error once it has settled."""
    deadline = time.monotonic() + 60
    while [*place.glob("lavseg-app-*/tmp*/masks")]:
        assert time.monotonic() < deadline
        tab.wait_for_timeout(200)
    tab.get_by_text("/50").wait_for(state="detached")
    for gone in (tab.locator("#overlay video"), tab.locator("#overlay").get_by_text("Error")):
        gone.wait_for(state="detached")
    assert tab.locator("#masks").is_disabled()


@pytest.mark.slow
def test_on_a_phone_results_come_before_examples(browser, clips, tmp_path):
    save_checkpoint(tmp_path / "model")
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    tab.set_default_timeout(120_000)
    with served(tmp_path / "server", "--model", tmp_path / "model") as url:
        tab.goto(url)
        tab.locator("tr", has_text="the ").last.click()
        found(tab)
        assert tab.title() == TITLE
        tops = [tab.locator(name).first.bounding_box()["y"] for name in ("#find", "#overlay", "#strip", "#masks", "tr")]
        assert tops == sorted(tops)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        assert "Model: model" in tab.locator("#about").inner_text()
        tab.screenshot(path=tmp_path / "phone.png", full_page=True)
    tab.close()


@pytest.mark.slow
def test_a_space_serves_the_page(tmp_path):
    made = tmp_path / "space"
    write_space(made, [save_checkpoint(tmp_path / "tiny-1.0")])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    program = (made / "app.py").read_text()
    (made / "app.py").write_text(program.replace("'7860'", repr(port)) + "\n")
    with running(made, "app.py", PYTHONPATH="") as url:
        address = url.replace("0.0.0.0", "127.0.0.1").replace("localhost", "127.0.0.1")
        assert httpx.get(address).status_code == 200 and address.strip("/").endswith(port)
