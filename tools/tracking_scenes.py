"""Synthetic scenes with exact truth for the tracker: motion capture that crosses, leaves and returns.

A scene is sampled 120 times a second once, noise included, and read at any lower rate: what differs between
two rates is the rate alone. `SceneDetector` and `SceneKeypoints` take the places of the networks. A frame's
index in the scene is written into its first pixel.

The detector's errors: jitter of the box, misses and weak scores in bursts, boxes without the legs,
suppression of the weaker of two overlapping boxes, short false positives. The keypoint network's errors:
those of `NoiseModel` (jitter, bias, outliers, swapped sides), two joints of a pair found in one place, joints
of the person in front, arbitrary joints where a box shows no person. Second candidates hold a joint's own
place where the first one does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from demo.boxes import area, iou
from demo.pose.estimator import KeypointEstimator, missing_keypoints
from demo.types import Detections, Floats, Frame, Image
from lifter.datasets.mocap.npz import load_mocap
from lifter.datasets.synthetic.bodies import coco_joints
from lifter.datasets.synthetic.noise import NoiseModel
from lifter.skeletons import COCO_17

RATE = 120  # samples a second
SECONDS = 10.0
SIZE = (1280, 720)  # pixels
FOCAL = 0.9 * SIZE[0]  # pixels
CAMERA_HEIGHT = 1.3  # metres
NMS = 0.6  # IoU above which the detector drops the weaker of two boxes, as `demo.detection` does
VISIBLE = 0.3  # share of joints that must be visible: a person below is not expected to be found

Doubles = NDArray[np.float64]
Path2D = Callable[[Doubles], tuple[Doubles, Doubles]]

_MIRROR = np.array(COCO_17.mirror)
_TRUNK = ((5, 6), (5, 11), (6, 12), (11, 12), (5, 12), (6, 11), (0, 5), (0, 6), (3, 4))
_LIMBS = ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16))
_BONES = np.array(_TRUNK + _LIMBS)
_LIMB_RADIUS = 0.08  # metres around a bone that hide what is behind


def _line(start: float, speed: float, depth: float) -> Path2D:
    return lambda t: (start + speed * t, np.full_like(t, depth))


def _wander(middle: float, reach: float, period: float, phase: float, depth: float) -> Path2D:
    return lambda t: (middle + reach * np.sin(2 * np.pi * t / period + phase), np.full_like(t, depth))


# kind -> where people walk: metres to the right of the camera's axis, and before it, at times in seconds
KINDS: dict[str, tuple[Path2D, ...]] = {
    "cross": (_line(-2.8, 0.7, 5.0), _line(3.2, -0.75, 6.0)),
    "return": (_wander(0.0, 5.5, 9.0, 0.3, 5.0), _wander(-1.0, 0.4, 6.0, 0.0, 6.5)),
    "pair": (_wander(-0.1, 0.5, 5.0, 0.0, 5.0), _wander(0.1, 0.5, 6.0, 2.5, 5.6)),
    "crowd": (
        _wander(-0.5, 2.2, 8.0, 0.0, 4.8),
        _wander(0.5, 2.4, 10.0, 2.0, 5.8),
        _wander(0.0, 2.8, 7.0, 4.0, 6.8),
        _wander(1.0, 1.5, 9.0, 1.0, 8.0),
    ),
}


@dataclass(frozen=True)
class Scene:
    """P people over S samples. keypoints: (P, S, 17, 2) exact pixels; visible: (P, S, 17) bool.

    boxes: (P, S, 4) exact, within the picture. candidates: (P, S, 2, 17, 3) as the network finds them in a
    good box. detected: for each sample boxes (n, 4) and scores (n,).
    """

    keypoints: Doubles
    visible: NDArray[np.bool_]
    boxes: Doubles
    candidates: Floats
    detected: tuple[Detections, ...]

    @property
    def present(self) -> NDArray[np.bool_]:
        """(P, S) whether a person is expected to be found."""
        return np.asarray(self.visible.mean(axis=2) >= VISIBLE)

    def samples(self, fps: float) -> NDArray[np.int64]:
        """Return the samples that a clip of this rate shows."""
        count = int(self.keypoints.shape[1] / RATE * fps)
        return np.round(np.arange(count) * RATE / fps).astype(np.int64)

    def frames(self, fps: float) -> Iterator[Frame]:
        """Yield the clip at this rate."""
        for index, sample in enumerate(self.samples(fps).tolist()):
            image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
            image[0, 0] = sample & 255, sample >> 8, 0
            yield Frame(index, index, index / fps, image)


class SceneDetector:
    """A stand-in detector that returns the scene's simulated detections."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Return one `Detections` per image."""
        return [self._scene.detected[_sample(image)] for image in images]

    def detect_in_crops(self, image: Image, places: Floats) -> list[Detections]:
        """Return the exact boxes of visible people near each place, with a low score."""
        scene, sample = self._scene, _sample(image)
        boxes = scene.boxes[scene.present[:, sample], sample]
        found = []
        for place in places.astype(np.float64):
            near = boxes[[iou(place, box) > 0.2 for box in boxes]] if len(boxes) else boxes
            found.append(Detections(near.astype(np.float32), np.full(len(near), 0.2, np.float32)))
        return found


