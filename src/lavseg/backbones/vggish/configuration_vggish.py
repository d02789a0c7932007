"""VGGish configuration."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class VggishConfig(PreTrainedConfig):
    """Configuration of [`VggishModel`], the audio network of Hershey et al., "CNN Architectures for Large-Scale Audio
    Classification" (2017), as released for PyTorch (torchvggish). The defaults are that network: 72,141,184 parameters.

    Args:
        conv_channels: output widths of the six 3x3 convolutions. A 2x2 max-pool follows the 1st, 2nd, 4th and 6th.
        hidden_size: width of the two hidden fully connected layers.
        embedding_size: width of the embedding.
        final_relu: apply a ReLU to the embedding. The PyTorch release does, AVSBench and AuralSAM2 with it; features
            published for Ref-AVS and GAVS have negative values, thus no final ReLU.
        postprocess: PCA-whiten the embedding, clip to [-2, 2] and quantise to whole numbers 0..255, the form of the
            AudioSet release. Rounding lets no gradient through.

    ```python
    config = VggishConfig(final_relu=False)
    model = VggishModel(config)
    ```
    """

    model_type = "vggish"

    conv_channels: list[int] | tuple[int, ...] = (64, 128, 256, 256, 512, 512)
    hidden_size: int = 4096
    embedding_size: int = 128
    final_relu: bool = True
    postprocess: bool = False

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if len(self.conv_channels) != 6:
            raise ValueError(f"conv_channels takes the widths of 6 convolutions, got {len(self.conv_channels)}")
        for width in (*self.conv_channels, self.hidden_size, self.embedding_size):
            if width < 1:
                raise ValueError(f"conv_channels, hidden_size and embedding_size must be positive, got {width}")


def without_relu(given: VggishConfig | Mapping[str, Any] | None) -> VggishConfig | dict[str, Any]:
    """What was given as the `audio_config` of a method without a final ReLU: a whole configuration is as it is, fields
    get that one unless they say otherwise."""
    return given if isinstance(given, VggishConfig) else {"final_relu": False, **(given or {})}


__all__ = ["VggishConfig", "without_relu"]
