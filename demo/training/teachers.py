"""Two teacher networks of 2D keypoints: their mean heatmaps, and how far they agree.

PP-TinyPose and MoveNet Thunder each estimate a crop and its mirror image. The mean of their heatmaps is
better than either. Both misplace limbs of people far from upright, so a person whose trunk leans is estimated
once more on the crop turned upright, and the heatmaps are turned back. Where the heatmaps have their peaks in
one place the joint is nearly always right, where they do not it seldom is: the agreement is the joint's
weight in a training.

All heatmaps are resampled to one grid in the person's picture: PP-TinyPose's, 64 x 48 cells of a window of
1.25 times the box. Linear maps of the plane are (2, 3), from (x, y) in pixel centres to (x, y).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import MissingExtra, WeightsError
from demo.pose.estimator import HeatmapGrid, crop_windows, mirror, normalise, to_crop
from demo.pose.heatmaps import decode_candidates
from demo.pose.rotated import lean_degrees
from demo.types import Floats, Image
from lifter.skeletons import COCO_17

# Degrees of the trunk from which the crop is also turned upright: AP of 100 people of lspet .747 -> .781.
LEAN = 20.0
SEEN = 0.2  # height of a mean heatmap's peak from which a joint is taken as found
_CELLS = (48, 64)  # of the common grid
_INPUT = (192, 256)  # pixels of the window that the grid covers
_GRID = HeatmapGrid.of("index", _INPUT[0], _CELLS[0])

# Where the processor has it: 98 ms a crop instead of 154, AP of 100 people of lspet .769 instead of .781.
_PRECISION = {"INFERENCE_PRECISION_HINT": "bf16"}

_Affine = NDArray[np.float64]


@dataclass(frozen=True)
class Consensus:
    """The joints of one person by all heatmaps.

    Attributes:
        candidates: (2, 17, 3) x, y in the picture and height 0..1 of the two highest peaks of the mean
            heatmap; NaN, NaN, 0 without a peak.
        agreement: (17,) 1 where all heatmaps have their peak in one cell, 1 / n where n have different ones.
    """

    candidates: Floats
    agreement: Floats


class TeacherNetwork(Protocol):
    """A top-down keypoint network.

    Attributes:
        input_size: (width, height) of its crops.
        padding: window over box.
        grid: where its heatmap cells lie on the crop.
    """

    input_size: tuple[int, int]
    padding: float
    grid: HeatmapGrid

    def __call__(self, crop: Image) -> Floats:
        """Return heatmaps (2, 17, h, w) of a BGR crop: as it is, and mirrored (turned back)."""
        ...


class TinyPose:
    """PP-TinyPose (PaddleDetection), as ONNX."""

    input_size = _INPUT
    padding = 1.25
    grid = _GRID

    def __init__(self, path: Path) -> None:
        self._run = _open(path)

    def __call__(self, crop: Image) -> Floats:
        batch = normalise(crop[None])
        shift = self.grid.mirror_shift(_INPUT[0], _CELLS[0])
        both = np.concatenate([batch, mirror(batch, shift)])
        return _unmirrored(self._run(both))


class MoveNet:
    """MoveNet Thunder (Google) as ONNX with the output `person_heatmaps`, other people damped."""

    input_size = (256, 256)
    padding = 1.1
    grid = HeatmapGrid.of("centre", 256, 64)

    def __init__(self, path: Path) -> None:
        self._run = _open(path, "person_heatmaps")

    def __call__(self, crop: Image) -> Floats:
        both = np.stack([crop, crop[:, ::-1]])[..., ::-1].transpose(0, 3, 1, 2)
        return _unmirrored(self._run(np.ascontiguousarray(both, np.float32)))


def find_consensus(teachers: Sequence[TeacherNetwork], picture: Image, box: Floats) -> Consensus:
    """Estimate the person in a box (4,) of a BGR picture by all teachers."""
    to_window = _to_crop_affine(crop_windows(box[None], _INPUT)[0], _INPUT)
    to_cells = _compose(_to_grid_affine(_GRID), to_window)
    heatmaps = [_estimate(teacher, picture, box, 0.0, to_cells) for teacher in teachers]
    first = _peaks(np.concatenate(heatmaps).mean(axis=0), to_cells)[0]
    first[first[:, 2] < SEEN, 2] = 0
    lean = lean_degrees(first)
    if abs(lean) > LEAN:
        heatmaps += [_estimate(teacher, picture, box, -lean, to_cells) for teacher in teachers]
    every = np.concatenate(heatmaps)
    return Consensus(_peaks(every.mean(axis=0), to_cells), agreement(every))


def agreement(heatmaps: Floats) -> Floats:
    """Return how far heatmaps (n, 17, h, w) have their peaks in one place, (17,).

    Each is scaled to a peak of 1; the result is the peak of their mean.
    """
    heights = heatmaps.max(axis=(-2, -1), keepdims=True)
    mean = (np.maximum(heatmaps, 0) / np.maximum(heights, 1e-6)).mean(axis=0)
    return np.asarray(mean.max(axis=(-2, -1)), np.float32)


def joint_weights(candidates: Floats, agreed: Floats) -> Floats:
    """Return the confidence (..., 17) of joints from candidates (..., 2, 17, 3) and their agreement.

    0 for joints that are not found. On 100 held-out people of lspet 34 % of the joints were right with an
    agreement of .4 to .5, 77 % from .6 to .7, 97 % from .8 to .9: the weight rises from 0 at .4 to 1 at .8.
    """
    found = candidates[..., 0, :, 2] >= SEEN
    return np.asarray(np.clip((agreed - 0.4) / (0.8 - 0.4), 0, 1) * found, np.float32)


def _estimate(teacher: TeacherNetwork, picture: Image, box: Floats, turn: float, to_cells: _Affine) -> Floats:
    """Return a teacher's heatmaps (2, 17, 64, 48) on the common grid, of a crop rotated by `turn` degrees."""
    to_input = _input_affine(box, turn, teacher)
    crop = cv2.warpAffine(picture, to_input, teacher.input_size, flags=cv2.INTER_LINEAR)
    own = _compose(_to_grid_affine(teacher.grid), to_input)
    from_cells = _compose(own, _inverse(to_cells))
    found = teacher(np.asarray(crop, np.uint8))
    return np.stack([_resampled(each, from_cells) for each in found])


