"""What writers of synthetic data sets share: names of clips, sound files."""

import wave
from pathlib import Path
from zlib import crc32

import numpy as np

_ID_LETTERS = list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def require_counts(clips: dict[str, int], splits: tuple[str, ...]) -> None:
    """Refuse numbers of clips that are for no split, not whole, negative or all zero."""
    unknown = not isinstance(clips, dict) or set(clips) - set(splits)
    if unknown or not any(clips.values()) or any(not isinstance(n, int) or n < 0 for n in clips.values()):
        raise ValueError(f"clips: got {clips}, expected numbers of clips (0 or more) for some of {', '.join(splits)}.")


def draw_video_id(split: str, index: int, num_frames: int, seed: int) -> str:
    """An id like `-a_b3Kx9Qzw_12000_22000`: eleven characters, start and end in milliseconds."""
    rng = np.random.default_rng([seed, crc32(f"{split}/{index}".encode())])
    letters = rng.choice(_ID_LETTERS, 11)
    if index % 4 == 0:
        letters[0] = "-"
    if index % 3 == 0:
        letters[5] = "_"
    start = 1000 * int(rng.integers(400))
    return f"{''.join(letters)}_{start}_{start + 1000 * num_frames}"


def write_wav(path: Path, waveform: np.ndarray, sampling_rate: int, mono: bool) -> None:
    """16-bit sound from a waveform `[channels, samples]` within -1..1; `mono` writes the mean of its channels."""
    samples = np.rint(32767 * (waveform.mean(0, keepdims=True) if mono else waveform)).astype("<i2")
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(samples))
        file.setsampwidth(2)
        file.setframerate(sampling_rate)
        file.writeframes(samples.T.tobytes())
