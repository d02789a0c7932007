import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavseg.data.synthetic.scene import COLORS, SAMPLING_RATE, SEEN, UNSEEN, SceneObject, draw_objects, render_clip

ALL = SEEN + UNSEEN


def render(seed, **options):
    return render_clip(np.random.default_rng(seed), **options)


def one_object(category, seconds, seed=0, **options):
    return render(seed, num_frames=len(seconds), objects=[SceneObject(category, "red", np.array(seconds))], **options)


@pytest.mark.parametrize(("num_frames", "size"), [(10, (112, 144)), (1, (40, 40)), (5, (30, 90)), (12, (64, 33))])
def test_shapes_and_types(num_frames, size):
    clip = render(0, num_frames=num_frames, frame_size=size)
    count = len(clip.objects)
    assert 2 <= count <= 4 and len({item.category for item in clip.objects}) == count
    assert clip.frames.shape == (num_frames, *size, 3) and clip.frames.dtype == np.uint8
    assert clip.masks.shape == (count, num_frames, *size) and clip.masks.dtype == bool
    assert clip.waveform.shape == (num_frames * SAMPLING_RATE,) and clip.waveform.dtype == np.float32
    assert np.abs(clip.waveform).max() <= 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_frames=st.integers(1, 12))
def test_every_object_shows_its_color_and_no_two_masks_overlap(seed, num_frames):
    clip = render(seed, num_frames=num_frames, frame_size=(56, 72), categories=ALL)
    assert clip.masks.sum(0).max() == 1
    assert clip.masks[:, 0].sum((1, 2)).min() > 40
    names = list(COLORS)
    palette = np.array([COLORS[name] for name in names])
    for item, masks in zip(clip.objects, clip.masks, strict=True):
        color = np.median(clip.frames[masks], axis=0)
        assert names[np.abs(palette - color).sum(1).argmin()] == item.color


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_frames=st.integers(1, 12))
def test_sound_is_one_run_of_whole_seconds(seed, num_frames):
    for item in draw_objects(np.random.default_rng(seed), num_frames, plan="words"):
        edges = np.diff(np.pad(item.seconds.astype(int), 1))
        assert (edges == 1).sum() == item.sounds and item.seconds.sum() in (0, *range(min(4, num_frames), 13))


@pytest.mark.parametrize("plan", ["words", "sound", "both", "silent"])
def test_plans(plan):
    for seed in range(8):
        objects = draw_objects(np.random.default_rng(seed), plan=plan, required=["moon"])
        assert "moon" in {item.category for item in objects}
        sounding = [item for item in objects if item.sounds]
        if plan == "sound":
            assert len(sounding) == 1
        elif plan == "silent":
            assert not sounding
        elif plan == "both":
            colors = [item.color for item in objects]
            shared = {item.sounds for item in objects if colors.count(item.color) == 2}
            assert shared == {True, False} and len(objects) >= 3


def test_the_same_seed_gives_the_same_clip():
    first, second, other = render(3), render(3), render(4)
    assert np.array_equal(first.frames, second.frames) and np.array_equal(first.waveform, second.waveform)
    assert not np.array_equal(first.frames, other.frames)


def test_objects_move_slowly():
    for seed in range(20):
        masks = one_object("circle", np.ones(5, bool), seed).masks[0]
        centers = np.array([np.argwhere(mask).mean(0) for mask in masks])
        steps = np.linalg.norm(np.diff(centers, axis=0), axis=1)
        assert steps.mean() > 0.5 and steps.max() < 9


def test_now_and_then_an_object_leaves():
    gone = sum((~render(seed, frame_size=(28, 36)).masks[:, -1].any((1, 2))).any() for seed in range(150))
    assert 5 <= gone <= 35


def test_only_the_seconds_of_a_sound_are_loud():
    for category in ALL:
        seconds = np.zeros(10, bool)
        seconds[3:7] = True
        waveform = one_object(category, seconds, frame_size=(16, 16)).waveform.reshape(10, SAMPLING_RATE)
        loudness = np.sqrt(np.square(waveform[:, 800:-800]).mean(1))
        assert loudness[seconds].min() > 0.05 and loudness[~seconds].max() < 0.01


def test_loudness_is_alike_and_spectra_differ():
    spectra = []
    for category in ALL:
        waveform = one_object(category, np.ones(4, bool), frame_size=(16, 16)).waveform
        assert 0.07 < np.sqrt(np.square(waveform).mean()) < 0.13
        windows = np.abs(np.fft.rfft(waveform.reshape(-1, 800), axis=1)[:, 1:401])
        bands = np.log(np.add.reduceat(windows, np.unique(np.geomspace(1, 399, 24).astype(int)), axis=1) + 1)
        features = np.concatenate([bands.mean(0), bands.std(0)])
        spectra.append(features / np.linalg.norm(features))
    similarity = np.stack(spectra) @ np.stack(spectra).T
    assert similarity[~np.eye(len(ALL), dtype=bool)].max() < 0.97


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"categories": ("circle", "square", "star", "cube")}, "categories"),
        ({"categories": ("circle", "square", "star")}, "categories"),
        ({"categories": (*SEEN, "star")}, "categories"),
        ({"num_frames": 0}, "num_frames"),
        ({"frame_size": (8, 100)}, "frame_size"),
        ({"objects": []}, "objects"),
        ({"objects": [SceneObject("circle", "red", np.ones(4, bool))]}, "seconds"),
    ],
)
def test_bad_arguments_are_named(options, named):
    with pytest.raises(ValueError, match=named):
        render(0, **options)


def test_unknown_plan():
    with pytest.raises(ValueError, match="plan: got 'loud'"):
        draw_objects(np.random.default_rng(0), plan="loud")
