import numpy as np
import pytest

from lavseg.data.synthetic.canvas import (
    Canvas,
    box,
    curve,
    ellipse,
    mirrored,
    pick,
    points,
    ribbon,
    shade,
    turned,
)

RED, BLACK = (200, 30, 40), (20, 10, 15)


def disc(weight=0.0, size=40):
    canvas = Canvas(BLACK, weight)
    (canvas.fill if weight else canvas.paint)(RED, ellipse(3, -2, 1, 1))
    return canvas.picture(size)


def test_a_disc_has_its_area_and_soft_edges_that_keep_its_colour():
    alpha = disc()[..., 3] / 255
    assert alpha.shape == (40, 40) and alpha.sum() == pytest.approx(np.pi * 20**2, rel=0.02)
    soft = disc()[(alpha > 0.1) & (alpha < 1)]
    assert len(soft) > 50
    np.testing.assert_allclose(soft[:, :3], np.tile(RED, (len(soft), 1)), atol=5)


def test_what_is_transparent_has_the_colour_of_the_outline():
    picture = disc(0.1)
    clear = picture[picture[..., 3] == 0]
    assert len(clear) and (clear[:, :3] == BLACK).all()


def test_an_outline_goes_around_all_shapes_of_a_fill_together():
    canvas = Canvas(BLACK, 0.1)
    canvas.fill(RED, box(0, 0, 1.2, 1), box(1, 0, 2, 1))
    row = canvas.picture(88)[24]
    assert (row[:2, :3] == BLACK).all() and (row[-2:, :3] == BLACK).all()
    assert (row[6:-6, :3] == RED).all()


@pytest.mark.parametrize("weight", [0.0, 0.15])
@pytest.mark.parametrize("size", [8, 33, 120])
def test_pictures_scale_and_are_cropped_with_their_outlines(size, weight):
    canvas = Canvas(BLACK, weight)
    canvas.fill(RED, box(-1, 5, 2, 6))
    alpha = canvas.picture(size)[..., 3]
    assert alpha.shape[1] == size and abs(alpha.shape[0] - size * (1 + 2 * weight) / (3 + 2 * weight)) <= 1
    assert min(alpha[0].max(), alpha[-1].max(), alpha[:, 0].max(), alpha[:, -1].max()) > 100


def test_tubes_have_round_ends_and_an_outline():
    canvas = Canvas(BLACK, 0.1)
    canvas.tube(RED, 0.8, points((0, 0), (2, 0)))
    picture = canvas.picture(90)
    assert picture.shape[:2] == (30, 90) or picture.shape[:2] == (31, 90)
    assert (picture[15, 45, :3] == RED).all() and (picture[15, 1, :3] == BLACK).all()
    assert (picture[[0, 0, -1, -1], [0, -1, 0, -1], 3] == 0).all()


def test_wide_lines_have_no_gaps_at_their_bends():
    canvas = Canvas(BLACK, 0.0)
    canvas.line(RED, 1.0, points((0, 0), (4, 0), (4, 4)))
    assert canvas.picture(100)[8:12, 88:92, 3].min() == 255


def test_warped_marks_are_drawn_where_they_went():
    canvas = Canvas(BLACK, 0.0)
    canvas.paint(RED, box(0, 0, 4, 1))
    canvas.warp(lambda shape: turned(shape, np.pi / 2))
    assert canvas.picture(40).shape[:2] == (40, 10)


def test_curves_pass_through_their_points_and_closed_ones_come_around():
    corners = points((0, 0), (1, 0), (1, 1), (0, 1))
    for closed, count in ((False, 25), (True, 32)):
        line = curve(corners, closed=closed)
        assert len(line) == count
        np.testing.assert_allclose(line[:25:8], corners, atol=1e-12)
    np.testing.assert_allclose(curve(corners, closed=True).mean(axis=0), (0.5, 0.5))


def test_outlines_from_halves_bands_and_boxes():
    half = points((0, 0), (2, 1), (0, 3))
    np.testing.assert_allclose(mirrored(half)[3:], points((0, 3), (-2, 1), (0, 0)))
    band = ribbon(points((0, 0), (1, 0), (2, 0)), np.array([1.0, 2.0, 4.0]))
    np.testing.assert_allclose(np.abs(band[:, 1]), (0.5, 1, 2, 2, 1, 0.5))
    rounded = box(0, 0, 4, 2, 0.5)
    np.testing.assert_allclose((rounded.min(axis=0), rounded.max(axis=0)), ((0, 0), (4, 2)), atol=1e-12)
    assert np.linalg.norm(rounded - (4, 2), axis=1).min() > 0.2


def test_colours_are_shaded_and_stay_near_what_they_are_picked_from():
    assert shade((100, 200, 0), 0.5) == (178, 228, 128) and shade((100, 200, 0), -0.5) == (50, 100, 0)
    picked = {pick(np.random.default_rng(seed), [RED]) for seed in range(30)}
    assert len(picked) > 20 and np.abs(np.array(list(picked)) - RED).max() < 45
