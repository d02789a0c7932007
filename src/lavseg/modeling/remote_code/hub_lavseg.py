"""Hands over to the installed package `lavseg`, which holds the code of this model.

A copy of this file lies in every checkpoint. Transformers runs it where `trust_remote_code=True` allows that and
`lavseg` is not imported yet; importing it makes the Auto classes know the architecture.
"""

from typing import Any

from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, AutoProcessor, PreTrainedConfig

try:
    import lavseg  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "lavseg":
        raise
    raise ImportError(
        "The code of this model is in the Python package lavseg, which is not installed here. "
        "It is not on PyPI: get its repository, install it there with `pip install .`, and load the model again."
    ) from error


class _InstalledClass:
    @classmethod
    def register_for_auto_class(cls, auto_class: str | None = None) -> None:
        """Nothing to do: what is loaded is of the package's own class, whose code is not copied when it is saved."""


class Config(_InstalledClass, AutoConfig):
    """The configuration that the package registers for this architecture."""

    @classmethod
    def from_pretrained(cls, name: str, **kwargs: Any) -> PreTrainedConfig:
        """As in Transformers.

        Raises:
            ImportError: for a method that neither the package nor one with a method of its own knows.
        """
        method = PreTrainedConfig.get_config_dict(name, **kwargs)[0].get("model_type")
        if method not in CONFIG_MAPPING:
            raise ImportError(
                f"The method of this model, {method!r}, is not in the Python package lavseg that is installed here. "
                "Install the package that it is from, or import its module first, and load the model again."
            )
        return super().from_pretrained(name, **kwargs)


class Model(_InstalledClass, AutoModel):
    """The model that the package registers for this architecture."""


class Processor(_InstalledClass, AutoProcessor):
    """The processor that the package registers for this architecture."""
