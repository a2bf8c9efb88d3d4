"""Data-parallel training on several devices: one process for each, started by `accelerate launch`.

Every process draws its own windows, and all take the same step, by the mean of their gradients. Gradients are
averaged explicitly rather than by wrapping the network, since some losses call parts of it.
"""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from common.errors import MissingExtra


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of one training: their number, the rank of this one, and their accelerator."""

    count: int = 1
    rank: int = 0
    accelerator: Any = None

    @property
    def first(self) -> bool:
        """Whether this process writes files and output."""
        return self.rank == 0

    def device(self, asked: str) -> str:
        """Return the device of this process: assigned by the accelerator, or `asked`."""
        return asked if self.accelerator is None else str(self.accelerator.device)

    def average_gradients(self, network: nn.Module) -> None:
        """Average the gradients over all processes, in place."""
        if self.accelerator is None:
            return
        gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
        together = torch.cat(
            [gradient.flatten() for gradient in gradients]
        )  # one reduction instead of hundreds
        mean = self.accelerator.reduce(together, reduction="mean")
        parts = mean.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))


SINGLE_PROCESS = ProcessGroup()


def init_distributed() -> ProcessGroup:
    """Return the process group that `accelerate launch` set up, or `SINGLE_PROCESS`.

    Raises:
        MissingExtra: there are several processes, but accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return SINGLE_PROCESS
    try:
        from accelerate import Accelerator
    except ImportError:
        raise MissingExtra(
            "training in several processes needs accelerate: pip install -r requirements-train.txt"
        ) from None
    accelerator = Accelerator()
    # A process that exits without leaving its group may abort (SIGABRT; PyTorch issue 190489).
    atexit.register(accelerator.end_training)
    return ProcessGroup(accelerator.num_processes, accelerator.process_index, accelerator)
