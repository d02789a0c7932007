"""What a demo says while it runs, and the folder that it fills."""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from rich import get_console
from rich.progress import track

# Clips of their own: the shipped model was trained on others.
SEED = 2025
MARKER = ".lavseg-demo"
# Where no terminal shows a bar, a line is printed so often at most.
SECONDS_PER_LINE = 10


class Stages:
    """Announces numbered stages and draws a progress bar inside each."""

    def __init__(self, count: int):
        self.console, self.count, self.number = get_console(), count, 0
        self.began = self.said = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def begin(self, title: str) -> None:
        self.number += 1
        minutes, seconds = divmod(int(self.seconds), 60)
        self.said = time.monotonic()
        title = f"[bold]{self.number}/{self.count} {title}[/bold]"
        self.console.print(f"[dim]{minutes}:{seconds:02d}[/dim] {title}", soft_wrap=True)

    def say(self, text: str) -> None:
        self.said = time.monotonic()
        self.console.print(f"     {text}", markup=False, emoji=False, highlight=False, soft_wrap=True)

    def say_scores(self, parts: dict[str, dict]) -> None:
        for part, scores in parts.items():
            found = "  ".join(f"{name} {value:.3f}" for name, value in scores.items() if name != "protocol")
            self.say(f"{part:14s}{found}")

    def murmur(self, text: str) -> None:
        """Say it where no bar shows how it goes and the last line was a while ago."""
        if not self.console.is_terminal and time.monotonic() - self.said >= SECONDS_PER_LINE:
            self.say(text)

    def bar(self, title: str) -> Callable[[Sequence], Iterable]:
        """Wraps what is to be worked through: a progress bar, or a line now and then where there is no terminal."""
        if self.console.is_terminal:
            return partial(track, description=f"     {title}", console=self.console, transient=True)
        return partial(self._lines, title)

    def _lines(self, title: str, items: Sequence) -> Iterator:
        for number, item in enumerate(items, 1):
            yield item
            self.murmur(f"{title}: {number} of {len(items)}")

    def end(self, output: Path, results: dict) -> None:
        """Write `report.json` and say where the report is."""
        (output / "report.json").write_text(json.dumps(results, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        self.say(f"{output / 'report.html'} after {results['seconds']:.0f} s")


def prepare_folder(output: Path) -> Path:
    """An empty folder; an earlier demo in it is removed."""
    if output.exists() and any(output.iterdir()):
        if not (output / MARKER).is_file():
            raise SystemExit(f"--out: {output} is not empty and holds no earlier demo; choose another folder")
        shutil.rmtree(output)
    output.mkdir(parents=True, exist_ok=True)
    (output / MARKER).touch()
    return output
