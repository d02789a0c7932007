import json
import math
from functools import partial

import pytest
import torch
from tiny.configurations import tiny_config
from transformers import AutoModel, AutoProcessor, Sam2VideoModel
from typer.testing import CliRunner

from lavseg.backbones.sam2.convert_sam2 import read_sam2
from lavseg.backbones.vggish import VggishConfig, VggishModel, convert_vggish
from lavseg.cli import app
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, convert_aural_sam2
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, convert_sama_avs
from lavseg.models.st_bava import StBavaConfig, StBavaModel, convert_st_bava
from sam_reference import both, released_checkpoint, released_sam_keys

ST_BAVA_BLOCK = [
    *both(*(f"{mlp}.lin{i}" for mlp in ("embed_vis", "embed_audio", "embed_audio2", "embed_av") for i in (1, 2))),
    *both(*(f"norm{name}" for name in ("1", "2", "3_1", "3_2", "4", "5_1", "5_2", "6"))),
    *(f"{a}.{p}" for a in ("avt_attention", "avs_attention") for p in ("in_proj_weight", "in_proj_bias")),
    *both("avt_attention.out_proj", "avs_attention.out_proj"),
]
PROMPTS = [
    *(f"prompt_encoder.point_embeddings.{index}.weight" for index in range(4)),
    "prompt_encoder.not_a_point_embed.weight",
    "prompt_encoder.no_mask_embed.weight",
    *both(*(f"prompt_encoder.mask_downscaling.{index}" for index in (0, 1, 3, 4, 6))),
]


def convert(*arguments):
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


@pytest.fixture
def vggish(tmp_path, monkeypatch):
    monkeypatch.setattr(convert_vggish, "VggishConfig", partial(tiny_config, VggishConfig))
    torch.save(VggishModel(tiny_config(VggishConfig)).state_dict(), tmp_path / "vggish.pth")
    return tmp_path / "vggish.pth", []


@pytest.fixture
def sama_avs(tmp_path, monkeypatch):
    monkeypatch.setattr(convert_sama_avs, "SamaAvsConfig", partial(tiny_config, SamaAvsConfig))
    model = SamaAvsModel(tiny_config(SamaAvsConfig))
    sound = [f"audio_encoder.audio_backbone.{key}" for key in model.audio_encoder.state_dict()]
    keys = [*released_sam_keys(blocks=3), "no_mask_embed.weight", *sound]
    torch.save(released_checkpoint(model, keys, convert_sama_avs.SAMA_AVS_KEYS), tmp_path / "sama_avs.pth")
    return tmp_path / "sama_avs.pth", []


@pytest.fixture
def st_bava(tmp_path, monkeypatch, vggish):
    monkeypatch.setattr(convert_st_bava, "StBavaConfig", partial(tiny_config, StBavaConfig))
    model = StBavaModel(tiny_config(StBavaConfig))
    blocks = [f"layers.{index}.{key}" for index in range(2) for key in ST_BAVA_BLOCK]
    keys = [*released_sam_keys(blocks=3), *PROMPTS, *both("audio_embed_layer"), *blocks]
    state = released_checkpoint(model, keys, convert_st_bava.ST_BAVA_KEYS)
    state |= {key: torch.randn(2, 16) for key in convert_st_bava.UNUSED_KEYS}
    torch.save(state, tmp_path / "st_bava.pth")
    return tmp_path / "st_bava.pth", ["--vggish", vggish[0]]


@pytest.fixture
def aural_sam2(tmp_path, monkeypatch):
    """A fuser in a file of its own, and the host in a folder; the released sizes are replaced by tiny ones."""
    tiny = tiny_config(AuralSam2Config, use_text=False)
    model = AuralSam2Model(tiny)
    model.sam2.save_pretrained(tmp_path / "host")

    def fuser_names(state):
        return {key.removeprefix("own."): value for key, value in state.items()}

    monkeypatch.setattr(convert_aural_sam2, "AuralSam2Config", lambda **fields: tiny)
    monkeypatch.setattr(convert_aural_sam2, "sam2_config_of", lambda state, image_size: tiny.sam2_config)
    monkeypatch.setattr(convert_aural_sam2, "fuser_state_from_release", fuser_names)
    fuser = {f"own.{key}": value for key, value in model.state_dict().items() if not key.startswith("sam2.")}
    torch.save({"model": fuser}, tmp_path / "aural_sam2.pth")
    return tmp_path / "aural_sam2.pth", ["--sam2", tmp_path / "host"]


