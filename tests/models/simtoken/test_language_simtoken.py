import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel, OpenAIGPTModel

from lavseg.models.simtoken.language_simtoken import cache_argument, load_language_model


@pytest.fixture
def chat_univi(tmp_path):
    """A folder as Chat-UniVi has it: a LLaMA under a name of its own, and the layer from CLIP's patches."""
    sizes = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    causal = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=2))
    causal.save_pretrained(tmp_path)
    layer = {"model.mm_projector.weight": torch.ones(16, 8), "model.mm_projector.bias": torch.zeros(16)}
    save_file({**load_file(tmp_path / "model.safetensors"), **layer}, tmp_path / "model.safetensors", {"format": "pt"})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "ChatUniVi", "use_mm_proj": True}))
    return tmp_path, causal


def test_a_chat_univi_is_a_llama_with_a_layer(chat_univi):
    folder, causal = chat_univi
    found, projector = load_language_model(folder)
    assert isinstance(found, LlamaForCausalLM)
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in causal.state_dict().items())
    assert {name: tuple(value.shape) for name, value in projector.items()} == {"weight": (16, 8), "bias": (16,)}


def test_a_folder_that_lacks_weights_is_refused(chat_univi):
    folder, _ = chat_univi
    state = load_file(folder / "model.safetensors")
    del state["model.layers.0.mlp.up_proj.weight"]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"^language: .* lacks weights of a llama: model\.layers\.0\.mlp\.up_proj"):
        load_language_model(folder)


def test_a_language_model_has_to_keep_keys_and_values():
    assert cache_argument(LlamaModel) in ("cache", "past_key_values")
    with pytest.raises(ValueError, match=r"^language_config: OpenAIGPTModel keeps no keys and values"):
        cache_argument(OpenAIGPTModel)
