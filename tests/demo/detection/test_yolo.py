"""Letterboxes, decoding and suppression, with numbers by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.detection.yolo import Letterbox, as_input, decode, suppress

sides = st.integers(1, 4000)


def test_letterbox_by_hand():
    # 1920 x 1080 at 640: 640 x 360, padded to 384 with 12 rows above and below
    box = Letterbox.of((1920, 1080), 640)
    assert (box.width, box.height, box.inner, box.corner) == (640, 384, (640, 360), (0, 12))
    image = np.full((1080, 1920, 3), 7, np.uint8)
    padded = box.apply(image)
    assert padded.shape == (384, 640, 3)
    assert (padded[:12] == 114).all() and (padded[12:372] == 7).all() and (padded[372:] == 114).all()
    found = box.to_picture(np.float32([[10, 12, 640, 400]]), (1920, 1080))
    np.testing.assert_allclose(found, [[30, 0, 1920, 1080]])
    square = Letterbox.of((1920, 1080), 416, square=True)
    assert (square.width, square.height, square.corner) == (416, 416, (0, 91))


@given(width=sides, height=sides, longest=st.integers(32, 1280), square=st.booleans())
def test_letterboxes_hold_the_picture_in_multiples_of_the_stride(width, height, longest, square):
    box = Letterbox.of((width, height), longest, square=square)
    assert box.width % 32 == box.height % 32 == 0
    assert max(box.width, box.height) == -(-longest // 32) * 32
    for edge, inner, outer in zip(box.corner, box.inner, (box.width, box.height), strict=True):
        assert edge >= 0 and edge + inner <= outer
    whole = np.float32([[*box.corner, box.corner[0] + box.inner[0], box.corner[1] + box.inner[1]]])
    np.testing.assert_allclose(box.to_picture(whole, (width, height)), [[0, 0, width, height]], rtol=1e-5)


def test_input_is_rgb_from_0_to_1():
    image = np.zeros((2, 3, 3), np.uint8)
    image[..., 2] = 255
    found = as_input([image, image])
    assert found.shape == (2, 3, 2, 3) and found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_allclose(found[0, :, 0, 0], [1, 0, 0])


def test_decode_by_hand():
    # 64 x 32: 8 x 4 cells of stride 8, 4 x 2 of stride 16, 2 x 1 of stride 32; 42 in all
    distances, logits = np.zeros((4 * 16, 42), np.float32), np.full(42, -9.0, np.float32)
    cell = 32 + 5  # the second row and column of stride 16: centre (24, 24)
    for side, reach in enumerate((1, 0.5, 2, 0)):
        # half a stride is the mean of two bins with equal logits
        low, high = int(reach), int(np.ceil(reach))
        distances[16 * side + low, cell] = distances[16 * side + high, cell] = 50
    logits[cell] = np.log(3)  # score .75
    found = decode(distances, logits, (64, 32), 0.1, 0.6)
    np.testing.assert_allclose(found.boxes, [[24 - 16, 24 - 8, 24 + 32, 24]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.75], atol=1e-6)


@pytest.mark.parametrize(("overlap", "kept"), [(0.59, [0, 2]), (0.61, [0, 1, 2])])
def test_suppression_by_hand(overlap, kept):
    # 40 x 10 and the same moved by 10: 30 shared of 50, an IoU of 0.6
    boxes = np.float32([[0, 0, 40, 10], [10, 0, 50, 10], [100, 0, 140, 10]])
    assert suppress(boxes, overlap) == kept
