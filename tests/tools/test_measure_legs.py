"""The straight-leg table counts legs that the picture shows straight, and those alone."""

import numpy as np
import pytest

from demo.results.result import Result
from demo.types import Motion, Status, Tracks2D
from lifter.skeletons import LIMBS_COCO, LIMBS_H36M
from tests.lifter.test_angles import FAR, bent
from tools.measure_legs import straight_legs


def result(pose, score=0.9, sideways=0.0):
    """One frame: 3D of a pose, and 2D of the standing figure with the right ankle moved sideways."""
    points = np.zeros((1, 1, 17, 3), np.float32)
    points[0, 0, LIMBS_COCO, :2] = FAR[LIMBS_H36M,][:, (0, 2)] * (100, -100)
    points[0, 0, 16, 0] += sideways
    points[..., 2] = score
    ids, solid = np.array([1], np.int32), pose[None, None].astype(np.float32)
    flat = Tracks2D(ids, np.zeros((1, 1, 4), np.float32), points)
    status = np.full((1, 1), Status.MEASURED, np.uint8)
    motion = Motion(ids, solid, solid, None, status, np.ones((1, 1, 17), np.uint8))
    return Result.build(flat, motion, np.zeros(1), {"camera": {}})


def test_both_legs_count_with_the_angle_they_have_in_3d():
    assert straight_legs(result(bent(20))) == pytest.approx([160, 180], abs=1e-2)


def test_legs_that_are_bent_or_doubtful_in_the_picture_do_not_count():
    assert straight_legs(result(bent(20), sideways=20)) == pytest.approx([180], abs=1e-2)
    assert len(straight_legs(result(bent(20), score=0.4))) == 0
