"""Model cards: the method's own card, with what is particular to one checkpoint."""

import json
from importlib.resources import files
from inspect import cleandoc
from typing import Any

import transformers
from huggingface_hub import EvalResult, ModelCard, ModelCardData, constants
from transformers.utils import TRANSFORMERS_DYNAMIC_MODULE_NAME

from .. import __version__
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.processing import AudioVisualProcessor
from . import HUB_TASK, TASK
from .record import PREVIEW, SOURCES, Record, hub_ids

_SCORES = {"miou": "mIoU", "jaccard": "J", "f_score": "F", "j_and_f": "J&F", "s": "S"}
# Fields of every configuration that say nothing about the model.
_HOUSEKEEPING = {"architectures", "auto_map", "dtype", "model_type", "notice", "transformers_version"}
# Heading of the section of a method's card with what its authors reached.
_PUBLISHED = "Published numbers"
# What the Hub's metadata call the weights' licence where the record names none, and its heading on the card.
_OTHER_LICENSE, _LICENSE_HEADING = "of-the-encoders-and-the-data", "Licence"
# The package in which Transformers puts code that lies in a checkpoint.
_FROM_CHECKPOINT = TRANSFORMERS_DYNAMIC_MODULE_NAME


def method_card(model: AudioVisualPreTrainedModel, processor: AudioVisualProcessor) -> str:
    """The text of the card of a model's method; for a method without one, what its classes tell about it."""
    card = files("lavseg") / "model_cards" / f"{model.config.model_type}.md"
    return card.read_text(encoding="utf-8") if card.is_file() else _plain_card(model, processor)


def _plain_card(model: AudioVisualPreTrainedModel, processor: AudioVisualProcessor) -> str:
    given = "a clip, its sound and a sentence" if processor.needs_text else "a clip and its sound"
    facts = {
        "classes": ", ".join(f"`{type(part).__name__}`" for part in (model.config, model, processor)),
        "takes": f"{given}; video files are read at {processor.fps:g} frames per second",
        "stands on": ", ".join(f"{name} (`{part.config.model_type}`)" for name, part in model.backbones().items()),
        "terms of the loss": ", ".join(f"{term} (weight {weight:g})" for term, weight in model.loss_weights.items()),
    }
    introduction = [
        f"# {model.config.model_type}",
        "",
        cleandoc(type(model).__doc__ or "A method without description."),
    ]
    return "\n".join([*introduction, "", "## What is known of the method", "", *_table(facts)])


def model_card(
    model: AudioVisualPreTrainedModel,
    processor: AudioVisualProcessor,
    repo_id: str,
    record: Record,
    preview: bool = False,
) -> ModelCard:
    """The card of a checkpoint: what it is, its own numbers, how it is used and came about, then its method's card, and
    the Hub's metadata. Of a model with a notice, such as a toy, the card does not show its method's published numbers.

    Args:
        model, processor: the checkpoint.
        repo_id: where it will be, such as `org/name`.
        record: how it came about.
        preview: whether `preview.jpg` will lie beside the card.
    """
    introduction, *parts = method_card(model, processor).split("\n## ")
    notice = model.config.notice
    if notice:
        parts = [part for part in parts if not part.startswith(_PUBLISHED)]
    sections = [
        introduction.rstrip(),
        *([f"> {notice}"] if notice else []),
        _checkpoint(model, repo_id, preview),
        _results(record, shows_published=any(part.startswith(_PUBLISHED) for part in parts)),
        _use(model, processor, repo_id),
        _training(record),
        *([_license(record)] if record.license == Record.license else []),
        "## The method\n\nWhat follows describes the method, not this checkpoint.",
        *(f"## {part.rstrip()}" for part in parts),
    ]
    metadata = _metadata(model.config.model_type, processor.needs_text, repo_id, record, preview).to_yaml()
    return ModelCard(f"---\n{metadata}\n---\n\n" + "\n\n".join(sections) + "\n")


