"""Registers the architectures with Transformers without importing anything heavy before it is used."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

# Modules of Transformers that keep a register, and the module here whose `register()` enters this package's classes.
_REGISTERS = {
    "transformers.models.auto.configuration_auto": "auto",
    "transformers.pipelines": "inference.pipeline",
}


class _RegisterWithTransformers(MetaPathFinder):
    """Watches the imports of Transformers and of this package, and registers as soon as a register is there.

    Registration imports both itself, so it waits until no module of theirs is half imported.
    """

    def __init__(self):
        self._importing = 0
        self._pending = dict(_REGISTERS)

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
        self.register()

    def register(self) -> None:
        """Register with what is imported by now, and stop watching once nothing is left."""
        while not self._importing and (ready := self._pending.keys() & sys.modules.keys()):
            registrar = self._pending.pop(min(ready))
            self._importing += 1
            try:
                import_module(f".{registrar}", __package__).register()
            finally:
                self._importing -= 1
        if not self._pending and self in sys.meta_path:
            sys.meta_path.remove(self)


def register_with_transformers() -> None:
    """Register now where Transformers' registers are already imported, else the moment they are."""
    watcher = _RegisterWithTransformers()
    sys.meta_path.insert(0, watcher)
    watcher.register()
