"""Cut-outs and their sounds on disk, as a user would have them."""

import wave

import numpy as np
from PIL import Image


def picture(path, alpha, color=(200, 30, 30)):
    """A PNG of one colour with this transparency, `[h, w]`."""
    pixels = np.empty((*alpha.shape, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = color, alpha
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def blob(height=40, width=60, rows=slice(5, 25), columns=slice(10, 50)):
    alpha = np.zeros((height, width), np.uint8)
    alpha[rows, columns] = 255
    return alpha


def tone(path, waveform, rate=16000):
    """A 16-bit WAV file of a waveform `[samples]` or `[channels, samples]`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waveform = np.atleast_2d(waveform)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(waveform))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((32767 * waveform.T).astype("<i2").tobytes())
    return path


def sine(seconds, rate=16000, level=0.3, pitch=440):
    return level * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)


def write_cut_outs(folder, categories, count=2, seconds=2):
    """`<category>/<number>.png` and `.wav`: blobs and tones, each category with a colour and a pitch of its own."""
    for index, name in enumerate(categories):
        for number in range(count):
            color = (40 * index % 200 + 30, 200 - 25 * index, 90 * number + 60)
            picture(folder / name / f"{number}.png", blob(columns=slice(10, 50 - 15 * number)), color)
            tone(folder / name / f"{number}.wav", sine(seconds, pitch=200 + 100 * index + 30 * number))
    return folder
