"""Every tuned number of the tracking stages has a check that fails with half of it, and with twice of it.

A check is a test of a stage's behaviour whose expected numbers follow from the constant's meaning.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from demo.pose.estimator import KeypointEstimator, crop_windows, missing_keypoints
from demo.pose.rotated import lean_degrees, rotation_test_time_augmentation
from demo.tracking.association import COCO_SIGMAS, oks
from demo.tracking.left_right import fix_left_right
from demo.tracking.track import Track
from tests.demo.pose import test_rotated
from tests.demo.tracking import (
    test_across_views,
    test_left_right,
    test_online,
    test_roles,
    test_shared_keypoints,
    test_tracklets,
)
from tests.demo.tracking.figures import FIGURE
from tests.demo.tracking.test_online import World, follow, ids

MODULES = [f"demo.tracking.{file.stem}" for file in sorted(Path("demo/tracking").glob("*.py"))]
MODULES = [*(name for name in MODULES if not name.endswith("__init__")), "demo.pose.rotated"]
CHECKS: dict[str, Callable[[], None]] = {}


def check(*names: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register a check of some constants, each "module.NAME"."""

    def register(function: Callable[[], None]) -> Callable[[], None]:
        CHECKS.update(dict.fromkeys(names, function))
        return function

    return register


def constants() -> dict[str, str]:
    """Return the modules of the literal numbers with names in capitals, by "module.NAME"."""
    found = {}
    for module in MODULES:
        for node in ast.parse(Path(module.replace(".", "/") + ".py").read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and _is_number(node.value):
                names = [name.id for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)]
                found |= {f"{module.split('.')[-1]}.{name}": module for name in names if name.isupper()}
    return found


def _is_number(node: ast.expr) -> bool:
    """Whether an expression is a number, numbers, or an array of numbers; joint numbers are integers."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float)
    if isinstance(node, ast.Tuple | ast.List):
        return any(isinstance(part, ast.Constant) and isinstance(part.value, float) for part in node.elts)
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "np.array" and _is_number(node.args[0])
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)


def test_every_constant_has_a_check():
    assert sorted(CHECKS) == sorted(constants())


@pytest.mark.parametrize("factor", [0.5, 1, 2])
@pytest.mark.parametrize("name", CHECKS)
def test_half_and_twice_of_a_constant_change_behaviour(name, factor, monkeypatch):
    constant = name.split(".")[1]
    value = getattr(import_module(constants()[name]), constant)
    other = round(value * factor) if isinstance(value, int) else value * factor
    for module in map(import_module, MODULES):
        if getattr(module, constant, None) is value:
            monkeypatch.setattr(module, constant, other)
    if factor == 1:
        CHECKS[name]()
    else:
        with pytest.raises(AssertionError):
            CHECKS[name]()


# across_views


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


# association


def some_joints(likely: int, score: float = 0.9) -> np.ndarray:
    """Joints (17, 3) of the figure, 100 x 200 pixels, of which the last ones are likely."""
    joints = np.concatenate([FIGURE * (100, 200), np.full((17, 1), 0.1)], 1).astype(np.float32)
    joints[17 - likely :, 2] = score
    return joints


@check("association.COCO_SIGMAS", "association.BODY_AREA")
def _():
    """COCO's keypoint similarity of joints that are all 10 pixels off, for an area of 0.53 * 100 * 200."""
    sigmas = [
        0.26,
        0.25,
        0.25,
        0.35,
        0.35,
        0.79,
        0.79,
        0.72,
        0.72,
        0.62,
        0.62,
        1.07,
        1.07,
        0.87,
        0.87,
        0.89,
        0.89,
    ]
    variances = (2 * np.array(sigmas) / 10) ** 2
    expected = np.exp(-(10**2) / variances / 10600 / 2).mean()
    off = some_joints(17) + np.float32([10, 0, 0])
    found = oks(some_joints(17)[None], off[None], np.array([[0.0, 0, 100, 200]]))
    assert found[0, 0] == pytest.approx(expected, rel=1e-5)
    assert len(COCO_SIGMAS) == 17


@check("association.FEWEST")
def _():
    box = np.array([[0.0, 0, 100, 200]])
    assert np.isfinite(oks(some_joints(6)[None], some_joints(6)[None], box))
    assert np.isnan(oks(some_joints(5)[None], some_joints(5)[None], box))


# left_right


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


# online and track: people of 100 x 200 pixels, boxes of 80 x 220


