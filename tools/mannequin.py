"""A dressed human body around 17 joints, as a signed distance field of blended capsules and ellipsoids.

Distances follow the sphere tracing literature (Hart, "Sphere Tracing", The Visual Computer 1996): `distance`
never overestimates by much, so that a ray may step that far. All lengths are metres, the world is z up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]


def f32(values: ArrayLike) -> Array:
    """Convert anything array-like to single precision."""
    return np.asarray(values, dtype=np.float32)


class Material(IntEnum):
    """What a surface point is made of."""

    SKIN = 0
    SHIRT = 1
    SHORTS = 2
    SHOE = 3
    HAIR = 4


MELT = (0.022, 0.050, 0.03, 0.015, 0.02)  # metres over which two pieces of one material flow together

CHUNK = 4096  # points measured at a time, so that the numbers stay in the processor's cache


@dataclass(frozen=True)
class Frame:
    """A place on the body. Rows of `axes` (3, 3) are its left, forward and up in the world."""

    origin: Array
    axes: Array

    def at(self, left: float, forward: float, up: float) -> Array:
        """Transform a point of this frame to the world."""
        return f32(self.origin + f32([left, forward, up]) @ self.axes)

    def local(self, points: Array) -> Array:
        """Transform world points (N, 3) to this frame."""
        return f32((points - self.origin) @ self.axes.T)


@dataclass(frozen=True)
class Cone:
    """A capsule from `start` to `end` whose radius changes along it."""

    start: Array
    end: Array
    start_radius: float
    end_radius: float
    material: Material


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid with half axes `radii` along the frame's left, forward and up, around `centre` in it.

    `cut` (normal, offset), in the frame, takes away what lies beyond that plane.
    """

    frame: Frame
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    material: Material
    cut: tuple[tuple[float, float, float], float] | None = None


Piece = Cone | Ellipsoid


class Body:
    """One pose as a distance field. `head` and `chest` place the painted details, as do `feet` and `shins`.

    shins: (2, 2, 3), knee and ankle of the right and the left leg.
    """

    def __init__(
        self, pieces: Sequence[Piece], head: Frame, chest: Frame, feet: Sequence[Frame], shins: Array
    ) -> None:
        self.pieces, self.head, self.chest, self.feet, self.shins = pieces, head, chest, feet, shins
        self._cones = [piece for piece in pieces if isinstance(piece, Cone)]
        self._blobs = [piece for piece in pieces if isinstance(piece, Ellipsoid)]
        self._materials = [*(c.material for c in self._cones), *(b.material for b in self._blobs)]
        # Squares of distances lose digits far from zero, so everything is taken from the body's middle.
        self._middle = chest.origin
        self._start = np.stack([cone.start for cone in self._cones]) - self._middle
        self._along = np.stack([cone.end - cone.start for cone in self._cones])
        self._radius = f32([cone.start_radius for cone in self._cones])[:, None]
        self._growth = f32([cone.end_radius for cone in self._cones])[:, None] - self._radius
        self._axes = np.stack([blob.frame.axes for blob in self._blobs])
        self._radii = f32([blob.radii for blob in self._blobs])
        centres = np.stack([blob.frame.at(*blob.centre) for blob in self._blobs]) - self._middle
        self._centre = np.einsum("eij,ej->ei", self._axes, centres)

    def distances(self, points: Array) -> Array:
        """Return the signed distance of points (N, 3) to every material (5, N)."""
        chunks = [self._chunk(points[i : i + CHUNK]) for i in range(0, len(points), CHUNK)]
        return np.concatenate(chunks, axis=1) if chunks else np.zeros((len(Material), 0), dtype=np.float32)

    def distance(self, points: Array) -> Array:
        """Return the signed distance of points (N, 3) to the body (N,)."""
        return self.distances(points).min(axis=0)

    def _chunk(self, points: Array) -> Array:
        place = np.ascontiguousarray((points - self._middle).T)
        result = np.full((len(Material), points.shape[0]), 9.0, dtype=np.float32)
        measured = (*self._to_cones(place), *self._to_blobs(place))
        for material, distance in zip(self._materials, measured, strict=True):
            result[material] = _melt(result[material], distance, MELT[material])
        return result

    def _to_cones(self, place: Array) -> Array:
        """Return distances (cones, N) of points (3, N) to the nearest axis point, less the radius there."""
        square = np.einsum("in,in->n", place, place) - 2 * (self._start @ place)
        square += np.einsum("ci,ci->c", self._start, self._start)[:, None]
        length = np.maximum(np.einsum("ci,ci->c", self._along, self._along), 1e-9)[:, None]
        dot = self._along @ place - np.einsum("ci,ci->c", self._along, self._start)[:, None]
        share = np.clip(dot / length, 0, 1)
        square -= share * (2 * dot - share * length)
        return np.sqrt(np.maximum(square, 0)) - (self._radius + self._growth * share)

    def _to_blobs(self, place: Array) -> Array:
        """Return distances (ellipsoids, N) of points (3, N), exact at the surface, approximate beside it."""
        rows = self._axes.reshape(-1, 3) @ place
        local = rows.reshape(*self._axes.shape[:2], -1)
        scaled = (local - self._centre[..., None]) / self._radii[..., None]
        level = np.sqrt(np.einsum("ein,ein->en", scaled, scaled)) + np.float32(1e-6)
        scaled /= self._radii[..., None]
        steep = np.sqrt(np.einsum("ein,ein->en", scaled, scaled)) + np.float32(1e-6)
        distance = level * (level - 1) / steep
        for index, blob in enumerate(self._blobs):
            if blob.cut is not None:
                normal = f32(blob.cut[0]) @ blob.frame.axes
                offset = blob.cut[1] + normal @ (blob.frame.origin - self._middle)
                distance[index] = np.maximum(distance[index], normal @ place - offset)
        return distance


