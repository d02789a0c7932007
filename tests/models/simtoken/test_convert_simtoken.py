import json
import subprocess
import sys
import textwrap

import pytest
import torch
from peft import PeftModel
from tiny.configurations import nano_sam_config
from transformers import AutoModel, AutoProcessor, CLIPVisionModel, LlamaConfig, LlamaForCausalLM, SamModel

from lavseg.data import build_tokenizer
from lavseg.models.simtoken import SimTokenModel, convert_simtoken
from lavseg.models.simtoken.convert_simtoken import convert_simtoken_checkpoint, current_names, state_from_release
from published_files import simtoken_config, simtoken_file, simtoken_state, vggish_file

Q = "base_model.model.model.layers.0.self_attn.q_proj"
TRAINED = ("embed_tokens", "lm_head", "text_hidden_fcs", "audio_feature_layer", "mask_decoder", ".lora_")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SimTokenModel(simtoken_config())


@pytest.fixture
def call(tmp_path):
    """Converts a state dict, and returns the folder."""

    def convert(state, **options):
        torch.save(state, tmp_path / "file.pth")
        arguments = {"vggish_path": vggish_file(tmp_path)[0], "language_model": tmp_path / "language"}
        arguments |= {"config": simtoken_config(), "output_dir": tmp_path / "out", **options}
        convert_simtoken_checkpoint(tmp_path / "file.pth", **arguments)
        return tmp_path / "out"

    simtoken_file(tmp_path)
    return convert


def assert_converted(folder, state, dtype=torch.float32):
    found = AutoModel.from_pretrained(folder).state_dict()
    expected = state_from_release(state)
    assert {name for name in found if not name.startswith("audio_encoder.")} == expected.keys()
    assert all(torch.equal(found[name], value.to(dtype)) for name, value in expected.items())


def test_adapters_of_every_spelling_are_added():
    weight, down, up = torch.randn(6, 4), torch.randn(2, 4), torch.randn(6, 2)
    for middle, base in (("", ""), (".default", ""), (".default", ".base_layer")):
        state = {f"{Q}{base}.weight": weight, f"{Q}.lora_A{middle}.weight": down, f"{Q}.lora_B{middle}.weight": up}
        found = state_from_release(state)
        assert list(found) == ["language_model.layers.0.self_attn.q_proj.weight"]
        torch.testing.assert_close(found[next(iter(found))], weight + 2 * up @ down)


def test_every_name_has_its_place(model):
    names = {name for key in simtoken_state(model) if ".lora_" not in key for name in current_names(key)}
    assert names == {name for name in model.state_dict() if not name.startswith("audio_encoder.")}


@pytest.mark.parametrize(("lora", "dtype"), [("", torch.float32), (".default", torch.bfloat16)])
def test_a_whole_file_becomes_shards(model, call, lora, dtype):
    state = simtoken_state(model, lora)
    state["base_model.model.model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(2)
    folder = call(state, dtype=str(dtype).removeprefix("torch."), shard_bytes=100_000)
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 3
    assert_converted(folder, state, dtype)
    assert AutoModel.from_pretrained(folder).dtype == dtype
    processor = AutoProcessor.from_pretrained(folder)
    assert processor.seg_token_id == model.config.seg_token_id and processor.prompt == "release"


def test_what_trains_alone_is_joined_with_what_it_was_trained_from(model, call, tmp_path):
    whole = simtoken_state(model)
    causal = LlamaForCausalLM(LlamaConfig.from_dict(model.config.language_config.to_dict()))
    causal.model.load_state_dict(model.language_model.state_dict())
    causal.save_pretrained(tmp_path / "language")
    projector = {f"model.mm_projector.{name}": value for name, value in model.mm_projector.state_dict().items()}
    torch.save({**causal.state_dict(), **projector}, tmp_path / "language" / "pytorch_model.bin")
    (tmp_path / "language" / "model.safetensors").unlink()
    vision, sam = CLIPVisionModel(model.config.vision_config), SamModel(nano_sam_config(128))
    vision.load_state_dict(model.vision_encoder.state_dict())
    sam.load_state_dict(model.sam.state_dict())
    vision.save_pretrained(tmp_path / "vision")
    sam.save_pretrained(tmp_path / "sam")
    trained = {key: value for key, value in whole.items() if any(part in key for part in TRAINED)}
    assert_converted(call(trained, vision=str(tmp_path / "vision"), sam=str(tmp_path / "sam")), whole)


def test_adapters_may_be_kept(model, call):
    state = simtoken_state(model)
    folder = call(state, keep_lora=True)
    plain = AutoModel.from_pretrained(folder)
    assert torch.equal(plain.language_model.layers[0].self_attn.q_proj.weight, state[f"{Q}.weight"])
    merged = PeftModel.from_pretrained(plain, folder / "adapter").merge_and_unload().state_dict()
    for name, value in state_from_release(state).items():
        torch.testing.assert_close(merged[name], value)


def test_files_that_do_not_fit_are_refused(model, call, tmp_path):
    state = simtoken_state(model)
    layer = "base_model.model.model.layers.1."
    for changed, message in (
        ({f"{layer}mlp.up_proj.weight": None}, r"missing keys: language_model\.layers\.1\.mlp\.up_proj\.weight"),
        ({f"{layer}self_attn.v_proj.lora_B.default.weight": None}, r"missing keys: .*v_proj\.weight \(lora_B\)"),
        ({"base_model.model.extra": torch.ones(1)}, "unexpected keys: extra"),
        ({"base_model.model.lm_head.weight": torch.ones(3, 64)}, r"wrong shapes: lm_head\.weight is \[3, 64\]"),
        ({f"{layer}self_attn.v_proj.lora_B.default.weight": torch.ones(9, 2)}, "its LoRA is .* does not fit"),
        ({f"{layer}mlp.up_proj.weight": torch.full((128, 64), torch.nan)}, "up_proj.weight holds NaN"),
        ({key: None for key in state if "text_hidden" in key}, "^checkpoint_path: this is no SimToken checkpoint"),
    ):
        given = {key: value for key, value in {**state, **changed}.items() if value is not None}
        with pytest.raises(ValueError, match=message):
            call(given)
        assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match=r"^dtype: 'float16' was given"):
        call(state, dtype="float16")
    matrix = f"{layer}self_attn.v_proj.lora_B.default.weight"
    with pytest.raises(ValueError, match=r"^lora_B of language_model\.layers\.1\.\S+ holds NaN"):
        call({**state, matrix: torch.full_like(state[matrix], torch.nan)}, keep_lora=True)


