"""Checks of the constants of the stages over a whole clip, and of roles, shared joints and several views."""

from __future__ import annotations

import numpy as np
import pytest

from demo.tracking.left_right import fix_left_right
from tests.demo.tracking import (
    test_across_views,
    test_left_right,
    test_roles,
    test_shared_keypoints,
    test_tracklets,
)
from tests.demo.tracking.constants import check


@check("across_views.CANDIDATES")
def _():
    test_across_views.test_eight_candidates_of_a_view_are_compared(5, True)
    test_across_views.test_eight_candidates_of_a_view_are_compared(10, False)


@check("across_views.NOISE")
def _():
    test_across_views.test_movement_below_a_fiftieth_of_the_size_counts_as_noise()


@check("across_views.PROMINENCE")
def _():
    test_across_views.test_prominence_adds_up_to_three_tenths(0.2, False)
    test_across_views.test_prominence_adds_up_to_three_tenths(0.45, True)


@check("left_right.JUMP", "left_right.PEAK_CORRELATION")
def _():
    for score, first in ((0.72, False), (0.9, True)):
        test_left_right.test_a_jump_costs_as_much_as_its_share_of_a_fifth_of_the_box(score, first)


@check("left_right.SHARING_COST", "left_right.SAME_PLACE")
def _():
    for off, score, first in ((0, 0.6, False), (0, 0.45, True), (4.5, 0.6, False), (9, 0.6, True)):
        test_left_right.test_a_place_shared_by_left_and_right_costs_part_of_the_score(off, score, first)


@check("left_right.HIDING_COST", "left_right.HIDDEN_SCORE")
def _():
    for distance, changes in ((18, False), (32, True)):
        test_left_right.test_the_hidden_side_of_a_pair_changes_where_that_costs_less_than_a_jump(
            distance, changes
        )


@check("left_right.HIDING_TIME")
def _():
    test_left_right.test_a_knee_that_stays_hidden_moves_behind_the_other_in_half_a_second()


@check("left_right.NEAR")
def _():
    """Of 200 pixels: an ankle that hides from 30 pixels away is moved there, one from 15 pixels is not."""
    for apart, first in ((30, 28), (15, 0)):
        candidates, boxes, times = test_left_right.standing(60)
        candidates[:, 0, 16, 0] = candidates[:, 0, 15, 0] + np.where(np.arange(60) < 30, apart, 0)
        found = fix_left_right(candidates, boxes, times)
        assert found[30, 16, 0] - found[30, 15, 0] == pytest.approx(first, abs=1e-3)


SWAPS = test_left_right.test_how_long_a_swap_may_last_to_be_undone


@check("left_right.SIDE_CORRELATION", "left_right.LIMB_HALF_LIFE")
def _():
    SWAPS((15, 16), 6, True)
    SWAPS((15, 16), 13, False)


@check("left_right.TRUNK_HALF_LIFE")
def _():
    SWAPS((11, 12), 14, True)
    SWAPS((11, 12), 25, False)


@check("roles.CENTRAL")
def _():
    test_roles.test_saliency_counts_area_time_and_nearness_to_the_middle()


@check("roles.MAIN_SHARE")
def _():
    test_roles.test_the_share_of_a_main_person_is_between_a_tenth_and_two_fifths_of_the_largest()


@check("shared_keypoints.OVERLAP")
def _():
    for apart, lower in ((55, True), (80, False)):
        test_shared_keypoints.test_boxes_that_overlap_by_three_tenths_may_share_joints(apart, lower)


@check("shared_keypoints.SAME_PLACE")
def _():
    for off, lower in ((7, True), (14, False)):
        test_shared_keypoints.test_joints_within_a_twentieth_of_the_box_are_shared(off, lower)


@check("shared_keypoints.FEWEST_SHARED", "shared_keypoints.SHARED_SCORE")
def _():
    test_shared_keypoints.test_handshakes_and_distant_people_change_nothing([9, 10, 15], 60)
    test_shared_keypoints.test_the_lower_scoring_person_loses_score_at_shared_joints([0, 1])


@check("shared_keypoints._EDGE")
def _():
    test_shared_keypoints.test_recognition_is_the_mean_of_log_odds_and_stays_finite()


@check("tracklets.BRIDGE")
def _():
    test_tracklets.test_short_gaps_are_bridged_by_time_and_long_ones_stay_empty()


JOINED = test_tracklets.test_only_what_obviously_goes_on_is_joined
SEEN = test_tracklets.seen


@check("tracklets.JOIN")
def _():
    JOINED(lambda t: SEEN(2, 300), 8, 1)
    JOINED(lambda t: SEEN(2, 300), 14, 2)


@check("tracklets.MISS")
def _():
    JOINED(lambda t: SEEN(2, 370), 8, 1)
    JOINED(lambda t: SEEN(2, 450), 8, 2)


@check("tracklets.GROWTH")
def _():
    JOINED(lambda t: SEEN(2, 300), 8, 1)
    JOINED(lambda t: SEEN(2, 300, width=160, height=400), 8, 2)


@check("tracklets.SHORTEST", "tracklets.WEAKEST")
def _():
    test_tracklets.test_false_positives_are_dropped()
    test_tracklets.test_a_third_of_a_second_is_enough()


@check("tracklets.SHORTEST_PART", "tracklets.LASTING")
def _():
    """In a clip of 30 frames a person is there for some frames, with a high or low score."""
    for length, score, stays in ((3, 0.9, False), (5, 0.9, True), (12, 0.4, False), (18, 0.4, True)):
        frames = [[SEEN(1, 300)] + [SEEN(2, 700, score)] * (5 <= t < 5 + length) for t in range(30)]
        assert len(test_tracklets.run(frames, fps=30).tracks) == 1 + stays


@check("tracklets.END_TIME")
def _():
    for before, after in (([100] * 7 + [130, 160, 190], 460), ([*range(100, 370, 30), 385], 640)):
        test_tracklets.test_velocity_is_measured_over_the_last_third_of_a_second(before, after)


@check("tracklets.INSIDE", "tracklets.SHARED_EDGES", "tracklets.EDGE")
def _():
    test_tracklets.test_second_boxes_of_one_person_are_merged()
    test_tracklets.test_a_child_in_front_of_a_parent_stays(10)
    test_tracklets.test_a_person_half_behind_another_stays()


@check("tracklets.BRIEF")
def _():
    """A box of the upper body, in 15 or 30 of the person's 40 frames."""
    for length, people in ((15, 1), (30, 2)):
        upper = SEEN(2, 500, 0.6, width=80, height=180, y=342)
        frames = [[SEEN(1, 500, width=100, height=300)] + [upper] * (t < length) for t in range(40)]
        assert len(test_tracklets.run(frames).tracks) == people
