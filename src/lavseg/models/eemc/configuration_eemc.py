"""Configuration of EEMC."""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from ...backbones.mask2former.configuration_mask2former import check_swin, encoder_width, swin_base_mask2former_config
from ...backbones.vggish import VggishConfig
from ...modeling.configuration import DISTILROBERTA, AudioVisualConfig
from ...modeling.inputs import check_choices, check_heads

_CHOICES = {"behavior": ("release", "paper")}


@strict
class EemcConfig(AudioVisualConfig):
    """Configuration of [`EemcModel`]. The defaults are the released code's (Wang et al., "Ref-AVS: Refer and Segment
    Objects in Audio-Visual Scenes", ECCV 2024).

    Args:
        mask2former_config: the host, a `Mask2FormerConfig`. Swin-B, as published for ADE20K.
        text_config: text encoder, any with `last_hidden_state`. DistilRoBERTa, whose padding is read, too.
        audio_config: VGGish without its final ReLU.
        frame_size: edge of the square frames, a multiple of 32.
        intermediate_size: hidden width of the three projections of the fusion.
        num_attention_heads: heads of the fusion's three attentions, each as wide as the host's coarsest map.
        adapter_size: hidden width of the adapters in the host's pixel decoder.
        behavior: what the fusion does where paper and code differ; parameters are the same.

            "release": the coarsest map is read anew in memory as rows of as many numbers, which mix channels and
            positions; the cached memory is a mean over all rows up to the present one, which for the image are also
            those of the same frame; the attention that integrates the cues runs over the clips of a batch, position by
            position, which for a clip alone is a linear layer; the three attentions are random and never train.

            "paper": a row is what the map says of one position; the cached memory is a mean over earlier seconds and,
            at each position, earlier frames; the cues of a frame attend to each other; the attentions train. Each of
            them stays one layer of the released width where the paper has four of width 256 (sec. 4).
        across_clips: under "release", let all sentences and clips of a batch attend to one another, as in the released
            evaluation, where four rows that follow one another in the table are a batch. Results then depend on what is
            in the batch, whose clips have to be of one length.

    ```python
    config = EemcConfig(behavior="paper")
    model = EemcModel(config)
    ```
    """

    model_type = "eemc"
    sub_configs_defaults = {
        "mask2former_config": SubConfigSpec(config_class=AutoConfig, model_type="mask2former"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="roberta", init_kwargs=DISTILROBERTA),
        "audio_config": VggishConfig,
    }

    mask2former_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    audio_config: dict | PreTrainedConfig | None = None
    frame_size: int = 384
    intermediate_size: int = 2048
    num_attention_heads: int = 8
    adapter_size: int = 64
    behavior: str = "release"
    across_clips: bool = False

    def __post_init__(self, **kwargs):
        if self.mask2former_config is None:
            self.mask2former_config = swin_base_mask2former_config()
        if self.audio_config is None:
            self.audio_config = VggishConfig(final_relu=False)
        super().__post_init__(**kwargs)
        check_choices(self, _CHOICES)
        if self.frame_size < 32 or self.frame_size % 32:
            raise ValueError(f"frame_size: {self.frame_size} was given, it has to be a multiple of 32")
        check_swin(self.mask2former_config)
        check_heads(self.num_attention_heads, self.fusion_size, "the width of the host's coarsest map")
        if self.across_clips and self.behavior != "release":
            raise ValueError("across_clips: is what the release does; it goes with behavior='release' alone")

    @property
    def fusion_size(self) -> int:
        """Width of the fusion, which is that of the host's coarsest map."""
        return encoder_width(self.mask2former_config)


__all__ = ["EemcConfig"]
