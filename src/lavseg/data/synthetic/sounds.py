"""Sounds of the band, made in code: for each category one kind of sound, a new phrase at each call."""

from collections.abc import Callable

import numpy as np

from .sound_parts import (
    SAMPLING_RATE,
    STEP,
    audible,
    curve,
    harmonics,
    look_up,
    melody,
    noise,
    place,
    resonance,
    scale,
    smooth,
    struck,
    turns,
    walk,
    wavetables,
)

SHORTEST = 1600
HISS = 1e-3
CHORDS = ((4, 5, 6, 8), (10, 12, 15, 20))


def play(category: str, rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Play a phrase of a category's sound, drawn anew at each call: melody or rhythm, key, tempo, timbre.

    Args:
        category: one of `PLAYERS`.
        num_samples: length of the phrase in samples at 16 kHz, at least 1.

    Returns:
        float32 `[num_samples]`, root mean square 1. It begins at once and nowhere pauses for over 0.3 seconds.

    Raises:
        ValueError: for another category, or a phrase without samples.
    """
    if category not in PLAYERS:
        raise ValueError(f"category: got {category!r}, expected one of {', '.join(PLAYERS)}.")
    if num_samples < 1:
        raise ValueError(f"num_samples: got {num_samples}, expected 1 or more.")
    sound = PLAYERS[category](rng, max(num_samples, SHORTEST))
    hiss = HISS * np.sqrt(np.mean(sound**2)) * (2 * rng.random(len(sound), np.float32) - 1)
    sound = (sound + hiss)[:num_samples]
    return (sound / np.sqrt(np.mean(sound**2, dtype=np.float64))).astype(np.float32)


def _guitar(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Plucked strings: broken or strummed chords."""
    pitches = scale(rng, 82, 600)
    beat = rng.uniform(0.13, 0.24)
    strummed = rng.random() < 0.4
    number = np.arange(1, 25)
    amplitudes = np.abs(np.sin(np.pi * number * rng.uniform(0.12, 0.3))) / number**0.9
    rates = rng.uniform(1.2, 2.0) * (1 + 0.12 * number**1.3)
    click = noise(rng, 200, 1500, 6000) * np.linspace(0.15, 0, 200, dtype=np.float32)
    strings = {}
    sounds = []
    for count in range(int(num_samples / (beat * SAMPLING_RATE)) + 1):
        if count % 8 == 0:
            chord = np.minimum(rng.integers(len(pitches) - 9) + np.array([0, 2, 4, 7, 9]), len(pitches) - 1)
            pattern = rng.permutation([0, 1, 2, 3, 4, 2, 3, 1])
        plucked = chord[pattern[count % 8] :][:1]
        if strummed:
            plucked = (chord, chord[:0], chord[::-1], chord[3:])[count % 4]
        for order, string in enumerate(plucked):
            if string not in strings:
                strings[string] = struck(pitches[string], 1.1, amplitudes, rates)
            start = int((count * beat + order * 0.014) * SAMPLING_RATE)
            sounds += [(start, rng.uniform(0.6, 1), strings[string]), (start, 1, click)]
    return place(sounds, num_samples)


def _violin(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Bowed strings: long notes, bright as a saw, that set in slowly and tremble."""
    notes = melody(rng, num_samples, 300, 1100, rng.uniform(0.5, 0.8), (0.5, 1.0, 1.0, 2.0))
    since = notes.since()
    vibrato = rng.uniform(0.01, 0.016) * np.minimum(since / 0.2, 1)
    vibrato *= np.sin(2 * np.pi * rng.uniform(5, 6.5) * notes.seconds())
    pitch = smooth(notes.hold(notes.pitches), 0.04) * (1 + vibrato)
    frequencies = harmonics(notes.pitches, 25)
    body = 0.5 + resonance(frequencies, rng.uniform(430, 560), 150)
    body += 1.5 * resonance(frequencies, rng.uniform(2600, 3400), 1200)
    tables = wavetables(audible(frequencies) * body / np.arange(1, 26) ** 0.8, rng.uniform(0, 6, 25))
    sound = notes.tones(tables, pitch, num_samples)
    sound += 0.1 * noise(rng, num_samples, 2500, 7000)
    return sound * curve(0.2 + 0.8 * notes.swell(0.12, 0.05), num_samples)


def _trumpet(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Brass: tongued notes that brighten as they swell."""
    notes = melody(rng, num_samples, 280, 800, rng.uniform(0.2, 0.3), (0.5, 0.5, 1.0, 1.0, 3.0))
    since = notes.since()
    frequencies = harmonics(notes.pitches, 24)
    angles = rng.uniform(0, 6, 24)
    dull = wavetables(audible(frequencies) / np.arange(1, 25) ** 2, angles)
    bright = wavetables(audible(frequencies) * (0.03 + resonance(frequencies, rng.uniform(1150, 1500), 500)), angles)
    envelope = notes.swell(0.025, 0.07)
    share = curve(envelope * (0.5 + 0.5 * np.exp(-since / 0.1)), num_samples)
    passed = turns(curve(notes.hold(notes.pitches) * (1 - 0.03 * np.exp(-since / 0.015)), num_samples))
    rows = notes.rows(num_samples)
    sound = look_up(dull, passed, rows) * (1 - share) + look_up(bright, passed, rows) * share
    return sound * curve(envelope, num_samples)


def _drum(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """A rhythm of low thumps and bursts of noise."""
    step = int(rng.uniform(0.11, 0.2) * SAMPLING_RATE)
    time = np.arange(4000, dtype=np.float32) / SAMPLING_RATE
    low, tone = rng.uniform(45, 70), rng.uniform(160, 240)
    thump = np.sin(2 * np.pi * (low * time + 2 * (1 - np.exp(-time / 0.03)))) * np.exp(-time / 0.09)
    snare = 0.6 * noise(rng, len(time), 700, 6000) * np.exp(-time / rng.uniform(0.04, 0.09))
    snare += 0.5 * np.sin(2 * np.pi * tone * time) * np.exp(-time / 0.05)
    tick = noise(rng, len(time), 5000, 7500) * np.exp(-time / rng.uniform(0.01, 0.03))
    drums = [1.6 * thump, snare, 0.5 * tick]
    bar = np.array([0, 2, 1, 2, 0, 0, 1, 2])
    bar[rng.integers(2, 8, 2)] = rng.integers(3, size=2)
    starts = range(0, num_samples, step)
    return place([(start, rng.uniform(0.7, 1), drums[bar[i % 8]]) for i, start in enumerate(starts)], num_samples)


def _keyboard(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """An electric piano: struck tones with a short decay, chords below a melody."""
    pitches = scale(rng, 180, 800)
    beat = int(rng.uniform(0.2, 0.28) * SAMPLING_RATE)
    amplitudes = np.zeros(16)
    amplitudes[[0, 1, 2, 3, 13]] = 1, rng.uniform(0.3, 0.6), 0.12, 0.15, rng.uniform(0.1, 0.3)
    rates = np.full(16, rng.uniform(3, 5))
    rates[1:4], rates[13] = 7, 20
    tones = [struck(pitch, 0.35, amplitudes, rates) for pitch in pitches]
    count = num_samples // beat + 1
    sounds = []
    for number, top in enumerate(walk(rng, count, len(pitches))):
        if number % 4 == 0:
            root = rng.integers(len(pitches) - 4)
        for index in {top, root, root + 2, root + 4} if number % 2 == 0 else {top}:
            sounds.append((number * beat, rng.uniform(0.6, 1) if index == top else 0.5, tones[index]))
    return place(sounds, num_samples)


def _flute(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Nearly pure tones with breath."""
    notes = melody(rng, num_samples, 520, 1600, rng.uniform(0.25, 0.45), (0.5, 1.0, 1.0, 2.0))
    since = notes.since()
    overtones = np.array([1, rng.uniform(0.05, 0.2), rng.uniform(0.02, 0.08), 0.01])
    tables = wavetables(np.tile(overtones, (len(notes.pitches), 1)))
    tremble = np.sin(2 * np.pi * rng.uniform(4.5, 5.5) * notes.seconds()) * np.minimum(since / 0.3, 1)
    pitch = smooth(notes.hold(notes.pitches), 0.02) * (1 + 0.003 * tremble)
    sound = notes.tones(tables, pitch, num_samples) * curve(notes.swell(0.06, 0.03) * (1 + 0.2 * tremble), num_samples)
    breath = curve(0.05 + 0.2 * np.exp(-since / 0.03), num_samples)
    return sound + breath * noise(rng, num_samples, 900, 5000)


def _bell(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Struck metal: frequency modulation at a crooked ratio, long decay."""
    time = np.arange(2 * SAMPLING_RATE, dtype=np.float32) / SAMPLING_RATE
    root, ratio, rate = rng.uniform(550, 950), rng.uniform(1.38, 1.43), rng.uniform(1.2, 2.0)
    fading = np.exp(-rate * time)
    bells = []
    for semitones in rng.permutation([0, 2, 4, 7, 9, 12])[:3]:
        pitch = root * 2 ** (semitones / 12)
        side = np.sin(2 * np.pi * pitch * ratio * time) * rng.uniform(3, 4) * fading
        hum = 0.4 * np.sin(np.pi * 1.004 * pitch * time)
        clang = 0.6 * np.sin(2 * np.pi * 4.07 * pitch * time) * fading**3
        bells.append((np.sin(2 * np.pi * pitch * time + side) + hum + clang) * fading)
    beat, sounds, start = rng.uniform(0.3, 0.8), [], 0
    while start < num_samples:
        sounds.append((start, rng.uniform(0.7, 1), bells[rng.integers(3)]))
        start += int(beat * rng.choice([0.5, 1, 1]) * SAMPLING_RATE)
    return place(sounds, num_samples)


def _saxophone(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """A reed: strong odd harmonics, scooped notes, a growl."""
    notes = melody(rng, num_samples, 110, 350, rng.uniform(0.2, 0.34), (0.66, 1.33, 1.0, 2.0))
    since = notes.since()
    number = np.arange(1, 33)
    frequencies = harmonics(notes.pitches, 32)
    reed = np.where(number % 2, 1.0, 0.35) / number**0.7
    throat = 0.15 + resonance(frequencies, rng.uniform(600, 800), 250)
    throat += 0.6 * resonance(frequencies, rng.uniform(1700, 2100), 500)
    tables = wavetables(audible(frequencies) * reed * throat, rng.uniform(0, 6, 32))
    seconds = notes.seconds()
    growl = 1 + rng.uniform(0.3, 0.5) * np.sin(2 * np.pi * rng.uniform(25, 40) * seconds)
    pitch = notes.hold(notes.pitches) * (1 - 0.06 * np.exp(-since / 0.05))
    pitch *= 1 + 0.006 * np.sin(2 * np.pi * 5 * seconds) * np.minimum(since / 0.3, 1)
    sound = notes.tones(tables, pitch, num_samples) + 0.05 * noise(rng, num_samples, 1000, 4000)
    return sound * curve(notes.swell(0.04, 0.04) * growl, num_samples)


def _accordion(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Steady chords of reeds in pairs that beat against each other."""
    notes = melody(rng, num_samples, 200, 420, rng.uniform(0.5, 0.8), (0.5, 1.0, 1.0))
    chords = np.asarray(CHORDS)[rng.integers(2, size=len(notes.pitches))]
    bases = notes.pitches / chords[:, 0]
    amplitudes = np.zeros((len(bases), 480))
    tilt = rng.uniform(0.5, 0.8)
    for number in range(1, 25):
        np.put_along_axis(amplitudes, number * chords - 1, number**-tilt, axis=1)
    tables = wavetables(amplitudes * audible(harmonics(bases, 480)), rng.uniform(0, 6, 480), size=8192)
    sound = np.zeros(num_samples, np.float32)
    for detuned in (1.0, rng.uniform(1.012, 1.018)):
        sound += notes.tones(tables, notes.hold(bases * detuned), num_samples)
    return sound * curve(0.1 + 0.9 * notes.swell(0.03, 0.03), num_samples)


def _dog(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Barks in groups."""
    size = rng.uniform(0.8, 1.4)
    barks = [_bark(rng, size) for _ in range(3)]
    sounds, start = [], 0
    while start < num_samples:
        for _ in range(rng.integers(2, 4)):
            bark = barks[rng.integers(3)]
            sounds.append((start, rng.uniform(0.7, 1), bark))
            start += len(bark) + int(rng.uniform(0.04, 0.14) * SAMPLING_RATE)
        start += int(rng.uniform(0.05, 0.1) * SAMPLING_RATE)
    return place(sounds, num_samples)


def _bark(rng: np.random.Generator, size: float) -> np.ndarray:
    """One bark: a voice that sweeps up and down through an opening and closing mouth, rough with noise."""
    count = int(rng.uniform(0.13, 0.2) * SAMPLING_RATE)
    share = np.arange(count) / count
    passed = turns(size * rng.uniform(300, 420) * (0.7 + 0.6 * np.sin(np.pi * share**0.7)))
    frequencies = harmonics(size * 380, 16)
    angles = rng.uniform(0, 6, 16)
    closed = look_up(wavetables(audible(frequencies) * resonance(frequencies, 500 * size, 200), angles), passed)
    opened = look_up(wavetables(audible(frequencies) * resonance(frequencies, 1100 * size, 350), angles), passed)
    mouth = np.sin(np.pi * share)
    breath = 0.35 * noise(rng, count, 500 * size, 2500 * size)
    return (closed * (1 - mouth) + opened * mouth + breath) * np.sin(np.pi * share**0.5)


def _bird(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """Chirps: fast sweeps high up, in trills."""
    chirps = [_chirp(rng) for _ in range(4)]
    sounds, start = [], 0
    while start < num_samples:
        chirp, gap = chirps[rng.integers(4)], int(rng.uniform(0.01, 0.06) * SAMPLING_RATE)
        for _ in range(rng.integers(1, 6)):
            sounds.append((start, rng.uniform(0.7, 1), chirp))
            start += len(chirp) + gap
        start += int(rng.uniform(0.02, 0.12) * SAMPLING_RATE)
    return place(sounds, num_samples)


def _chirp(rng: np.random.Generator) -> np.ndarray:
    """One sweep between 2 and 6 kHz: up, down, or up and down a few times."""
    count = int(rng.uniform(0.05, 0.14) * SAMPLING_RATE)
    share = np.arange(count) / count
    shapes = (share, 1 - share, 0.5 + 0.5 * np.sin(2 * np.pi * rng.integers(1, 4) * share))
    low = rng.uniform(2000, 4500)
    pitch = low + rng.uniform(1000, 6000 - low) * shapes[rng.integers(3)]
    return np.sin(2 * np.pi * turns(pitch)) * np.sin(np.pi * share)


def _car(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """An engine: low pulses that quicken and drop back as the gears change, with noise."""
    gears = rng.uniform(1.2, 3, int(num_samples / SAMPLING_RATE) + 1)
    ends = np.cumsum(gears)
    corners = np.column_stack([ends - gears, ends - 0.25]).ravel()
    speeds = np.column_stack([rng.uniform(1, 1.5, len(gears)), rng.uniform(1.8, 2.8, len(gears))]).ravel()
    steps = np.arange(0, num_samples + STEP, STEP) / SAMPLING_RATE
    passed = turns(curve(rng.uniform(28, 40) * np.interp(steps, corners, speeds), num_samples))
    frequencies = harmonics(55, 60)
    pulses = (0.1 + resonance(frequencies, rng.uniform(90, 160), 80)) / np.arange(1, 61)
    sound = look_up(wavetables(pulses, rng.uniform(0, 2, 60)), passed)
    sound *= (1 + 0.2 * np.sin(np.pi * passed)) / np.sqrt(np.mean(sound**2))
    return sound + 0.5 * noise(rng, num_samples, 60, 500)


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
