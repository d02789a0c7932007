"""Configuration of AuralSAM2."""

import warnings

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from ...backbones.sam2.configuration_sam2 import hiera_sam2_config
from ...backbones.vggish import VggishConfig
from ...modeling.configuration import DISTILROBERTA, OptionalTextConfig
from ...modeling.inputs import check_choices, check_heads

NUM_LEVELS = 3

_CHOICES = {
    "behavior": ("release", "paper"),
    "conditioning_frame": ("first", "middle"),
    "contrastive_loss": ("audiocon", "audiocon_release", "supcon", "none"),
}

# What the two values of `behavior` say about fields left at None.
_DEPTHS = {"release": ((3, 6, 12), (3, 3, 3)), "paper": ((3, 3, 3), (1, 1, 1))}
_PROJECTION_SIZE = {"release": 128, "paper": 64}


@strict
class AuralSam2Config(OptionalTextConfig):
    """Configuration of [`AuralSam2Model`] (AuralSAM2, arXiv 2506.01015).

    Args:
        sam2_config: the host, a `Sam2VideoConfig`. SAM 2.0 Hiera-L. It predicts three masks to choose from, or one with
            `multimask_output_in_sam=False`.
        text_config: text encoder, any with `last_hidden_state`. DistilRoBERTa.
        audio_config: VGGish with its final ReLU; twice its embedding size (left and right) is the host's width.
        use_text: read a sentence (Ref-AVS), or take sound alone (AVSBench), without a text encoder.
        behavior: the published code and the paper describe two networks.

            "release" is the code, and what converted checkpoints need: prompts enter the decoder deepest level first,
            the vectors on all four mask tokens, and those of the deepest level also become part of the tokens' position
            codes; cross fusion has no softmax and re-reads the visual maps, channels as positions; all audio and text
            tokens carry one position code; padded text is attended to; tokens pass from level to level; VGGish is
            frozen; the predicted IoU of all three masks learns.

            "paper" is the text (Eq. 1-8): level k prompts decoder stage k, its vector the tokens of the masks that are
            predicted, three or the single one, and only their content; cross fusion is softmax attention; every token
            has its own position code; padded text is hidden; tokens start anew at each level; VGGish trains; the
            predicted IoU of the best mask learns; heads of the contrastive loss have three layers and 64 outputs.
            Where the text is silent or can be read in several ways, "paper" does as the release: the pyramid is made of
            the neck's maps, which have the `L` channels that Eq. 1 reads, while those behind the Q-pooling differ in
            width; in training a clip's middle frame is segmented first; batch normalisation follows the linear layer
            behind Eq. 10, and a residual LayerNorm that; both losses take all labelled frames. The 9 visual and 3
            audio-text blocks of supplement 6.1 are 3 and 1 a level. The default, because it learns better: on unseen
            clips of the drawn band in which one of several objects sounds, J was 0.41 after the same short training
            from nothing, against 0.37 as released (one run each).
        visual_depths: transformer blocks on the frames of levels 1 to 3. (3, 6, 12) as released, (3, 3, 3) in the
            paper.
        token_depths: transformer blocks on the audio and text tokens. (3, 3, 3) as released, (1, 1, 1) in the paper.
        num_attention_heads: heads of these blocks.
        mlp_ratio: width of their MLPs in units of the model's.
        reduction_ratio: edge of the patches that the frames' self-attention reads keys and values from.
        dropout: rate of dropout of attention, projections and MLPs in these blocks.
        fusion_size: width of the cross fusion.
        text_projection_size: hidden width of the MLP that reads the text encoder.
        pyramid_levels: levels that are fused, of 1 (stride 4), 2 (stride 8) and 3 (stride 16); (3,) is table 3 without
            the pyramid.
        sparse_prompts: add the sound's vectors to the mask tokens (table 4).
        dense_prompts: add the fused maps to the image tokens (table 4).
        use_audio: use the sound; without it its embedding is zero and frames and sentence are left (figure 3), or
            without text too the frames alone (table 3).
        conditioning_frame: the frame that is segmented first, without memory, at inference: "first", or "middle",
            T // 2. In training it is always the middle one. None takes what the authors evaluate with: the middle
            with text, the first without.
        train_audio_encoder: None follows `behavior`.
        contrastive_loss: "audiocon" as in the paper: half of the samples from mis-predicted pixels; "audiocon_release"
            as coded, where nearly every pixel counts as mis-predicted and many carry another pixel's label;
            "supcon", supervised contrastive learning; or "none" (table 5).
        contrastive_samples: pixels drawn per level and frame for "audiocon" and "supcon"; per level, frame and
            class for "audiocon_release", whose code has 384 without text and 192 with it.
        contrastive_temperature: temperature of all these losses.
        projection_size: outputs of the heads of the contrastive loss. 128 as released, 64 in the paper.
        class_layers: layers of the class head of [`AuralSam2ForSemanticSegmentation`]; its classes are `id2label`, or
            `num_labels` of them, background first.
        initializer_range: deviation of the truncated normal that fills the linear layers of the blocks.

    Files from before the class head was an architecture of its own hold `num_classes`, without background.

    ```python
    config = AuralSam2Config(use_text=False)
    model = AuralSam2Model(config)
    ```
    """

    model_type = "aural_sam2"
    sub_configs_defaults = {
        "sam2_config": SubConfigSpec(config_class=AutoConfig, model_type="sam2_video"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="roberta", init_kwargs=DISTILROBERTA),
        "audio_config": VggishConfig,
    }
    keys_to_ignore_at_inference = ["loss_dict", "key_frames"]
    loss_weight_fields = {f"{term}_weight": term for term in ("focal", "dice", "iou", "object", "contrastive")}
    processor_fields = ("max_text_length",)
    former_fields = ("num_classes",)

    sam2_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    audio_config: dict | PreTrainedConfig | None = None
    use_text: bool = True
    behavior: str = "paper"
    visual_depths: list[int] | tuple[int, ...] | None = None
    token_depths: list[int] | tuple[int, ...] | None = None
    num_attention_heads: int = 4
    mlp_ratio: int = 4
    reduction_ratio: int = 4
    dropout: float = 0.1
    fusion_size: int = 128
    text_projection_size: int = 1024
    pyramid_levels: list[int] | tuple[int, ...] = (1, 2, 3)
    sparse_prompts: bool = True
    dense_prompts: bool = True
    use_audio: bool = True
    conditioning_frame: str | None = None
    train_audio_encoder: bool | None = None
    contrastive_loss: str = "audiocon"
    contrastive_samples: int = 512
    contrastive_temperature: float = 0.1
    projection_size: int | None = None
    class_layers: int = 3
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        if self.sam2_config is None:
            self.sam2_config = hiera_sam2_config("large")
        if num_classes := kwargs.pop("num_classes", 0):
            warnings.warn(
                f"num_classes: no longer a field; AuralSam2ForSemanticSegmentation takes num_labels={num_classes + 1}",
                DeprecationWarning,
                stacklevel=2,
            )
            self.num_labels = num_classes + 1
            self.architectures = ["AuralSam2ForSemanticSegmentation"]
        # Transformers chooses by it among the architectures of a configuration, and takes no None.
        self.architectures = self.architectures or ["AuralSam2Model"]
        super().__post_init__(**kwargs)
        if self.conditioning_frame is None:
            self.conditioning_frame = "middle" if self.use_text else "first"
        check_choices(self, _CHOICES)
        visual_depths, token_depths = _DEPTHS[self.behavior]
        self.visual_depths = tuple(visual_depths if self.visual_depths is None else self.visual_depths)
        self.token_depths = tuple(token_depths if self.token_depths is None else self.token_depths)
        self.pyramid_levels = tuple(self.pyramid_levels)
        if self.train_audio_encoder is None:
            self.train_audio_encoder = self.behavior == "paper"
        if self.projection_size is None:
            self.projection_size = _PROJECTION_SIZE[self.behavior]
        self._check()

    def _check(self) -> None:
        for name in ("visual_depths", "token_depths"):
            if len(getattr(self, name)) != NUM_LEVELS:
                raise ValueError(f"{name}: takes one depth per level, {NUM_LEVELS}, got {getattr(self, name)}")
        levels = self.pyramid_levels
        if not levels or list(levels) != sorted(set(levels) & {1, 2, 3}):
            raise ValueError(f"pyramid_levels: takes some of 1, 2, 3 in this order, got {levels}")
        if self.class_layers < 1:
            raise ValueError(f"class_layers: got {self.class_layers}, accepted are 1 or more layers")
        if self.hidden_size != 2 * self.audio_config.embedding_size:
            raise ValueError(
                f"audio_config: embedding_size is {self.audio_config.embedding_size}, left and right together have to "
                f"be as wide as the host's decoder, {self.hidden_size}"
            )
        if self.sam2_config.image_size < 16 * self.reduction_ratio:
            raise ValueError(
                f"sam2_config: image_size is {self.sam2_config.image_size}, it has to be at least "
                f"{16 * self.reduction_ratio} for patches of {self.reduction_ratio} (reduction_ratio) at stride 16"
            )
        check_heads(self.num_attention_heads, self.hidden_size, "the host's width")

    @property
    def hidden_size(self) -> int:
        """Width of the fuser, which is that of the host's mask decoder."""
        return self.sam2_config.mask_decoder_config.hidden_size


__all__ = ["AuralSam2Config"]
