"""Configuration of Stepping-Stones."""

from copy import deepcopy

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from ...backbones.mask2former.configuration_mask2former import check_swin, swin_base_mask2former_config
from ...backbones.vggish import VggishConfig
from ...modeling.configuration import AudioVisualConfig
from ...modeling.inputs import check_choices, check_counts

_CHOICES = {"adapter_place": ("instead", "after")}


@strict
class SteppingStonesConfig(AudioVisualConfig):
    """Configuration of [`SteppingStonesModel`] and [`SteppingStonesForSemanticSegmentation`]. The defaults are the
    released code's (Ma et al., "Stepping Stones: A Progressive Training Strategy for Audio-Visual Semantic
    Segmentation", ECCV 2024), whose two networks differ: with `num_labels` 2, background and what sounds, they are
    those of the first stage, else those of the second.

    Args:
        mask2former_config: the host, a `Mask2FormerConfig`; its numbers of queries and classes are the ones given here.
            Swin-B, as published for ADE20K. Training drops the attention of each block of Swin with the one
            probability that it names.
        audio_config: VGGish without its final ReLU.
        frame_size: edge of the square frames, a multiple of 32.
        num_queries: queries for each frame; 30 in the first stage, 100 in the second.
        projection_size: hidden width of the two layers that project the sound.
        adapter_ratio: by how much adapters are narrower than what they are given.
        adapter_place: where adapters stand in the pixel decoder and in attention among queries: "instead" of the output
            projection, in the first stage, or "after" it. Files of both have the same keys.
        encoder_adapters: adapters in Swin, too; the released training adds them in its second phase.
        learn_from_silence: in training, learn from clips in which nothing sounds, too.

    ```python
    config = SteppingStonesConfig(num_labels=71)
    model = SteppingStonesForSemanticSegmentation(config)
    ```
    """

    model_type = "stepping_stones"
    sub_configs_defaults = {
        "mask2former_config": SubConfigSpec(config_class=AutoConfig, model_type="mask2former"),
        "audio_config": VggishConfig,
    }

    mask2former_config: dict | PreTrainedConfig | None = None
    audio_config: dict | PreTrainedConfig | None = None
    frame_size: int = 384
    num_queries: int | None = None
    projection_size: int = 512
    adapter_ratio: int = 4
    adapter_place: str | None = None
    encoder_adapters: bool = True
    learn_from_silence: bool = True

    def __post_init__(self, **kwargs):
        if self.mask2former_config is None:
            self.mask2former_config = swin_base_mask2former_config()
        if self.audio_config is None:
            self.audio_config = VggishConfig(final_relu=False)
        super().__post_init__(**kwargs)
        first = self.num_labels == 2
        if self.num_queries is None:
            self.num_queries = 30 if first else 100
        check_counts(self, "num_queries")
        if self.adapter_place is None:
            self.adapter_place = "instead" if first else "after"
        check_choices(self, _CHOICES)
        # Transformers chooses by it among the architectures of a configuration, and takes no None.
        self.architectures = self.architectures or [
            "SteppingStonesModel" if first else "SteppingStonesForSemanticSegmentation"
        ]
        if self.frame_size < 32 or self.frame_size % 32:
            raise ValueError(f"frame_size: {self.frame_size} was given, it has to be a multiple of 32")
        check_swin(self.mask2former_config)
        host = self.mask2former_config = deepcopy(self.mask2former_config)
        widths = [host.feature_size, host.hidden_dim, host.backbone_config.embed_dim]
        if self.adapter_ratio < 1 or any(width % self.adapter_ratio for width in widths):
            raise ValueError(
                f"adapter_ratio: {self.adapter_ratio} was given, it has to divide the widths of the host, "
                f"{', '.join(map(str, widths))}"
            )
        host.num_queries = self.num_queries
        if host.num_labels != self.num_labels:
            host.num_labels = self.num_labels


__all__ = ["SteppingStonesConfig"]
