import os
import tempfile
from pathlib import Path

import pytest
from tiny.configurations import tiny_config

pytest_plugins = ["example_fixtures", "robustness_fixtures"]
ROOT = Path(__file__).parents[1]
GOLDEN = Path(os.environ.get("LAVSEG_GOLDEN", ROOT.parent / "shared" / "golden"))
MEDIA = ROOT.parent / "shared" / "media"
CASES = ROOT.parent / "shared" / "cases"

# What tests look for in printed text is not to be cut into coloured pieces, as some CI systems ask for.
for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
    os.environ.pop(name, None)


def golden_files(pattern: str, quick: int | None = None) -> list:
    """Parameters for every file under the golden folder that matches, or one skip that says why there is none.

    Args:
        quick: how many of them are for the default suite, the others being slow; None for all.
    """
    files = sorted(GOLDEN.glob(pattern))
    if not files:
        reason = f"no {pattern} under {GOLDEN} (set LAVSEG_GOLDEN)"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    return [
        pytest.param(file, id=str(file.relative_to(GOLDEN)), marks=slow_after(index, quick))
        for index, file in enumerate(files)
    ]


def slow_after(index: int, quick: int | None) -> list:
    """The mark `slow` for parameters from the one numbered `quick` on."""
    return [] if quick is None or index < quick else [pytest.mark.slow]


@pytest.fixture(scope="session")
def media() -> Path:
    if not MEDIA.is_dir():
        pytest.skip(f"no real clips: {MEDIA} is absent")
    return MEDIA


@pytest.fixture(scope="session")
def cases() -> Path:
    if not CASES.is_dir():
        pytest.skip(f"no inputs that went wrong before: {CASES} is absent")
    return CASES


@pytest.fixture
def datasets_cache(monkeypatch):
    """An empty cache of `datasets`, with a short path: a lock's name holds all of it, cut by characters, not bytes, so
    that a long path with an ö gives names that no file may have."""
    with tempfile.TemporaryDirectory(dir="/tmp" if os.name == "posix" else None) as folder:
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", Path(folder))
        yield folder


@pytest.fixture(scope="session")
def tokenizer():
    from lavseg.data import build_tokenizer

    return build_tokenizer()


@pytest.fixture(scope="session")
def tiny_processor(tokenizer):
    from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveProcessor

    return Sam2LoveProcessor.from_config(tiny_config(Sam2LoveConfig, len(tokenizer)), tokenizer)


@pytest.fixture(scope="session")
def shipped():
    """The model and the processor of the checkpoint in `examples`."""
    from lavseg.checkpoint import load_checkpoint

    folder = ROOT / "examples" / "sam2-love-tiny"
    if not (folder / "model.safetensors").is_file():
        pytest.skip("the checkpoint examples/sam2-love-tiny is not there")
    return load_checkpoint(folder)


@pytest.fixture(scope="session")
def load_script(tmp_path_factory):
    """Loads an `evaluate` module of this package as its users do: by the path of its file.

    Scripts are copied here instead of to the user's home; one folder, as the copies form one package."""
    import evaluate

    folder = ROOT / "src" / "lavseg" / "metrics"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate.config, "HF_MODULES_CACHE", tmp_path_factory.mktemp("modules"))
        yield lambda name, *args, **kwargs: evaluate.load(str(folder / f"{name}.py"), *args, **kwargs)


@pytest.fixture(scope="session")
def saved_sam2_love(tiny_processor, tmp_path_factory) -> Path:
    """The folder of a saved model that reads."""
    import torch

    from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("saved") / "tiny-1.0"
    Sam2LoveModel(tiny_config(Sam2LoveConfig, len(tiny_processor.tokenizer))).save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def saved_sama_avs(tmp_path_factory) -> Path:
    """The folder of a saved model that does not read."""
    from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor

    folder, config = tmp_path_factory.mktemp("saved"), tiny_config(SamaAvsConfig)
    SamaAvsModel(config).save_pretrained(folder)
    SamaAvsProcessor.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture
def hub(monkeypatch):
    """A stand-in for the Hub, to which uploads go."""
    from hub_stand_in import running_hub, use

    with running_hub() as hub:
        use(hub, monkeypatch)
        yield hub


@pytest.fixture(scope="session")
def tiny_aural_sam2(tokenizer, tmp_path_factory):
    """Folders with what AuralSAM2's authors published, by repository, at tiny size; and the models that they hold."""
    from released_files import tiny_release

    return tiny_release(tmp_path_factory.mktemp("release"), tokenizer)


@pytest.fixture
def release(hub, tiny_aural_sam2, monkeypatch, tmp_path):
    """The Hub's stand-in with all of that, and an empty cache."""
    from hub_stand_in import empty_cache
    from released_files import REPO, expect_tiny_release

    for repo, folder in tiny_aural_sam2[0].items():
        hub.publish(repo, folder, under="ckpts/" if repo == REPO else "")
    expect_tiny_release(monkeypatch)
    empty_cache(monkeypatch, tmp_path / "cache")
    return hub
