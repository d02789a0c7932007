"""What the band's sounds are made of: notes of a melody, curves, wavetables, noise and struck tones."""

from dataclasses import dataclass

import numpy as np

SAMPLING_RATE = 16000
HIGHEST = 7600.0
STEP = 32
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))


@dataclass(frozen=True)
class Notes:
    """`N` notes that follow each other without a gap and fill at least a given time.

    Attributes:
        starts: int64 `[N]`, in samples, a multiple of `STEP`.
        lengths: int64 `[N]`, in samples, a multiple of `STEP`.
        pitches: float `[N]`, in hertz.
        loudness: float `[N]`, 0.6 to 1.
    """

    starts: np.ndarray
    lengths: np.ndarray
    pitches: np.ndarray
    loudness: np.ndarray

    def hold(self, values: np.ndarray) -> np.ndarray:
        """One value per note `[N]` as a value per step of the whole phrase."""
        return np.repeat(values, self.lengths // STEP)

    def seconds(self) -> np.ndarray:
        """Seconds since the beginning of the phrase, per step."""
        return np.arange(self.lengths.sum() // STEP) * (STEP / SAMPLING_RATE)

    def since(self) -> np.ndarray:
        """Seconds since the beginning of the note, per step."""
        return self.seconds() - self.hold(self.starts / SAMPLING_RATE)

    def swell(self, attack: float, release: float) -> np.ndarray:
        """Loudness per step: each note rises from silence and falls back to it within so many seconds."""
        since = self.since()
        left = self.hold(self.lengths / SAMPLING_RATE) - since
        return self.hold(self.loudness) * np.clip(np.minimum(since / attack, left / release), 0, 1)

    def rows(self, num_samples: int) -> np.ndarray:
        """The number of the note that each sample belongs to."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)[:num_samples]

    def tones(self, tables: np.ndarray, pitch: np.ndarray, num_samples: int) -> np.ndarray:
        """Samples of the notes' wavetables `[N, size]` at a pitch in hertz per step."""
        return look_up(tables, turns(curve(pitch, num_samples)), self.rows(num_samples))


def scale(rng: np.random.Generator, lowest: float, highest: float) -> np.ndarray:
    """Pitches in hertz of a drawn key between two pitches, upwards."""
    degrees = np.asarray(SCALES[rng.integers(len(SCALES))])
    semitones = (degrees + 12 * np.arange(8)[:, None]).ravel() + rng.integers(12)
    pitches = 27.5 * 2 ** (semitones / 12)
    return pitches[(pitches >= lowest) & (pitches <= highest)]


def walk(rng: np.random.Generator, count: int, places: int, leap: int = 3) -> np.ndarray:
    """`count` indices below `places`, each at most `leap` from the one before, turned back at both ends."""
    positions = rng.integers(places) + np.cumsum(rng.integers(-leap, leap + 1, count))
    positions = np.mod(positions, max(2 * places - 2, 1))
    return np.where(positions < places, positions, 2 * places - 2 - positions)


def melody(
    rng: np.random.Generator, num_samples: int, lowest: float, highest: float, beat: float, lengths: tuple[float, ...]
) -> Notes:
    """A melody in a drawn key between two pitches (hertz); its notes last `beat` seconds times one of `lengths`."""
    count = int(num_samples / (min(lengths) * beat * SAMPLING_RATE)) + 2
    durations = np.maximum((rng.choice(lengths, count) * beat * SAMPLING_RATE / STEP).astype(np.int64), 1) * STEP
    count = int(np.searchsorted(np.cumsum(durations), num_samples)) + 1
    durations = durations[:count]
    pitches = scale(rng, lowest, highest)
    return Notes(
        starts=np.cumsum(durations) - durations,
        lengths=durations,
        pitches=pitches[walk(rng, count, len(pitches))],
        loudness=rng.uniform(0.6, 1.0, count),
    )


def curve(steps: np.ndarray, num_samples: int) -> np.ndarray:
    """Samples (float32 `[num_samples]`) of a curve given once per `STEP` samples, straight in between."""
    count = -(-num_samples // STEP)
    points = np.asarray(steps, np.float32)[: count + 1]
    points = np.concatenate([points, np.full(count + 1 - len(points), points[-1], np.float32)])
    ramp = np.arange(STEP, dtype=np.float32) / STEP
    return (points[:-1, None] + np.diff(points)[:, None] * ramp).ravel()[:num_samples]


def smooth(steps: np.ndarray, seconds: float) -> np.ndarray:
    """A curve per step, averaged over so many seconds."""
    width = max(int(seconds * SAMPLING_RATE / STEP), 1)
    padded = np.concatenate([np.full(width // 2, steps[0]), steps, np.full(width - 1 - width // 2, steps[-1])])
    sums = np.concatenate([[0.0], np.cumsum(padded)])
    return (sums[width:] - sums[:-width]) / width


def turns(pitch: np.ndarray) -> np.ndarray:
    """Turns (float64) since the first sample of a tone whose pitch in hertz is given per sample."""
    return np.cumsum(pitch, dtype=np.float64) / SAMPLING_RATE


def wavetables(amplitudes: np.ndarray, angles: np.ndarray | float = 0.0, size: int = 2048) -> np.ndarray:
    """One period (float32 `[..., size]`) of tones whose harmonics 1 to `H` have these amplitudes (`[..., H]`)."""
    spectrum = np.zeros((*amplitudes.shape[:-1], size // 2 + 1), np.complex64)
    spectrum[..., 1 : amplitudes.shape[-1] + 1] = amplitudes * np.exp(1j * np.asarray(angles)) * (-0.5j * size)
    return np.fft.irfft(spectrum).astype(np.float32)


def harmonics(pitches: np.ndarray, count: int) -> np.ndarray:
    """Frequencies in hertz (`[N, count]`) of the first harmonics of `N` pitches."""
    return np.asarray(pitches)[..., None] * np.arange(1, count + 1)


def audible(frequencies: np.ndarray) -> np.ndarray:
    """1 where a frequency can be played at 16 kHz, else 0."""
    return (frequencies < HIGHEST).astype(np.float64)


def resonance(frequencies: np.ndarray, center: float, width: float) -> np.ndarray:
    """Gain of a resonance, 1 at its center and 0.5 at `width` hertz from it."""
    return 1 / (1 + ((frequencies - center) / width) ** 2)


def look_up(tables: np.ndarray, turns: np.ndarray, rows: np.ndarray | int = 0) -> np.ndarray:
    """Samples of wavetables `[rows, size]` (a power of two) at these turns; `rows` says whose each sample is."""
    size = tables.shape[-1]
    index = (turns * size).astype(np.int64) & (size - 1)
    index += np.asarray(rows, np.int64) * size
    return np.take(tables.ravel(), index)


def struck(pitch: float, seconds: float, amplitudes: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """A tone whose harmonics (amplitudes `[H]`) each die away by themselves, at `rates` per second (`[H]`)."""
    count = int(seconds * SAMPLING_RATE)
    periods = np.ceil(pitch * 0.01)
    times = np.arange(0, seconds, periods / pitch)
    sounding = amplitudes * audible(harmonics(pitch, len(amplitudes)))
    tables = wavetables(sounding * np.exp(-np.outer(times, rates)), size=512)
    passed = np.arange(count) * (pitch / SAMPLING_RATE)
    sound = look_up(tables, passed, (passed / periods).astype(np.int64))
    release = min(count, int(0.03 * SAMPLING_RATE))
    sound[count - release :] *= np.linspace(1, 0, release, dtype=np.float32)
    return sound


def noise(rng: np.random.Generator, num_samples: int, low: float, high: float) -> np.ndarray:
    """Noise between two frequencies (hertz), root mean square about 1; what is longer than two seconds repeats."""
    count = min(num_samples, 2 * SAMPLING_RATE)
    spectrum = np.fft.rfft(rng.standard_normal(count, dtype=np.float32))
    frequencies = np.fft.rfftfreq(count, 1 / SAMPLING_RATE)
    spectrum *= 1 / np.sqrt((1 + (low / np.maximum(frequencies, 1)) ** 6) * (1 + (frequencies / high) ** 6))
    sound = np.fft.irfft(spectrum, count).astype(np.float32)
    sound /= max(float(np.sqrt(np.mean(sound**2))), 1e-6)
    return np.resize(sound, num_samples)


def place(sounds: list[tuple[int, float, np.ndarray]], num_samples: int) -> np.ndarray:
    """The sum of sounds, each given with the sample at which it begins and its gain; float32 `[num_samples]`."""
    total = np.zeros(num_samples, np.float32)
    for start, gain, sound in sounds:
        part = total[start : start + len(sound)]
        part += np.float32(gain) * sound[: len(part)]
    return total