def _metadata(method: str, reads: bool, repo_id: str, record: Record, preview: bool) -> ModelCardData:
    page = f"{constants.ENDPOINT}/{repo_id}"
    results = [
        EvalResult(
            task_type=HUB_TASK,
            task_name="Audio-visual segmentation",
            dataset_type=result.dataset.lower().replace(" ", "-"),
            dataset_name=result.dataset,
            dataset_split=result.split or None,
            metric_type=score,
            metric_name=f"{name}, protocol {result.protocol}",
            metric_config=result.protocol,
            metric_value=round(result.scores[score], 4),
        )
        for result in record.results
        for score, name in _SCORES.items()
        if score in result.scores
    ]
    named = {"model_name": repo_id.rpartition("/")[-1], "eval_results": results} if results else {}
    if record.license == Record.license:
        named |= {"license_name": _OTHER_LICENSE, "license_link": f"{page}#{_LICENSE_HEADING.lower()}"}
    if preview:
        named |= {"thumbnail": f"{page}/resolve/main/{PREVIEW}"}
    return ModelCardData(
        library_name="transformers",
        pipeline_tag=HUB_TASK,
        license=record.license,
        language="en" if reads else None,
        tags=["lavseg", method, TASK, "audio-visual", "video-segmentation"],
        base_model=record.base_models or None,
        datasets=hub_ids(record.datasets) or None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        **named,
    )


def _checkpoint(model: AudioVisualPreTrainedModel, repo_id: str, preview: bool) -> str:
    parameters = list(model.parameters())
    total = sum(parameter.numel() for parameter in parameters)
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    lines = [
        "## This checkpoint",
        "",
        f"`{repo_id}`: {total:,} parameters, {trained:,} of them trained by the method. Written by lavseg "
        f"{__version__} with Transformers {transformers.__version__}.",
    ]
    if preview:
        lines += ["", f"![Frames of a clip: what was found, above what is true]({PREVIEW})"]
    if differing := _differing(model):
        lines += ["", "Its configuration differs from the method's defaults in:", "", *_table(differing)]
    return "\n".join(lines)


def _use(model: AudioVisualPreTrainedModel, processor: AudioVisualProcessor, repo_id: str) -> str:
    package = type(model).__module__.split(".")[0]
    trust = ", trust_remote_code=True" if package == _FROM_CHECKPOINT else ""
    text = ', text="the louder of the two dogs"' if processor.needs_text else ""
    lines = [
        "### Use",
        "",
        "```python",
        "import lavseg  # not on PyPI: `pip install .` in its repository",
        *([] if package in ("lavseg", _FROM_CHECKPOINT) else [f"import {package}  # registers the method"]),
        "from transformers import pipeline",
        "",
        f'segment = pipeline("{TASK}", model="{repo_id}"{trust})',
        f'for found in segment("clip.mp4"{text}):',
        '    print(found["label"], found["score"], found["masks"].shape)',
        "```",
    ]
    return "\n".join(lines)


def _license(record: Record) -> str:
    made_from = [f"[{name}]({constants.ENDPOINT}/{name})" for name in hub_ids(record.base_models)]
    lines = [
        f"### {_LICENSE_HEADING}",
        "",
        "The weights are bound by the licences of the encoders and the data they were made from.",
    ]
    if made_from:
        lines += ["", f"Encoders: {', '.join(made_from)}."]
    return "\n".join(lines)


def _differing(model: AudioVisualPreTrainedModel) -> dict[str, Any]:
    """Fields of the configuration that are not the method's defaults; of the encoders only that they differ."""
    default, given = (
        json.loads(config.to_json_string(use_diff=False)) for config in (type(model.config)(), model.config)
    )
    differing = {}
    for name, value in given.items():
        if name not in _HOUSEKEEPING and not name.startswith("_") and value != default.get(name):
            differing[name] = "see config.json" if isinstance(value, dict) else value
    return differing


def _training(record: Record) -> str:
    lines = ["### Training", ""]
    lines += _table(record.recipe) if record.recipe else ["How these weights were trained is not recorded."]
    if record.datasets:
        lines += ["", f"Data: {', '.join(record.datasets)}."]
    return "\n".join(lines)


def _results(record: Record, shows_published: bool) -> str:
    lines = ["### Results", ""]
    if not record.results:
        lines += ["None are recorded for these weights."]
        if shows_published:
            lines += ["", "Numbers further down are the papers', of models of their authors."]
        return "\n".join(lines)
    shown = [score for score in _SCORES if any(score in result.scores for result in record.results)]
    names = " | ".join(_SCORES[score] for score in shown)
    lines += [f"| data | split | protocol | {names} |", "|---" * (3 + len(shown)) + "|"]
    for result in record.results:
        values = [f"{result.scores[score]:.4f}" if score in result.scores else "" for score in shown]
        lines.append(f"| {result.dataset} | {result.split} | `{result.protocol}` | {' | '.join(values)} |")
    lines += ["", "Numbers of different protocols cannot be compared. Here:", ""]
    for protocol in dict.fromkeys(result.protocol for result in record.results):
        lines.append(f"- `{protocol}`: {SOURCES[protocol]}.")
    return "\n".join(lines)


def _table(values: dict[str, Any]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in values.items())]
