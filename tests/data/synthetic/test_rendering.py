from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavseg.data.synthetic.cast import BAND, DRAWN_BAND
from lavseg.data.synthetic.rendering import SAMPLING_RATE, render_clip
from lavseg.data.synthetic.scene import SceneObject, draw_objects


class Plain:
    """Objects in one colour each over grey: a square, a bar, and one whose right half shines through."""

    categories = ("square", "bar", "glass")
    unseen = ()
    instruments = ("square",)
    colors = {"square": (250, 10, 10), "bar": (10, 250, 10), "glass": (250, 250, 250)}

    def picture(self, category, choice, rng, size):
        picture = np.full((size, max(size // 4, 1) if category == "bar" else size, 4), 255, np.uint8)
        picture[..., :3] = self.colors[category]
        if category == "glass":
            picture[:, size // 2 :, 3] = 40
        return picture

    def sound(self, category, choice, rng, num_samples):
        return np.sqrt(2) * np.sin(2 * np.pi * 440 * np.arange(num_samples, dtype=np.float32) / SAMPLING_RATE)

    def background(self, rng, height, width):
        return np.full((height, width, 3), 128, np.uint8)


def render(seed, *arguments, **options):
    return render_clip(np.random.default_rng(seed), *arguments, **options)


def placed(category, where, num_frames=1, size=0.5, angle=0.0, level=0.1, seconds=None, mirrored=False):
    centers = np.broadcast_to(np.asarray(where, float), (num_frames, 2))
    seconds = np.ones(num_frames, bool) if seconds is None else np.array(seconds)
    return SceneObject(category, seconds, level, centers, size, np.full(num_frames, angle), mirrored, "still")


def plain(*objects, frame_size=(40, 60)):
    return render(0, len(objects[0].seconds), frame_size, objects=list(objects), cast=Plain())


def test_picture_and_sound_are_of_one_choice(monkeypatch):
    asked = {"picture": [], "sound": []}
    for name, method in (("picture", Plain.picture), ("sound", Plain.sound)):
        monkeypatch.setattr(
            Plain,
            name,
            lambda self, *given, name=name, method=method: asked[name].append(given[1]) or method(self, *given),
        )
    plain(placed("bar", (0.3, 0.3)), placed("square", (0.7, 0.7)))
    assert asked["picture"] == asked["sound"] and len(set(asked["picture"])) == 2
    assert all(0 <= choice < 1 for choice in asked["picture"])


def loudness(waveform):
    """By channel and second, without the fades at its ends, `[2, T]`."""
    seconds = waveform.reshape(2, -1, SAMPLING_RATE)[..., 400:-400]
    return np.sqrt(np.square(seconds).mean(-1))


@pytest.mark.parametrize(("num_frames", "size"), [(10, (48, 64)), (1, (40, 40)), (5, (30, 90)), (12, (64, 33))])
def test_shapes_and_types(num_frames, size):
    clip = render(0, num_frames, size, BAND)
    count = len(clip.objects)
    assert clip.frames.shape == (num_frames, *size, 3) and clip.frames.dtype == np.uint8
    assert clip.masks.shape == (count, num_frames, *size) and clip.masks.dtype == bool
    assert clip.waveform.shape == (2, num_frames * SAMPLING_RATE) and clip.waveform.dtype == np.float32


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_frames=st.integers(1, 6))
def test_masks_do_not_overlap_and_sound_does_not_clip(seed, num_frames):
    clip = render(seed, num_frames, (56, 72), BAND)
    assert clip.masks.sum(0).max() == 1
    assert np.abs(clip.waveform).max() < 1
    resting = [item.motion not in ("enters", "leaves") for item in clip.objects]
    border = clip.masks[resting][..., [0, -1], :].sum() + clip.masks[resting][..., [0, -1]].sum()
    assert border <= 8 * num_frames


def test_the_same_seed_gives_the_same_clip():
    first, second, other = (render(seed, 3, (48, 64)) for seed in (3, 3, 4))
    assert np.array_equal(first.frames, second.frames) and np.array_equal(first.waveform, second.waveform)
    assert not np.array_equal(first.frames, other.frames)


def test_an_object_is_where_its_centre_says():
    for where in ((0.5, 0.5), (0.4, 0.31), (0.613, 0.7)):
        clip = plain(placed("square", where, angle=0.3))
        rows, columns = np.nonzero(clip.masks[0, 0])
        center = np.array([rows.mean() + 0.5, columns.mean() + 0.5])
        np.testing.assert_allclose(center, np.array(where) * (40, 60), atol=0.3)
        assert clip.masks[0, 0].sum() == pytest.approx(20 * 20, rel=0.03)


def test_objects_turn_anticlockwise_and_are_mirrored():
    rows, columns = np.nonzero(plain(placed("bar", (0.5, 0.5), size=0.8, angle=0.4)).masks[0, 0])
    assert np.corrcoef(rows, columns)[0, 1] > 0.7
    left, right = (plain(placed("glass", (0.5, 0.5), mirrored=mirrored)).masks[0, 0] for mirrored in (False, True))
    assert left[:, :30].sum() > 150 > 20 > left[:, 31:].sum() and right[:, 30:].sum() > 150 > 20 > right[:, :29].sum()


def test_masks_are_what_is_drawn_in_front():
    """Each pixel of a mask shows its object's colour more than anything else; what shines through is not covered."""
    square, bar, glass = (placed(name, (0.5, x)) for name, x in (("square", 0.4), ("bar", 0.5), ("glass", 0.35)))
    clip = plain(square, bar, replace(glass, angles=np.full(1, 0.2)))
    frame = clip.frames[0].astype(int)
    palette = np.array([*Plain.colors.values(), (128, 128, 128)])
    nearest = np.abs(frame[:, :, None] - palette).sum(-1).argmin(-1)
    for index, mask in enumerate(clip.masks[:, 0]):
        assert mask.sum() > 40 and (nearest[mask] == index).mean() > 0.9
    covered = plain(square, placed("square", (0.5, 0.4)))
    assert not covered.masks[0].any() and covered.masks[1].sum() > 390


def test_edges_blend_without_fringes():
    """Between a bright object and grey nothing is darker than grey or redder than the object."""
    frame = plain(placed("glass", (0.47, 0.52), angle=0.35)).frames[0].astype(int)
    assert frame.min() > 128 - 12 and np.ptp(frame, axis=-1).max() <= 1


def test_out_of_view_is_not_shown():
    clip = plain(placed("square", [(0.5, -0.4), (0.5, 0.05), (0.5, 1.4)], 3))
    assert clip.masks[0].any((1, 2)).tolist() == [False, True, False]
    assert np.abs(clip.frames[0].astype(int) - 128).max() < 12


@pytest.mark.parametrize("size", [(16, 16), (16, 90), (90, 16)])
def test_small_frames_show_every_category(size):
    for category in BAND:
        clip = render(0, 1, size, objects=[placed(category, (0.5, 0.5))])
        assert clip.masks.any()


def test_only_the_seconds_of_a_sound_are_loud():
    seconds = [False, True, True, False, True, False]
    clip = plain(placed("square", (0.5, 0.5), 6, level=0.1, seconds=seconds))
    found = loudness(clip.waveform)
    np.testing.assert_allclose(found[:, seconds], 0.1, rtol=0.02)
    assert found[:, ~np.array(seconds)].max() < 0.005
    for start, stop in ((1, 3), (4, 5)):
        edges = np.abs(clip.waveform[:, [start * SAMPLING_RATE, stop * SAMPLING_RATE - 1]])
        assert edges.max() < 0.02


def test_sounds_are_panned_to_where_objects_are():
    gains = {x: loudness(plain(placed("square", (0.5, x))).waveform)[:, 0] for x in (-0.5, 0.2, 0.5, 0.8, 1.5)}
    for left, right in gains.values():
        assert left**2 + right**2 == pytest.approx(2 * 0.1**2, rel=0.03)
    assert gains[0.5][0] == pytest.approx(gains[0.5][1]) and gains[0.2][0] > 2 * gains[0.2][1]
    np.testing.assert_allclose(gains[0.2], gains[0.8][::-1], rtol=1e-3)
    assert gains[-0.5][1] < 0.005 and gains[1.5][0] < 0.005
    moving = loudness(plain(placed("square", [(0.5, x) for x in (0.1, 0.3, 0.5, 0.7, 0.9)], 5)).waveform)
    assert (np.diff(moving[0]) < 0).all() and (np.diff(moving[1]) > 0).all()


def test_levels_keep_their_ratio_where_the_sum_would_clip():
    loud = placed("square", (0.5, 0.5), 2, level=2, seconds=[True, False])
    soft = placed("square", (0.5, 0.5), 2, level=0.5, seconds=[False, True])
    clip = plain(loud, soft)
    found = loudness(clip.waveform)[0]
    assert 0.9 < np.abs(clip.waveform).max() < 1 and found[0] / found[1] == pytest.approx(4, rel=0.02)


def test_silence_is_only_noise():
    clip = render(1, 2, (16, 16), objects=[placed("dog", (0.5, 0.5), 2, seconds=[False, False])])
    assert 0 < loudness(clip.waveform).max() < 0.004


def test_what_sounds_does_not_change_the_pictures():
    objects = draw_objects(np.random.default_rng(0), 3)
    others = [replace(item, seconds=~item.seconds, level=0.05) for item in objects]
    first, second = (render(7, 3, (48, 64), objects=drawn) for drawn in (objects, others))
    assert np.array_equal(first.frames, second.frames) and not np.array_equal(first.waveform, second.waveform)


def test_the_band_is_the_cast_unless_another_is_given():
    objects = [placed("dog", (0.5, 0.5))]
    first, second = render(2, 1, (20, 20), objects=objects), render(2, 1, (20, 20), objects=objects, cast=DRAWN_BAND)
    assert np.array_equal(first.frames, second.frames)
    assert {item.category for item in render(0, 1, (20, 20), cast=Plain()).objects} <= set(Plain.categories)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"num_frames": 0}, "num_frames"),
        ({"frame_size": (8, 100)}, "frame_size"),
        ({"categories": ("dog", "cube")}, "categories"),
        ({"objects": []}, "objects"),
        ({"objects": [placed("dog", (0.5, 0.5), 4)]}, "num_frames=10"),
        ({"objects": [replace(placed("dog", (0.5, 0.5), 10), angles=np.zeros(4))]}, "angles"),
    ],
)
def test_bad_arguments_are_named(options, named):
    with pytest.raises(ValueError, match=named) as error:
        render(0, **options)
    assert "\n" not in str(error.value)
