"""The report of the demo of SAM2-LOVE."""

from pathlib import Path

from .examples import KIND_TITLES, Example, examples_of
from .page import SCORES_NOTE, bar_table, section, training_charts, write_page
from .video import Video, video_section


def write_report(path: Path, results: dict, history: list[dict], examples: list[Example], video: Video) -> None:
    """Write the page.

    Args:
        path: the file to write.
        results: what is in `report.json`.
        history: entries with `step` and one of `pointing_loss`, `loss` and `eval_jaccard`.
        examples: shown in groups of their kind.
        video: shown in a player.
    """
    titles = {
        "pointing_loss": "Loss while learning to point",
        "loss": "Training loss of SAM2-LOVE",
        "eval_jaccard": "J on validation clips",
    }
    steps = max(entry["step"] for entry in history)
    kinds = [kind for kind in KIND_TITLES if any(example.kind == kind for example in examples)]
    sections = [
        section(
            "Scores",
            SCORES_NOTE,
            _score_table(results) + '<p style="margin:1rem 0 0">Where the sentence fits nothing, S is '
            f"{results['null']['s']:.3f}; 0 is perfect, because nothing is to be drawn.</p>",
        ),
        section(
            "Does it listen, does it read?",
            "Sentences that cannot be resolved without the sound, or without the words, scored again when these are "
            "taken away.",
            _ablation_table(results),
        ),
        section(
            "A fresh model in training",
            "A new prompter on the shipped encoders and SAM2 host. Its token first learns to point at the object "
            f"meant, then SAM2-LOVE trains; {steps} steps in all.",
            training_charts(history, titles),
        ),
        video_section(video),
        section(
            "Examples",
            "Five frames of ten. Top: the clip; middle: the truth in orange; bottom: what the model found; below them "
            "the loudness of the sound over the clip.",
            "".join(examples_of(kind, examples) for kind in kinds),
        ),
    ]
    intro = (
        "Which object do the sentence, the sound and the picture mean together? SAM2-LOVE on synthetic clips that were "
        f"made for this report in {results['seconds'] / 60:.1f} minutes."
    )
    write_page(path, "demo report", intro, sections)


def _score_table(results: dict) -> str:
    rows = {
        "seen": "Shipped model, seen shapes",
        "unseen": "Shipped model, unseen shapes",
        "untrained": "Its encoders with an untrained prompter, seen shapes",
        "trained_here": "Fresh prompter trained in this demo, seen shapes",
    }
    names = ("jaccard", "f_score", "j_and_f")
    scores = {title: [results[name][score] for score in names] for name, title in rows.items()}
    return bar_table(("J", "F", "J&amp;F"), scores)


def _ablation_table(results: dict) -> str:
    sound, words = results["needs_sound"], results["needs_words"]
    rows = {
        "Sound is needed: all as it is": [sound["j_and_f"]],
        "the sound replaced by silence": [sound["j_and_f_silent"]],
        "Words are needed: all as it is": [words["j_and_f"]],
        "the sentence replaced by an empty one": [words["j_and_f_blank"]],
    }
    return bar_table(["J&amp;F"], rows)
