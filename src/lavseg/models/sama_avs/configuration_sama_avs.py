"""Configuration of SAMA-AVS."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig, SamConfig

from ..sam_config import nano_sam_config, vit_sam_config, with_original_norms
from ..vggish import VggishConfig


@strict
class SamaAvsConfig(PreTrainedConfig):
    """Configuration of [`SamaAvsModel`]. The defaults are the released code's (Liu et al., "Annotation-free
    Audio-Visual Segmentation", WACV 2024).

    Args:
        sam_config: the host, a `SamConfig`; ViT-H. Its decoder's LayerNorms are set to the 1e-5 they were trained with.
        audio_config: VGGish with its final ReLU.
        adapter_size: hidden width of the adapters.
        use_adapters: False is SAM's own encoder, which hears nothing.
        train_adapters: train the adapters.
        train_mask_decoder: train SAM's mask decoder and its no-mask embedding.
        random_position_code: `from_backbones` keeps a random position code and no-mask embedding instead of SAM's, as
            happened in the release, whose names for them differ from SAM's file.
    """

    model_type = "sama_avs"
    sub_configs_defaults = {"sam_config": SamConfig, "audio_config": VggishConfig}
    keys_to_ignore_at_inference = ["losses"]

    sam_config: dict | PreTrainedConfig | None = None
    audio_config: dict | PreTrainedConfig | None = None
    adapter_size: int = 512
    use_adapters: bool = True
    train_adapters: bool = True
    train_mask_decoder: bool = True
    random_position_code: bool = False

    def __post_init__(self, **kwargs):
        if self.sam_config is None:
            self.sam_config = vit_sam_config("huge")
        super().__post_init__(**kwargs)
        self.sam_config = with_original_norms(self.sam_config)

    @classmethod
    def tiny(cls, **overrides) -> "SamaAvsConfig":
        """A model of 0.2 M parameters at 128x128 for tests and demonstrations."""
        fields = {"sam_config": nano_sam_config(128), "audio_config": VggishConfig.tiny(), "adapter_size": 32}
        return cls(**{**fields, **overrides})
