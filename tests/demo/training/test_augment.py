"""Augmentation moves picture and labels together."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.pose.rotated import lean_degrees
from demo.training.augment import GENTLE, Augmentation, augmented, crowded, with_covered_heads
from tests.demo.tracking.figures import FIGURE

SIZE = (144, 192)
WHOLE = Augmentation(half_body_chance=0, part_chance=0)
STEADY = replace(WHOLE, grey_chance=0, blur_chance=0, hole_chance=0, upright_chance=0)


def one_dot(joint=9):
    """A picture that is black but for one bright dot, on the joint."""
    keypoints = np.concatenate([FIGURE * (80, 160) + (60, 40), np.ones((17, 1))], 1).astype(np.float32)
    image = np.zeros((260, 200, 3), np.uint8)
    x, y = keypoints[joint, :2] = np.round(keypoints[joint, :2])
    cv2.circle(image, (int(x), int(y)), 3, (255, 255, 255), -1)
    return image, keypoints, np.float32([60, 30, 150, 210])


@settings(deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([9, 10, 15]))
def test_the_label_stays_on_the_joint(seed, joint):
    image, keypoints, box = one_dot(joint)
    picture, points = augmented(image, keypoints, box, SIZE, np.random.default_rng(seed), STEADY)
    bright = np.argwhere(picture.sum(-1) > 0.6 * picture.sum(-1).max())[:, ::-1]
    places = points[[joint, joint + 1 if joint % 2 else joint - 1], :2]  # the joint or its mirror twin
    inside = ((places > 5) & (places < np.array(SIZE) - 5)).all(-1)
    if inside.all():
        assert min(np.linalg.norm(bright.mean(0) - place) for place in places) < 1.5


def test_mirror_images_swap_left_and_right():
    image, keypoints, box = one_dot()
    wanted = {False, True}
    for seed in range(40):
        plain = Augmentation((1, 1), 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0)
        _, points = augmented(image, keypoints, box, SIZE, np.random.default_rng(seed), plain)
        # the left shoulder of a person seen from the front is on the picture's right, mirrored or not
        assert points[5, 0] > points[6, 0]
        wanted.discard(bool(np.isclose(points[9, 0], SIZE[0] / 2 + 0.8 * (124 - 105), atol=2)))
    assert len(wanted) <= 1


def test_without_augmentation_the_crop_is_the_program_s():
    from demo.pose.estimator import crop, crop_windows

    image, keypoints, box = one_dot()
    picture, _ = augmented(image, keypoints, box, SIZE, np.random.default_rng(0), None)
    np.testing.assert_array_equal(picture, crop(image, crop_windows(box[None], SIZE)[0], SIZE))


def test_gentle_crops_are_closer_to_the_program_s():
    image, keypoints, box = one_dot()
    _, plain = augmented(image, keypoints, box, SIZE, np.random.default_rng(0), None)
    spine = plain[[11, 12], :2].mean(0) - plain[[5, 6], :2].mean(0)
    off = {Augmentation(): [], GENTLE: []}
    for how, changes in off.items():
        for seed in range(200):
            _, points = augmented(image, keypoints, box, SIZE, np.random.default_rng(seed), how)
            changed = points[[11, 12], :2].mean(0) - points[[5, 6], :2].mean(0)
            changes.append(np.linalg.norm(np.abs(changed) - np.abs(spine)))  # mirrored or not
    assert np.median(off[GENTLE]) < 0.75 * np.median(off[Augmentation()])


def test_people_upside_down_are_set_upright():
    body = np.concatenate([FIGURE * (80, 160) + (60, 40), np.ones((17, 1))], 1).astype(np.float32)
    body[:, 1] = 260 - body[:, 1]
    image = np.zeros((260, 200, 3), np.uint8)
    always = replace(WHOLE, upright_chance=1, turn_chance=0)
    for seed in range(5):
        _, points = augmented(
            image, body, np.float32([60, 50, 150, 230]), SIZE, np.random.default_rng(seed), always
        )
        assert abs(lean_degrees(points)) < 1


def test_where_the_picture_ends_joints_beyond_are_nowhere():
    image, keypoints, box = one_dot()
    image[:] = np.maximum(image, 200)  # nowhere black
    parts = replace(STEADY, part_chance=1, turn_chance=0)
    ended = 0
    for seed in range(30):
        picture, points = augmented(image, keypoints, box, SIZE, np.random.default_rng(seed), parts)
        gone = (points[:, :2] < -1000).any(axis=1) | (points[:, :2] > 1000).any(axis=1)
        assert (~gone).sum() >= 3
        if gone.any():
            ended += 1
            black = picture.max(axis=-1) < 50  # or nearly, in another light
            assert black.any()
            for x, y in points[~gone, :2].round().astype(int):
                if 0 <= x < SIZE[0] and 0 <= y < SIZE[1]:
                    assert not black[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].all()
    assert 5 < ended < 25


def test_people_whose_picture_ends_stay_upright():
    image, keypoints, box = one_dot()
    parts = replace(STEADY, part_chance=1, turn_chance=0, upright_chance=1)
    shown = 0
    for seed in range(60):
        _, points = augmented(image, keypoints, box, SIZE, np.random.default_rng(seed), parts)
        nose, shoulders = points[0], points[5:7]
        if np.abs(points[[0, 5, 6], :2]).max() < 1000:
            shown += 1
            assert nose[1] < shoulders[:, 1].min()
    assert shown > 10


def test_a_crowd_is_made_of_parts_of_the_next_picture():
    pictures = [np.full((96, 72, 3), colour, np.uint8) for colour in (10, 20, 30)]
    assert all(map(np.array_equal, crowded(pictures, np.random.default_rng(0), 0.0), pictures))
    crowd = crowded(pictures, np.random.default_rng(0), 1.0)
    for own, other, picture in zip((10, 20, 30), (20, 30, 10), crowd, strict=True):
        share = (picture == other).mean()
        assert 0.2**2 * 0.9 < share < 0.65**2
        assert ((picture == own) | (picture == other)).all()
    assert [picture.mean() for picture in pictures] == [10, 20, 30]  # their own pictures are as they were


def test_covered_heads_are_covered_and_nothing_else_is():
    generator = np.random.default_rng(0)
    noise = np.asarray(generator.integers(0, 256, (260, 200, 3)), np.uint8)
    points = np.concatenate([FIGURE * (80, 160) + (60, 40), np.ones((17, 1))], 1).astype(np.float32)
    covered = with_covered_heads([noise] * 60, np.stack([points] * 60), generator, 0.5)
    changed = np.array([(each != noise).any(axis=-1) for each in covered])
    assert 15 < changed.any(axis=(1, 2)).sum() < 45
    rows, columns = np.nonzero(changed.any(axis=0))
    face, shoulders = points[:5, :2], points[5:7, :2]
    assert rows.max() < shoulders[:, 1].max()
    assert (
        rows.min() < face[:, 1].min() and columns.min() < face[:, 0].min() < face[:, 0].max() < columns.max()
    )
    assert abs(columns - face[:, 0].mean()).max() < 1.2 * abs(shoulders[1, 0] - shoulders[0, 0])


def test_a_head_that_is_not_labelled_is_not_covered():
    generator = np.random.default_rng(0)
    noise = np.asarray(generator.integers(0, 256, (260, 200, 3)), np.uint8)
    points = np.concatenate([FIGURE * (80, 160) + (60, 40), np.ones((17, 1))], 1).astype(np.float32)
    faceless, cut = points.copy(), points.copy()
    faceless[1:5, 2] = 0
    cut[1:5, :2] = -1e4  # the picture ends beside the nose
    for picture in with_covered_heads([noise] * 20, np.stack([faceless, cut] * 10), generator, 1.0):
        np.testing.assert_array_equal(picture, noise)


def test_where_the_picture_ends_another_goes_on():
    """The same draw, alone and surrounded: the own picture is the same, and nothing around it stays black."""
    _, keypoints, box = one_dot()
    own, around = np.full((260, 200, 3), 120, np.uint8), np.full((90, 70, 3), 200, np.uint8)
    filled = 0
    for seed in range(20):
        alone, points = augmented(own, keypoints, box, SIZE, np.random.default_rng(seed), STEADY)
        among, same = augmented(own, keypoints, box, SIZE, np.random.default_rng(seed), STEADY, around)
        np.testing.assert_array_equal(points, same)
        border = (alone != among).any(-1)
        colours = np.unique(among[~border], axis=0)
        assert len(colours) == 1
        assert (among[border] >= colours[0]).all()  # the other picture is lighter, and so is where they blend
        filled += border.sum()
    assert filled > 1000


def test_several_sets_of_joints_move_together():
    image, keypoints, box = one_dot()
    other = keypoints + np.float32([3, -2, 0])
    other[:, 2] = 0.4
    for seed in range(8):
        _, alone = augmented(image, keypoints, box, SIZE, np.random.default_rng(seed), GENTLE)
        sets = np.stack([keypoints, other])
        _, both = augmented(image, sets, box, SIZE, np.random.default_rng(seed), GENTLE)
        np.testing.assert_allclose(both[0], alone)
        assert (both[1, :, 2] == np.float32(0.4)).all()
        moved = both[1, :, :2] - both[0, :, :2]
        shown = (np.abs(both[..., :2]) < 1000).all(axis=(0, 2))  # not beyond the picture's end
        assert np.ptp(moved[shown], axis=0) == pytest.approx(0, abs=1e-2)  # one similarity for both


def test_now_and_then_people_lie_or_hang():
    image, keypoints, box = one_dot()
    always = replace(STEADY, any_turn_chance=1, turn_chance=0, upright_chance=0)
    leans = [
        lean_degrees(augmented(image, keypoints, box, SIZE, np.random.default_rng(seed), always)[1])
        for seed in range(40)
    ]
    assert max(leans) > 120
    assert min(leans) < -120
