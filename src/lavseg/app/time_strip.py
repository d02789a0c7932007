"""The time strip under a result: the sound and the objects' scores over time, drawn as HTML."""

from collections.abc import Sequence
from html import escape

import numpy as np

from .. import visualization
from ..inference.frame_predictions import SegmentedFrame

# Values of the drawn sound for each frame.
LOUDNESS_VALUES = 20
STRIP_CSS = """
#strip .row { position: relative; height: 36px; margin: 2px 0 8px; border-bottom: 1px solid currentColor; }
#strip .row svg { width: 100%; height: 100%; display: block; }
#strip .swatch { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
#strip .playhead { position: absolute; top: 0; bottom: 0; left: 0; width: 2px; background: currentColor; }
#strip .seconds { position: relative; height: 1.4em; font-size: .85em; }
#strip .seconds span { position: absolute; }
"""


def peaks(waveform: np.ndarray) -> np.ndarray:
    """The largest value in each of `LOUDNESS_VALUES` equal parts of a waveform `[channels, samples]`."""
    return visualization.peaks(waveform, LOUDNESS_VALUES)


def bar_heights(frame: SegmentedFrame) -> np.ndarray:
    """How far each mask can be trusted, 0 to 1, `[E]`; for models that do not say, whether it is not empty."""
    return frame.masks.any((1, 2)).astype(float) if frame.score is None else frame.score


def time_strip(loudness: np.ndarray, scores: np.ndarray, labels: Sequence[str], colors: np.ndarray, fps: float) -> str:
    """The sound and the scores of the objects over time, as HTML; each row has a line that can be moved.

    Args:
        loudness: float `[n]`, evenly spaced; drawn against its largest value. Empty for a clip without sound.
        scores: 0..1, `[E, T]`.
        labels: what each of the `E` objects is called.
        colors: RGB `[E, 3]`, one for each object.
        fps: frames per second of the scores.
    """
    rows = [_sound_row(loudness)] if len(loudness) else []
    for index, (label, color, values) in enumerate(zip(labels, colors.tolist(), scores.tolist(), strict=True)):
        fill = f"rgb({','.join(map(str, color))})"
        bars = "".join(
            f'<rect x="{x}" y="{1 - value:.3f}" width="1" height="{value:.3f}" fill="{fill}">'
            f"<title>{x / fps:g} s: {value:.2f}</title></rect>"
            for x, value in enumerate(values)
        )
        name = f'<span class="swatch" style="background: {fill}"></span>{index}: {escape(label)}'
        rows.append(_strip_row(name, bars, len(values)))
    seconds = scores.shape[1] / fps
    step = next(step for step in (1, 2, 5, 10) if seconds <= 10 * step or step == 10)
    ticks = "".join(
        f'<span style="left: {100 * second / seconds:.2f}%">{second} s</span>'
        for second in range(0, max(1, round(seconds)), step)
    )
    note = "<div>Height of the bars: how far the mask can be trusted, 0 to 1</div>"
    return "".join(rows) + f'<div class="seconds">{ticks}</div>{note}'


def _sound_row(loudness: np.ndarray) -> str:
    height = loudness / max(float(loudness.max()), 1e-6)
    edge = [*enumerate(0.5 - height / 2), *reversed([*enumerate(0.5 + height / 2)])]
    sound = f'<polygon fill="currentColor" points="{" ".join(f"{x},{y:.3f}" for x, y in edge)}"/>'
    return _strip_row("Sound", sound, len(loudness) - 1)


def _strip_row(name: str, shapes: str, width: int) -> str:
    drawing = f'<svg viewBox="0 0 {width} 1" preserveAspectRatio="none">{shapes}</svg>'
    return f'<div>{name}</div><div class="row">{drawing}<div class="playhead"></div></div>'
