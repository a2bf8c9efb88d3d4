"""The viewer: one HTML file a clip that opens offline in a browser, the video beside the 3D skeletons.

The page is `page/viewer.html` with its style and scripts; this module fills in the clip. Positions are stored
as int16 in a unit of a millimetre or more, 2D joints in quarters of a pixel or more, both in base64. The
video is re-encoded and embedded in the file. A long video is written beside the file instead.
"""

from __future__ import annotations

import base64
import html
import json
import logging
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.files import replace_file
from demo.export.clip_video import encode_small
from demo.export.source import joint_status, people_with_motion, shots
from demo.motion.angles import ANGLES, joint_angles
from demo.render.browser import describe_body, rgb
from demo.render.frame import (
    BODY,
    BYSTANDER_STRENGTH,
    FACE,
    INFERRED_STRENGTH,
    INTERPOLATED_STRENGTH,
)
from demo.render.panel import TURN, View, grid_step, person_color
from demo.results.result import Result
from demo.types import Bools, JointStatus, Status

log = logging.getLogger(__name__)

MISSING = -32768  # of int16: no value
FULL = 32000  # largest int16 used for a value
MILLIMETRE, QUARTER_PIXEL, TENTH_DEGREE = 0.001, 0.25, 0.1  # smallest units
LARGEST_EMBEDDED = 16_000_000  # bytes of video; browsers read larger pages slowly
MAIN_PEOPLE = 0.5  # of results before 0.3: share of the longest person's frames that main people have
VIEW_FRAMES = 1000  # frames that the view is fitted to


