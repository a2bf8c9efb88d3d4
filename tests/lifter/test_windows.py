"""Windows cover the track, and blending has no seams."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lifter.windows import BLOCK, Blend, blend_windows, blocks, cut_windows, window_starts

lengths = st.integers(1, 400)
sizes = st.integers(1, 60)


@given(length=lengths, frames=sizes, data=st.data())
def test_cutting_and_blending_gives_the_track_back(length, frames, data):
    hop = data.draw(st.integers(1, frames))
    track = np.random.default_rng(length).normal(size=(length, 2, 3)).astype(np.float32)
    starts = window_starts(length, frames, hop)
    windows = cut_windows(track, starts, frames)
    assert windows.shape == (len(starts), frames, 2, 3)
    np.testing.assert_allclose(blend_windows(windows, starts, length), track, atol=1e-5)


@given(length=lengths, frames=sizes)
def test_every_window_lies_inside_a_track_that_is_long_enough(length, frames):
    starts = window_starts(length, frames, max(frames // 2, 1))
    if length >= frames:
        assert starts.min() == 0
        assert starts.max() == length - frames
        assert len(np.unique(starts)) == len(starts)
    else:
        assert len(starts) == 1


def test_a_track_as_long_as_the_window_takes_one():
    assert window_starts(243, 243, 121).tolist() == [0]
    assert window_starts(244, 243, 121).tolist() == [0, 1]


def test_edges_are_repeated():
    track = np.arange(3.0)[:, None]
    assert cut_windows(track, np.array([-2]), 7)[0, :, 0].tolist() == [0, 0, 0, 1, 2, 2, 2]


def test_edge_replication_equals_the_classic_demo(shared):
    with np.load(shared / "vectors" / "demo_pipeline_seed0.npz") as truth:
        track = truth["window/in"][0]
        for frames in (27, 81):
            for frame in (0, 5, 25, 49):
                window = cut_windows(track, np.array([frame - frames // 2]), frames)[0]
                np.testing.assert_array_equal(window[:, 0], truth[f"window/F{frames}_i{frame}_first_joint"])


def test_a_step_between_windows_becomes_a_ramp():
    """Two windows that differ by 1: the steps of the blend are a fraction of it."""
    starts = np.array([0, 20])
    windows = np.stack([np.zeros((40, 1)), np.ones((40, 1))]).astype(np.float32)
    interpolate_weights = blend_windows(windows, starts, 60)[:, 0]
    assert interpolate_weights[0] == 0
    assert interpolate_weights[-1] == 1
    assert np.abs(np.diff(interpolate_weights)).max() < 0.1


@given(length=lengths, frames=sizes, data=st.data())
def test_blending_is_the_weighted_mean_however_windows_are_dealt_out(length, frames, data):
    starts = window_starts(length, frames, max(frames // 2, 1))
    windows = np.random.default_rng(length).normal(size=(len(starts), frames, 3)).astype(np.float32)
    fade = np.sin(np.pi * (np.arange(frames) + 0.5) / frames) ** 2
    total, weight = np.zeros((length, 3)), np.zeros((length, 1))
    for window, start in zip(windows, starts, strict=True):
        for at in range(frames):
            if 0 <= start + at < length:
                total[start + at] += fade[at] * window[at]
                weight[start + at] += fade[at]
    blend = Blend(length, windows.shape[1:])
    hand = data.draw(st.integers(1, len(starts)))
    for first in range(0, len(starts), hand):
        blend.add(windows[first : first + hand], starts[first : first + hand])
    np.testing.assert_allclose(blend.track(), total / weight, atol=1e-6)


def test_blocks_cover_all_frames_once_and_in_order():
    parts = list(blocks(3, 2 * BLOCK + 5))
    assert [(part.start, part.stop) for part in parts] == [
        (3, BLOCK + 3),
        (BLOCK + 3, 2 * BLOCK + 3),
        (2 * BLOCK + 3, 2 * BLOCK + 5),
    ]
    assert list(blocks(7, 7)) == []