class SceneKeypoints(KeypointEstimator):
    """A stand-in keypoint network that returns the keypoints of the person with the best overlap."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def estimate(self, items: Sequence[tuple[Image, Floats]]) -> list[Floats]:
        """Return keypoints (n, 17, 3) of the n boxes of each picture."""
        return [found[:, 0] for found in self.candidates(items)]

    def candidates(self, items: Sequence[tuple[Image, Floats]]) -> list[Floats]:
        """Return first and second candidates (n, 2, 17, 3)."""
        found = []
        for image, boxes in items:
            if image.shape[:2] != SIZE[::-1]:  # a rotated crop: it shows no person
                found.append(missing_keypoints(len(boxes), 2))
                continue
            sample = _sample(image)
            poses = [self._estimate(sample, box.astype(np.float64)) for box in np.asarray(boxes)]
            found.append(np.stack(poses) if poses else missing_keypoints(0, 2))
        return found

    def _estimate(self, sample: int, box: Doubles) -> Floats:
        scene = self._scene
        overlaps = np.array([iou(box, other) for other in scene.boxes[:, sample]])
        visible = scene.visible[:, sample].mean(axis=1)
        person = int(np.argmax(overlaps * (0.3 + 0.7 * visible)))
        if overlaps[person] < 0.25 or visible[person] < 0.2:
            random = np.random.default_rng(abs(hash((sample, *box.round().tolist()))) % 2**32)
            empty = missing_keypoints(2)
            empty[0, :, :2] = box[:2] + random.random((17, 2)) * (box[2:] - box[:2])
            empty[0, :, 2] = random.uniform(0.05, 0.3, 17)
            return empty
        pose = scene.candidates[person, sample].copy()
        pose[..., 2] *= min(1.0, 0.6 + 0.5 * overlaps[person])
        reach = 0.6 * (box[2:] - box[:2]).max() + 0.1 * (box[2:] - box[:2])
        outside = (np.abs(pose[..., :2] - (box[:2] + box[2:]) / 2) > reach).any(axis=-1)
        pose[outside, 2] = 0.05
        return pose


def make_scene(mocap: Path, kind: str, seed: int) -> Scene:
    """Make a scene of one of `KINDS` with people of the held-out subjects of the motion capture."""
    random = np.random.default_rng([seed, *kind.encode()])
    generator = torch.Generator().manual_seed(int(random.integers(2**31)))
    t = np.arange(int(SECONDS * RATE)) / RATE
    takes = [take for split in ("val", "test") for take in load_mocap(mocap, split) if len(take.joints) > 200]
    paths = KINDS[kind]
    chosen = random.choice(len(takes), len(paths), replace=False)
    seen = np.stack(
        [
            _seen(takes[i].joints, takes[i].fps, path, t, random, generator)
            for i, path in zip(chosen, paths, strict=True)
        ]
    )
    points, depths = seen[..., :2], seen[..., 2]
    inside = ((points >= 0) & (points < SIZE)).all(axis=-1)
    hider = _hiders(points, depths)
    visible = inside & (hider < 0)
    size = np.ptp(points, axis=2)
    margin = np.array([0.12, 0.15, 0.12, 0.1]) * np.tile(size, 2) * (-1, -1, 1, 1)
    boxes = np.concatenate([points.min(axis=2), points.max(axis=2)], axis=-1) + margin
    boxes = np.clip(boxes, 0, np.tile(SIZE, 2))
    candidates = _candidates(points, hider, size.max(axis=-1), random, generator)
    detected = _detections(boxes, visible.mean(axis=2), random)
    return Scene(points, visible, boxes, candidates, detected)


def _sample(image: Image) -> int:
    return int(image[0, 0, 0]) + 256 * int(image[0, 0, 1])


def _seen(
    joints: Floats,
    fps: float,
    path: Path2D,
    t: Doubles,
    random: np.random.Generator,
    generator: torch.Generator,
) -> Doubles:
    """Project one person's COCO joints to (S, 17, 3): x, y in pixels and the depth in metres."""
    last = (len(joints) - 1) / fps
    at = np.abs((t + last + random.uniform(0, last)) % (2 * last) - last) * fps  # there and back again
    low = np.minimum(at.astype(int), len(joints) - 2)
    share = (at - low)[:, None, None]
    body = (1 - share) * joints[low] + share * joints[low + 1]
    body = body - body[:, :1] * (1, 1, 0)
    yaw = random.uniform(-np.pi, np.pi)
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    coco = coco_joints(torch.from_numpy((body @ turn.T)[None].astype(np.float32)), generator)[0][0].numpy()
    x, depth = path(t)
    depths = np.maximum(coco[..., 1] + depth[:, None], 0.5)
    across = FOCAL * (coco[..., 0] + x[:, None]) / depths + SIZE[0] / 2
    down = FOCAL * (CAMERA_HEIGHT - coco[..., 2]) / depths + SIZE[1] / 2
    return np.stack([across, down, depths], axis=-1)


