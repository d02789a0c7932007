"""`docs/limits_and_safety.md` states the numbers that hold."""

import re

import pytest

from conftest import ROOT
from lavseg.backbones.vggish import feature_extraction_vggish
from lavseg.inference import downloads
from lavseg.media import containers, isolated_reading, packets, streams


def page():
    return " ".join((ROOT / "docs" / "limits_and_safety.md").read_text(encoding="utf-8").split())


def test_what_is_said_of_clips():
    stated = (
        f"each wait for data, may take {containers.PATIENCE} seconds",
        f"by more than {packets.SLACK:g} seconds, for long clips {packets.LONG_SLACK:g} second",
        f"jump ahead by more than {streams.LONGEST_GAP:g} seconds",
        f"more than {streams.MAX_CHANNELS} channels",
        f"more than {packets.SOUND_SLACK:g} seconds longer or shorter than the video",
        f"Floats above {feature_extraction_vggish.LOUDEST:g} are refused",
        f"up to {downloads.MAX_MEGABYTES} MB, within {downloads.MAX_SECONDS} seconds",
        f"{isolated_reading.MEMORY / 2**30:g} GiB of memory and {isolated_reading.CPU_SECONDS} seconds of processor",
    )
    assert not [sentence for sentence in stated if sentence not in page()]


def test_what_is_said_of_the_web_app():
    pytest.importorskip("gradio", reason="Gradio is not installed (extra app)")
    from lavseg.app import answers, limits, user_input
    from lavseg.app import page as web_page

    rows = dict(
        re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", (ROOT / "docs/limits_and_safety.md").read_text(), re.MULTILINE)
    )
    assert rows == {
        "what": "limit",
        "a request, and so a clip": f"{user_input.MAX_MEGABYTES} MB",
        "length of a clip": f"{user_input.MAX_SECONDS} seconds, {user_input.MAX_FRAMES} frames",
        "size of its pictures": "x".join(map(str, user_input.MAX_SIDES)),
        "sentences": f"{user_input.MAX_SENTENCES}, of up to {user_input.MAX_CHARACTERS} characters",
        "looking at a clip": f"{answers.LOOK_SECONDS} seconds",
        "a job": f"{answers.JOB_SECONDS} seconds, one at a time",
        "requests of a user that wait": str(limits.MAX_WAITING),
        "requests of everybody that wait": str(answers.MAX_QUEUE),
        "what a user sends within an hour": f"{limits.MAX_HOURLY_MEGABYTES} MB",
        "uploads and results of everybody": f"{limits.MAX_DISK_MEGABYTES} MB",
    }
    assert f"deleted after {web_page.KEPT_SECONDS // 60} minutes" in page()
