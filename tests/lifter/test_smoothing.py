"""The low-pass filter: no lag, coordinates are independent, short tracks and low rates unchanged."""

import numpy as np
import pytest

from lifter.smoothing import smooth

FPS = 50.0


def test_smoothing_has_no_lag_and_removes_jitter():
    t = np.arange(300) / FPS
    wave = np.sin(2 * np.pi * t)[:, None].astype(np.float32)
    noisy = wave + 0.05 * np.random.default_rng(0).normal(size=wave.shape).astype(np.float32)
    smoothed = smooth(noisy, FPS)
    assert np.diff(smoothed, 2, axis=0).std() < 0.2 * np.diff(noisy, 2, axis=0).std()
    shifts = [np.abs(smoothed[20 + s : 280 + s] - wave[20:280]).mean() for s in range(-5, 6)]
    assert int(np.argmin(shifts)) == 5  # no shift fits best


def test_every_coordinate_is_smoothed_by_itself():
    values = np.random.default_rng(1).normal(size=(100, 17, 3)).astype(np.float32)
    smoothed = smooth(values, FPS)
    np.testing.assert_array_equal(smoothed[:, 4, 1], smooth(values[:, 4, 1:2], FPS)[:, 0])
    assert np.abs(smoothed - values).mean(0).min() > 0.1


@pytest.mark.parametrize(("frames", "fps"), [(8, 50.0), (100, 5.0), (100, 12.0)])
def test_short_tracks_and_low_rates_are_not_smoothed(frames, fps):
    values = np.random.default_rng(0).normal(size=(frames, 17, 3)).astype(np.float32)
    assert smooth(values, fps) is values


@pytest.mark.parametrize(("frames", "fps"), [(9, 30.0), (40, 14.0), (200, 60.0), (500, 120.0)])
def test_it_is_the_filter_of_scipy(frames, fps):
    from scipy.signal import butter, sosfiltfilt

    values = np.random.default_rng(0).normal(size=(frames, 3)).astype(np.float32)
    pad = min(frames - 1, int(fps / 6) + 6)
    wanted = sosfiltfilt(butter(2, 6, fs=fps, output="sos"), values, axis=0, padlen=pad)
    np.testing.assert_allclose(smooth(values, fps), wanted, atol=1e-6)
