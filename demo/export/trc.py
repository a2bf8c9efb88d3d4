"""TRC: marker positions for OpenSim, one file a person, with the marker set and OpenSim set-ups.

Metres, y up. OpenSim's inverse kinematics fails on frames without any marker. A file therefore covers the
frames from the person's first to the last known one, and frames without a joint between them are filled. A
single missing marker is NaN.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.files import replace_file
from demo.export.opensim import MARKERS, ik_setup, marker_set, scale_setup
from demo.export.source import at_even_rate, known_frames, people_with_motion, shots
from demo.motion.rig import fill_missing, to_file_axes
from demo.results.result import Result
from lifter.skeletons import H36M_17

log = logging.getLogger(__name__)


def export_trc(result: Result, path: Path) -> list[Path]:
    """Write `<name>_person<id>.trc` and OpenSim's set-ups for each person, and the marker set of all."""
    even, rate = at_even_rate(result)
    texts: dict[Path, str] = {}
    for person in people_with_motion(even):
        target = path.with_name(f"{path.stem}_person{even.person_ids[person]}.trc")
        frames = np.flatnonzero(known_frames(even, person))
        part = slice(frames[0], frames[-1] + 1)
        joints = _without_empty_frames(even.joints_world[person, part], even.times[part], shots(even)[part])
        filled = len(joints) - len(frames)
        if filled:
            log.info("%s: %d frames without a pose were filled", target.name, filled)
        texts[target] = trc_text(joints, even.times[part], rate, target.name)
        span = (float(even.times[frames[0]]), float(even.times[frames[-1]]))
        markers = f"{path.stem}_opensim_markers.xml"
        texts[target.with_name(f"{target.stem}_opensim_scale.xml")] = scale_setup(target.stem, markers, span)
        texts[target.with_name(f"{target.stem}_opensim_ik.xml")] = ik_setup(target.stem, span)
        texts[path.with_name(markers)] = marker_set()
    if not texts:
        log.info("%s: no person in the clip, no TRC written", path.name)
    for target, text in texts.items():
        with replace_file(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return list(texts)


def _without_empty_frames(
    joints: NDArray[np.floating], times: NDArray[np.floating], shot: NDArray[np.integer]
) -> NDArray[np.floating]:
    """Fill the frames of joints (T, 17, 3) that have no joint, as `fill_missing` does."""
    empty = ~np.isfinite(joints).any((-1, -2))
    return np.where(empty[:, None, None], fill_missing(joints, times, shot), joints)


def trc_text(joints: NDArray[np.floating], times: NDArray[np.floating], rate: float, name: str) -> str:
    """Return the file's text.

    Args:
        joints: (T, 17, 3) metres, world.
        times: (T,) seconds.
        name: of the file.
    """
    rows = [H36M_17.joints.index(marker.joint) for marker in MARKERS]
    points = to_file_axes(joints)[:, rows]
    count, frames = len(MARKERS), len(points)
    header = (
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames"
    )
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{name}",
        header,
        f"{rate:.6f}\t{rate:.6f}\t{frames}\t{count}\tm\t{rate:.6f}\t1\t{frames}",
        "Frame#\tTime\t" + "\t\t\t".join(marker.name for marker in MARKERS) + "\t\t",
        "\t\t" + "\t".join(f"X{number}\tY{number}\tZ{number}" for number in range(1, count + 1)),
        "",
    ]
    for number, (time, row) in enumerate(zip(times, points.reshape(frames, -1), strict=True), start=1):
        cells = (f"{value:.6f}" if np.isfinite(value) else "NaN" for value in row)
        lines.append("\t".join((str(number), f"{time:.6f}", *cells)))
    return "\n".join(lines) + "\n"
