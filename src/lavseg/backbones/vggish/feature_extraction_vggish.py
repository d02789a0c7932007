"""VGGish audio front end: waveform to log-mel patches of 0.96 s."""

import math
from collections.abc import Sequence
from functools import lru_cache
from numbers import Real

import numpy as np
import torch
import torchaudio
from transformers import BatchFeature, FeatureExtractionMixin
from transformers.audio_utils import mel_filter_bank

from ...modeling.inputs import check_constants
from .channels import to_stereo

SAMPLING_RATE = 16000
FRAME_LENGTH, HOP_LENGTH, FFT_LENGTH = 400, 160, 512
FRAMES_PER_PATCH, NUM_MEL_BANDS = 96, 64
PATCH_SAMPLES = (FRAMES_PER_PATCH - 1) * HOP_LENGTH + FRAME_LENGTH
LOG_OFFSET = 0.01

# resampy's "kaiser_best" filter, which the published front ends resample with.
RESAMPLING_FILTER = {
    "resampling_method": "sinc_interp_kaiser",
    "lowpass_filter_width": 50,
    "rolloff": 0.917347,
    "beta": 12.9846,
}
MAX_FILTER_BANK = 2**25
# Decoders of lossy formats overshoot 1 a little; PCM that was not divided by its full scale goes far beyond.
LOUDEST = 8.0
# Filter values that are computed at a time where there is no bank.
_CHUNK = 2**22
# Hz. Sound at a lower rate holds nothing to be heard, and takes many times its memory at 16 kHz.
RATES = range(1000, 1_000_001)

Waveform = np.ndarray | torch.Tensor | Sequence[float]


