"""What the tests of the examples share: one untrained SAM2-LOVE, and one small tree of Ref-AVS."""

import pickle
from functools import partial
from pkgutil import resolve_name

import pytest
import torch
from tiny.configurations import tiny_config
from tiny.hosts import TEACHERS

from lavseg.data import write_ref_avs
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel


@pytest.fixture(scope="session")
def untrained(tmp_path_factory, tiny_processor):
    """Folder of an untrained stand-in for the shipped SAM2-LOVE."""
    folder = tmp_path_factory.mktemp("untrained") / "sam2-love"
    torch.manual_seed(0)
    config = tiny_config(Sam2LoveConfig, len(tiny_processor.tokenizer), handoff="mask")
    Sam2LoveModel(config).save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def ref_avs(tmp_path_factory):
    """Folder of a few small clips of every split that the examples read."""
    splits = {"train": 3, "val": 1, "test_s": 1, "test_n": 1}
    return write_ref_avs(tmp_path_factory.mktemp("data") / "SHAPES", splits, 3, (32, 40))


class HereExecutor:
    """Stands in for a pool of fresh processes: the same demands on what is sent, none of the seconds to start."""

    def __init__(self, *args, **kwargs): ...

    def __enter__(self):
        return self

    def __exit__(self, *args): ...

    def map(self, function, values, chunksize=1):
        return [pickle.loads(pickle.dumps(function))(value) for value in values]

    def submit(self, function, *args):
        self.result = lambda: pickle.loads(pickle.dumps(function))(*pickle.loads(pickle.dumps(args)))
        return self


@pytest.fixture
def processes_here(monkeypatch):
    """Work that is sent to fresh processes is done in this one, on the CPU."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    for name in ("comparison.runs", "tiny.processes"):
        monkeypatch.setattr(f"{name}.ProcessPoolExecutor", HereExecutor)


@pytest.fixture
def small_clips(monkeypatch):
    """The demos and trainings write clips of few pixels, those of sentences with three frames only."""
    size, short = {"frame_size": (56, 72)}, {"num_frames": 3}
    for name, more in (
        ("demo.sentence_examples.write_ref_avs", short),
        ("tiny.kept_stages.write_ref_avs", short),
        ("tiny.avs_training.write_avsbench", {}),
    ):
        monkeypatch.setattr(name, partial(resolve_name(name.replace(".write", ":write")), **size, **more))


@pytest.fixture
def small_hosts(monkeypatch):
    """Hosts that are trained see four frames."""
    for name, few in (
        ("SAM", {"clips": 4}),
        ("PVT v2", {"frames": 4}),
        ("ResNet", {"frames": 4}),
        ("Mask2Former", {"frames": 4}),
    ):
        monkeypatch.setitem(TEACHERS, name, partial(TEACHERS[name], **few))


@pytest.fixture
def small_batches(monkeypatch):
    """Trainings on sentences, and that of SAM, take few at a time."""
    for name, size in (
        ("tiny.single_frames.FRAMES_PER_STEP", 3),
        ("demo.frame_training.FRAMES_PER_STEP", 3),
        ("tiny.avs_training.SENTENCES_PER_STEP", 2),
        ("tiny.sam_host.BATCH", 4),
    ):
        monkeypatch.setattr(name, size)
