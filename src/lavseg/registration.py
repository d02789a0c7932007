"""Registers the architectures with Transformers without importing anything heavy before it is used."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Modules of Transformers that keep a register, and the module here whose `register()` enters this package's classes.
_REGISTERS = {
    "transformers.models.auto.configuration_auto": "auto",
    "transformers.pipelines": "inference.pipeline",
}


class _RegisterWithTransformers(MetaPathFinder):
    """Watches the imports of Transformers and of this package, and registers as soon as a register is there.

    Registration imports both itself, so it waits until no module of theirs is half imported. Modules are found and
    loaded by the finders and loaders that would do it without this one, which leaves once both registers are filled.
    """

    def __init__(self):
        self._importing = 0
        self._pending = dict(_REGISTERS)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(("transformers.", "lavseg.")):
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _WatchedLoader(spec.loader, self)
        return spec

    def execute(self, loader: Loader, module: ModuleType) -> None:
        """Let `loader` execute a module, then register if that was the last one half imported."""
        self._importing += 1
        try:
            loader.exec_module(module)
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


class _WatchedLoader(Loader):
    """Stands in for a module's loader until the module is executed."""

    def __init__(self, loader: Loader, watcher: _RegisterWithTransformers):
        self._loader = loader
        self._watcher = watcher

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__.loader = module.__loader__ = self._loader
        self._watcher.execute(self._loader, module)


def register_with_transformers() -> None:
    """Register now where Transformers' registers are already imported, else the moment they are."""
    watcher = _RegisterWithTransformers()
    sys.meta_path.insert(0, watcher)
    watcher.register()
