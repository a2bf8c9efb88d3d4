"""Decode keypoints from heatmaps, with sub-pixel precision and without loops over people or joints.

Coordinates here are heatmap cells: the centre of cell (row, column) is y = row, x = column.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from demo.types import Floats

Decoding = Literal["dark", "quarter"]

_SIGMA_PER_ROW = 2 / 64  # networks are trained with Gaussians of 2 cells at 64 rows, 3 cells at 96 rows


def decode(heatmaps: Floats, how: Decoding = "dark") -> Floats:
    """Return the peak of each heatmap and its height there.

    Args:
        heatmaps: (N, J, h, w), about 1 at a certain joint and 0 far from it.
        how: "dark" smooths the map and fits a Gaussian to the surroundings of its highest cell, "quarter"
            moves a quarter cell towards the higher neighbour (Newell et al. 2016, the classic decoding).

    Returns:
        (N, J, 3): x, y in heatmap cells, and the height clipped to [0, 1]. Where nothing is above zero or a
        value is not finite the joint is missing: NaN, NaN, 0.
    """
    return decode_candidates(heatmaps, how)[:, 0]


def decode_candidates(heatmaps: Floats, how: Decoding = "dark") -> Floats:
    """Return (N, 2, J, 3): `decode`'s peak of each heatmap, and the highest of its other peaks.

    In a left/right swap the second peak is often the right place. Where a map has one peak only, the second
    is missing: NaN, NaN, 0.
    """
    people, joints, height, width = heatmaps.shape
    flat = heatmaps.reshape(people * joints, height, width).astype(np.float32, copy=False)
    hills = _smoothed(flat) if how == "dark" else flat
    every = np.arange(len(flat))
    best = hills.reshape(len(flat), height * width).argmax(axis=1)
    others = np.where(_summits(hills), hills, 0).reshape(len(flat), height * width)
    others[every, best] = 0
    found = np.empty((len(flat), 2, 3), dtype=np.float32)
    for choice, cells in enumerate((best, others.argmax(axis=1))):
        rows, columns = np.divmod(cells, width)
        peak = flat[every, rows, columns]
        step = (_dark_step if how == "dark" else _quarter_step)(hills, rows, columns)
        seen = np.isfinite(peak) & (peak > 0) & ((choice == 0) | (others[every, cells] > 0))
        points = np.stack([columns, rows], axis=1) + step
        found[:, choice, :2] = np.where(seen[:, None], points, np.nan)
        found[:, choice, 2] = np.where(seen, np.clip(peak, 0, 1), 0)
    return found.reshape(people, joints, 2, 3).swapaxes(1, 2)


def _summits(maps: Floats) -> NDArray[np.bool_]:
    """Return (M, h, w) where a cell is higher than its four neighbours; on a plateau one cell is enough."""
    ringed = np.pad(maps, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    left, right = ringed[:, 1:-1, :-2], ringed[:, 1:-1, 2:]
    above, below = ringed[:, :-2, 1:-1], ringed[:, 2:, 1:-1]
    return np.asarray((maps >= left) & (maps > right) & (maps >= above) & (maps > below))


def _quarter_step(maps: Floats, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Floats:
    """Return (M, 2): a quarter cell towards the higher neighbour along x and y; nothing on the border."""
    height, width = maps.shape[1:]
    inner = (columns > 0) & (columns < width - 1) & (rows > 0) & (rows < height - 1)
    each = np.arange(len(maps))
    row, column = np.clip(rows, 1, height - 2), np.clip(columns, 1, width - 2)
    slope = np.stack(
        [
            maps[each, row, column + 1] - maps[each, row, column - 1],
            maps[each, row + 1, column] - maps[each, row - 1, column],
        ],
        axis=1,
    )
    return (0.25 * np.sign(slope) * inner[:, None]).astype(np.float32)


def _dark_step(hills: Floats, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Floats:
    """Return (M, 2): the step from the highest cell of smoothed maps to the summit of the Gaussian around it.

    Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose Estimation", CVPR 2020: blur
    the map with the Gaussian it was trained with, so that it has one smooth summit, and take its logarithm,
    which for a Gaussian is a paraboloid. One Newton step of that (equations 4 to 9) ends on the summit:
    step = -Hessian^-1 gradient. The paper's rescaling after the blur adds a constant to the logarithm and
    drops out of the derivatives.
    """
    around = np.arange(5)
    padded = np.pad(hills, ((0, 0), (2, 2), (2, 2)))
    each = np.arange(len(hills))[:, None, None]
    patch = padded[each, (rows[:, None] + around)[:, :, None], (columns[:, None] + around)[:, None, :]]
    patch = np.log(np.maximum(patch, 1e-10, dtype=np.float64))
    slope_x = 0.5 * (patch[:, 2, 3] - patch[:, 2, 1])
    slope_y = 0.5 * (patch[:, 3, 2] - patch[:, 1, 2])
    bend_xx = 0.25 * (patch[:, 2, 4] - 2 * patch[:, 2, 2] + patch[:, 2, 0])
    bend_yy = 0.25 * (patch[:, 4, 2] - 2 * patch[:, 2, 2] + patch[:, 0, 2])
    bend_xy = 0.25 * (patch[:, 3, 3] - patch[:, 1, 3] - patch[:, 3, 1] + patch[:, 1, 1])
    determinant = bend_xx * bend_yy - bend_xy**2
    summit = (determinant > 1e-9) & (bend_xx < 0)  # else the surroundings are no hill: stay on the cell
    safe = np.where(summit, determinant, 1)
    step = np.stack(
        [
            (bend_xy * slope_y - bend_yy * slope_x) / safe,
            (bend_xy * slope_x - bend_xx * slope_y) / safe,
        ],
        axis=1,
    )
    # The summit of a hill lies within a cell of its highest cell; on the border the hill is cut.
    height, width = hills.shape[1:]
    inner = (columns > 1) & (columns < width - 2) & (rows > 1) & (rows < height - 2)
    usable = summit & inner & np.isfinite(step).all(axis=1)
    return np.where(usable[:, None], np.clip(step, -1, 1), 0).astype(np.float32)


def _smoothed(maps: Floats) -> Floats:
    """Blur maps (M, h, w) with the Gaussian of the training.

    The highest cell is then the top of a hill, where a raw map's may be a spike beside it.
    """
    sigma = _SIGMA_PER_ROW * max(maps.shape[1:])
    # a blur as two matrix products: much faster than filters over many small maps
    down, across = (
        gaussian_filter1d(np.eye(cells, dtype=np.float32), sigma, axis=0, mode="constant", truncate=2.5)
        for cells in maps.shape[1:]
    )
    # Networks undershoot zero by noise, of which there is no logarithm.
    return np.asarray(down @ np.maximum(maps, 0) @ across.T)
