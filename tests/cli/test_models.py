import json

import pytest
from typer.testing import CliRunner

from hub_stand_in import empty_cache
from lavseg.cli import app
from lavseg.released import releases


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    empty_cache(monkeypatch, tmp_path)


def listed(*options):
    done = CliRunner().invoke(app, ["models", *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_row_for_each_and_what_to_accept():
    lines = listed().splitlines()
    row = next(line for line in lines if " auralsam2-ref-avs " in line)
    for cell in ("stereo sound", "a sentence", "1755", "test_u J 68.69 F 74.36", "test_n S 0.065", "on first use"):
        assert f" {cell} " in row or cell in row
    told = lines[lines.index("auralsam2-ref-avs:") + 1 :]
    assert told[0].startswith(
        "  hf://yyliu01/AuralSAM2/ckpts/auralsam2_refavs_best.pth, licence: the code is under MIT,"
    )
    assert told[1] == "  hf://facebook/sam2-hiera-large, licence: Apache-2.0"
    assert told[3].startswith("  to accept: the terms of Ref-AVS") and "protocol aural_sam2" in told[4]
    assert any("lavseg convert sama-avs model_epoch_best.pth --out FOLDER" in line for line in lines)
    assert "None of these files was opened in the tests." in lines[-1]


def test_what_is_in_the_cache_is_here():
    folder = releases()["auralsam2-v2"].folder
    folder.mkdir(parents=True)
    (folder / "config.json").touch()
    found = {one["name"]: one for one in json.loads(listed("--json"))}
    assert found["auralsam2-v2"]["state"] == "here" and found["auralsam2-v2"]["folder"] == str(folder)
    assert found["auralsam2-v1m"]["state"] == "fetched on first use"
    assert found["sama-avs-ms3"]["reproduces"]["published"]["test"] == {"J": 63.14, "F": 69.1}
    assert (
        found["sama-avs-ms3"]["state"] == "by hand, see below"
        and "https://1drv.ms/" in found["sama-avs-ms3"]["by_hand"]
    )