def standing(frames: int, fps: float = 25.0) -> World:
    return test_online.walker(fps, frames / fps, lambda t: True, speed=0)


def last(world: World, fps: float = 25.0) -> list[int]:
    """Return the ids that are found in the last frame."""
    return ids(follow(world, fps)[-1])


def jump(pixels: float, frames: int = 1, fps: float = 25.0, before: int = 10) -> list[int]:
    """Return the ids of a person who stands, is not there for some frames, and stands elsewhere."""
    world = standing(before, fps)
    world.people += [{}] * (frames - 1) + [{"b": 60 + pixels}]
    world.found += [[]] * (frames - 1) + [[(60 + pixels, 0.9)]]
    world.hidden_legs = [False] * len(world.people)
    return last(world, fps)


@check("online.START")
def _():
    for score, begins in ((0.48, False), (0.52, True)):
        test_online.test_only_strong_detections_begin_a_track(score, begins)


@check("online.MATCH")
def _():
    """The IoU is 0.47 and 0.27; the joints are those of another pose."""
    assert jump(30) == [1]
    assert jump(48) == [2]


@check("online.SCORE_WEIGHT")
def _():
    """Both show the person's joints; the scores differ by 0.6, half the IoU by 0.26 and 0.34."""
    for off, stronger in ((30, True), (42, False)):
        world = standing(11)
        world.found[10] = [(60, 0.3), (60 + off, 0.9)]
        assert follow(world)[-1].boxes[0, 0] == pytest.approx(70 + off * stronger, abs=1)


class Mixture(World):
    """In boxes lower than 350 pixels, the network finds some joints of the person and others elsewhere."""

    shared = 17

    def pose(self, image, box):
        pose = super().pose(image, box)
        if box[3] < 350:
            pose[:, 2] = 0.8
            pose[self.shared :, :2] += 150
        return pose


@check("online.SAME")
def _():
    """A second box with 6 or 8 joints of 17 of a person who is there."""
    for shared, people in ((6, [1, 2]), (8, [1])):
        world = Mixture([{"a": 60}] * 2, [[(60, 0.9)], [(60, 0.9), (62, 150, 160, 330, 0.8)]])
        world.shared = shared
        assert last(world) == people


@check("online.UNSEEN_HALF_LIFE", "online.PRESENT")
def _():
    test_online.test_a_person_who_left_is_predicted_for_a_second(9)


@check("online.FOLLOWED_HALF_LIFE", "online.GONE")
def _():
    test_online.test_a_person_without_detections_is_followed_for_a_limited_time(5)


@check("online.JOINT_HALF_LIFE")
def _():
    """0.8 * 0.5 ** (0.12 / 0.4) < 0.65: three frames after the feet were seen they do not count any more."""
    world = standing(30)
    world.found[3:] = [[]] * 27
    world.hidden_legs[4:] = [True] * 26
    boxes = [people.boxes[0] for people in follow(world)]
    assert [bool(box[3] > 350) for box in boxes].index(False) == 6


@check("online.CUT_OFF")
def _():
    """Boxes of 0.6 and 0.85 of the area, in which the network finds the knees and feet less well."""

    class Low(World):
        def pose(self, image, box):
            pose = super().pose(image, box)
            pose[13:, 2] = 0.3 if box[3] < 340 else 0.8
            return pose

    for share, repaired in ((0.6, True), (0.85, False)):
        world = Low([{"a": 60}] * 4, [[(60, 0.9)]] * 3 + [[(70, 140, 150, 140 + 220 * share, 0.9)]])
        assert (follow(world)[-1].boxes[0, 3] > 350) == repaired


@check("online.INSIDE")
def _():
    """Boxes without legs, of which all or three fifths lie within the predicted one."""
    for off, repaired in ((0, True), (32, False)):
        world = standing(4)
        world.found[3] = [(70 + off, 140, 150 + off, 270, 0.9)]
        assert (follow(world)[-1].boxes[0, 3] > 350) == repaired


class Fading(World):
    """From the fifth frame on some last joints have a score, and the others 0.12."""

    remain = 17, 0.8

    def pose(self, image, box):
        pose = super().pose(image, box)
        if test_online.at(image) >= 4:
            pose[:, 2] = 0.12
            pose[-self.remain[0] :, 2] = self.remain[1]
        return pose


@check("online.FADED")
def _():
    """Without a detection the mean score falls from 0.8 to 0.68 or 0.36 where a person was."""
    for remain, followed in (((17, 0.68), True), ((7, 0.7), False)):
        world = Fading([{"a": 60}] * 8, [[(60, 0.9)]] * 4 + [[]] * 4)
        world.remain = remain
        assert last(world) == [1] * followed


