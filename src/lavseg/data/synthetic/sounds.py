"""Sounds of the band, made in code: for each category one kind of sound, a new phrase at each call."""

from collections.abc import Callable

import numpy as np

from .sound_parts import (
    SAMPLING_RATE,
    STEP,
    Notes,
    audible,
    curve,
    harmonics,
    look_up,
    melody,
    noise,
    phase,
    place,
    resonance,
    scale,
    smooth,
    struck,
    walk,
    wavetables,
)

SHORTEST = 1600
HISS = 1e-3


def play(category: str, rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Play a phrase of a category's sound, drawn anew at each call: melody or rhythm, key, tempo, timbre.

    Args:
        category: one of `PLAYERS`.
        num_samples: length of the phrase in samples at 16 kHz, at least 1.

    Returns:
        float32 `[num_samples]`, root mean square 1. It begins at once and nowhere pauses for over 0.3 seconds.
    """
    if category not in PLAYERS:
        raise ValueError(f"category: got {category!r}, expected one of {', '.join(PLAYERS)}.")
    if num_samples < 1:
        raise ValueError(f"num_samples: got {num_samples}, expected 1 or more.")
    sound = PLAYERS[category](rng, max(num_samples, SHORTEST))
    sound = sound / np.sqrt(np.mean(sound**2)) + HISS * (2 * rng.random(len(sound), np.float32) - 1)
    sound = sound[:num_samples].astype(np.float64)
    return (sound / np.sqrt(np.mean(sound**2))).astype(np.float32)


def _guitar(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Plucked strings: broken or strummed chords."""
    pitches = scale(rng, 82, 700)
    beat = rng.uniform(0.13, 0.24)
    strummed = rng.random() < 0.4
    where = rng.uniform(0.12, 0.3)
    number = np.arange(1, 25)
    amplitudes = np.abs(np.sin(np.pi * number * where)) / number**0.9
    rates = rng.uniform(1.2, 2.0) * (1 + 0.12 * number**1.3)
    click = noise(rng, 200, 1500, 6000) * np.linspace(1, 0, 200, dtype=np.float32) * 0.15
    sounds, start = [], 0
    while start < num_samples:
        root = rng.integers(max(len(pitches) - 10, 1))
        chord = pitches[np.minimum(root + np.array([0, 2, 4, 7, 9]), len(pitches) - 1)]
        strings = [struck(pitch, 1.1, amplitudes, rates) for pitch in chord]
        pattern = rng.permutation([0, 1, 2, 3, 4, 2, 3, 1])
        for place_in_bar in range(8):
            at = start + int(place_in_bar * beat * SAMPLING_RATE)
            plucked = [pattern[place_in_bar]]
            if strummed:
                plucked = [] if place_in_bar % 2 else list(range(5))[:: 1 if place_in_bar % 4 == 0 else -1]
            for order, string in enumerate(plucked):
                late = at + int(order * 0.014 * SAMPLING_RATE)
                sounds.append((late, rng.uniform(0.6, 1), strings[string]))
                sounds.append((late, 1, click))
        start += int(8 * beat * SAMPLING_RATE)
    return place(sounds, num_samples)


def _violin(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Bowed strings: a bright saw-tooth with slow attack and vibrato."""
    notes = melody(rng, num_samples, 260, 1100, rng.uniform(0.4, 0.7), (0.5, 1.0, 1.0, 2.0))
    since, left = notes.since(), notes.left()
    speed, depth = rng.uniform(5, 6.5), rng.uniform(0.008, 0.014)
    vibrato = 1 + depth * np.minimum(since / 0.2, 1) * np.sin(2 * np.pi * speed * np.arange(len(since)) * 0.002)
    pitch = smooth(notes.hold(notes.pitches), 0.03) * vibrato
    frequencies = harmonics(notes.pitches, 30)
    body = 0.5 + resonance(frequencies, 500, 150) + resonance(frequencies, 2800, 900)
    tables = wavetables(audible(frequencies) * body / np.arange(1, 31))
    envelope = notes.hold(notes.loudness) * np.minimum(np.minimum(since / 0.1, left / 0.05), 1) * 0.8 + 0.2
    sound = look_up(tables, phase(curve(pitch, num_samples)), _rows(notes, num_samples))
    sound += 0.03 * noise(rng, num_samples, 2000, 6000)
    return sound * curve(envelope, num_samples)


def _trumpet(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Brass: tongued notes that brighten as they swell."""
    notes = melody(rng, num_samples, 230, 800, rng.uniform(0.18, 0.3), (0.5, 1.0, 1.0, 2.0, 3.0))
    since, left = notes.since(), notes.left()
    frequencies = harmonics(notes.pitches, 24)
    number = np.arange(1, 25)
    dull = wavetables(audible(frequencies) / number**2)
    bright = wavetables(audible(frequencies) * (0.15 + resonance(frequencies, 1500, 700)))
    pitch = notes.hold(notes.pitches) * (1 - 0.03 * np.exp(-since / 0.015))
    envelope = np.minimum(np.minimum(since / 0.025, left / 0.04), 1) * notes.hold(notes.loudness)
    brightness = envelope * (0.45 + 0.5 * np.exp(-since / 0.12))
    turns, rows = phase(curve(pitch, num_samples)), _rows(notes, num_samples)
    share = curve(brightness, num_samples)
    sound = look_up(dull, turns, rows) * (1 - share) + look_up(bright, turns, rows) * share
    return sound * curve(envelope, num_samples)


def _drum(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """A rhythm of low thumps and bursts of noise."""
    step = int(rng.uniform(0.11, 0.2) * SAMPLING_RATE)
    time = np.arange(int(0.25 * SAMPLING_RATE)) / SAMPLING_RATE
    low, tone = rng.uniform(45, 70), rng.uniform(160, 240)
    thump = np.sin(2 * np.pi * (low * time + 5 * (1 - np.exp(-time / 0.03)) / 5)) * np.exp(-time / 0.09)
    snare = noise(rng, len(time), 700, 6000) * np.exp(-time / rng.uniform(0.04, 0.09))
    snare = 0.6 * snare + 0.5 * np.sin(2 * np.pi * tone * time) * np.exp(-time / 0.05)
    tick = noise(rng, len(time), 5000, 7500) * np.exp(-time / rng.uniform(0.01, 0.03))
    drums = [thump.astype(np.float32) * 1.6, snare.astype(np.float32), tick.astype(np.float32) * 0.5]
    bar = np.array([0, 2, 1, 2, 0, 0, 1, 2])
    bar[rng.integers(2, 8, 2)] = rng.integers(3, size=2)
    sounds = []
    for number, start in enumerate(range(0, num_samples, step)):
        sounds.append((start, rng.uniform(0.7, 1), drums[bar[number % 8]]))
    return place(sounds, num_samples)


def _keyboard(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """An electric piano: struck tones with a short decay, chords below a melody."""
    pitches = scale(rng, 200, 1000)
    beat = int(rng.uniform(0.2, 0.3) * SAMPLING_RATE)
    amplitudes = np.zeros(16)
    amplitudes[[0, 1, 2, 3, 13]] = 1, rng.uniform(0.3, 0.6), 0.12, 0.15, rng.uniform(0.15, 0.4)
    rates = np.full(16, rng.uniform(3, 5))
    rates[1:4], rates[13] = 7, 16
    count = num_samples // beat + 1
    tones = {}
    top = walk(rng, count, len(pitches))
    sounds = []
    for number in range(count):
        struck_now = [top[number]]
        if number % 4 == 0:
            root = rng.integers(max(len(pitches) - 6, 1))
        if number % 2 == 0:
            struck_now += [min(root + third, len(pitches) - 1) for third in (0, 2, 4)]
        for index in struck_now:
            if index not in tones:
                tones[index] = struck(pitches[index], 0.5, amplitudes, rates)
            sounds.append((number * beat, rng.uniform(0.6, 1), tones[index]))
    return place(sounds, num_samples)


def _flute(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Nearly pure tones with breath."""
    notes = melody(rng, num_samples, 520, 1600, rng.uniform(0.25, 0.45), (0.5, 1.0, 1.0, 2.0))
    since, left = notes.since(), notes.left()
    frequencies = harmonics(notes.pitches, 4)
    tables = wavetables(audible(frequencies) * np.array([1, 0.12, 0.05, 0.01]))
    tremble = np.sin(2 * np.pi * rng.uniform(4.5, 5.5) * np.arange(len(since)) * 0.002) * np.minimum(since / 0.3, 1)
    pitch = smooth(notes.hold(notes.pitches), 0.02) * (1 + 0.003 * tremble)
    envelope = notes.hold(notes.loudness) * (np.minimum(np.minimum(since / 0.06, left / 0.03), 1)) * (1 + 0.2 * tremble)
    breath = 0.08 + 0.3 * np.exp(-since / 0.03)
    sound = look_up(tables, phase(curve(pitch, num_samples)), _rows(notes, num_samples))
    return sound * curve(envelope, num_samples) + 0.6 * noise(rng, num_samples, 900, 5000) * curve(breath, num_samples)


def _bell(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Struck metal: frequency modulation at a crooked ratio, long decay."""
    count = 3 * SAMPLING_RATE
    time = np.arange(count, dtype=np.float32) / SAMPLING_RATE
    root, ratio, rate = rng.uniform(420, 700), rng.uniform(1.38, 1.43), rng.uniform(0.9, 1.6)
    bells = []
    for semitones in rng.permutation([0, 2, 4, 7, 9, 12])[:4]:
        pitch = np.float32(root * 2 ** (semitones / 12))
        side = np.sin(2 * np.pi * pitch * ratio * time) * (3 * np.exp(-2.2 * rate * time))
        low = np.sin(np.float32(np.pi * 1.004) * pitch * time) * np.exp(-0.7 * rate * time)
        bells.append(np.sin(2 * np.pi * pitch * time + side) * np.exp(-rate * time) + 0.4 * low)
    beat, sounds, start = rng.uniform(0.3, 0.7), [], 0
    while start < num_samples:
        sounds.append((start, rng.uniform(0.7, 1), bells[rng.integers(4)]))
        start += int(beat * rng.choice([0.5, 1, 1]) * SAMPLING_RATE)
    return place(sounds, num_samples)


def _saxophone(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """A reed: strong odd harmonics, scooped notes, a growl."""
    notes = melody(rng, num_samples, 130, 420, rng.uniform(0.2, 0.34), (0.66, 1.33, 1.0, 2.0))
    since, left = notes.since(), notes.left()
    number = np.arange(1, 33)
    frequencies = harmonics(notes.pitches, 32)
    reed = np.where(number % 2, 1.0, 0.35) / number**0.7
    throat = 0.15 + resonance(frequencies, 700, 250) + 0.6 * resonance(frequencies, 1900, 500)
    tables = wavetables(audible(frequencies) * reed * throat)
    times = np.arange(len(since)) * 0.002
    growl = 1 + rng.uniform(0.3, 0.5) * np.sin(2 * np.pi * rng.uniform(25, 40) * times)
    pitch = notes.hold(notes.pitches) * (1 - 0.06 * np.exp(-since / 0.05))
    pitch *= 1 + 0.006 * np.sin(2 * np.pi * 5 * times) * np.minimum(since / 0.3, 1)
    envelope = notes.hold(notes.loudness) * np.minimum(np.minimum(since / 0.04, left / 0.04), 1)
    sound = look_up(tables, phase(curve(pitch, num_samples)), _rows(notes, num_samples))
    sound += 0.08 * noise(rng, num_samples, 1000, 4000)
    return sound * curve(envelope * growl, num_samples)


def _accordion(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Steady chords of reeds in pairs that beat against each other."""
    notes = melody(rng, num_samples, 200, 420, rng.uniform(0.5, 0.8), (1.0, 2.0))
    since, left = notes.since(), notes.left()
    third = np.where(rng.random(len(notes.pitches)) < 0.5, 1.26, 1.189)
    beating = rng.uniform(0.012, 0.018)
    rows = _rows(notes, num_samples)
    sound = np.zeros(num_samples, np.float32)
    for interval in (np.ones(len(third)), third, np.full(len(third), 1.498), np.full(len(third), 2.0)):
        pitches = notes.pitches * interval
        frequencies = harmonics(pitches, 24)
        tables = wavetables(audible(frequencies) / np.arange(1, 25) ** 0.6, rng.uniform(0, 6, 24))
        for detune in (1.0, 1 + beating):
            turns = phase(curve(notes.hold(pitches * detune), num_samples)) + rng.random()
            sound += look_up(tables, turns, rows)
    envelope = np.minimum(np.minimum(since / 0.03, left / 0.03), 1) * 0.9 + 0.1
    return sound * curve(envelope, num_samples)


def _dog(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Barks in groups."""
    size = rng.uniform(0.8, 1.4)
    barks = [_bark(rng, size) for _ in range(3)]
    sounds, start = [], 0
    while start < num_samples:
        for _ in range(rng.integers(2, 4)):
            bark = barks[rng.integers(3)]
            sounds.append((start, rng.uniform(0.7, 1), bark))
            start += len(bark) + int(rng.uniform(0.06, 0.13) * SAMPLING_RATE)
        start += int(rng.uniform(0.05, 0.1) * SAMPLING_RATE)
    return place(sounds, num_samples)


def _bark(rng: np.random.Generator, size: float) -> np.ndarray:
    """One bark: a voiced sweep through an opening and closing mouth, rough with noise."""
    count = int(rng.uniform(0.13, 0.2) * SAMPLING_RATE)
    share = np.arange(count) / count
    pitch = size * rng.uniform(300, 420) * (0.7 + 0.6 * np.sin(np.pi * share**0.7))
    frequencies = harmonics(np.array([size * 380]), 16)
    closed = wavetables(audible(frequencies) * resonance(frequencies, 500 * size, 200))
    opened = wavetables(audible(frequencies) * (resonance(frequencies, 1100 * size, 350)))
    mouth = np.sin(np.pi * share)
    turns = phase(pitch)
    voice = look_up(closed, turns) * (1 - mouth) + look_up(opened, turns) * mouth
    breath = noise(rng, count, 500 * size, 2500 * size)
    return ((voice + 0.35 * breath) * np.sin(np.pi * share**0.5)).astype(np.float32)


def _bird(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Chirps: fast sweeps high up, in trills."""
    chirps = []
    for _ in range(4):
        count = int(rng.uniform(0.05, 0.14) * SAMPLING_RATE)
        share = np.arange(count) / count
        low, high = np.sort(rng.uniform(2000, 6000, 2))
        sweep = share if rng.random() < 0.5 else 1 - share
        if rng.random() < 0.4:
            sweep = 0.5 + 0.5 * np.sin(2 * np.pi * rng.integers(1, 4) * share)
        pitch = low + (max(high, low + 1000) - low) * sweep
        chirps.append((np.sin(2 * np.pi * phase(pitch)) * np.sin(np.pi * share)).astype(np.float32))
    sounds, start = [], 0
    while start < num_samples:
        chirp, gap = chirps[rng.integers(4)], int(rng.uniform(0.01, 0.06) * SAMPLING_RATE)
        for _ in range(rng.integers(1, 6)):
            sounds.append((start, rng.uniform(0.7, 1), chirp))
            start += len(chirp) + gap
        start += int(rng.uniform(0.02, 0.15) * SAMPLING_RATE)
    return place(sounds, num_samples)


def _car(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """An engine: low pulses whose rate rises and falls, with noise."""
    count = num_samples // STEP + 2
    speeds = rng.uniform(0, 1, num_samples // SAMPLING_RATE + 2)
    speed = np.interp(np.arange(count) * STEP / SAMPLING_RATE, np.arange(len(speeds)), speeds)
    pitch = rng.uniform(28, 40) * (1 + 1.6 * smooth(speed, 0.4))
    frequencies = harmonics(np.array([55.0]), 60)
    tables = wavetables(
        audible(frequencies) * (0.1 + resonance(frequencies, 120, 80)) / np.arange(1, 61) ** 0.6, rng.uniform(0, 2, 60)
    )
    turns = phase(curve(pitch, num_samples))
    sound = look_up(tables, turns)
    sound /= np.sqrt(np.mean(sound**2))
    rumble = noise(rng, num_samples, 60, 500)
    return sound * (1 + 0.2 * np.sin(np.pi * turns).astype(np.float32)) + 0.5 * rumble


def _rows(notes: Notes, num_samples: int) -> np.ndarray:
    """The number of the note that each sample belongs to."""
    return np.repeat(np.arange(len(notes.lengths)), notes.lengths)[:num_samples]


PLAYERS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "guitar": _guitar,
    "violin": _violin,
    "trumpet": _trumpet,
    "drum": _drum,
    "keyboard": _keyboard,
    "flute": _flute,
    "bell": _bell,
    "saxophone": _saxophone,
    "accordion": _accordion,
    "dog": _dog,
    "bird": _bird,
    "car": _car,
}
