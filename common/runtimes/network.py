"""The description of a network by its stage, and the interface to run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from common.files import sha256

if TYPE_CHECKING:
    from torch import nn

Floats = NDArray[np.float32]
Outputs = tuple[Floats, ...]
Compiled = Callable[[Floats], Outputs]  # inputs (N, ...) -> outputs (N, ...), all float32
Precision = Literal["float32", "float16", "bfloat16"]

PICTURE = Path(__file__).with_name("person.jpg")  # one standing person, for `Source.example`


@dataclass(frozen=True)
class Loaded:
    """A network in PyTorch.

    Attributes:
        module: in float32, inputs (N, ...) -> a tensor or a tuple of tensors.
        meta: what its user must know beside the outputs, as JSON takes it.
        outputs: their names, each with the names of its dynamic axes beside the batch.
        free_size: the height and width of the input are dynamic.
        fold: folds batch normalisation into convolutions, for PyTorch; the other runtimes do it themselves.
    """

    module: nn.Module
    meta: dict[str, Any]
    outputs: Mapping[str, Mapping[int, str]]
    free_size: bool = False
    fold: Callable[[nn.Module], nn.Module] = lambda module: module


@dataclass(frozen=True)
class Source:
    """A network that can be exported.

    Attributes:
        name: kind of network, with the version of its graph: a new one makes new exports.
        weights: the file.
        load: read it with PyTorch.
        example: input (1, ...) to compare runtimes with, from `meta`.
        answer: from `meta` and the outputs for the example, the array that is compared.
        difference: from PyTorch's answer and another runtime's, how they disagree in a few words; "" when
            they agree.
        precision: the only one that is exact enough; None leaves it to the runtime.
    """

    name: str
    weights: Path
    load: Callable[[], Loaded]
    example: Callable[[Mapping[str, Any]], Floats]
    answer: Callable[[Mapping[str, Any], Outputs], Floats]
    difference: Callable[[Floats, Floats], str]
    precision: Precision | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return sha256(self.weights)


class Runtime(Protocol):
    """A way to run one network.

    Attributes:
        name: as `--runtime` takes it.
        version: of the package.
        precision: of the computation.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def precision(self) -> str: ...

    def compile(self, shape: tuple[int, ...]) -> Compiled:
        """Prepare the network for inputs (N, *shape), N free."""
        ...


@dataclass(frozen=True)
class Network:
    """A network with the runtime that runs it."""

    meta: Mapping[str, Any]
    runtime: Runtime

    def summary(self) -> dict[str, str]:
        """Return the entry for results."""
        runtime = self.runtime
        return {"runtime": runtime.name, "version": runtime.version, "precision": runtime.precision}
