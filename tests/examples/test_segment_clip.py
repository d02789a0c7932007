import numpy as np
import pytest
import segment_clip
from PIL import Image

from conftest import ROOT
from lavseg.data import render_clip
from lavseg.media import read_video, write_video


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    scene = render_clip(np.random.default_rng(0), 3, (60, 82))
    write_video(path, scene.frames, 1, scene.waveform, 16000)
    return path


def test_contact_sheet_and_comparison(clip, tmp_path, capsys):
    model = ROOT / "examples" / "sam2-love-tiny"
    if not (model / "model.safetensors").is_file():
        pytest.skip("the checkpoint examples/sam2-love-tiny is not there")
    out = tmp_path / "new" / "out"
    given = {"text": "the guitar on the right", "model": model, "compare": model, "out": out}
    segment_clip.main([str(clip), *(f"--{name}={value}" for name, value in given.items())])
    printed = capsys.readouterr().out
    assert "the guitar on the right: " in printed and "overlap by 100 %" in printed
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.width > 3 * 82
    compared = read_video(out / "comparison.mp4")
    assert len(compared.frames) == 3 and compared.frames.shape[2] > 2 * 82 and compared.waveform is not None


def test_mistakes_give_one_line(clip, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        segment_clip.main([str(clip), f"--model={tmp_path / 'absent'}", f"--out={tmp_path / 'out'}"])
    error = capsys.readouterr().err
    assert "no such folder" in error.splitlines()[-1] and "Traceback" not in error and not (tmp_path / "out").exists()
