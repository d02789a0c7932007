import pytest
import torch
from peft import PeftModel
from tiny.configurations import tiny_config
from transformers import AutoModel

from lavseg.data import write_avsbench
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel
from lavseg.models.st_bava import StBavaConfig, StBavaModel, StBavaProcessor
from lavseg.training import lora
from lavseg.training.lora import LoraSettings, add_adapters
from lavseg.training.run import prepare, train

FAST = ["--use_cpu", "--disable_tqdm=true", "--dataloader_num_workers=0", "--max_steps=2", "--learning_rate=0.1"]
TARGETS = '{"rank": 2, "alpha": 4, "targets": ["qkv", "k_proj"]}'


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """A tiny checkpoint of ST-BAVA and clips to train it on, as on a command line."""
    folder = tmp_path_factory.mktemp("lora")
    config = tiny_config(StBavaConfig)
    StBavaModel(config).save_pretrained(folder / "model")
    StBavaProcessor.from_config(config).save_pretrained(folder / "model")
    write_avsbench(folder / "data" / "root", {"s4": {"train": 2}}, (32, 40))
    given = ["--dataset=avsbench", "--subset=s4", f"--data={folder / 'data' / 'root'}", f"--model={folder / 'model'}"]
    return folder / "model", [*FAST, *given]


def test_adapters_train_are_kept_and_merged(arguments, tmp_path):
    start, given = arguments
    train([*given, f"--out={tmp_path / 'out'}", f"--lora={TARGETS}", "--save_steps=1"])
    before, after = (AutoModel.from_pretrained(folder).state_dict() for folder in (start, tmp_path / "out"))
    changed = {name for name, value in before.items() if not torch.equal(after[name], value)}
    assert changed
    assert all(name.endswith(("qkv.weight", "k_proj.weight")) for name in changed)
    assert any("vision_encoder" in name for name in changed) and any("fusion" in name for name in changed)
    merged = PeftModel.from_pretrained(StBavaModel.from_pretrained(start), tmp_path / "out" / "adapter")
    for name, value in merged.merge_and_unload().state_dict().items():
        torch.testing.assert_close(after[name], value)
    checkpoint = tmp_path / "out" / "checkpoint-1"
    assert (checkpoint / "adapter_model.safetensors").is_file() and not (checkpoint / "model.safetensors").exists()
    result = train([*given, f"--out={tmp_path / 'out'}", f"--lora={TARGETS}", "--resume", "--max_steps=3"])
    assert result["steps"] == 3


def test_it_needs_a_trained_model(arguments, tmp_path):
    _, given = arguments
    fresh = [word for word in given if not word.startswith("--model")]
    with pytest.raises(ValueError, match=r"^lora: adapts a trained model, given as --model"):
        prepare([*fresh, "--method=st-bava", "--lora=true", f"--out={tmp_path}"])
    with pytest.raises(ValueError, match=r"^lora: .* takes no feature_cache"):
        prepare([*given, "--lora=true", "--feature_cache=kept", f"--out={tmp_path}"])


def test_what_cannot_be_adapted_is_told_in_one_line(monkeypatch):
    config = tiny_config(Sam2LoveConfig)
    adapted = add_adapters(Sam2LoveModel(config), LoraSettings())
    assert not [name for name, p in adapted.named_parameters() if "memory" in name and p.requires_grad]
    for targets, told in ((["object_pointer_proj.proj_in"], "sam2.object_pointer_proj"), (["nowhere"], "nowhere")):
        with pytest.raises(ValueError, match=f"^lora: .*{told}") as raised:
            add_adapters(Sam2LoveModel(config), LoraSettings(targets=targets))
        assert len(str(raised.value).splitlines()) == 1
    monkeypatch.setattr(lora, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^lora: needs the package peft"):
        add_adapters(Sam2LoveModel(config), LoraSettings())
