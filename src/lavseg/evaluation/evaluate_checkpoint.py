"""Scores of a checkpoint on splits of a data set under a named protocol."""

from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from transformers.utils import logging

from ..checkpoint import load_checkpoint
from ..data.collator import ClipCollator
from ..data.layouts import known_layout, load_counted_rows
from ..data.tables import logged_warnings
from ..metrics.semantic import AVSS
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.processing import AudioVisualProcessor
from ..output_folders import check_new_file, write_report
from .clip_batches import SENTENCES, check_sentences, load_clips, rows_together
from .first_stage import FirstStage, TwoStageCollator, check_first_stage
from .loop import results, run
from .scores import ClassScores, LossScores, MaskScores, Scores

# Rows per batch, size and resizing of the true masks with which the publications evaluate.
_SETTINGS = {
    "avsbench": (4, (224, 224), "nearest"),
    "ref_avs": (4, (256, 256), "bilinear_gt0"),
    "gavs": (1, None, "nearest"),
    "simtoken": (1, None, "nearest"),
    "sama_avs": (1, (1024, 1024), "nearest"),
    "aural_sam2": (4, (1024, 1024), "nearest"),
    "stepping_stones": (1, (224, 224), "bilinear_gt0"),
    "frame": (1, None, "nearest"),
    AVSS: (4, (224, 224), "nearest"),
}
# Scored where nothing else is asked for.
TEST_SPLITS = {"ref_avs": ("test_s", "test_u", "test_n"), "avsbench": ("test",)}
_MASK_COLUMNS = ("jaccard", "f_score", "j_and_f", "s", "s_ratio", "loss")


def protocol_settings(protocol: str, layout: str) -> tuple[int, tuple[int, int] | None, str]:
    """How a publication evaluates on a data set of this layout.

    Returns:
        Rows per batch, size (None: the data set's own) and resizing of the true masks.
    """
    batch_size, label_size, mask_resize = _SETTINGS[protocol]
    if protocol == "aural_sam2" and layout == "avsbench":
        batch_size = 1
    return batch_size, label_size, mask_resize


def evaluate_checkpoint(
    model: str | Path,
    data_root: str | Path,
    splits: Sequence[str] | None = None,
    protocol: str | None = None,
    dataset: str = "ref_avs",
    subsets: Sequence[str] = (),
    workers: int = 0,
    bf16: bool = False,
    out: str | Path | None = None,
    trust_remote_code: bool = False,
    sentences: int = SENTENCES,
    across_clips: bool = False,
    stage_one: str | Path | None = None,
    streaming: bool = False,
) -> dict | None:
    """Score a checkpoint on splits of a data set as a publication does, on all processes that were launched.

    Each clip is read and run once, with all sentences about it.

    Args:
        model: folder or Hub id of a checkpoint, or the name of a released one.
        data_root, dataset, subsets: see [`load_rows`].
        splits: to score; None takes all test splits.
        protocol: a key of `lavseg.metrics.protocols.PROTOCOLS`, or "avss" for the classes that a model with a class
            head names; it also rules the rows per batch and the size of the true masks. None takes the data set's own.
        workers: processes that read the data.
        bf16: compute in bfloat16, by autocast.
        out: file for what is returned, as JSON.
        trust_remote_code: see [`load_checkpoint`].
        sentences: about one clip that are run together at most, which memory grows with; with more it is run again.
        across_clips: let the consecutive rows of each batch of the protocol attend to one another, as the released
            evaluation of EEMC does; no other method can. They are then run together.
        stage_one: as `model`, a checkpoint that finds what sounds, whose masks are given to a model that names what
            they show, the second stage of Stepping-Stones.
        streaming: read the rows of an exported data set one after the other, on one process, and keep none of them.

    Returns:
        What was given, and `splits`: for each `jaccard`, `f_score`, their mean `j_and_f`, `s`, `s_ratio`, `loss`, or
        under "avss" the values of [`SemanticMetric`], and how many `rows` it has. None on all processes but the first.

    Raises:
        ValueError: (of which `CheckpointError` is one) when something given cannot be used, or the model gives NaN or
            infinite values.
    """
    if out is not None:
        check_new_file(out, "out")
    layout = known_layout(dataset)
    protocol = protocol or layout
    check_sentences("sentences", sentences)
    if protocol not in _SETTINGS:
        raise ValueError(f"protocol: got {protocol!r}, expected one of {', '.join(_SETTINGS)}")
    with logged_warnings():
        rows = {
            split: load_counted_rows(data_root, split, layout, subsets, streaming)
            for split in splits or TEST_SPLITS[layout]
        }
    batch_size, label_size, mask_resize = protocol_settings(protocol, layout)
    network, processor = load_checkpoint(model, trust_remote_code)
    if across_clips:
        network.attend_across_clips()
    check_first_stage(network, stage_one is not None)
    collator, transform = ClipCollator(processor, label_size, mask_resize, class_labels=network.names_classes), None
    accelerator = Accelerator(cpu=not torch.accelerator.is_available())
    network.to(accelerator.device)
    if stage_one is not None:
        first = FirstStage(*load_checkpoint(stage_one, trust_remote_code)).to(accelerator.device)
        collator, transform = TwoStageCollator(collator, ClipCollator(first.processor, label_size)), first.add_masks
    scores = {}
    for split, (part, num_rows) in rows.items():
        clips = load_clips(part, collator, sentences, workers, rows_together(network, batch_size))
        clips = clips if streaming else accelerator.prepare_data_loader(clips)
        clips = logging.tqdm(clips, desc=split, disable=not accelerator.is_local_main_process)
        added = _scores_of(protocol, network, processor, num_rows, batch_size)
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=bf16):
            run(network, clips, added, accelerator, transform)
        values = results(added, accelerator)
        scores[split] = {name: values[name] for name in (values if protocol == AVSS else _MASK_COLUMNS)}
        scores[split]["rows"] = num_rows
    if not accelerator.is_main_process:
        return None
    asked = {"model": str(model), "data_root": str(data_root), "dataset": layout, "subsets": list(subsets)}
    asked |= {"across_clips": True} if across_clips else {}
    asked |= {"stage_one": str(stage_one)} if stage_one is not None else {}
    report = {**asked, "protocol": protocol, "splits": scores}
    if out is not None:
        write_report(out, report)
    return report


def _scores_of(
    protocol: str, model: AudioVisualPreTrainedModel, processor: AudioVisualProcessor, num_rows: int, batch_size: int
) -> list[Scores]:
    """What is added up under a protocol, over so many rows."""
    if protocol == AVSS:
        return [ClassScores(model, processor)]
    return [MaskScores([protocol], processor, model.scale_masks, num_rows, batch_size), LossScores()]
