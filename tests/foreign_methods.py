"""Methods that are registered for the length of a test, in packages that lie in its folder."""

import sys
from contextlib import contextmanager
from importlib import import_module

import transformers.dynamic_module_utils
from tiny.configurations import tiny_config
from transformers import CONFIG_MAPPING, MODEL_MAPPING
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from lavseg import GavsConfig, auto

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


OWN_CODE = """
from lavseg import GavsConfig, GavsModel, GavsProcessor
class OwnConfig(GavsConfig):
    model_type = "own_gavs"
class OwnModel(GavsModel):
    config_class = OwnConfig
class OwnProcessor(GavsProcessor):
    pass
for part, name in ((OwnConfig, "AutoConfig"), (OwnModel, "AutoModel"), (OwnProcessor, "AutoProcessor")):
    part.register_for_auto_class(name)
"""


@contextmanager
def checkpoint_with_code(folder, monkeypatch):
    """A checkpoint whose code, `own_gavs.py`, lies in it and nowhere else."""
    modules = folder / "modules"
    modules.mkdir()
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(modules))
    (folder / "source").mkdir()
    (folder / "source" / "own_gavs.py").write_text(OWN_CODE)
    with importable(folder / "source"):
        own = import_module("own_gavs")
        config = own.OwnConfig.from_dict(tiny_config(GavsConfig).to_dict() | {"model_type": "own_gavs"})
        own.OwnModel(config).save_pretrained(folder / "checkpoint")
        own.OwnProcessor.from_config(config).save_pretrained(folder / "checkpoint")
    with importable(modules):
        yield folder / "checkpoint"