def _input_affine(box: Floats, turn: float, teacher: TeacherNetwork) -> _Affine:
    """Return the map from the picture to a teacher's crop, rotated by `turn` degrees about the box's middle.

    A person turned upright is as high as the turned box; the box's width is no measure for them.
    """
    middle, (width, height) = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).tolist()
    if turn == 0:
        return _to_crop_affine(
            crop_windows(box[None], teacher.input_size, teacher.padding)[0], teacher.input_size
        )
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    length = width * abs(sin) + height * abs(cos)
    half = np.array([0.5 * length, length]) / 2
    window = crop_windows(
        np.concatenate([middle - half, middle + half])[None], teacher.input_size, teacher.padding
    )
    spin = np.array([[cos, -sin], [sin, cos]])
    centre = middle - 0.5  # in pixel centres
    about = np.column_stack([spin, centre - spin @ centre])
    return _compose(_to_crop_affine(window[0], teacher.input_size), about)


def _peaks(heatmaps: Floats, to_cells: _Affine) -> Floats:
    """Return candidates (2, 17, 3) of heatmaps (17, 64, 48): x, y in the picture and the height."""
    found = decode_candidates(heatmaps[None])[0]
    back = _inverse(to_cells)
    found[..., :2] = found[..., :2] @ back[:, :2].T + back[:, 2]
    return found


def _resampled(heatmaps: Floats, from_cells: _Affine) -> Floats:
    """Resample (17, h, w) at the places of the common grid's cells, (17, 64, 48)."""
    moved = [
        cv2.warpAffine(each, from_cells, _CELLS, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        for each in np.ascontiguousarray(heatmaps, np.float32)
    ]
    return np.asarray(moved, np.float32)


def _unmirrored(heatmaps: Floats) -> Floats:
    """Turn back the second of two heatmaps (2, 17, h, w)."""
    plain, mirrored = heatmaps
    return np.stack([plain, mirrored[list(COCO_17.mirror), :, ::-1]])


def _to_crop_affine(window: NDArray[np.float64], input_size: tuple[int, int]) -> _Affine:
    zoom = np.asarray(input_size) / window[2:]
    return np.column_stack([np.diag(zoom), to_crop(np.zeros(2), window, input_size)])


def _to_grid_affine(grid: HeatmapGrid) -> _Affine:
    """Return the map from crop pixels to heatmap cells."""
    scale, shift = 1 / grid.stride, -grid.offset / grid.stride
    return np.array([[scale, 0, shift], [0, scale, shift]])


def _compose(second: _Affine, first: _Affine) -> _Affine:
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def _inverse(affine: _Affine) -> _Affine:
    back = np.linalg.inv(affine[:, :2])
    return np.column_stack([back, -back @ affine[:, 2]])


def _open(path: Path, output: str | None = None) -> Callable[[Floats], Floats]:
    """Open an ONNX network in OpenVINO, as a function of a batch of two pictures that threads may share."""
    try:
        from common.runtimes.openvino_runtime import openvino
    except ImportError as error:
        raise MissingExtra(f"the teacher {path} needs openvino: pip install openvino") from error
    core = openvino.Core()
    try:
        model = core.read_model(path)
        wanted = model.outputs if output is None else [each for each in model.outputs if output in each.names]
        model = openvino.Model(wanted[:1], model.get_parameters())
        (entry,) = model.inputs
        model.reshape([2, *(side.get_length() for side in list(entry.partial_shape)[1:])])
        compiled = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", **_PRECISION})
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1][:120]
        raise WeightsError(f"{path} is not the ONNX file of this teacher ({reason}): get it again") from error

    def run(batch: Floats) -> Floats:
        # a request of its own for every call: the compiled model's is not safe for threads
        return np.asarray(compiled.create_infer_request().infer([batch])[0], np.float32)

    return run
