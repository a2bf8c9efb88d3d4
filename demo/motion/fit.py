"""One fit a person and stretch: a body of constant bone lengths that reprojects onto the keypoints.

The lifter predicts each frame by itself, so its bones change length and its skeleton does not fall on the
keypoints. Here the joints of all frames, in camera axes and metres, and ten bone lengths are found together
by robust least squares: maximum a posteriori under `body.Sigmas`.

Bone lengths too short cannot explain a bone that the picture shows long, and lengths too long must be
foreshortened in every frame. So the frames that show a bone longest decide its length.

Every residual but the acceleration is a function of one linear feature of a frame's joints (`body.ROWS`): a
joint, a bone, or the bend of a knee. So a frame's normal matrix is a sum of outer products of constant rows
with 3 x 3 weights, and only accelerations and contacts couple frames: the whole matrix is banded, and a
Gauss-Newton step costs time and memory linear in the frames. Lengths border the band and are eliminated by
their Schur complement. Robust losses are Student's t, by reweighting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded
from threadpoolctl import ThreadpoolController

from demo.motion.body import (
    ACCELERATION,
    BONE_MEAN,
    BONE_ROWS,
    BONE_SPREAD,
    BONES,
    GROUP,
    JOINTS,
    KNEE_ROWS,
    OUTER,
    ROWS,
    SIGMAS,
    Sigmas,
)
from demo.motion.observations import Observations, initial_joints
from demo.types import Doubles
from lifter.skeletons import COCO_17, H36M_17, LIMBS_COCO, LIMBS_H36M

WIDTH = 3 * JOINTS  # unknowns of a frame
BAND = 2 * WIDTH  # an acceleration couples a coordinate with itself two frames on
CHUNK = 250  # frames solved at a time
OVERLAP = 25  # frames that two chunks share; an acceleration's influence fades within a few
LENGTH_FRAMES = 1000  # frames, spread over the stretch, that decide the bone lengths
STEPS, STEPS_AGAIN = 8, 4  # of Gauss-Newton, from the lifter's prediction and from an earlier fit
TRUST = 0.3  # metres; joints move by less in a step, since the projection is linearised
SETTLED = 0.002  # metres; a step that moves no joint further ends the fit

# Joints a keypoint is compared with, the COCO keypoints, and the floor heights of bearing joints.
_FACE = tuple(
    COCO_17.joints.index(name) for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
)
_HEAD = H36M_17.joints.index("head")
_HIPS = tuple(H36M_17.joints.index(f"{side}_hip") for side in ("left", "right"))
_ANKLES = tuple(H36M_17.joints.index(f"{side}_ankle") for side in ("left", "right"))


@dataclass(frozen=True)
class Floor:
    """The ground in camera axes: up (3,) of unit length, and its height along up, metres from the camera."""

    up: Doubles
    height: float


@dataclass(frozen=True)
class FittedPose:
    """joints: (T, 17, 3) metres in camera axes, from the camera. lengths: (10,) metres, of `BONE_GROUPS`."""

    joints: Doubles
    lengths: Doubles


def fit_person(
    seen: Observations,
    floor: Floor | None = None,
    start: FittedPose | None = None,
    sigmas: Sigmas = SIGMAS,
    heights: Doubles | None = None,
) -> FittedPose:
    """Fit the most probable motion of a body of constant bone lengths.

    Args:
        seen: the observations of a stretch.
        floor: the ground, or None if it is not known yet.
        start: an earlier fit to begin from.
        heights: (17,) metres of bearing joints above the floor; needed with `floor`.

    A long stretch is solved in chunks: first for the lengths, on chunks spread over it, then for every frame.
    """
    with _threads().limit(limits=1):  # blocks of the band are small: threads only wait
        return _fit(seen, floor, start, sigmas, heights)


@cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def _fit(
    seen: Observations, floor: Floor | None, start: FittedPose | None, sigmas: Sigmas, heights: Doubles | None
) -> FittedPose:
    joints = initial_joints(seen, BONE_MEAN) if start is None else start.joints.copy()
    logs = np.log(BONE_MEAN if start is None else start.lengths)
    problem = _Problem(seen, joints, sigmas, floor, heights)
    steps = STEPS if start is None else STEPS_AGAIN
    chunks = _chunks(len(seen.times))
    if len(chunks) == 1:
        logs = problem.solve(chunks, logs, steps, free=True)
        return FittedPose(problem.joints, np.exp(logs))
    if start is None:
        some = chunks[:: -(-len(chunks) * CHUNK // LENGTH_FRAMES)]
        logs = problem.solve(some, logs, steps, free=True)
    previous = 0
    done = np.empty_like(joints)
    for first, end in chunks:
        problem.solve([(first, end)], logs, steps, free=False)
        # The frames that two chunks share pass from one to the other gradually.
        shared, fresh = slice(first, previous), slice(previous, end)
        share = (np.arange(1, previous - first + 1) / (previous - first + 1))[:, None, None]
        done[shared] += share * (problem.joints[shared] - done[shared])
        done[fresh] = problem.joints[fresh]
        previous = end
    return FittedPose(done, np.exp(logs))


def _chunks(frames: int) -> list[tuple[int, int]]:
    """Return (first, past-the-end) of about equal chunks that share `OVERLAP` frames."""
    count = max(1, -(-(frames - OVERLAP) // (CHUNK - OVERLAP)))
    edges = np.linspace(0, max(frames - OVERLAP, 0), count + 1).astype(int)
    return [(int(a), int(min(b + OVERLAP, frames))) for a, b in pairwise(edges)]


class _Problem:
    """The least-squares problem of a stretch and its present solution, `joints`."""

    def __init__(
        self,
        seen: Observations,
        joints: Doubles,
        sigmas: Sigmas,
        floor: Floor | None,
        heights: Doubles | None,
    ) -> None:
        self.seen, self.joints, self.sigmas = seen, joints, sigmas
        self.floor, self.heights = floor, heights
        steps = np.diff(seen.times, prepend=seen.times[:1])
        if len(steps) > 1:
            steps[0] = steps[1]
            steps[:-1] = (steps[:-1] + np.append(np.diff(seen.times)[1:], steps[-1])[: len(steps) - 1]) / 2
        else:
            steps[:] = sigmas.pose_time
        self.steps = np.maximum(steps, 1e-4)
        # A keypoint's error counts in metres at the depth at which the person first was found.
        self.depth = np.maximum(joints[:, 0, 2], 0.3)

    def solve(self, chunks: Sequence[tuple[int, int]], logs: Doubles, steps: int, free: bool) -> Doubles:
        """Run Gauss-Newton on chunks of `joints`, with `free` also on the log lengths (10,); return these."""
        prior = _length_prior(self.sigmas)
        start = np.log(BONE_MEAN)
        for _ in range(steps):
            moved = 0.0
            matrix, slope = prior.copy(), prior @ (logs - start)
            for first, end in chunks:
                step, own, gradient = self._step(slice(first, end), logs, free)
                self.joints[first:end] += step
                moved = max(moved, float(np.abs(step).max()))
                matrix += own
                slope += gradient
            if free:
                change = np.linalg.solve(matrix, -slope)
                logs = logs + change
            if moved < SETTLED:
                break
        return logs

    def _step(self, part: slice, logs: Doubles, free: bool) -> tuple[Doubles, Doubles, Doubles]:
        """Solve a step of a chunk's joints, and its terms of the lengths: matrix (10, 10), gradient (10,)."""
        seen, x = self.seen[part], self.joints[part]
        frames = len(x)
        weight, pull, coupling, own, gradient = self._features(part, seen, x, logs)
        slope = np.einsum("fj,tfi->tji", ROWS, pull)
        blocks = np.matmul(weight.reshape(frames, len(ROWS), 9).transpose(0, 2, 1), OUTER)
        blocks = (
            blocks.reshape(frames, 3, 3, JOINTS, JOINTS)
            .transpose(0, 3, 1, 4, 2)
            .reshape(frames, WIDTH, WIDTH)
        )
        band = np.zeros((BAND + 1, frames * WIDTH))
        view = band.reshape(BAND + 1, frames, WIDTH)
        for offset in range(WIDTH):
            view[offset, :, : WIDTH - offset] = np.diagonal(blocks, -offset, 1, 2)
        self._couple_frames(part, seen, x, view, slope)
        right = np.zeros((frames * WIDTH, 1 + len(logs)))
        right[:, 0] = -slope.reshape(-1)
        if free:
            border = right[:, 1:].reshape(frames, JOINTS, 3, len(logs))
            for number, (parent, child) in enumerate(BONES):
                border[:, child, :, GROUP[number]] += coupling[:, number]
                border[:, parent, :, GROUP[number]] -= coupling[:, number]
        else:
            right = right[:, :1]
        factor = cholesky_banded(band, overwrite_ab=True, lower=True, check_finite=False)
        solved = cho_solve_banded((factor, True), right, check_finite=False)
        step = solved[:, 0].reshape(frames, JOINTS, 3)
        if free:
            own = own - right[:, 1:].T @ solved[:, 1:]
            gradient = gradient + right[:, 1:].T @ solved[:, 0]
        return step, own, gradient

    def _features(self, part: slice, seen: Observations, x: Doubles, logs: Doubles) -> tuple[Any, ...]:
        """Return the derivatives of the features' residuals.

        Returns:
            Weights (T, F, 3, 3) and gradients (T, F, 3) of the features; for bones the mixed derivatives with
            their log length (T, 16, 3), and the lengths' own second (10, 10) and first (10,) derivatives.
        """
        s = self.sigmas
        features = ROWS @ x
        weight = np.zeros((*features.shape, 3))
        pull = np.zeros_like(features)
        often = np.minimum(1, self.steps[part] / s.keypoint_time)[:, None]
        pose = np.minimum(1, self.steps[part] / s.pose_time)[:, None]
        eye = np.eye(3)
        weight[:, :JOINTS] += eye / TRUST**2
        self._keypoints(seen, x, self.depth[part], often, weight, pull)
        if self.floor is not None and self.heights is not None:
            up = self.floor.up
            off = x @ up - self.floor.height - self.heights
            w = seen.contacts * pose / s.floor**2 * 4 / (3 + (off / s.floor) ** 2)
            weight[:, :JOINTS] += w[..., None, None] * np.outer(up, up)
            pull[:, :JOINTS] += (w * off)[..., None] * up
        self._knee_limits(x, features[:, KNEE_ROWS], pose, weight, pull)
        # Bones: their length, and the lifter's direction.
        bone = features[:, BONE_ROWS]
        length = np.exp(logs)[GROUP]
        norm = np.maximum(np.linalg.norm(bone, axis=-1), 1e-6)
        unit = bone / norm[..., None]
        stiff = 1 / s.length**2
        weight[:, BONE_ROWS] += stiff * unit[..., :, None] * unit[..., None, :]
        pull[:, BONE_ROWS] += (stiff * (norm - length))[..., None] * unit
        off = bone - length[:, None] * seen.directions
        sigma = s.direction * BONE_MEAN[GROUP]
        w = pose / sigma**2 * (s.direction_freedom + 3) / (s.direction_freedom + (off**2).sum(-1) / sigma**2)
        weight[:, BONE_ROWS] += w[..., None, None] * eye
        pull[:, BONE_ROWS] += w[..., None] * off
        by_length = -length[:, None] * seen.directions  # of the second residual, by the log length
        coupling = -(stiff * length)[:, None] * unit + w[..., None] * by_length
        second = (stiff * length**2 + w * length**2).sum(0)
        first = (-stiff * (norm - length) * length + w * (off * by_length).sum(-1)).sum(0)
        own = np.diag(np.bincount(GROUP, second, len(logs)))
        return weight, pull, coupling, own, np.bincount(GROUP, first, len(logs))

    def _knee_limits(self, x: Doubles, bend: Doubles, pose: Doubles, weight: Doubles, pull: Doubles) -> None:
        """Add how far knees (T, 2) are behind the line from hip to ankle; the pelvis faces forwards."""
        across = x[:, _HIPS[0]] - x[:, _HIPS[1]]
        legs = x[:, _ANKLES] - x[:, _HIPS]
        ahead = np.cross(legs, across[:, None])
        ahead /= np.maximum(np.linalg.norm(ahead, axis=-1, keepdims=True), 1e-9)
        behind = np.minimum((bend * ahead).sum(-1), 0)
        w = pose / self.sigmas.behind**2 * (behind < 0)
        weight[:, KNEE_ROWS] += w[..., None, None] * ahead[..., :, None] * ahead[..., None, :]
        pull[:, KNEE_ROWS] += (w * behind)[..., None] * ahead

    def _keypoints(
        self, seen: Observations, x: Doubles, depth: Doubles, often: Doubles, weight: Doubles, pull: Doubles
    ) -> None:
        """Add how far the projected limbs, and loosely the head, are from their keypoints."""
        s = self.sigmas
        face = seen.scores[:, _FACE]
        share = face / np.maximum(face.sum(1, keepdims=True), 1e-9)
        head = (share[..., None] * seen.rays[:, _FACE]).sum(1, keepdims=True)
        joints = np.array((*LIMBS_H36M, _HEAD))
        ray = np.concatenate((seen.rays[:, LIMBS_COCO], head), 1)
        score = np.concatenate((seen.scores[:, LIMBS_COCO], face.max(1, keepdims=True)), 1)
        sigma = np.where(np.isin(joints, _HIPS), s.hip, s.keypoint)
        sigma[-1] = s.head
        point = x[:, joints]
        z = np.maximum(point[..., 2], 0.1)
        scale = depth[:, None] * score / sigma
        off = scale[..., None] * (point[..., :2] / z[..., None] - ray)
        w = often * (s.keypoint_freedom + 2) / (s.keypoint_freedom + (off**2).sum(-1))
        jacobian = np.zeros((*off.shape, 3))
        jacobian[..., 0, 0] = jacobian[..., 1, 1] = scale / z
        jacobian[..., 2] = -(scale / z)[..., None] * point[..., :2] / z[..., None]
        weight[:, joints] += w[..., None, None] * np.einsum("tjai,tjak->tjik", jacobian, jacobian)
        pull[:, joints] += w[..., None] * np.einsum("tjai,tja->tji", jacobian, off)

    def _couple_frames(
        self, part: slice, seen: Observations, x: Doubles, view: Doubles, slope: Doubles
    ) -> None:
        """Add accelerations, and the speed of joints that bear on the ground."""
        s, frames = self.sigmas, len(x)
        if frames < 2:
            return
        gap = np.maximum(np.diff(seen.times), 1e-4)[:, None]
        wide = lambda values: np.repeat(values, 3, axis=-1)  # noqa: E731
        if frames > 2:
            a, b = 2 / (gap[:-1] * (gap[:-1] + gap[1:])), 2 / (gap[1:] * (gap[:-1] + gap[1:]))
            c = -(a + b)
            off = a[..., None] * x[:-2] + c[..., None] * x[1:-1] + b[..., None] * x[2:]
            duration = (gap[:-1] + gap[1:]) / 2
            sigma = s.acceleration * ACCELERATION
            w = duration / s.acceleration_time / sigma**2
            terms = ((slice(0, -2), a), (slice(1, -1), c), (slice(2, None), b))
            for number, (one, factor) in enumerate(terms):
                slope[one] += (w * factor)[..., None] * off
                for distance, (_, other) in enumerate(terms[number:]):
                    view[distance * WIDTH, one] += wide(w * factor * other)
        still = np.minimum(seen.contacts[:-1], seen.contacts[1:])
        w = still * np.minimum(1, gap / s.pose_time) / (s.slip * gap) ** 2
        off = x[1:] - x[:-1]
        w = w * 4 / (3 + (off**2).sum(-1) / (s.slip * gap) ** 2)
        slope[1:] += w[..., None] * off
        slope[:-1] -= w[..., None] * off
        view[0, 1:] += wide(w)
        view[0, :-1] += wide(w)
        view[WIDTH, :-1] -= wide(w)


def _length_prior(s: Sigmas) -> Doubles:
    """Return the inverse covariance (10, 10) of log lengths: one stature, and each bone about it."""
    covariance = np.diag(BONE_SPREAD**2) + s.stature**2
    return np.linalg.inv(covariance).astype(np.float64)