def resample(waveform: torch.Tensor, orig: int, new: int) -> torch.Tensor:
    """Band-limited resampling with resampy's "kaiser_best" filter, in float64.

    Args:
        waveform: real samples `[..., samples]`.
        orig: rate of `waveform` in Hz, a positive whole number.
        new: wanted rate in Hz, a positive whole number.

    Returns:
        float64 tensor `[..., samples * new // orig]`.

    Raises:
        ValueError: for a rate that is not positive and whole.
    """
    orig, new = _check_rate(orig, "orig"), _check_rate(new, "new")
    waveform = waveform.to(torch.float64)
    length = waveform.shape[-1] * new // orig
    if orig == new or length == 0:
        return waveform[..., :length]
    divisor = math.gcd(orig, new)
    if (orig // divisor) * (new // divisor) > MAX_FILTER_BANK:
        return _resample_without_bank(waveform, orig, new, length)
    return torchaudio.functional.resample(waveform, orig, new, **RESAMPLING_FILTER)[..., :length]


def _resample_without_bank(waveform: torch.Tensor, orig: int, new: int, length: int) -> torch.Tensor:
    """As torchaudio, whose bank of filters for two rates with hardly a common divisor would not fit in memory: here
    the filter of each sample is computed as it is used."""
    lobes, beta = RESAMPLING_FILTER["lowpass_filter_width"], RESAMPLING_FILTER["beta"]
    cutoff = min(orig, new) * RESAMPLING_FILTER["rolloff"]
    width = math.ceil(lobes * orig / cutoff)
    padded = torch.nn.functional.pad(waveform, (width, width + 1))
    taps = torch.arange(-width, width + 1)
    pieces = []
    for samples in torch.arange(length).split(max(1, _CHUNK // len(taps))):
        nearest = samples * orig // new
        # Whole numbers until the last step, as rounding would grow with the sound.
        behind = (samples * orig - nearest * new).to(torch.float64) / (new * orig)
        seconds = (taps.to(torch.float64) / orig - behind[:, None]) * cutoff
        seconds = seconds.clamp(-lobes, lobes)
        window = torch.special.i0(beta * (1 - (seconds / lobes) ** 2).sqrt()) / torch.special.i0(torch.tensor(beta))
        filters = torch.sinc(seconds) * window * (cutoff / orig)
        pieces.append((padded[..., nearest[:, None] + taps + width] * filters).sum(-1))
    return torch.cat(pieces, dim=-1)


def log_mel_patches(waveform: torch.Tensor) -> torch.Tensor:
    """Log-mel patches of a 16 kHz waveform; an incomplete last patch is dropped.

    The magnitude spectrum (25 ms periodic Hann frames every 10 ms, neither centred nor padded) goes through the mel
    matrix, then ln(x + 0.01). Computed in float64: float32 is off by up to 4e-4.

    Args:
        waveform: float64 `[C, samples]`.

    Returns:
        float32 `[A, C, 96, 64]`; `A` is 0 below 15,600 samples.
    """
    channels, samples = waveform.shape
    num_patches = ((samples - FRAME_LENGTH) // HOP_LENGTH + 1) // FRAMES_PER_PATCH if samples >= FRAME_LENGTH else 0
    if num_patches == 0:
        return torch.empty(0, channels, FRAMES_PER_PATCH, NUM_MEL_BANDS, dtype=torch.float32)
    frames = waveform.unfold(-1, FRAME_LENGTH, HOP_LENGTH)[:, : num_patches * FRAMES_PER_PATCH]
    window = torch.hann_window(FRAME_LENGTH, periodic=True, dtype=torch.float64)
    magnitudes = torch.fft.rfft(frames * window, n=FFT_LENGTH).abs()
    log_mel = torch.log(magnitudes @ _mel_filters() + LOG_OFFSET)
    return log_mel.unflatten(1, (num_patches, FRAMES_PER_PATCH)).transpose(0, 1).to(torch.float32)


@lru_cache(maxsize=1)
def _mel_filters() -> torch.Tensor:
    """Mel matrix `[257, 64]` in float64: 125 to 7500 Hz, triangles that are linear in (HTK) mel."""
    filters = mel_filter_bank(
        num_frequency_bins=FFT_LENGTH // 2 + 1,
        num_mel_filters=NUM_MEL_BANDS,
        min_frequency=125.0,
        max_frequency=7500.0,
        sampling_rate=SAMPLING_RATE,
        norm=None,
        mel_scale="htk",
        triangularize_in_mel_space=True,
    )
    return torch.from_numpy(filters)


def _check_rate(rate: float, name: str) -> int:
    whole = isinstance(rate, Real) and not isinstance(rate, bool) and 0 < rate < math.inf and rate == int(rate)
    if not whole:
        raise ValueError(f"{name} must be a positive whole number of Hz, such as 16000, got {rate!r}")
    return int(rate)


def check_sampling_rate(rate: float) -> int:
    """The rate of a sound that can be taken, in Hz.

    Raises:
        ValueError: when it is not whole, or outside `RATES`.
    """
    rate = _check_rate(rate, "sampling_rate")
    if rate not in RATES:
        raise ValueError(
            f"sampling_rate must be from {RATES[0]} to {RATES[-1]} Hz, got {rate}: give the waveform's own"
        )
    return rate


def _check_count(value: int, name: str, minimum: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}")


def _is_batch(waveform: Waveform | Sequence[Waveform]) -> bool:
    """True for a list of clips; False for one clip, which may be a list of numbers."""
    if not isinstance(waveform, list | tuple):
        return False
    if not waveform:
        raise ValueError("waveform is empty: pass at least one sample, or a list of at least one clip")
    return np.ndim(waveform[0]) > 0


def to_channels(waveform: Waveform, name: str) -> torch.Tensor:
    """One clip as float64 `[channels, samples]` in [-1, 1]; a ValueError that names the argument if it is not one."""
    array = _to_array(waveform, name)
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} must be [samples] or [channels, samples], got shape {list(array.shape)}")
    if array.size == 0:
        raise ValueError(f"{name} is empty (shape {list(array.shape)}): pass at least one sample")
    array = np.atleast_2d(array)
    if len(array) > array.shape[1]:
        raise ValueError(
            f"{name} of shape {list(array.shape)} has more channels than samples: pass [channels, samples], "
            "that is, transpose a [samples, channels] array"
        )
    samples = _pcm_to_float(array, name)
    if not np.isfinite(samples).all():
        raise ValueError(f"{name} has NaN or infinite samples: clean the audio first")
    loudest = np.abs(samples).max()
    if loudest > LOUDEST:
        raise ValueError(
            f"{name} has floats up to {loudest:.6g}, which are no samples in [-1, 1]: divide 16-bit PCM by 32768, or "
            "pass it as int16"
        )
    return torch.from_numpy(samples)


def _to_array(waveform: Waveform, name: str) -> np.ndarray:
    if isinstance(waveform, np.ndarray):
        return waveform
    if isinstance(waveform, torch.Tensor):
        waveform = waveform.detach().cpu()
        return (waveform.double() if waveform.is_floating_point() else waveform).numpy()
    if not isinstance(waveform, list | tuple):
        raise ValueError(f"{name} must be an array, a tensor or a list of numbers, got {type(waveform).__name__}")
    try:
        array = np.asarray(waveform)
    except ValueError as error:
        raise ValueError(f"{name} must be an array, a tensor or a list of numbers: {error}") from error
    if array.dtype.kind in "iu":
        raise ValueError(
            f"{name} is a list of integers, which does not say how many bits a sample has: pass "
            "np.asarray(samples, dtype=np.int16) for 16-bit PCM, or floats in [-1, 1]"
        )
    return array


def _pcm_to_float(array: np.ndarray, name: str) -> np.ndarray:
    """Floats as they are, integer PCM divided by its full scale; float64 either way."""
    kind, bits = array.dtype.kind, 8 * array.dtype.itemsize
    if kind == "f":
        return array.astype(np.float64)
    if kind not in "iu" or bits > 32:
        raise ValueError(f"{name} has dtype {array.dtype}: pass floats in [-1, 1], or integer PCM of 8, 16 or 32 bits")
    full_scale = 2.0 ** (bits - 1)
    centre = full_scale if kind == "u" else 0.0
    return (array.astype(np.float64) - centre) / full_scale


class VggishFeatureExtractor(FeatureExtractionMixin):
    """Turns waveforms into VGGish's log-mel patches (torchvggish, the front end of AVSBench and AuralSAM2).

    Any rate is resampled to 16 kHz. One patch covers 0.96 s and needs 15,600 samples at 16 kHz (0.975 s).

    ```python
    feature_extractor = VggishFeatureExtractor(num_channels=2)
    features = feature_extractor(waveform, sampling_rate=44100, return_tensors="pt")["input_features"]
    ```

    Args:
        num_channels: 1 takes the mean of left and right; 2 keeps them apart and doubles mono (AuralSAM2). More than two
            channels are mixed down to left and right first.
        min_patches: a clip with fewer patches repeats its last one up to this number (AVSBench and AuralSAM2: 5). A
            clip too short for one patch is first filled up with silence to one.
        num_patches: exact number of patches: like `min_patches`, and more than that are cut off. `None` keeps all.
    """

    model_input_names = ["input_features", "audio_mask"]
    sampling_rate = SAMPLING_RATE

    def __init__(self, num_channels: int = 1, min_patches: int = 0, num_patches: int | None = None, **kwargs):
        if type(num_channels) is not int or num_channels not in (1, 2):
            raise ValueError(f"num_channels must be 1 (mean of the channels) or 2 (stereo), got {num_channels!r}")
        _check_count(min_patches, "min_patches", minimum=0)
        if num_patches is not None:
            _check_count(num_patches, "num_patches", minimum=1)
        check_constants(type(self).__name__, kwargs)
        super().__init__(**kwargs)
        self.num_channels = num_channels
        self.min_patches = min_patches
        self.num_patches = num_patches

    def __call__(
        self,
        waveform: Waveform | Sequence[Waveform],
        sampling_rate: int | None = None,
        return_tensors: str | None = None,
        num_patches: int | None = None,
    ) -> BatchFeature:
        """Log-mel patches of one clip or of a list of clips.

        Args:
            waveform: one clip, `[samples]` or `[channels, samples]` as array or tensor, or a flat list of floats; or a
                list of such clips. Floats are samples in [-1, 1]; integer PCM of 8, 16 or 32 bits is divided by its
                full scale (unsigned PCM is centred first).
            sampling_rate: rate of all clips in Hz; obligatory.
            return_tensors: `"pt"` or `"np"`; `None` gives arrays.
            num_patches: replaces the `num_patches` of the constructor for this call.

        Returns:
            `input_features` `[A, C, 96, 64]` float32 for one clip; `A` is 0 when the clip is too short for a patch and
            neither `min_patches` nor `num_patches` asks for one. For a list `[B, A, C, 96, 64]`, where shorter clips
            end in silence (ln 0.01), and `audio_mask` `[B, A]`, true for the clip's own patches.

        Raises:
            ValueError: without a sampling rate, or for one outside `RATES`; for an empty, non-finite or 3-D waveform,
                for an unknown dtype, and for floats far outside [-1, 1].
        """
        if sampling_rate is None:
            raise ValueError("sampling_rate is missing: pass the rate of the waveform in Hz, such as 16000")
        rate = check_sampling_rate(sampling_rate)
        if num_patches is None:
            num_patches = self.num_patches
        else:
            _check_count(num_patches, "num_patches", minimum=1)

        if not _is_batch(waveform):
            patches = self._extract(waveform, "waveform", rate, num_patches)
            return BatchFeature({"input_features": patches.numpy()}, tensor_type=return_tensors)

        clips = [self._extract(clip, f"waveform[{i}]", rate, num_patches) for i, clip in enumerate(waveform)]
        features = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True, padding_value=math.log(LOG_OFFSET))
        counts = torch.tensor([len(clip) for clip in clips])
        audio_mask = torch.arange(features.shape[1]) < counts[:, None]
        data = {"input_features": features.numpy(), "audio_mask": audio_mask.numpy()}
        return BatchFeature(data, tensor_type=return_tensors)

    def _extract(self, waveform: Waveform, name: str, rate: int, num_patches: int | None) -> torch.Tensor:
        """Patches `[A, C, 96, 64]` of one clip."""
        waveform = to_stereo(to_channels(waveform, name))
        if self.num_channels == 1:
            waveform = waveform.mean(dim=0, keepdim=True)
        waveform = resample(waveform, rate, SAMPLING_RATE)
        minimum = self.min_patches if num_patches is None else num_patches
        if minimum > 0:
            waveform = torch.nn.functional.pad(waveform, (0, max(0, PATCH_SAMPLES - waveform.shape[-1])))
        patches = log_mel_patches(waveform).expand(-1, self.num_channels, -1, -1)
        if len(patches) < minimum:
            patches = torch.cat([patches, patches[-1:].expand(minimum - len(patches), -1, -1, -1)])
        return patches[:num_patches].contiguous()


__all__ = ["VggishFeatureExtractor", "log_mel_patches", "resample"]
