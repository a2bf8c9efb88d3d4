"""Training recipes of each lifter: the authors', and ours for motion capture through virtual cameras.

`PAPERS` has the papers' values for Human3.6M, from the authors' code where the paper omits them:

- KTPFormer (run_ktpformer.py): AdamW, 8e-5 and 0.99 an epoch, weight decay 0.1, 200 epochs, 8 windows of 243
  frames a batch, every window also mirrored.
- MixSTE: AdamW, 4e-5 and 0.99 an epoch, weight decay 0.1, the loss of KTPFormer, which reuses it. Batch
  size and epochs are KTPFormer's.
- MotionBERT from scratch: AdamW, 2e-4 and 0.99 an epoch, weight decay 0.01, 120 epochs, 32 windows of 243
  frames, half of them mirrored.
- MotionAGFormer: the same, but 5e-4, 60 epochs and 16 windows.
- CrossFormer (its run script): AdamW, 4e-5 on detections (4e-4 on true 2D) and 0.99 an epoch, weight decay
  0.1, 200 epochs, 512 windows, also mirrored.
- JointFormer and its refinement (the published commands): AdamW, 1e-3 along a cosine to 0, weight decay 0.01,
  batches of 256 frames, half of them mirrored, gradients clipped at 1; 50 and 30 epochs.
- ESMformer (main.py): Adam with AMSGrad; 0.95 an epoch, every fifth 0.5; 1024 windows, 49 epochs; 5e-4, or
  1e-3 self-supervised.
- The PoseNets (train.py): Adam, 1e-3 and 0.99 an epoch, 15 epochs, 512 windows, also mirrored.

`SYNTHETIC` is this project's recipe for motion capture: AdamW, a warm-up, a constant rate and a linear
cooldown, clipped gradients and averaged weights, with the loss of the paper. Synthetic windows are endless,
so its length is in steps, and published lifters need neither dropout nor stochastic depth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from torch import nn, optim

from lifter.datasets.h36m_windows import Flip
from lifter.training import paper_losses as losses
from lifter.training.paper_losses import Loss

# Learning rate over its peak, from (step, total steps, steps an epoch).
Schedule = Callable[[int, int, int], float]
LINEAR_WARMUP = 300  # steps, at most a tenth of the total
COOLDOWN = 0.2  # of the total steps


@dataclass(frozen=True)
class Preset:
    """A recipe. `loss` makes a new loss for every training; `ema` is the decay of the averaged weights."""

    loss: Callable[[], Loss]
    learning_rate: float
    schedule: Schedule
    batch: int
    frames: int  # of the windows drawn
    steps: int | None = None  # total; None: `epochs`
    epochs: int = 1
    optimizer: Literal["adam", "amsgrad", "adamw"] = "adamw"
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float = math.inf
    dropout: bool = True  # as the network has it
    ema: float = 0.0
    flip: Flip = "twice"
    shorter: float | None = (
        None  # share of the batches of shorter windows, where the network reads any length
    )

    def optimise(self, model: nn.Module) -> optim.Optimizer:
        """Create the optimiser. Weights without a gradient, such as a frozen stage's, do not change."""
        weights = model.parameters()
        if self.optimizer == "adamw":
            return optim.AdamW(weights, self.learning_rate, self.betas, weight_decay=self.weight_decay)
        amsgrad = self.optimizer == "amsgrad"
        return optim.Adam(
            weights, self.learning_rate, self.betas, weight_decay=self.weight_decay, amsgrad=amsgrad
        )

    def rate(self, step: int, steps: int, epoch: int) -> float:
        """Return the learning rate of a step, of `steps` in total and `epoch` steps an epoch."""
        return self.learning_rate * self.schedule(step, steps, epoch)