def _hiders(points: Doubles, depths: Doubles) -> NDArray[np.int64]:
    """Return the index (P, S, 17) of the person who occludes a joint, -1 for none."""
    hider = np.full(points.shape[:3], -1)
    for one in range(len(points)):
        for other in range(len(points)):
            if one == other:
                continue
            first, last = points[other][:, None, _BONES[:, 0]], points[other][:, None, _BONES[:, 1]]
            along, offset = last - first, points[one][:, :, None] - first
            share = np.clip((offset * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-6), 0, 1)
            apart = np.linalg.norm(offset - share[..., None] * along, axis=-1)
            near = (apart < _LIMB_RADIUS * FOCAL / depths[other].mean(-1)[:, None, None]).any(axis=-1)
            hider[one][near & (depths[one] > depths[other].mean(-1)[:, None] + 0.1)] = other
    return hider


def _candidates(
    points: Doubles,
    hider: NDArray[np.int64],
    size: Doubles,
    random: np.random.Generator,
    generator: torch.Generator,
) -> Floats:
    """Simulate candidates (P, S, 2, 17, 3) of a network in good boxes of people of `size` (P, S)."""
    people, samples = points.shape[:2]
    half = SIZE[0] / 2
    screen = torch.from_numpy((points - (half, SIZE[1] / 2)) / half).float()
    hidden = torch.from_numpy((hider >= 0).astype(np.float32))
    aspect, rate = torch.full((people,), SIZE[1] / SIZE[0]), torch.full((people,), float(RATE))
    parts = []
    for start in range(0, samples, 2 * RATE):  # the model draws its bursts once a window
        part = slice(start, start + 2 * RATE)
        parts.append(NoiseModel().apply(screen[:, part], hidden[:, part], aspect, rate, generator))
    noisy = torch.cat(parts, dim=1).numpy()
    first = noisy.copy()
    first[..., :2] = noisy[..., :2] * half + (half, SIZE[1] / 2)
    first[first[..., 2] == 0] = np.nan, np.nan, 0
    own = points + (first[..., :2] - points) * (
        np.abs(first[..., :2] - points) < 0.05 * size[..., None, None]
    )
    own = np.where(np.isfinite(own), own, points)
    second = np.full_like(first, np.nan)
    second[..., 2] = 0
    # where the first candidate is not the joint's own place, the second one is, mostly
    lost = np.linalg.norm(first[..., :2] - points, axis=-1) > 0.05 * size[..., None]
    for joints in (slice(5, 17),):
        second[..., joints, :2] = np.where(
            lost[..., joints, None], own[..., joints, :], points[..., _MIRROR[joints], :]
        )
        second[..., joints, 2] = np.where(lost[..., joints], 0.8 * first[..., joints, 2], 0.25)
    for person in range(people):
        for pair in ((5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)):
            for start, end in _bursts(samples, 0.12, 0.5, random):
                own_joint, other = random.permutation(pair)
                burst = np.s_[person, start:end]
                second[burst][:, own_joint] = first[burst][:, own_joint]
                second[burst][:, own_joint, 2] *= 0.9 if random.random() < 0.6 else 0.0
                gone = second[burst][:, own_joint, 2] == 0
                second[burst][gone, own_joint, :2] = np.nan
                first[burst][:, own_joint, :2] = first[burst][:, other, :2]
                first[burst][:, own_joint, 2] *= 0.95
    # a joint behind another person is found on that one about half of the time
    for person, other in np.ndindex(people, people):
        taken = hider[person] == other
        for start, end in _bursts(samples, 1.0, 0.5, random):
            taken[start:end] = False
        second[person][taken] = first[person][taken]
        first[person, ..., :2] = np.where(taken[..., None], first[other, ..., :2], first[person, ..., :2])
        first[person, ..., 2] = np.where(taken, 0.9 * first[other, ..., 2], first[person, ..., 2])
    missing = ~np.isfinite(first[..., 0])
    first[missing] = np.nan, np.nan, 0
    return np.stack([first, second], axis=2).astype(np.float32)


