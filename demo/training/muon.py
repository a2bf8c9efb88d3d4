"""Muon: each kernel is updated by its gradient's momentum, made orthogonal.

Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024, and Liu et al., "Muon
is scalable for LLM training", 2025 (equation 4: scaled to the step that AdamW would make, so that learning
rates carry over). torch.optim.Muon takes matrices only; kernels of convolutions are taken here as matrices
(outputs, inputs * height * width). All other weights are updated by Adam.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_POLYNOMIAL = (3.4445, -4.7750, 2.0315)  # drives singular values towards 1, the quicker the smaller they are
_ITERATIONS = 5
_ADAM = (0.9, 0.999)
_EPSILON = 1e-8


class Muon(torch.optim.Optimizer):
    """Muon for the weights of a convolutional network. Weight decay applies to kernels only."""

    def __init__(
        self, weights: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if weight.ndim > 1:
                    self._kernel(weight, group)
                else:
                    self._adam(weight, group)

    def _kernel(self, weight: nn.Parameter, group: dict[str, Any]) -> None:
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum, keep = state["momentum"], group["momentum"]
        momentum.lerp_(weight.grad, 1 - keep)
        ahead = weight.grad.lerp(momentum, keep)  # Nesterov's
        matrix = ahead.flatten(1)
        update = orthogonal(matrix) * (0.2 * max(matrix.shape) ** 0.5)
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.sub_(update.view(weight.shape), alpha=group["lr"])

    def _adam(self, weight: nn.Parameter, group: dict[str, Any]) -> None:
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state.update(step=0, mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
        state["step"] += 1
        mean, square = state["mean"], state["square"]
        mean.lerp_(weight.grad, 1 - _ADAM[0])
        square.lerp_(weight.grad**2, 1 - _ADAM[1])
        corrected = [1 - beta ** state["step"] for beta in _ADAM]
        weight.sub_(mean / corrected[0] / ((square / corrected[1]).sqrt() + _EPSILON), alpha=group["lr"])


def orthogonal(matrix: Tensor) -> Tensor:
    """Approximate U V^T of the singular value decomposition U S V^T of (m, n), by Newton-Schulz iteration."""
    a, b, c = _POLYNOMIAL
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)
