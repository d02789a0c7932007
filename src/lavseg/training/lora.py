"""Training of low-rank adapters beside the weights of a trained model, which stay (LoRA, Hu et al., ICLR 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..modeling.base import AudioVisualPreTrainedModel

if TYPE_CHECKING:
    from peft import PeftModel


@dataclass(frozen=True)
class LoraSettings:
    """What adapters are added.

    Args:
        rank: of the product of two matrices that is added to a weight.
        alpha: that product is scaled by `alpha / rank`.
        targets: names of layers, or their endings, such as `q_proj`; all linear layers that the loss reaches when
            None.

    Raises:
        ValueError: when one of them is out of its range.
    """

    rank: int = 8
    alpha: float = 16.0
    targets: Sequence[str] | None = None

    def __post_init__(self):
        if type(self.rank) is not int or self.rank < 1:
            raise ValueError(f"lora: rank has to be a whole number of at least 1, got {self.rank!r}")
        if type(self.alpha) not in (int, float) or self.alpha <= 0:
            raise ValueError(f"lora: alpha has to be a number above 0, got {self.alpha!r}")
        named = isinstance(self.targets, list | tuple) and all(isinstance(name, str) for name in self.targets)
        if self.targets is not None and not (named and self.targets):
            raise ValueError(f"lora: targets takes a list of names of layers, got {self.targets!r}")


def add_adapters(model: AudioVisualPreTrainedModel, settings: LoraSettings) -> "PeftModel":
    """The model with adapters, which alone train, in training mode.

    Raises:
        ValueError: when `peft` is not installed, when no layer has such a name, or when the loss reaches none of a part
            that is named.
    """
    if find_spec("peft") is None:
        raise ValueError("lora: needs the package peft, which `pip install 'lavseg[lora]'` brings")
    from peft import LoraConfig, get_peft_model

    left_out = model.unreached_pattern() or None if settings.targets is None else None
    targets = "all-linear" if settings.targets is None else list(settings.targets)
    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=targets, exclude_modules=left_out)
    try:
        return get_peft_model(model, config).train()
    except ValueError as error:
        raise ValueError(f"lora: {str(error).splitlines()[0]}") from error
