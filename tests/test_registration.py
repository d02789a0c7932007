"""The Auto classes and pipelines know this package however it and Transformers are imported."""

import pytest

from foreign_methods import write_entry_points
from fresh_interpreters import run_each

KNOWN = """
from transformers import AutoConfig, AutoModel
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveProcessor
assert type(AutoConfig.for_model("sam2_love")) is Sam2LoveConfig
assert Sam2LoveConfig in AutoModel._model_mapping
assert PROCESSOR_MAPPING[Sam2LoveConfig] is Sam2LoveProcessor
"""
TASK_KNOWN = """
from transformers.pipelines import check_task
assert check_task("audio-visual-segmentation")[1]["impl"].__name__ == "AudioVisualSegmentationPipeline"
"""
# Every way to reach the Auto classes, including imports that load them half way through.
ORDERS = [
    f"{statement}\n{KNOWN}"
    for statement in (
        "import lavseg; from transformers import AutoModel",
        "import lavseg; from transformers import AutoConfig",
        "import lavseg; from transformers import AutoProcessor",
        "import lavseg; from transformers import Sam2VideoModel",
        "import lavseg; from transformers import pipeline, Trainer",
        "import lavseg; import transformers.modeling_utils",
        "import lavseg; import transformers.models.auto.processing_auto",
        "from lavseg import Sam2LoveModel",
        "import lavseg.models.sam2_love",
        "from transformers import AutoModel; import lavseg",
    )
]
TASK_ORDERS = [
    f"{statement}\n{TASK_KNOWN}"
    for statement in (
        "import lavseg; from transformers import pipeline",
        "from transformers import pipeline; import lavseg",
    )
]
# Of a package with an entry point, reached through the Auto classes or first of all.
FOREIGN = """
import sys
sys.path.insert(0, {folder!r})
{statement}
from transformers import AutoConfig
assert type(AutoConfig.for_model("foreign_gavs")).__module__ == "foreign_gavs"
"""
FOREIGN_MODULE = """
import lavseg
from lavseg import GavsConfig, GavsModel, GavsProcessor
class Config(GavsConfig):
    model_type = "foreign_gavs"
class Model(GavsModel):
    config_class = Config
lavseg.register_method(Config, Model, GavsProcessor)
"""
NO_PIPELINES = """
import sys
import lavseg
from transformers import AutoModel
assert "transformers.pipelines" not in sys.modules
"""
PUBLIC_NAMES = """
import lavseg
for name in lavseg.__all__:
    getattr(lavseg, name)
try:
    lavseg.nothing
except AttributeError as error:
    assert "has no attribute 'nothing'" in str(error)
else:
    raise AssertionError("lavseg.nothing is there")
"""


def test_registration_works_in_the_usual_orders_of_imports():
    done = run_each(TASK_ORDERS[1], PUBLIC_NAMES, preload="datasets, torch, torchvision")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_registration_works_in_every_order_of_imports(tmp_path):
    (tmp_path / "foreign_gavs.py").write_text(FOREIGN_MODULE)
    write_entry_points(tmp_path, {"foreign": "foreign_gavs"})
    statements = ("import lavseg", "import foreign_gavs", "from transformers import AutoModel; import foreign_gavs")
    foreign = [FOREIGN.format(folder=str(tmp_path), statement=statement) for statement in statements]
    done = run_each(*ORDERS, *TASK_ORDERS[:1], NO_PIPELINES, *foreign, preload="datasets, torch, torchvision")
    assert done.returncode == 0, done.stderr


def test_a_case_that_fails_is_seen():
    done = run_each("print(1)", "import sys; assert 'lavseg' in sys.modules", "print(3)", preload="json")
    assert done.returncode == 1 and "AssertionError" in done.stderr and done.stdout.split() == ["1", "3"]


def test_importing_the_package_imports_nothing_heavy():
    code = "import lavseg, sys; print({'torch', 'transformers', 'numpy', 'av', 'datasets'} & set(sys.modules))"
    assert run_each(code, preload="json").stdout.strip() == "set()"


def test_other_finders_are_asked_modules_keep_their_loaders_and_the_watcher_leaves():
    code = """
import sys
asked = []
class Finder:
    def find_spec(name, path, target=None):
        asked.append(name)
sys.meta_path.insert(0, Finder)
before = list(sys.meta_path)
import lavseg
from transformers import pipeline
import transformers.models.auto.configuration_auto as module
assert "transformers.models.auto.configuration_auto" in asked and "lavseg.auto" in asked
assert type(module.__loader__).__name__ == type(module.__spec__.loader).__name__ == "SourceFileLoader"
assert not any(type(finder).__module__ == "lavseg.registration" for finder in sys.meta_path)
assert sys.meta_path[: len(before)] == before
"""
    done = run_each(code, preload="json")
    assert done.returncode == 0, done.stderr
