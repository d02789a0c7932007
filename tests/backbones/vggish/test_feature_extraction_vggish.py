import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import golden_files
from lavseg.backbones.vggish import VggishFeatureExtractor, feature_extraction_vggish
from lavseg.backbones.vggish.channels import to_stereo
from lavseg.backbones.vggish.feature_extraction_vggish import resample

FIXTURE = Path(__file__).parents[2] / "fixtures" / "vggish_reference.npz"
LOG_SILENCE = np.log(0.01)


def patches_of(waveform, sampling_rate=16000, **options):
    return VggishFeatureExtractor(**options)(waveform, sampling_rate=sampling_rate)["input_features"]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape)


def assert_close_after_resampling(patches, reference):
    """Filters of two resamplers differ; large deviations sit in single bins near the cut-off or near silence."""
    deviation = np.abs(patches - reference)
    assert deviation.max() < 0.5
    assert deviation.mean() < 3e-3


def test_reference_log_mel():
    reference = np.load(FIXTURE)
    np.testing.assert_allclose(patches_of(reference["pcm"]), reference["log_mel"], atol=1e-5)


def test_reference_resampling():
    reference = np.load(FIXTURE)
    resampled = resample(torch.from_numpy(reference["pcm_44k1"] / 32768.0), 44100, 16000)
    inner = slice(200, -200)  # the excerpt's edges miss their neighbours
    np.testing.assert_allclose(resampled[inner], reference["resampled_16k"][inner], atol=1e-4)


