"""Conditions on the field clips: straight legs straight, floor poses on the floor, 3D on its keypoints.

    python app.py --video CLIPS/pushup.mp4 --output outputs --no-render      # and so on
    python -m tools.measure_field outputs/*/*.npz

A clip is identified by its name. A leg is straight if hip, knee and ankle lie on one line in the picture,
within 8 degrees, with scores over .9. Heights are relative to a joint's height in contact with the floor.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from demo.motion.ground import CLEARANCE
from demo.results.result import Result, camera_of, read_result
from demo.types import SEEN_SCORE, Doubles, Status
from lifter.skeletons import H36M_17, LIMBS_COCO, LIMBS_H36M

STRAIGHT = 172.0  # degrees of a knee in the picture
SURE = 0.9  # score of its keypoints
PERCENTILES = (5, 25, 50, 75, 95)
LEGS = (((1, 2, 3), (12, 14, 16)), ((4, 5, 6), (11, 13, 15)))  # H36M, COCO: hip, knee, ankle
STATURE = (2, 3, 7, 8, 9, 10)  # bones, by child joint, whose lengths make up a body's height


def angle(a: Doubles, b: Doubles, c: Doubles) -> Doubles:
    """Return the angle (N,) at b between a and c, degrees; 180 is straight."""
    u, v = a - b, c - b
    cosine = (u * v).sum(-1) / np.maximum(np.linalg.norm(u, axis=-1) * np.linalg.norm(v, axis=-1), 1e-12)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def knee_angles(result: Result, person: int) -> Doubles:
    """Return the 3D knee angles (T, 2), degrees, right and left."""
    joints = result.joints_camera[person].astype(np.float64)
    return np.stack([angle(*(joints[:, j] for j in leg)) for leg, _ in LEGS], 1)


def straight_in_picture(result: Result, person: int) -> NDArray[np.bool_]:
    """Return whether the right and left leg are straight in the picture, (T, 2)."""
    keypoints = result.keypoints_2d[person].astype(np.float64)
    flat = np.stack([angle(*(keypoints[:, j, :2] for j in leg)) for _, leg in LEGS], 1)
    sure = np.stack([(keypoints[:, leg, 2] > SURE).all(1) for _, leg in LEGS], 1)
    return (flat > STRAIGHT) & sure & np.isfinite(result.joints_camera[person, :, 0, :1])


def reprojection_error(result: Result, person: int) -> float:
    """Return the median distance of projected limb joints from their keypoints, percent of body height.

    NaN for a result of several views.
    """
    camera = camera_of(result, person)
    if camera is None:
        return np.nan
    rotation, offset = np.array(camera["world_from_camera"]), np.array(camera["camera_position"])
    joints = (result.joints_world[person] - offset) @ rotation
    keypoints = result.keypoints_2d[person, :, LIMBS_COCO].swapaxes(0, 1)
    bones = [np.linalg.norm(joints[:, j] - joints[:, H36M_17.parents[j]], axis=-1) for j in STATURE]
    height = np.sum(bones, 0) + CLEARANCE[3]
    limbs = joints[:, LIMBS_H36M]
    size = np.array((result.meta["width"], result.meta["height"]))
    pixels = camera["focal_pixels"] * limbs[..., :2] / limbs[..., 2:] + size / 2
    off = np.linalg.norm(pixels - keypoints[..., :2], axis=-1)
    part = off / (camera["focal_pixels"] * height / joints[:, 0, 2])[:, None]
    return (
        float(100 * np.nanmedian(part[keypoints[..., 2] > SEEN_SCORE])) if np.isfinite(part).any() else np.nan
    )


def conditions(name: str, result: Result) -> list[tuple[str, str, str]]:
    """Return (name, measured, wanted) of the clip's conditions; medians over frames of the first person."""
    world = result.joints_world[0].astype(np.float64)
    world = world[np.isfinite(world).all((1, 2))]
    heights = np.median(world[..., 2] - CLEARANCE, axis=0) * 100
    knees, straight = knee_angles(result, 0), straight_in_picture(result, 0)
    trunk = world[:, 8] - world[:, 0]
    lean = np.degrees(np.arcsin(np.clip(trunk[:, 2] / np.linalg.norm(trunk, axis=1), -1, 1)))
    people = f"{len(result.person_ids)}"

    def farthest(*joints: int) -> str:
        return f"{heights[list(joints)][np.abs(heights[list(joints)]).argmax()]:.0f} cm"

    match name:
        case "pushup":
            return [
                ("trunk from horizontal", f"{np.median(np.abs(lean)):.0f} deg", "at most 25"),
                ("wrists and ankles over the floor", farthest(3, 6, 13, 16), "within 12"),
            ]
        case "situp":
            return [("pelvis over the floor", farthest(0), "within 12"), ("people", people, "1")]
        case "triangle_pose":
            least = np.median(np.nanmin(knees, 1))
            return [
                ("feet over the floor", farthest(3, 6), "within 6"),
                ("the more bent knee", f"{least:.0f} deg", "at least 160"),
            ]
        case "deadlift":
            legs = f"{np.median(knees[straight]):.0f} deg" if straight.any() else "-"
            return [("people", people, "1"), ("standing legs", legs, "at least 165")]
        case "two_shots":
            steps = [
                np.nanmax(np.linalg.norm(np.diff(each, axis=0), axis=-1)) for each in result.joints_world
            ]
            return [("longest step between frames", f"{max(steps):.2f} m", "at most 0.50 within a shot")]
        case "upside":
            up = np.median(world[:, 10, 2] - world[:, (3, 6), 2].mean(1))
            return [("head over the ankles", f"{up:.2f} m", "upright")]
    return []


def main(results: list[Path]) -> None:
    """Print every person's straight legs and reprojection, and the conditions of the clips that have some."""
    rows = Table(
        "clip",
        "person",
        "frames",
        "legs straight in the picture",
        "3D knees, deg, 5/25/50/75/95 %",
        "2D error %",
    )
    wanted = Table("clip", "what", "measured", "wanted", "up off by, deg", "tilt, deg")
    every = [np.zeros(0)]
    for path in results:
        result = read_result(path)
        for person, number in enumerate(result.person_ids.tolist()):
            chosen = knee_angles(result, person)[straight_in_picture(result, person)]
            every.append(chosen)
            frames = str(int((result.status[person] == Status.MEASURED).sum()))
            error = f"{reprojection_error(result, person):.1f}"
            rows.add_row(path.stem, str(number), frames, str(len(chosen)), _percentiles(chosen), error)
        if len(result.person_ids):
            camera = result.meta["camera"]
            tilt, sigma = (f"{camera.get(key, np.nan):.0f}" for key in ("tilt_degrees", "up_sigma_degrees"))
            for condition in conditions(path.stem, result):
                wanted.add_row(path.stem, *condition, sigma, tilt)
    whole = np.concatenate(every)
    rows.add_row("all", "", "", str(len(whole)), _percentiles(whole), "")
    console = Console(highlight=False)
    console.print(rows)
    console.print(wanted)


def _percentiles(values: Doubles) -> str:
    return "/".join(f"{v:.0f}" for v in np.percentile(values, PERCENTILES)) if len(values) else "-"


if __name__ == "__main__":
    typer.run(main)
