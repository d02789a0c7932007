import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT
from lavseg.data import render_clip
from lavseg.media import read_video, write_video


def run(*arguments):
    program = [sys.executable, str(ROOT / "examples" / "segment_clip.py"), *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    scene = render_clip(np.random.default_rng(0), 3, (60, 82))
    write_video(path, scene.frames, 1, scene.waveform, 16000)
    return path


def test_contact_sheet_and_comparison(clip, tmp_path):
    model = ROOT / "examples" / "sam2-love-tiny"
    if not (model / "model.safetensors").is_file():
        pytest.skip("the checkpoint examples/sam2-love-tiny is not there")
    out = tmp_path / "new" / "out"
    done = run(clip, "--text", "the red circle", "--model", model, "--compare", model, "--output", out)
    assert done.returncode == 0, done.stderr
    assert "the red circle: in" in done.stdout and "overlap by 100 %" in done.stdout
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.width > 3 * 82
    compared = read_video(out / "comparison.mp4")
    assert len(compared.frames) == 3 and compared.frames.shape[2] > 2 * 82 and compared.waveform is not None


def test_mistakes_give_one_line(clip, tmp_path):
    done = run(clip, "--model", tmp_path / "absent", "--output", tmp_path / "out")
    assert done.returncode == 2 and "no such folder" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()
