"""Configuration of SAMA-AVS."""

from huggingface_hub.dataclasses import strict
from transformers import SamConfig

from ...backbones.adapted_sam.configuration_adapted_sam import AdapterConfig, check_adapter_size
from ...backbones.sam.configuration_sam import vit_sam_config
from ...backbones.sam2.configuration_sam2 import SENTENCE_HEADS


@strict
class SamaAvsConfig(AdapterConfig):
    """Configuration of [`SamaAvsModel`]. The defaults are the released code's (Liu et al., "Annotation-free
    Audio-Visual Segmentation", WACV 2024).

    Args:
        sam_config: the host: a `SamConfig` (ViT-H), whose decoder's LayerNorms are set to the 1e-5 they were trained
            with; or a `Sam2VideoConfig`, for the variant of AuralSAM2's supplement 6.5 (Hiera-B+ there).
        audio_config: VGGish with its final ReLU.
        text_config: text encoder, any with `last_hidden_state`; DistilRoBERTa with `use_text`.
        use_text: SAM2 only: read a sentence (Ref-AVS). The hidden layer of each adapter attends to it; in the
            supplement the adapters' outputs do.
        adapter_size: hidden width of the adapters; a multiple of 8 with `use_text`.
        use_adapters: audio adapters in the image encoder; without them the masks do not depend on the sound.
        train_adapters: train the adapters.
        train_mask_decoder: train the mask decoder and the no-mask embedding.
        random_position_code: SAM only: `from_backbones` keeps a random position code and no-mask embedding instead of
            SAM's, as happened in the release, whose names for them differ from SAM's file.
        conditioning_frame: SAM2 only: the frame that is segmented first, without memory, at inference: "first" or
            "middle". None is the middle with text, the first without; in training it is always the middle one.
        mask_loss: "original", cross-entropy and soft IoU, or "sam2", SAM2's own with weights 20, 1, 1, 1, a mean over
            labelled frames. None is that of the host; the supplement does not say.

    ```python
    config = SamaAvsConfig(adapter_size=256)
    model = SamaAvsModel(config)
    ```
    """

    model_type = "sama_avs"

    adapter_size: int = 512
    use_adapters: bool = True
    random_position_code: bool = False

    def __post_init__(self, **kwargs):
        if self.sam_config is None:
            self.sam_config = vit_sam_config("huge")
        super().__post_init__(**kwargs)
        if self.random_position_code and not isinstance(self.sam_config, SamConfig):
            raise ValueError("random_position_code: what happened in the release on SAM; leave it out on SAM2")
        if self.use_text and not self.use_adapters:
            raise ValueError("use_text: the adapters read the sentence, so use_adapters cannot be off")
        check_adapter_size(self, SENTENCE_HEADS)


__all__ = ["SamaAvsConfig"]
