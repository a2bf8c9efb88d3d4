"""Frames and their keypoints arrive at the same place of the mosaic."""

import numpy as np
import pytest

from demo.render.mosaic import Mosaic

SIZES = ((108, 192), (192, 108), (64, 64), (640, 480))


def test_cells_are_as_wide_as_the_widest_clip_and_even():
    mosaic = Mosaic.of_height([(108, 192)] * 4, 1080)
    assert mosaic.cell == (304, 540)  # 540 * 108 / 192 = 303.75
    assert mosaic.size == (608, 1080)
    assert Mosaic.of_height(SIZES, 300).cell == (266, 150)  # 150 * 192 / 108 = 266.7


@pytest.mark.parametrize("view", range(4))
def test_a_keypoint_is_where_its_pixels_are(view):
    mosaic = Mosaic.of_height(SIZES, 300)
    frames = [np.zeros((height, width, 3), np.uint8) for width, height in SIZES]
    width, height = SIZES[view]
    x, y, block = round(0.7 * width), round(0.3 * height), max(3, width // 16) | 1
    half = block // 2
    frames[view][y - half : y + half + 1, x - half : x + half + 1] = 255
    picture = mosaic.compose(frames)[..., 0].astype(float)
    assert picture.shape == (300, 532)
    rows, columns = np.indices(picture.shape)
    middle = (picture * columns).sum() / picture.sum(), (picture * rows).sum() / picture.sum()
    moved = mosaic.move(view, np.array([[x, y, 0.8], [np.nan, np.nan, 0]], np.float32))
    np.testing.assert_allclose(moved[0, :2], middle, atol=0.3)
    assert moved[0, 2] == pytest.approx(0.8)
    assert np.isnan(moved[1, :2]).all()


def test_frames_keep_their_shape_between_black_bars():
    mosaic = Mosaic.of_height(SIZES, 300)
    white = [np.full((height, width, 3), 255, np.uint8) for width, height in SIZES]
    picture = mosaic.compose(white)
    upright = picture[:150, :266, 0] == 255
    assert upright.sum(1).max() == 84  # 150 * 108 / 192 = 84.4
    assert upright[:, 133].all()
    assert not upright[:, :90].any()
    square = picture[150:, :266, 0] == 255
    assert (square.any(0).sum(), square.any(1).sum()) == (150, 150)
