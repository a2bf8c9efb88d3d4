"""Joint angles of Human3.6M-17 poses, in degrees.

Flexion is 0 where the limb is straight. It is measured between bones, so it does not depend on the size,
position or orientation of the pose:

- knee: between thigh (hip to knee) and shank (knee to ankle).
- elbow: between upper arm (shoulder to elbow) and forearm (elbow to wrist).
- hip: between trunk (thorax to pelvis) and thigh (hip to knee); near 0 standing, about 90 seated.
- trunk lean: between trunk (pelvis to thorax) and the vertical; 0 upright, 90 lying, 180 upside down.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lifter.skeletons import H36M_17

Floats = NDArray[np.floating]

# Two bones of each angle, as (from, to), (from, to); those of the right side.
BONES = {
    "knee": (("hip", "knee"), ("knee", "ankle")),
    "elbow": (("shoulder", "elbow"), ("elbow", "wrist")),
    "hip": (("thorax", "pelvis"), ("hip", "knee")),
}
NAMES = (*BONES, "trunk")
_MIDDLE = ("thorax", "pelvis")


def angle_between(a: Floats, b: Floats) -> Floats:
    """Return the angle (...) between vectors (..., 3), degrees in [0, 180].

    The arc tangent is exact near 0 and 180.
    """
    cross = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.degrees(np.arctan2(cross, (a * b).sum(-1)))


def flexion(joints: Floats, name: str) -> Floats:
    """Return the flexion (..., 2), degrees, right and left, of `name` in `BONES`, of poses (..., 17, 3)."""
    upper, lower = BONES[name]
    return np.stack(
        [
            angle_between(_bone(joints, side, *upper), _bone(joints, side, *lower))
            for side in ("right_", "left_")
        ],
        -1,
    )


def trunk_lean(joints: Floats, up: Floats) -> Floats:
    """Return the angle (...), degrees, of the trunk of poses (..., 17, 3) to `up`, (3,) or (..., 3)."""
    trunk = _bone(joints, "", "pelvis", "thorax")
    return angle_between(trunk, np.broadcast_to(up, trunk.shape))


def pose_angles(joints: Floats, up: Floats) -> dict[str, Floats]:
    """Return the angles `NAMES`, degrees, of poses (..., 17, 3): (..., 2) right and left, (..., 1) trunk."""
    angles = {name: flexion(joints, name) for name in BONES}
    return {**angles, "trunk": trunk_lean(joints, up)[..., None]}


def _bone(joints: Floats, side: str, start: str, end: str) -> Floats:
    names = [name if name in _MIDDLE else side + name for name in (start, end)]
    first, last = (H36M_17.joints.index(name) for name in names)
    return joints[..., last, :] - joints[..., first, :]