def export_viewer(result: Result, path: Path, clip: Path | None = None) -> list[Path]:
    """Write the page `path`, and `<name>_viewer.mp4` beside it if the video is too long to embed.

    Args:
        clip: the video; without it the page shows the skeletons only.
    """
    target = path.with_name(f"{path.stem}_viewer.html")
    data, written = describe_clip(result), [target]
    if clip is not None and len(result.times):
        video = encode_small(clip, float(result.times[0]), float(result.times[-1]))
        if len(video) <= LARGEST_EMBEDDED:
            data["video"] = {"data": base64.b64encode(video).decode("ascii")}
        else:
            beside = path.with_name(f"{path.stem}_viewer.mp4")
            with replace_file(beside) as temporary:
                temporary.write_bytes(video)
            data["video"] = {"file": beside.name}
            written.append(beside)
            log.info("%s: the video is too long to lie in the page, it is in %s", target.name, beside.name)
    page = files("demo.export") / "page"
    style, scene, script = (
        (page / name).read_text(encoding="utf-8") for name in ("viewer.css", "scene.js", "viewer.js")
    )
    text = Template((page / "viewer.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(str(result.meta.get("clip", path.stem))),
        style=style,
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        script=scene + script,
    )
    with replace_file(target) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")  # of names that are not UTF-8
    return written


def describe_clip(result: Result) -> dict[str, Any]:
    """Return the data that the page's script reads as CLIP, without the video."""
    people = people_with_motion(result)
    world, unit = _quantise(result.joints_world[people], MILLIMETRE)
    keypoints, pixel = _quantise(result.keypoints_2d[people][..., :2], QUARTER_PIXEL)
    angles, _ = _quantise(joint_angles(result.joints_world[people]), TENTH_DEGREE)
    scores = np.nan_to_num(result.keypoints_2d[people][..., 2]).clip(0, 1) * 255
    ids = result.person_ids[people].tolist()
    seconds = float(result.times[-1] - result.times[0]) if len(result.times) else 0.0
    count = f"{len(ids)} {'person' if len(ids) == 1 else 'people'}"
    main = _main_people(result)[people].tolist()
    return {
        "facts": f"{count}, {len(result.times)} frames, {seconds:.1f} s",
        "people": [
            {"id": number, "color": rgb(person_color(number)), "main": own}
            for number, own in zip(ids, main, strict=True)
        ],
        "times": _base64((result.times - (result.times[:1] if len(result.times) else 0)).astype("<f8")),
        "world": _base64(world),
        "unit": unit,
        "keypoints": _base64(keypoints),
        "pixel": pixel,
        "scores": _base64(np.rint(scores).astype(np.uint8)),
        "joint_status": _base64(joint_status(result)[people]),
        "status": _base64(result.status[people].astype(np.uint8)),
        "strength": [
            {"SEEN": 1.0, "INFERRED": INFERRED_STRENGTH}.get(each.name, 0.0) for each in JointStatus
        ],
        "person_strength": [
            {"MEASURED": 1.0, "INTERPOLATED": INTERPOLATED_STRENGTH}.get(each.name, 0.0) for each in Status
        ],
        "bystander_strength": BYSTANDER_STRENGTH,
        "measured": [each == Status.MEASURED for each in Status],
        "angles": _base64(angles),
        "angle_names": [angle.label for angle in ANGLES],
        **describe_body(),
        "bones2d": [[start, end, int(side)] for start, end, side in (*BODY, *FACE)],
        "width": result.meta.get("width", 16),
        "height": result.meta.get("height", 9),
        "shot": shots(result).tolist(),
        "shots": [_describe_shot(result, shot) for shot in range(int(shots(result).max(initial=0)) + 1)],
        "turn": float(TURN),
        "video": None,
    }


def _describe_shot(result: Result, shot: int) -> dict[str, Any]:
    """Return the filming camera of a shot, the view that contains its main people, and its floor."""
    camera = _filming_camera(result.meta, shot)
    view = _fit_view(result, shot, None if camera is None else [row[2] for row in camera["rotation"]])
    return {
        "film": camera,
        "view": {
            "centre": list(view.centre),
            "azimuth": view.azimuth,
            "elevation": view.elevation,
            "distance": view.distance,
            "focal": view.focal,
        },
        "floor": {"centre": list(view.centre[:2]), "radius": view.radius, "step": grid_step(view)},
    }


def _fit_view(result: Result, shot: int, forward: list[float] | None) -> View:
    """Return the view that contains the main people of a shot, from the side that `forward` looks from."""
    inside = np.flatnonzero(shots(result) == shot)
    world = result.joints_world[:, inside[:: max(1, len(inside) // VIEW_FRAMES)]]
    main = world[_main_people(result)]
    return View.fit(main if np.isfinite(main).any() else world, forward)


def _main_people(result: Result) -> Bools:
    """Return which people (P,) the clip is about; if it is unknown, those who are there for long."""
    if result.main is not None and result.main.any():
        return result.main
    known = np.isfinite(result.joints_world).any((-1, -2)).sum(1)
    return np.asarray(known >= MAIN_PEOPLE * known.max(initial=0))


def _filming_camera(meta: dict[str, Any], shot: int) -> dict[str, Any] | None:
    """Return the camera of a shot in the world, or None if the result has none."""
    several = meta.get("shots") or []
    camera = several[shot].get("camera") if shot < len(several) else meta.get("camera")
    names = ("world_from_camera", "camera_position", "focal_pixels")
    if not isinstance(camera, dict) or any(camera.get(name) is None for name in names):
        return None
    if not meta.get("width") or not meta.get("height"):
        return None
    return {
        "rotation": camera["world_from_camera"],
        "position": camera["camera_position"],
        "focal": camera["focal_pixels"],
        "width": meta["width"],
        "height": meta["height"],
    }


def _quantise(values: NDArray[np.floating], unit: float) -> tuple[NDArray[np.int16], float]:
    """Return values as int16 and their unit: `unit`, or a larger one if the largest value needs it."""
    known = np.isfinite(values)
    largest = float(np.abs(values[known]).max()) if known.any() else 0.0
    unit = max(unit, largest / FULL) if unit != TENTH_DEGREE else unit
    counted = np.rint(np.where(known, values, 0) / unit)
    return np.where(known, counted, MISSING).astype("<i2"), unit


def _base64(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
