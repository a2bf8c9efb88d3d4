"""The description of a network by its stage, and the interface to run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

Floats = NDArray[np.float32]
Outputs = tuple[Floats, ...]
Compiled = Callable[[Floats], Outputs]  # pictures (N, 3, H, W) -> outputs (N, ...), all float32

PICTURE = Path(__file__).with_name("person.jpg")  # one standing person, for `Source.example`


@dataclass(frozen=True)
class Loaded:
    """A network in PyTorch.

    Attributes:
        module: in float32, pictures (N, 3, H, W) -> a tensor or a tuple of tensors.
        meta: what its user must know beside the outputs, as JSON takes it.
    """

    module: nn.Module
    meta: dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A network that can be exported.

    Attributes:
        name: kind of network, with the version of its graph: a new one makes new exports.
        weights: the file.
        load: read it with PyTorch.
        outputs: names, each with the names of its dynamic axes beside the batch.
        free_size: height and width are dynamic.
        example: input (N, 3, H, W) to compare runtimes with, from `meta`.
        difference: from `meta` and the outputs of PyTorch and of another runtime for it, how they disagree
            in a few words; "" when they agree.
    """

    name: str
    weights: Path
    load: Callable[[], Loaded]
    outputs: dict[str, dict[int, str]]
    free_size: bool
    example: Callable[[dict[str, Any]], Floats]
    difference: Callable[[dict[str, Any], Outputs, Outputs], str]


class Runtime(Protocol):
    """A way to run one network.

    Attributes:
        name: as `--runtime` takes it.
        version: of the package.
        precision: float32, float16 or bfloat16.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def precision(self) -> str: ...

    def compile(self, height: int, width: int) -> Compiled:
        """Prepare the network for pictures (N, 3, height, width), N free."""
        ...


@dataclass(frozen=True)
class Network:
    """A network with the runtime that runs it."""

    meta: dict[str, Any]
    runtime: Runtime

    def summary(self) -> dict[str, str]:
        """Return the entry for results."""
        runtime = self.runtime
        return {"runtime": runtime.name, "version": runtime.version, "precision": runtime.precision}
