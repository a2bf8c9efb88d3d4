"""The One Euro filter: a causal low-pass whose cutoff rises with speed (Casiez et al., CHI 2012)."""

from __future__ import annotations

import numpy as np

from demo.types import Doubles

DERIVATIVE_CUTOFF = 1.0  # hertz, for the speed (section 3 of the paper)


class OneEuro:
    """Filters an array of signals that arrive one after another.

    cutoff = minimum + beta |speed|,  alpha = 1 / (1 + 1 / (2 pi cutoff dt)),  x' += alpha (x - x')

    The cutoff is one for the last axis, whose length is the speed, so that a direction is not favoured.

    Args:
        minimum: hertz, the cutoff at rest. Lower: less jitter.
        beta: hertz a unit of speed. Higher: less lag.
    """

    def __init__(self, minimum: float, beta: float) -> None:
        self._minimum, self._beta = minimum, beta
        self._time: float | None = None
        self._value: Doubles = np.zeros(0)
        self._speed: Doubles = np.zeros(0)

    def __call__(self, value: Doubles, time: float) -> Doubles:
        """Return the filtered values (..., D) at a time, seconds, later than the one before."""
        if self._time is None or time <= self._time:
            if self._time is None:
                self._value, self._speed, self._time = value, np.zeros_like(value), time
            return self._value
        elapsed = time - self._time
        speed = (value - self._value) / elapsed
        self._speed = self._speed + _alpha(DERIVATIVE_CUTOFF, elapsed) * (speed - self._speed)
        cutoff = self._minimum + self._beta * np.linalg.norm(self._speed, axis=-1, keepdims=True)
        self._value = self._value + _alpha(cutoff, elapsed) * (value - self._value)
        self._time = time
        return self._value


def _alpha(cutoff: Doubles | float, elapsed: float) -> Doubles:
    """Return the weight of the new value: that of a first-order low-pass sampled every `elapsed` seconds."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * cutoff * elapsed)))
