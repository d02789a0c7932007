import logging
import re
from math import prod

import huggingface_hub
import numpy as np
import pytest
import torch
import typer
from transformers import pipeline

from lavseg import checkpoint_folder, load_checkpoint
from lavseg.backbones.vggish import VggishConfig, VggishModel
from lavseg.checkpoint import CheckpointError
from lavseg.cli import app
from lavseg.released import find_release, first_use, known_sha256, releases
from released_files import REPO, released_fuser

NAME = "auralsam2-ref-avs"


def same_weights(model, other):
    other = other.state_dict()
    return all(torch.equal(value, other[key]) for key, value in model.state_dict().items())


def test_every_entry_can_be_had_as_it_says():
    converters = typer.main.get_command(app).commands["convert"].commands
    for release in releases().values():
        assert release.convert in converters and "checkpoint" in release.sources
        addresses = [source.address for source in release.sources.values()]
        assert bool(release.by_hand) == bool(release.encoder or release.page)
        assert all(addresses) if not release.page else release.page.startswith("https://") and release.file
        assert release.reproduces.get("published") or release.encoder
        assert all(source.licence for source in release.sources.values())


def test_sizes_are_those_of_the_networks():
    fusers = {use_text: sum(map(prod, released_fuser(use_text).values())) for use_text in (True, False)}
    with torch.device("meta"):
        vggish = VggishModel(VggishConfig()).num_parameters()
    known = releases()
    sizes = {NAME: fusers[True], "auralsam2-v1m": fusers[False], "vggish": vggish}
    assert {name: round(4e-6 * count) for name, count in sizes.items()} == {
        name: known[name].sources["checkpoint"].megabytes for name in sizes
    }


def test_a_name_is_fetched_converted_and_kept(release, tiny_aural_sam2, caplog):
    model, processor = load_checkpoint(NAME)
    assert same_weights(model, tiny_aural_sam2[1][True]) and processor.needs_text
    assert model.config.behavior == "release" and model.config.conditioning_frame == "middle"
    (said,) = [record.getMessage() for record in caplog.records if record.name == "lavseg.released"]
    assert " MB, hf://yyliu01/AuralSAM2/ckpts/auralsam2_refavs_best.pth (licence: the code is under MIT" in said
    assert "hf://facebook/sam2-hiera-large (licence: Apache-2.0)" in said and "to accept the terms of Ref-AVS" in said

    release.shutdown()
    release.server_close()
    caplog.clear()
    assert same_weights(load_checkpoint(NAME)[0], model)
    segment = pipeline("audio-visual-segmentation", model=checkpoint_folder(NAME), device="cpu")
    frames, sound = np.zeros((2, 32, 40, 3), np.uint8), np.zeros(32000, np.float32)
    (found,) = segment(frames, text="the dog", audio=sound, sampling_rate=16000)
    assert found["masks"].shape == (2, 32, 40) and not caplog.records


@pytest.mark.slow
def test_one_that_does_not_read_needs_no_text_encoder(release, tiny_aural_sam2):
    said = []
    folder = checkpoint_folder("auralsam2-v1s", lambda *given: said.append(first_use(*given)))
    assert same_weights(load_checkpoint(folder)[0], tiny_aural_sam2[1][False])
    assert not [path for _, path in release.requests if "distilroberta" in path]
    assert len(said) == 1 and "AVSBench" in said[0]


@pytest.mark.slow
def test_a_whole_model_brings_its_own_host(release, tiny_aural_sam2, tmp_path):
    model = tiny_aural_sam2[1][False]
    fuser = torch.load(tiny_aural_sam2[0][REPO] / "auralsam2_avs_v1s.pth")
    whole = {f"aural_fuser.{key}": value for key, value in fuser.items()}
    whole |= {f"v_model.{metas_name(key)}": value for key, value in model.sam2.state_dict().items()}
    torch.save(whole, tmp_path / "whole.pth")
    release.repos[REPO]["files"]["ckpts/auralsam2_avs_v1s.pth"] = (tmp_path / "whole.pth").read_bytes()
    assert same_weights(load_checkpoint("auralsam2-v1s")[0], model)
    assert release.ranges == [0], "SAM2 is not fetched where the file holds it"