def _melt(a: Array, b: Array, width: float) -> Array:
    """Return the polynomial smooth minimum of two distances."""
    blend = np.maximum(np.float32(width) - np.abs(a - b), 0.0)
    return np.minimum(a, b) - blend * blend * np.float32(0.25 / width)


def _unit(vector: NDArray[np.floating]) -> Array:
    return (vector / max(float(np.linalg.norm(vector)), 1e-9)).astype(np.float32)


def frame_from(origin: Array, left: Array, up: Array) -> Frame:
    """Return the frame with exactly this up, and the left axis as near as possible."""
    up = _unit(up)
    forward = _unit(np.cross(left, up))
    return Frame(origin.astype(np.float32), np.stack([_unit(np.cross(up, forward)), forward, up]))


def _mix(a: Array, b: Array, share: float) -> Array:
    return (a + (b - a) * np.float32(share)).astype(np.float32)


def dress(joints: Array) -> Body:
    """Build the body of one pose; joints (17, 3) in Human3.6M's order, metres, z up, floor at z = 0."""
    j = joints.astype(np.float32)
    pelvis = frame_from(j[0], j[4] - j[1], j[7] - j[0])
    chest = frame_from(_mix(j[7], j[8], 0.5), j[11] - j[14], j[8] - j[7])
    head_left = chest.axes[0] * 0.9 + pelvis.axes[0] * 0.1
    head = frame_from(j[10], head_left, j[10] - _mix(j[8], j[9], 0.5))
    # The head joint lies 8 cm below the crown, level with the brows; the face points straight ahead.
    head = Frame(head.at(0.0, 0.022, -0.025), head.axes)
    feet = [_foot_frame(j[ankle], j[knee], pelvis, side) for knee, ankle, side in ((2, 3, -1.0), (5, 6, 1.0))]
    arms = ((14, 15, 16, -1.0), (11, 12, 13, 1.0))
    pieces = [
        *_head(head, j),
        *_torso(pelvis, chest, j),
        *(piece for s, e, w, side in arms for piece in _arm(j[s], j[e], j[w], chest, side)),
        *(piece for h, k, a in ((1, 2, 3), (4, 5, 6)) for piece in _leg(j[h], j[k], j[a], pelvis)),
        *(piece for foot in feet for piece in _shoe(foot)),
    ]
    return Body(pieces, head, chest, feet, np.stack([j[[2, 3]], j[[5, 6]]]))


def _head(head: Frame, j: Array) -> list[Piece]:
    skin, hair = Material.SKIN, Material.HAIR
    ears = [Ellipsoid(head, (0.077 * s, -0.008, -0.008), (0.011, 0.02, 0.032), skin) for s in (-1, 1)]
    return [
        Ellipsoid(head, (0.0, -0.010, 0.020), (0.075, 0.092, 0.094), skin),
        Ellipsoid(head, (0.0, 0.012, -0.045), (0.060, 0.072, 0.076), skin),
        Ellipsoid(head, (0.0, 0.052, -0.098), (0.028, 0.026, 0.022), skin),
        Cone(head.at(0, 0.082, 0.006), head.at(0, 0.104, -0.030), 0.008, 0.0135, skin),
        *ears,
        Cone(_mix(j[8], j[9], 0.15), head.at(0.0, -0.018, -0.055), 0.060, 0.054, skin),
        Ellipsoid(head, (0.0, -0.020, 0.030), (0.085, 0.100, 0.101), hair, ((0.0, 0.80, -0.60), 0.004)),
        Ellipsoid(head, (0.006, 0.004, 0.096), (0.064, 0.078, 0.034), hair),
    ]


def _torso(pelvis: Frame, chest: Frame, j: Array) -> list[Piece]:
    shirt, shorts = Material.SHIRT, Material.SHORTS
    waist = frame_from(_mix(j[0], j[7], 0.75), pelvis.axes[0] + chest.axes[0], j[8] - j[0])
    neck = _mix(j[8], j[9], 0.42)
    low = chest.axes[2] * np.float32(0.035)
    inner = [_mix(j[8], j[s], 0.62) - low for s in (14, 11)]
    hem = ((0.0, 0.0, -1.0), 0.080)
    return [
        Ellipsoid(chest, (0.0, 0.010, 0.02), (0.152, 0.114, 0.175), shirt),
        Ellipsoid(waist, (0.0, 0.006, 0.0), (0.158, 0.114, 0.19), shirt),
        Ellipsoid(pelvis, (0.0, -0.002, -0.030), (0.188, 0.142, 0.220), shirt, hem),
        Cone(inner[0], inner[1], 0.078, 0.078, shirt),
        *(Cone(neck, _mix(j[8], j[s], 0.90) - low * 0.3, 0.046, 0.050, shirt) for s in (11, 14)),
        *(Cone(waist.origin, point, 0.085, 0.080, shirt) for point in inner),
        Ellipsoid(pelvis, (0.0, -0.008, -0.035), (0.160, 0.118, 0.118), shorts),
    ]


