import tracemalloc

import numpy as np
import pytest

from lavseg.visualization import MaskVideo, legend, overlay, palette


def clip(height, width, count=2):
    frames = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), np.uint8)
    masks = np.zeros((count, height, width), bool)
    for index in range(count):
        masks[index, : height // 2, index * width // count :][:, : width // count] = True
    return frames, masks


def test_legend_and_sound_stand_under_the_masks():
    frames, masks = clip(270, 480)
    video = MaskVideo(["one", "two"], 5)
    drawn = [video.draw(frame, masks, np.full((1, 100), 0.5)) for frame in frames]
    key = legend(["one", "two"], palette(2), 480, 14)
    for frame, picture in zip(frames, drawn, strict=True):
        np.testing.assert_array_equal(picture[:270], overlay(frame[None], masks[:, None])[0])
        np.testing.assert_array_equal(picture[270 : 270 + len(key)], key)
        assert picture.shape == drawn[0].shape and len(picture) > 270 + len(key)
    assert (drawn[0][270 + len(key) :] != drawn[1][270 + len(key) :]).any()


def test_without_sound_there_is_the_legend_alone():
    frames, masks = clip(270, 480)
    assert len(MaskVideo(["one", "two"], 5).draw(frames[0], masks)) == 270 + len(legend(["", ""], palette(2), 480, 14))


@pytest.mark.parametrize(("size", "shown"), [((128, 128), 512), ((90, 500), 500), ((8, 3), 480)])
def test_small_frames_are_enlarged_a_whole_number_of_times(size, shown):
    frames, masks = clip(*size)
    picture = MaskVideo(["one", "two"], 5).draw(frames[0], masks)
    height = size[0] * shown // size[1]
    assert picture.shape[1] == shown and len(picture) > height
    dim = (picture[height // 2 + 10 : height] == picture[height // 2 + 10 : height, :, :1]).all(-1)
    assert dim.all()


def test_a_finished_picture_gets_the_same_caption():
    frames, masks = clip(270, 480)
    sound = np.ones((1, 100))
    drawn, captioned = MaskVideo(["a", "b"], 5).draw(frames[0], masks, sound), MaskVideo(["a", "b"], 5)
    np.testing.assert_array_equal(captioned.caption(frames[1], sound)[270:], drawn[270:])


def test_memory_does_not_grow_with_the_video():
    (frame, *_), masks = clip(120, 160)
    video, kept = MaskVideo(["one", "two"], 1), []
    tracemalloc.start()
    for index in range(15):
        video.draw(frame, masks, np.ones((1, 100)))
        if index in (3, 14):
            kept.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert kept[1] < kept[0] + 50_000


def test_what_is_wrong_is_named():
    frames, masks = clip(120, 160)
    with pytest.raises(ValueError, match=r"masks is \[2, 60, 160\] for a frame of \[120, 160, 3\]"):
        MaskVideo(["one", "two"], 5).draw(frames[0], masks[:, ::2])
    with pytest.raises(ValueError, match=r"colors is \[1, 3\]; 2 objects"):
        MaskVideo(["one"], 5).draw(frames[0], masks)