def warm_stable_cool(step: int, steps: int, epoch: int) -> float:
    """Return a linear warm-up, a constant rate, and a linear cooldown to 0 over the last fifth.

    Until the cooldown the rate does not depend on `steps`. A training that stopped at step n can therefore be
    resumed with 1.25 n total steps, all cooldown (Haegele et al., "Scaling laws and compute-optimal training
    beyond fixed training durations", NeurIPS 2024).
    """
    warm = (step + 1) / max(min(LINEAR_WARMUP, steps // 10), 1)
    cool = (steps - step) / max(COOLDOWN * steps, 1)
    return max(min(warm, cool, 1.0), 0.0)


def cosine(step: int, steps: int, epoch: int) -> float:
    """Return a cosine decay to 0 over all steps."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def one_percent_less(step: int, steps: int, epoch: int) -> float:
    """Return a decay by 0.99 an epoch."""
    return float(0.99 ** (step // epoch))


def esmformer_steps(step: int, steps: int, epoch: int) -> float:
    """Return a decay by 0.95 an epoch, and by 0.5 every fifth epoch."""
    done = step // epoch
    return float(0.95 ** (done - done // 5) * 0.5 ** (done // 5))


_POSENET = Preset(
    lambda: losses.position_loss, 1e-3, one_percent_less, batch=512, frames=81, epochs=15, optimizer="adam"
)
_KTPFORMER = Preset(
    lambda: losses.ktpformer, 8e-5, one_percent_less, batch=8, frames=243, epochs=200, weight_decay=0.1
)
_MOTIONBERT = Preset(
    lambda: losses.motionbert,
    2e-4,
    one_percent_less,
    batch=32,
    frames=243,
    epochs=120,
    weight_decay=0.01,
    flip="half",
)
_JOINTFORMER = Preset(
    lambda: losses.jointformer,
    1e-3,
    cosine,
    batch=256,
    frames=1,
    epochs=50,
    weight_decay=0.01,
    clip_norm=1.0,
    flip="half",
)
_OWN = Preset(
    lambda: losses.wild_loss,
    1e-3,
    warm_stable_cool,
    batch=64,
    frames=81,
    steps=20_000,
    weight_decay=0.02,
    betas=(0.9, 0.98),
    clip_norm=1.0,
    ema=0.999,
    shorter=0.2,
)

PAPERS: Mapping[str, Preset] = MappingProxyType(
    {
        "wild": _OWN,
        "martinez": _OWN,
        "ktpformer": _KTPFORMER,
        "mixste": replace(_KTPFORMER, learning_rate=4e-5),
        "motionbert": _MOTIONBERT,
        "motionagformer": replace(_MOTIONBERT, learning_rate=5e-4, batch=16, epochs=60),
        "crossformer": Preset(
            lambda: losses.position_loss,
            4e-5,
            one_percent_less,
            batch=512,
            frames=81,
            epochs=200,
            weight_decay=0.1,
        ),
        "jointformer": _JOINTFORMER,
        "refinement": replace(_JOINTFORMER, loss=lambda: losses.refinement, epochs=30),
        "esmformer": Preset(
            lambda: losses.position_loss,
            5e-4,
            esmformer_steps,
            batch=1024,
            frames=27,
            epochs=49,
            optimizer="amsgrad",
            flip="never",
        ),
        "lstm_posenet": _POSENET,
        "simple_posenet": _POSENET,
        "transformer_posenet": _POSENET,
    }
)
# Peak rates of lifters that are deeper than the app's and need lower ones.
_PEAKS = dict.fromkeys(("ktpformer", "mixste", "motionbert", "motionagformer"), 5e-4)
SYNTHETIC: Mapping[str, Preset] = MappingProxyType(
    {
        name: replace(
            _OWN,
            loss=paper.loss,
            learning_rate=_PEAKS.get(name, _OWN.learning_rate),
            dropout=paper is _OWN,
            shorter=_OWN.shorter if name == "wild" else None,
            frames=paper.frames
            if paper.frames > 1
            else 27,  # noise is correlated in time: single frames come in clips too
        )
        for name, paper in PAPERS.items()
    }
)


def preset(name: str, synthetic: bool, self_supervised: bool = False) -> Preset:
    """Return the recipe of a lifter for synthetic windows of motion capture, or the paper's."""
    found = (SYNTHETIC if synthetic else PAPERS)[name]
    if not self_supervised:
        return found
    return replace(found, loss=losses.SelfSupervised, learning_rate=1e-3)
