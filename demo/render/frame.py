"""The side-by-side picture of one frame: the clip with 2D skeletons, and the same people in a 3D room.

Everything is drawn with OpenCV. A `Renderer` holds the layout and the empty room of a clip and keeps no state
from frame to frame: the same input always gives the same picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.render.panel import (
    DASHES,
    LEFT,
    RIGHT,
    SHIFT,
    Color,
    Figure,
    Side,
    View,
    draw_figures,
    draw_glow,
    draw_grid,
    draw_room,
    draw_shadows,
    grid_step,
    mix,
    person_color,
    side_color,
)
from demo.types import SEEN_SCORE, Floats, Image, JointStatus, Status

__all__ = ["PersonPose", "Renderer", "View"]

MAX_WIDTH = 4096  # what hardware H.264 decoders and browsers commonly play
SURE, UNSURE = 0.93, 0.25  # 2D scores drawn in full, and not at all
STEADY, VAGUE = 0.04, 0.30  # metres of 3D uncertainty drawn in full, and at their faintest
FAINTEST = 0.18
INFERRED_STRENGTH = 0.4  # of joints that the picture does not show; their limbs are dashed
BYSTANDER_STRENGTH = 0.4
INTERPOLATED_STRENGTH, INTERPOLATED_WIDTH = 0.55, 0.6
INK: Color = (28, 22, 18)
PAPER: Color = (236, 232, 228)
FONT = cv2.FONT_HERSHEY_DUPLEX

# COCO-17 limbs with their side; the face is drawn thinner than the body.
BODY = (
    (5, 6, Side.MIDDLE),
    (11, 12, Side.MIDDLE),
    (5, 11, Side.MIDDLE),
    (6, 12, Side.MIDDLE),
    (11, 13, Side.LEFT),
    (13, 15, Side.LEFT),
    (12, 14, Side.RIGHT),
    (14, 16, Side.RIGHT),
    (5, 7, Side.LEFT),
    (7, 9, Side.LEFT),
    (6, 8, Side.RIGHT),
    (8, 10, Side.RIGHT),
)
FACE = ((0, 1, Side.LEFT), (1, 3, Side.LEFT), (0, 2, Side.RIGHT), (2, 4, Side.RIGHT))
SIDES = (Side.MIDDLE, *(Side.LEFT if joint % 2 else Side.RIGHT for joint in range(1, 17)))

SHINS = ((2, 3), (5, 6))
SOLE = 0.07  # metres from the ankle joint


@dataclass(frozen=True)
class PersonPose:
    """One person in one frame.

    keypoints: (17, 3) COCO-17, x, y in pixels of the upright frame and score. world: (17, 3) Human3.6M
    joints, metres, z up, floor at z = 0. uncertainty: (17,) metres. None or NaN where unknown. joint_status:
    (17,) of `JointStatus` for `world`; None counts as seen. bystander: drawn faint.
    """

    person_id: int
    keypoints: Floats | None
    world: Floats | None
    uncertainty: Floats | None = None
    status: Status = Status.MEASURED
    joint_status: NDArray[np.uint8] | None = None
    bystander: bool = False


def _even(value: float) -> int:
    """Round to the nearest even number, at least 2: 4:2:0 video has no odd sizes."""
    return max(2, 2 * round(value / 2))


def _ramp(value: NDArray[np.floating], zero: float, one: float) -> NDArray[np.float64]:
    """Map `zero` to 0 and `one` to 1, linearly and clipped; NaN to 0."""
    return np.nan_to_num(np.clip((np.asarray(value, dtype=np.float64) - zero) / (one - zero), 0.0, 1.0))


class Renderer:
    """Draws the frames of one clip.

    frame_size: (width, height) of the clip in pixels. height: pixels of the picture; None takes the clip's
    own, within 480..1080; less where the picture would be wider than 4096. view: the camera of the 3D panel.
    orbit: degrees a second by which that camera circles, 0 stands still. moving: the clip's camera moves.
    """

    def __init__(
        self,
        frame_size: tuple[int, int],
        height: int | None,
        view: View,
        orbit: float = 0.0,
        moving: bool = False,
    ) -> None:
        width, own_height = frame_size
        wanted = float(min(max(own_height, 480), 1080) if height is None else height)
        aspect = width / own_height
        widest = MAX_WIDTH / (aspect + 1.0)
        self._height = _even(wanted if wanted <= widest else widest - 1.0)
        self._left_width = min(_even(self._height * aspect), MAX_WIDTH - self._height)
        self._scale = (self._left_width / width, self._height / own_height)
        self._view = view
        self._title = "3D (metres; the camera moves)" if moving else "3D (metres)"
        self._orbit = float(np.radians(orbit))
        self._room = self._furnish()

    @property
    def output_size(self) -> tuple[int, int]:
        """(width, height) of the picture in pixels, both even."""
        return self._left_width + self._height, self._height

    def render(self, image: Image, people: Sequence[PersonPose], time: float) -> Image:
        """Render one picture (H, W, 3) of `output_size` from a frame, its people and its time in seconds."""
        picture = np.empty((self._height, self._left_width + self._height, 3), dtype=np.uint8)
        left = picture[:, : self._left_width]
        # Averaging over areas is slow and only better than linear where several pixels fall into one.
        far = image.shape[0] > 2 * self._height
        mode = cv2.INTER_AREA if far else cv2.INTER_LINEAR
        left[:] = cv2.resize(image, (self._left_width, self._height), interpolation=mode)
        shown = [person for person in people if person.status in (Status.MEASURED, Status.INTERPOLATED)]
        for person in shown:
            self._draw_2d(left, person)
        self._draw_panel(picture[:, self._left_width :], shown, time)
        return picture

    def panel(self, people: Sequence[PersonPose], time: float) -> Image:
        """Render the 3D panel alone (height, height, 3)."""
        panel = np.empty((self._height, self._height, 3), dtype=np.uint8)
        shown = [person for person in people if person.status in (Status.MEASURED, Status.INTERPOLATED)]
        self._draw_panel(panel, shown, time)
        return panel

    def _furnish(self) -> Image:
        """Draw the constant part of the panel. An orbit moves the grid; then only the light is constant."""
        if self._orbit:
            return draw_glow(self._view, self._height, 0.0)
        room = draw_room(self._view, self._height)
        self._caption(room)
        return room

    def _caption(self, panel: Image) -> None:
        """Write the units, the size of a floor square, and which colour is which side."""
        size = self._height
        left, base = _text_size(size), size - _text_size(size)
        _write(panel, self._title, (left, 2 * left), size, PAPER)
        _write(panel, f"grid {grid_step(self._view):g} m", (left, base), size, mix(PAPER, INK, 0.35))
        dot = max(1, left // 3)
        for index, (label, color) in enumerate((("right", RIGHT), ("left", LEFT))):
            x = size - (2 - index) * round(5.2 * left)
            cv2.circle(panel, (x, base - dot), dot, color, -1, cv2.LINE_AA)
            _write(panel, label, (x + 2 * dot, base), size, mix(PAPER, INK, 0.35))

    def _draw_panel(self, panel: Image, people: Sequence[PersonPose], time: float) -> None:
        """Fill `panel` (height, height, 3): floor, shadows, figures, captions."""
        turn = self._orbit * time if self._orbit else None
        np.copyto(panel, self._room)
        if turn is not None:
            draw_grid(panel, self._view, turn)
            self._caption(panel)
        figures = [_figure(person) for person in people if person.world is not None]
        draw_shadows(panel, self._view, figures, turn)
        draw_figures(panel, self._view, figures, turn)
        size = self._height
        for person in people:
            if person.world is not None and (above := _above_head(person.world)) is not None:
                (x, y), _ = self._view.project(above, size, turn)
                _tag(panel, str(person.person_id), (x, y), size, person_color(person.person_id))
        stamp = f"{int(time) // 60}:{time % 60:05.2f}" if time >= 0 else f"{time:.2f}"
        _write(panel, stamp, (size - round(5.2 * _text_size(size)), 2 * _text_size(size)), size, PAPER)

    def _draw_2d(self, picture: Image, person: PersonPose) -> None:
        """Draw one person's keypoints over the clip's frame; a missing or unlikely joint is left out."""
        if person.keypoints is None:
            return
        keypoints = np.asarray(person.keypoints, dtype=np.float64)
        # Pixel centres are at +0.5 on both sides of the scaling.
        points = (keypoints[:, :2] + 0.5) * self._scale - 0.5
        strength = _ramp(keypoints[:, 2], UNSURE, SURE)
        near = np.abs(points - (picture.shape[1] / 2, picture.shape[0] / 2)).max(axis=1) < 4 * MAX_WIDTH
        strength[~(np.isfinite(points).all(axis=1) & near)] = 0.0
        shown = strength > 0
        if not shown.any():
            return
        low, high = points[shown].min(axis=0), points[shown].max(axis=0)
        width = float(np.clip(np.hypot(*(high - low)) / 95, 1.0, self._height / 130))
        if person.status is Status.INTERPOLATED:
            strength, width = strength * INTERPOLATED_STRENGTH, width * INTERPOLATED_WIDTH
        if person.bystander:
            strength = strength * BYSTANDER_STRENGTH
        strength = np.ceil(strength * 5) / 5  # few levels: each costs one blend
        limbs = [(a, b, side, width) for a, b, side in BODY] + [
            (a, b, side, width / 2) for a, b, side in FACE
        ]
        color = person_color(person.person_id)
        # COCO has no neck: the line from between the shoulders to the nose stands for it.
        points = np.vstack([points, (points[5] + points[6]) / 2])
        strength = np.append(strength, min(strength[5], strength[6]))
        score = np.append(keypoints[:, 2], min(keypoints[5, 2], keypoints[6, 2]))
        limbs.append((17, 0, Side.MIDDLE, width / 2))
        x0, y0, x1, y1 = _bounds(low, high, width, picture)
        part, local = picture[y0:y1, x0:x1], points - (x0, y0)
        levels = np.unique(strength[:17][shown]) if part.size else ()
        for level in levels:
            canvas = part if level >= 1.0 else part.copy()
            for a, b, side, thick in limbs:
                if min(strength[a], strength[b]) == level:
                    draw = _stroke if min(score[a], score[b]) >= SEEN_SCORE else _dashes
                    draw(canvas, local[a], local[b], side_color(side, color), thick)
            for joint in np.flatnonzero(strength[:17] == level):
                radius = width * (0.75 if joint < 5 else 1.05)
                _dot(canvas, local[joint], side_color(SIDES[joint], color), radius)
            if level < 1.0:
                cv2.addWeighted(canvas, level, part, 1.0 - level, 0.0, part)
        # The label is above the face, or above the highest joint without one.
        face = points[:5][shown[:5]]
        seen = face if len(face) else points[:17][shown]
        top = seen[np.argmin(seen[:, 1])]
        head = (float(top[0]), float(top[1]) - 0.09 * (high[1] - low[1]) - 2 * width)
        _tag(picture, str(person.person_id), head, self._height, color)


def _figure(person: PersonPose) -> Figure:
    """Convert a person to a figure: uncertain joints and filled gaps are faint."""
    world = np.array(person.world, dtype=np.float32)
    # The skeleton ends at the ankles; it is extended to the soles, so that people do not seem to float.
    for knee, ankle in SHINS:
        shin = world[ankle] - world[knee]
        world[ankle] += SOLE * shin / max(float(np.linalg.norm(shin)), 1e-6)
    strength = np.ones(len(world))
    if person.uncertainty is not None:
        # An unknown uncertainty is not a large one.
        doubt = np.nan_to_num(np.asarray(person.uncertainty, dtype=np.float64), nan=STEADY)
        strength = FAINTEST + (1.0 - FAINTEST) * (1.0 - _ramp(doubt, STEADY, VAGUE))
    inferred = np.zeros(len(world), bool)
    if person.joint_status is not None:
        inferred = person.joint_status == JointStatus.INFERRED
        strength = np.where(inferred, np.minimum(strength, INFERRED_STRENGTH), strength)
    if person.bystander:
        strength = strength * BYSTANDER_STRENGTH
    color = person_color(person.person_id)
    if person.status is not Status.INTERPOLATED:
        return Figure(world, strength, color, inferred=inferred)
    return Figure(world, strength * INTERPOLATED_STRENGTH, color, INTERPOLATED_WIDTH, inferred)


def _above_head(world: Floats) -> Floats | None:
    """Return the place (3,) of a person's label: above the head, or the highest joint without one."""
    seen = np.flatnonzero(np.isfinite(world).all(axis=1))
    if len(seen) == 0:
        return None
    joint = 10 if 10 in seen else int(seen[np.argmax(world[seen, 2])])
    return np.asarray(world[joint] + (0.0, 0.0, 0.2), dtype=np.float32)


