"""Draw docs/picture.jpg: a clip of the drawn band, who plays when, and what a model finds in it for four sentences.

    python docs/draw_picture.py

Writes the clip to examples/clips/band.mp4 and reads it again, as users do. It is drawn from a seed of its own, which
training does not use. Of all sentences that the clip allows, the picture shows three that the model answers well, the
best of its kind each (sound, both, words) and about different objects where that can be, and at the bottom the one that
it answers worst. Prints all of them with their mean IoU.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from transformers.utils import logging

from lavseg.checkpoint import load_checkpoint
from lavseg.data import SyntheticClip, draw_expressions, draw_scene, render_clip
from lavseg.data.synthetic.queries import Query
from lavseg.data.synthetic.rendering import SAMPLING_RATE
from lavseg.media import read_video, write_video
from lavseg.visualization import OKABE_ITO, overlay
from lavseg.visualization.legends import default_font, wrap

ROOT = Path(__file__).parents[1]
FRAME_SIZE = (216, 288)
KINDS = ("sound", "both", "words")
# Of ten seconds the first frame of every second one is shown, above the two seconds of sound that begin with it.
SHOWN = slice(0, None, 2)
CAPTION_WIDTH, LANE_HEIGHT, GAP, FONT_SIZE = 300, 30, 9, 27
# An object that is so much softer than the loudest has no height.
DECIBELS = 20
COLORS = OKABE_ITO[[5, 4, 2, 6]]
# Of the finished picture, which is drawn larger.
WIDTH = 1400


class Answer(NamedTuple):
    """A sentence, its kind, the object meant, whether its category alone names that, the masks found bool `[T, H, W]`
    and their mean IoU."""

    text: str
    kind: str
    target: int
    is_named: bool
    found: np.ndarray
    iou: float


def draw_clip(seed: int) -> tuple[SyntheticClip, list]:
    """A clip and all sentences about its objects that make sense to a model that hears one channel."""
    rng = np.random.default_rng(seed)
    objects = draw_scene(rng, "both")
    expressions = [
        item for item in draw_expressions(rng, objects) if item.target is not None and not item.query.needs_stereo
    ]
    return render_clip(rng, frame_size=FRAME_SIZE, objects=objects), expressions


@torch.inference_mode()
def ask(checkpoint: str, path: Path, clip: SyntheticClip, expressions: list) -> list[Answer]:
    """What the model answers to each sentence about a file."""
    model, processor = load_checkpoint(checkpoint)
    inputs = processor(str(path), text=[item.text for item in expressions])
    masks = processor.post_process_masks(model(**inputs), inputs["original_sizes"])[0].numpy()
    answers = []
    for item, found in zip(expressions, masks, strict=True):
        truth = clip.masks[item.target]
        union = (found | truth).sum((1, 2))
        iou = np.where(union > 0, (found & truth).sum((1, 2)) / np.maximum(union, 1), 1.0).mean()
        is_named = len(Query(item.query.category).matches(clip.objects)) == 1
        answers.append(Answer(item.text, item.kind, item.target, is_named, found, float(iou)))
    return answers


def choose(answers: list[Answer]) -> list[Answer]:
    """The best of each kind, of different objects and not by name alone where that can be, and the worst of all."""
    chosen: list[Answer] = []
    for kind in KINDS:
        of_kind = [item for item in answers if item.kind == kind]
        targets = {item.target for item in chosen}
        chosen += sorted(of_kind, key=lambda item: (item.target in targets, item.is_named, -item.iou))[:1]
    return [*chosen, min((item for item in answers if item not in chosen), key=lambda item: item.iou)]


def object_names(clip: SyntheticClip) -> list[str]:
    """The category of each object; two of one category are told apart by where they are at first."""
    names = []
    for item in clip.objects:
        twins = sorted(other.centers[0, 1] for other in clip.objects if other.category == item.category)
        place = "" if len(twins) == 1 else "left " if item.centers[0, 1] == twins[0] else "right "
        names.append(f"{place}{item.category}")
    return names


class Sheet:
    """A picture that grows downwards, with captions on the left."""

    def __init__(self, columns: int):
        height, width = FRAME_SIZE
        self.width = columns * (width + GAP) - GAP
        self.image = Image.new("RGB", (CAPTION_WIDTH + self.width, 8 * height), "white")
        self.draw, self.font, self.top = ImageDraw.Draw(self.image), default_font(FONT_SIZE), 0

    def caption(self, text: str, height: int, color: str | tuple = "black") -> None:
        wrapped = "\n".join(wrap(text, self.font, CAPTION_WIDTH - 2 * GAP))
        self.draw.multiline_text((GAP, self.top + height // 2), wrapped, color, self.font, anchor="lm")

    def frames(self, text: str, frames: np.ndarray) -> None:
        """A row of frames."""
        height, width = FRAME_SIZE
        self.caption(text, height)
        for column, frame in enumerate(frames):
            self.image.paste(Image.fromarray(frame), (CAPTION_WIDTH + column * (width + GAP), self.top))
        self.top += height + GAP

    def lane(self, name: str, seconds: np.ndarray, height: float, color: np.ndarray) -> None:
        """When an object sounds and how loud, 1 being the loudest."""
        self.caption(name, LANE_HEIGHT, tuple(color.tolist()))
        bottom, step = self.top + LANE_HEIGHT, self.width / len(seconds)
        self.draw.rectangle((CAPTION_WIDTH, self.top, CAPTION_WIDTH + self.width, bottom), "#f3f5f9")
        for second in np.flatnonzero(seconds):
            left = CAPTION_WIDTH + second * step
            box = (left + 2, bottom - height * LANE_HEIGHT, left + step - 3, bottom)
            self.draw.rectangle(box, tuple(color.tolist()))
        self.top = bottom + GAP

    def finished(self) -> Image.Image:
        sheet = self.image.crop((0, 0, self.image.width, self.top))
        return sheet.resize((WIDTH, round(WIDTH * sheet.height / sheet.width)), Image.Resampling.LANCZOS)


def draw_sheet(clip: SyntheticClip, frames: np.ndarray, answers: list[Answer]) -> Image.Image:
    """Frames, who plays when, and a row of masks for each sentence; for the last one the truth as well."""
    shown = frames[SHOWN]
    sheet = Sheet(len(shown))
    sheet.frames("the clip", shown)
    loudest = max((item.level for item in clip.objects if item.sounds), default=1.0)
    for name, item, color in zip(object_names(clip), clip.objects, COLORS, strict=False):
        loudness = 1 + 20 * np.log10(item.level / loudest) / DECIBELS
        sheet.lane(name, item.seconds, max(0.15, loudness), color)
    sheet.top += GAP
    *right, wrong = answers
    for item in right:
        sheet.frames(f"“{item.text}”", overlay(shown, item.found[SHOWN], COLORS[item.target][None]))
    sheet.top += 2 * GAP
    color = COLORS[wrong.target][None]
    sheet.frames(f"Wrong: “{wrong.text}”", overlay(shown, wrong.found[SHOWN], color))
    sheet.frames("what it means", overlay(shown, clip.masks[wrong.target][SHOWN], color))
    return sheet.finished()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(ROOT / "examples" / "sam2-love-tiny"), help="folder of a checkpoint")
    parser.add_argument("--seed", type=int, default=983, help="of the clip and its sentences")
    parser.add_argument("--clip", type=Path, default=ROOT / "examples" / "clips" / "band.mp4", help="file to write")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "picture.jpg", help="file to write")
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    clip, expressions = draw_clip(arguments.seed)
    arguments.clip.parent.mkdir(exist_ok=True)
    write_video(arguments.clip, clip.frames, 1, clip.waveform, SAMPLING_RATE)
    answers = ask(arguments.model, arguments.clip, clip, expressions)
    for item in sorted(answers, key=lambda item: -item.iou):
        print(f"{item.iou:.2f} {item.kind:5s} {item.text}")
    draw_sheet(clip, read_video(arguments.clip).frames, choose(answers)).save(arguments.out, quality=80)


if __name__ == "__main__":
    main()
