"""Training of low-rank adapters beside the weights of a trained model, which stay (LoRA, Hu et al., ICLR 2022)."""

import re
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
        targets: names of layers, or their endings, such as `q_proj`, or a regular expression for whole names; all
            linear layers when None. Those that the loss does not reach get no adapters either way.
        dropout: share of what goes into adapters that training drops.
        beside: train beside them what the method itself trains.

    Raises:
        ValueError: when one of them is out of its range.
    """

    rank: int = 8
    alpha: float = 16.0
    targets: Sequence[str] | str | None = None
    dropout: float = 0.0
    beside: bool = False

    def __post_init__(self):
        if type(self.rank) is not int or self.rank < 1:
            raise ValueError(f"lora: rank has to be a whole number of at least 1, got {self.rank!r}")
        if type(self.alpha) not in (int, float) or self.alpha <= 0:
            raise ValueError(f"lora: alpha has to be a number above 0, got {self.alpha!r}")
        names = [self.targets] if isinstance(self.targets, str) else self.targets
        named = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
        if self.targets is not None and not (named and self.targets):
            raise ValueError(f"lora: targets takes a list of names of layers, got {self.targets!r}")
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout < 1:
            raise ValueError(f"lora: dropout has to be a number from 0 to below 1, got {self.dropout!r}")
        if type(self.beside) is not bool:
            raise ValueError(f"lora: beside has to be true or false, got {self.beside!r}")


def add_adapters(model: AudioVisualPreTrainedModel, settings: LoraSettings) -> "PeftModel":
    """The model with adapters in training mode; they alone train, or with what the method trains `beside` them.

    Raises:
        ValueError: when `peft` is not installed, when no layer that the loss reaches has such a name, or when single
            parameters of a layer would train beside.
    """
    if find_spec("peft") is None:
        raise ValueError("lora: needs the package peft, which `pip install 'lavseg[lora]'` brings")
    from peft import LoraConfig, get_peft_model

    targets = "all-linear" if settings.targets is None else settings.targets
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        exclude_modules=model.unreached_pattern() or None,
        modules_to_save=_trained_modules(model) if settings.beside else None,
    )
    try:
        return get_peft_model(model, config).train()
    except ValueError as error:
        reason = str(error).splitlines()[0]
        if re.search("not found|were targeted|were excluded", reason):
            reason = "no layer that the loss reaches is called so; names are endings, such as q_proj"
        raise ValueError(f"lora: targets {targets!r}: {reason}") from error


def _trained_modules(model: AudioVisualPreTrainedModel) -> list[str]:
    """Names of modules of which all parameters train, each the largest such one."""
    found = []
    for name, module in model.named_modules():
        parameters = list(module.parameters())
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if name and parameters and not inside and all(parameter.requires_grad for parameter in parameters):
            found.append(name)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    single = [name for name in trained if not any(name.startswith(f"{outer}.") for outer in found)]
    if single:
        raise ValueError(f"lora: beside trains whole layers, {single[0]} is part of one that is frozen otherwise")
    return found
