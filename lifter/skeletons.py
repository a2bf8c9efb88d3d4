"""Joint names, parents and left/right pairs of COCO-17 and Human3.6M-17, and the conversion between them.

Detectors output COCO-17. Lifters output Human3.6M's 17 joints in VideoPose3D's order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Skeleton:
    """A set of joints. `parents` has -1 for the root; `left[i]` and `right[i]` are mirror images."""

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(parent, child) of every bone."""
        return tuple((p, j) for j, p in enumerate(self.parents) if p >= 0)

    @property
    def mirror(self) -> tuple[int, ...]:
        """For each joint the joint it becomes in a mirrored picture."""
        order = list(range(len(self.joints)))
        for a, b in zip(self.left, self.right, strict=True):
            order[a], order[b] = b, a
        return tuple(order)


H36M_17 = Skeleton(
    "h36m17",
    (
        "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
        "spine", "thorax", "neck_nose", "head", "left_shoulder", "left_elbow", "left_wrist",
        "right_shoulder", "right_elbow", "right_wrist",
    ),
    (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
    left=(4, 5, 6, 11, 12, 13),
    right=(1, 2, 3, 14, 15, 16),
)  # fmt: skip

# COCO has no skeleton of its own: parents follow the body so that it can be drawn (nose as root).
COCO_17 = Skeleton(
    "coco17",
    (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
        "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
        "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    (-1, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
    left=(1, 3, 5, 7, 9, 11, 13, 15),
    right=(2, 4, 6, 8, 10, 12, 14, 16),
)  # fmt: skip

SKELETONS = {skeleton.name: skeleton for skeleton in (H36M_17, COCO_17)}

# The twelve limb joints that both skeletons define at the same position: (H36M-17 index, COCO-17 index).
LIMBS_H36M = (11, 14, 12, 15, 13, 16, 4, 1, 5, 2, 6, 3)
LIMBS_COCO = (5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)


def coco_to_h36m(keypoints: NDArray[np.floating]) -> NDArray[np.float32]:
    """Convert COCO-17 keypoints (..., 17, 3), pixels and score, to H36M-17 (..., 17, 3).

    Published lifters expect the rule of the video demos that followed VideoPose3D: pelvis and thorax from
    hips and shoulders, spine shifted along x, head above the eyes. The score of a derived joint is the mean
    of its sources. The joint is NaN with score 0 where one of them is missing.
    """
    c = np.asarray(keypoints, dtype=np.float32)
    xy, score = c[..., :2], c[..., 2]
    out = np.zeros_like(c)
    o, s = out[..., :2], out[..., 2]

    copies = {9: 0, 11: 5, 14: 6, 12: 7, 15: 8, 13: 9, 16: 10, 4: 11, 1: 12, 5: 13, 2: 14, 6: 15, 3: 16}
    for h36m, coco in copies.items():
        o[..., h36m, :], s[..., h36m] = xy[..., coco, :], score[..., coco]

    shoulders = xy[..., (5, 6), :].mean(-2)
    o[..., 0, :] = xy[..., (11, 12), :].mean(-2)
    o[..., 7, :] = xy[..., (5, 6, 11, 12), :].mean(-2)
    o[..., 8, :] = shoulders + (xy[..., 0, :] - shoulders) / 3
    o[..., 10, 0] = xy[..., 1:5, 0].mean(-1)
    o[..., 10, 1] = xy[..., 1, 1] + xy[..., 2, 1] - xy[..., 0, 1]

    o[..., 9, :] -= (xy[..., 0, :] - shoulders) / 4
    o[..., 7, 0] += 2 * (o[..., 7, 0] - (o[..., 0, 0] + o[..., 8, 0]) / 2)
    o[..., 8, 1] -= ((xy[..., 1, 1] + xy[..., 2, 1]) / 2 - xy[..., 0, 1]) * 2 / 3

    s[..., 0] = score[..., (11, 12)].mean(-1)
    s[..., 8] = score[..., (5, 6)].mean(-1)
    s[..., 7] = (s[..., 0] + s[..., 8]) / 2
    s[..., 10] = score[..., 1:5].mean(-1)
    s[np.isnan(o).any(-1)] = 0
    return out
