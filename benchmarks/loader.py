"""Clips a second and core that the collator makes for training each method, with where the time goes.

Run `python benchmarks/loader.py`; it prints one JSON line a method, and one on torchvision's JPEG decoder beside
Pillow's, which reads the frames. Clips are those of a synthetic Ref-AVS of ten frames at the size of the release;
methods that read nothing are given them without the sentence. Time is that of the processor on one thread, so that
other programs do not count: a process that loads data has no more. Resizing is torchvision's, on tensors, already.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from lavseg.auto import methods
from lavseg.data import ClipCollator, build_tokenizer, load_ref_avs, write_ref_avs
from lavseg.data import collator as collator_module
from lavseg.data.decoding import without_decoding

FRAME_SIZE, LABEL_SIZE = (720, 1280), (256, 256)


class Stages:
    """Seconds of the processor by what they were spent on."""

    def __init__(self):
        self.seconds = Counter()

    @contextmanager
    def timed(self, name):
        start = time.process_time()
        yield
        self.seconds[name] += time.process_time() - start

    def timing(self, name, function):
        def run(*args, **kwargs):
            with self.timed(name):
                return function(*args, **kwargs)

        return run


def build(config_class, model_class, processor_class):
    """The collator as the Trainer of the method at its defaults has it."""
    config = config_class()
    reads = processor_class.needs_text and getattr(config, "use_text", True)
    processor = processor_class.from_config(config, *([build_tokenizer()] if reads else []))
    with torch.device("meta"):
        key_frame = model_class(config).training_key_frame
    return ClipCollator(processor, LABEL_SIZE, key_frame=key_frame)


def seconds_of_clip(collator, rows, index):
    """Seconds by stage that one clip takes, and the bytes that it becomes."""
    stages, processor = Stages(), collator.processor
    with ExitStack() as stack:
        for owner, name, stage in (
            (processor, "image_inputs", "resize"),
            (processor, "_patches", "log_mel"),
            (processor, "text_inputs", "sentence"),
            (collator_module, "read_audio", "sound"),
            (collator_module, "row_masks", "labels"),
        ):
            stack.enter_context(patch.object(owner, name, stages.timing(stage, getattr(owner, name))))
        with stages.timed("all"):
            with stages.timed("decode"):
                row = rows[index]
            batch = collator([row])
    whole = stages.seconds.pop("all")
    stages.seconds["rest"] = whole - sum(stages.seconds.values())
    return stages.seconds, sum(value.nbytes for value in batch.values() if isinstance(value, torch.Tensor))


def measure(collator, rows, clips):
    """Clips a second and the median milliseconds of every stage."""
    seconds_of_clip(collator, rows, 0)
    found = [seconds_of_clip(collator, rows, index % len(rows)) for index in range(clips)]
    stages = {name: statistics.median(seconds[name] for seconds, _ in found) for name in found[0][0]}
    return {
        "clips_per_s": round(1 / sum(stages.values()), 2),
        "ms": {name: round(1000 * seconds, 1) for name, seconds in stages.items()},
        "MiB": round(found[0][1] / 2**20, 1),
    }


def compare_decoders(rows, clips):
    """Milliseconds that Pillow and torchvision take for the frames of a clip, and the largest difference in 1/255."""
    stages, largest = Stages(), 0
    for row in [*without_decoding(rows.select(range(min(clips, len(rows)))), ["frames"])]:
        for image in row["frames"]:
            content = torch.from_numpy(np.fromfile(image["path"], np.uint8))
            with stages.timed("pillow"), Image.open(image["path"]) as opened:
                expected = np.asarray(opened.convert("RGB"))
            with stages.timed("torchvision"):
                found = decode_image(content, ImageReadMode.RGB)
            difference = np.abs(found.permute(1, 2, 0).numpy().astype(int) - expected)
            largest = max(largest, int(difference.max()))
    ms = {f"{name}_ms": round(1000 * seconds / min(clips, len(rows)), 1) for name, seconds in stages.seconds.items()}
    return {**ms, "largest_difference": largest}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=10, help="clips that each number is the median of")
    clips = parser.parse_args().clips
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = load_ref_avs(write_ref_avs(folder, {"train": 3}, frame_size=FRAME_SIZE), "train")
        rows = rows.select([index for index, is_null in enumerate(rows["is_null"]) if not is_null])
        for method, classes in methods().items():
            print(json.dumps({"method": method, **measure(build(*classes), rows, clips)}), flush=True)
        print(json.dumps({"decoders": compare_decoders(rows, clips)}))


if __name__ == "__main__":
    main()
