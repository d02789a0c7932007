"""What methods share that hear one sound with each frame and see frames through PVT v2 or ResNet."""

from typing import Self

import torch
from torch import nn

from ...modeling.encoders import load_encoder
from ..vggish import VggishModel, load_vggish
from ..vggish.base_sound_per_frame import SoundPerFrameModel
from .configuration_pyramids import STRIDE
from .modeling_pyramids import load_pyramid

# Frames whose masks are made at a time, by decoders that work at stride 4 with many channels.
FRAMES_PER_PASS = 4


class PyramidModel(SoundPerFrameModel):
    """Base of these methods, whose image encoder is called `vision` among their `backbones` and trains. Configurations
    hold `vision_config`, `audio_config`, `use_text` and `text_config`; sub-classes are written as TPAVI's is.

    ```python
    model = TpaviModel.from_backbones("OpenGVLab/pvt_v2_b5", audio="runs/vggish")
    ```
    """

    @classmethod
    def from_backbones(
        cls,
        vision: str = "OpenGVLab/pvt_v2_b5",
        audio: str | VggishModel | None = None,
        text: str = "distilbert/distilroberta-base",
        **config_overrides,
    ) -> Self:
        """Start training from published encoders.

        Args:
            vision: Hub id or folder of a PVT v2 or ResNet of Transformers, or the file with ImageNet weights of the
                authors of PVT v2 (B5) or of torchvision (ResNet-50).
            audio: a VGGish model, or the folder or Hub id of a converted one; an untrained one would hear nothing.
            text: Hub id or folder of the text encoder, which is read with `use_text=True` only.
            config_overrides: fields of the method's configuration.

        Raises:
            ValueError: when `audio` is missing, or `vision` is another network.
        """
        parts = {"audio": load_vggish(audio), "vision": load_pyramid("vision", vision)}
        if config_overrides.get("use_text"):
            parts["text"] = load_encoder(text, "text_config")
        return cls._compose(parts, **config_overrides)

    def frozen_modules(self) -> list[nn.Module]:
        return [module for name, module in self.backbones().items() if name != "vision"]

    @property
    def image_blocks(self) -> nn.ModuleList:
        """Blocks of the image encoder; states are `[N, h * w, C]` of PVT v2 and `[N, C, h, w]` of ResNet."""
        return self.backbones()["vision"].blocks

    @property
    def embedding_inputs(self) -> tuple[str, ...]:
        return ("pixel_values",)


def check_edges(pixel_values: torch.Tensor) -> None:
    """Frames `[..., H, W]` that come out whole at all strides.

    Raises:
        ValueError: when an edge is no multiple of 32, or 0.
    """
    height, width = pixel_values.shape[-2:]
    if height % STRIDE or width % STRIDE or not height * width:
        raise ValueError(f"pixel_values: height and width have to be multiples of {STRIDE}, got {height} x {width}")


__all__ = ["FRAMES_PER_PASS", "PyramidModel", "check_edges"]
