"""One fit a person and stretch: a body of constant bone lengths that obeys the picture.

The lifter answers each frame by itself, so its bones change length and its skeleton does not fall on the keypoints.
Here the joints of all frames, in camera axes and metres, and ten bone lengths are found together by robust least
squares: maximum a posteriori under the sigmas of `Sigmas`, each with its unit and source.

Every residual but the acceleration is a function of one linear feature of a frame's joints: a joint, a bone (child
minus parent), or a bend (how far a knee or elbow is from the line between its neighbours). So a frame's normal
matrix is a sum of outer products of constant rows with 3 x 3 weights, and only accelerations and contacts couple
frames: the whole matrix is banded, and a Gauss-Newton step costs time and memory linear in the frames. Lengths
border the band and are eliminated by their Schur complement. Robust losses are Student's t, by reweighting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve_banded, cholesky_banded

from demo.types import Floats
from lifter.skeletons import COCO_17, H36M_17, LIMBS_COCO, LIMBS_H36M

Doubles = NDArray[np.float64]

JOINTS = 17
WIDTH = 3 * JOINTS  # unknowns of a frame
BAND = 2 * WIDTH  # an acceleration couples a coordinate with itself two frames on
CHUNK = 250  # frames solved at a time
OVERLAP = 25  # frames that two chunks share; an acceleration's influence fades within a few
LENGTH_FRAMES = 1000  # frames, spread over the stretch, that decide the bone lengths
STEPS = 8  # of Gauss-Newton
SETTLED = 0.002  # metres; a step that moves no joint further ends the fit

# Bones of one length, by child joint; left and right share it.
BONE_GROUPS = (
    ("right_hip", "left_hip"),
    ("right_knee", "left_knee"),
    ("right_ankle", "left_ankle"),
    ("spine",),
    ("thorax",),
    ("neck_nose",),
    ("head",),
    ("right_shoulder", "left_shoulder"),
    ("right_elbow", "left_elbow"),
    ("right_wrist", "left_wrist"),
)
# Mean lengths in metres and log standard deviations given the stature. Geometric means over the training takes of
# shared/mocap (tools/measure_priors.py), times the factors that bring simulated picture ratios to those of detected
# people (its README: thigh/shank 1.07, trunk/leg .72), scaled to a stature of 1.70 m.
BONE_MEAN = np.array((0.079, 0.400, 0.374, 0.237, 0.292, 0.156, 0.090, 0.197, 0.277, 0.252))
BONE_SPREAD = np.array((0.15, 0.05, 0.05, 0.06, 0.10, 0.08, 0.07, 0.08, 0.05, 0.06))


@dataclass(frozen=True)
class Sigmas:
    """How far each kind of residual usually is from 0, and where that is known from.

    keypoint: metres at the person's depth, of a keypoint of score 1; divided by the score.
    hip, head: as keypoint, for landmarks that are not the joints themselves.
    direction: radians between the lifter's bone and the true one.
    length: metres that a bone may change within a stretch.
    stature: log standard deviation of body size. Adults: 1.70 m +- 0.10 m (NCD-RisC, eLife 2016).
    acceleration: metres a second squared, root mean square of the trunk and limbs in shared/mocap.
    knee, elbow: metres of a limb's bend, Student's t of `bend_freedom` degrees, by maximum likelihood on shared/mocap.
    slip: metres a second of a joint that bears on the ground. floor: metres off its height above it.
    """

    keypoint: float = 0.02
    hip: float = 0.04
    head: float = 0.08
    direction: float = 0.25
    length: float = 0.005
    stature: float = 0.06
    acceleration: float = 8.0
    knee: float = 0.075
    elbow: float = 0.10
    slip: float = 0.1
    floor: float = 0.03
    # Degrees of freedom of the t distributions: small ones leave room for gross errors.
    keypoint_freedom: float = 3.0
    bend_freedom: float = 3.0
    acceleration_freedom: float = 3.0
    direction_freedom: float = 5.0
    # Seconds within which errors are alike, so that more frames a second say nothing new.
    keypoint_time: float = 0.15
    pose_time: float = 0.2
    acceleration_time: float = 0.1


SIGMAS = Sigmas()


@dataclass(frozen=True)
class Floor:
    """The ground in camera axes: up (3,) of unit length, and its height along up, metres from the camera."""

    up: Doubles
    height: float


@dataclass(frozen=True)
class Observations:
    """One person's stretch of T frames.

    rays: (T, 17, 2) x/z and y/z of COCO keypoints, 0 where unknown. scores: (T, 17), 0 where unknown.
    directions: (T, 16, 3) the lifter's bones as unit vectors. times: (T,) seconds.
    contacts: (T, 17) probability that a joint bears on the ground, 0 where unknown.
    """

    rays: Doubles
    scores: Doubles
    directions: Doubles
    times: Doubles
    contacts: Doubles

    def __getitem__(self, part: slice) -> Observations:
        return Observations(*(values[part] for values in vars(self).values()))


@dataclass(frozen=True)
class FittedPose:
    """joints: (T, 17, 3) metres in camera axes, from the camera. lengths: (10,) metres, of `BONE_GROUPS`."""

    joints: Doubles
    lengths: Doubles


# ---- constant rows: features = ROWS @ joints --------------------------------------------------------------
_BONES = H36M_17.bones
_GROUP = np.array(
    [next(g for g, names in enumerate(BONE_GROUPS) if H36M_17.joints[c] in names) for _, c in _BONES]
)
_BENDS = (("knee", "hip", "ankle", (1, 2)), ("elbow", "shoulder", "wrist", (8, 9)))
# Joints a keypoint is compared with, the COCO keypoints, and the floor heights of bearing joints.
_FACE = tuple(
    COCO_17.joints.index(name) for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
)
_HEAD = H36M_17.joints.index("head")
_HIPS = tuple(H36M_17.joints.index(f"{side}_hip") for side in ("left", "right"))


def _rows() -> Doubles:
    rows = np.zeros((len(_BONES) + 4, JOINTS))
    for number, (parent, child) in enumerate(_BONES):
        rows[number, (parent, child)] = -1, 1
    number = len(_BONES)
    for middle, above, below, (upper, lower) in _BENDS:
        share = BONE_MEAN[lower] / (BONE_MEAN[upper] + BONE_MEAN[lower])
        for side in ("left", "right"):
            at = [H36M_17.joints.index(f"{side}_{name}") for name in (middle, above, below)]
            rows[number, at] = 1, -share, share - 1
            number += 1
    return np.concatenate((np.eye(JOINTS), rows))


_ROWS = _rows()
_OUTER = (_ROWS[:, :, None] * _ROWS[:, None, :]).reshape(len(_ROWS), -1)
_B = slice(JOINTS, JOINTS + len(_BONES))  # features that are bones
_K = slice(JOINTS + len(_BONES), None)  # features that are bends


def observe(
    keypoints: Floats,
    joints: Floats,
    times: Doubles,
    centre: tuple[float, float],
    focal: float,
    contacts: Floats | None = None,
) -> Observations:
    """What the fit goes by.

    Args:
        keypoints: (T, 17, 3) COCO-17, pixels and score, NaN where unknown.
        joints: (T, 17, 3) the lifter's answer, root-relative metres in camera axes.
        times: (T,) seconds.
        centre: of the picture, pixels. focal: pixels.
        contacts: (T, 17) probability that a joint bears on the ground.
    """
    known = np.isfinite(keypoints[..., :2]).all(-1)
    rays = np.where(known[..., None], keypoints[..., :2] - np.array(centre), 0) / focal
    bones = _ROWS[_B] @ joints.astype(np.float64)
    directions = bones / np.maximum(np.linalg.norm(bones, axis=-1, keepdims=True), 1e-6)
    bearing = np.zeros(keypoints.shape[:2]) if contacts is None else np.nan_to_num(contacts)
    return Observations(
        rays,
        np.where(known, keypoints[..., 2], 0).astype(np.float64),
        directions,
        times,
        bearing.astype(np.float64),
    )


def fit_person(
    seen: Observations,
    floor: Floor | None = None,
    start: FittedPose | None = None,
    sigmas: Sigmas = SIGMAS,
    heights: Doubles | None = None,
) -> FittedPose:
    """The most probable motion of a body of constant bone lengths.

    Args:
        seen: the observations of a stretch.
        floor: where the ground is, if that is known by now.
        start: an earlier fit to begin from.
        heights: (17,) metres of bearing joints above the floor; needed with `floor`.

    A long stretch is solved in chunks: first for the lengths, on chunks spread over it, then for every frame.
    """
    frames = len(seen.times)
    joints = initial_joints(seen, BONE_MEAN) if start is None else start.joints.copy()
    logs = np.log(BONE_MEAN if start is None else start.lengths)
    problem = _Problem(seen, joints, sigmas, floor, heights)
    chunks = _chunks(frames)
    if len(chunks) == 1:
        logs = problem.solve(chunks, logs, free=True)
        return FittedPose(problem.joints, np.exp(logs))
    some = chunks[:: -(-len(chunks) * CHUNK // LENGTH_FRAMES)]
    logs = problem.solve(some, logs, free=True)
    previous = 0
    done = np.empty_like(joints)
    for first, end in chunks:
        problem.solve([(first, end)], logs, free=False)
        # The frames that two chunks share pass from one to the other gradually.
        share = np.clip((np.arange(first, end) - first + 1) / max(previous - first + 1, 1), 0, 1)[
            :, None, None
        ]
        done[first:previous] = (1 - share[: previous - first]) * done[first:previous] + share[
            : previous - first
        ] * problem.joints[first:previous]
        done[max(previous, first) : end] = problem.joints[max(previous, first) : end]
        previous = end
    return FittedPose(done, np.exp(logs))


def _chunks(frames: int) -> list[tuple[int, int]]:
    """(first, past-the-end) of about equal chunks that share `OVERLAP` frames."""
    count = max(1, -(-(frames - OVERLAP) // (CHUNK - OVERLAP)))
    edges = np.linspace(0, max(frames - OVERLAP, 0), count + 1).astype(int)
    return [(int(a), int(min(b + OVERLAP, frames))) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def initial_joints(seen: Observations, lengths: Doubles) -> Doubles:
    """Joints (T, 17, 3) of bones of these lengths in the lifter's directions, each frame's body where its
    limbs are nearest to their rays (linear least squares); frames that show too little between their neighbours."""
    joints = np.zeros((len(seen.times), JOINTS, 3))
    for number, (parent, child) in enumerate(_BONES):
        joints[:, child] = joints[:, parent] + lengths[_GROUP[number]] * seen.directions[:, number]
    pose, ray = joints[:, LIMBS_H36M], seen.rays[:, LIMBS_COCO]
    weight = seen.scores[:, LIMBS_COCO] ** 2
    total = np.maximum(weight.sum(1), 1e-9)

    def mean(values: Doubles) -> Doubles:
        return (weight[..., None] * values).sum(1) / total[:, None]

    slope = ray - mean(ray)[:, None]
    rest = pose[..., :2] - ray * pose[..., 2:]
    rest = rest - mean(rest)[:, None]
    depth = (weight[..., None] * slope * rest).sum((1, 2)) / np.maximum(
        (weight[..., None] * slope**2).sum((1, 2)), 1e-12
    )
    good = ((weight > 0).sum(1) >= 6) & (depth > 0.3) & (depth < 100) & (total >= 0.3 * np.median(total))
    if not good.any():
        return joints + (0.0, 0.0, 4.0)
    at = np.arange(len(depth))
    depth = np.exp(np.interp(at, at[good], np.log(depth[good])))
    across = mean(ray * (pose[..., 2:] + depth[:, None, None]) - pose[..., :2])
    across = np.stack([np.interp(at, at[good], across[good, axis]) for axis in range(2)], -1)
    return joints + np.concatenate((across, depth[:, None]), -1)[:, None]


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

    def solve(self, chunks: Sequence[tuple[int, int]], logs: Doubles, free: bool) -> Doubles:
        """Gauss-Newton on these chunks of `joints`; with `free`, on the log lengths (10,) too, which it returns."""
        prior = _length_prior(self.sigmas)
        start = np.log(BONE_MEAN)
        for _ in range(STEPS):
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
        """A step of the joints of a chunk, and what they say of the lengths: matrix (10, 10), gradient (10,)."""
        seen, x = self.seen[part], self.joints[part]
        frames = len(x)
        weight, pull, coupling, own, gradient = self._features(part, seen, x, logs)
        slope = np.einsum("fj,tfi->tji", _ROWS, pull)
        blocks = np.matmul(weight.reshape(frames, len(_ROWS), 9).transpose(0, 2, 1), _OUTER)
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
            for number, (parent, child) in enumerate(_BONES):
                border[:, child, :, _GROUP[number]] += coupling[:, number]
                border[:, parent, :, _GROUP[number]] -= coupling[:, number]
        else:
            right = right[:, :1]
        factor = cholesky_banded(band, overwrite_ab=True, lower=True, check_finite=False)
        solved = cho_solve_banded((factor, True), right, check_finite=False)
        step = solved[:, 0].reshape(frames, JOINTS, 3)
        if free:
            own = own - right[:, 1:].T @ solved[:, 1:]
            gradient = gradient + right[:, 1:].T @ solved[:, 0]
        return step, own, gradient

    def _features(
        self, part: slice, seen: Observations, x: Doubles, logs: Doubles
    ) -> tuple[Doubles, Doubles, Doubles, Doubles, Doubles]:
        """Weights (T, F, 3, 3) and gradients (T, F, 3) of the features; for bones the mixed derivatives with their
        log length (T, 16, 3), and the lengths' own second (10, 10) and first (10,) derivatives."""
        s = self.sigmas
        features = _ROWS @ x
        weight = np.zeros((*features.shape, 3))
        pull = np.zeros_like(features)
        often = np.minimum(1, self.steps[part] / s.keypoint_time)[:, None]
        pose = np.minimum(1, self.steps[part] / s.pose_time)[:, None]
        eye = np.eye(3)
        # A step is kept to where the linearisation holds, about a hand's width.
        weight[:, :JOINTS] += eye * (1 / 0.3**2)
        self._keypoints(seen, x, self.depth[part], often, weight, pull)
        if self.floor is not None and self.heights is not None:
            up = self.floor.up
            off = x @ up - self.floor.height - self.heights
            w = seen.contacts * pose / s.floor**2 * 4 / (3 + (off / s.floor) ** 2)
            weight[:, :JOINTS] += w[..., None, None] * np.outer(up, up)
            pull[:, :JOINTS] += (w * off)[..., None] * up
        # Bends: Student's t about a straight limb.
        bend = features[:, _K]
        sigma = np.array((s.knee, s.knee, s.elbow, s.elbow))
        w = pose * (s.bend_freedom + 2) / (s.bend_freedom * sigma**2 + (bend**2).sum(-1))
        weight[:, _K] += w[..., None, None] * eye
        pull[:, _K] += w[..., None] * bend
        # Bones: their length, and the lifter's direction.
        bone = features[:, _B]
        length = np.exp(logs)[_GROUP]
        norm = np.maximum(np.linalg.norm(bone, axis=-1), 1e-6)
        unit = bone / norm[..., None]
        stiff = 1 / s.length**2
        weight[:, _B] += stiff * unit[..., :, None] * unit[..., None, :]
        pull[:, _B] += (stiff * (norm - length))[..., None] * unit
        off = bone - length[:, None] * seen.directions
        sigma = s.direction * BONE_MEAN[_GROUP]
        w = pose / sigma**2 * (s.direction_freedom + 3) / (s.direction_freedom + (off**2).sum(-1) / sigma**2)
        weight[:, _B] += w[..., None, None] * eye
        pull[:, _B] += w[..., None] * off
        by_length = -length[:, None] * seen.directions  # of the second residual, by the log length
        coupling = -(stiff * length)[:, None] * unit + w[..., None] * by_length
        second = (stiff * length**2 + w * length**2).sum(0)
        first = (-stiff * (norm - length) * length + w * (off * by_length).sum(-1)).sum(0)
        own = np.diag(np.bincount(_GROUP, second, len(logs)))
        return weight, pull, coupling, own, np.bincount(_GROUP, first, len(logs))

    def _keypoints(
        self, seen: Observations, x: Doubles, depth: Doubles, often: Doubles, weight: Doubles, pull: Doubles
    ) -> None:
        """Adds how far the projected limbs, and loosely the head, are from their keypoints."""
        s = self.sigmas
        face = seen.scores[:, _FACE]
        joints = np.array((*LIMBS_H36M, _HEAD))
        ray = np.concatenate(
            (
                seen.rays[:, LIMBS_COCO],
                ((face[..., None] * seen.rays[:, _FACE]).sum(1) / np.maximum(face.sum(1), 1e-9)[:, None])[
                    :, None
                ],
            ),
            1,
        )
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
        """Adds accelerations, and the speed of joints that bear on the ground."""
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
            w = duration / s.acceleration_time / s.acceleration**2
            w = (
                w
                * (s.acceleration_freedom + 3)
                / (s.acceleration_freedom + (off**2).sum(-1) / s.acceleration**2)
            )
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
    """The inverse covariance (10, 10) of log lengths: one stature, and each bone about it."""
    return np.linalg.inv(np.diag(BONE_SPREAD**2) + s.stature**2)
