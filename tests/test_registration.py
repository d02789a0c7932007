import subprocess
import sys

import pytest

CHECK = """
from transformers import AutoConfig, AutoModel
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveProcessor
assert type(AutoConfig.for_model("sam2_love")) is Sam2LoveConfig
assert Sam2LoveConfig in AutoModel._model_mapping
assert PROCESSOR_MAPPING[Sam2LoveConfig] is Sam2LoveProcessor
"""

# Every way to reach the Auto classes, including imports that load them half way through.
IMPORTS = [
    "from transformers import AutoModel",
    "from transformers import AutoConfig",
    "from transformers import AutoProcessor",
    "from transformers import Sam2VideoModel",
    "from transformers import pipeline, Trainer",
    "import transformers.modeling_utils",
    "import transformers.models.auto.processing_auto",
]


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("statement", IMPORTS)
def test_the_auto_classes_know_the_architectures(statement):
    result = run(f"import lavseg\n{statement}\n{CHECK}")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("statement", ["from lavseg import Sam2LoveModel", "import lavseg.models.sam2_love"])
def test_models_import_without_transformers_first(statement):
    result = run(f"{statement}\n{CHECK}")
    assert result.returncode == 0, result.stderr


def test_transformers_may_come_first():
    result = run(f"from transformers import AutoModel\nimport lavseg\n{CHECK}")
    assert result.returncode == 0, result.stderr


def test_importing_the_package_imports_nothing_heavy():
    code = "import lavseg, sys; print({'torch', 'transformers', 'numpy', 'av', 'datasets'} & set(sys.modules))"
    assert run(code).stdout.strip() == "set()"


def test_every_public_name_resolves():
    assert run("import lavseg\nfor name in lavseg.__all__: getattr(lavseg, name)").returncode == 0
    assert "has no attribute" in run("import lavseg; lavseg.nothing").stderr


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
    result = run(code)
    assert result.returncode == 0, result.stderr
