"""The report of the demo of SAM2-LOVE."""

from pathlib import Path

from .examples import HOW_TO_READ, Example, examples_of
from .page import SCORES_NOTE, Curve, bar_table, section, training_charts, write_page
from .video import Video, video_section

KIND_TITLES = {
    "words": "Words decide",
    "sound": "Only the sound decides",
    "both": "Words and sound decide together",
    "category": "A kind of object that training never showed",
    "combination": "A kind and a property that no sentence of the training joined",
    "null": "Nothing fits: the right answer is empty",
}
WORST = "worst"
CURVES = (
    Curve("pointing_loss", "Learning to point: loss", "cross-entropy", noisy=True),
    Curve("hits", "Learning to point: hits on unseen clips", "share on the object meant", noisy=True),
    Curve("loss", "SAM2-LOVE itself: loss", "sum of its terms", noisy=True),
    Curve("eval_jaccard", "J on validation clips", "J"),
)


def write_report(path: Path, results: dict, history: list[dict], examples: list[Example], video: Video) -> None:
    """Write the page.

    Args:
        path: the file to write.
        results: what is in `report.json`.
        history: entries with `step` and some of the values of `CURVES`.
        examples: shown in groups of their kind, a key of `KIND_TITLES` or `WORST`.
        video: shown in a player.
    """
    steps = max(entry["step"] for entry in history)
    kinds = [kind for kind in KIND_TITLES if any(example.kind == kind for example in examples)]
    sections = [
        section(
            "What it finds",
            f"The first clips of each kind in the test data, not the best ones. {HOW_TO_READ}",
            "".join(examples_of(kind, examples, KIND_TITLES[kind]) for kind in kinds),
        ),
        section(
            "What it does badly",
            "Of all other sentences that were scored those with the lowest J&amp;F, one for each clip.",
            examples_of(WORST, examples),
        ),
        section("Scores", SCORES_NOTE, _score_tables(results)),
        section(
            "Does it listen, does it read?",
            "Sentences that cannot be resolved without the sound, or without the words, scored again when these are "
            "taken away.",
            _ablation_table(results),
        ),
        section(
            "A fresh model in training",
            "A new prompter on the shipped encoders and SAM2. Its token first learns to point at the object meant, "
            f"then SAM2-LOVE trains; {steps} steps in all.",
            training_charts(history, CURVES),
        ),
        video_section(video),
    ]
    intro = (
        "Which object do the sentence, the sound and the picture mean together? The shipped tiny SAM2-LOVE on clips of "
        f"a drawn band that it has not seen. Made for this report in {results['seconds'] / 60:.1f} minutes."
    )
    write_page(path, "demo report", intro, sections)


def _score_tables(results: dict) -> str:
    models = {
        "seen": "Shipped model, seen kinds of objects",
        "unseen": "Shipped model, unseen ones and unseen combinations",
        "untrained": "Its encoders with an untrained prompter, seen",
        "trained_here": "Fresh prompter trained in this demo, seen",
    }
    rows = {
        **{f"Seen: {KIND_TITLES[kind].lower()}": scores for kind, scores in results["kinds"].items()},
        **{f"Unseen: {KIND_TITLES[name].lower()}": scores for name, scores in results["novelties"].items()},
    }
    tables = [{title: results[name] for name, title in models.items()}, rows]
    names = ("jaccard", "f_score", "j_and_f")
    made = [
        bar_table(("J", "F", "J&amp;F"), {title: [scores[name] for name in names] for title, scores in table.items()})
        for table in tables
    ]
    return (
        f"{made[0]}<h3>By what decides, and by what is new</h3>{made[1]}<p>Where the sentence fits nothing, S is "
        f"{results['null']['s']:.2f}: the root of the share of pixels that it marks. 0 is perfect.</p>"
    )


def _ablation_table(results: dict) -> str:
    sound, words = results["needs_sound"], results["needs_words"]
    rows = {
        "Sound is needed: all as it is": [sound["j_and_f"]],
        "the sound replaced by silence": [sound["j_and_f_silent"]],
        "Words are needed: all as it is": [words["j_and_f"]],
        "the sentence replaced by an empty one": [words["j_and_f_blank"]],
    }
    return bar_table(["J&amp;F"], rows)