def _detections(boxes: Doubles, visible: Doubles, random: np.random.Generator) -> tuple[Detections, ...]:
    """Simulate the detections of people with boxes (P, S, 4) and visible shares (P, S), for each sample."""
    people, samples = boxes.shape[:2]
    sides = boxes[..., 2:] - boxes[..., :2]
    found = boxes + 0.02 * np.tile(sides, 2) * _correlated((people, samples, 4), 0.1, random)
    scores = np.clip(0.92 * visible**0.7 + 0.04 * _correlated((people, samples), 0.2, random), 0, 0.97)
    for person in range(people):
        for start, end in _bursts(samples, 0.2, 0.5, random):  # a pose with low scores
            scores[person, start:end] *= random.choice([0.0, 0.05, 0.3])
        for start, end in _bursts(samples, 0.1, 0.3, random):  # the legs cut off
            found[person, start:end, 3] -= 0.4 * sides[person, start:end, 1]
    ghosts = [(start, end, random.random(2)) for start, end in _bursts(samples, 0.15, 0.2, random)]
    frames = []
    for sample in range(samples):
        now, score = found[:, sample], scores[:, sample]
        extra = [(place * SIZE).tolist() for start, end, place in ghosts if start <= sample < end]
        now = np.concatenate([now, np.array([[x, y, x + 60, y + 150] for x, y in extra]).reshape(-1, 4)])
        score = np.concatenate([score, np.full(len(extra), 0.45)])
        kept: list[int] = []
        for one in np.argsort(-score).tolist():
            known = score[one] > 0.03 and area(np.clip(now[one], 0, np.tile(SIZE, 2))) > 200
            if known and all(iou(now[one], now[other]) < NMS for other in kept):
                kept.append(one)
        clipped = np.clip(now[kept], 0, np.tile(SIZE, 2)).astype(np.float32)
        frames.append(Detections(clipped.reshape(-1, 4), score[kept].astype(np.float32)))
    return tuple(frames)


def _bursts(samples: int, rate: float, seconds: float, random: np.random.Generator) -> list[tuple[int, int]]:
    """Draw (start, end) of events of a mean duration that begin `rate` times a second."""
    starts = np.flatnonzero(random.random(samples) < rate / RATE)
    lengths = np.ceil(random.exponential(seconds * RATE, len(starts))).astype(int)
    return [(int(start), int(start + length)) for start, length in zip(starts, lengths, strict=True)]


def _correlated(shape: tuple[int, ...], seconds: float, random: np.random.Generator) -> Doubles:
    """Draw noise of unit variance, first-order autoregressive along axis 1."""
    keep = np.exp(-1 / (seconds * RATE))
    white = random.standard_normal(shape)
    for sample in range(1, shape[1]):
        white[:, sample] = keep * white[:, sample - 1] + np.sqrt(1 - keep**2) * white[:, sample]
    return white
