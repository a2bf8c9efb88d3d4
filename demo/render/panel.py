"""The 3D panel: a floor in perspective, skeletons made of lit, tapered limbs, and their soft shadows.

World: metres, z up, floor at z = 0, right-handed. Panel pixels: x right, y down, the panel is square and
`size` pixels wide. All arrays are drawn with OpenCV in sub-pixel fixed point; nothing is kept between frames
except the empty room, which depends only on the view.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.types import Floats, Image

Color = tuple[float, float, float]  # blue, green, red in 0..255
Layers = tuple[tuple[NDArray[np.int32], Color], ...]  # outlines and what to fill them with

BACKDROP: Color = (44, 36, 31)
GLOW: Color = (96, 82, 72)
LINE: Color = (134, 118, 106)
RIGHT: Color = (70, 146, 255)  # warm: the person's own right side
LEFT: Color = (255, 186, 66)  # cool: the person's own left side
PALETTE: tuple[Color, ...] = (  # one a person; none is close to RIGHT or LEFT
    (158, 224, 108),
    (232, 130, 196),
    (110, 228, 246),
    (140, 120, 246),
    (214, 214, 150),
    (250, 150, 150),
    (180, 190, 255),
    (226, 232, 236),
)

SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates
DASHES = ((0.0, 0.18), (0.41, 0.59), (0.82, 1.0))  # parts of a broken line
NEAR = 0.1  # metres in front of the camera within which nothing is drawn
ELEVATION = np.radians(17.0)  # radians by which the camera is pitched down
TURN = np.radians(32.0)  # radians from the filming direction to the three-quarter view
MARGIN = 0.86  # share of the panel that the whole clip may fill


class Side(IntEnum):
    """Which colour a limb has."""

    MIDDLE = 0
    RIGHT = 1
    LEFT = 2


@dataclass(frozen=True)
class Limb:
    """A tapered limb between two joints; radii in metres."""

    start: int
    end: int
    side: Side
    start_radius: float
    end_radius: float


# Human3.6M's 17 joints. Radii are slimmer than a body's, so that limbs do not hide each other.
LIMBS = (
    Limb(0, 1, Side.RIGHT, 0.034, 0.036),
    Limb(1, 2, Side.RIGHT, 0.040, 0.032),
    Limb(2, 3, Side.RIGHT, 0.032, 0.022),
    Limb(0, 4, Side.LEFT, 0.034, 0.036),
    Limb(4, 5, Side.LEFT, 0.040, 0.032),
    Limb(5, 6, Side.LEFT, 0.032, 0.022),
    Limb(0, 7, Side.MIDDLE, 0.044, 0.046),
    Limb(7, 8, Side.MIDDLE, 0.046, 0.040),
    Limb(8, 9, Side.MIDDLE, 0.028, 0.026),
    Limb(9, 10, Side.MIDDLE, 0.076, 0.072),  # drawn as the head
    Limb(8, 11, Side.LEFT, 0.032, 0.030),
    Limb(11, 12, Side.LEFT, 0.031, 0.025),
    Limb(12, 13, Side.LEFT, 0.025, 0.018),
    Limb(8, 14, Side.RIGHT, 0.032, 0.030),
    Limb(14, 15, Side.RIGHT, 0.031, 0.025),
    Limb(15, 16, Side.RIGHT, 0.025, 0.018),
)
_ENDPOINTS = np.array([(limb.start, limb.end) for limb in LIMBS])
_RADII = np.array([(limb.start_radius, limb.end_radius) for limb in LIMBS])
_ARC = np.linspace(-np.pi / 2, np.pi / 2, 7)  # half a turn: the round end of a limb
_CAP_COS, _CAP_SIN = np.cos(_ARC)[:, None], np.sin(_ARC)[:, None]
_CAP_END = np.repeat((1, 0), len(_ARC))  # which end of the limb each corner of an outline belongs to


def mix(first: Color, second: Color, share: float) -> Color:
    """`first` with `share` (0..1) of `second`."""
    keep = 1.0 - share
    return (
        first[0] * keep + second[0] * share,
        first[1] * keep + second[1] * share,
        first[2] * keep + second[2] * share,
    )


def person_color(person_id: int) -> Color:
    """Return a person's colour, the same on both sides of the picture."""
    return PALETTE[person_id % len(PALETTE)]