def metas_name(key):
    """Of one of SAM2's weights, as far as the conversion would not leave it as it is."""
    layers = {"proj_in": 0, "layers.0": 1, "proj_out": 2}
    pattern = r"(hypernetworks_mlps\.\d|iou_prediction_head|pred_obj_score_head)\.(proj_in|layers\.0|proj_out)"
    return re.sub(pattern, lambda found: f"{found[1]}.layers.{layers[found[2]]}", key)


@pytest.mark.parametrize("part", ["the checkpoint", pytest.param("SAM2", marks=pytest.mark.slow)])
def test_an_interrupted_first_use_goes_on_where_it_was(release, monkeypatch, part):
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", interrupted)
    whole = [(10**9, str)] * {"the checkpoint": 0, "SAM2": 2}[part]
    release.breaks = [*whole, (50_000, str)]
    with pytest.raises(KeyboardInterrupt):
        load_checkpoint("auralsam2-v1s")
    assert not find_release("auralsam2-v1s").is_here
    release.ranges.clear()
    load_checkpoint("auralsam2-v1s")
    assert release.ranges[0] == 50_000, "and what was whole is not fetched again"


def interrupted(seconds):
    """Ctrl-C while the client waits before it tries again."""
    raise KeyboardInterrupt


def test_a_damaged_file_leaves_nothing_that_is_taken_for_a_checkpoint(release):
    files = release.repos[REPO]["files"]
    files["ckpts/auralsam2_avs_v1s.pth"] = files["ckpts/auralsam2_avs_v1s.pth"][:-500]
    with pytest.raises(CheckpointError, match="not a PyTorch file of plain tensors, or was cut short"):
        load_checkpoint("auralsam2-v1s")
    assert not find_release("auralsam2-v1s").folder.exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sama-avs-s4", r"a browser has to fetch ckpts/s4/model_epoch_best\.pth from https://1drv\.ms/"),
        ("sama-avs-ms3", r"then: lavseg convert sama-avs model_epoch_best.pth --out FOLDER"),
        ("stepping-stones-s4", r"then: lavseg convert stepping-stones FILE --vggish https://\S+\.pth --out FOLDER"),
        ("vggish", "no method; for --audio: lavseg convert vggish --out FOLDER"),
    ],
)
def test_what_cannot_be_had_by_its_name_says_how_it_can(release, name, reason):
    with pytest.raises(CheckpointError, match=f"^{name}: .*{reason}"):
        load_checkpoint(name)
    assert release.requests == []


def test_a_name_that_is_nearly_one_is_told(release):
    with pytest.raises(CheckpointError, match=r"^auralsam2-refavs: .*; did you mean 'auralsam2-ref-avs'\?$"):
        load_checkpoint("auralsam2-refavs")


def test_nothing_is_fetched_against_the_will_of_who_asks(release):
    def refuse(asked, size):
        assert asked.name == NAME and size > 1000
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        checkpoint_folder(NAME, refuse)
    assert release.ranges == []


def test_folders_and_hub_ids_come_back_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir()
    assert [checkpoint_folder(given) for given in ("org/model", tmp_path, NAME)] == ["org/model", str(tmp_path), NAME]


def test_the_digest_of_vggish_is_what_its_name_says():
    address = releases()["vggish"].sources["checkpoint"].address
    assert address.endswith(f"-{known_sha256(address)}.pth") and known_sha256("https://host/else.pth") == ""


def test_sizes_are_told_in_words_for_people(monkeypatch):
    monkeypatch.setattr(logging.getLogger("lavseg.released"), "disabled", True)
    release = releases()[NAME]
    assert " 1.8 GB, " in first_use(release, 1_755_000_000) and " 31 MB, " in first_use(release, 31_400_000)