def _bounds(
    low: NDArray[np.floating], high: NDArray[np.floating], width: float, picture: Image
) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the part of `picture` that strokes from `low` to `high` touch."""
    tall, wide = picture.shape[:2]
    left, top = np.clip(np.floor(low - 3 * width - 3), 0, (wide, tall)).astype(int)
    right, bottom = np.clip(np.ceil(high + 3 * width + 4), 0, (wide, tall)).astype(int)
    return int(left), int(top), int(right), int(bottom)


def _fixed(point: NDArray[np.floating]) -> tuple[int, int]:
    return round(float(point[0]) * (1 << SHIFT)), round(float(point[1]) * (1 << SHIFT))


def _stroke(
    canvas: Image, start: NDArray[np.floating], end: NDArray[np.floating], color: Color, width: float
) -> None:
    """Draw a line with a dark rim, so that it shows on any background."""
    thick = max(1, round(1.5 * width))
    rim = max(2, round(0.7 * width))
    cv2.line(canvas, _fixed(start), _fixed(end), mix(color, INK, 0.8), thick + rim, cv2.LINE_AA, SHIFT)
    cv2.line(canvas, _fixed(start), _fixed(end), color, thick, cv2.LINE_AA, SHIFT)


def _dashes(
    canvas: Image, start: NDArray[np.floating], end: NDArray[np.floating], color: Color, width: float
) -> None:
    """Draw a broken line, for a limb with an unseen joint."""
    for first, last in DASHES:
        _stroke(canvas, start + first * (end - start), start + last * (end - start), color, width)


def _dot(canvas: Image, point: NDArray[np.floating], color: Color, radius: float) -> None:
    """Draw a joint: a light disc in a dark ring."""
    for size, tone in ((radius + 1.0, mix(color, INK, 0.8)), (radius, mix(color, PAPER, 0.55))):
        cv2.circle(canvas, _fixed(point), round(size * (1 << SHIFT)), tone, -1, cv2.LINE_AA, SHIFT)


def _text_size(size: int) -> int:
    """Return the height in pixels of the captions of a picture `size` pixels high."""
    return max(4, round(size / 45))


def _write(canvas: Image, text: str, corner: tuple[int, int], size: int, color: Color) -> None:
    """Write a caption with its lower left corner at `corner`."""
    cv2.putText(canvas, text, corner, FONT, _text_size(size) / 28, color, 1, cv2.LINE_AA)


def _tag(canvas: Image, text: str, middle: tuple[float, float], size: int, color: Color) -> None:
    """Draw a person's id on a plate in the person's colour, moved inside the picture if cut off."""
    if not np.isfinite(middle).all():
        return
    scale = _text_size(size) / 26
    (wide, high), _ = cv2.getTextSize(text, FONT, scale, 1)
    half, tall = wide / 2 + 0.45 * high, 0.95 * high
    x = float(np.clip(middle[0], half + 1, max(half + 1, canvas.shape[1] - half - 2)))
    y = float(np.clip(middle[1], tall + 1, max(tall + 1, canvas.shape[0] - tall - 2)))
    lower, upper = (round(x - half), round(y - tall)), (round(x + half), round(y + tall))
    cv2.rectangle(canvas, lower, upper, color, -1)
    cv2.rectangle(canvas, lower, upper, mix(color, INK, 0.45), 1)
    cv2.putText(canvas, text, (round(x - wide / 2), round(y + high / 2)), FONT, scale, INK, 1, cv2.LINE_AA)
