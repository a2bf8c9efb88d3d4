"""The fit: straight legs straight, bones of one length, joints on their keypoints, still joints still."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.motion.body import BONE_MEAN, BONES, GROUP, KNEE_ROWS, ROWS, SIGMAS
from demo.motion.fit import CHUNK, Floor, fit_person
from demo.motion.ground import CLEARANCE
from demo.motion.observations import observe
from lifter.skeletons import H36M_17, LIMBS_COCO, LIMBS_H36M
from tests.demo.motion.people import FOCAL, LEGS, SIZE, angles, filmed, proportioned, walker
from tests.lifter.motions import STANDING

CENTRE = (SIZE[0] / 2, SIZE[1] / 2)
LEVEL = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)))  # views along the world's y
FRONT = np.array((0.0, -4.0, 1.2))


def side(distance=4.0):
    """Return a level camera that views along the world's -x."""
    return np.array(((0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (-1.0, 0.0, 0.0))), np.array((distance, -0.8, 1.2))


def fitted(seen, keypoints, fps=50.0, predicted=None, **kwargs):
    """Fit keypoints and the lifter's prediction, by default the truth."""
    predicted = seen if predicted is None else predicted
    joints = (predicted - predicted[:, :1]).astype(np.float32)
    times = np.arange(len(seen)) / fps
    return fit_person(observe(keypoints, joints, times, CENTRE, FOCAL), **kwargs)


def standing(frames=60):
    """Return a standing person who sways by 3 cm, facing the camera."""
    sway = 0.03 * np.sin(2 * np.pi * 0.5 * np.arange(frames) / 50)
    world = proportioned(np.tile(STANDING, (frames, 1, 1)))
    world[..., 0] += sway[:, None]
    return world


def bent(seen, metres=0.11):
    """Return the same with knees nearer to the camera: a lifter's error of bent legs."""
    predicted = seen.copy()
    predicted[:, (2, 5), 2] -= metres
    return predicted


def knees(joints):
    return np.stack([angles(joints, *leg) for leg in LEGS], -1)


@pytest.mark.parametrize("metres", [0.0, 0.06, 0.11])
def test_knees_stay_as_the_lifter_bends_them_where_the_picture_does_not_tell(metres):
    seen, keypoints = filmed(standing(), LEVEL, FRONT)
    predicted = bent(seen, metres)
    joints = fitted(seen, keypoints, predicted=predicted).joints
    assert np.median(knees(joints)) == pytest.approx(np.median(knees(predicted)), abs=3)


def test_a_squat_stays_a_squat():
    world = standing()
    # Pelvis and all above it down by 0.3 m, knees forward by what keeps thigh and shank as long.
    upper = [j for j in range(17) if j not in (2, 3, 5, 6)]
    world[:, upper, 2] -= 0.3
    for hip, knee, ankle in LEGS:
        middle = (world[:, hip] + world[:, ankle]) / 2
        half = np.linalg.norm(world[:, hip] - world[:, ankle], axis=-1) / 2
        world[:, knee] = middle
        world[:, knee, 1] -= np.sqrt(BONE_MEAN[1] * BONE_MEAN[2] - half**2)
    for rotation, position in ((LEVEL, FRONT), side()):
        seen, keypoints = filmed(world, rotation, position)
        joints = fitted(seen, keypoints).joints
        assert np.median(knees(joints)) == pytest.approx(np.median(knees(seen)), abs=3)


def test_exact_input_comes_back_and_bones_keep_their_length():
    seen, keypoints = filmed(walker(), *side())
    found = fitted(seen, keypoints)
    assert np.linalg.norm(found.joints - seen, axis=-1).mean() < 0.04
    assert found.lengths == pytest.approx(BONE_MEAN, rel=0.03)
    for number, (parent, child) in enumerate(BONES):
        bone = np.linalg.norm(found.joints[:, child] - found.joints[:, parent], axis=-1)
        assert bone == pytest.approx(found.lengths[GROUP[number]], abs=0.01)


@given(st.floats(0.9, 1.1), st.floats(0.9, 1.1))
@settings(max_examples=10, deadline=None)
def test_proportions_are_read_from_the_picture(leg, arm):
    lengths = BONE_MEAN * np.array((1, leg, leg, 1, 1, 1, 1, 1, arm, arm))
    seen, keypoints = filmed(walker(50, lengths), *side())
    found = fitted(seen, keypoints).lengths
    # One camera does not determine size and distance: ratios to the trunk.
    trunk, found_trunk = lengths[3:5].sum(), found[3:5].sum()
    assert found[1:3].sum() / found_trunk == pytest.approx(lengths[1:3].sum() / trunk, rel=0.05)
    assert found[8:10].sum() / found_trunk == pytest.approx(lengths[8:10].sum() / trunk, rel=0.05)


def test_joints_fall_on_their_keypoints():
    seen, keypoints = filmed(walker(), *side())
    rng = np.random.default_rng(0)
    predicted = seen + 0.06 * rng.normal(size=(1, 17, 3))
    joints = fitted(seen, keypoints, predicted=predicted).joints
    pixels = FOCAL * joints[..., :2] / joints[..., 2:] + np.array(CENTRE)
    off = np.linalg.norm(pixels[:, LIMBS_H36M] - keypoints[:, LIMBS_COCO, :2], axis=-1)
    assert np.median(off) / (FOCAL * 1.7 / 4) < 0.01


def test_an_outlier_keypoint_has_little_effect():
    seen, keypoints = filmed(walker(), *side())
    calm = fitted(seen, keypoints).joints
    astray = keypoints.copy()
    astray[40:46, 9, :2] += 400  # pixels: the left wrist, a tenth of a second
    pulled = fitted(seen, astray).joints
    moved = np.linalg.norm((pulled - pulled[:, :1]) - (calm - calm[:, :1]), axis=-1)
    assert moved.max() < 0.3  # of 0.94 m
    assert np.delete(moved, (12, 13), axis=1).max() < 0.04  # elbow and wrist of that arm


def test_an_occluded_leg_follows_the_lifter():
    seen, keypoints = filmed(walker(), *side())
    hidden = keypoints.copy()
    hidden[:, (14, 16)] = np.nan, np.nan, 0
    joints = fitted(seen, hidden).joints
    assert np.isfinite(joints).all()
    relative = (joints - joints[:, :1]) - (seen - seen[:, :1])
    assert np.linalg.norm(relative[:, 3], axis=-1).mean() < 0.08


def test_knees_do_not_bend_backwards():
    seen, keypoints = filmed(standing(), LEVEL, FRONT)
    behind = bent(seen, -0.11)
    joints = fitted(seen, keypoints, predicted=behind).joints
    free = fitted(seen, keypoints, predicted=behind, sigmas=replace(SIGMAS, behind=10.0)).joints
    middle = ROWS[KNEE_ROWS]
    assert np.median((middle @ joints)[..., 2]) < 0.01  # metres away from the camera
    assert np.median((middle @ free)[..., 2]) > 0.02


@pytest.mark.parametrize("fps", [10.0, 100.0])
def test_the_fit_does_not_depend_on_the_frame_rate(fps):
    world = walker(200)
    seen, keypoints = filmed(world, *side(5.0))
    predicted = bent(seen, 0.06)
    usual = fitted(seen, keypoints, predicted=predicted).joints
    at = np.arange(int(200 / 50 * fps) - int(fps / 25)) * 50 / fps

    def between(values):
        columns = [np.interp(at, np.arange(200), column) for column in values.reshape(200, -1).T]
        return np.array(columns).T.reshape(-1, 17, 3)

    other = fitted(between(seen), between(keypoints), fps, between(predicted)).joints
    same = at == at.astype(int)
    off = np.linalg.norm(other[same] - usual[at[same].astype(int)], axis=-1)
    assert off.mean() < 0.04


def test_a_long_stretch_has_no_seams():
    frames = 3 * CHUNK
    seen, keypoints = filmed(standing(frames), LEVEL, FRONT)
    found = fitted(seen, keypoints, predicted=bent(seen))
    short = fitted(seen[:CHUNK], keypoints[:CHUNK], predicted=bent(seen[:CHUNK]))
    speed = np.linalg.norm(np.diff(found.joints, axis=0), axis=-1) * 50
    assert speed.max() < 0.25  # metres a second; the sway is 0.1
    assert found.lengths == pytest.approx(short.lengths, rel=0.03)


def test_bearing_joints_stay_and_lie_on_the_floor():
    seen, keypoints = filmed(standing(100), LEVEL, FRONT)
    rng = np.random.default_rng(1)
    noisy = keypoints.copy()
    noisy[..., :2] += 6 * rng.normal(size=noisy[..., :2].shape)
    up = np.array((0.0, -1.0, 0.0))
    floor = Floor(up, float(np.median(seen[:, (3, 6)] @ up)) - CLEARANCE[3] - 0.03)
    contacts = np.zeros((100, 17), np.float32)
    contacts[:, (3, 6)] = 1
    joints = (seen - seen[:, :1]).astype(np.float32)
    given = observe(noisy, joints, np.arange(100) / 50, CENTRE, FOCAL, contacts)
    free, held = fit_person(given), fit_person(given, floor, heights=CLEARANCE)
    off = [np.abs(each.joints[:, (3, 6)] @ up - floor.height - CLEARANCE[3]).mean() for each in (free, held)]
    assert off[1] < 0.6 * off[0]


def test_frames_that_show_nothing_of_a_person_are_between_the_others():
    seen, keypoints = filmed(walker(), *side())
    gone = keypoints.copy()
    gone[40:50] = np.nan, np.nan, 0
    joints = fitted(seen, gone).joints
    assert np.linalg.norm(joints[45, 0] - seen[45, 0]) < 0.08


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_stretches_of_few_frames(frames):
    seen, keypoints = filmed(walker(frames), *side())
    joints = fitted(seen, keypoints).joints
    assert joints.shape == (frames, 17, 3)
    assert np.linalg.norm(joints - seen, axis=-1).mean() < 0.06


def test_rows_are_joints_bones_and_bends():
    straight = STANDING[None].astype(np.float64)
    features = (ROWS @ straight)[0]
    np.testing.assert_array_equal(features[:17], straight[0])
    knee = H36M_17.joints.index("right_knee")
    np.testing.assert_allclose(features[17 + knee - 1], straight[0, knee] - straight[0, knee - 1])
    assert np.abs(features[KNEE_ROWS]).max() < 0.03


def scenario(sigmas):
    """Fit a noisy walk with a lifter error for each sigma."""
    rng = np.random.default_rng(2)
    seen, keypoints = filmed(walker(60), *side())
    keypoints = keypoints.copy()
    keypoints[..., :2] += 12 * rng.normal(size=keypoints[..., :2].shape)
    keypoints[20:24, 10, :2] += 150
    keypoints[40:50, 9, 1] += 90
    keypoints[:, (11, 12), 1] += 20
    keypoints[:, :5, 0] += 60
    predicted = seen + 0.05 * rng.normal(size=(1, 17, 3)) + 0.02 * rng.normal(size=seen.shape)
    predicted[:30, (2, 5)] += (-0.12, 0, 0.12)
    contacts = np.zeros((60, 17), np.float32)
    contacts[10:40, 3] = 1
    up = np.array((0.0, -1.0, 0.0))
    floor = Floor(up, float(np.median(seen[:, 3] @ up)) - CLEARANCE[3] - 0.05)
    joints = (predicted - predicted[:, :1]).astype(np.float32)
    given = observe(keypoints, joints, np.arange(60) / 50, CENTRE, FOCAL, contacts)
    return fit_person(given, floor, sigmas=sigmas, heights=CLEARANCE).joints


@pytest.fixture(scope="module")
def usual():
    return scenario(SIGMAS)


@pytest.mark.parametrize("name", [field.name for field in fields(SIGMAS)])
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_every_sigma_matters(usual, name, factor):
    other = scenario(replace(SIGMAS, **{name: factor * getattr(SIGMAS, name)}))
    assert np.linalg.norm(other - usual, axis=-1).max() > 0.0015


def test_sigmas_are_what_was_chosen(usual):
    """Halving or doubling any sigma moves one of these joints by over 1.5 mm."""
    chosen = [usual[0, 0], usual[8, 2], usual[43, 13]]
    wanted = ((0.8131, 0.3659, 3.7297), (0.6677, 0.7625, 3.7695), (-0.0751, 0.2939, 3.6064))
    assert np.linalg.norm(np.subtract(chosen, wanted), axis=-1).max() < 0.001
