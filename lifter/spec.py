"""The interface of every 2D-to-3D lifter, so that callers need not know which one they use.

Arrays are (B, F, 17, C) for one view and (B, F, V, 17, C) for V views: batch, frames, joints in
`lifter.skeletons` order, channels x, y[, score]. `lifter.inference` reads screen units (x in [-1, 1],
aspect kept) and returns metres, whatever the units of the lifter itself.

PyTorch is not imported here: `lifter.network` has the lifters as modules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]
Array = TypeVar("Array", "Tensor", "Floats")


@dataclass(frozen=True)
class LifterSpec:
    """Input and output of one configured lifter."""

    name: str
    frames: int  # length of the window; 1 = a single frame
    output: Literal["sequence", "centre"] = "sequence"  # a pose for every frame, or for the centre frame only
    joints: Literal["h36m17", "coco17"] = "h36m17"  # of the 2D input; the output is always Human3.6M-17
    channels: int = 2  # 2: x, y; 3: x, y, score
    views: int = 1  # synchronised cameras
    root_relative: bool = True  # joints are relative to the pelvis
    # What the lifter reads: "screen" as VideoPose3D, x' = 2x/w - 1, y' = 2y/w - h/w; the square around the
    # whole track as [-1, 1]; or pixels from the middle, half the shorter side as 1 (`lifter.normalisation`).
    normalisation: Literal["screen", "crop", "pixels"] = "screen"
    # For a track shorter than the window: repeat its ends, stretch it, or shorten the window.
    short: Literal["repeat", "stretch", "as_is"] = "repeat"
    # A missing joint: 0, 0 and score 0, or its nearest position in time; always the latter without scores.
    missing: Literal["zero", "nearest"] = "zero"
    # Of the output: metres, or 2.5D in the units of the input (`lifter.metric`), for Human3.6M joints only.
    units: Literal["metres", "input"] = "metres"
    perspective_crop: bool = False  # rotate the input towards the person (`lifter.cameras`)
    flip_average: bool = True  # average with the mirrored input at test time
    predicts_error: bool = False  # `LifterOutput.error` is not None
    space: Literal["camera", "world"] = "camera"


@dataclass(frozen=True)
class LifterOutput(Generic[Array]):
    """Output for a batch of windows; F is 1 for a lifter of the centre frame or of single frames.

    joints: (B, F, 17, 3) in the spec's space and units, with the root as in the authors' evaluation.
    error: (B, F, 17) metres, expected error of each joint, or None.
    up: (B, F, 3) unit vector against gravity in camera axes, or None.
    contacts: (B, F, 17) probability that a joint is in contact with the ground, or None.
    """

    joints: Array
    error: Array | None = None
    up: Array | None = None
    contacts: Array | None = None


class WindowLifter(Protocol):
    """What inference needs of a lifter, in whatever runtime."""

    def predict(self, windows: Floats) -> LifterOutput[Floats]:
        """Lift 2D, normalised as in the spec: (B, F, 17, C), or (B, F, V, 17, C) for several views."""
        ...