@check("track.UNPREDICTED")
def _():
    """After half a second about a quarter of 220 pixels is the spread; exp(-d^2 / 2 / 62^2) = 0.3 at 96."""
    assert jump(80, frames=13) == [1]
    assert jump(110, frames=13) == [2]


@check("track.INITIAL_SPEED")
def _():
    """In the second frame of a clip, 0.2 s after the first one; a body length is 220 pixels."""
    assert jump(120, fps=5, before=1) == [1]
    assert jump(190, fps=5, before=1) == [2]


@check("track.VELOCITY_TIME")
def _():
    """After a tenth of a second the velocity is known to 1 - 1 / e."""
    track = Track(1, np.zeros(4), some_joints(17), 0.0, 0.9, 0.9)
    for step in range(1, 11):
        track.move(track.box, track.joints, np.array([2.0, 0]), step / 100)
    assert track.velocity[0] == pytest.approx(200 * (1 - np.exp(-1)))
    assert track.margin(1.1) == pytest.approx(0.5 + 2 * np.exp(-1))


@check("track.MARGIN")
def _():
    test_online.test_no_box_for_a_body_that_leaves_the_picture()


# roles, shared_keypoints


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


# tracklets


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


# rotated


class Turned(KeypointEstimator):
    """Finds a pose, and another one in rotated crops, whose sizes it keeps."""

    def __init__(self, found: np.ndarray, rotated: np.ndarray) -> None:
        self.found, self.rotated = found, rotated
        self.crops: list[list[int]] = []

    def estimate(self, items):
        self.crops.append([image.shape[0] for image, _ in items])
        return [np.stack([self.rotated] * len(boxes)) for _, boxes in items]

    def run(self, people: int = 1, side: float = 200) -> np.ndarray:
        image = np.zeros((480, 640, 3), np.uint8)
        boxes = np.float32([[0, 0, side / 2, side]] * people)
        candidates = np.stack([np.stack([self.found, missing_keypoints()])] * people)
        return rotation_test_time_augmentation(self, image, boxes, candidates)


def scored(*scores: float, lean: float = 0.0) -> np.ndarray:
    """The figure, leaning by degrees, with some scores and the last one of them for the other joints."""
    angle = np.radians(lean)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    joints = [*scores, *[scores[-1]] * 17][:17]
    return np.concatenate([FIGURE * (80, 160) @ turn, np.array(joints)[:, None]], 1).astype(np.float32)


def is_doubtful(keypoints: np.ndarray) -> bool:
    network = Turned(keypoints, keypoints)
    network.run()
    return bool(network.crops)


@check("rotated.LEAN")
def _():
    assert lean_degrees(scored(0.95, lean=60)) == pytest.approx(60, abs=0.1)
    assert is_doubtful(scored(0.95, lean=60))
    assert not is_doubtful(scored(0.95, lean=30))


@check("rotated.BEST", "rotated.DOUBTFUL")
def _():
    assert not is_doubtful(scored(*[0.95] * 8, 0.1))
    assert is_doubtful(scored(*[0.95] * 4, 0.5))


@check("rotated.RECOGNISED")
def _():
    test_rotated.test_a_rotated_estimate_with_a_low_score_changes_nothing()
    test_rotated.test_people_who_do_not_stand_are_found(90, (300, 240), 1)


@check("rotated.GAIN")
def _():
    """The sums of 17 scores differ by 1.36 and 0.68."""
    for score, better in ((0.88, True), (0.92, False)):
        found = Turned(scored(score, lean=60), scored(0.96)).run()
        assert found[0, 0, 0, 2] == pytest.approx(0.96 if better else score)


@check("rotated.ROOM", "rotated.LONGEST_SIDE")
def _():
    """The window, 3 by 4, of a box turned by 90 degrees fits in; a patch has no more than 512 pixels."""
    network = Turned(scored(0.5), scored(0.5))
    network.run(side=200)
    window = crop_windows(np.float32([[0, 0, 200, 100]]), (192, 256))[0, 2:].max()
    assert window <= network.crops[0][0] <= 1.05 * window
    network.run(side=400)
    assert network.crops[1] == [512] * 3


@check("rotated.BATCH")
def _():
    network = Turned(scored(0.5), scored(0.5))
    network.run(people=20)
    assert [len(crops) for crops in network.crops] == [3 * 16, 3 * 4]
