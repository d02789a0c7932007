"""Configuration of ST-BAVA."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig, SamConfig

from ...backbones.sam.configuration_sam import vit_sam_config, with_original_norms
from ...backbones.vggish import VggishConfig
from ...modeling.configuration import AudioVisualConfig
from ...modeling.inputs import check_choices, check_heads

_CHOICES = {
    "fusion": ("st_bava", "none", "tpavi", "han", "cmran", "jca"),
    "order": ("temporal_first", "spatial_first"),
    "spatial_mode": ("release", "gate"),
    "mask_reduce": ("sum", "best_iou", "single"),
}


@strict
class StBavaConfig(AudioVisualConfig):
    """Configuration of [`StBavaModel`]. The defaults are the released code's for AVSBench S4 (Seon et al., "Extending
    Segment Anything Model into Auditory and Temporal Dimensions for Audio-Visual Segmentation", ICIP 2024).

    Args:
        sam_config: the host, a `SamConfig`; ViT-H. Its decoder's LayerNorms are set to the 1e-5 they were trained with.
        audio_config: VGGish with its final ReLU.
        fusion: what stands between SAM's encoder and decoder (table 2). "st_bava", or a compared module: "tpavi",
            "han", "cmran", "jca"; their internals are their papers', the way in and out of SAM is this package's, as no
            code was published. "none" leaves the sound to the adapters and SAM's decoder unprompted.
        num_fusion_layers: blocks of ST-BAVA, 5 for S4 and 7 for MS3.
        num_attention_heads: heads of ST-BAVA's attentions.
        attention_dropout: dropout of the attention weights, in training.
        temporal_attention: attend over time; without it only over positions (table 3).
        bidirectional: update sound and image; False leaves only the attentions that update the image (table 3).
        order: which attention comes first in a block; the paper finds no difference.
        spatial_mode: "release": the spatial attention that updates the sound has one key, so its softmax is 1
            everywhere and it does not see the image, and the one that updates the image adds one vector to all
            positions. "gate": sound pools the image by content, and each position of the image takes in the sound
            through a sigmoid of its own agreement with it. Same parameters; not in the paper.
        share_directions: one attention for both directions, as released, or one each.
        use_adapters: audio adapters in SAM's encoder (Eq. 3, table 3).
        adapter_size: hidden width of the adapters.
        train_fusion: train the fusion and the projection of the sound. False is what the released script of the joint
            stage does.
        train_adapters: train the adapters.
        train_mask_decoder: train SAM's mask decoder.
        mask_reduce: "sum" of the three masks' logits as released, the one of highest predicted IoU ("best_iou"), or
            SAM's "single" mask. Under "sum" the IoU head gets no gradient: distributed training has to look for unused
            parameters.
        jca_num_frames: frames a clip has under "jca", whose weights depend on it.

    ```python
    config = StBavaConfig(spatial_mode="gate")
    model = StBavaModel(config)
    ```
    """

    model_type = "st_bava"
    sub_configs_defaults = {"sam_config": SamConfig, "audio_config": VggishConfig}
    keys_to_ignore_at_inference = [
        "loss_dict",
        "audio_attentions",
        "vision_attentions",
        "before_attentions",
        "after_attentions",
    ]
    loss_weight_fields = {"iou_loss_weight": "iou"}

    sam_config: dict | PreTrainedConfig | None = None
    audio_config: dict | PreTrainedConfig | None = None
    fusion: str = "st_bava"
    num_fusion_layers: int = 5
    num_attention_heads: int = 8
    attention_dropout: float = 0.1
    temporal_attention: bool = True
    bidirectional: bool = True
    order: str = "temporal_first"
    spatial_mode: str = "release"
    share_directions: bool = True
    use_adapters: bool = True
    adapter_size: int = 512
    train_fusion: bool = True
    train_adapters: bool = True
    train_mask_decoder: bool = True
    mask_reduce: str = "sum"
    jca_num_frames: int = 5

    def __post_init__(self, **kwargs):
        if self.sam_config is None:
            self.sam_config = vit_sam_config("huge")
        super().__post_init__(**kwargs)
        self.sam_config = with_original_norms(self.sam_config)
        check_choices(self, _CHOICES)
        if self.fusion == "none" and not self.use_adapters:
            raise ValueError("use_adapters: with fusion='none' the adapters alone carry the sound, they cannot be off")
        check_heads(self.num_attention_heads, self.hidden_size, "SAM's width")

    @property
    def hidden_size(self) -> int:
        """Width of the fusion, which is that of SAM's image embeddings."""
        return self.sam_config.mask_decoder_config.hidden_size


__all__ = ["StBavaConfig"]
