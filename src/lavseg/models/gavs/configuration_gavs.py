"""Configuration of GAVS."""

from huggingface_hub.dataclasses import strict
from transformers import SamConfig

from ...backbones.adapted_sam.configuration_adapted_sam import AdapterConfig, check_adapter_size
from ...backbones.sam.configuration_sam import vit_sam_config
from ...modeling.inputs import check_choices

# With which an adapter attends to words.
SENTENCE_HEADS = 4


@strict
class GavsConfig(AdapterConfig):
    """Configuration of [`GavsModel`]. The defaults are what the released code does where it does what the paper says
    (Wang et al., "Prompting Segmentation with Sound Is Generalizable Audio-Visual Source Localizer", AAAI 2024).

    Not in the release, and so not here: the paper's visual cue in the audio prompt, and its triplet loss.

    Args:
        sam_config: the host: a `SamConfig` (ViT-B), whose decoder's LayerNorms are set to the 1e-5 they were trained
            with; or a `Sam2VideoConfig`, for the variant of AuralSAM2's supplement 6.5 (Hiera-B+ there).
        audio_config: VGGish; on SAM without its final ReLU, as in the features of the release, on SAM2 with it, as
            AuralSAM2 has it.
        text_config: text encoder, any with `last_hidden_state`; DistilRoBERTa with `use_text`.
        use_text: read a sentence (Ref-AVS). The bottleneck of each adapter attends to it; in AuralSAM2's supplement,
            for SAM2, the adapters' outputs do. How GAVS reads on SAM in SAM2-LOVE's table 1 is not published.
        adapter_size: bottleneck of the adapters; a multiple of 4 with `use_text`.
        first_adapted_block: image encoder blocks from this index on carry an adapter; the LayerNorms of those after it
            train too.
        prompt_size: hidden width of the MLP that turns the sound into a prompt token. The supplement can be read to
            mean adapters that take the sound too; it gives no formula, and there are none here.
        train_adapters: train the adapters, these LayerNorms and that MLP.
        train_mask_decoder: train the mask decoder itself, which only its adapters change in the release.
        audio_noise: what training does to the sound's embedding: "none"; "add" a tenth of its deviation as Gaussian
            noise; or "replace" it by noise of its deviation, as released, so that the prompt carries no sound in
            training and does in evaluation.
        conditioning_frame: SAM2 only: the frame that is segmented first, without memory, at inference: "first" or
            "middle". None is the middle with text, the first without; in training it is always the middle one.
        mask_loss: "original", cross-entropy, or "sam2", SAM2's own with weights 20, 1, 1, 1, a mean over labelled
            frames. None is that of the host; the supplement does not say.

    ```python
    config = GavsConfig(adapter_size=64)
    model = GavsModel(config)
    ```
    """

    model_type = "gavs"
    processor_fields = ("max_text_length", "bgr_frames", "pad_frames")
    reads_on_sam = True

    adapter_size: int = 128
    first_adapted_block: int = 9
    prompt_size: int = 512
    train_mask_decoder: bool = False
    audio_noise: str = "none"

    def __post_init__(self, **kwargs):
        if self.sam_config is None:
            self.sam_config = vit_sam_config("base")
        audio_is_open = self.audio_config is None
        super().__post_init__(**kwargs)
        if audio_is_open and isinstance(self.sam_config, SamConfig):
            self.audio_config.final_relu = False
        check_choices(self, {"audio_noise": ("none", "add", "replace")})
        check_adapter_size(self, SENTENCE_HEADS)


__all__ = ["GavsConfig"]