@pytest.mark.parity
@pytest.mark.parametrize("file", golden_files("vggish/*.npz"))
def test_parity_of_log_mel(file):
    case = np.load(file)
    if "pcm" not in case:
        pytest.skip("not an audio case")
    pcm, rate = case["pcm"].T, int(case["sr"])
    mono, stereo = patches_of(pcm, rate), patches_of(pcm, rate, num_channels=2)
    both = [(mono, case["log_mel"])]
    if "auralsam2_log_mel_2ch" in case:
        both.append((stereo, case["auralsam2_log_mel_2ch"]))
    for patches, reference in both:
        assert patches.shape == reference.shape
        if rate == 16000:
            np.testing.assert_allclose(patches, reference, atol=1e-5)
        else:
            assert_close_after_resampling(patches, reference)
    if "resampled_16k" in case:
        np.testing.assert_allclose(patches_of(case["resampled_16k"]), case["log_mel"], atol=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("file", golden_files("auralsam2/audio_logmel.npz"))
def test_parity_with_aural_sam2(file):
    spec = importlib.util.spec_from_file_location("det_fill", file.parent / "det_fill.py")
    signals = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(signals)
    arrays, cases = np.load(file), json.loads(file.with_suffix(".json").read_text())["cases"]
    assert cases
    for name, description in cases.items():
        seed, seconds, rate = re.match(r"det_wave\((\d+),([\d.]+),(\d+)\)", description).groups()
        pcm = signals.det_wave(int(seed), float(seconds), int(rate)).T
        patches = patches_of(pcm, int(rate), num_channels=2, min_patches=5)
        if "::2,::2" in description:
            patches = patches[..., ::2, ::2]
        if rate == "16000":
            np.testing.assert_allclose(patches, arrays[f"logmel_{name}"], atol=1e-5)
        else:
            assert_close_after_resampling(patches, arrays[f"logmel_{name}"])


@given(samples=st.integers(1, 80000))
@settings(max_examples=25, deadline=None)
def test_number_of_patches(samples):
    expected = max(0, (1 + (samples - 400) // 160) // 96)
    assert patches_of(np.zeros(samples)).shape == (expected, 1, 96, 64)


def test_number_of_patches_at_the_edges():
    expected = {15599: 0, 15600: 1, 77039: 4, 77040: 5, 153840: 10}
    assert {samples: len(patches_of(np.zeros(samples))) for samples in expected} == expected


def test_patches_depend_on_their_own_samples_only():
    waveform = noise(50000)
    np.testing.assert_array_equal(patches_of(waveform)[:2], patches_of(waveform[:32000]))
    np.testing.assert_array_equal(patches_of(waveform)[1:], patches_of(waveform[15360:]))


def test_silence_is_the_log_offset_everywhere():
    for rate in (8000, 16000, 22050, 44100, 48000):
        np.testing.assert_allclose(patches_of(np.zeros(2 * rate), rate), LOG_SILENCE, atol=1e-6)


def test_integer_pcm_is_divided_by_its_full_scale():
    for dtype, to_unit in (
        (np.int16, lambda x: x / 32768.0),
        (np.dtype(">i2"), lambda x: x / 32768.0),
        (np.int32, lambda x: x / 2.0**31),
        (np.int8, lambda x: x / 128.0),
        (np.uint8, lambda x: (x - 128.0) / 128.0),
    ):
        limits = np.iinfo(dtype)
        pcm = np.random.default_rng(0).integers(limits.min, limits.max, 16000, endpoint=True).astype(dtype)
        np.testing.assert_array_equal(patches_of(pcm), patches_of(to_unit(pcm.astype(np.float64))))


def test_arrays_tensors_and_lists_are_alike():
    waveform = noise(16000)
    for convert in (torch.from_numpy, np.ndarray.tolist, lambda x: torch.from_numpy(x)[None], tuple):
        np.testing.assert_array_equal(patches_of(convert(waveform)), patches_of(waveform))


def test_half_precision_tensors_are_taken():
    waveform = torch.from_numpy(noise(16000)).bfloat16().requires_grad_()
    np.testing.assert_array_equal(patches_of(waveform), patches_of(waveform.detach().double()))


def test_input_is_left_alone():
    waveform = noise(2, 16000)
    before = waveform.copy()
    patches_of(waveform, num_channels=2)
    np.testing.assert_array_equal(waveform, before)


def test_channels_are_averaged_or_kept_apart():
    left, right = noise(2, 20000)
    stereo = np.stack([left, right])
    np.testing.assert_array_equal(patches_of(stereo), patches_of((left + right) / 2))
    apart = patches_of(stereo, num_channels=2)
    np.testing.assert_array_equal(apart[:, :1], patches_of(left))
    np.testing.assert_array_equal(apart[:, 1:], patches_of(right))
    doubled = patches_of(left, num_channels=2)
    np.testing.assert_array_equal(doubled[:, 0], doubled[:, 1])
    assert patches_of(noise(5, 20000)).shape == (1, 1, 96, 64)


@given(samples=st.integers(1, 60000), minimum=st.integers(0, 5), exact=st.none() | st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_min_and_exact_number_of_patches(samples, minimum, exact):
    waveform = noise(samples)
    available = patches_of(waveform)
    patches = patches_of(waveform, min_patches=minimum, num_patches=exact)
    assert len(patches) == (max(len(available), minimum) if exact is None else exact)
    kept = min(len(available), len(patches))
    np.testing.assert_array_equal(patches[:kept], available[:kept])
    repeated = patches[max(kept, 1) :]
    assert all((patch == patches[max(kept, 1) - 1]).all() for patch in repeated)


def test_a_short_clip_is_filled_with_silence_when_a_patch_is_asked_for():
    waveform = noise(8000)
    assert patches_of(waveform).shape == (0, 1, 96, 64)
    filled = patches_of(waveform, min_patches=2)
    np.testing.assert_array_equal(filled[0], patches_of(np.pad(waveform, (0, 7600)))[0])
    np.testing.assert_array_equal(filled[0], filled[1])


def test_number_of_patches_of_one_call():
    extractor = VggishFeatureExtractor(num_patches=2)
    assert len(extractor(noise(16000), sampling_rate=16000, num_patches=4)["input_features"]) == 4
    assert len(extractor(noise(16000), sampling_rate=16000)["input_features"]) == 2


def test_batch_is_padded_and_masked():
    clips = [noise(50000), noise(2, 16000).astype(np.float32), torch.zeros(10)]
    batch = VggishFeatureExtractor(num_channels=2)(clips, sampling_rate=16000, return_tensors="pt")
    features, mask = batch["input_features"], batch["audio_mask"]
    assert features.shape == (3, 3, 2, 96, 64) and features.dtype == torch.float32 and mask.dtype == torch.bool
    assert mask.tolist() == [[True, True, True], [True, False, False], [False, False, False]]
    for clip, row, real in zip(clips, features, mask, strict=True):
        np.testing.assert_array_equal(row[real], patches_of(clip, num_channels=2))
        np.testing.assert_allclose(row[~real], LOG_SILENCE, rtol=1e-6)


def test_return_tensors():
    extractor = VggishFeatureExtractor()
    for return_tensors, kind in (("pt", torch.Tensor), ("np", np.ndarray), (None, np.ndarray)):
        one = extractor(noise(16000), sampling_rate=16000, return_tensors=return_tensors)
        assert set(one) == {"input_features"} and isinstance(one["input_features"], kind)
        batch = extractor([noise(16000)], sampling_rate=16000, return_tensors=return_tensors)
        assert batch["input_features"].shape == (1, 1, 1, 96, 64) and isinstance(batch["audio_mask"], kind)


BAD_WAVEFORMS = [
    (np.zeros(0), "waveform is empty"),
    ([], "waveform is empty"),
    (np.zeros((2, 0)), "waveform is empty"),
    ([np.zeros(100), []], r"waveform\[1\] is empty"),
    (np.array([0.0, np.nan]), "waveform has NaN"),
    ([np.zeros(9), torch.tensor([np.inf])], r"waveform\[1\] has NaN or inf"),
    (np.full(16000, 1e307), "waveform has floats up to 1e\\+307"),
    (np.zeros((1, 2, 300)), r"waveform must be \[samples\]"),
    (np.float64(1.0), "waveform must be"),
    (np.zeros((300, 2)), "transpose"),
    (np.zeros(300, complex), "dtype complex128"),
    (np.zeros(300, bool), "dtype bool"),
    (torch.zeros(300, dtype=torch.int64), "dtype int64"),
    ([0, 1, 2], "waveform is a list of integers"),
    ([0.0, [1.0]], "waveform must be an array"),
    ({"array": np.zeros(300)}, "got dict"),
    ("clip.wav", "got str"),
    (None, "got NoneType"),
]


def test_bad_waveforms_are_named():
    extractor = VggishFeatureExtractor()
    for waveform, message in BAD_WAVEFORMS:
        with pytest.raises(ValueError, match=message):
            extractor(waveform, sampling_rate=16000)


def test_bad_sampling_rates_are_named():
    for rate in (None, 0, -16000, 16000.5, float("nan"), float("inf"), "16000", True, 1j, 1, 999, 1_000_001):
        with pytest.raises(ValueError, match="sampling_rate"):
            VggishFeatureExtractor()(np.zeros(16000), sampling_rate=rate)


@pytest.mark.parametrize("num_channels", [1, 2])
def test_more_than_two_channels_are_mixed_down(num_channels):
    sound = noise(6, 16000)
    mixed = to_stereo(torch.from_numpy(np.asarray(sound)).double())
    np.testing.assert_array_equal(
        patches_of(sound, num_channels=num_channels), patches_of(mixed, num_channels=num_channels)
    )


def test_floats_in_the_range_of_integers_are_refused():
    pcm = np.random.default_rng(0).integers(-20000, 20000, 16000).astype(np.int16)
    with pytest.raises(ValueError, match=r"floats up to \d+, which are no samples in .* divide 16-bit PCM by 32768"):
        patches_of(pcm.astype(np.float32))
    np.testing.assert_array_equal(patches_of(pcm), patches_of(pcm / 32768))
    assert patches_of(np.full(16000, 1.5)).shape == (1, 1, 96, 64)


def test_bad_options_are_named():
    for name, value in (
        ("num_channels", 3),
        ("num_channels", 0),
        ("min_patches", -1),
        ("num_patches", 0),
        ("num_patches", 1.5),
        ("sampling_rate", float("nan")),
    ):
        with pytest.raises(ValueError, match=name):
            VggishFeatureExtractor(**{name: value})


def test_bad_number_of_patches_of_one_call_is_named():
    with pytest.raises(ValueError, match="num_patches"):
        VggishFeatureExtractor()(noise(16000), sampling_rate=16000, num_patches=0)


def test_round_trip(tmp_path):
    extractor = VggishFeatureExtractor(num_channels=2, min_patches=5)
    extractor.save_pretrained(tmp_path)
    reloaded = VggishFeatureExtractor.from_pretrained(tmp_path)
    assert reloaded.to_dict() == extractor.to_dict()
    waveform = noise(2, 20000)
    np.testing.assert_array_equal(
        reloaded(waveform, sampling_rate=16000)["input_features"], patches_of(waveform, num_channels=2, min_patches=5)
    )


@given(rate=st.sampled_from([8000, 11025, 22050, 32000, 44100, 48000, 96000]), frequency=st.floats(50, 3000))
@settings(max_examples=20, deadline=None)
def test_resampling_keeps_a_tone(rate, frequency):
    def tone(at_rate):
        return torch.sin(2 * torch.pi * frequency * torch.arange(at_rate, dtype=torch.float64) / at_rate)

    resampled = resample(tone(rate), rate, 16000)
    torch.testing.assert_close(resampled[400:-400], tone(16000)[400:-400], rtol=0, atol=2e-4)


def test_resampling_removes_what_16_khz_cannot_carry():
    seconds = torch.arange(24000, dtype=torch.float64) / 48000
    assert resample(torch.sin(2 * torch.pi * 12000 * seconds), 48000, 16000)[400:-400].abs().max() < 1e-3


def test_resampled_length_is_rounded_down():
    for samples, rate in ((1, 44100), (3, 44100), (44101, 44100), (47999, 48000), (7, 8000)):
        assert resample(torch.ones(2, samples), rate, 16000).shape == (2, samples * 16000 // rate)


def test_same_rate_is_only_converted_to_float64():
    waveform = torch.randn(3, 50)
    assert torch.equal(resample(waveform, 16000, 16000), waveform.double())


@pytest.mark.parametrize("orig, new", [(22050, 16000), (8000, 16000), (48000, 16000), (11025, 16000)])
def test_rates_without_a_bank_of_filters_are_resampled_alike(orig, new, monkeypatch):
    waveform = torch.randn(2, 3000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = resample(waveform, orig, new)
    monkeypatch.setattr(feature_extraction_vggish, "MAX_FILTER_BANK", 0)
    monkeypatch.setattr(feature_extraction_vggish, "_CHUNK", 50_000)
    torch.testing.assert_close(resample(waveform, orig, new), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rate", [4009, 44099])
def test_rates_without_common_divisor_keep_a_tone(rate):
    def tone(at_rate):
        return torch.sin(2 * torch.pi * 700 * torch.arange(at_rate, dtype=torch.float64) / at_rate)

    torch.testing.assert_close(resample(tone(rate), rate, 16000)[800:-800], tone(16000)[800:-800], rtol=0, atol=2e-4)
