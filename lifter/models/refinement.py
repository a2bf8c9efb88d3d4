"""The refinement stage of JointFormer (Lutz et al., ICPR 2022) for single frames.

A second, wider JointTransformer reads the 2D joints together with the pose and the errors that
JointFormer predicted, and predicts a refined pose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from lifter.models import jointformer
from lifter.models.jointformer import JointFormer, JointFormerConfig, JointTransformer
from lifter.network import Lifter, ModelEntry
from lifter.spec import LifterOutput, LifterSpec

FIRST, SECOND = "pose.", "refiner."  # prefixes of the two stages in the state dict

REFINER = JointFormerConfig(
    layers=2,
    width=256,
    hidden=1024,
    channels=8,
    intermediate=False,
    error_prediction=False,
    pred_dropout=0.1,
)


@dataclass(frozen=True)
class RefinementConfig:
    """Both stages. The second reads x, y[, score], the pose and its error per coordinate."""

    pose: JointFormerConfig = field(default_factory=JointFormerConfig)
    refiner: JointFormerConfig = REFINER


class Refinement(Lifter):
    """Both stages: (B, 17, 2) of single frames to the refined pose (B, 17, 3)."""

    def __init__(self, config: RefinementConfig) -> None:
        super().__init__()
        self.config = config
        self.pose = JointFormer(config.pose)
        self.refiner = JointTransformer(config.refiner)

    def first_stage(self, x: Tensor) -> Tensor:
        """Return the input of the second stage: (B, 17, 8), or 9 with scores."""
        poses, _, errors = self.pose(x)
        return torch.cat([self.pose.normalised(x), poses[-1], errors[-1]], -1)

    def forward(self, x: Tensor) -> Tensor:
        return self.refiner(self.first_stage(x))[0][-1]

    def lift(self, x: Tensor) -> LifterOutput:
        joints = self(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return LifterOutput(joints - joints[:, :, :1])


def infer(state: Mapping[str, Tensor], base: RefinementConfig) -> RefinementConfig:
    """Infer the sizes of both stages from the shapes."""

    def stage(prefix: str, config: JointFormerConfig) -> JointFormerConfig:
        part = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        return jointformer.infer(part, config)

    return replace(base, pose=stage(FIRST, base.pose), refiner=stage(SECOND, base.refiner))


def wrap(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Wrap weights as in the authors' file: second stage in `state_dict`, first in `jt_state_dict`."""
    keys = {SECOND: "state_dict", FIRST: "jt_state_dict"}
    return {
        key: {name.removeprefix(stage): weight for name, weight in state.items() if name.startswith(stage)}
        for stage, key in keys.items()
    }


ENTRY = ModelEntry(
    name="refinement",
    config_class=RefinementConfig,
    build=Refinement,
    spec=lambda c: LifterSpec(
        "refinement", frames=1, channels=c.pose.channels, perspective_crop=c.pose.person_relative
    ),
    paper=jointformer.ENTRY.paper + " (second stage)",
    licence="none stated",
    published="not stated",
    variants={
        "published": RefinementConfig(),
        "small": RefinementConfig(
            pose=jointformer.SMALL, refiner=replace(REFINER, width=128, hidden=512, channels=9)
        ),
    },
    infer=infer,
    wrap=wrap,
)
