"""BVH files: the tree, kinematics by hand, names and units of public data sets, and damaged files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import DataError
from lifter.datasets.mocap.bvh import load_bvh, parse_bvh, positions, rest_pose
from lifter.skeletons import H36M_17
from tests.lifter.datasets.mocap.motion_files import SKELETONS, bvh_text
from tests.lifter.motions import STANDING

CHAIN = """HIERARCHY
ROOT base
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Bip01 L Arm
  {
    OFFSET 0 2 0
    CHANNELS 2 Zrotation Xrotation
    End Site
    {
      OFFSET 0 1 0
    }
  }
}
MOTION
Frames: 3
Frame Time: 0.025
0 0 0 0 0 0 0 0
5 6 7 90 0 0 0 0
5 6 7 0 90 0 90 90
"""


def expected(skeleton="Mixamo"):
    """STANDING as the readers see it: the head 9.9 cm up from the neck, or Acclaim's wrist."""
    joints = STANDING.astype(float).copy()
    if skeleton == "HDM05":
        for elbow, wrist in ((12, 13), (15, 16)):
            joints[wrist] = joints[elbow] + 0.88 * (joints[wrist] - joints[elbow])
    else:
        joints[10] = joints[9] + (0, 0, 0.099)
    return joints


def load(tmp_path, text):
    path = tmp_path / "a.bvh"
    path.write_text(text)
    return load_bvh(path)


def bones(joints):
    return np.stack(
        [np.linalg.norm(joints[:, child] - joints[:, parent], axis=-1) for parent, child in H36M_17.bones], -1
    )


def test_a_chain_by_hand():
    bvh = parse_bvh(CHAIN, "chain")
    assert [joint.name for joint in bvh.joints] == ["base", "Bip01 L Arm", "Bip01 L Arm end"]
    assert [joint.parent for joint in bvh.joints] == [-1, 0, 1]
    assert bvh.frame_time == 0.025
    found = positions(bvh)
    np.testing.assert_allclose(found[0], [(0, 0, 0), (0, 2, 0), (0, 3, 0)])
    # A quarter turn about z takes y to -x.
    np.testing.assert_allclose(found[1], [(5, 6, 7), (3, 6, 7), (2, 6, 7)], atol=1e-12)
    # Root about x: y to z. The arm's own Rz Rx takes its y to z, which the root takes to -y.
    np.testing.assert_allclose(found[2], [(5, 6, 7), (5, 6, 9), (5, 5, 9)], atol=1e-12)
    np.testing.assert_allclose(rest_pose(bvh), [(0, 0, 0), (0, 2, 0), (0, 3, 0)])


@pytest.mark.parametrize(
    ("values", "joint"),
    [
        ("0 0 0 0 2.5 0", (0, 2.5, 0)),  # in place of the offset
        ("0 0 0 0.5 0 0", (0.5, 2, 0)),  # on top of it
    ],
)
def test_positions_of_inner_joints_replace_the_offset_or_add_to_it(values, joint):
    text = f"""HIERARCHY
ROOT a {{ OFFSET 0 0 0 CHANNELS 3 Xposition Yposition Zposition
JOINT b {{ OFFSET 0 2 0 CHANNELS 3 Xposition Yposition Zposition End Site {{ OFFSET 0 1 0 }} }} }}
MOTION
Frames: 2
Frame Time: 0.1
{values}
{values}"""
    np.testing.assert_allclose(positions(parse_bvh(text, "x"))[0, 1], joint)


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_the_skeletons_people_download_become_the_same_body(tmp_path, skeleton):
    capture = load(tmp_path, bvh_text(skeleton))
    assert capture.fps == pytest.approx(60, abs=1e-3)
    assert capture.joints.shape == (3, 17, 3)
    np.testing.assert_allclose(capture.joints[1], expected(skeleton), atol=1e-5)


@pytest.mark.parametrize("unit", [1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45])
def test_the_unit_is_inferred_from_the_legs(tmp_path, unit):
    np.testing.assert_allclose(load(tmp_path, bvh_text(unit=unit)).joints[0], expected(), atol=1e-5)


def test_z_up_is_inferred_from_a_body_that_stands_along_it(tmp_path):
    np.testing.assert_allclose(load(tmp_path, bvh_text(z_up=True)).joints[0], expected(), atol=1e-5)


