"""The report of the demo of a method that hears but does not read."""

from pathlib import Path

from .examples import HOW_TO_READ, Example, examples_of
from .frame_training import CURVES
from .page import SCORES_NOTE, bar_table, section, training_charts, write_page
from .video import Video, video_section

SCORES = ("jaccard", "f_score", "j_and_f")
WORST = "worst"
KIND_TITLES = {"single": "One object sounds", "multi": "Several objects sound, each for some seconds"}


def write_report(
    path: Path, name: str, results: dict, history: list[dict], examples: list[Example], video: Video
) -> None:
    """Write the page.

    Args:
        path: the file to write.
        name: what the model is called.
        results: what is in `report.json`.
        history: the Trainer's log, entries with `step` and some of the values of `CURVES`.
        examples: shown in groups of their kind, a key of `KIND_TITLES` or `WORST`.
        video: shown in a player.
    """
    frame_steps = max(entry["step"] for entry in history if "frame_loss" in entry)
    steps = max(entry["step"] for entry in history) - frame_steps
    millions = {key: f"{results[key] / 1e6:.2f}" for key in ("parameters", "parameters_trained")}
    sections = [
        section(
            "What it finds",
            f"Clips that were drawn for this report, not the best ones. {HOW_TO_READ} In silence nothing is to be "
            "found.",
            "".join(examples_of(kind, examples, title) for kind, title in KIND_TITLES.items()),
        ),
        section(
            "What it does badly",
            f"Of the other clips, {results['examples_drawn']} in all, those with the lowest J&amp;F.",
            examples_of(WORST, examples),
        ),
        section("Scores", f"{SCORES_NOTE} On clips that training did not show.", _score_table(results)),
        section(
            "Does it listen?",
            "The same clips with their sound replaced by silence: what J and F are then, and how much it still draws. "
            "S is the root of the share of pixels that it marks; in silence 0 is perfect, because nothing sounds.",
            _silence_table(results["trained"]),
        ),
        section(
            "Its training",
            f"{millions['parameters_trained']} of {millions['parameters']} million parameters trained, "
            f"{frame_steps} steps of 16 single frames, then {steps} of 16 clips.",
            training_charts(history, CURVES),
        ),
        video_section(video),
    ]
    intro = (
        f"Which object sounds? {name} on clips of a drawn band, made, trained and scored for this report in "
        f"{results['seconds'] / 60:.1f} minutes."
    )
    write_page(path, "demo report", intro, sections)


def _score_table(results: dict) -> str:
    rows = {
        f"{state.capitalize()}, {title}": [results[state][part][score] for score in SCORES]
        for part, title in (("single", "one object sounds"), ("multi", "several sound"))
        for state in ("untrained", "trained")
    }
    return bar_table(("J", "F", "J&amp;F"), rows)


def _silence_table(scores: dict[str, dict]) -> str:
    rows = {
        f"{title}: {state}": [scores[part + suffix][score] for score in ("s", "j_and_f")]
        for part, title in (("single", "One object sounds"), ("multi", "Several sound"))
        for suffix, state in (("", "as it is"), ("_silent", "in silence"))
    }
    return bar_table(("S", "J&amp;F"), rows)
