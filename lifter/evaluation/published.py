"""Published figures on Human3.6M, to be shown next to measured ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifter.spec import LifterSpec

CPN, TRUE_2D = "cpn_ft_h36m_dbb", "gt"
HOURGLASS = "sh_ft_h36m"  # Stacked Hourglass, fine-tuned; its authors' lifters also read the confidences


@dataclass(frozen=True)
class Published:
    """MPJPE (Protocol 1) and P-MPJPE (Protocol 2), millimetres; None if the authors give none.

    true_scale: with the true scale of each frame (`lifter.evaluation.true_scale`), of a lifter in 2.5D.
    """

    lifter: str
    keypoints: str
    frames: int
    mpjpe: float
    p_mpjpe: float | None
    mean: Literal["actions", "frames"]
    source: str
    output: Literal["sequence", "centre"] = "sequence"
    true_scale: bool = False


def _true_scale(
    lifter: str, keypoints: str, frames: int, mpjpe: float, p_mpjpe: float | None, source: str
) -> Published:
    source = f"{source}; true scale of each frame, three sequences left out"
    return Published(lifter, keypoints, frames, mpjpe, p_mpjpe, "actions", source, true_scale=True)


PUBLISHED = (
    Published("ktpformer", CPN, 243, 40.1, 31.9, "actions", "paper; the released file gives 40.2 MPJPE"),
    Published("ktpformer", TRUE_2D, 243, 19.0, None, "actions", "paper; the released file gives 18.9"),
    Published("mixste", CPN, 243, 40.9, 32.6, "actions", "paper"),
    Published("mixste", CPN, 81, 42.4, 33.9, "actions", "paper"),
    Published("mixste", TRUE_2D, 243, 21.6, None, "actions", "paper"),
    _true_scale("motionbert", HOURGLASS, 243, 37.2, 32.2, "authors' README, MB_ft_h36m"),
    _true_scale("motionagformer", HOURGLASS, 243, 38.4, None, "abstract, B"),
    _true_scale("motionagformer", TRUE_2D, 243, 19.4, None, "a benchmark's listing of the paper, B; L 17.3"),
    _true_scale("motionagformer", TRUE_2D, 81, 26.5, None, "a benchmark's listing of the paper, S"),
    _true_scale("motionagformer", TRUE_2D, 27, 28.1, None, "a benchmark's listing of the paper, XS"),
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
    """Return the figure published for a lifter of this name, window and output on this 2D, or None."""
    wanted = (spec.name, keypoints, spec.frames, spec.output, spec.units == "input")
    for each in PUBLISHED:
        if (each.lifter, each.keypoints, each.frames, each.output, each.true_scale) == wanted:
            return each
    return None
