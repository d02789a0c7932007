"""What the configurations of the adapter baselines have in common: the host is SAM or SAM2."""

from typing import ClassVar

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig, Sam2VideoConfig
from transformers.configuration_utils import SubConfigSpec

from ...modeling.configuration import DISTILROBERTA, OptionalTextConfig
from ...modeling.inputs import check_choices, check_counts
from ..sam.configuration_sam import with_original_norms
from ..vggish import VggishConfig


@strict
class AdapterConfig(OptionalTextConfig):
    """Base configuration of the adapter baselines. The type of `sam_config` says which host they are on.

    On SAM they are the published methods. On SAM2 they are what AuralSAM2 compares with (supplement 6.5): a clip is
    tracked with SAM2's memory, and a model that reads (`use_text`) lets its adapters attend to the sentence. What that
    supplement leaves open is said at each field. Two things differ from it or from AuralSAM2's own training: here the
    adapters' hidden layer attends to the sentence, where the supplement lets their outputs do so; and "sam2" as
    `mask_loss` is a mean over labelled frames, on the predicted IoU of all three masks, where AuralSAM2 sums over them.

    ```python
    class SamaAvsConfig(AdapterConfig):
        model_type = "sama_avs"
    ```

    Args:
        sam_config: a `SamConfig` or a `Sam2VideoConfig`; SAM's defaults when None.
        audio_config: a [`VggishConfig`]; its defaults when None.
        text_config: configuration of the text encoder, with `use_text` only; distilroberta-base when None.
        use_text: let the adapters attend to a sentence. On SAM for methods that say so with `reads_on_sam`.
        train_adapters: whether the adapters train.
        train_mask_decoder: whether the host's mask decoder trains.
        conditioning_frame: the frame that is segmented first, without memory, "first" or "middle". SAM2 only; "middle"
            with `use_text` and "first" otherwise when None. In training it is the middle one.
        mask_loss: "original", as the method was published, or "sam2", SAM2's loss. When None the host decides: "sam2"
            on SAM2, "original" on SAM, which takes no other.

    Raises:
        ValueError: for another value, or for what needs SAM2 on SAM.
    """

    sub_configs_defaults = {
        "sam_config": SubConfigSpec(config_class=AutoConfig, model_type="sam"),
        "audio_config": VggishConfig,
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="roberta", optional=True),
    }
    keys_to_ignore_at_inference = ["loss_dict"]
    processor_fields = ("max_text_length",)
    reads_on_sam: ClassVar[bool] = False

    sam_config: dict | PreTrainedConfig | None = None
    audio_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    train_adapters: bool = True
    train_mask_decoder: bool = True
    conditioning_frame: str | None = None
    mask_loss: str | None = None

    def __post_init__(self, **kwargs):
        if self.use_text and self.text_config is None:
            self.text_config = {"model_type": "roberta", **DISTILROBERTA}
        super().__post_init__(**kwargs)
        if isinstance(self.sam_config, Sam2VideoConfig):
            self.conditioning_frame = self.conditioning_frame or ("middle" if self.use_text else "first")
            check_choices(self, {"conditioning_frame": ("first", "middle")})
            self.mask_loss = self.mask_loss or "sam2"
        else:
            self._refuse_what_needs_sam2()
            self.sam_config = with_original_norms(self.sam_config)
            self.mask_loss = self.mask_loss or "original"
        check_choices(self, {"mask_loss": ("original", "sam2")})

    def _refuse_what_needs_sam2(self) -> None:
        if self.use_text and not self.reads_on_sam:
            raise ValueError("use_text: sentences are read on a SAM2 host only, give a Sam2VideoConfig as sam_config")
        if self.conditioning_frame is not None:
            raise ValueError("conditioning_frame: SAM has no memory, every frame stands alone; leave it out")
        if self.mask_loss == "sam2":
            raise ValueError("mask_loss: 'sam2' teaches an object score, which SAM does not have; take 'original'")


def check_adapter_size(config: AdapterConfig, heads: int) -> None:
    """Compare the `adapter_size` of a configuration with the heads that share it where adapters read.

    Args:
        heads: of their attention to words.

    Raises:
        ValueError: when it is below 1, or no multiple of `heads` with `use_text`.
    """
    check_counts(config, "adapter_size")
    size = config.adapter_size
    if config.use_text and size % heads:
        raise ValueError(
            f"adapter_size: {size} was given, with use_text it has to be a multiple of {heads}, the heads that read"
        )
