import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import save_file
from tiny.configurations import nano_sam_config, tiny_config
from transformers import AutoModel, CLIPImageProcessor, CLIPVisionModel, LlamaConfig, LlamaForCausalLM, SamModel

from lavseg.backbones.vggish import VggishModel
from lavseg.data import write_avsbench, write_ref_avs
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel
from lavseg.models.simtoken import SimTokenConfig, SimTokenModel
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
    for target in ("object_pointer_proj.proj_in", "nowhere"):
        with pytest.raises(
            ValueError, match=rf"^lora: targets \['{target}'\]: no layer that the loss reaches is"
        ) as raised:
            add_adapters(Sam2LoveModel(config), LoraSettings(targets=[target]))
        assert len(str(raised.value).splitlines()) == 1
    monkeypatch.setattr(lora, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^lora: needs the package peft"):
        add_adapters(Sam2LoveModel(config), LoraSettings())


def test_a_name_that_the_loss_reaches_in_some_places_is_adapted_there():
    adapted = add_adapters(Sam2LoveModel(tiny_config(Sam2LoveConfig, handoff="mask")), LoraSettings(targets=["q_proj"]))
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert any(".prompt_decoder." in name for name in trained)
    assert not [name for name in trained if ".memory_" in name or ".sam2.mask_decoder." in name]


LANGUAGE = {"targets": r"language_model.*\.[qv]_proj", "dropout": 0.05, "beside": True}


def test_what_the_method_trains_may_train_beside_adapters():
    config = tiny_config(SimTokenConfig)
    model = SimTokenModel(config)
    own = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    adapted = add_adapters(model, LoraSettings(**LANGUAGE))
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    lora = {name for name in trained if ".lora_" in name}
    assert len(lora) == 2 * 2 * config.language_config.num_hidden_layers
    assert all(".language_model." in name and (".q_proj." in name or ".v_proj." in name) for name in lora)
    beside = {name.removeprefix("base_model.model.").replace(".modules_to_save.default", "") for name in trained - lora}
    assert beside == own
    with pytest.raises(ValueError, match=r"^lora: beside trains whole layers, sam\.vision_encoder\.pos_embed"):
        add_adapters(WithSingle(config), LoraSettings(**LANGUAGE))


class WithSingle(SimTokenModel):
    def freeze(self):
        super().freeze()
        self.sam.vision_encoder.pos_embed.requires_grad = True


def test_the_numbers_of_the_release_at_full_size():
    with torch.device("meta"):
        model = SimTokenModel(SimTokenConfig())
        adapted = add_adapters(model, LoraSettings(**LANGUAGE))
    counts = {name: p.numel() for name, p in adapted.named_parameters() if p.requires_grad}
    assert sum(count for name, count in counts.items() if ".lora_" in name) == 4_194_304
    assert len([name for name in counts if ".lora_" in name]) == 128
    assert sum(counts.values()) == 288_763_364


@pytest.mark.slow
def test_adapters_and_what_trains_beside_them_are_kept_resumed_and_merged(tmp_path, published_simtoken):
    given, data = published_simtoken
    out, lora = tmp_path / "out", f"--lora={json.dumps(LANGUAGE)}"
    arguments = [*FAST, "--method=simtoken", f"--data={data}", *given, lora, "--save_steps=1", f"--out={out}"]
    before = prepare(arguments)[0].model.get_base_model().state_dict()
    train([*arguments, "--max_steps=1"])
    after = AutoModel.from_pretrained(out).state_dict()
    changed = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before_of(before, name))}
    assert changed == {"language_model", "sam", "lm_head", "text_hidden_fcs", "audio_feature_layer"}
    assert train([*arguments, "--resume", "--max_steps=2"])["steps"] == 2


def before_of(state, name):
    """A tensor of a model with adapters by the name that it has without."""
    path, _, leaf = name.rpartition(".")
    spellings = (name, f"{path}.base_layer.{leaf}")
    inside = (key for key in state if key.replace(".original_module", "") == name)
    return next(state[key] for key in (*spellings, *inside) if key in state)


@pytest.fixture
def published_simtoken(tmp_path, tokenizer):
    """Tiny networks that SimToken starts from, as on a command line, and clips."""
    config = tiny_config(SimTokenConfig, len(tokenizer))
    torch.manual_seed(0)
    language = {**config.language_config.to_dict(), "vocab_size": len(tokenizer)}
    parts = {
        "language": LlamaForCausalLM(LlamaConfig.from_dict(language)),
        "vision": CLIPVisionModel(config.vision_config),
        "sam": SamModel(nano_sam_config(128)),
        "audio": VggishModel(config.audio_config),
    }
    for name, part in parts.items():
        part.save_pretrained(tmp_path / name)
    tokenizer.save_pretrained(tmp_path / "language")
    CLIPImageProcessor(size={"shortest_edge": 56}, crop_size=56).save_pretrained(tmp_path / "vision")
    layer = {"model.mm_projector.weight": torch.randn(64, 32), "model.mm_projector.bias": torch.zeros(64)}
    save_file(layer, tmp_path / "language" / "projector.safetensors")
    given = [f"--{name}={tmp_path / name}" for name in parts]
    levels = "--set=model.merge_levels=[[8, 3], [4, 3]]"
    return [*given, levels], write_ref_avs(tmp_path / "data", {"train": 2}, 3, (32, 40))
