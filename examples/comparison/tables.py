"""What the tables of a comparison hold, and how they are written as Markdown and as a page."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from demo.page import SCORES_NOTE, section, write_page

from .bar_plot import bar_plot

Cell = Callable[[dict], float]


@dataclass(frozen=True)
class Table:
    """Attributes:
    title: of the table.
    scores: columns with three decimals, and what a method's `scores.json` says there.
    bars: two columns that are drawn, as `scores`.
    note: how to read it.
    """

    title: str
    scores: dict[str, Cell]
    bars: dict[str, Cell]
    note: str

    @property
    def columns(self) -> tuple[str, ...]:
        return ("method", "host", *self.scores, *COSTS)

    def row(self, scores: dict) -> list[str]:
        """The cells of a method's row."""
        values = [f"{cell(scores):.3f}" for cell in self.scores.values()]
        return [scores["method"], scores["host"], *values, *(cell(scores) for cell in COSTS.values())]


COSTS = {
    "parameters trained": lambda scores: f"{scores['parameters_trained']:,}",
    "seconds per clip": lambda scores: f"{scores['seconds_per_clip']:.3f}",
    "peak memory, MB": lambda scores: f"{scores['peak_memory_mb']:,}",
    "minutes of training": lambda scores: f"{scores['training_minutes']:.1f}",
}


def _score(part: str, name: str) -> Cell:
    return lambda scores: scores[part][name]


def _silence(scores: dict) -> float:
    return statistics.mean(scores[f"{part}_silent"]["s"] for part in ("single", "multi"))


_COSTS_NOTE = (
    "Seconds are those of the model alone for a clip of {frames} frames, the median of several. Peak memory is that of "
    "the process that trains and scores."
)
TABLES = {
    "hearing": Table(
        "Methods that hear: which object sounds?",
        {
            "J, one sound": _score("single", "jaccard"),
            "F, one sound": _score("single", "f_score"),
            "J, several sounds": _score("multi", "jaccard"),
            "F, several sounds": _score("multi", "f_score"),
            "S in silence": _silence,
        },
        {"one sound": _score("single", "jaccard"), "several sounds": _score("multi", "jaccard")},
        "S is the root of the share of pixels marked where the sound is replaced by silence, both kinds of clips "
        f"together; 0 is perfect. {_COSTS_NOTE.format(frames='five')}",
    ),
    "reading": Table(
        "Methods that read: which object does the sentence mean?",
        {
            **{
                f"{title}, {part}": _score(part, name)
                for part in ("seen", "unseen")
                for title, name in (("J", "jaccard"), ("F", "f_score"), ("J&F", "j_and_f"))
            },
            "S, null": _score("null", "s"),
        },
        {"seen": _score("seen", "j_and_f"), "unseen": _score("unseen", "j_and_f")},
        "Unseen are categories that training never shows, and combinations of a category and a property that it never "
        "asks for. S is the root of the share of pixels marked for sentences that fit nothing; 0 is perfect. SAM2-LOVE "
        "learns from single frames to point, which needs no masks. TPAVI and AVSegFormer read as this package has them "
        f"do, their publications do not say how. {_COSTS_NOTE.format(frames='ten')}",
    ),
}


def write_tables(output: Path, found: dict[str, list[dict]], budget: str, hosts: str) -> None:
    """Write the tables as `comparison.md` and `comparison.html`, and a plot for each.

    Args:
        output: folder to write.
        found: what the methods of each table scored.
        budget: what each was trained for.
        hosts: what they are built on.
    """
    parts, sections = [], []
    for name, scores in found.items():
        table, rows = TABLES[name], [TABLES[name].row(each) for each in scores]
        plot = bar_plot({each["method"]: [cell(each) for cell in table.bars.values()] for each in scores}, table.bars)
        (output / f"comparison_{name}.svg").write_text(plot + "\n", encoding="utf-8")
        lines = [" | ".join(row) for row in (table.columns, ["---"] * len(table.columns), *rows)]
        text, picture = "\n".join(f"| {line} |" for line in lines), f"![Bars of the scores](comparison_{name}.svg)"
        parts.append(f"## {table.title}\n\n{text}\n\n{table.note}\n\n{picture}\n")
        sections.append(section(table.title, escape(table.note), _html_table(table.columns, rows) + plot))
    notes = f"{budget} {SCORES_NOTE} {hosts}"
    plain = notes.replace("<code>", "`").replace("</code>", "`")
    text = "\n".join([f"# Methods on synthetic clips\n\n{plain}\n", *parts])
    (output / "comparison.md").write_text(text, encoding="utf-8")
    write_page(output / "comparison.html", "comparison", notes, sections)


def _html_table(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    head = "".join(f"<td>{escape(column)}</td>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div style="overflow-x:auto"><table><tr>{head}</tr>{body}</table></div>'
