"""Lifters as PyTorch modules, and the entries of the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lifter.spec import Floats, LifterOutput, LifterSpec


class Lifter(nn.Module):
    """Base of all lifters. `forward` has the signature of the authors' code, `lift` is the same for all."""

    def lift(self, x: Tensor) -> LifterOutput[Tensor]:
        """Lift 2D, normalised as in the spec: (B, F, 17, C), or (B, F, V, 17, C) for several views."""
        raise NotImplementedError

    def predict(self, windows: Floats) -> LifterOutput[Floats]:
        """Lift arrays on the device of the weights."""
        device = next((weight.device for weight in self.parameters()), torch.device("cpu"))
        with torch.inference_mode():
            lifted = self.lift(torch.from_numpy(windows).to(device))
        found = (None if each is None else each.float().cpu().numpy() for each in vars(lifted).values())
        return LifterOutput(*found)


@dataclass(frozen=True)
class ModelEntry:
    """A registered lifter: how to build it, its spec, source and licence."""

    name: str
    config_class: type
    build: Callable[[Any], Lifter]
    spec: Callable[[Any], LifterSpec]
    paper: str
    licence: str  # of the authors' code and weights
    published: str  # the figures they report
    # Published configurations, and our "small", by name; the first is the default for authors' files.
    variants: Mapping[str, Any]
    # Infer the configuration from a state dict; fields that shapes do not determine come from the second
    # argument. Raises KeyError if the state dict is of another lifter.
    infer: Callable[[Mapping[str, Tensor], Any], Any]
    # Convert a state dict to the mapping that the authors' code saves and loads.
    wrap: Callable[[Mapping[str, Tensor]], dict[str, Any]] = dict
    # Rename weights from another publisher's keys to the authors'; return any other state dict unchanged.
    # Raises WeightsError for files that hold another network.
    rename: Callable[[dict[str, Tensor], Path], dict[str, Tensor]] = lambda state, path: state
    # Complete an inferred configuration from the file name, for fields that shapes do not determine. Raises
    # WeightsError if the name does not determine them either, or if the file cannot be used.
    complete: Callable[[Any, Path], Any] = lambda config, path: config
    # Build a larger network, of the given configuration, with the same output; None if not supported.
    # Raises ValueError for a configuration that cannot be reached.
    grow: Callable[[Any, Any], Lifter] | None = None


def wrapped(key: str, prefix: str = "") -> Callable[[Mapping[str, Tensor]], dict[str, Any]]:
    """Return a `wrap` that puts the weights, their names prefixed, under one key."""
    return lambda state: {key: {prefix + name: weight for name, weight in state.items()}}
