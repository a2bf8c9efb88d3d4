"""The content of the summary (JSON) and of the result's meta."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from common.errors import UserError
from demo.models import FALLBACK_NOTES, ModelLoader
from demo.results.job import ClipJob
from demo.settings import VERSION, Settings
from demo.types import SHOWN, Analysis, ClipInfo, Motion, SceneTransform, Shots, Status

VIEW_AXES = {
    "joints_camera": "of a virtual level camera that looks along y of the world: x right, y down, z forward; "
    "relative to the pelvis",
    "joints_world": "the lifter's own world: right-handed, z up, floor at z = 0; the pelvis does not move",
    "keypoints_2d": "x right, y down, of the first clip's upright frame; boxes too",
    "keypoints_2d_views": "the same in every clip: (people, views, frames, 17, 3); boxes_views too",
}
UNSURE = 0.3  # likeness (correlation, at most 1) below which views may show different people


def source_meta(job: ClipJob, info: ClipInfo, models: ModelLoader, settings: Settings) -> dict[str, Any]:
    """Return the inputs of a result: clip, weights, settings."""
    hashes = job.clip_hashes
    return {
        "version": VERSION,
        "clip": ", ".join(clip.name for clip in job.clips),
        "clip_sha256": hashes[0] if len(hashes) == 1 else list(hashes),
        "fingerprint": job.fingerprint,
        "width": info.width,
        "height": info.height,
        "fps": float(info.fps),
        "rotation_applied": info.rotation,
        "weights": [weight.summary() for weight in models.resolved.weights],
        "runtimes": {role: dict(runtime) for role, runtime in models().runtimes.items()},
        "settings": settings.model_dump(mode="json"),
    }


def shots_meta(
    scenes: Sequence[SceneTransform], shots: Shots, times: np.ndarray, focal_is_assumed: bool
) -> dict[str, Any]:
    """Return the shots with the camera and the floor of each; those of the longest stand for the clip."""
    parts = shots.parts()
    longest = max(range(len(parts)), key=lambda shot: parts[shot].stop - parts[shot].start)
    rows = [
        {
            "first_frame": part.start,
            "frames": part.stop - part.start,
            "first_second": float(times[part.start]) if len(times) else 0.0,
            "camera_moves": moving,
            **_scene_meta(scene, focal_is_assumed),
        }
        for part, moving, scene in zip(parts, shots.moving, scenes, strict=True)
    ]
    return {**_scene_meta(scenes[longest], focal_is_assumed), "shots": rows}


def _scene_meta(scene: SceneTransform, focal_is_assumed: bool) -> dict[str, Any]:
    """Return the camera and the floor of one shot."""
    return {
        "camera": {
            "focal_pixels": scene.focal,
            "focal_is_assumed": focal_is_assumed,
            "world_from_camera": scene.rotation.tolist(),
            "camera_position": scene.offset.tolist(),
            "tilt_degrees": scene.tilt,
            "up_sigma_degrees": scene.up_sigma,
        },
        "floor_contacts": scene.contacts,
        "smoothing_moved_mm": scene.smoothing_moved,
    }


def check_finite(motion: Motion) -> None:
    """Refuse a motion that is no motion: every joint of a person is NaN wherever there should be a pose.

    Raises:
        UserError: names the person.
    """
    for number, world, status in zip(motion.ids.tolist(), motion.world, motion.status, strict=True):
        shown = np.isin(status, SHOWN)
        if shown.any() and not np.isfinite(world[shown]).any():
            raise UserError(
                f"the 3D of person {number} is not finite in any frame: the lifter's weights or --focal "
                "cannot be right"
            )


def clip_notes(motion: Motion, analysis: Analysis, models: ModelLoader) -> list[str]:
    """Return the notes for the user on the result of one clip."""
    notes = [] if len(motion) else ["no person was detected, so there is no skeleton"]
    for number, status in zip(motion.ids.tolist(), motion.status, strict=True):
        known = int(np.isin(status, SHOWN).sum())
        if known < len(status):
            notes.append(f"person {number} is in {known} of {len(status)} frames")
    parts = analysis.shots.parts()
    if len(parts) > 1:
        cuts = ", ".join(f"{analysis.times[part.start]:.2f} s" for part in parts[1:])
        notes.append(f"cut at {cuts}: each shot has ids and a floor of its own")
    for part, moving in zip(parts, analysis.shots.moving, strict=True):
        if moving:
            where = "" if len(parts) == 1 else f" from {analysis.times[part.start]:.2f} s on"
            notes.append(f"the camera moves{where}: paths through space are not metric there")
    if analysis.damage:
        notes.append(f"the clip is damaged: it {analysis.damage}; the result covers what could be read")
    return [*notes, *fallback_notes(models)]


def view_notes(motion: Motion, likeness: float, damage: Sequence[str], models: ModelLoader) -> list[str]:
    """Return the notes for the user on the result of several views of one person."""
    notes = ["without calibrated cameras there is no path through space: the pelvis stays in its place"]
    if likeness < UNSURE:
        notes.append(
            f"the views are little alike ({likeness:.2f} of 1): see in the video that they show the "
            "same person at the same time, and choose a person with --person if not"
        )
    known, frames = int(np.isin(motion.status, SHOWN).sum()), motion.status.shape[1]
    if known < frames:
        notes.append(f"the person is in all views in {known} of {frames} frames")
    notes += [f"a clip is damaged: {each}; the result covers what all clips show" for each in damage]
    return [*notes, *fallback_notes(models)]


def fallback_notes(models: ModelLoader) -> list[str]:
    """Return the note on a memory fallback, if one was needed."""
    return [note] if (note := FALLBACK_NOTES[models.level]) else []


def people_summary(motion: Motion, main: Sequence[bool], times: np.ndarray) -> list[dict[str, Any]]:
    """Return a row for each person: role, frames, first and last second, frames by status."""
    rows = []
    for number, status, own in zip(motion.ids.tolist(), motion.status, main, strict=True):
        known = np.flatnonzero(np.isin(status, SHOWN))
        rows.append(
            {
                "id": number,
                "role": "main" if own else "bystander",
                "frames": len(known),
                "first_second": float(times[known[0]]) if len(known) else None,
                "last_second": float(times[known[-1]]) if len(known) else None,
                "status_counts": {each.name.lower(): int((status == each).sum()) for each in Status},
            }
        )
    return rows


def covered_seconds(times: np.ndarray, info: ClipInfo) -> float:
    """Return the seconds from the first frame that was read to the end of the last."""
    if len(times) == 0:
        return 0.0
    return float(times[-1] - times[0]) + float(1 / info.fps if info.fps else 0)
