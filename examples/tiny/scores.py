"""Scores of models as they are, in silence and without words."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from datasets import Dataset
from transformers import BatchFeature

from lavseg.data import ClipCollator
from lavseg.evaluation.evaluate_model import evaluate
from lavseg.metrics.protocols import AvsMetric
from lavseg.modeling.base import AudioVisualPreTrainedModel
from lavseg.modeling.processing import AudioVisualProcessor

SCORES = ("jaccard", "f_score", "j_and_f", "s")

# Splits by name: of AVSBench in which one object sounds and in which several do, "single" and "multi"; or of Ref-AVS,
# "sentences".
Clips = dict[str, dict[str, Dataset]]


def values(metric: AvsMetric, *names: str) -> dict:
    scores = metric.compute()
    return {**{name: round(scores[name], 4) for name in names}, "protocol": metric.protocol}


def silencer(processor: AudioVisualProcessor) -> Callable[[BatchFeature], BatchFeature]:
    """A change of model inputs to what the processor makes of a waveform of zeros."""
    second = np.zeros(16000, np.float32)
    patch = processor.feature_extractor(second, sampling_rate=16000, return_tensors="pt")["input_features"][0]

    def silence(inputs: BatchFeature) -> BatchFeature:
        inputs["input_features"] = patch * inputs["audio_mask"][..., None, None, None]
        return inputs

    return silence


def blanker(processor: AudioVisualProcessor) -> Callable[[BatchFeature], BatchFeature]:
    """A change of model inputs to the tokens of an empty sentence, which a call of the processor refuses."""
    tokens = processor.text_inputs([[""]])

    def blank(inputs: BatchFeature) -> BatchFeature:
        for name in ("input_ids", "attention_mask"):
            inputs[name] = tokens[name].expand(*inputs[name].shape[:2], -1)
        return inputs

    return blank


def score_clips(
    model: AudioVisualPreTrainedModel,
    collator: ClipCollator,
    clips: Clips,
    progress: Callable[[Iterable], Iterable] | None = None,
) -> dict[str, dict]:
    """Scores of the test clips of both subsets, `single` and `multi`, and of these in silence, `single_silent` and
    `multi_silent`. In silence nothing sounds, so that S there says how much is drawn that should not be."""
    silence, results = silencer(collator.processor), {}
    for name, splits in clips.items():
        for part, change in ((name, None), (f"{name}_silent", silence)):
            metric = evaluate(model, collator, splits["test"], transform=change, progress=progress)
            results[part] = values(metric, *SCORES)
    return results


def score_sentences(model: AudioVisualPreTrainedModel, collator: ClipCollator, clips: Clips) -> dict[str, dict]:
    """Scores of the test splits of Ref-AVS: `seen` and `unseen`, and `null`, whose sentences fit nothing, so that S
    there says how much is drawn that should not be."""
    splits, found = clips["sentences"], {}
    for name, split, names in (
        ("seen", "test_s", SCORES[:3]),
        ("unseen", "test_u", SCORES[:3]),
        ("null", "test_n", SCORES[3:]),
    ):
        found[name] = values(evaluate(model, collator, splits[split]), *names)
    return found


@torch.inference_mode()
def predict(
    model: AudioVisualPreTrainedModel,
    collator: ClipCollator,
    row: dict,
    change: Callable[[BatchFeature], BatchFeature] | None = None,
) -> np.ndarray:
    """Masks bool `[T, H, W]` of one row, its inputs changed as in `evaluate`."""
    inputs = collator([row])
    del inputs["labels"], inputs["label_mask"]
    outputs = model(**(change(inputs) if change else inputs).to(model.device))
    return collator.processor.post_process_masks(outputs, inputs["original_sizes"])[0].cpu().numpy()