def test_lying_down_is_not_taken_for_another_up(tmp_path):
    # On the back, the head to -z: a quarter turn about x by the root. Order zxy: the second angle.
    lying = load(tmp_path, bvh_text(angles={"root": [(0, -90, 0)] * 3})).joints[0]
    assert np.ptp(lying[:, 2]) < 0.1
    assert np.ptp(lying[:, 1]) > 1.4


def test_a_knee_bends_by_hand(tmp_path):
    # The left shin (44 cm) swings back about x by 90 degrees: the ankle is level with the knee, behind it.
    joints = load(tmp_path, bvh_text(angles={"lknee": [(0, 90, 0)] * 3})).joints[0]
    np.testing.assert_allclose(joints[6], STANDING[5] + (0, 0.44, 0), atol=1e-5)
    others = [number for number in range(17) if number != 6]
    np.testing.assert_allclose(joints[others], expected()[others], atol=1e-5)


def test_channels_may_come_in_any_order(tmp_path):
    # 90 degrees about z and x: what the left forearm does depends on which comes first in the file.
    turned = {"lelbow": [(90, 90, 0)] * 3}
    zx = load(tmp_path, bvh_text(angles=turned, order="zxy")).joints[0]
    xz = load(tmp_path, bvh_text(angles=turned, order="xzy")).joints[0]
    # The forearm is (0.02, -0.24, 0) with y up. Rz Rx of it: (0, 0.02, -0.24); Rx Rz: (0.24, 0, 0.02).
    np.testing.assert_allclose(zx[13] - zx[12], (0, 0.24, 0.02), atol=1e-5)
    np.testing.assert_allclose(xz[13] - xz[12], (0.24, -0.02, 0), atol=1e-5)


@settings(max_examples=5)
@given(seed=st.integers(0, 1000), turn=st.floats(-180, 180))
def test_bones_are_rigid_and_the_root_turns_everything(tmp_path_factory, seed, turn):
    folder = tmp_path_factory.mktemp("bvh")
    rng = np.random.default_rng(seed)
    parts = ("root", "neck", "head", "lhip", "rknee", "lshoulder", "relbow")
    angles = {part: rng.uniform(-60, 60, (5, 3)) for part in parts}
    still = load(folder, bvh_text(angles=angles, frames=5, order="yxz")).joints
    straight = bones(load(folder, bvh_text(frames=5)).joints)[0]
    np.testing.assert_allclose(bones(still), np.tile(straight, (5, 1)), atol=1e-5)
    angles["root"] = angles["root"] + (turn, 0, 0)
    turned = load(folder, bvh_text(angles=angles, frames=5, order="yxz")).joints
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    relative = still - still[:, :1]
    np.testing.assert_allclose(turned - turned[:, :1], relative @ about_z.T, atol=1e-4)


# CMU's BVH as it is passed around: no bone between Spine1 and the neck or the shoulders, none in the hand.
_ARM = """JOINT {s}Shoulder {{ OFFSET 0 0 0 CHANNELS 3 Zrotation Yrotation Xrotation
JOINT {s}Arm {{ OFFSET {x}3 1 0 CHANNELS 3 Zrotation Yrotation Xrotation
JOINT {s}ForeArm {{ OFFSET {x}5 0 0 CHANNELS 3 Zrotation Yrotation Xrotation
JOINT {s}Hand {{ OFFSET {x}3 0 0 CHANNELS 3 Zrotation Yrotation Xrotation
JOINT {s}FingerBase {{ OFFSET {hand} 0 0 CHANNELS 3 Zrotation Yrotation Xrotation
End Site {{ OFFSET 1 0 0 }} }} }} }} }} }}"""
_LEG = """JOINT {h}HipJoint {{ OFFSET 0 0 0 CHANNELS 3 Zrotation Yrotation Xrotation
JOINT {s}UpLeg {{ OFFSET {x}2 -2 0 CHANNELS 3 Zrotation Yrotation Xrotation
JOINT {s}Leg {{ OFFSET 0 -7 0 CHANNELS 3 Zrotation Yrotation Xrotation
JOINT {s}Foot {{ OFFSET 0 -8 0 CHANNELS 3 Zrotation Yrotation Xrotation
End Site {{ OFFSET 0 0 2 }} }} }} }} }}"""


