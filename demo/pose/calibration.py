"""Keypoint scores as probabilities, so that one threshold means the same with every network.

A heatmap network's score is the height of its peak, whose meaning differs from network to network. The
calibrated score is the probability that the joint is within 0.1 of the box's longer side (PCK@0.1):

    p = sigmoid(intercept + slope * logit(height))

(Platt scaling of the height's log-odds: Platt 1999; Kull et al., AISTATS 2017). `python -m
tools.calibrate_scores` fits both numbers on labelled crops; `weights/manifest.toml` keeps them by the SHA-256
of the network's file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from common.files import sha256
from common.runtimes.names import RuntimeName
from common.weights import calibrations
from demo.pose.estimator import KeypointEstimator, load_pose
from demo.types import Floats, Image

CORRECT = 0.1  # of the box's longer side
_EDGE = 1e-3  # heights are kept so far from 0 and 1, whose log-odds are infinite


@dataclass(frozen=True)
class ScoreCalibration:
    """The two parameters of a network's calibration."""

    intercept: float
    slope: float

    def __call__(self, heights: Floats) -> Floats:
        """Return the probabilities (...,) of heights (...,); 0 stays 0, which marks a missing joint."""
        odds = logit(np.clip(heights.astype(np.float64), _EDGE, 1 - _EDGE))
        return np.where(heights > 0, expit(self.intercept + self.slope * odds), 0).astype(np.float32)


# Of heatmap networks whose own is not known: fitted to the crops of hrnet-wild and PP-TinyPose together.
DEFAULT = ScoreCalibration(2.32, 1.53)


def fit_calibration(heights: Floats, correct: NDArray[np.bool_]) -> ScoreCalibration:
    """Fit the calibration to N labelled joints by maximum likelihood.

    Args:
        heights: (N,) of their peaks.
        correct: (N,) whether they are near enough.
    """
    from scipy.optimize import minimize

    odds = logit(np.clip(heights.astype(np.float64), _EDGE, 1 - _EDGE))

    def loss(parameters: NDArray[np.float64]) -> float:
        z = parameters[0] + parameters[1] * odds
        return float((np.logaddexp(0, z) - z * correct).mean())

    intercept, slope = minimize(loss, [0.0, 1.0]).x
    return ScoreCalibration(float(intercept), float(slope))


def find_calibration(file: Path | None) -> ScoreCalibration:
    """Return the calibration of a network's file, `DEFAULT` where the manifest has none."""
    known = calibrations().get(sha256(file)) if file is not None else None
    return DEFAULT if known is None else ScoreCalibration(*known)


class CalibratedEstimator(KeypointEstimator):
    """A keypoint stage whose scores are probabilities."""

    def __init__(self, pose: KeypointEstimator, calibration: ScoreCalibration) -> None:
        self._pose, self._calibration = pose, calibration
        self.runtime = pose.runtime

    def estimate(self, items: Sequence[tuple[Image, Floats]]) -> list[Floats]:
        """Return keypoints (n, 17, 3) of the n boxes (n, 4) of each picture."""
        return [self._calibrated(found) for found in self._pose.estimate(items)]

    def candidates(self, items: Sequence[tuple[Image, Floats]]) -> list[Floats]:
        """Return first and second candidates (n, 2, 17, 3)."""
        return [self._calibrated(found) for found in self._pose.candidates(items)]

    def _calibrated(self, keypoints: Floats) -> Floats:
        return np.concatenate([keypoints[..., :2], self._calibration(keypoints[..., 2:])], axis=-1)


def load_calibrated_pose(
    spec: str | Path, device: str, flip_test: bool = False, runtime: RuntimeName = "torch"
) -> CalibratedEstimator:
    """Load the keypoint stage with calibrated scores; see `demo.pose.estimator.load_pose`."""
    path = None if str(spec).startswith("mmpose:") else Path(spec)
    return CalibratedEstimator(load_pose(spec, device, flip_test, runtime), find_calibration(path))
