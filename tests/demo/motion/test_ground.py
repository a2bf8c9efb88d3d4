"""Up and floor: level cameras, standing and lying people, wrong lifters, how sure it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.motion.ground import (
    CLEARANCE,
    LIFTER_UP,
    LIFTER_UP_LYING,
    MIDDLE_OF_FOOT,
    LifterUp,
    Places,
    axes_from_up,
    balance,
    bearing_joints,
    centre_of_mass,
    common_floor,
    estimate_up,
    resting_places,
    touch_heights,
)
from lifter.skeletons import H36M_17
from tests.demo.motion.people import proportioned, walker
from tests.lifter.motions import STANDING

TIMES = np.arange(100) / 50


def direction(pitch, roll):
    p, r = np.radians((pitch, roll))
    return np.array((np.cos(p) * np.sin(r), -np.cos(p) * np.cos(r), np.sin(p)))


def off(a, b):
    return np.degrees(np.arccos(np.clip(a @ b, -1, 1)))


def seen_from(world, up, distance=4.0):
    """World joints (T, 17, 3), z up, in the axes of a camera whose up is this, metres away."""
    return (world - (0.0, 0.0, 1.2)) @ axes_from_up(up) + (0.0, 0.0, distance)


def still(pose):
    return np.tile(np.asarray(pose, np.float64), (100, 1, 1))


def push_up():
    """A body on straight arms, seen from the side: along x, hands under the shoulders, on toes."""
    pose = proportioned(STANDING[None])[0]
    along = np.stack((pose[:, 2], pose[:, 0], -pose[:, 1]), -1)  # lying on the front, head at +x
    tilt = np.radians(18)
    along = along @ np.array(((np.cos(tilt), 0, np.sin(tilt)), (0, 1, 0), (-np.sin(tilt), 0, np.cos(tilt))))
    for shoulder, elbow, wrist in ((11, 12, 13), (14, 15, 16)):
        along[elbow] = along[shoulder] - (0, 0, 0.277)
        along[wrist] = along[elbow] - (0, 0, 0.252)
    along[..., 2] += CLEARANCE[3] - along[(3, 6), 2].min()
    return along


def test_without_people_and_the_lifters_up_the_camera_is_level():
    found = estimate_up([], None)
    assert off(found.up, np.array((0.0, -1.0, 0.0))) < 1
    assert found.sigma == pytest.approx(8.2, abs=1.5)  # of pitch 12 and roll 4 within the fine grid


@given(st.floats(-20, 20), st.floats(-15, 15))
def test_a_lifter_that_sees_people_stand_is_followed(pitch, roll):
    up = direction(pitch, roll)
    found = estimate_up([], LifterUp(up, LIFTER_UP))
    assert off(found.up, up) < 8
    assert off(found.up, np.array((0.0, -1.0, 0.0))) <= off(up, np.array((0.0, -1.0, 0.0))) + 1
    assert found.sigma < 8


def test_a_camera_upside_down_is_found_by_a_sure_lifter_and_feet():
    up = direction(0, 180)
    places = resting_places(seen_from(still(proportioned(STANDING[None])[0]), up), TIMES)
    found = estimate_up([places], LifterUp(up, LIFTER_UP))
    assert off(found.up, up) < 5


@pytest.mark.parametrize("pitch", [0.0, -10.0])
def test_push_ups_lie_though_the_lifter_is_wrong_by_forty_degrees(pitch):
    up = direction(pitch, 0)
    places = resting_places(seen_from(still(push_up()), up), TIMES)
    wrong = direction(pitch - 30, 28)
    found = estimate_up([places], LifterUp(wrong, LIFTER_UP_LYING))
    assert off(found.up, up) < 12
    assert off(found.up, wrong) > 25


def test_the_lifter_is_relied_on_less_where_people_lie():
    up = np.tile((0.0, -1.0, 0.0), (100, 1)).astype(np.float32)
    upright = np.stack((STANDING[:, 0], -STANDING[:, 2], STANDING[:, 1]), -1)
    lying = np.stack((STANDING[:, 2], STANDING[:, 0], STANDING[:, 1]), -1)
    for pose, errors in ((upright, LIFTER_UP), (lying, LIFTER_UP_LYING)):
        assert LifterUp.of(up, np.tile(pose, (100, 1, 1))).errors == errors
    none = np.full((100, 17, 3), np.nan, np.float32)
    assert LifterUp.of(up, none) is None


@given(st.floats(-25, 25), st.floats(-10, 10))
def test_without_the_lifters_up_balance_gives_up(pitch, roll):
    up = direction(pitch, roll)
    pose = STANDING.copy()  # facing -y
    pose[(3, 6), 1] += MIDDLE_OF_FOOT  # the weight is over the middle of the feet
    body = (still(pose) @ axes_from_up(up)).astype(np.float32)
    lifter_up = LifterUp.of(None, body)
    assert off(lifter_up.up, up) < 2
    assert off(estimate_up([], lifter_up).up, up) < 8


def test_the_centre_of_mass_moves_with_the_limbs_by_their_masses():
    pose = np.zeros((1, 17, 3))
    assert centre_of_mass(pose)[0] == pytest.approx(0)
    pose[0, (2, 3), 2] = -0.4, -0.8  # a thigh of .100 and a shank of .061 of the body's mass, hanging down
    assert centre_of_mass(pose)[0, 2] == pytest.approx(-(0.100 * 0.433 * 0.4 + 0.061 * (0.4 + 0.606 * 0.4)))


def test_a_raised_foot_bears_no_weight():
    pose = STANDING.astype(np.float64)
    pose[6] = (0.6, 0.0, 0.5)  # the left foot is far to the side and up: balance is over the right one
    pose[3, :2] = centre_of_mass(pose[None])[0, :2] + (0, MIDDLE_OF_FOOT)
    assert off(balance(still(pose)), np.array((0.0, 0.0, 1.0))) < 1


def test_people_far_apart_share_one_floor():
    up = direction(-15, 3)
    people = [
        resting_places(seen_from(still(proportioned(STANDING[None])[0] + (x, y, 0)), up), TIMES)
        for x, y in ((-3, 0), (2, 3), (0, 8), (-2, 14))
    ]
    found = estimate_up(people, None)
    assert off(found.up, up) < 4
    assert found.sigma < 4


def test_more_that_rests_makes_it_surer():
    up = direction(-10, 0)
    one = resting_places(seen_from(still(proportioned(STANDING[None])[0]), up), TIMES)
    walk = np.concatenate(
        [one.points + x * axes_from_up(up)[0] + z * axes_from_up(up)[1] for x in (-2, 2) for z in (0, 3)]
    )
    many = Places(walk, np.tile(one.joints, 4), np.tile(one.bears, 4), one.poses)
    assert estimate_up([many], None).sigma < estimate_up([one], None).sigma


def test_resting_places_are_where_joints_stay():
    world = walker(100)
    world[:, 3] = world[0, 3]
    places = resting_places(world, TIMES)
    assert (places.joints == 3).sum() == 1
    np.testing.assert_allclose(places.points[places.joints == 3], world[:1, 3], atol=1e-6)
    assert not set(places.joints) & {0, 10, 13, 16}


def test_predicted_contacts_come_before_speed():
    contacts = np.zeros((100, 17), np.float32)
    pelvis = H36M_17.joints.index("pelvis")
    contacts[:, pelvis] = 0.9
    places = resting_places(still(STANDING), TIMES, contacts)
    assert places.joints.tolist() == [pelvis]
    assert places.bears == pytest.approx(0.9)


def test_low_slow_joints_bear():
    up = np.array((0.0, 0.0, 1.0))
    bears = bearing_joints(still(proportioned(STANDING[None])[0]), TIMES, up)
    assert bears[:, (3, 6)].min() > 0.9
    assert np.delete(bears, (3, 6), axis=1).max() < 0.01
    lifted = still(proportioned(STANDING[None])[0])
    lifted[:, 3, 2] += 0.2
    assert bearing_joints(lifted, TIMES, up)[:, 3].max() < 0.01
    fast = still(proportioned(STANDING[None])[0])
    fast[..., 0] += TIMES[:, None]
    assert bearing_joints(fast, TIMES, up).max() < 0.01


def test_a_jump_does_not_lift_the_floor():
    world = still(proportioned(STANDING[None])[0])
    world[30:60, :, 2] += 0.4 * np.sin(np.linspace(0, np.pi, 30))[:, None]
    floor = touch_heights(world, TIMES, np.array((0.0, 0.0, 1.0)))
    assert floor == pytest.approx(world[0, 3, 2] - CLEARANCE[3], abs=0.02)


def test_a_camera_that_lies_on_the_floor_still_gives_a_floor():
    floor_height = np.full(50, -0.1)  # metres along up from the camera
    for people in (1, 2):
        scales, floor = common_floor([floor_height] * people, [0.9] * people)
        assert scales == [1.0] * people
        assert floor == pytest.approx(-0.1)


unit = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1)


@given(unit)
def test_axes_are_right_handed_with_the_given_up(v):
    up = np.array(v) / np.linalg.norm(v)
    axes = axes_from_up(up)
    assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-6)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert axes[2] == pytest.approx(up)
