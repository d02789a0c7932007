"""Train a tiny SimToken on a synthetic Ref-AVS tree, on two CPU cores, in an hour at most.

    python examples/train_tiny.py --method simtoken --out runs/simtoken-tiny

Three stages, each kept in the output folder and taken from there when the script is run again: a SAM from clicks
(`sam/`); what the published parts of SimToken know before it begins, as `simtoken_lessons.py` teaches it (`lessons/`);
and SimToken itself (`model/`). Its VGGish is that of the shipped SAM2-LOVE. Language model and tower train as a whole,
where the paper adapts published ones.

Writes `model/scores.json`: J and F of sentences about seen and unseen objects, S of those whose object is absent, and
what silence and an empty sentence cost where sound and words are needed; and `training_log.json` of each stage.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import torch

from lavseg import ClipCollator, LavsegTrainer, SimTokenModel, SimTokenProcessor, load_ref_avs
from lavseg.checkpoint import load_checkpoint
from lavseg.data import build_tokenizer, row_kinds
from lavseg.evaluation.evaluate_model import evaluate
from lavseg.models.simtoken.prompt_simtoken import RELEASE

from .configurations import NOTICE
from .fresh_simtoken import FIELDS, fresh_simtoken, train_all_that_is_reached
from .kept_stages import LOG, keep_ref_avs, run_stages
from .models import SHIPPED
from .optimization import training_arguments
from .sam_host import train_sam
from .scores import SCORES, blanker, silencer, values
from .simtoken_lessons import teach

CLIPS = {"train": 1200, "val": 24, "test_s": 60, "test_u": 40, "test_n": 40}
TRAINING = {
    "per_device_train_batch_size": 16,
    "sentences_per_clip": 4,
    "learning_rate": 4e-4,
    "adam_beta2": 0.95,
    "lr_scheduler_type": "cosine",
    "logging_steps": 25,
}


def score(model: SimTokenModel, collator: ClipCollator, data: Path) -> dict[str, dict]:
    """Scores of the test splits, and of the rows that need sound or words with and without them."""
    score_rows = partial(evaluate, model, collator)
    results = {
        split: values(score_rows(load_ref_avs(data, split)), *SCORES) for split in ("test_s", "test_u", "test_n")
    }
    rows, kinds = load_ref_avs(data, "test_s"), row_kinds(data)
    for name, needed, change in (
        ("needs_sound", ("sound", "both"), silencer(collator.processor)),
        ("needs_words", ("words", "both"), blanker(collator.processor)),
    ):
        chosen = rows.select([index for index, number in enumerate(rows["id"]) if kinds[number] in needed])
        with_it, without = (values(score_rows(chosen, transform=way), "j_and_f") for way in (None, change))
        results[name] = {**with_it, "without": without["j_and_f"]}
    return results


def save(folder: Path, model: SimTokenModel, processor: SimTokenProcessor, log: list[dict] | dict[str, list]) -> None:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    write_json(folder / LOG, log)


def write_json(path: Path, content: list | dict) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def sam_stage(folder: Path, seed: int, steps: int) -> None:
    sam, log = train_sam(seed, steps)
    sam.save_pretrained(folder)
    write_json(folder / LOG, log)


def lessons_stage(folder: Path, sam: Path, shipped: Path, seed: int) -> None:
    audio = load_checkpoint(shipped)[0].audio_encoder
    torch.manual_seed(seed)
    model, processor = fresh_simtoken(sam, audio, build_tokenizer(*RELEASE), notice=NOTICE, **FIELDS)
    log = teach(model, processor, seed)
    save(folder, model, processor, log)


def method_stage(folder: Path, lessons: Path, data: Path, seed: int, steps: int) -> None:
    keep_ref_avs(data, CLIPS, seed)
    model, processor = load_checkpoint(lessons)
    train_all_that_is_reached(model)
    collator, began = ClipCollator(processor), time.monotonic()
    arguments = training_arguments(
        folder.parent / "training", seed, max_steps=steps, warmup_steps=0.05, save_strategy="no", **TRAINING
    )
    trainer = LavsegTrainer(model, arguments, collator, train_dataset=load_ref_avs(data, "train"))
    trainer.train()
    scores = {"steps": steps, "minutes": round((time.monotonic() - began) / 60, 1), **score(model, collator, data)}
    write_json(folder / "scores.json", scores)
    save(folder, model, processor, trainer.state.log_history)
    print(json.dumps(scores, allow_nan=False), flush=True)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="SAM2-LOVE, for its VGGish")
    parser.add_argument("--sam_steps", type=int, default=400, help="of SAM, 16 frames each")
    parser.add_argument("--steps", type=int, default=300, help="of SimToken, 16 sentences each, four about a clip")
    parser.add_argument("--seed", type=int, default=0)


def run(arguments: argparse.Namespace) -> None:
    """Train stage by stage what is not in the output folder already."""
    output, seed = arguments.out, arguments.seed
    sam, lessons = output / "sam", output / "lessons"
    run_stages(
        {
            sam: lambda folder: sam_stage(folder, seed, arguments.sam_steps),
            lessons: lambda folder: lessons_stage(folder, sam, arguments.model, seed),
            output / "model": lambda folder: method_stage(folder, lessons, output / "data", seed, arguments.steps),
        }
    )
