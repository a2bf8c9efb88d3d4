"""Acclaim files: bones turn about axes of their own, by hand; units; damaged and foreign files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import DataError
from lifter.datasets.mocap.asf import bone_ends, load_amc, parse_amc, parse_asf
from lifter.skeletons import H36M_17
from tests.lifter.datasets.mocap.motion_files import amc_text, asf_text
from tests.lifter.motions import STANDING

ARM_ASF = """:units
  length 1.0
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 1
  orientation 0 0 0
:bonedata
  begin
    id 1
    name upper
    direction 0 0 1
    length 2
    axis 0 0 90 XYZ
    dof rx
    limits (-180 180)
  end
  begin
    id 2
    name lower
    direction 0 1 0
    length 1
    axis 0 0 0 XYZ
    dof rx ry
  end
:hierarchy
  begin
    root upper
    upper lower
  end
"""
ARM_AMC = """:FULLY-SPECIFIED
:DEGREES
1
root 1 2 3 0 0 0
upper 0
lower 0 0
2
root 1 2 3 0 0 0
upper 90
lower 90 90
3
root 0 0 0 90 0 90
upper 0
lower 0 0
"""


def expected():
    joints = STANDING.astype(float).copy()
    for elbow, wrist in ((12, 13), (15, 16)):
        joints[wrist] = joints[elbow] + 0.88 * (joints[wrist] - joints[elbow])
    return joints


def load(folder, asf=None, amc=None, fps=120.0):
    (folder / "a.asf").write_text(asf or asf_text())
    (folder / "a.amc").write_text(amc or amc_text())
    return load_amc(folder / "a.amc", folder / "a.asf", fps)


def test_an_arm_by_hand():
    asf = parse_asf(ARM_ASF, "arm")
    assert asf.metres == pytest.approx(0.0254)
    ends = bone_ends(asf, parse_amc(ARM_AMC, asf, "arm"))
    np.testing.assert_allclose(ends["root"][0], (1, 2, 4))
    np.testing.assert_allclose(ends["upper"][0], (1, 2, 6))
    np.testing.assert_allclose(ends["lower"][0], (1, 3, 6))
    # The upper arm's own x is the world's y, and a quarter turn about that takes z to x. The lower arm's y
    # goes first to z, then to x by its own turns, and from x to -z by the upper arm's.
    np.testing.assert_allclose(ends["upper"][1], (3, 2, 4), atol=1e-12)
    np.testing.assert_allclose(ends["lower"][1], (3, 2, 3), atol=1e-12)
    # The root turns about x first: z to -y, then about z: -y to x; y goes to z and stays.
    np.testing.assert_allclose(ends["upper"][2], (2, 0, 1), atol=1e-12)
    np.testing.assert_allclose(ends["lower"][2], (2, 0, 2), atol=1e-12)


def test_radians_are_read():
    radians = ARM_AMC.replace(":DEGREES", ":RADIANS").replace("90", "1.5707963267948966")
    asf = parse_asf(ARM_ASF, "arm")
    found, given = (bone_ends(asf, parse_amc(text, asf, "arm")) for text in (radians, ARM_AMC))
    np.testing.assert_allclose(found["lower"], given["lower"], atol=1e-9)


def test_a_body_stands_in_metres_with_z_up(tmp_path):
    capture = load(tmp_path)
    assert capture.fps == 120
    np.testing.assert_allclose(capture.joints[2], expected(), atol=1e-5)


@pytest.mark.parametrize(("unit", "length"), [(0.01, 1.0), (0.0254, 1.0), (1.0, 1.0), (0.0254 / 0.45, 0.45)])
def test_implausible_units_are_inferred_from_the_legs(tmp_path, unit, length):
    capture = load(tmp_path, asf_text(unit=unit, length=length), amc_text(unit=unit))
    np.testing.assert_allclose(capture.joints[0], expected(), atol=1e-5)


def test_a_femur_turns_about_its_own_axes(tmp_path):
    # With axes a quarter turn about z, rx is a turn about y with y up: nothing for a leg straight down.
    swung = {"lfemur": [(90, 0, 0)] * 3}
    still = load(tmp_path, asf_text({"lfemur": "0 0 90 XYZ"}), amc_text(swung)).joints[0]
    np.testing.assert_allclose(still, expected(), atol=1e-5)
    # Along the world's axes it swings the leg back (+y here), knee and ankle.
    swung = load(tmp_path, None, amc_text(swung)).joints[0]
    np.testing.assert_allclose(swung[5], STANDING[4] + (0, 0.43, 0), atol=1e-5)
    np.testing.assert_allclose(swung[6], STANDING[4] + (0, 0.87, 0), atol=1e-5)


@settings(max_examples=5)
@given(seed=st.integers(0, 1000), turn=st.floats(-180, 180))
def test_bones_are_rigid_and_the_root_turns_everything(tmp_path_factory, seed, turn):
    folder = tmp_path_factory.mktemp("asf")
    rng = np.random.default_rng(seed)
    angles = {
        bone: rng.uniform(-60, 60, (4, 3)) for bone in ("lowerback", "thorax", "lfemur", "rhumerus", "head")
    }
    axes = {
        bone: f"{rng.uniform(-90, 90)} 20 {rng.uniform(-90, 90)} XYZ"
        for bone in ("lfemur", "rhumerus", "head")
    }
    joints = load(folder, asf_text(axes), amc_text(angles, 4)).joints
    for parent, child in H36M_17.bones:
        straight = np.linalg.norm(expected()[child] - expected()[parent])
        length = np.linalg.norm(joints[:, child] - joints[:, parent], axis=-1)
        np.testing.assert_allclose(length, straight, atol=1e-5)
    turned = load(folder, asf_text(axes), amc_text(angles, 4, root=(0, turn, 0))).joints
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    np.testing.assert_allclose(turned - turned[:, :1], (joints - joints[:, :1]) @ about_z.T, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "fewer than two whole frames"),
        (lambda text: text[: len(text) * 8 // 10], "fewer than two|frames without"),
        (lambda text: text.replace("ltibia 0", "ltibia 0 0"), "2 numbers for ltibia instead of 1"),
        (lambda text: text.replace("ltibia", "tail"), "moves 'tail'"),
        (lambda text: text.replace("ltibia 0\n", ""), "nothing of ltibia"),
        (lambda text: text.replace("ltibia 0", "ltibia nan"), "numbers that are none"),
        (lambda text: text.replace("ltibia 0", "ltibia x"), "damaged"),
    ],
)
def test_the_error_for_a_damaged_motion_is_one_line(tmp_path, change, message):
    (tmp_path / "a.asf").write_text(asf_text())
    (tmp_path / "a.amc").write_text(change(amc_text()))
    with pytest.raises(DataError, match=message) as caught:
        load_amc(tmp_path / "a.amc", tmp_path / "a.asf", 120)
    assert str(caught.value).startswith(str(tmp_path / "a.amc"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "no Acclaim skeleton"),
        (lambda text: text[: len(text) // 2], "no Acclaim skeleton"),
        (lambda text: text.replace("lfemur ltibia", "lfemur tail"), "tail"),
        (lambda text: text.replace("dof rx ry rz", "dof tx ry rz", 1), "bones only turn"),
        (lambda text: text.replace("length 0.45", "length none"), "damaged"),
    ],
)
def test_damaged_skeletons_are_refused(tmp_path, change, message):
    (tmp_path / "a.asf").write_text(change(asf_text()))
    (tmp_path / "a.amc").write_text(amc_text())
    with pytest.raises(DataError, match=message) as caught:
        load_amc(tmp_path / "a.amc", tmp_path / "a.asf", 120)
    assert str(caught.value).startswith(str(tmp_path / "a.asf"))


def test_bones_with_other_names_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.asf: no known skeleton \(Acclaim"):
        load(tmp_path, asf_text().replace("upperneck", "stalk"), amc_text().replace("upperneck", "stalk"))
