"""Configuration of SAM2-LOVE."""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from ...backbones.sam2.configuration_sam2 import hiera_sam2_config
from ...backbones.vggish import VggishConfig
from ...modeling.configuration import DISTILROBERTA, AudioVisualConfig
from ...modeling.inputs import check_choices, check_counts, check_heads

_CHOICES = {
    "mask_selection": ("best_iou", "min_loss", "single"),
    "loss_size": ("label", "low_res"),
    "prompt_pooling": ("seg", "mean"),
    "seg_readout": ("last", "mean", "attention"),
    "key_frame": ("first", "best"),
    "handoff": ("memory", "mask"),
}


@strict
class Sam2LoveConfig(AudioVisualConfig):
    """Configuration of [`Sam2LoveModel`]. The defaults are the paper's (SAM2-LOVE, CVPR 2025, sec. 3 and 4.1); where it
    is silent, the reading taken is said here.

    Args:
        sam2_config: the host, a `Sam2VideoConfig`. SAM 2.0 Hiera-L.
        text_config: text encoder, any with `last_hidden_state`. DistilRoBERTa; table 2 has CLIP's text model too.
        vision_config: frame encoder, any whose `last_hidden_state` begins with a class token. ViT-B/16 at 224.
        audio_config: VGGish with its final ReLU (supplement C).
        hidden_size: width of the fusion transformer.
        num_hidden_layers: fusion blocks (table 3).
        num_attention_heads: heads of these blocks; not given in the paper, 16 is what encoders of this width use.
        intermediate_size: width of the blocks' MLPs; not given, four times the width as in ViT.
        hidden_act: activation of the blocks' MLPs; not given, as in ViT.
        final_layer_norm: LayerNorm after the last block. Not in Eq. 2, but without it the token's norm grows with every
            frame and later frames hardly change its direction.
        projection_size: hidden width of the three MLPs of Eq. 1; not given.
        num_seg_tokens: [seg] tokens that propagate; the first one prompts (table 4).
        learn_modality_tokens: train the "fixed" tokens [aud] and [vis], which are constants 0 and 1 otherwise.
        accumulate_history: put the class tokens of the frames so far, the present one among them, into the sequence
            (Eq. 4). Off leaves Eq. 3, without any class token, on which tables 3 to 7 of the paper stand (table 2).
        mask_text_padding: hide padded text from the fusion, so that results do not depend on padding.
        prompt_pooling: "seg", or "mean" (table 5): without [seg], one sequence of Eq. 3 with all frames is fused, and
            the outputs for sound, words and patches are averaged, as the paper takes the mean of these embeddings.
            What only marks or sums up, [aud], [vis] and, with `accumulate_history`, the class tokens, is read but not
            averaged. Table 5 is without class tokens.
        mask_selection: which of SAM2's masks is trained: the one of highest predicted IoU as at inference, the one of
            least loss, or the single-mask token.
        loss_size: resolution of the mask loss: the label's own, or that of the low-resolution logits.
        train_mask_decoder: train SAM2's mask decoder (table 6).
        train_prompt_encoder: train SAM2's prompt encoder (table 6). With a token as prompt only its no-mask embedding
            is ever used.
        presence_head: a linear head on the final [seg] that says whether the clip holds the object at all, trained by
            cross-entropy; where it says no, post-processing empties all masks of the clip. Not in the paper.
        key_frame: "first" as in the paper, or "best": train on a random labelled frame, and at inference prompt every
            frame, keep the one with the highest object probability times predicted IoU, and track both ways from it.
        handoff: "memory": the decoder trained on prompted frames tracks too, as in the paper, although it never saw
            memory in training. "mask": it has a twin that stays as published and tracks; the mask of the prompted frame
            is handed to the twin as if a user had drawn it. The prompt encoder, which both read, then does not train.
        audio_temporal_embedding: learned, zero-initialised time code on audio rows and on the frames' tokens. Without
            it the sound is an unordered set to the fusion. Not in the paper.
        seg_readout: what of the [seg] states of all frames prompts: the last (paper), their mean, or an attention.
        max_frames: frames that a clip is segmented with at a time; also the frames and audio patches that
            `audio_temporal_embedding` has codes for. Further patches are then left out.
        initializer_range: deviation of the truncated normal that fills tokens and fusion blocks.

    ```python
    config = Sam2LoveConfig(presence_head=True)
    model = Sam2LoveModel(config)
    ```
    """

    model_type = "sam2_love"
    sub_configs_defaults = {
        "sam2_config": SubConfigSpec(config_class=AutoConfig, model_type="sam2_video"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="roberta", init_kwargs=DISTILROBERTA),
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="vit"),
        "audio_config": VggishConfig,
    }
    keys_to_ignore_at_inference = ["loss_dict", "prompt_embeddings", "key_frames"]
    loss_weight_fields = {
        "bce_weight": "bce",
        "dice_weight": "dice",
        "object_loss_weight": "object",
        "iou_loss_weight": "iou",
    }
    processor_fields = ("max_text_length",)

    sam2_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    vision_config: dict | PreTrainedConfig | None = None
    audio_config: dict | PreTrainedConfig | None = None
    hidden_size: int = 1024
    num_hidden_layers: int = 6
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    hidden_act: str = "gelu"
    final_layer_norm: bool = True
    projection_size: int = 1024
    num_seg_tokens: int = 1
    learn_modality_tokens: bool = False
    accumulate_history: bool = True
    mask_text_padding: bool = True
    prompt_pooling: str = "seg"
    mask_selection: str = "best_iou"
    loss_size: str = "label"
    train_mask_decoder: bool = True
    train_prompt_encoder: bool = True
    presence_head: bool = False
    key_frame: str = "first"
    handoff: str = "memory"
    audio_temporal_embedding: bool = False
    seg_readout: str = "last"
    max_frames: int = 10
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        if self.sam2_config is None:
            self.sam2_config = hiera_sam2_config("large")
        super().__post_init__(**kwargs)
        check_choices(self, _CHOICES)
        check_heads(self.num_attention_heads, self.hidden_size, "hidden_size")
        check_counts(self, "num_hidden_layers", "num_seg_tokens", "max_frames")


__all__ = ["Sam2LoveConfig"]
