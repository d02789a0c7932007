"""Registers the architectures with Transformers' Auto classes without importing anything heavy before they are used."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_AUTO_CLASSES = "transformers.models.auto.configuration_auto"


class _RegisterWithTransformers(MetaPathFinder):
    """Watches the imports of Transformers and of this package, and registers as soon as the Auto classes are there.

    Registration imports both itself, so it waits until no module of theirs is half imported.
    """

    def __init__(self):
        self._importing = 0

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(("transformers.", "lavseg.")):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module
            spec.loader.exec_module = lambda module: self._execute(execute, module)
        return spec

    def _execute(self, execute, module: ModuleType) -> None:  # noqa: ANN001
        self._importing += 1
        try:
            execute(module)
        finally:
            self._importing -= 1
        if not self._importing and _AUTO_CLASSES in sys.modules and self in sys.meta_path:
            sys.meta_path.remove(self)
            _register()


def _register() -> None:
    from .auto import register

    register()


def register_with_transformers() -> None:
    """Register now if the Auto classes are already imported, else the moment they are."""
    if _AUTO_CLASSES in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _RegisterWithTransformers())
