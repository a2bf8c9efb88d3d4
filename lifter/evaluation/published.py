"""What authors report on Human3.6M, to be shown next to what is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifter.spec import LifterSpec

CPN, TRUE_2D = "cpn_ft_h36m_dbb", "gt"


@dataclass(frozen=True)
class Published:
    """MPJPE (Protocol 1) and P-MPJPE (Protocol 2), millimetres; None where the authors give none."""

    lifter: str
    keypoints: str
    frames: int
    mpjpe: float
    p_mpjpe: float | None
    mean: Literal["actions", "frames"]
    source: str
    output: Literal["sequence", "centre"] = "sequence"


PUBLISHED = (
    Published("ktpformer", CPN, 243, 40.1, 31.9, "actions", "paper; the released file gives 40.2 MPJPE"),
    Published("ktpformer", TRUE_2D, 243, 19.0, None, "actions", "paper; the released file gives 18.9"),
    Published("crossformer", CPN, 81, 44.4, None, "actions", "name of the released file", "centre"),
    Published("crossformer", TRUE_2D, 81, 28.5, None, "actions", "authors' README", "centre"),
    Published("jointformer", CPN, 1, 50.5, None, "actions", "a benchmark's listing of the paper"),
    Published("esmformer", CPN, 27, 27.4, 22.1, "actions", "authors' README"),
    Published("esmformer", TRUE_2D, 27, 17.6, 11.8, "actions", "authors' README"),
    Published("esmformer", CPN, 27, 34.5, 26.7, "actions", "authors' README, self-supervised", "centre"),
    Published("esmformer", TRUE_2D, 27, 20.9, 12.6, "actions", "authors' README, self-supervised", "centre"),
    Published("lstm_posenet", CPN, 81, 55.0, None, "frames", "authors' README", "centre"),
    Published("transformer_posenet", CPN, 81, 64.0, None, "frames", "authors' README", "centre"),
)


def find(spec: LifterSpec, keypoints: str) -> Published | None:
    """The figure reported for a lifter of this name, window and output on this 2D, if there is one."""
    wanted = (spec.name, keypoints, spec.frames, spec.output)
    for each in PUBLISHED:
        if (each.lifter, each.keypoints, each.frames, each.output) == wanted:
            return each
    return None
