"""Feet, hands, hips and shoulders keep their side over a clip; every joint is a candidate or hidden."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from demo.tracking.left_right import fix_left_right
from lifter.skeletons import COCO_17
from tests.demo.tracking.figures import FIGURE

LEFT_ANKLE, RIGHT_ANKLE = 15, 16
PAIRS = [(5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)]
FRAMES = 30
TIMES = np.arange(FRAMES) / 30  # seconds


def walker():
    """Return a person 200 pixels high who walks 3 pixels a frame: truth (T, 17, 2), candidates, boxes.

    The first candidates are right everywhere; there are no second ones.
    """
    truth = FIGURE * (100, 200) + np.arange(FRAMES)[:, None, None] * (3, 0) + (50, 20)
    candidates = np.full((FRAMES, 2, 17, 3), (np.nan, np.nan, 0), np.float32)
    candidates[:, 0, :, :2], candidates[:, 0, :, 2] = truth, 0.6
    boxes = np.concatenate([truth.min(axis=1), truth.max(axis=1)], axis=1).astype(np.float32)
    return truth, candidates, boxes


def test_without_second_choices_the_first_stay():
    _, candidates, boxes = walker()
    candidates[7:9, 0] = np.nan, np.nan, 0  # not there for two frames
    boxes[7:9] = np.nan
    candidates[12, 0, 9] = np.nan, np.nan, 0  # a hand that is not seen
    np.testing.assert_array_equal(fix_left_right(candidates, boxes, TIMES), candidates[:, 0])


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_joints_found_on_the_other_side_are_corrected(left, right):
    truth, candidates, boxes = walker()
    for frame in (4, 5, 6, 17):  # both on the right one; the left one is the lower peak
        candidates[frame, 1, left] = (*truth[frame, left], 0.4)
        candidates[frame, 0, left, :2] = truth[frame, right]
    for frame in (10, 11, 23):  # left and right exchanged
        for own, other in ((left, right), (right, left)):
            candidates[frame, 0, own] = (*truth[frame, other], 0.5)
            candidates[frame, 1, own] = (*truth[frame, own], 0.4)
    found = fix_left_right(candidates, boxes, TIMES)
    np.testing.assert_allclose(found[..., :2], truth, atol=1e-3)
    assert found[10, left, 2] == pytest.approx(0.4)  # the score is that of the choice


def test_feet_that_pass_each_other_may_meet():
    truth, candidates, boxes = walker()
    swing = 40 * np.cos(np.arange(FRAMES) * np.pi / 12)
    for ankle, sign in ((LEFT_ANKLE, 1), (RIGHT_ANKLE, -1)):
        truth[:, ankle, 0] = truth[:, 0, 0] + sign * swing
        candidates[:, 0, ankle, :2] = truth[:, ankle]
        candidates[:, 1, ankle] = (0, 0, 0.2)  # something in the background
    np.testing.assert_allclose(fix_left_right(candidates, boxes, TIMES)[..., :2], truth, atol=1e-3)


def test_the_sides_of_a_whole_clip_are_the_more_frequent_ones():
    truth, candidates, boxes = walker()
    for frame in range(FRAMES):
        exchanged = frame % 3 == 0
        for own, other in ((LEFT_ANKLE, RIGHT_ANKLE), (RIGHT_ANKLE, LEFT_ANKLE)):
            places = truth[frame, [other, own]] if exchanged else truth[frame, [own, other]]
            candidates[frame, :, own, :2] = places
            candidates[frame, :, own, 2] = 0.5, 0.45
    np.testing.assert_allclose(fix_left_right(candidates, boxes, TIMES)[..., :2], truth, atol=1e-3)


def test_a_high_score_outweighs_a_jump():
    truth, candidates, boxes = walker()
    candidates[:, 1, :, :2], candidates[:, 1, :, 2] = truth - 5, 0.05
    candidates[15:, 0, LEFT_ANKLE, 0] += 80
    np.testing.assert_array_equal(fix_left_right(candidates, boxes, TIMES), candidates[:, 0])


def test_no_frames():
    empty = np.zeros((0, 2, 17, 3), np.float32)
    assert fix_left_right(empty, np.zeros((0, 4), np.float32), np.zeros(0)).shape == (0, 17, 3)


def exchanged_sides(frames):
    """The walker, with face, shoulders, elbows and hips exchanged in these frames at a high score."""
    truth, candidates, boxes = walker()
    for left, right in ((1, 2), (3, 4), (5, 6), (7, 8), (11, 12)):
        candidates[frames, 0, left, :2], candidates[frames, 0, right, :2] = (
            truth[frames, right],
            truth[frames, left],
        )
    return truth, candidates, boxes


def test_people_do_not_turn_round_between_two_frames():
    truth, candidates, boxes = exchanged_sides(slice(8, 20))
    np.testing.assert_allclose(fix_left_right(candidates, boxes, TIMES)[..., :2], truth, atol=1e-3)


RATES = [5, 9, 10, 11, 12.5, 25, 30, 60, 120]


def swapped_for_half_a_second(fps):
    """Truth, candidates, boxes and times of a figure that walks for 3 s, swapped from 1 s to 1.5 s."""
    times = np.arange(round(3 * fps)) / fps
    truth = FIGURE * (100, 200) + times[:, None, None] * (60, 0) + (50, 20)
    candidates = np.full((len(times), 2, 17, 3), (np.nan, np.nan, 0), np.float32)
    candidates[:, 0, :, :2], candidates[:, 0, :, 2] = truth, 0.9
    swapped = (times >= 1) & (times < 1.5)
    candidates[swapped] = candidates[swapped][:, :, list(COCO_17.mirror)]
    boxes = np.concatenate([truth.min(axis=1), truth.max(axis=1)], axis=1).astype(np.float32)
    return truth, candidates, boxes, times


@pytest.mark.parametrize("fps", RATES)
def test_a_swap_of_half_a_second_is_undone_at_any_frame_rate(fps):
    truth, candidates, boxes, times = swapped_for_half_a_second(fps)
    trunk = [0, 1, 2, 3, 4, 5, 6, 11, 12]
    found = fix_left_right(candidates, boxes, times)
    np.testing.assert_allclose(found[:, trunk, :2], truth[:, trunk], atol=1e-3)


@pytest.mark.parametrize("fps", RATES)
def test_a_joint_found_on_its_counterpart_is_hidden_alike_at_any_frame_rate(fps):
    truth, candidates, boxes, times = swapped_for_half_a_second(fps)
    candidates[:, 0, :, :2], candidates[..., 0, :, 2] = truth, 0.9
    candidates[:, 0, 11, 0] += 40  # the left hip, well apart from the right one
    truth[:, 11, 0] += 40
    during = (times >= 1) & (times < 1.19)
    candidates[during, 0, 11, :2] = candidates[during, 0, 12, :2]
    found = fix_left_right(candidates, boxes, times)
    np.testing.assert_allclose(found[..., :2], truth, atol=0.5)
    assert (found[during, 11, 2] < 0.5).all()
    assert (found[~during, 11, 2] > 0.8).all()


def test_after_a_gap_sides_are_independent():
    _, candidates, boxes = exchanged_sides(slice(20, None))
    candidates[14:20], boxes[14:20] = (np.nan, np.nan, 0), np.nan
    np.testing.assert_array_equal(fix_left_right(candidates, boxes, TIMES), candidates[:, 0])


@pytest.mark.parametrize("fps", [24, 60, 240])
def test_turning_round_and_walking_past_change_nothing(fps):
    """Seen from the side, feet pass each other twice a second; then the body turns round in a second."""
    times = np.arange(3 * fps) / fps
    turned = np.clip(times - 2, 0, 1) * np.pi
    across = np.where(times < 2, 0.15 * np.sin(2 * np.pi * times), 0)[:, None]
    truth = FIGURE * (100, 200) + np.zeros((len(times), 1, 1)) + (50, 20)
    truth[..., 0] = 100 + (truth[..., 0] - 100) * np.cos(turned)[:, None]
    truth[:, [15], 0], truth[:, [16], 0] = 100 + 200 * across, 100 - 200 * across
    candidates = np.full((len(times), 2, 17, 3), (np.nan, np.nan, 0), np.float32)
    candidates[:, 0, :, :2], candidates[:, 0, :, 2] = truth, 0.6
    boxes = np.tile(np.float32([50, 20, 150, 220]), (len(times), 1))
    np.testing.assert_array_equal(fix_left_right(candidates, boxes, times)[..., :2], candidates[:, 0, :, :2])


@pytest.mark.parametrize(("left", "right"), PAIRS)
@pytest.mark.parametrize("missed", [0, 1])
def test_of_two_joints_in_one_place_the_one_that_jumped_there_is_hidden(left, right, missed):
    """And is taken to have walked along, as it did before and does afterwards."""
    truth, candidates, boxes = walker()
    there, gone = (right, left) if missed == 0 else (left, right)
    truth[:, gone, 0] += 50 if gone == left else -50
    candidates[:, 0, :, :2] = truth
    candidates[8:14, 0, gone, :2] = candidates[8:14, 0, there, :2]
    found = fix_left_right(candidates, boxes, TIMES)
    np.testing.assert_allclose(found[..., :2], truth, atol=1e-3)
    assert (found[8:14, gone, 2] < 0.3).all()
    found[8:14, gone, 2] = 0.6
    np.testing.assert_array_equal(found[..., 2], candidates[:, 0, :, 2])


def test_a_knee_that_stays_hidden_moves_behind_the_other_in_half_a_second():
    truth, candidates, boxes = walker()
    candidates[:, 0, 14, 0] = truth[:, 13, 0] + np.where(np.arange(FRAMES) < 10, 60, 0)
    found = fix_left_right(candidates, boxes, TIMES)
    apart = found[:, 14, 0] - found[:, 13, 0]
    assert apart[:10] == pytest.approx(60)
    assert apart[10:25] == pytest.approx(60 - 4 * np.arange(1, 16), abs=1e-3)  # 15 frames are half a second
    assert apart[25:] == pytest.approx(0, abs=1e-3)


def test_equal_times_give_finite_joints():
    _, candidates, boxes = walker()
    candidates[:, 0, 14, 0] += 60
    candidates[8:14, 0, 14, :2] = candidates[8:14, 0, 13, :2]
    assert np.isfinite(fix_left_right(candidates, boxes, np.minimum(TIMES, TIMES[5]))).all()


def test_a_foot_keeps_its_side_after_an_occlusion():
    truth, candidates, boxes = walker()
    truth[:, RIGHT_ANKLE, 0] += 60
    candidates[:, 0, RIGHT_ANKLE, 0] += 60
    candidates[8:14, 0, RIGHT_ANKLE, :2] = truth[8:14, LEFT_ANKLE]
    for own, other in ((LEFT_ANKLE, RIGHT_ANKLE), (RIGHT_ANKLE, LEFT_ANKLE)):
        candidates[14:20, 0, own, :2] = truth[14:20, other]  # mixed up
    candidates[20:22, 0, RIGHT_ANKLE, :2] = truth[20:22, LEFT_ANKLE]  # missed once more
    np.testing.assert_allclose(fix_left_right(candidates, boxes, TIMES)[..., :2], truth, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (6, 2, 17, 3), elements=st.floats(0, 1, width=32)), st.integers(0, 5))
def test_every_joint_is_one_of_the_candidates_of_both_sides_or_hidden(candidates, gone):
    candidates[gone] = np.nan, np.nan, 0
    boxes = np.tile(np.float32([0, 0, 1, 1]), (6, 1))
    boxes[gone] = np.nan
    found = fix_left_right(candidates, boxes, TIMES[:6])
    both = np.concatenate([candidates, candidates[:, :, list(COCO_17.mirror)]], axis=1)
    same = (found[:, None] == both) | (np.isnan(found[:, None]) & np.isnan(both))
    hidden = ~same[..., 2].any(axis=1) | (found[..., 2] == 0)
    assert (same[..., :2].all(axis=-1).any(axis=1) | hidden).all()
    assert (found[..., 2] <= both[..., 2].max(axis=1)).all()
    np.testing.assert_array_equal(found[:, 0], candidates[:, 0, 0])


def standing(frames, fps=30.0):
    """Return candidates and boxes of a person 200 pixels high who stands still, and times.

    Scores are 0.6; ankles and hips are 60 pixels apart.
    """
    candidates = np.full((frames, 2, 17, 3), (np.nan, np.nan, 0), np.float32)
    candidates[:, 0, :, :2], candidates[:, 0, :, 2] = FIGURE * (100, 200) + (50, 20), 0.6
    for left, right in (PAIRS[3], PAIRS[5]):
        candidates[:, 0, left, 0], candidates[:, 0, right, 0] = 130, 70
    return candidates, np.tile(np.float32([50, 20, 150, 220]), (frames, 1)), np.arange(frames) / fps


@pytest.mark.parametrize(("score", "first"), [(0.72, False), (0.9, True)])
def test_a_jump_costs_as_much_as_its_share_of_a_fifth_of_the_box(score, first):
    """The first candidate lies 8 pixels off in one frame; the second one, with score 0.3, does not.

    There and back cost 2 * 8 / 40, less a twelfth that moves the body's middle, twice: 0.333. Scores count
    tanh(1 / 30 / 0.04) = 0.682 of theirs, so the first one needs 0.49 more.
    """
    candidates, boxes, times = standing(9)
    candidates[4, 1, LEFT_ANKLE] = (*candidates[4, 0, LEFT_ANKLE, :2], 0.3)
    candidates[4, 0, LEFT_ANKLE, 0] += 8
    candidates[4, 0, LEFT_ANKLE, 2] = score
    found = fix_left_right(candidates, boxes, times)
    assert found[4, LEFT_ANKLE, 2] == pytest.approx(score if first else 0.3)


@pytest.mark.parametrize(
    ("off", "score", "first"), [(0, 0.6, False), (0, 0.45, True), (4.5, 0.6, False), (9, 0.6, True)]
)
def test_a_place_shared_by_left_and_right_costs_part_of_the_score(off, score, first):
    """Within 6 pixels the first candidate counts 0.9 - 0.4 * 0.9 = 0.54."""
    candidates, boxes, times = standing(9)
    candidates[:, 1, LEFT_ANKLE] = (*candidates[0, 0, LEFT_ANKLE, :2], score)
    candidates[:, 0, [LEFT_ANKLE, RIGHT_ANKLE], 2] = 0.9
    candidates[:, 0, LEFT_ANKLE, :2] = candidates[:, 0, RIGHT_ANKLE, :2] + (off, 0)
    found = fix_left_right(candidates, boxes, times)
    assert (found[:, LEFT_ANKLE, 0] < 100).all() == first


@pytest.mark.parametrize(("distance", "changes"), [(18, False), (32, True)])
def test_the_hidden_side_of_a_pair_changes_where_that_costs_less_than_a_jump(distance, changes):
    """The left ankle is found on the right one, then the right one jumps away.

    That both were confused costs 2 * 0.3 jumps of a fifth of 200 pixels: 24 pixels.
    """
    candidates, boxes, times = standing(193)
    candidates[90:, 0, LEFT_ANKLE, 0] = 70
    candidates[93:, 0, RIGHT_ANKLE, 0] = 70 - distance
    found = fix_left_right(candidates, boxes, times)
    hidden = found[90:93, [LEFT_ANKLE, RIGHT_ANKLE], 2]
    np.testing.assert_allclose(np.sort(hidden, axis=1), [[0.6 * 0.4, 0.6]] * 3, rtol=1e-5)
    assert (hidden[:, 1] < hidden[:, 0]).any() == changes


@pytest.mark.parametrize(
    ("pair", "frames", "undone"),
    [(PAIRS[5], 6, True), (PAIRS[5], 13, False), (PAIRS[3], 14, True), (PAIRS[3], 25, False)],
)
def test_how_long_a_swap_may_last_to_be_undone(pair, frames, undone):
    """At 5 frames a second a frame counts tanh(0.2 / 3) = 0.067 of two scores of 0.6.

    Four jumps cost 4 * 0.5^(0.2 / 0.08) = 0.71 for ankles, 4 * 0.5^(0.2 / 0.15) = 1.59 for hips: 9 and 20
    frames.
    """
    candidates, boxes, times = standing(frames + 60, fps=5)
    truth = candidates[0, 0, list(pair), 0].copy()
    candidates[30 : 30 + frames, 0, list(pair)] = candidates[30 : 30 + frames, 0, list(pair[::-1])]
    found = fix_left_right(candidates, boxes, times)
    np.testing.assert_allclose(
        found[30 : 30 + frames, list(pair), 0], truth[:: 1 if undone else -1][None].repeat(frames, 0)
    )
