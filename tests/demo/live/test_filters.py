"""The One Euro filter: values by hand, rest, lag, and irregular time."""

from __future__ import annotations

import numpy as np
import pytest

from demo.live.filters import OneEuro


def test_two_steps_by_hand():
    smooth = OneEuro(minimum=1.0, beta=0.5)
    assert smooth(np.array([2.0]), 0.0) == pytest.approx([2.0])
    # dt 0.1: alpha of 1 Hz = 1 / (1 + 1 / (2 pi 0.1)) = 0.38587; speed 10 x alpha = 3.8587;
    # cutoff 1 + 0.5 x 3.8587 = 2.92935 Hz, alpha 0.64795
    assert smooth(np.array([3.0]), 0.1) == pytest.approx([2.64795], abs=1e-4)


def test_first_value_and_constants_pass():
    smooth = OneEuro(0.5, 1.0)
    for time in (0.0, 0.1, 0.4, 0.41):
        assert smooth(np.array([[1.0, -2.0, 3.0]]), time) == pytest.approx(np.array([[1.0, -2.0, 3.0]]))


def test_noise_at_rest_shrinks_and_motion_is_followed():
    rng, times = np.random.default_rng(0), np.arange(300) / 30
    noise = rng.normal(0, 0.01, (300, 3))
    smooth = OneEuro(1.0, 4.0)
    rest = np.array([smooth(value, time) for value, time in zip(noise, times, strict=True)])
    assert rest[30:].std() < 0.5 * noise.std()
    slow, fast = OneEuro(1.0, 0.0), OneEuro(1.0, 4.0)
    path = times[:, None] * (2.0, 0.0, 0.0)  # 2 m/s
    lag = [
        abs([f(v, t) for v, t in zip(path, times, strict=True)][-1][0] - path[-1, 0]) for f in (slow, fast)
    ]
    assert lag[0] == pytest.approx(2 / (2 * np.pi), rel=0.15)  # speed times the time constant
    assert lag[1] < 0.2 * lag[0]


def test_time_that_stands_still_changes_nothing():
    smooth = OneEuro(1.0, 1.0)
    smooth(np.zeros(3), 1.0)
    assert smooth(np.ones(3), 1.0) == pytest.approx(np.zeros(3))
