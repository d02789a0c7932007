import re

import torch

from lavseg.models.simtoken.convert_simtoken import state_from_release

Q = "base_model.model.model.layers.0.self_attn.q_proj"


def test_adapters_of_every_spelling_are_added():
    weight, down, up = torch.randn(6, 4), torch.randn(2, 4), torch.randn(6, 2)
    expected = weight + 2 * up @ down
    for middle, base in (("", ""), (".default", ""), (".default", ".base_layer")):
        state = {f"{Q}{base}.weight": weight, f"{Q}.lora_A{middle}.weight": down, f"{Q}.lora_B{middle}.weight": up}
        found = state_from_release(state)
        assert list(found) == ["language_model.layers.0.self_attn.q_proj.weight"]
        torch.testing.assert_close(found[next(iter(found))], expected)


def test_the_position_code_of_sam_has_two_names():
    key = "base_model.model.model.visual_model.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    found = state_from_release({key: torch.ones(2, 4), "base_model.model.model.layers.0.rotary_emb.inv_freq": 1})
    assert len(found) == 2 and all(re.search(r"positional_embedding$", name) for name in found)
