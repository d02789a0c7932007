"""The method in docs/adding_a_method.md does what the page says, in a package of its own."""

import json
import re
import shlex
import tomllib
from importlib import import_module

import numpy as np
import pytest
import torch
from tiny.configurations import nano_sam2_config, tiny_config
from transformers import AutoModel, AutoProcessor, Sam2VideoModel
from typer.testing import CliRunner

from conftest import ROOT
from foreign_methods import importable, write_entry_points
from lavseg import VggishConfig, VggishModel, auto, write_avsbench
from lavseg.cli import app
from lavseg.media import write_video
from lavseg.testing import MethodContract

PAGE = (ROOT / "docs" / "adding_a_method.md").read_text(encoding="utf-8")
SHORT = ["--use_cpu", "--max_steps", "2", "--disable_tqdm", "true", "--report_to", "none"]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The folder with the files of the page, which can be imported."""
    folder = tmp_path_factory.mktemp("package")
    for name, text in re.findall(r'^```\w+ title="(.*?)"\n(.*?)^```', PAGE, re.M | re.S):
        (folder / name).write_text(text)
    with importable(folder):
        yield folder


@pytest.fixture(scope="module")
def names(package, tmp_path_factory):
    """What stands for the names in the page's commands."""
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    Sam2VideoModel(nano_sam2_config()).save_pretrained(folder / "sam2")
    VggishModel(tiny_config(VggishConfig)).save_pretrained(folder / "vggish")
    write_avsbench(folder / "data", {"s4": {"train": 2, "test": 2}}, (32, 40))
    frames = np.random.default_rng(0).integers(0, 255, (3, 32, 40, 3), dtype=np.uint8)
    write_video(folder / "clip.mp4", frames, 1, np.zeros((1, 48000), np.float32), 16000)
    return {"AVSBENCH": folder / "data", "CLIP": folder / "clip.mp4", "ORG/NAME": "org/sound-prompt", "runs": folder}


def commands(names):
    """The `lavseg` commands of the page by name, as lists of words."""
    block = re.search(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)[1].replace("\\\n", " ")
    for line in block.splitlines():
        words = [word.replace("runs/", f"{names['runs']}/") for word in shlex.split(line)[1:]]
        yield words[0], [str(names.get(word, word)) for word in words]


def run(words):
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_by_the_commands_of_the_page_it_trains_is_scored_segments_and_is_pushed(names, hub):
    runs, printed = names["runs"], {}
    for command, words in commands(names):
        further = ["--sam2", str(runs / "sam2"), *SHORT] if command == "train" else []
        printed[command] = run([*words, *further, "--json"])
    assert list(printed) == ["train", "evaluate", "segment", "push"]
    assert json.loads(printed["train"].splitlines()[-1])["steps"] == 2
    model = AutoModel.from_pretrained(runs / "sound_prompt")
    processor = AutoProcessor.from_pretrained(runs / "sound_prompt")
    assert type(model).__module__ == type(processor).__module__ == "sound_prompt"
    before = Sam2VideoModel.from_pretrained(runs / "sam2").state_dict()
    assert all(torch.equal(value, before[name]) for name, value in model.sam2.state_dict().items())
    scores = json.loads(printed["evaluate"])
    assert scores["splits"]["test"]["rows"] == 2 and 0 <= scores["splits"]["test"]["jaccard"] <= 1
    assert len(json.loads(printed["segment"])["frame_times"]) == 3
    assert (runs / "clip" / "0" / "00002.png").is_file() and (runs / "clip" / "overlay.mp4").is_file()
    files = hub.repos["org/sound-prompt"]["files"]
    card = files["README.md"].decode()
    assert "# sound_prompt\n\nSAM2 prompted by sound" in card and "import sound_prompt  # registers" in card
    assert f"| test | `avsbench` | {scores['splits']['test']['jaccard']:.4f} |" in card
    assert {"config.json", "model.safetensors", "processor_config.json"} <= files.keys()


def test_its_entry_point_names_the_module_that_registers_it(package, monkeypatch):
    declared = tomllib.loads((package / "pyproject.toml").read_text())["project"]["entry-points"]
    assert list(declared) == [auto.ENTRY_POINTS]
    write_entry_points(package, declared[auto.ENTRY_POINTS])
    loaded = []
    monkeypatch.setattr(auto, "load_plugin", lambda module: loaded.append(module) or import_module(module))
    auto.register()
    assert loaded == ["sound_prompt"] and auto.methods()["sound-prompt"][0].__module__ == "sound_prompt"


class TestSoundPrompt(MethodContract):
    """The page's own test, whose variant exists once the page has become a package."""

    def pytest_generate_tests(self, metafunc):
        """Leave `variant` to the fixture."""

    @pytest.fixture(scope="class")
    def variant(self, package):
        from test_sound_prompt import TestSoundPrompt as OfThePage

        type(self).variants = OfThePage.variants
        return OfThePage.variants["tiny"]

    @pytest.fixture(autouse=True)
    def _variants(self, variant):
        pass
