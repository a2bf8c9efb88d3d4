"""What every 2D-to-3D lifter promises, so that callers never need to know which one they hold.

Tensors are (B, F, 17, C) for one view and (B, F, V, 17, C) for V views: batch, frames, joints in
`lifter.skeletons` order, channels x, y[, score]. `lifter.inference` takes them in screen units (x in [-1, 1],
aspect kept) and gives 3D in metres, whatever the lifter itself reads and answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn


@dataclass(frozen=True)
class LifterSpec:
    """What goes in and what comes out of one configured lifter."""

    name: str
    frames: int  # length of the window; 1 = a single frame
    output: Literal["sequence", "centre"] = "sequence"  # a pose for every frame, or for the middle one only
    joints: Literal["h36m17", "coco17"] = "h36m17"  # of the 2D input; the output is always Human3.6M-17
    channels: int = 2  # 2: x, y; 3: x, y, score
    views: int = 1  # synchronised cameras
    root_relative: bool = True  # joints are relative to the pelvis
    # What the lifter reads: "screen" as VideoPose3D, x' = 2x/w - 1, y' = 2y/w - h/w; the square around the
    # whole track as [-1, 1]; or pixels from the middle, half the shorter side as 1 (`lifter.normalisation`).
    normalisation: Literal["screen", "crop", "pixels"] = "screen"
    # A track shorter than the window: its ends are repeated, it is stretched, or the window is as short.
    short: Literal["repeat", "stretch", "as_is"] = "repeat"
    # A missing joint: 0, 0 and score 0, or its place at the nearest time; without scores always the latter.
    missing: Literal["zero", "nearest"] = "zero"
    # Of the answer: metres, or 2.5D in the units of the input (`lifter.metric`), of Human3.6M joints only.
    units: Literal["metres", "input"] = "metres"
    perspective_crop: bool = False  # the input is turned towards the person (`lifter.cameras`)
    flip_average: bool = True  # average with the mirrored input at test time
    predicts_error: bool = False  # `LifterOutput.error` is given
    space: Literal["camera", "world"] = "camera"


@dataclass(frozen=True)
class LifterOutput:
    """What a lifter says of a batch of windows; F is 1 for a lifter of the centre frame or of single frames.

    joints: (B, F, 17, 3) in the spec's space and units, treated at the root as the authors' evaluation does.
    error: (B, F, 17) metres, the distance the lifter expects each joint to be off, or None.
    up: (B, F, 3) unit vector against gravity in camera axes, or None.
    contacts: (B, F, 17) probability that a joint bears on the ground, or None.
    """

    joints: Tensor
    error: Tensor | None = None
    up: Tensor | None = None
    contacts: Tensor | None = None


class Lifter(nn.Module):
    """Base of all lifters. `forward` has the form of the authors' code, `lift` the same form for all."""

    def lift(self, x: Tensor) -> LifterOutput:
        """3D of 2D normalised as the spec says, (B, F, 17, C), or (B, F, V, 17, C) for several views."""
        raise NotImplementedError


@dataclass(frozen=True)
class ModelEntry:
    """A published lifter: how it is built, what it promises and where it comes from."""

    name: str
    config_class: type
    build: Callable[[Any], Lifter]
    spec: Callable[[Any], LifterSpec]
    paper: str
    licence: str  # of the authors' code and weights
    published: str  # the figures they report
    # What authors published, and our "small", by name; the first is what their files are taken for.
    variants: Mapping[str, Any]
    # Reads sizes off the shapes of a state dict; what shapes do not tell is taken from the second argument.
    # Raises KeyError when the state dict is of another lifter.
    infer: Callable[[Mapping[str, Tensor], Any], Any]
    # From a state dict to the mapping that the authors' code saves and loads.
    wrap: Callable[[Mapping[str, Tensor]], dict[str, Any]] = dict
    # From the names that another publisher gave the weights in a file to the authors'; any other state dict
    # as it is. Raises WeightsError for files that hold something else than the lifter.
    rename: Callable[[dict[str, Tensor], Path], dict[str, Tensor]] = lambda state, path: state
    # Completes an inferred configuration by the name of the file with what no shape tells. Raises
    # WeightsError where the name does not tell it either, or tells that the file cannot be used.
    complete: Callable[[Any, Path], Any] = lambda config, path: config
    # A larger network of the second argument's configuration that answers as the lifter given, or None.
    # Raises ValueError for a configuration that the lifter cannot grow to.
    grow: Callable[[Any, Any], Lifter] | None = None


def wrapped(key: str, prefix: str = "") -> Callable[[Mapping[str, Tensor]], dict[str, Any]]:
    """A `wrap` that puts the weights, their names prefixed, under one key."""
    return lambda state: {key: {prefix + name: weight for name, weight in state.items()}}
