"""Configuration of TPAVI."""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from ...backbones.pyramids.configuration_pyramids import STRIDE, pvt_v2_b5_config
from ...backbones.vggish import VggishConfig
from ...modeling.configuration import DISTILROBERTA, OptionalTextConfig
from ...modeling.inputs import check_heads

NUM_STAGES = 4


@strict
class TpaviConfig(OptionalTextConfig):
    """Configuration of [`TpaviModel`] (Zhou et al., "Audio-Visual Segmentation", ECCV 2022). The defaults are the
    released code's for S4 and MS3 with PVT-v2-B5.

    Args:
        vision_config: image encoder with four stages, a `PvtV2Config` or a `ResNetConfig`. PVT-v2-B5.
        audio_config: VGGish with its final ReLU.
        text_config: text encoder, any with `last_hidden_state`; DistilRoBERTa with `use_text`.
        use_text: read a sentence (Ref-AVS). The code of the "+ text" rows in the tables of others is not public. This
            is this package's own way: at each fused stage every position attends to the words, and what that gives is
            added before sound is mixed in. It starts at zero, as the released model.
        frame_size: edge of the square frames, a multiple of 32, that processors make. The model takes others, too.
        hidden_size: channels of the four stages behind the encoder.
        fusion_size: inner width of the blocks that mix sound and frames.
        audio_stages: stages in which sound is mixed in, of 1 (stride 4) to 4 (stride 32); none makes a model that does
            not hear.
        attend_to_audio: mix in the sound.
        attend_to_vision: mix in the frames of the clip themselves, with the same weights; with both the two results are
            averaged. Off in every released script.
        frames_per_group: frames that are mixed with each other: 0 to 4, 5 to 9, and so on, counted from the first one
            that the model is given, so in long clips from the first of each window. As released, also for the clips of
            ten frames of AVSBench-semantic.
        audio_projection_bias: whether the layer that widens the sound has a bias. As released it has, but not in the
            model that names classes.
        num_attention_heads: heads of the attention to words.

    ```python
    config = TpaviConfig(vision_config={"model_type": "resnet"})
    model = TpaviModel(config)
    ```
    """

    model_type = "tpavi"
    sub_configs_defaults = {
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="pvt_v2"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="roberta", init_kwargs=DISTILROBERTA),
        "audio_config": VggishConfig,
    }
    keys_to_ignore_at_inference = ["loss_dict"]

    vision_config: dict | PreTrainedConfig | None = None
    audio_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    frame_size: int = 224
    hidden_size: int = 256
    fusion_size: int = 128
    audio_stages: list[int] | tuple[int, ...] = (1, 2, 3, 4)
    attend_to_audio: bool = True
    attend_to_vision: bool = False
    frames_per_group: int = 5
    audio_projection_bias: bool = True
    num_attention_heads: int = 8

    def __post_init__(self, **kwargs):
        if self.vision_config is None:
            self.vision_config = pvt_v2_b5_config()
        # Transformers chooses by it among the architectures of a configuration, and takes no None.
        self.architectures = self.architectures or ["TpaviModel"]
        super().__post_init__(**kwargs)
        self.audio_stages = tuple(self.audio_stages)
        self._check()

    def _check(self) -> None:
        stages = self.audio_stages
        if list(stages) != sorted(set(stages) & set(range(1, NUM_STAGES + 1))):
            raise ValueError(f"audio_stages: takes some of 1, 2, 3, 4 in this order, got {stages}")
        if self.frame_size < STRIDE or self.frame_size % STRIDE:
            raise ValueError(f"frame_size: has to be a multiple of {STRIDE}, got {self.frame_size}")
        if self.frames_per_group < 1:
            raise ValueError(f"frames_per_group: has to be at least 1, got {self.frames_per_group}")
        if stages and not (self.attend_to_audio or self.attend_to_vision):
            raise ValueError("attend_to_audio: off with attend_to_vision nothing is mixed in; set audio_stages=()")
        if self.use_text and not stages:
            raise ValueError("use_text: words come in where sound does, so audio_stages has to name a stage")
        if self.use_text or self.num_attention_heads < 1:
            check_heads(self.num_attention_heads, self.hidden_size, "hidden_size")


__all__ = ["TpaviConfig"]
