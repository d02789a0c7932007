"""Training on synthetic clips: of AVSBench, in which one object sounds (v1s) or several do (v1m), and of Ref-AVS, with
sentences."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from datasets import concatenate_datasets

from lavseg import Sam2LoveModel
from lavseg.data import ClipCollator, load_avsbench, load_ref_avs, write_avsbench
from lavseg.modeling.base import AudioVisualPreTrainedModel
from lavseg.modeling.processing import AudioVisualProcessor
from lavseg.training import LavsegTrainer

from .kept_stages import keep_ref_avs
from .optimization import OnLog, training_arguments
from .pointing import teach_pointing
from .scores import Clips
from .single_frames import FRAMES_PER_STEP, train_on_frames

SUBSETS = {"single": "v1s", "multi": "v1m"}
# In single frames with a sentence each.
POINTING: dict[str, Any] = {"num_frames": 1, "peak_rate": 1e-3, "clips": FRAMES_PER_STEP, "expressions": 1}
# Of training on clips, after the one on single frames.
CLIP_TRAINING: dict[str, Any] = {"per_device_train_batch_size": 16, "learning_rate": 3e-4, "weight_decay": 0.01}
# Their clips have twice as many frames.
SENTENCES_PER_STEP = 8
# During the training on clips.
EVALUATIONS = 10


def write_clips(
    folder: Path, counts: dict[str, int], seed: int, progress: Callable[[list], Iterable] | None = None
) -> Clips:
    """So many clips for each split of both subsets; what is there already is taken as it is."""
    if not folder.exists():
        write_avsbench(folder, dict.fromkeys(SUBSETS.values(), counts), seed=seed, progress=progress)
    return {name: {split: load_avsbench(folder, subset, split) for split in counts} for name, subset in SUBSETS.items()}


def write_sentences(folder: Path, counts: dict[str, int], seed: int) -> Clips:
    """So many clips of Ref-AVS for each split, as the one part "sentences"; what is there already is taken as it is."""
    keep_ref_avs(folder, counts, seed)
    splits = {split: load_ref_avs(folder, split) for split in counts}
    meant = [row for row, is_null in enumerate(splits["val"]["is_null"]) if not is_null]
    return {"sentences": {**splits, "val": splits["val"].select(meant)}}


def train_method(
    model: AudioVisualPreTrainedModel,
    processor: AudioVisualProcessor,
    clips: Clips,
    folder: Path,
    frame_steps: int,
    steps: int,
    seed: int,
    on_log: OnLog = lambda entry: None,
    evaluations: int = EVALUATIONS,
    **training: Any,
) -> tuple[dict[str, list[dict]], float]:
    """Train in single frames for `frame_steps`, then on clips for `steps`, and save model, processor and log. A
    SAM2-LOVE learns to point in single frames.

    Args:
        folder: gets `model/` and `training_log.json`.
        on_log: called with each entry of the log of single frames.
        evaluations: on the validation clips during the training on clips.
        training: arguments of the training on clips that differ.

    Returns:
        The logs, `frames` and `clips`, and the minutes it took.
    """
    began, drawn = time.monotonic(), sum(len(splits["train"]) for splits in clips.values())
    if isinstance(model, Sam2LoveModel):
        stage, shown = {**POINTING, "steps": frame_steps}, len(set(clips["sentences"]["train"]["clip"]))
        log = {"frames": teach_pointing(model, processor, seed, shown, [stage], on_log)}
    else:
        log = {"frames": train_on_frames(model, processor, seed, frame_steps, drawn, on_log)}
    log["clips"] = _train_on_clips(model, ClipCollator(processor), clips, folder, steps, seed, evaluations, training)
    minutes = round((time.monotonic() - began) / 60, 1)
    for part in (model, processor):
        part.save_pretrained(folder / "model")
    (folder / "training_log.json").write_text(json.dumps(log, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return log, minutes


def clip_training(processor: AudioVisualProcessor) -> dict[str, Any]:
    """Arguments of a training on clips, or on sentences where the processor takes them."""
    return CLIP_TRAINING | ({"per_device_train_batch_size": SENTENCES_PER_STEP} if processor.needs_text else {})


def _train_on_clips(
    model: AudioVisualPreTrainedModel,
    collator: ClipCollator,
    clips: Clips,
    folder: Path,
    steps: int,
    seed: int,
    evaluations: int,
    training: dict[str, Any],
) -> list[dict]:
    """Train for so many steps and keep the weights that are best on the validation clips of the first part.

    Returns:
        The Trainer's log, with `eval_<part>_jaccard` of every part.
    """
    every = max(1, steps // evaluations)
    arguments = training_arguments(
        folder / "training",
        seed,
        **clip_training(collator.processor),
        max_steps=steps,
        audio_learning_rate_factor=0.1,
        lr_scheduler_type="polynomial",
        lr_scheduler_kwargs={"power": 0.9, "lr_end": 0.0},
        warmup_steps=min(50, steps // 10),
        logging_steps=min(25, every),
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model=f"{next(iter(clips))}_jaccard",
        greater_is_better=True,
        **training,
    )
    rows = concatenate_datasets([splits["train"] for splits in clips.values()])
    watched = {name: splits["val"] for name, splits in clips.items()}
    trainer = LavsegTrainer(model, arguments, collator, train_dataset=rows, eval_dataset=watched)
    trainer.train()
    return trainer.state.log_history