def cmu(neck="0 0 0", hand="0"):
    legs = "\n".join(_LEG.format(h=s[0], s=s, x=x) for s, x in (("Left", ""), ("Right", "-")))
    arms = "\n".join(_ARM.format(s=s, x=x, hand=hand) for s, x in (("Left", ""), ("Right", "-")))
    frame = " ".join(["0 17 0"] + ["0 0 0"] * 25)
    return f"""HIERARCHY
ROOT Hips {{ OFFSET 0 0 0 CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
{legs}
JOINT LowerBack {{ OFFSET 0 0 0 CHANNELS 3 Zrotation Yrotation Xrotation
JOINT Spine {{ OFFSET 0 2 0 CHANNELS 3 Zrotation Yrotation Xrotation
JOINT Spine1 {{ OFFSET 0 2 0 CHANNELS 3 Zrotation Yrotation Xrotation
JOINT Neck {{ OFFSET {neck} CHANNELS 3 Zrotation Yrotation Xrotation
JOINT Neck1 {{ OFFSET 0 1.5 0 CHANNELS 3 Zrotation Yrotation Xrotation
JOINT Head {{ OFFSET 0 1.5 0 CHANNELS 3 Zrotation Yrotation Xrotation End Site {{ OFFSET 0 1.6 0 }} }} }} }}
{arms} }} }} }} }}
MOTION
Frames: 2
Frame Time: .0083333
{frame}
{frame}
"""


def test_the_bones_that_cmus_bvh_lost_are_put_back(tmp_path):
    unit = 0.0254 / 0.45
    joints = load(tmp_path, cmu()).joints[0]
    np.testing.assert_allclose(joints[0], (0, 0, 15 * unit), atol=1e-9)  # between the hips
    np.testing.assert_allclose(joints[3], (-2 * unit, 0, 0), atol=1e-9)
    np.testing.assert_allclose(joints[7], (0, 0, 19 * unit), atol=1e-9)
    np.testing.assert_allclose(joints[8], (0, 0, 21 * unit + 0.12), atol=1e-9)
    np.testing.assert_allclose(joints[9], (0, 0, 24 * unit + 0.12), atol=1e-9)
    np.testing.assert_allclose(joints[10], (0, 0, 25.6 * unit + 0.12), atol=1e-9)
    np.testing.assert_allclose(joints[11], (3 * unit, 0, 22 * unit + 0.12), atol=1e-9)
    wrist = 8 * unit + 0.88 * (3 * unit + 0.095)
    np.testing.assert_allclose(joints[13], (wrist, 0, 22 * unit + 0.12), atol=1e-9)


def test_bones_that_are_there_stay_as_they_are(tmp_path):
    unit = 0.0254 / 0.45
    joints = load(tmp_path, cmu(neck="0 2 0", hand="1")).joints[0]
    np.testing.assert_allclose(joints[8], (0, 0, 23 * unit), atol=1e-9)
    np.testing.assert_allclose(joints[13, 0], (8 + 0.88 * 3) * unit, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "no MOTION"),
        (lambda text: text.replace("HIERARCHY", "TREE"), "no HIERARCHY"),
        (lambda text: text[: len(text) * 9 // 10], "numbers instead of 3 frames"),
        (lambda text: text.replace("Frames: 3", "Frames: three"), "three"),
        (lambda text: text.replace("Zrotation", "Zspin", 1), "channels"),
        (lambda text: text.replace("}", "", 1), "braces"),
        (lambda text: text.replace("JOINT", "ROOT", 1), "two people"),
        (lambda text: text.replace("LeftUpLeg", "Tentacle", 1), "no known skeleton"),
        (lambda text: text.replace("Frame Time: 0.0166667", "Frame Time: 0"), "frame time"),
    ],
)
def test_the_error_is_one_line(tmp_path, change, message):
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path, change(bvh_text()))
    assert str(caught.value).startswith(str(tmp_path / "a.bvh"))
    assert "\n" not in str(caught.value)


def test_legs_of_no_unit_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"legs of 8\.7e\+04 units"):
        load(tmp_path, bvh_text(unit=1e-5))
