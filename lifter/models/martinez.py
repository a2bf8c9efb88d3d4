"""The frame-by-frame baseline: a residual network over the joints of one frame.

Martinez et al., "A simple yet effective baseline for 3D human pose estimation", ICCV 2017: two residual
blocks of two linear layers with batch normalisation, ReLU and dropout. It reads the input of the app's lifter
(COCO-17 with scores), one frame at a time, and is the baseline for every temporal lifter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional

from lifter.models.person_input import FEATURES, person_features, person_spec
from lifter.network import Lifter, ModelEntry
from lifter.spec import LifterOutput, LifterSpec


@dataclass(frozen=True)
class MartinezConfig:
    """The paper has width 1024, two blocks and dropout 0.5 (for 1.5 million real poses)."""

    frames: int = 1
    width: int = 1024
    blocks: int = 2
    dropout: float = 0.1


class LinearBlock(nn.Module):
    """Two linear layers, each with batch normalisation, ReLU and dropout, and a shortcut."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.fc1, self.bn1 = nn.Linear(width, width), nn.BatchNorm1d(width)
        self.fc2, self.bn2 = nn.Linear(width, width), nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dropout(functional.relu(self.bn1(self.fc1(x))))
        return x + self.dropout(functional.relu(self.bn2(self.fc2(y))))


class MartinezLifter(Lifter):
    """(B, T, 17, 3) screen-normalised COCO-17 x, y, score -> (B, T, 17, 3) metres; frames are independent."""

    def __init__(self, config: MartinezConfig) -> None:
        super().__init__()
        self.config = config
        self.embed, self.bn = nn.Linear(FEATURES, config.width), nn.BatchNorm1d(config.width)
        self.blocks = nn.Sequential(
            *(LinearBlock(config.width, config.dropout) for _ in range(config.blocks))
        )
        self.head = nn.Linear(config.width, 17 * 3)
        self.dropout = nn.Dropout(config.dropout)

    def lift(self, keypoints: Tensor) -> LifterOutput:
        """Predict the joints of every frame from its own keypoints alone."""
        return LifterOutput(joints=self(keypoints), error=None, up=None)

    def forward(self, keypoints: Tensor) -> Tensor:
        batch, frames = keypoints.shape[:2]
        features = person_features(keypoints.reshape(batch * frames, 1, 17, 3))[:, 0]
        x = self.dropout(functional.relu(self.bn(self.embed(features))))
        joints = self.head(self.blocks(x)).float().view(batch, frames, 17, 3)
        return joints - joints[:, :, :1]


def spec(config: MartinezConfig) -> LifterSpec:
    """Return the spec: one frame in, one frame out."""
    return person_spec("martinez", 1)


def infer(state: Mapping[str, Tensor], known: MartinezConfig) -> MartinezConfig:
    """Infer the sizes from the shapes of a state dict; the dropout comes from `known`."""
    blocks = sum(key.startswith("blocks.") and key.endswith("fc1.weight") for key in state)
    return replace(known, width=state["embed.weight"].shape[0], blocks=blocks)


ENTRY = ModelEntry(
    name="martinez",
    config_class=MartinezConfig,
    build=MartinezLifter,
    spec=spec,
    paper="Martinez et al., ICCV 2017 (architecture; our inputs)",
    licence="the project's own",
    published="see weights/cards/martinez.md",
    variants={"martinez": MartinezConfig()},
    infer=infer,
)
