"""Which of a method's architectures is trained, and the classes that one names."""

from collections.abc import Sequence
from typing import Any

from .. import auto
from ..data.layouts import class_names
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.configuration import AudioVisualConfig


def chosen_architecture(
    asked: str | None, config: AudioVisualConfig, default: type[AudioVisualPreTrainedModel]
) -> type[AudioVisualPreTrainedModel]:
    """The class of the model that is asked for, or else the one that `config` is of.

    Raises:
        ValueError: when the method has no such class.
    """
    known = {default.__name__: default, **auto.architectures(type(config))}
    if asked is None:
        return next((known[name] for name in config.architectures or () if name in known), default)
    if asked not in known:
        raise ValueError(f"architecture: got {asked!r}, {config.model_type} has {', '.join(known)}")
    return known[asked]


def with_class_names(
    model_class: type[AudioVisualPreTrainedModel], fields: dict[str, Any], dataset: str, subsets: Sequence[str]
) -> dict[str, Any]:
    """Fields of a configuration with the data set's classes, where a model names classes and these do not say which.

    Raises:
        ValueError: when the data set's masks say no classes.
    """
    if not model_class.names_classes or {"id2label", "num_classes"} & fields.keys():
        return fields
    names = class_names(dataset, subsets)
    if not names:
        data = " ".join([dataset, *subsets])
        raise ValueError(f"architecture: {model_class.__name__} names classes, the masks of {data} do not say them")
    return {**fields, "id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}