METHODS = ("vggish", "sama_avs", "st_bava", "aural_sam2")


@pytest.fixture(params=METHODS)
def released(request):
    """Name of a method, its published file, and options that go with it."""
    return request.param.replace("_", "-"), *request.getfixturevalue(request.param)


def test_a_folder_that_the_auto_classes_read(released, tmp_path):
    name, file, options = released
    out = tmp_path / "new" / "out"
    result = convert(name, file, "--out", out, *options)
    assert result.exit_code == 0, result.output
    model = AutoModel.from_pretrained(out)
    assert model.config.model_type == name.replace("-", "_")
    count = sum(parameter.numel() for parameter in model.parameters())
    assert result.stdout.splitlines()[0] == f"{out}: {type(model).__name__}, {count:,} parameters"
    if name != "vggish":
        assert AutoProcessor.from_pretrained(out).feature_extractor.sampling_rate == 16000
    unused = sorted(convert_st_bava.UNUSED_KEYS) if name == "st-bava" else []
    assert result.stdout.splitlines()[1:] == [f"not used: {key}" for key in unused]


def test_for_machines(st_bava, tmp_path):
    result = convert("st-bava", st_bava[0], "--out", tmp_path / "out", *st_bava[1], "--json")
    found = json.loads(result.stdout)
    assert found["model"] == "StBavaModel" and found["unused"] == sorted(convert_st_bava.UNUSED_KEYS)


def refused(result, name, *words):
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"lavseg convert {name}: ") and len(result.stderr.splitlines()) == 1
    assert all(word in result.stderr for word in words), result.stderr


def test_a_truncated_file_leaves_nothing_behind(released, tmp_path):
    name, file, options = released
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    before = {path.name for path in tmp_path.iterdir()}
    refused(convert(name, file, "--out", tmp_path / "out", *options), name, str(file))
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_file_of_another_method_leaves_nothing_behind(released, tmp_path):
    name, _, options = released
    torch.save({"backbone.weight": torch.zeros(3)}, tmp_path / "other.pth")
    refused(convert(name, tmp_path / "other.pth", "--out", tmp_path / "out", *options), name, "backbone.weight")
    assert not (tmp_path / "out").exists()


def test_code_in_a_file_is_not_run(released, tmp_path):
    name, _, options = released

    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    torch.save({"trap": Trap()}, tmp_path / "trap.pth")
    refused(convert(name, tmp_path / "trap.pth", "--out", tmp_path / "out", *options), name, "trap.pth")
    assert not (tmp_path / "sprung").exists() and not (tmp_path / "out").exists()


def test_a_folder_with_content_is_left_alone(released, tmp_path):
    name, file, options = released
    refused(convert(name, file, "--out", tmp_path, *options), name, "give a new or an empty folder")


def test_a_fuser_without_its_host_and_a_host_of_another_kind(aural_sam2, tmp_path):
    refused(convert("aural-sam2", aural_sam2[0], "--out", tmp_path / "out"), "aural-sam2", "sam2: ", "holds no host")
    assert not (tmp_path / "out").exists()


def test_the_host_comes_from_the_named_folder(aural_sam2, tmp_path):
    assert convert("aural-sam2", aural_sam2[0], "--out", tmp_path / "out", *aural_sam2[1]).exit_code == 0
    host = read_sam2(tmp_path / "host")
    found = AutoModel.from_pretrained(tmp_path / "out").sam2
    assert isinstance(found, Sam2VideoModel)
    assert all(torch.equal(value, host[key]) for key, value in found.state_dict().items())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_leave_nothing_behind(released, tmp_path, value):
    name, file, options = released
    content = torch.load(file)
    state = content.get("model", content)
    next(tensor for tensor in state.values() if tensor.is_floating_point() and tensor.numel()).view(-1)[0] = value
    torch.save(content, file)
    refused(convert(name, file, "--out", tmp_path / "out", *options), name, "holds NaN or infinite values")
    assert not (tmp_path / "out").exists()
