"""Scores of a model on a data set under a named protocol."""

import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import PartialState
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import BatchFeature, PrinterCallback

from ..checkpoint import load_checkpoint
from ..data.collator import ClipCollator
from ..data.layouts import known_layout, load_rows
from ..metrics.labeled_frames import labeled_frames
from ..metrics.protocols import AvsMetric
from ..metrics.semantic import AVSS
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.inputs import check_outputs
from ..modeling.processing import AudioVisualProcessor
from ..output_folders import check_can_be_made
from ..training import LavsegTrainer, LavsegTrainingArguments
from .semantic_scores import evaluate_semantic

# Clips a batch, size and resizing of the true masks with which the publications evaluate.
_SETTINGS = {
    "avsbench": (4, (224, 224), "nearest"),
    "ref_avs": (4, (256, 256), "bilinear_gt0"),
    "gavs": (1, None, "nearest"),
    "sama_avs": (1, (1024, 1024), "nearest"),
    "aural_sam2": (4, (1024, 1024), "nearest"),
    "frame": (1, None, "nearest"),
    AVSS: (4, (224, 224), "nearest"),
}
_TEST_SPLITS = {"ref_avs": ("test_s", "test_u", "test_n"), "avsbench": ("test",)}
_COLUMNS = ("jaccard", "f_score", "j_and_f", "s", "loss")


def protocol_settings(protocol: str, layout: str) -> tuple[int, tuple[int, int] | None, str]:
    """How a publication evaluates on a data set of this layout.

    Returns:
        Clips a batch, size (None: the data set's own) and resizing of the true masks.
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
) -> dict | None:
    """Score a checkpoint on splits of a data set as a publication does, on all processes that were launched.

    Args:
        model: folder or Hub id of a checkpoint.
        data_root, dataset, subsets: see [`load_rows`].
        splits: to score; None takes all test splits.
        protocol: a key of `lavseg.metrics.protocols.PROTOCOLS`, or "avss" for the classes that a model with a class
            head names; it also rules the clips a batch and the size of the true masks. None takes the data set's own.
        workers: processes that read the data.
        bf16: compute in bfloat16, by autocast.
        out: file for what is returned, as JSON.

    Returns:
        What was given, and `splits`: for each `jaccard`, `f_score`, their mean `j_and_f`, `s`, `loss`, or under "avss"
        the values of [`SemanticMetric`], and how many `rows` it has. None on all processes but the first.

    Raises:
        ValueError: (of which `CheckpointError` is one) when something given cannot be used, or the model gives NaN or
            infinite values.
    """
    if out is not None:
        _check_file(Path(out))
    layout = known_layout(dataset)
    protocol = protocol or layout
    if protocol not in _SETTINGS:
        raise ValueError(f"protocol: got {protocol!r}, expected one of {', '.join(_SETTINGS)}")
    rows = {split: load_rows(data_root, split, layout, subsets) for split in splits or _TEST_SPLITS[layout]}
    batch_size, label_size, mask_resize = protocol_settings(protocol, layout)
    network, processor = load_checkpoint(model)
    collator = ClipCollator(processor, label_size, mask_resize)
    scorer = _Scorer(network, collator, rows, batch_size, workers, bf16)
    scores = scorer.classes() if protocol == AVSS else scorer.masks(protocol)
    if not PartialState().is_main_process:
        return None
    counted = {split: values | {"rows": len(rows[split])} for split, values in scores.items()}
    asked = {"model": str(model), "data_root": str(data_root), "dataset": layout, "subsets": list(subsets)}
    report = {**asked, "protocol": protocol, "splits": counted}
    if out is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return report


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"out: {path} is a folder; give a file for the scores")
    check_can_be_made(path)


@dataclass(frozen=True)
class _Scorer:
    """A checkpoint on splits of a data set, to be scored in one of two ways."""

    network: AudioVisualPreTrainedModel
    collator: ClipCollator
    rows: dict[str, Dataset]
    batch_size: int
    workers: int
    bf16: bool

    def masks(self, protocol: str) -> dict[str, dict[str, float]]:
        """Scores of the masks by split, computed by all processes."""
        with tempfile.TemporaryDirectory() as folder:
            arguments = LavsegTrainingArguments(
                output_dir=folder,
                per_device_eval_batch_size=self.batch_size,
                metric_protocols=[protocol],
                dataloader_num_workers=self.workers,
                bf16=self.bf16,
                use_cpu=not torch.accelerator.is_available(),
            )
            trainer = LavsegTrainer(self.network, arguments, self.collator)
            # Where Transformers is told to be quiet it prints scores instead of showing a bar.
            trainer.remove_callback(PrinterCallback)
            found = {split: trainer.evaluate(part) for split, part in self.rows.items()}
        return {split: {name: values[f"eval_{name}"] for name in _COLUMNS} for split, values in found.items()}

    def classes(self) -> dict[str, dict[str, float]]:
        """Scores of the classes by split, computed by one process."""
        state = PartialState()
        if state.num_processes > 1:
            raise ValueError(f"protocol: avss is computed by one process, {state.num_processes} were launched")
        self.network.to(state.device)
        with torch.autocast(state.device.type, torch.bfloat16, enabled=self.bf16):
            return {
                split: evaluate_semantic(
                    self.network, self.collator, part, self.batch_size, workers=self.workers
                ).compute()
                for split, part in self.rows.items()
            }


def evaluate(
    model: AudioVisualPreTrainedModel,
    collator: ClipCollator,
    dataset: Dataset,
    protocol: str = "frame",
    batch_size: int = 8,
    transform: Callable[[BatchFeature], BatchFeature] | None = None,
    progress: Callable[[Iterable], Iterable] | None = None,
) -> AvsMetric:
    """Run a model over all rows of a data set, in evaluation mode, and score its masks.

    Mask logits are brought to the labels' size as the model's method does it; frames without a label do not count. All
    protocols but `frame` depend on which clips share a batch: `PROTOCOLS[name].source` says what `batch_size` and
    `collator.label_size` the published numbers take.

    Args:
        model: where it is, on its device.
        collator: makes model inputs with labels from rows of `dataset`.
        dataset: such as `load_ref_avs` returns.
        protocol: a key of `lavseg.metrics.protocols.PROTOCOLS`.
        batch_size: clips a batch.
        transform: changes the inputs of each batch, to see what the model makes of what is left.
        progress: wraps the batches, e.g. `tqdm` or `rich.progress.track`.

    Returns:
        The metric; `.compute()` gives its values, `.merge(other)` joins those of several parts.

    Raises:
        ValueError: `dataset` is empty, `protocol` is unknown, or the model gives NaN or infinite values.
    """
    if not len(dataset):
        raise ValueError("dataset: has no rows, there is nothing to evaluate")
    metric = AvsMetric(protocol)
    batches = DataLoader(dataset, batch_size, collate_fn=collator)
    was_training = model.training
    model.eval()
    for inputs in progress(batches) if progress else batches:
        labels, label_mask = inputs.pop("labels"), inputs.pop("label_mask")
        logits = _logits(model, collator.processor, transform(inputs) if transform else inputs)
        metric.update(*labeled_frames(logits, labels, label_mask, model.scale_masks))
    model.train(was_training)
    return metric


@torch.inference_mode()
def _logits(model: AudioVisualPreTrainedModel, processor: AudioVisualProcessor, inputs: BatchFeature) -> torch.Tensor:
    """Mask logits `[B, E, T, h, w]`, in main memory."""
    outputs = model(**inputs.to(model.device))
    check_outputs(outputs, inputs["frame_mask"])
    return processor.gate_masks(outputs).cpu()
