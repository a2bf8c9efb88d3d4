"""C3D: the markers of all people, for biomechanics tools (Mokka, Visual3D, Vicon, MATLAB). Needs `ezc3d`.

Millimetres, z up. Labels are `person<id>:<joint>`. A missing point has the residual -1, as C3D requires.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from common.errors import MissingExtra
from common.files import replace_file
from demo.export.source import at_even_rate, people_with_motion
from demo.results.result import Result
from lifter.skeletons import H36M_17

log = logging.getLogger(__name__)


def export_c3d(result: Result, path: Path) -> list[Path]:
    """Write the file `path`.

    Raises:
        MissingExtra: ezc3d is not installed.
    """
    try:
        import ezc3d
    except ImportError as error:
        raise MissingExtra("C3D needs ezc3d: pip install ezc3d (or -r requirements-export.txt)") from error
    even, rate = at_even_rate(result)
    people = people_with_motion(even)
    if not people:
        log.info("%s: no person in the clip, no C3D written", path.name)
        return []
    labels = [f"person{even.person_ids[person]}:{joint}" for person in people for joint in H36M_17.joints]
    points = even.joints_world[people].transpose(3, 0, 2, 1).reshape(3, len(labels), -1) * 1000.0
    known = np.isfinite(points).all(0)
    file = ezc3d.c3d()
    file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    file["parameters"]["POINT"]["RATE"]["value"] = [rate]
    file["parameters"]["POINT"]["LABELS"]["value"] = labels
    file.add_parameter("POINT", "X_SCREEN", ["+X"])
    file.add_parameter("POINT", "Y_SCREEN", ["+Z"])
    homogeneous = np.ones((4, *known.shape))
    homogeneous[:3] = np.where(known, points, np.nan)
    file["data"]["points"] = homogeneous
    file["data"]["meta_points"]["residuals"] = np.where(known, 0.0, -1.0)[None]
    with replace_file(path) as temporary:
        file.write(str(temporary))
    return [path]
