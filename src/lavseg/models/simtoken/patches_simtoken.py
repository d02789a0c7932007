"""SimToken's frame encoder: CLIP up to its last but one layer."""

import torch
from transformers import CLIPVisionModel


class SimTokenPatches(CLIPVisionModel):
    """CLIP's tower that sees, of which the last layer and the norm after it are kept, but not run.

    ```python
    patches = SimTokenPatches(config.vision_config)(clip_pixel_values)
    ```
    """

    @classmethod
    def is_custom_code(cls) -> bool:
        """No, see `AudioVisualPreTrainedModel.is_custom_code`."""
        return False

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Patches `[N, hw, D]`, without the class token, of frames `[N, 3, S, S]`."""
        states = self.pre_layrnorm(self.embeddings(pixel_values))
        for layer in self.encoder.layers[:-1]:
            states = layer(states, None)
        return states[:, 1:]
