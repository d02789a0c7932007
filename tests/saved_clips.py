"""Clips and a checkpoint in files, and masks read from files."""

import io
import json
import zipfile

import numpy as np
import torch
from PIL import Image
from tiny.configurations import tiny_config

from lavseg.data import build_tokenizer, render_clip
from lavseg.media import write_video
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel, Sam2LoveProcessor

SECONDS = 4


def save_clips(folder):
    """A clip, one without sound, a file that is none, and one that was cut short."""
    clip = render_clip(np.random.default_rng(0), SECONDS, (60, 82))
    write_video(folder / "clip.mp4", clip.frames, 1, clip.waveform, 16000)
    write_video(folder / "mute.mp4", clip.frames, 1)
    (folder / "notes.mp4").write_text("no video")
    (folder / "half.mp4").write_bytes((folder / "clip.mp4").read_bytes()[:3000])
    return folder


def visible_sam2_love(vocab_size):
    """An untrained SAM2-LOVE that judges every object visible, so that its masks are not blank."""
    torch.manual_seed(0)
    model = Sam2LoveModel(tiny_config(Sam2LoveConfig, vocab_size)).eval()
    torch.nn.init.constant_(model.sam2.mask_decoder.pred_obj_score_head.proj_out.bias, 10.0)
    return model


def save_checkpoint(folder):
    """`visible_sam2_love` with its processor."""
    tokenizer = build_tokenizer()
    model = visible_sam2_love(len(tokenizer))
    model.save_pretrained(folder)
    Sam2LoveProcessor.from_config(model.config, tokenizer).save_pretrained(folder)
    return folder


def masks_in(archive):
    """The masks `[E, T, H, W]` and the sentences of a zip file with a result."""
    with zipfile.ZipFile(archive) as files:
        names = sorted(name for name in files.namelist() if name.endswith(".png"))
        masks = [np.asarray(Image.open(io.BytesIO(files.read(name)))) > 0 for name in names]
        labels = [item["text"] for item in json.loads(files.read("result.json"))["expressions"]]
    assert names == [f"{i}/{t:05d}.png" for i in range(len(labels)) for t in range(len(names) // len(labels))]
    return np.stack(masks).reshape(len(labels), -1, *masks[0].shape), labels


def decode_rle(rle: dict) -> np.ndarray:
    """The mask, bool `[H, W]`, of COCO's compressed run-length encoding.

    Raises:
        ValueError: the runs do not fill the mask.
    """
    height, width = rle["size"]
    letters = np.frombuffer(rle["counts"].encode("ascii"), np.uint8).astype(np.int64) - 48
    last = (letters & 32) == 0
    number = np.cumsum(last) - last
    begins = np.flatnonzero(np.concatenate([[True], last[:-1]]))
    place = np.arange(len(letters)) - begins[number]
    values = np.zeros(int(last.sum()), np.int64)
    np.add.at(values, number, (letters & 31) << (5 * place))
    negative = (letters[last] & 16) > 0
    values[negative] -= 1 << (5 * (place[last][negative] + 1))
    runs = values.copy()
    runs[1::2], runs[2::2] = values[1::2].cumsum(), values[2::2].cumsum()
    if (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(f"counts: the runs add up to {runs.sum()} pixels, {height} x {width} were stated")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width, order="F")