def test_names_in_two_spellings_are_refused(model, call, tmp_path):
    state = simtoken_state(model)
    q = "base_model.model.model.layers.0.self_attn.q_proj"
    for spelling, other in (
        (f"{q}.weight", f"{q}.base_layer.weight"),
        ("base_model.model.lm_head.weight", "lm_head.weight"),
        (f"{q}.lora_A.default.weight", f"{q}.lora_A.weight"),
    ):
        with pytest.raises(ValueError, match=rf"^checkpoint_path: {spelling} and {other} are two spel"):
            call({**state, other: state[spelling] + 1})
    assert not (tmp_path / "out").exists()


def test_the_tokenizer_has_to_be_that_of_the_language_model(model, call, tmp_path, monkeypatch):
    monkeypatch.setattr(convert_simtoken, "write_shards", None)  # told before anything is written
    state, tokenizer = simtoken_state(model), build_tokenizer()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"^language_model: .+ has no tokenizer that can be read: "):
        call(state, language_model=tmp_path / "empty")
    tokenizer.add_tokens(["[SEG]", "one too many"])
    tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match=r"^language_model: the tokenizer of .+ has \d+ tokens, .* file \d+; "):
        call(state, language_model=tmp_path / "other")


def test_sizes_are_read_from_the_file_and_the_folder(model, tmp_path):
    from lavseg.models.simtoken.convert_simtoken import Released, released_config

    LlamaConfig(hidden_size=64, num_hidden_layers=2, rms_norm_eps=1e-5).save_pretrained(tmp_path)
    config = released_config(Released(simtoken_state(model)), tmp_path)
    assert config.language_config.vocab_size == model.config.language_config.vocab_size
    assert config.vision_config.image_size == 56 and config.seg_token_id == model.config.seg_token_id
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**fields, "model_type": "ChatUniVi"}))
    assert released_config(Released(simtoken_state(model)), tmp_path).language_config.model_type == "llama"


MEASURED = """
    import sys, threading, time
    from lavseg.models.simtoken import SimTokenConfig
    from lavseg.models.simtoken.convert_simtoken import convert_simtoken_checkpoint

    def anonymous():
        lines = open("/proc/self/status").read().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024

    folder, most, ended = sys.argv[1], [0], threading.Event()
    config = SimTokenConfig.from_pretrained(folder + "/config")

    def watch():
        while not ended.wait(0.002):
            most[0] = max(most[0], anonymous())

    before = anonymous()
    threading.Thread(target=watch, daemon=True).start()
    convert_simtoken_checkpoint(
        folder + "/file.pth", folder + "/vggish.pth", folder + "/out", folder + "/language", config=config,
        dtype="bfloat16", shard_bytes=10_000_000,
    )
    ended.set()
    print(most[0] - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_large_file_takes_little_memory(tmp_path):
    simtoken_file(tmp_path)
    config = simtoken_config()
    language = {"hidden_size": 512, "intermediate_size": 8192, "num_hidden_layers": 4}
    config.language_config = LlamaConfig.from_dict({**config.language_config.to_dict(), **language})
    config.save_pretrained(tmp_path / "config")
    with torch.device("meta"):
        model = SimTokenModel(config)
    model.load_state_dict({name: torch.zeros(value.shape) for name, value in model.state_dict().items()}, assign=True)
    torch.save(simtoken_state(model), tmp_path / "file.pth")
    size = (tmp_path / "file.pth").stat().st_size
    command = [sys.executable, "-c", textwrap.dedent(MEASURED), str(tmp_path)]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    assert size > 200_000_000 and grown < size / 2, (size, grown)