def _arm(shoulder: Array, elbow: Array, wrist: Array, chest: Frame, side: float) -> list[Piece]:
    skin = Material.SKIN
    bulge = _mix(elbow, wrist, 0.25)
    joint = _mix(shoulder, chest.at(0.0, 0.0, 0.10), 0.10)  # flesh sits a little below the joint
    fore = _unit(wrist - elbow)
    # The palm faces the thigh of a hanging arm: its thumb side points forward.
    thumb = chest.axes[1] - fore * float(fore @ chest.axes[1])
    if float(np.linalg.norm(thumb)) < 0.3:
        thumb = chest.axes[2] - fore * float(fore @ chest.axes[2])
    hand = frame_from(wrist, np.cross(_unit(thumb), fore) * side, fore)
    fingers = [
        Cone(hand.at(0.0, f, 0.098), hand.at(-0.012 * side, f * 1.25, length), 0.0105, 0.008, skin)
        for f, length in ((0.028, 0.165), (0.010, 0.178), (-0.009, 0.172), (-0.027, 0.150))
    ]
    return [
        Cone(joint, elbow, 0.050, 0.038, skin),
        Cone(elbow, bulge, 0.039, 0.042, skin),
        Cone(bulge, wrist, 0.042, 0.028, skin),
        Ellipsoid(hand, (0.0, 0.0, 0.062), (0.019, 0.042, 0.056), skin),
        *fingers,
        Cone(hand.at(0.0, 0.026, 0.035), hand.at(-0.006 * side, 0.064, 0.095), 0.014, 0.0095, skin),
        Cone(joint, _mix(shoulder, elbow, 0.56), 0.058, 0.058, Material.SHIRT),
    ]


def _leg(hip: Array, knee: Array, ankle: Array, pelvis: Frame) -> list[Piece]:
    skin = Material.SKIN
    outer = hip + pelvis.axes[0] * float(np.sign((hip - pelvis.origin) @ pelvis.axes[0])) * np.float32(0.006)
    axis = _unit(ankle - knee)
    back = -(pelvis.axes[1] - axis * float(axis @ pelvis.axes[1]))
    calf = _mix(knee, ankle, 0.28) + _unit(back) * np.float32(0.014)
    return [
        Cone(outer, knee, 0.082, 0.054, skin),
        Cone(knee, calf, 0.052, 0.056, skin),
        Cone(calf, ankle, 0.056, 0.036, skin),
        Cone(outer, _mix(outer, knee, 0.76), 0.087, 0.080, Material.SHORTS),
    ]


def _foot_frame(ankle: Array, knee: Array, pelvis: Frame, side: float) -> Frame:
    """Return the foot's frame: forward and slightly outward, square to the shin, flat on the floor."""
    shin = _unit(knee - ankle)
    ahead = pelvis.axes[1] + pelvis.axes[0] * np.float32(0.16 * side)
    square = _unit(ahead - shin * float(shin @ ahead))
    level = _unit(ahead * f32([1, 1, 0]))
    lifted = float(np.clip((ankle[2] - 0.10) / 0.12, 0.0, 1.0))
    pointing = _unit(level * (1.0 - lifted) + (square - 0.35 * shin) * lifted)
    # The toes may bend back, but stay above the floor: the sole is checked 19 cm ahead of the ankle.
    ground_heights = (0.075 - float(ankle[2])) / 0.19
    if pointing[2] < ground_heights:
        flat = _unit(pointing * f32([1, 1, 0]))
        rise = float(np.clip(ground_heights, -0.9, 0.9))
        pointing = _unit(flat * np.sqrt(1 - rise * rise) + f32([0, 0, rise]))
    left = np.cross(shin, pointing)
    return frame_from(ankle, left, np.cross(pointing, left))


def _shoe(foot: Frame) -> list[Piece]:
    shoe = Material.SHOE
    return [
        Ellipsoid(foot, (0.0, -0.012, -0.030), (0.040, 0.058, 0.048), shoe, ((0.0, 0.0, -1.0), 0.076)),
        Ellipsoid(foot, (0.0, 0.075, -0.045), (0.045, 0.115, 0.044), shoe, ((0.0, 0.0, -1.0), 0.076)),
        Ellipsoid(foot, (0.0, 0.145, -0.052), (0.044, 0.062, 0.032), shoe, ((0.0, 0.0, -1.0), 0.076)),
        Cone(foot.at(0.0, 0.0, -0.03), foot.at(0.0, -0.004, 0.012), 0.042, 0.044, shoe),
    ]
