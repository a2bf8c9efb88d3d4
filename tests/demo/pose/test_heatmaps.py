"""Sub-pixel decoding, against Gaussians drawn at known places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.pose.heatmaps import decode, decode_candidates


def blob(x: float, y: float, height: int = 64, width: int = 48, sigma: float = 2.0, peak: float = 0.8):
    rows, columns = np.mgrid[:height, :width]
    return (peak * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(x=st.floats(8, 39), y=st.floats(8, 55))
def test_a_gaussian_is_found_to_a_hundredth_of_a_cell(x, y):
    found = decode(blob(x, y)[None, None])[0, 0]
    assert found[:2] == pytest.approx([x, y], abs=0.01)
    # at worst the summit lies half a cell off in x and in y: exp(-0.5 / 8) of the height remains
    assert 0.8 * np.exp(-0.5 / 8) - 1e-6 <= found[2] <= 0.8 + 1e-6


@pytest.mark.parametrize(("x", "y"), [(2.4, 30.3), (44.7, 30.3), (20.2, 2.4), (20.2, 60.6)])
def test_close_to_the_border_a_gaussian_is_found_to_half_a_cell(x, y):
    assert decode(blob(x, y)[None, None])[0, 0, :2] == pytest.approx([x, y], abs=0.5)


def test_large_maps_are_blurred_with_their_own_gaussian():
    found = decode(blob(30.3, 40.6, height=96, width=72, sigma=3.0)[None, None])[0, 0]
    assert found[:2] == pytest.approx([30.3, 40.6], abs=0.01)


def test_quarter_moves_towards_the_higher_neighbour():
    found = decode(blob(20.2, 29.8)[None, None], "quarter")[0, 0]
    assert found[:2] == pytest.approx([20.25, 29.75])


def test_quarter_stays_on_the_border():
    heatmap = np.zeros((1, 1, 8, 6), np.float32)
    heatmap[0, 0, 0, 5] = 0.5
    assert decode(heatmap, "quarter")[0, 0].tolist() == [5.0, 0.0, 0.5]


def test_quarter_matches_the_classic_demo(shared):
    reference = np.load(shared / "vectors" / "demo_pipeline_seed0.npz")
    heatmaps = reference["hm/heatmaps_f16"].astype(np.float32)
    # back from picture pixels to cells, by the classic mapping: the window is 200 * scale wide at its centre
    window = 200 * reference["hm/scale"][:, None]
    cells = (reference["hm/final_xy"] - reference["hm/center"][:, None] + window / 2) * [72, 96] / window
    best = reference["hm/argmax_xy"]
    # the classic code leaves out one cell more on the border, and calls what is not seen (0, 0)
    inner = (best > 1).all(-1) & (best < [70, 94]).all(-1) & (reference["hm/maxvals"][..., 0] > 0)
    found = decode(heatmaps, "quarter")
    assert inner.sum() > 20
    np.testing.assert_allclose(found[inner][:, :2], cells[inner], atol=0.02)


def test_dark_beats_quarter_under_noise():
    random = np.random.default_rng(0)
    truth = random.uniform(10, 38, (200, 1, 2))
    maps = np.stack([[blob(x, y)] for [[x, y]] in truth])
    maps += random.normal(0, 0.02, maps.shape).astype(np.float32)

    def error(how):
        return np.linalg.norm(decode(maps, how)[..., :2] - truth, axis=-1).mean()

    assert error("dark") < 0.1 < error("quarter")


def test_joints_do_not_disturb_each_other():
    places = [(10.3, 20.4), (30.2, 40.1), (22.7, 50.5)]
    together = decode(np.stack([blob(*place) for place in places])[None])[0]
    alone = [decode(blob(*place)[None, None])[0, 0] for place in places]
    np.testing.assert_allclose(together, alone)


@pytest.mark.parametrize("value", [0.0, -0.3, np.nan])
@pytest.mark.parametrize("how", ["dark", "quarter"])
def test_an_empty_map_is_a_missing_joint(value, how):
    x, y, score = decode(np.full((1, 1, 64, 48), value, np.float32), how)[0, 0]
    assert np.isnan([x, y]).all()
    assert score == 0


@pytest.mark.parametrize(("how", "near"), [("dark", 0.05), ("quarter", 0.3)])
def test_the_second_candidate_is_the_next_summit(how, near):
    two = blob(12.3, 20.2, peak=0.8) + blob(33.6, 48.1, peak=0.5)
    first, second = decode_candidates(two[None, None], how)[0, :, 0]
    assert first == pytest.approx([12.3, 20.2, 0.8], abs=near)
    assert second == pytest.approx([33.6, 48.1, 0.5], abs=near)
    np.testing.assert_array_equal(first, decode(two[None, None], how)[0, 0])


@pytest.mark.parametrize("how", ["dark", "quarter"])
def test_a_single_hill_has_no_second_candidate(how):
    for heatmap in (blob(20.3, 30.8), blob(0, 0), np.zeros((64, 48))):
        second = decode_candidates(heatmap[None, None], how)[0, 1, 0]
        assert np.isnan(second[:2]).all()
        assert second[2] == 0


def test_scores_stay_below_one():
    assert decode(blob(20, 20, peak=1.4)[None, None])[0, 0, 2] == 1


def test_a_peak_that_is_cut_off_is_found_in_its_middle():
    flat = np.minimum(blob(20.3, 30.8), 0.3)
    assert decode(flat[None, None])[0, 0] == pytest.approx([20.3, 30.8, 0.3], abs=0.02)


def test_a_spike_of_noise_beside_a_hill_is_no_joint():
    spiked = blob(20.3, 30.8)
    spiked[50, 10] = 0.9
    assert decode(spiked[None, None])[0, 0, :2] == pytest.approx([20.3, 30.8], abs=0.01)


@pytest.mark.parametrize("how", ["dark", "quarter"])
def test_a_map_that_is_not_finite_is_a_missing_joint(how):
    broken = blob(20.3, 30.8)
    broken[5, 40] = np.nan
    x, y, score = decode(broken[None, None], how)[0, 0]
    assert np.isnan([x, y]).all()
    assert score == 0


def test_no_people():
    assert decode(np.zeros((0, 17, 64, 48), np.float32)).shape == (0, 17, 3)
