import numpy as np
import pytest
from harness import ForkServer

from lavseg.auto import METHODS
from tiny_methods import method_named, tiny_method


@pytest.fixture(scope="session")
def forked():
    """Runs commands and calls in children with limits, see `harness.ForkServer`."""
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def saved_method(tokenizer, tmp_path_factory):
    """A function that gives a folder with a tiny checkpoint of a method, by name or number, and whether it reads."""
    known = {}

    def save(method):
        classes = method_named(method) if isinstance(method, str) else METHODS[method % len(METHODS)]
        if classes not in known:
            folder = tmp_path_factory.mktemp(classes[0].model_type)
            model, processor = tiny_method(classes, tokenizer)
            model.save_pretrained(folder)
            processor.save_pretrained(folder)
            known[classes] = folder, processor.needs_text
        return known[classes]

    return save


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory):
    """A video file of two small frames with sound."""
    from lavseg.data import render_clip
    from lavseg.media import write_video

    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    clip = render_clip(np.random.default_rng(0), 2, (32, 48))
    write_video(path, clip.frames, 1, clip.waveform, 16000)
    return path
