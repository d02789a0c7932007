"""The report of the demo of a method that answers sentences."""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Account:
    """What a report says of a method and its training.

    Attributes:
        intro: what was done, with `{minutes}`.
        models: title of each state that was scored, by its name in `report.json`.
        title, note: of the section on the training; the note has `{steps}`.
        curves: drawn there.
    """

    intro: str
    models: dict[str, str]
    title: str
    note: str
    curves: tuple[Curve, ...]


def write_report(
    path: Path, account: Account, results: dict, history: list[dict], examples: list[Example], video: Video
) -> None:
    """Write the page.

    Args:
        path: the file to write.
        account: what it says of the method.
        results: what is in `report.json`.
        history: entries with `step` and some of the values of the curves.
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
        section("Scores", SCORES_NOTE, _score_tables(results, account.models)),
        section(
            "Does it listen, does it read?",
            "Sentences that cannot be resolved without the sound, or without the words, scored again when these are "
            "taken away.",
            _ablation_table(results),
        ),
        section(account.title, account.note.format(steps=steps), training_charts(history, account.curves)),
        video_section(video),
    ]
    intro = "Which object do the sentence, the sound and the picture mean together? " + account.intro.format(
        minutes=f"{results['seconds'] / 60:.1f}"
    )
    write_page(path, "demo report", intro, sections)


def _score_tables(results: dict, models: dict[str, str]) -> str:
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
    sound, words, rows = results.get("needs_sound"), results["needs_words"], {}
    if sound is not None:
        rows["Sound is needed: all as it is"] = [sound["j_and_f"]]
        rows["the sound replaced by silence"] = [sound["j_and_f_silent"]]
    rows["Words are needed: all as it is"] = [words["j_and_f"]]
    rows["the sentence replaced by an empty one"] = [words["j_and_f_blank"]]
    return ("<p>This method hears nothing.</p>" if sound is None else "") + bar_table(["J&amp;F"], rows)
