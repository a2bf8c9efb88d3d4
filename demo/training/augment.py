"""Augmentation of a labelled person's crop.

The geometry is the paper's (Sun et al. 2019, section 4): scale 0.65 to 1.35, rotation up to 45 degrees,
mirroring, and sometimes only the upper or the lower half of a body (Wang et al. 2018). Further augmentations:
truncation to any part of the box, as at the picture's edge or behind an object; boxes that are off by some
pixels, like a detector's; occluding objects and people; light and blur of video. Pictures of sports show
people upside down more often than videos: most of them are rotated upright. A few others are rotated by any
angle, so that the network also knows people who lie or hang.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.pose.estimator import crop_windows, to_crop
from demo.pose.rotated import lean_degrees
from demo.training.crops_dataset import NOWHERE
from demo.types import Floats, Image
from lifter.skeletons import COCO_17

_UPPER = np.arange(17) < 11  # face, shoulders, arms
_PART_JOINTS = 3  # least labelled joints in a part of a box


@dataclass(frozen=True)
class Augmentation:
    """Strength of the augmentation; chances are in 0..1."""

    scale: tuple[float, float] = (0.65, 1.35)
    turn_degrees: float = 45.0
    turn_chance: float = 0.35
    any_turn_chance: float = 0.05  # that the rotation is up to 180 degrees
    upright_chance: float = 0.6  # that a person far from upright is rotated upright
    shift: float = 0.08  # of the box, standard deviation
    half_body_chance: float = 0.15
    half_body_joints: int = 8  # least labelled joints for a half body
    part_chance: float = 0.4  # that the person is truncated to a part of the box
    grey_chance: float = 0.1
    light_chance: float = 0.5  # that light and colours are changed
    blur_chance: float = 0.4
    coarse: tuple[float, float] = (0.15, 0.8)  # scale of a low-resolution copy, if that is the blur
    hole_chance: float = 0.25
    surrounded_chance: float = 0.6  # that another picture fills the area beyond the picture's edge
    crowd_chance: float = 0.25  # that a part of another picture covers this one
    covered_head_chance: float = 0.3


# Weaker augmentation for the last steps of a training: the network converges on the distribution of videos
# (as in RTMPose's last epochs, Jiang et al. 2023).
GENTLE = Augmentation(
    scale=(0.8, 1.25),
    turn_degrees=30.0,
    turn_chance=0.25,
    shift=0.04,
    half_body_chance=0.08,
    part_chance=0.2,
    grey_chance=0.03,
    light_chance=0.25,
    blur_chance=0.25,
    hole_chance=0.08,
    crowd_chance=0.1,
    covered_head_chance=0.15,
)


def augmented(
    picture: Image,
    keypoints: Floats,
    box: Floats,
    input_size: tuple[int, int],
    generator: np.random.Generator,
    how: Augmentation | None,
    around: Image | None = None,
) -> tuple[Image, Floats]:
    """Draw the network's input (h, w, 3) BGR, and keypoints (..., 17, 3) in its pixels and confidence.

    `keypoints` may be several sets of one person, (n, 17, 3): the first decides, the others move with it. The
    area beyond the picture's edge is filled with `around`. Without `how` the input is the plain crop that the
    program makes of the box.
    """
    ground = np.zeros((input_size[1], input_size[0], 3), np.uint8)
    if how is None:
        return _cut(picture, keypoints, crop_windows(box[None], input_size)[0], 0.0, False, ground)
    first = _first(keypoints)
    labelled, lean = first[:, 2] > 0, lean_degrees(first)
    if labelled.sum() >= how.half_body_joints and generator.random() < how.half_body_chance:
        half = labelled & (_UPPER if generator.random() < 0.5 else ~_UPPER)
        if half.sum() >= 4:
            points = first[half, :2]
            low, high = points.min(axis=0), points.max(axis=0)
            margin = 0.2 * (high - low).max()
            box = np.concatenate([low - margin, high + margin])
    elif generator.random() < how.part_chance:
        picture, keypoints, box = _part(picture, keypoints, box, generator)
    window = crop_windows(box[None], input_size)[0]
    zoom = generator.uniform(*how.scale)
    shift = np.clip(generator.normal(0, how.shift, 2), -2 * how.shift, 2 * how.shift) * window[2:]
    window = np.concatenate([window[:2] + window[2:] * (1 - zoom) / 2 + shift, window[2:] * zoom])
    turn = 0.0
    if generator.random() < how.turn_chance:
        turn = float(generator.uniform(-how.turn_degrees, how.turn_degrees))
    if how.any_turn_chance and generator.random() < how.any_turn_chance:
        turn = float(generator.uniform(-180, 180))
    elif abs(lean) > how.turn_degrees and generator.random() < how.upright_chance:
        turn -= lean
    if around is not None:
        ground = np.asarray(cv2.resize(around, input_size), np.uint8)
    image, points = _cut(picture, keypoints, window, turn, bool(generator.random() < 0.5), ground)
    return recoloured(image, generator, how), points


def _first(keypoints: Floats) -> Floats:
    """Return the first set (17, 3) of keypoints (..., 17, 3)."""
    return keypoints.reshape(-1, 17, 3)[0]


def _part(
    picture: Image, keypoints: Floats, box: Floats, generator: np.random.Generator
) -> tuple[Image, Floats, Floats]:
    """Truncate the picture, or only the box, to a part of the box.

    When the picture is truncated, the joints beyond its edge are moved far outside: they are invisible.
    """
    size = (box[2:] - box[:2]) * generator.uniform((0.4, 0.2), (1.0, 0.8))
    low = box[:2] + generator.uniform(0, 1, 2) * (box[2:] - box[:2] - size)
    part = np.concatenate([low, low + size]).astype(np.float32)
    within = ((keypoints[..., :2] >= part[:2]) & (keypoints[..., :2] <= part[2:])).all(axis=-1)
    if (within & (keypoints[..., 2] > 0)).reshape(-1, 17)[0].sum() < _PART_JOINTS:  # of the first set
        return picture, keypoints, box
    if generator.random() < 0.5:  # the rest is still there, around the box
        return picture, keypoints, part
    height, width = picture.shape[:2]
    left, top = np.clip(np.floor(part[:2]), 0, None).astype(int)
    right, bottom = np.minimum(np.ceil(part[2:]), (width, height)).astype(int)
    ended = np.zeros_like(picture)
    ended[top:bottom, left:right] = picture[top:bottom, left:right]
    keypoints = keypoints.copy()
    keypoints[~within, :2] = NOWHERE
    return ended, keypoints, part


def _cut(
    picture: Image,
    keypoints: Floats,
    window: NDArray[np.float64],
    turn: float,
    mirrored: bool,
    ground: Image,
) -> tuple[Image, Floats]:
    """Crop the window (left, top, width, height), rotated by `turn` degrees about its middle.

    The crop is drawn on `ground`, in place.
    """
    input_size = (ground.shape[1], ground.shape[0])
    size = np.asarray(input_size, dtype=np.float64)
    scale = size / window[2:]
    origin = to_crop(np.zeros(2), window, input_size)
    affine = np.array([[scale[0], 0, origin[0]], [0, scale[1], origin[1]]])
    middle = (size - 1) / 2
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    spin = np.array([[cos, -sin], [sin, cos]])
    affine = spin @ affine
    affine[:, 2] += middle - spin @ middle
    if mirrored:
        affine[0] *= -1
        affine[0, 2] += size[0] - 1
    image = cv2.warpAffine(
        picture,
        affine,
        input_size,
        dst=ground,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_TRANSPARENT,
    )
    points = keypoints.astype(np.float64)
    points[..., :2] = points[..., :2] @ affine[:, :2].T + affine[:, 2]
    if mirrored:
        points = points[..., list(COCO_17.mirror), :]
    return np.asarray(image, np.uint8), points.astype(np.float32)


def _hidden(image: Image, generator: np.random.Generator) -> Image:
    """Occlude a rectangle of the image by one colour, or by another part of the image."""
    height, width = image.shape[:2]
    h, w = (int(generator.uniform(0.08, 0.4) * side) for side in (height, width))
    (y, x), (v, u) = generator.integers(0, (height - h + 1, width - w + 1), (2, 2))
    covered = image.copy()
    other = image[v : v + h, u : u + w] if generator.random() < 0.7 else generator.integers(0, 256, 3)
    covered[y : y + h, x : x + w] = other
    return covered


def crowded(pictures: Sequence[Image], generator: np.random.Generator, chance: float) -> list[Image]:
    """Cover a part of some pictures, all of one size, by a part of the next picture."""
    height, width = pictures[0].shape[:2]
    crowd = []
    for picture, other in zip(pictures, [*pictures[1:], pictures[0]], strict=True):
        if generator.random() < chance:
            h, w = (int(generator.uniform(0.2, 0.65) * side) for side in (height, width))
            (y, x), (v, u) = generator.integers(0, (height - h + 1, width - w + 1), (2, 2))
            picture = picture.copy()
            picture[y : y + h, x : x + w] = other[v : v + h, u : u + w]
        crowd.append(picture)
    return crowd


def with_covered_heads(
    pictures: Sequence[Image], keypoints: Floats, generator: np.random.Generator, chance: float
) -> list[Image]:
    """Cover some heads by a cap or a hood, or hide the face by blur or coarse cells.

    Without a face the network must infer from the body whether it is seen from the front or from behind.
    """
    covered = []
    for picture, points in zip(pictures, keypoints, strict=True):
        head = _head(points, picture.shape[1::-1]) if generator.random() < chance else None
        covered.append(picture if head is None else _covered(picture, *head, generator))
    return covered


def _head(keypoints: Floats, size: tuple[int, ...]) -> tuple[Floats, float] | None:
    """Return middle (2,) and radius of a head; None unless two face joints and both shoulders are in view.

    `size` is the picture's (width, height).
    """
    points = keypoints[:, :2]
    there = (keypoints[:, 2] > 0) & (points >= 0).all(axis=1) & (points < size).all(axis=1)
    face = points[:5][there[:5]]
    if len(face) < 2 or not there[5:7].all():
        return None
    middle = (face.min(axis=0) + face.max(axis=0)) / 2
    neck = np.linalg.norm(keypoints[5:7, :2].mean(axis=0) - middle)
    return middle, float(max(0.7 * np.ptp(face, axis=0).max(), 0.45 * neck))


def _covered(picture: Image, middle: Floats, radius: float, generator: np.random.Generator) -> Image:
    """Pixelate or blur the square around a head, or draw a disc of one colour over it or over its top."""
    height, width = picture.shape[:2]
    middle, radius = middle.copy(), radius * float(generator.uniform(0.8, 1.2))
    kind = generator.choice(["cells", "blur", "hood", "cap"])
    if kind == "cap":
        middle[1] -= 0.6 * radius
    left, top = np.maximum(np.floor(middle - radius), 0).astype(int)
    right, bottom = np.minimum(np.ceil(middle + radius) + 1, (width, height)).astype(int)
    if right - left < 2 or bottom - top < 2:
        return picture
    covered = picture.copy()
    if kind in ("hood", "cap"):
        colour = generator.integers(0, 256, 3).tolist()
        x, y = (round(float(each)) for each in middle)
        cv2.ellipse(covered, ((x, y), (2 * radius, 2 * radius), 0.0), colour, cv2.FILLED)
        return covered
    face = covered[top:bottom, left:right]
    if kind == "cells":
        cells = int(generator.integers(2, 7))
        small = cv2.resize(face, (cells, cells), interpolation=cv2.INTER_AREA)
        face[:] = cv2.resize(small, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST)
    else:
        face[:] = cv2.GaussianBlur(face, (0, 0), max(0.4 * radius, 1.0))
    return covered


def recoloured(image: Image, generator: np.random.Generator, how: Augmentation) -> Image:
    """Apply blur, occlusion, and changes of light and colours, each at random."""
    height, width = image.shape[:2]
    if generator.random() < how.blur_chance:
        if generator.random() < 0.5:
            image = cv2.GaussianBlur(image, (0, 0), generator.uniform(0.4, 1.6))
        else:
            coarse = generator.uniform(*how.coarse)
            small = cv2.resize(image, None, fx=coarse, fy=coarse, interpolation=cv2.INTER_AREA)
            image = cv2.resize(small, (width, height))
    if generator.random() < how.hole_chance:
        image = _hidden(image, generator)
    if generator.random() < how.grey_chance:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        image = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    if generator.random() >= how.light_chance:
        return image
    # gain and offset per channel and a gamma, as one lookup table
    gain = generator.uniform(0.7, 1.3) * generator.uniform(0.9, 1.1, 3)
    offset = generator.uniform(-0.1, 0.1)
    gamma = np.exp(generator.uniform(-0.3, 0.3))
    levels = np.linspace(0, 1, 256)[:, None]
    table = np.clip(levels**gamma * gain + offset, 0, 1) * 255
    return np.asarray(cv2.LUT(image, table.astype(np.uint8)[None]), np.uint8)
