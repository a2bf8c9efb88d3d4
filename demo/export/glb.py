"""GLB (glTF 2.0, binary): all people of a clip as skinned figures, for viewers, engines and Blender.

Metres, y up. Each person has a parent node, a skeleton, and a mesh of one box a bone. The animation stores
time stamps, LINEAR rotations, and the translation of the hips.
"""

from __future__ import annotations

import json
import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.files import replace_file
from demo.export.source import known_frames, people_with_motion, shots
from demo.motion.rig import RIG_JOINTS, RIG_PARENTS, RigMotion, solve_rig
from demo.render.panel import person_color
from demo.results.result import Result
from demo.version import VERSION

log = logging.getLogger(__name__)

FLOAT, UNSIGNED_BYTE, UNSIGNED_SHORT = 5126, 5121, 5123  # glTF's component types, which are OpenGL's
VERTICES, INDICES = 34962, 34963  # glTF's buffer view targets
WIDTH = 0.16  # of a bone's length: half the width of its box
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_BOX = np.array([(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])


def export_glb(result: Result, path: Path) -> list[Path]:
    """Write all people of the clip to the file `path`."""
    file = _Document()
    for person in people_with_motion(result):
        motion = solve_rig(result.joints_world[person], result.times, shots(result))
        file.add_person(
            int(result.person_ids[person]),
            motion,
            result.times - result.times[0],
            known_frames(result, person),
        )
    if not file.nodes:
        log.info("%s: no person in the clip, no GLB written", path.name)
        return []
    with replace_file(path) as temporary:
        temporary.write_bytes(file.to_bytes())
    return [path]


class _Document:
    """A glTF file under construction."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self._roots: list[int] = []
        self._meshes: list[dict[str, Any]] = []
        self._materials: list[dict[str, Any]] = []
        self._skins: list[dict[str, Any]] = []
        self._channels: list[dict[str, Any]] = []
        self._samplers: list[dict[str, Any]] = []
        self._views: list[dict[str, Any]] = []
        self._accessors: list[dict[str, Any]] = []
        self._data = bytearray()
        self._times: int | None = None

    def add_person(
        self, person_id: int, motion: RigMotion, times: NDArray[np.float64], known: NDArray[np.bool_]
    ) -> None:
        """Add nodes, skin, mesh and animation of one person. known: (T,) frames that were not filled."""
        first = len(self.nodes) + 1
        name = f"person{person_id}"
        filled = [int(frame) for frame in np.flatnonzero(~known)]
        self._roots.append(len(self.nodes))
        self.nodes.append({"name": name, "children": [first], "extras": {"filled_frames": filled}})
        for joint, offset in enumerate(motion.offsets):
            place = motion.root[0] if joint == 0 else offset
            node: dict[str, Any] = {"name": RIG_JOINTS[joint], "translation": place.tolist()}
            children = [first + other for other, parent in enumerate(RIG_PARENTS) if parent == joint]
            self.nodes.append(node | ({"children": children} if children else {}))
        self._roots.append(len(self.nodes))
        self.nodes.append(
            {"name": f"{name}_mesh", "mesh": len(self._meshes), "skin": self._add_skin(motion, first)}
        )
        self._add_mesh(motion, person_id)
        self._animate(motion, times, first)

    def to_bytes(self) -> bytes:
        """Serialise the file: header, JSON chunk, binary chunk."""
        document = {
            "asset": {"version": "2.0", "generator": f"motion-from-video {VERSION}"},
            "scene": 0,
            "scenes": [{"nodes": self._roots}],
            "nodes": self.nodes,
            "meshes": self._meshes,
            "materials": self._materials,
            "skins": self._skins,
            "animations": [{"name": "motion", "channels": self._channels, "samplers": self._samplers}],
            "bufferViews": self._views,
            "accessors": self._accessors,
            "buffers": [{"byteLength": len(self._data)}],
        }
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        data = bytes(self._data) + b"\0" * (-len(self._data) % 4)
        header = struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(data))
        return (
            header
            + struct.pack("<I4s", len(text), b"JSON")
            + text
            + struct.pack("<I4s", len(data), b"BIN\0")
            + data
        )

    def _add_skin(self, motion: RigMotion, first: int) -> int:
        inverse = np.tile(np.eye(4), (len(RIG_JOINTS), 1, 1))
        inverse[:, :3, 3] = -motion.rest
        columns = np.swapaxes(inverse, 1, 2).reshape(-1, 16)  # glTF stores matrices by columns
        joints = list(range(first, first + len(RIG_JOINTS)))
        self._skins.append({"joints": joints, "inverseBindMatrices": self._accessor(columns, FLOAT)})
        return len(self._skins) - 1

    def _add_mesh(self, motion: RigMotion, person_id: int) -> None:
        corners, owners = _bone_boxes(motion)
        places = corners[:, _BOX].reshape(-1, 3)  # (bones, 6 faces, 4 corners): flat shading
        edges = places.reshape(-1, 4, 3)
        normals = np.cross(edges[:, 1] - edges[:, 0], edges[:, 2] - edges[:, 0])
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        joints = np.zeros((len(places), 4), np.uint8)
        joints[:, 0] = np.repeat(owners, 24)
        weights = np.tile(np.array((1.0, 0.0, 0.0, 0.0)), (len(places), 1))
        faces = np.arange(0, len(places), 4)[:, None] + (0, 1, 2, 0, 2, 3)
        attributes = {
            "POSITION": self._accessor(places, FLOAT, VERTICES, bounds=True),
            "NORMAL": self._accessor(np.repeat(normals, 4, axis=0), FLOAT, VERTICES),
            "JOINTS_0": self._accessor(joints, UNSIGNED_BYTE, VERTICES),
            "WEIGHTS_0": self._accessor(weights, FLOAT, VERTICES),
        }
        indices = self._accessor(faces.reshape(-1, 1), UNSIGNED_SHORT, INDICES)
        primitive = {"attributes": attributes, "indices": indices, "material": len(self._materials)}
        self._meshes.append({"name": f"person{person_id}", "primitives": [primitive]})
        blue, green, red = (round((channel / 255) ** 2.2, 4) for channel in person_color(person_id))
        surface = {"baseColorFactor": [red, green, blue, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.8}
        self._materials.append({"name": f"person{person_id}", "pbrMetallicRoughness": surface})

    def _animate(self, motion: RigMotion, times: NDArray[np.float64], first: int) -> None:
        if self._times is None:
            self._times = self._accessor(times[:, None], FLOAT, bounds=True)
        tracks = [(0, "translation", motion.root)]
        tracks += [(joint, "rotation", motion.rotations[:, joint]) for joint in range(len(RIG_JOINTS))]
        for joint, what, values in tracks:
            self._channels.append(
                {"sampler": len(self._samplers), "target": {"node": first + joint, "path": what}}
            )
            output = self._accessor(values, FLOAT)
            self._samplers.append({"input": self._times, "output": output, "interpolation": "LINEAR"})

    def _accessor(
        self, values: NDArray[Any], component: int, target: int | None = None, bounds: bool = False
    ) -> int:
        """Append `values` (N, C) to the buffer. bounds: store the smallest and largest value, too."""
        kinds = {FLOAT: "<f4", UNSIGNED_BYTE: "u1", UNSIGNED_SHORT: "<u2"}
        stored = np.ascontiguousarray(values, dtype=kinds[component])
        self._data += b"\0" * (-len(self._data) % 4)
        view = {"buffer": 0, "byteOffset": len(self._data), "byteLength": stored.nbytes}
        self._views.append(view | ({"target": target} if target else {}))
        self._data += stored.tobytes()
        accessor: dict[str, Any] = {
            "bufferView": len(self._views) - 1,
            "componentType": component,
            "count": len(stored),
            "type": _TYPES[stored.shape[1]],
        }
        if bounds:
            accessor |= {"min": stored.min(0).tolist(), "max": stored.max(0).tolist()}
        self._accessors.append(accessor)
        return len(self._accessors) - 1


def _bone_boxes(motion: RigMotion) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the corners (B, 8, 3) of a box around each bone of the rest pose, and its joint (B,)."""
    rest = motion.rest
    bones = [(parent, rest[parent], rest[joint]) for joint, parent in enumerate(RIG_PARENTS) if parent >= 0]
    bones += [
        (RIG_JOINTS.index(name), rest[RIG_JOINTS.index(name)], rest[RIG_JOINTS.index(name)] + end)
        for name, end in motion.ends.items()
    ]
    boxes = np.empty((len(bones), 8, 3))
    for box, (_, start, end) in zip(boxes, bones, strict=True):
        along = end - start
        across = np.cross(along, np.eye(3)[np.abs(along).argmin()])
        across *= WIDTH * np.linalg.norm(along) / np.linalg.norm(across)
        other = np.cross(along, across) / np.linalg.norm(along)
        corners = [base + a * across + b * other for base in (start, end) for a in (-1, 1) for b in (-1, 1)]
        box[:] = corners
    return boxes, np.array([owner for owner, _, _ in bones])