def side_color(side: Side, person: Color) -> Color:
    """Return a limb's colour: right limbs are warm, left ones cool, the torso has the person's own."""
    return (person, RIGHT, LEFT)[side]


@dataclass(frozen=True)
class View:
    """The camera of the 3D panel, one for the whole clip.

    It points at `centre` (metres) along `azimuth` (radians, 0 along +y, counter-clockwise from above), down
    by `elevation` radians, from `distance` metres. `focal` is in panel heights. `orbit_distance` is far
    enough for every azimuth, `radius` is that of the floor to be drawn.
    """

    centre: tuple[float, float, float] = (0.0, 0.0, 0.9)
    azimuth: float = float(TURN)
    elevation: float = float(ELEVATION)
    distance: float = 4.2
    orbit_distance: float = 4.2
    focal: float = 1.5
    radius: float = 3.0

    @staticmethod
    def fit(world: Floats, camera_forward: Sequence[float] | Floats | None = None) -> View:
        """Fit the three-quarter view, from the filming side, to a whole clip.

        world: (people, frames, 17, 3) metres, or any (..., 3); NaN is skipped. camera_forward: the
        filming camera's viewing direction (2 or 3 numbers, world); +y when not known.
        """
        points = np.asarray(world, dtype=np.float64).reshape(-1, 3)
        points = points[np.isfinite(points).all(axis=1)]
        if len(points) == 0:
            return View()
        # A joint far away in a failed frame must not shrink all figures to a dot.
        typical = np.median(points, axis=0)
        points = points[(np.abs(points - typical) < 25.0).all(axis=1)]
        if len(points) == 0:
            return View()
        points = np.concatenate([points, points * (1.0, 1.0, 0.0)])  # with the shadows
        low, high = points.min(axis=0) - 0.12, points.max(axis=0) + 0.12
        forward = np.asarray(camera_forward if camera_forward is not None else (0.0, 1.0), dtype=np.float64)
        level = np.hypot(forward[0], forward[1])
        known = bool(np.isfinite(level)) and level > 1e-6
        azimuth = float(np.arctan2(-forward[0], forward[1])) if known else 0.0
        centre = (low + high) / 2
        reach = float(np.hypot(*(high - low)[:2]) / 2)
        view = View(
            centre=(float(centre[0]), float(centre[1]), float(centre[2])),
            azimuth=azimuth + float(TURN),
            radius=float(max(2.6, reach * 1.25 + 1.4)),
        )
        for _ in range(4):  # raising or lowering the aim balances what is above and below it
            view = replace(view, distance=view._distance_for(points, 0.0))
            heights = view.project(points, 1)[0][:, 1]
            shift = (heights.min() + heights.max() - 1.0) / 2 * view.distance / view.focal
            x, y, z = view.centre
            view = replace(view, centre=(x, y, z - float(shift / np.cos(view.elevation))))
        corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1).reshape(-1, 3)
        turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        return replace(
            view,
            distance=view._distance_for(points, 0.0),
            orbit_distance=max(view._distance_for(corners, float(turn)) for turn in turns),
        )

    def _distance_for(self, points: NDArray[np.float64], turn: float) -> float:
        """Return the smallest distance (metres) at which `points` (N, 3) all lie within the margin."""
        x, y, z = ((points - self.centre) @ self.axes(turn).T).T
        reach = np.maximum(np.abs(x), np.abs(y)) + 0.1
        return float(max(2.5, (reach * self.focal / (MARGIN / 2) - z).max()))

    def axes(self, turn: float = 0.0) -> NDArray[np.float64]:
        """Rows: the camera's right, down and forward in the world (3, 3), after `turn` radians of orbit."""
        sin, cos = np.sin(self.azimuth + turn), np.cos(self.azimuth + turn)
        dip, level = np.sin(self.elevation), np.cos(self.elevation)
        return np.array([[cos, sin, 0.0], [sin * dip, -cos * dip, -level], [-sin * level, cos * level, -dip]])

    def project(
        self, points: NDArray[np.floating], size: int, turn: float | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Project world points (..., 3) metres to panel pixels (..., 2) and depth (...) metres.

        Points that are missing or not in front of the camera are NaN in both. With `turn` (radians) the
        camera is that far along its orbit, at the orbit's distance; None stands still.
        """
        distance = self.distance if turn is None else self.orbit_distance
        local = (np.asarray(points, dtype=np.float64) - self.centre) @ self.axes(turn or 0.0).T
        depth = local[..., 2] + distance
        depth = np.where(depth > NEAR, depth, np.nan)
        pixels = local[..., :2] * (self.focal * size / depth)[..., None] + size / 2
        return pixels, depth


def _fixed(points: NDArray[np.floating]) -> NDArray[np.int32]:
    """Convert pixels to OpenCV's fixed point. Its pixel centres are integers: half a pixel is subtracted."""
    return np.rint((points - 0.5) * (1 << SHIFT)).astype(np.int32)


def draw_room(view: View, size: int, turn: float | None = None) -> Image:
    """Draw the empty room (size, size, 3): a lit floor with a grid that fades into the dark."""
    room = draw_glow(view, size, turn)
    draw_grid(room, view, turn)
    return room


def draw_glow(view: View, size: int, turn: float | None) -> Image:
    """Draw the light on the floor, ray by ray; it is symmetric, so an orbit does not change it."""
    coarse = max(16, size // 4)  # light is smooth
    rows, columns = (np.mgrid[0:coarse, 0:coarse] + 0.5) / coarse - 0.5
    rays = np.stack([columns, rows, np.full_like(rows, view.focal)], -1) @ view.axes(turn or 0.0)
    distance = view.distance if turn is None else view.orbit_distance
    eye = np.array(view.centre) - view.axes(turn or 0.0)[2] * distance
    falling = rays[..., 2] < -1e-6
    steps = -eye[2] / np.where(falling, rays[..., 2], -1.0)
    hits = eye[:2] + rays[..., :2] * steps[..., None]
    away = np.hypot(hits[..., 0] - view.centre[0], hits[..., 1] - view.centre[1]) / view.radius
    light = np.exp(-1.7 * away**2) * falling
    shade = 1.0 - 0.30 * np.clip(np.hypot(columns, rows) * 1.5, 0, 1) ** 2
    picture = np.asarray(BACKDROP) * shade[..., None] + np.subtract(GLOW, BACKDROP) * light[..., None]
    picture = cv2.resize(picture.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    # Half a grey level of fixed noise keeps the smooth light from banding in 8 bits.
    noise = np.random.default_rng(0).random((size, size, 1), dtype=np.float32) - 0.5
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def grid_step(view: View) -> float:
    """Return the metres between two grid lines: 1, or more where 1 m would be too dense to read."""
    return next((step for step in (1.0, 2.0, 5.0) if view.radius / step <= 9.0), 10.0)


def draw_grid(room: Image, view: View, turn: float | None = None) -> None:
    """Draw the floor's lines, at whole multiples of the step in world metres, into `room`."""
    step, (x, y, _), reach = grid_step(view), view.centre, view.radius
    columns = np.arange(np.ceil((x - reach) / step), np.floor((x + reach) / step) + 1) * step
    rows = np.arange(np.ceil((y - reach) / step), np.floor((y + reach) / step) + 1) * step
    segments = []
    for fixed, (lines, along) in enumerate(((columns, y), (rows, x))):
        for line in lines:
            half = np.sqrt(max(0.0, reach**2 - (line - (x, y)[fixed]) ** 2))
            stops = along + np.linspace(-half, half, max(2, int(2 * half / step * 2) + 1))
            points = np.zeros((len(stops), 3))
            points[:, fixed], points[:, 1 - fixed] = line, stops
            segments.append(np.stack([points[:-1], points[1:]], axis=1))
    if not segments:
        return
    ends = np.concatenate(segments)
    pixels, _ = view.project(ends, room.shape[0], turn)
    away = np.hypot(*(ends.mean(axis=1)[:, :2] - (x, y)).T) / reach
    seen = np.isfinite(pixels).all(axis=(1, 2)) & (np.abs(pixels) < 8 * room.shape[0]).all(axis=(1, 2))
    floor = np.array(BACKDROP) + np.subtract(GLOW, BACKDROP) * np.exp(-1.7 * away**2)[:, None]
    visible = np.clip(1.0 - away**1.6, 0, 1)[:, None] * 0.75
    tones = floor + (np.array(LINE) - floor) * visible
    for line_ends, tone in zip(_fixed(pixels[seen]), tones[seen], strict=True):
        cv2.line(room, line_ends[0], line_ends[1], tone.tolist(), 1, cv2.LINE_AA, SHIFT)


@dataclass(frozen=True)
class Figure:
    """One person in the room: joints (17, 3) world metres, strength (17,) 0..1, colour, slimness of limbs.

    inferred: (17,) joints that the picture does not show; limbs at them are dashed.
    """

    joints: Floats
    strength: NDArray[np.floating]
    color: Color
    width: float = 1.0
    inferred: NDArray[np.bool_] | None = None


def draw_shadows(panel: Image, view: View, figures: Sequence[Figure], turn: float | None = None) -> None:
    """Darken the floor under every figure; the higher a limb is above the floor, the fainter its shadow."""
    size = panel.shape[0]
    scale = max(1, size // 180)  # the shadow is soft: a quarter of the resolution is enough
    small = (size + scale - 1) // scale
    for figure in figures:
        flat = np.asarray(figure.joints, dtype=np.float64) * (1.0, 1.0, 0.0)
        (shapes,), _, keep = _capsules(view, flat, small, turn, ((figure.width * 1.25, 0.0),))
        if not keep.any():
            continue
        corners = shapes[keep].reshape(-1, 2) / (1 << SHIFT)
        soft = max(1, round(small / 130))
        pad = 3 * soft + 1
        left, top = np.clip(np.floor(corners.min(axis=0)).astype(int) - pad, 0, small)
        right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int) + pad, 0, small)
        if right <= left or bottom <= top:
            continue
        mask = np.full((bottom - top, right - left), 255, dtype=np.uint8)
        height = np.maximum(figure.joints[:, 2], 0.0)
        lift = height[_ENDPOINTS].mean(axis=1)
        alpha = figure.strength[_ENDPOINTS].min(axis=1)
        dark = 255.0 * (1.0 - alpha * (0.24 + 0.52 / (1.0 + (lift / 0.35) ** 2)))
        origin = np.array([left, top], dtype=np.int32) << SHIFT
        for index in np.flatnonzero(keep)[np.argsort(-dark[keep])]:
            cv2.fillConvexPoly(mask, shapes[index] - origin, float(dark[index]), cv2.LINE_AA, SHIFT)
        mask = cv2.GaussianBlur(mask, (0, 0), soft)
        part = panel[top * scale : bottom * scale, left * scale : right * scale]
        wide = cv2.resize(
            mask, ((right - left) * scale, (bottom - top) * scale), interpolation=cv2.INTER_LINEAR
        )
        wide = wide[: part.shape[0], : part.shape[1]]
        cv2.multiply(part, cv2.cvtColor(wide, cv2.COLOR_GRAY2BGR), part, 1 / 255)


def _capsules(
    view: View,
    joints: NDArray[np.floating],
    size: int,
    turn: float | None,
    layers: Sequence[tuple[float, float]],
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.bool_]]:
    """Return all limbs' outlines: polygons (layers, limbs, 14, 2) in fixed point, depth and visible (limbs,).

    The radii follow the perspective. Each layer is (times, plus): what its radii are multiplied by, and the
    pixels that are added then.
    """
    pixels, depth = view.project(joints, size, turn)
    ends = pixels[_ENDPOINTS]
    depths = depth[_ENDPOINTS]
    times, plus = np.array(layers).T[:, :, None, None]
    radii = np.maximum(_RADII / depths * (times * view.focal * size), 0.6) + plus
    along = ends[:, 1] - ends[:, 0]
    along = along / np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)[:, None]
    across = along[:, ::-1] * (-1.0, 1.0)
    half = along[:, None] * _CAP_COS + across[:, None] * _CAP_SIN
    caps = np.concatenate([half, -half], axis=1)  # around the end, then around the start
    outline = ends[:, _CAP_END] + caps * radii[..., _CAP_END, None]
    keep = (np.abs(outline) < 4 * size).all(axis=(0, 2, 3))  # False for NaN
    return _fixed(np.where(keep[:, None, None], outline, 0.0)), (depths[:, 0] + depths[:, 1]) / 2, keep


