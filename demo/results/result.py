"""The self-describing result file: write, read, check.

An .npz that plain numpy reads. Arrays count people, then the clip's frames from 0; unknown values are NaN:

    joints_world, joints_camera  float32 (people, frames, 17, 3), metres
    keypoints_2d                 float32 (people, frames, 17, 3), COCO-17: x, y in pixels, score
    boxes                        float32 (people, frames, 4), x1 y1 x2 y2 in pixels
    joint_uncertainty            float32 (people, frames, 17), metres; only where the lifter predicts it
    keypoints_2d_views           float32 (people, views, frames, 17, 3); only of several synchronised clips
    boxes_views                  float32 (people, views, frames, 4); only of several synchronised clips
    person_ids                   int32 (people,)
    main                         bool (people,), is the clip about this person; absent before version 0.3
    status                       uint8 (people, frames), see status_names
    joint_status                 uint8 (people, frames, 17), see joint_status_names; absent before version 0.3
    times                        float64 (frames,), seconds
    shot                         int32 (frames,), shots between cuts, from 0; absent before version 0.3
    joint_status_names, status_names, joint_names, joint_parents, keypoint_names
    meta                         one JSON string: units, axes, fps, weights, settings, version ...
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, UInt8

from common.arrays import BROKEN, open_arrays
from common.errors import DataError, InputMissing
from common.files import replace_file
from common.text import printable
from demo.types import JointStatus, Motion, Shots, Status, Tracks2D
from lifter.skeletons import COCO_17, H36M_17

SCHEMA = 1
UNITS = {
    "joints": "metres",
    "keypoints_2d": "pixels, then a probability in 0..1",
    "boxes": "pixels",
    "times": "seconds",
}
AXES = {
    "joints_camera": "x right, y down, z forward; relative to the pelvis",
    "joints_world": "right-handed, z up, floor at z = 0; y is where the camera looks, along the floor",
    "keypoints_2d": "x right, y down, of the upright frame",
}


@dataclass(frozen=True)
class Result:
    """The content of a result file; see the module's description for units and axes.

    Attributes:
        keypoints_2d_views, boxes_views: only of several synchronised clips.
    """

    joints_world: Float32[np.ndarray, "people frames 17 3"]
    joints_camera: Float32[np.ndarray, "people frames 17 3"]
    keypoints_2d: Float32[np.ndarray, "people frames 17 3"]
    boxes: Float32[np.ndarray, "people frames 4"]
    joint_uncertainty: Float32[np.ndarray, "people frames 17"] | None
    person_ids: Int32[np.ndarray, " people"]
    status: UInt8[np.ndarray, "people frames"]
    times: Float64[np.ndarray, " frames"]
    meta: dict[str, Any]
    keypoints_2d_views: Float32[np.ndarray, "people views frames 17 3"] | None = None
    boxes_views: Float32[np.ndarray, "people views frames 4"] | None = None
    joint_status: UInt8[np.ndarray, "people frames 17"] | None = None
    main: Bool[np.ndarray, " people"] | None = None
    shot: Int32[np.ndarray, " frames"] | None = None

    @staticmethod
    def build(
        tracks: Tracks2D,
        motion: Motion,
        times: Float64[np.ndarray, " frames"],
        meta: dict[str, Any],
        main: Bool[np.ndarray, " people"] | None = None,
        shots: Shots | None = None,
    ) -> Result:
        """Assemble the result of a clip; tracks and motion are of the same people in the same order.

        main: None for all people. shots: None for one.
        """
        return Result(
            joints_world=motion.world,
            joints_camera=motion.camera,
            keypoints_2d=tracks.keypoints,
            boxes=tracks.boxes,
            joint_uncertainty=motion.uncertainty,
            person_ids=motion.ids,
            status=motion.status,
            times=times,
            joint_status=motion.joint_status,
            main=np.ones(len(motion), bool) if main is None else main,
            shot=(shots or Shots.one(len(times))).index,
            meta={"schema": SCHEMA, "units": UNITS, "axes": AXES, **meta},
        )


def write_result(path: Path, result: Result) -> None:
    """Write the npz, whole or not at all. The same result always gives the same bytes.

    Raises:
        OutputError: the file cannot be written.
    """
    arrays: dict[str, Any] = {
        name: value for name, value in vars(result).items() if name != "meta" and value is not None
    }
    arrays |= {
        "joint_status_names": np.array([status.name.lower() for status in JointStatus]),
        "status_names": np.array([status.name.lower() for status in Status]),
        "joint_names": np.array(H36M_17.joints),
        "joint_parents": np.array(H36M_17.parents, np.int32),
        "keypoint_names": np.array(COCO_17.joints),
        "meta": np.array(json.dumps(result.meta, sort_keys=True, allow_nan=False)),
    }
    with replace_file(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def read_result(path: Path | str) -> Result:
    """Read a result file and check its arrays.

    Raises:
        InputMissing: there is no such file.
        DataError: the file is damaged, of a newer version, or its arrays do not fit each other.
    """
    path = Path(path)
    try:
        with open_arrays(path) as file:
            arrays = file.read_all()
        meta = json.loads(str(arrays["meta"]))
        found = Result(
            joints_world=arrays["joints_world"],
            joints_camera=arrays["joints_camera"],
            keypoints_2d=arrays["keypoints_2d"],
            boxes=arrays["boxes"],
            joint_uncertainty=arrays.get("joint_uncertainty"),
            person_ids=arrays["person_ids"],
            status=arrays["status"],
            times=arrays["times"],
            meta=meta,
            keypoints_2d_views=arrays.get("keypoints_2d_views"),
            boxes_views=arrays.get("boxes_views"),
            joint_status=arrays.get("joint_status"),
            main=arrays.get("main"),
            shot=arrays.get("shot"),
        )
    except BROKEN as error:
        raise DataError(
            f"{printable(path)}: is not a result of this program, or is damaged ({printable(error)})"
        ) from error
    if not isinstance(meta, dict) or meta.get("schema") != SCHEMA:
        schema = meta.get("schema") if isinstance(meta, dict) else None
        raise DataError(f"{path}: has schema {schema}, this version reads {SCHEMA}")
    people, frames = len(found.person_ids), len(found.times)
    shapes = {
        "joints_world": (people, frames, 17, 3),
        "joints_camera": (people, frames, 17, 3),
        "keypoints_2d": (people, frames, 17, 3),
        "boxes": (people, frames, 4),
        "status": (people, frames),
    }
    newer = {"joint_status": (people, frames, 17), "main": (people,), "shot": (frames,)}
    for name, shape in {**shapes, **newer}.items():
        values = getattr(found, name)
        if values is None and name in newer:
            continue
        if values.shape != shape:
            raise DataError(f"{path}: {name} is {values.shape} and should be {shape}")
    return found


def camera_of(result: Result, person: int) -> dict[str, Any] | None:
    """Return the camera of the shot a person is in, by the person's position; None if the result has none."""
    camera = result.meta.get("camera")
    shots, posed = result.meta.get("shots"), np.isfinite(result.joints_world[person, :, 0, 0])
    if shots and result.shot is not None and posed.any():
        camera = shots[int(result.shot[posed.argmax()])]["camera"]
    return camera if isinstance(camera, dict) and camera.get("camera_position") is not None else None


def read_meta(path: Path) -> dict[str, Any] | None:
    """Return the meta of a result file, None where there is no result of this program."""
    try:
        with open_arrays(path) as file:
            meta = json.loads(str(file["meta"]))
    except (*BROKEN, InputMissing):
        return None
    return meta if isinstance(meta, dict) and "schema" in meta else None
