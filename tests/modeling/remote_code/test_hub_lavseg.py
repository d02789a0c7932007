"""A checkpoint brings the code by which the Auto classes find this package."""

import json

import pytest
from transformers import AutoModel, AutoProcessor

from fresh_interpreters import run_each
from lavseg.modeling.remote_code import AUTO_MAP, STUB
from lavseg.models.sama_avs import SamaAvsModel, SamaAvsProcessor

LOAD = """
import sys
from transformers import AutoModel, AutoProcessor
assert "lavseg" not in sys.modules
processor = AutoProcessor.from_pretrained({name!r}, trust_remote_code=True)
model = AutoModel.from_pretrained({name!r}, trust_remote_code=True)
print(type(processor).__module__, type(model).__module__, type(model.config).__module__)
"""
SAVE = """
model.save_pretrained({folder!r})
processor.save_pretrained({folder!r})
"""
HIDDEN = """
import sys
sys.modules["lavseg"] = None
from transformers import AutoModel
AutoModel.from_pretrained({name!r}, trust_remote_code=True)
"""
OF_ANOTHER_PACKAGE = """
from transformers import AutoModel
AutoModel.from_pretrained({name!r}, trust_remote_code=True)
"""
CLASSES = " ".join(f"lavseg.models.sam2_love.{role}_sam2_love" for role in ("processing", "modeling", "configuration"))


@pytest.mark.slow
def test_a_checkpoint_loads_without_importing_the_package_and_can_be_saved_again(saved_sam2_love, tmp_path):
    again, name = tmp_path / "again", str(saved_sam2_love)
    load = LOAD.format(name=name) + SAVE.format(folder=str(again))
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / STUB.name).write_text(STUB.read_text())
    (foreign / "config.json").write_text(json.dumps({"model_type": "not_there", "auto_map": AUTO_MAP}))
    codes = (load, HIDDEN.format(name=name), OF_ANOTHER_PACKAGE.format(name=str(foreign)))
    done = run_each(*codes, HF_HOME=str(tmp_path / "hf"), HF_MODULES_CACHE=str(tmp_path / "modules"))
    assert done.stdout.strip() == CLASSES, done.stderr
    # Without the package the error says how to install it.
    assert done.returncode == 1 and "install it there with `pip install .`" in done.stderr, done.stderr
    # So does it where the method is another package's, which is not installed.
    assert "The method of this model, 'not_there', is not in the Python package" in done.stderr
    assert {path.name for path in again.iterdir()} == {path.name for path in saved_sam2_love.iterdir()}
    assert (again / STUB.name).read_text() == STUB.read_text()
    for file in ("config.json", "processor_config.json"):
        assert json.loads((again / file).read_text())["auto_map"] == AUTO_MAP


def test_checkpoints_say_where_their_code_is(saved_sam2_love):
    for file in ("config.json", "processor_config.json"):
        assert json.loads((saved_sam2_love / file).read_text())["auto_map"] == AUTO_MAP
    assert all((saved_sam2_love / f"{reference.split('.')[0]}.py").is_file() for reference in AUTO_MAP.values())


def test_methods_without_a_tokenizer_carry_their_code_too(saved_sama_avs):
    assert (saved_sama_avs / STUB.name).is_file()
    assert isinstance(AutoModel.from_pretrained(saved_sama_avs), SamaAvsModel)
    assert isinstance(AutoProcessor.from_pretrained(saved_sama_avs), SamaAvsProcessor)
