"""What the configurations of all methods have in common."""

import warnings
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .inputs import check_keys

# Of `RobertaConfig`: distilroberta-base.
DISTILROBERTA = {
    "vocab_size": 50265,
    "num_hidden_layers": 6,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
}


# Characters of a notice, which is shown as one line.
_LONGEST_NOTICE = 300


@strict
class AudioVisualConfig(PreTrainedConfig):
    """Base configuration of the methods.

    ```python
    @strict
    class MyConfig(AudioVisualConfig):
        model_type = "my_method"
        hidden_size: int = 256
    ```

    Weights of loss terms and settings of the processor once were fields of configurations. Files that hold them are
    read with one DeprecationWarning and written without them. A model made from such a file starts with its loss
    weights; the settings of the processor are in the `processor_config.json` beside it.

    Args:
        notice: what whoever uses the checkpoint has to know before anything else, one line that the commands, the
            pipeline, the web app and the model card show; a checkpoint without needs none. It stays when the model is
            trained further; `--set model.notice=null` takes it away.

    Raises:
        ValueError: for a notice that is no printable line, or a long one.
    """

    # What these fields were: by name the loss term that each one weighs, names of settings of the processor, and others
    # that the method's own configuration reads.
    loss_weight_fields: ClassVar[dict[str, str]] = {}
    processor_fields: ClassVar[tuple[str, ...]] = ()
    former_fields: ClassVar[tuple[str, ...]] = ()

    notice: str | None = None

    def __post_init__(self, **kwargs):
        weights = {name: kwargs.pop(name) for name in self.loss_weight_fields if name in kwargs}
        settings = {name: kwargs.pop(name) for name in self.processor_fields if name in kwargs}
        self.former_loss_weights = {self.loss_weight_fields[name]: value for name, value in weights.items()}
        super().__post_init__(**kwargs)
        notice = self.notice or ""
        if not notice.isprintable() or len(notice) > _LONGEST_NOTICE:
            raise ValueError(f"notice: has to be one line of at most {_LONGEST_NOTICE} characters, got {notice!r:.80}")
        if not weights and not settings:
            return
        message = f"{', '.join([*weights, *settings])}: no longer fields of {type(self).__name__}; save it anew"
        if weights:
            message += f"; LavsegTrainingArguments takes loss_weights={self.former_loss_weights}"
        if settings:
            message += f"; {', '.join(settings)} of the processor"
        warnings.warn(message, DeprecationWarning, stacklevel=2)

    def to_dict(self) -> dict[str, Any]:
        """As in Transformers; without what an older file said about the loss, and without a notice if there is none."""
        fields = super().to_dict()
        fields.pop("former_loss_weights", None)
        if self.notice is None:
            fields.pop("notice", None)
        return fields


@strict
class OptionalTextConfig(AudioVisualConfig):
    """Base configuration of the methods that read a sentence or do without, see [`OptionalTextMixin`].

    Args:
        use_text: read a sentence.
    """

    use_text: bool = False


def changed_fields(config: PreTrainedConfig, values: Mapping[str, Any], source: str = "model") -> dict[str, Any]:
    """The fields of `config` with other values of some; for a field that is a configuration itself, a mapping of those
    that differ in it.

    Args:
        source: what `values` were given as, for messages.

    Raises:
        ValueError: when a configuration inside `config` does not have a field.
    """
    changed = config.to_dict()
    for name, value in values.items():
        inner = getattr(config, name, None)
        if isinstance(inner, PreTrainedConfig) and isinstance(value, Mapping):
            within = f"{source}.{name}"
            check_keys(f"{within}, fields of {type(inner).__name__}", value, {item.name for item in fields(inner)})
            value = changed_fields(inner, value, within)
        changed[name] = value
    return changed


def differing_fields(config: PreTrainedConfig, values: Mapping[str, Any]) -> list[str]:
    """Which of `values`, as [`changed_fields`] takes them, are not those of `config`: `name=value (its own there)`."""
    differing = []
    for name, value in values.items():
        own = getattr(config, name, None)
        if isinstance(own, PreTrainedConfig) and isinstance(value, Mapping):
            differing += [f"{name}.{inner}" for inner in differing_fields(own, value)]
        elif own != value:
            differing.append(f"{name}={value} ({own} there)")
    return differing


def forget_precision(config: PreTrainedConfig) -> None:
    """Encoders are built in the precision of the model around them. Their configurations name the one that they were
    saved in, which would win for those that are two levels deep."""
    for part in (value for value in vars(config).values() if isinstance(value, PreTrainedConfig)):
        part.dtype = None
        forget_precision(part)