def draw_figures(panel: Image, view: View, figures: Sequence[Figure], turn: float | None = None) -> None:
    """Draw all limbs of all figures, farthest first: a dark rim, the colour, light from above left."""
    size = panel.shape[0]
    limbs = [limb for figure in figures for limb in _limb_layers(view, figure, size, turn)]
    for _, layers in sorted(limbs, key=lambda limb: -limb[0]):
        for outline, color in layers:
            cv2.fillConvexPoly(panel, outline, color, cv2.LINE_AA, SHIFT)


def _limb_layers(view: View, figure: Figure, size: int, turn: float | None) -> Iterator[tuple[float, Layers]]:
    """Yield the depth of every limb that can be drawn, with its outlines from the lowest to the uppermost."""
    rim = size / 420
    layers = ((figure.width, rim), (figure.width, 0.0), (figure.width * 0.42, 0.0))
    (outer, inner, shine), depth, keep = _capsules(view, figure.joints, size, turn, layers)
    radius = _RADII.mean(axis=1) * figure.width * view.focal * size / np.where(keep, depth, 1.0)
    toward_light = np.rint(np.outer(radius, (-0.28, -0.34)) * (1 << SHIFT)).astype(np.int32)
    shine = shine + toward_light[:, None]
    alpha = figure.strength[_ENDPOINTS].min(axis=1)
    middle = view.distance if turn is None else view.orbit_distance
    haze = np.clip((depth - middle) / (2.5 * view.radius), 0.0, 0.35)
    dashed = np.zeros(len(LIMBS), bool)
    if figure.inferred is not None:
        dashed = figure.inferred[_ENDPOINTS].any(axis=1)
    for index in np.flatnonzero(keep & (alpha > 0)):
        fade = 1.0 - (1.0 - float(haze[index])) * float(alpha[index])
        base = mix(side_color(LIMBS[index].side, figure.color), BACKDROP, fade)
        light = mix(base, (255.0, 255.0, 255.0), 0.34 * (1.0 - fade))
        dark = mix(mix(base, (0.0, 0.0, 0.0), 0.62), BACKDROP, fade)
        solid = ((outer[index], dark), (inner[index], base), (shine[index], light))
        if not dashed[index]:
            yield float(depth[index]), solid
            continue
        for part in DASHES:
            yield float(depth[index]), tuple((_dash(outline, part), color) for outline, color in solid)


def _dash(outline: NDArray[np.int32], part: tuple[float, float]) -> NDArray[np.int32]:
    """Return the part (4, 2) of a limb's outline (14, 2) between two shares of its length from its start."""
    end, start = outline[[0, len(_ARC) - 1]], outline[[-1, len(_ARC)]]
    first, last = (start + share * (end - start) for share in part)
    return np.rint(np.concatenate((first, last[::-1]))).astype(np.int32)
