"""Time of an evaluation of Ref-AVS clip by clip, all sentences of a clip together, beside row by row.

    python benchmarks/by_clip.py --method sam2_love --host base_plus --frames 5
    python benchmarks/by_clip.py --host tiny --image-size 256 --frames 2 --clips 1

Weights are random, clips are drawn, each with `--sentences` sentences; reading and scoring are counted in. Prints one
JSON line with seconds for all clips both ways and their ratio, and fails if the scores differ.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch

from lavseg.backbones.sam2.configuration_sam2 import hiera_sam2_config
from lavseg.data import ClipCollator, build_tokenizer, load_ref_avs, write_ref_avs
from lavseg.data.clip_rows import group_by_clip
from lavseg.evaluation.evaluate_model import evaluate
from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor

METHODS = {
    "aural_sam2": (AuralSam2Config, AuralSam2Model, AuralSam2Processor),
    "sam2_love": (Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor),
}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def build(method, host, image_size):
    """An untrained model of a method and what makes its inputs."""
    config_class, model_class, processor_class = METHODS[method]
    torch.manual_seed(0)
    config = config_class(sam2_config=hiera_sam2_config(host, image_size))
    return model_class(config).to(DEVICE), ClipCollator(processor_class.from_config(config, build_tokenizer()))


def make_rows(folder, clips, frames, sentences):
    """Rows of clips with so many sentences each, of which some come again; no clip is null."""
    rows = load_ref_avs(write_ref_avs(Path(folder) / "data", {"test_s": clips}, frames), "test_s")
    return rows.select([group[i % len(group)] for group in group_by_clip(rows, len(rows)) for i in range(sentences)])


def seconds(function):
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = function()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", choices=METHODS, default="sam2_love")
    parser.add_argument("--host", default="base_plus", help="tiny, small, base_plus or large (Hiera)")
    parser.add_argument("--image-size", type=int, default=1024)
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--sentences", type=int, default=8)
    parser.add_argument("--clips", type=int, default=2)
    given = parser.parse_args()
    model, collator = build(given.method, given.host, given.image_size)
    with tempfile.TemporaryDirectory() as folder:
        rows = make_rows(folder, given.clips, given.frames, given.sentences)
        evaluate(model, collator, rows.select([0]))  # warm
        by_row, expected = seconds(lambda: evaluate(model, collator, rows, sentences=1))
        by_clip, found = seconds(lambda: evaluate(model, collator, rows, sentences=given.sentences))
    difference = max(abs(found.compute()[name] - value) for name, value in expected.compute().items())
    if difference > 1e-3:
        raise SystemExit(f"scores differ by {difference}")
    measured = {"row_by_row_s": round(by_row, 2), "by_clip_s": round(by_clip, 2), "ratio": round(by_clip / by_row, 3)}
    about = {**vars(given), "threads": torch.get_num_threads(), "device": DEVICE}
    print(json.dumps({**about, **measured, "scores_differ_by": difference}, allow_nan=False))


if __name__ == "__main__":
    main()
