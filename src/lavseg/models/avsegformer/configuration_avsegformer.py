"""Configuration of AVSegFormer."""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from ...backbones.pyramids.configuration_pyramids import STRIDE, pvt_v2_b5_config
from ...backbones.vggish import VggishConfig
from ...modeling.configuration import DISTILROBERTA, OptionalTextConfig
from ...modeling.inputs import check_counts, check_heads


@strict
class AvsegFormerConfig(OptionalTextConfig):
    """Configuration of [`AvsegFormerModel`]. The defaults are the released code's (Gao et al., "AVSegFormer:
    Audio-Visual Segmentation with Transformer", AAAI 2024).

    Args:
        vision_config: the image encoder, a `PvtV2Config` (PVT-v2-B5) or a `ResNetConfig`.
        audio_config: VGGish with its final ReLU.
        text_config: text encoder, with `use_text` only; distilroberta-base when None.
        use_text: read a sentence. How the rows "+ text" of the Ref-AVS tables read is not published; this is a variant
            of this package: the words are further tokens that the queries are generated from, and the mean of the
            sentence is added to the sound that the mixer listens to, through a layer that starts at zero.
        frame_size: edge of the square input, a multiple of 32. The released loaders take 512 for S4 and MS3, whatever
            their configurations say (224), and 224 for the semantic subset.
        hidden_size: width of all that lies between encoders and masks, a multiple of 32.
        num_attention_heads: heads of every attention.
        num_queries: queries for each frame.
        num_encoder_layers, num_decoder_layers, num_generator_layers: depths of the deformable encoder, of the decoder
            and of what generates queries from sound.
        intermediate_size: hidden width of the feed-forward layers of encoder and decoder.
        generator_intermediate_size: that of what generates queries.
        mask_hidden_size: hidden width of the convolutions that squeeze the products of queries and features.
        dropout: in encoder and decoder, in training, also of the decoder's attention weights.
        use_learned_queries: add learned vectors to the queries from sound.
        use_mixer: gate the features of a frame by its sound.

    ```python
    config = AvsegFormerConfig(frame_size=224)
    model = AvsegFormerModel(config)
    ```
    """

    model_type = "avsegformer"
    sub_configs_defaults = {
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="pvt_v2"),
        "audio_config": VggishConfig,
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="roberta", optional=True),
    }
    keys_to_ignore_at_inference = ["loss_dict"]

    vision_config: dict | PreTrainedConfig | None = None
    audio_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    frame_size: int = 512
    hidden_size: int = 256
    num_attention_heads: int = 8
    num_queries: int = 300
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    num_generator_layers: int = 6
    intermediate_size: int = 2048
    generator_intermediate_size: int = 1024
    mask_hidden_size: int = 2048
    dropout: float = 0.1
    use_learned_queries: bool = True
    use_mixer: bool = True

    def __post_init__(self, **kwargs):
        if self.use_text and self.text_config is None:
            self.text_config = {"model_type": "roberta", **DISTILROBERTA}
        if self.vision_config is None:
            self.vision_config = pvt_v2_b5_config()
        super().__post_init__(**kwargs)
        # Transformers chooses by it among the architectures of a configuration, and takes no None.
        self.architectures = self.architectures or ["AvsegFormerModel"]
        for name in ("frame_size", "hidden_size"):
            value = getattr(self, name)
            if value < 1 or value % STRIDE:
                raise ValueError(f"{name}: has to be a multiple of {STRIDE}, got {value}")
        check_heads(self.num_attention_heads, self.hidden_size, "hidden_size")
        check_counts(self, "num_queries")


__all__ = ["AvsegFormerConfig"]
