import torch
from tiny.configurations import tiny_config
from transformers import AutoModel

from lavseg.models.gavs import GavsConfig, GavsModel


@torch.no_grad()
def test_what_is_read_without_a_call_is_in_memory_and_layers_stay_on_disk(tmp_path):
    torch.manual_seed(0)
    model = GavsModel(tiny_config(GavsConfig)).eval()
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path, device_map={"": "disk"}, offload_folder=tmp_path / "offloaded")
    read = {f"sam.{name}" for name in ("prompt_encoder.no_mask_embed.weight", "vision_encoder.pos_embed")}
    kept = {name: parameter for name, parameter in loaded.named_parameters() if not parameter.is_meta}
    assert read <= kept.keys() and not any(name.startswith("sam.vision_encoder.layers") for name in kept)
    for name, parameter in kept.items():
        assert torch.equal(parameter, model.get_parameter(name)), name
    inputs = {"pixel_values": torch.randn(1, 1, 3, 128, 128), "input_features": torch.randn(1, 1, 1, 96, 64)}
    torch.testing.assert_close(loaded.eval()(**inputs).pred_masks, model(**inputs).pred_masks)
