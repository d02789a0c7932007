"""Each method of a table trained and scored once, in a process of its own, and not again where it was before."""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tiny.avs_training import train_method, write_clips, write_sentences
from tiny.hosts import save_host
from tiny.models import METHODS, READERS, fresh_model, fresh_sam2_love, save_words, stereo_vggish
from tiny.scores import Clips, score_clips, score_sentences

from lavseg import ClipCollator
from lavseg.checkpoint import load_checkpoint
from lavseg.modeling.base import AudioVisualPreTrainedModel
from lavseg.modeling.processing import AudioVisualProcessor

# Those of each table, and what each is built on.
ROWS = {
    "hearing": {name: method.host for name, method in METHODS.items()},
    "reading": {"sam2-love": "SAM2", **{name: method.host for name, method in READERS.items()}},
}
TIMED_CLIPS = 8
# During a training on clips: as many as ten would cost as much as the training itself.
EVALUATIONS = 3
# What every method of a folder has in common.
SETTINGS = ("clips", "seed", "frame_steps", "steps", "host_steps")


def keep_settings(path: Path, settings: dict[str, int]) -> None:
    """Write down what is asked for, or refuse where the folder was begun with something else."""
    if path.is_file() and (earlier := json.loads(path.read_text(encoding="utf-8"))) != settings:
        raise ValueError(f"out: {path.parent} was begun with {earlier}, not {settings}; choose another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings) + "\n", encoding="utf-8")


def run_tables(tables: list[str], arguments: argparse.Namespace) -> dict[str, list[dict]]:
    """By table what is in the `scores.json` of every method that is asked for."""
    paths = [_scores_file(table, method, arguments) for table in tables for method in _methods(table, arguments)]
    if not all(path.is_file() for path in paths):
        # Processes count the memory of the one that they come from as their own, so that this one stays small.
        _in_fresh_process(prepare, tables, arguments)
    return {table: _run_table(table, arguments) for table in tables}


def _in_fresh_process(function: Callable, *arguments: Any) -> Any:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def _methods(table: str, arguments: argparse.Namespace) -> list[str]:
    return [name for name in ROWS[table] if name in arguments.methods]


def _scores_file(table: str, method: str, arguments: argparse.Namespace) -> Path:
    return arguments.out / table / method / "scores.json"


def _run_table(table: str, arguments: argparse.Namespace) -> list[dict]:
    found = []
    for method in _methods(table, arguments):
        path = _scores_file(table, method, arguments)
        if not path.is_file():
            scores = _in_fresh_process(run_method, table, method, arguments)
            path.write_text(json.dumps(scores, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        found.append(json.loads(path.read_text(encoding="utf-8")))
        print(table, json.dumps(found[-1], allow_nan=False), flush=True)
    return found


def prepare(tables: list[str], arguments: argparse.Namespace) -> None:
    """Write the clips of the tables and the hosts of their methods."""
    shipped, _ = load_checkpoint(arguments.model)
    for table in tables:
        load_clips(table, arguments)
        for method in _methods(table, arguments):
            _host(ROWS[table][method], shipped, arguments)


def _host(name: str, shipped: AudioVisualPreTrainedModel, arguments: argparse.Namespace) -> Path:
    folder = arguments.out / "hosts" / name.lower().replace(" ", "_")
    return save_host(name, folder, shipped, arguments.seed, arguments.host_steps)


def load_clips(table: str, arguments: argparse.Namespace) -> Clips:
    """Those of a table, which are written if they are not there."""
    clips, seed = arguments.clips, arguments.seed
    few, tested = max(2, clips // 40), max(2, clips // 12)
    if table == "hearing":
        return write_clips(arguments.out / "data", {"train": clips, "val": few, "test": tested}, seed)
    splits = {"train": clips, "val": few, "test_s": tested, "test_u": tested, "test_n": max(1, tested // 2)}
    return write_sentences(arguments.out / "sentences", splits, seed)


def run_method(table: str, method: str, arguments: argparse.Namespace) -> dict:
    """Train and score one method; returns what is in its `scores.json`."""
    folder, clips = arguments.out / table / method, load_clips(table, arguments)
    model, processor = _build(table, method, arguments)
    collator, steps = ClipCollator(processor), {"frame_steps": arguments.frame_steps, "steps": arguments.steps}
    hears = table == "hearing"
    tiny = (METHODS if hears else READERS).get(method)
    training = {} if tiny is None else tiny.training
    budget = {**steps, "seed": arguments.seed, "evaluations": EVALUATIONS}
    _, minutes = train_method(model, processor, clips, folder, **budget, **training)
    scores = (score_clips if hears else score_sentences)(model, collator, clips)
    timed = clips["single"]["test"] if hears else clips["sentences"]["test_s"]
    return {
        "method": method,
        "host": ROWS[table][method],
        **scores,
        "parameters_trained": model.num_parameters(only_trainable=True),
        "seconds_per_clip": round(seconds_per_clip(model, collator, timed), 4),
        "peak_memory_mb": round(peak_memory()),
        "training_minutes": minutes,
        **steps,
    }


def _build(
    table: str, method: str, arguments: argparse.Namespace
) -> tuple[AudioVisualPreTrainedModel, AudioVisualProcessor]:
    """An untrained model and its processor."""
    shipped, processor = load_checkpoint(arguments.model)
    if method == "sam2-love":
        return fresh_sam2_love(shipped, arguments.seed), processor
    reads = table == "reading"
    words = save_words(shipped, processor.tokenizer, arguments.out / "hosts" / "words") if reads else None
    host = _host(ROWS[table][method], shipped, arguments)
    return fresh_model(method, host, stereo_vggish(shipped.audio_encoder), arguments.seed, words)


@torch.inference_mode()
def seconds_per_clip(model: AudioVisualPreTrainedModel, collator: ClipCollator, rows: Dataset) -> float:
    """Median time that the model, without the processor, takes for one clip."""
    model.eval()
    times = []
    for row in rows.select(range(min(TIMED_CLIPS, len(rows)))):
        inputs = collator([row]).to(model.device)
        del inputs["labels"], inputs["label_mask"]
        began = time.perf_counter()
        model(**inputs).pred_masks.cpu()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def peak_memory() -> float:
    """Of this process, in MB: the GPU's memory where there is one, else main memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
