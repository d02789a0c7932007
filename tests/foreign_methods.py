"""Methods that are registered for the length of a test, in packages that lie in its folder."""

import sys
from contextlib import contextmanager

from transformers import CONFIG_MAPPING, MODEL_MAPPING
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from lavseg import auto

REGISTERS = (CONFIG_MAPPING, MODEL_MAPPING, PROCESSOR_MAPPING)


@contextmanager
def importable(folder):
    """The modules in `folder` can be imported; afterwards they, and the methods that they registered, are gone."""
    modules, methods, registers = set(sys.modules), list(auto.METHODS), [dict(r._extra_content) for r in REGISTERS]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                del sys.modules[name]
        auto.METHODS[:] = methods
        for register, before in zip(REGISTERS, registers, strict=True):
            register._extra_content.clear()
            register._extra_content.update(before)


def write_entry_points(folder, entries):
    """Let `folder` hold the metadata of an installed package with entry points for methods, by name."""
    info = folder / "foreign-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    lines = [f"{name} = {module}" for name, module in entries.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{auto.ENTRY_POINTS}]", *lines]))
