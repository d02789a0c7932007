"""Draw docs/picture.jpg: a synthetic clip, its sound, and what a model finds in it for three sentences.

    python docs/draw_picture.py

The clip is drawn from a seed of its own, which training does not use. Prints the mean IoU of each sentence.
"""

import argparse
import textwrap
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from transformers.utils import logging

from lavseg.checkpoint import load_checkpoint
from lavseg.data import SyntheticClip, draw_expressions, draw_objects, render_clip
from lavseg.data.synthetic.scene import SAMPLING_RATE
from lavseg.visualization import overlay, palette

ROOT = Path(__file__).parents[1]
FRAME_SIZE = (224, 288)
SENTENCES = 3
# Of ten seconds the last frame of every second one is shown, above the two seconds of sound that end with it.
SHOWN = slice(1, None, 2)
CAPTION_WIDTH, SOUND_HEIGHT, GAP, FONT_SIZE = 270, 90, 8, 26
# Of the finished picture, which is drawn larger.
WIDTH = 1140


def draw_clip(seed: int) -> tuple[SyntheticClip, dict[str, int]]:
    """A clip, and sentences about different objects with the index of each; first those that take words and sound."""
    rng = np.random.default_rng(seed)
    objects = draw_objects(rng, plan="both")
    clip = render_clip(rng, frame_size=FRAME_SIZE, objects=objects)
    chosen: dict[str, int] = {}
    for item in sorted(draw_expressions(rng, objects), key=lambda item: item.kind):  # both before words
        if item.kind in ("both", "words") and item.target not in chosen.values():
            chosen[item.text.strip()] = item.target
    return clip, dict(list(chosen.items())[:SENTENCES])


@torch.inference_mode()
def segment(checkpoint: str, clip: SyntheticClip, texts: list[str]) -> np.ndarray:
    """Masks bool `[E, T, H, W]`."""
    model, processor = load_checkpoint(checkpoint)
    inputs = processor(clip.frames, clip.waveform, texts, sampling_rate=SAMPLING_RATE)
    return processor.post_process_masks(model(**inputs), inputs["original_sizes"])[0].numpy()


def draw_sound(waveform: np.ndarray, width: int) -> Image.Image:
    """The loudness of a waveform `[samples]` over time, one line per pixel."""
    columns = np.array_split(np.abs(waveform), width)
    heights = np.array([column.max() for column in columns]) / max(np.abs(waveform).max(), 1e-9)
    rows = np.abs(np.linspace(-1, 1, SOUND_HEIGHT))[:, None]
    colors = np.where((rows <= heights)[..., None], palette(5)[4], 255)
    return Image.fromarray(colors.astype(np.uint8))


def draw_sheet(clip: SyntheticClip, masks: np.ndarray, texts: list[str]) -> Image.Image:
    """Frames, sound, and a row of masks for each sentence, with captions on the left."""
    height, width = FRAME_SIZE
    frames = clip.frames[SHOWN]
    gray = np.repeat(frames.mean(-1, keepdims=True) * 0.6, 3, axis=-1).astype(np.uint8)
    rows = [("the clip", frames)]
    for text, found, color in zip(texts, masks, palette(len(masks)), strict=True):
        rows.append((f"“{text}”", overlay(gray, found[SHOWN], color[None], alpha=0.8)))
    total = CAPTION_WIDTH + len(frames) * (width + GAP)
    sheet = Image.new("RGB", (total, SOUND_HEIGHT + len(rows) * (height + GAP) + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)

    def caption(text: str, middle: int) -> None:
        wrapped = "\n".join(textwrap.wrap(text, CAPTION_WIDTH // (FONT_SIZE // 2)))
        draw.multiline_text((0, middle), wrapped, "black", font, anchor="lm")

    top = 0
    for index, (text, pictures) in enumerate(rows):
        caption(text, top + height // 2)
        for column, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (CAPTION_WIDTH + column * (width + GAP), top))
        top += height + GAP
        if index == 0:
            caption("its sound", top + SOUND_HEIGHT // 2)
            sheet.paste(draw_sound(clip.waveform, total - CAPTION_WIDTH - GAP), (CAPTION_WIDTH, top))
            top += SOUND_HEIGHT + GAP
    return sheet.resize((WIDTH, round(WIDTH * sheet.height / total)), Image.Resampling.LANCZOS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(ROOT / "examples" / "sam2-love-tiny"), help="folder of a checkpoint")
    parser.add_argument("--seed", type=int, default=2, help="of the clip and its sentences")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "picture.jpg", help="file to write")
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    clip, targets = draw_clip(arguments.seed)
    masks = segment(arguments.model, clip, list(targets))
    for (text, target), found in zip(targets.items(), masks, strict=True):
        truth = clip.masks[target]
        union = (found | truth).sum((1, 2))
        iou = np.where(union > 0, (found & truth).sum((1, 2)) / np.maximum(union, 1), 1.0)
        print(f"{text}: mean IoU {iou.mean():.2f}")
    draw_sheet(clip, masks, list(targets)).save(arguments.output, quality=80)


if __name__ == "__main__":
    main()
