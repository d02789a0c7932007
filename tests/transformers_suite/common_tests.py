"""Transformers' own common tests, of the version that is installed.

They are in its source distribution and not in the wheel: fetched once into `runs/`, which git ignores.
"""

import importlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
import transformers

CACHE = Path(__file__).parents[2] / "runs" / "transformers-suite"
PACKAGE = "tests_of_transformers"
# What every configuration takes.
COMMON_FIELDS = {
    "return_dict": False,
    "output_hidden_states": True,
    "output_attentions": True,
    "dtype": "float16",
    "chunk_size_feed_forward": 5,
    "architectures": ["BertModel"],
    "id2label": {0: "label"},
    "label2id": {"label": "0"},
    "problem_type": "regression",
}


def fetch() -> Path:
    """The folder that holds the common tests as a package, fetched if they are not there yet.

    Raises:
        subprocess.CalledProcessError: when the source distribution cannot be had.
    """
    folder = CACHE / transformers.__version__
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            options = ("--no-deps", "--no-build-isolation", "--no-binary", "transformers", "--dest", scratch)
            command = (sys.executable, "-m", "pip", "download", "-q", *options)
            wanted = f"transformers=={transformers.__version__}"
            subprocess.run((*command, wanted), check=True, capture_output=True, text=True)
            _unpack(next(Path(scratch).glob("*.tar.gz")), Path(scratch) / "unpacked")
            try:
                os.rename(Path(scratch) / "unpacked", folder)
            except OSError:
                if not folder.is_dir():  # it is there where another process of the same run was faster
                    raise
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    package = folder / PACKAGE
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    with tarfile.open(archive) as files:
        for member in files:
            path = Path(member.name)
            if path.parts[1:2] == ("tests",) and path.suffix == ".py":
                (package / path.name).write_bytes(files.extractfile(member).read())


def _stand_in(name: str, **contents: object) -> None:
    """A module that the common tests import and that is not in the source distribution."""
    sys.modules[name] = ModuleType(name)
    vars(sys.modules[name]).update(contents)


def load(name: str) -> ModuleType:
    """A module of the common tests; the module that asks skips where they cannot be had."""
    try:
        folder = fetch()
    except subprocess.CalledProcessError as error:
        if os.environ.get("TRANSFORMERS_SUITE") == "required":
            raise
        last = error.stderr.strip().splitlines()[-1:]
        pytest.skip(f"the source distribution of transformers cannot be had: {last}", allow_module_level=True)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        for part in ("exporters", "generation", "utils"):
            _stand_in(f"{PACKAGE}.{part}", __path__=[])
        _stand_in(f"{PACKAGE}.exporters.test_export", ExportTesterMixin=type("ExportTesterMixin", (), {}))
        _stand_in(f"{PACKAGE}.generation.test_utils", GenerationTesterMixin=type("GenerationTesterMixin", (), {}))
        _stand_in(f"{PACKAGE}.utils.test_configuration_utils", config_common_kwargs=COMMON_FIELDS)
        _stand_in("fetch_hub_objects_for_ci", url_to_local_path=lambda url: url)
    return importlib.import_module(f"{PACKAGE}.{name}")
