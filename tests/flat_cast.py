"""A cast whose members are told apart without looking and listening closely: one colour and one pitch each."""

from dataclasses import dataclass

import numpy as np

COLORS = {
    "guitar": (230, 20, 20),
    "drum": (20, 230, 20),
    "dog": (20, 20, 230),
    "car": (230, 230, 20),
    "flute": (230, 20, 230),
    "bell": (20, 230, 230),
    "bird": (230, 230, 230),
}
PITCHES = {name: 300 + 500 * index for index, name in enumerate(COLORS)}
SAMPLING_RATE = 16000


@dataclass(frozen=True)
class FlatCast:
    """Squares that whistle, on black."""

    categories: tuple[str, ...] = tuple(COLORS)
    unseen: tuple[str, ...] = ("bird",)
    instruments: tuple[str, ...] = ("guitar", "drum", "flute", "bell")

    def picture(self, category, choice, rng, size):
        return np.full((size, size, 4), (*COLORS[category], 255), np.uint8)

    def sound(self, category, choice, rng, num_samples):
        time = np.arange(num_samples) / SAMPLING_RATE
        return (np.sqrt(2) * np.sin(2 * np.pi * PITCHES[category] * time)).astype(np.float32)

    def background(self, rng, height, width):
        return np.zeros((height, width, 3), np.uint8)


def shown(pixels):
    """The category whose colour most of these pixels `[N, 3]` have."""
    distances = np.abs(np.array(list(COLORS.values())) - np.median(pixels, axis=0)).sum(1)
    return list(COLORS)[distances.argmin()]


def heard(waveform, rate):
    """The categories whose pitch is heard in a waveform `[channels, samples]` of whole seconds."""
    spectrum = np.abs(np.fft.rfft(waveform.mean(0))) / waveform.shape[1]
    bins = {name: round(pitch * waveform.shape[1] / rate) for name, pitch in PITCHES.items()}
    return {name for name, place in bins.items() if spectrum[place - 1 : place + 2].max() > 0.004}
