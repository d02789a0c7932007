"""Hands over to the installed package `lavseg`, which holds the code of this model.

A copy of this file lies in every checkpoint. Transformers runs it where `trust_remote_code=True` allows that and
`lavseg` is not imported yet; importing it makes the Auto classes know the architecture.
"""

from transformers import AutoConfig, AutoModel, AutoProcessor

try:
    import lavseg  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "lavseg":
        raise
    raise ImportError(
        "The code of this model is in the Python package lavseg, which is not installed here. "
        "Install it with `pip install lavseg` and load the model again."
    ) from error


class _InstalledClass:
    @classmethod
    def register_for_auto_class(cls, auto_class: str | None = None) -> None:
        """Nothing to do: what is loaded is of the package's own class, whose code is not copied when it is saved."""


class Config(_InstalledClass, AutoConfig):
    """The configuration that the package registers for this architecture."""


class Model(_InstalledClass, AutoModel):
    """The model that the package registers for this architecture."""


class Processor(_InstalledClass, AutoProcessor):
    """The processor that the package registers for this architecture."""
