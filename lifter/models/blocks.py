"""Shared by several lifters: attention, MLP, drop-path, pre-norm blocks, unused weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

EPS_TIMM = 1e-6  # of LayerNorm in code derived from timm; PyTorch's default is 1e-5


class DropPath(nn.Module):
    """Stochastic depth (Huang et al., 2016): in training drops the branch of whole samples, else identity."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        mask = torch.rand(x.shape[0], *(1,) * (x.ndim - 1), device=x.device, dtype=x.dtype) < keep
        return x * mask / keep


def disable_dropout(network: nn.Module) -> None:
    """Switch off all dropout and stochastic depth, for training on endless data."""
    for part in network.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        elif isinstance(part, nn.MultiheadAttention):
            part.dropout = 0.0
        elif isinstance(part, DropPath):
            part.rate = 0.0


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Split (B, N, C) into heads: (B, heads, N, C / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Apply multi-head scaled dot-product attention to (B, N, C) tensors: (B, N, C)."""
    q, k, v = (split_heads(t, heads) for t in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def check_heads(dim: int, heads: int) -> None:
    """Raise ValueError unless the width is a multiple of the number of heads."""
    if dim % heads:
        raise ValueError(f"a width of {dim} cannot be shared among {heads} heads")


class Attention(nn.Module):
    """Multi-head self-attention over the tokens of (B, N, C)."""

    def __init__(self, dim: int, heads: int, qkv_bias: bool = True) -> None:
        super().__init__()
        check_heads(dim, heads)
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return self.proj(attend(q, k, v, self.heads))


class Mlp(nn.Module):
    """Linear, exact GELU, Linear on the last axis."""

    def __init__(self, dim: int, hidden: int, out: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim if out is None else out)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.fc2(self.drop(functional.gelu(self.fc1(x)))))


class Block(nn.Module):
    """Pre-norm transformer block: x + attention(norm(x)), then x + MLP(norm(x))."""

    def __init__(
        self, dim: int, attn: nn.Module, hidden: int, drop_path: float, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPS_TIMM)
        self.attn = attn
        self.norm2 = nn.LayerNorm(dim, eps=EPS_TIMM)
        self.mlp = Mlp(dim, hidden, dropout=dropout)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def rising(last: float, steps: int) -> list[float]:
    """Return drop-path rates that grow linearly from 0 at the first block to `last` at the last one."""
    return [last * i / max(steps - 1, 1) for i in range(steps)]


def register_unused(model: nn.Module, shapes: Mapping[str, Sequence[int]]) -> None:
    """Register weights that official files have and no forward pass reads.

    They keep loading strict and converted files complete. They have no gradient. Names with
    `running_mean`, `running_var` or `num_batches_tracked` become buffers, all others parameters.
    """
    for key, shape in shapes.items():
        owner = model
        *path, leaf = key.split(".")
        for part in path:
            if not hasattr(owner, part):
                owner.add_module(part, nn.Module())
            owner = getattr(owner, part)
        if leaf == "num_batches_tracked":
            owner.register_buffer(leaf, torch.tensor(0))
        elif leaf.startswith("running_"):
            owner.register_buffer(leaf, torch.zeros(tuple(shape)))
        else:
            owner.register_parameter(leaf, nn.Parameter(torch.zeros(tuple(shape)), requires_grad=False))


def count_blocks(state: Mapping[str, Tensor], prefix: str) -> int:
    """Count the numbered modules `prefix`0, `prefix`1, ... in a state dict."""
    return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})
