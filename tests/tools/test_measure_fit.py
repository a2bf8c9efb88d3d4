"""The table of the fit on simulated detections: its figures by hand."""

import numpy as np
import pytest
import typer

from demo.motion.body import SIGMAS
from lifter.skeletons import H36M_17
from tests.lifter.motions import STANDING
from tools.measure_fit import SimulatedClip, changed, compare


def squat(degrees):
    """Return a standing pose whose right shank is turned backwards by so many degrees about the knee."""
    joints = np.tile(STANDING, (4, 1, 1)).astype(np.float64)
    hip, knee, ankle = (H36M_17.joints.index(f"right_{name}") for name in ("hip", "knee", "ankle"))
    thigh = joints[0, knee] - joints[0, hip]
    across = np.cross(thigh, (0, 1, 0))
    across /= np.linalg.norm(across)
    forward = np.cross(across, thigh)
    a = np.radians(degrees)
    joints[:, ankle] = joints[:, knee] + 0.9 * (np.cos(a) * thigh + np.sin(a) * forward)
    return joints


def test_a_knee_ten_degrees_too_straight_in_one_of_two_legs():
    true, found = squat(40.0), squat(30.0)
    clip = SimulatedClip(None, None, true)
    _, knee, elbow, straight, walking, _ = compare([found], [clip])
    assert float(knee) == pytest.approx(5.0, abs=0.1)  # mean over both knees
    assert float(elbow) == 0
    assert float(straight) == pytest.approx(0.0, abs=0.1)  # the left leg, which is as it should be
    assert float(walking) == pytest.approx(-10.0, abs=0.1)


def test_a_sigma_changes_by_its_name():
    assert changed("direction=0.5").direction == 0.5
    assert changed("direction=0.5").keypoint == SIGMAS.keypoint


@pytest.mark.parametrize("setting", ["bend=1", "direction=wide", "direction"])
def test_what_is_no_sigma_is_refused(setting):
    with pytest.raises(typer.BadParameter, match="no "):
        changed(setting)
