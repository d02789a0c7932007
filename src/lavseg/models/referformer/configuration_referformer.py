"""Configuration of ReferFormer."""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from ...backbones.pyramids.configuration_pyramids import resnet50_config
from ...backbones.vggish import VggishConfig
from ...modeling.configuration import DISTILROBERTA, AudioVisualConfig
from ...modeling.inputs import check_counts, check_heads

# Below it, the pyramid's finest level has nothing to attend to.
SHORTEST_EDGE = 32
# Groups of the norms behind the projections.
GROUPS = 32
# Of `RobertaConfig`: roberta-base.
ROBERTA = {**DISTILROBERTA, "num_hidden_layers": 12}


@strict
class ReferFormerConfig(AudioVisualConfig):
    """Configuration of [`ReferFormerModel`]. The defaults are the released code's (Wu et al., "Language as Queries for
    Referring Video Object Segmentation", CVPR 2022).

    Args:
        vision_config: the image encoder, a `ResNetConfig` (ResNet-50), whose batch norms are frozen, or a `SwinConfig`.
        audio_config: VGGish with its final ReLU, with `use_audio` only.
        text_config: the text encoder, a `RobertaConfig` (roberta-base), read with its pooler.
        use_audio: hear one second of sound with each frame. How the rows "+ audio" of the Ref-AVS tables hear is not
            published; this is a variant of this package: each sound is added to the queries of its frame, and pixels
            read the sounds of the clip beside the words, both through layers that start at zero.
        absence_classifier: the classifier of R2VOS (Li et al., ICCV 2023, options `--mix_query` and `--neg_cls` of its
            code), which says from the sentence and the pixels that have read it whether its object is in the clip at
            all; it has to be trained, with sentences that fit nothing. Not part of ReferFormer.
        frame_size: length that the short edge of frames is brought to, at least 32; the model takes frames of any size.
        hidden_size: width of all that lies between encoders and masks, a multiple of 32.
        num_attention_heads: heads of every attention.
        num_queries: queries in each frame; query `i` of all frames is one track.
        num_encoder_layers, num_decoder_layers: depths of the deformable encoder and decoder.
        intermediate_size: hidden width of the feed-forward layers.
        mask_hidden_size: channels of the convolutions that each query makes its mask with.
        dropout: in training, also of attention weights.

    ```python
    config = ReferFormerConfig(num_queries=5)
    model = ReferFormerModel(config)
    ```
    """

    model_type = "referformer"
    sub_configs_defaults = {
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="resnet"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="roberta", init_kwargs=ROBERTA),
        "audio_config": SubConfigSpec(config_class=VggishConfig, optional=True),
    }
    keys_to_ignore_at_inference = ["loss_dict"]

    vision_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    audio_config: dict | PreTrainedConfig | None = None
    use_audio: bool = False
    absence_classifier: bool = False
    frame_size: int = 360
    hidden_size: int = 256
    num_attention_heads: int = 8
    num_queries: int = 5
    num_encoder_layers: int = 4
    num_decoder_layers: int = 4
    intermediate_size: int = 2048
    mask_hidden_size: int = 8
    dropout: float = 0.1

    def __post_init__(self, **kwargs):
        if self.vision_config is None:
            self.vision_config = resnet50_config()
        if self.use_audio and self.audio_config is None:
            self.audio_config = VggishConfig()
        super().__post_init__(**kwargs)
        if self.frame_size < SHORTEST_EDGE:
            raise ValueError(f"frame_size: has to be {SHORTEST_EDGE} at least, got {self.frame_size}")
        if self.hidden_size < 1 or self.hidden_size % GROUPS:
            raise ValueError(f"hidden_size: has to be a multiple of {GROUPS}, got {self.hidden_size}")
        check_heads(self.num_attention_heads, self.hidden_size, "hidden_size")
        check_counts(self, "num_queries")
        if self.text_config.model_type != "roberta":
            raise ValueError(f"text_config: is a {self.text_config.model_type!r}, 'roberta' is needed for its pooler")


__all__ = ["ReferFormerConfig"]
