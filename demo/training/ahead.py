"""Draw the batch of the next step while the networks run on this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Drawn = TypeVar("_Drawn")


def drawn_ahead(draw: Callable[[int], _Drawn], first: int, steps: int) -> Iterator[_Drawn]:
    """Yield the results of `draw` for the steps `first` to `steps` - 1."""
    with ThreadPoolExecutor(1) as ahead:
        drawn = ahead.submit(draw, first)
        for step in range(first, steps):
            ready = drawn.result()
            if step + 1 < steps:
                drawn = ahead.submit(draw, step + 1)
            yield ready
