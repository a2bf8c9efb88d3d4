"""Scores of keypoint networks mean the same: the probability that a joint is right."""

import numpy as np
import pytest

from common.errors import WeightsError
from common.weights import calibrations, manifest
from demo.pose.calibration import (
    DEFAULT,
    CalibratedEstimator,
    ScoreCalibration,
    find_calibration,
    fit_calibration,
)
from demo.pose.estimator import KeypointEstimator
from tools.calibrate_scores import calibration_error


def test_the_probability_is_the_logistic_of_the_log_odds():
    chances = ScoreCalibration(1.0, 2.0)(np.float32([0, 0.5, 0.75]))
    # 0.75 has log-odds ln 3; 1 + 2 ln 3 = 3.1972, whose logistic is 0.96073
    np.testing.assert_allclose(chances, [0, 1 / (1 + np.exp(-1)), 0.96073], atol=1e-5)
    assert chances.dtype == np.float32


def test_scores_of_nought_and_one_stay_finite():
    chances = DEFAULT(np.float32([1e-9, 1.0]))
    assert 0 < chances[0] < 0.01 and 0.99 < chances[1] <= 1


def test_a_fit_finds_the_calibration_that_made_the_data():
    random = np.random.default_rng(4)
    heights = random.uniform(0.02, 0.98, 40000).astype(np.float32)
    truth = ScoreCalibration(2.0, 1.4)
    correct = random.random(40000) < truth(heights)
    found = fit_calibration(heights, correct)
    assert found.intercept == pytest.approx(2.0, abs=0.1)
    assert found.slope == pytest.approx(1.4, abs=0.1)
    assert calibration_error(found(heights), correct) < 0.01 < calibration_error(heights, correct)


def test_the_manifest_calibrates_the_shipped_network_and_others_have_the_default(tmp_path):
    assert manifest()["hrnet-wild"].sha256 in calibrations()
    other = tmp_path / "network.onnx"
    other.write_bytes(b"another network")
    assert find_calibration(other) == find_calibration(None) == DEFAULT


def test_a_malformed_calibration_names_the_manifest(tmp_path):
    path = tmp_path / "manifest.toml"
    path.write_text('[[calibrations]]\nsha256 = "0a"\nslope = 1.0\n')
    with pytest.raises(WeightsError, match=r"manifest\.toml: .*intercept"):
        calibrations(path)


def test_places_stay_and_missing_joints_stay_missing():
    class Network(KeypointEstimator):
        def estimate(self, items):
            return [np.float32([[[3, 4, 0.5], [np.nan, np.nan, 0]]])]

    (found,) = CalibratedEstimator(Network(), ScoreCalibration(0.0, 3.0)).estimate([])
    np.testing.assert_allclose(found, [[[3, 4, 0.5], [np.nan, np.nan, 0]]])
