"""SAM2 as the methods use it: Transformers' video model with faster blocks and one position code."""

from functools import partial

import torch
from torch import nn
from transformers import Sam2VideoConfig, Sam2VideoModel
from transformers import initialization as init
from transformers.models.sam2.modeling_sam2 import Sam2HieraDetConfig

from ...modeling.initialization import rebuild
from .attention_sam2 import FasterMemoryAttention, FasterMultiScaleBlock


class Sam2Backbone(Sam2VideoModel):
    """Transformers' SAM2 video model with less work in its blocks; state dict and outputs are the stock model's.

    ```python
    sam2 = Sam2Backbone(hiera_sam2_config("tiny"))
    sam2.load_state_dict(Sam2VideoModel.from_pretrained("facebook/sam2-hiera-tiny").state_dict())
    ```
    """

    _no_split_modules = [FasterMultiScaleBlock.__name__]

    def __init__(self, config: Sam2VideoConfig):
        super().__init__(config)
        hiera = self.vision_encoder.backbone
        hiera.blocks = rebuild(hiera.blocks, partial(_blocks, hiera.config))
        for layer in self.memory_attention.layers:
            stock = layer.cross_attn_image
            build = partial(FasterMemoryAttention, config, stock.kv_in_dim, stock.rope_k_repeat)
            layer.cross_attn_image = rebuild(stock, build)
            if isinstance(layer.activation, nn.ReLU):
                layer.activation.inplace = True

    @classmethod
    def is_custom_code(cls) -> bool:
        """No, see `AudioVisualPreTrainedModel.is_custom_code`."""
        return False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:  # a fresh stock model draws one position code for the image and another for points
            code = self.shared_image_embedding.positional_embedding
            init.copy_(self.prompt_encoder.shared_embedding.positional_embedding, code)
            # Transformers leaves it as it is in memory where a file lacks it.
            init.zeros_(self.no_memory_embedding)


def _blocks(config: Sam2HieraDetConfig) -> nn.ModuleList:
    """Hiera's blocks, numbered as in the stock model."""
    places = [(stage, block) for stage, depth in enumerate(config.blocks_per_stage) for block in range(depth)]
    return nn.ModuleList(FasterMultiScaleBlock(config, *place, number) for number, place in enumerate(places))


__all__ = ["Sam2Backbone"]
