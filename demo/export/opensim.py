"""OpenSim: the locations of our markers in its model, and set-ups for scaling and inverse kinematics.

The locations are the joint centres of `Model_Pose2Sim_simple.osim`, which comes with Pose2Sim (BSD-3-Clause)
and is not part of this project: the origin of the joint's parent frame in its body, metres.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MODEL = "Model_Pose2Sim_simple.osim"


@dataclass(frozen=True)
class Marker:
    """A marker: its name, its joint of Human3.6M, the body it is fixed to, its location there, its weight."""

    name: str
    joint: str
    body: str
    location: tuple[float, float, float]
    weight: float


def _both(
    name: str, joint: str, body: str, location: tuple[float, float, float], weight: float
) -> tuple[Marker, Marker]:
    """Return the right side's marker and its mirror image; the model's z points to the right."""
    x, y, z = location
    side = "" if body in ("pelvis", "torso") else "_"
    return (
        Marker(f"R{name}", f"right_{joint}", body + (f"{side}r" if side else ""), (x, y, z), weight),
        Marker(f"L{name}", f"left_{joint}", body + (f"{side}l" if side else ""), (x, y, -z), weight),
    )


MARKERS: tuple[Marker, ...] = (
    *_both("Hip", "hip", "pelvis", (-0.0707, -0.0661, 0.0835), 2.0),
    *_both("Knee", "knee", "femur", (-0.0081, -0.4080, -0.0028), 1.0),
    *_both("Ankle", "ankle", "tibia", (0.0, -0.4300, 0.0), 1.0),
    *_both("Shoulder", "shoulder", "torso", (0.0032, 0.3715, 0.1700), 2.0),
    *_both("Elbow", "elbow", "humerus", (0.0131, -0.2863, -0.0096), 1.0),
    *_both("Wrist", "wrist", "radius", (-0.0088, -0.2358, 0.0136), 1.0),
    # Between the shoulders, and the top of the head: not joints of the model, hence the low weights.
    Marker("Neck", "thorax", "torso", (0.0032, 0.3715, 0.0), 0.2),
    Marker("Head", "head", "head", (0.0, 0.1300, 0.0), 0.1),
)

# name: (pairs of markers whose distance gives the scale, bodies that are scaled)
MEASUREMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "pelvis": (("RHip LHip",), ("pelvis", "sacrum")),
    "trunk": (("RHip RShoulder", "LHip LShoulder"), ("torso", "head")),
    "thigh": (("RHip RKnee", "LHip LKnee"), ("femur_r", "femur_l")),
    "shank": (
        ("RKnee RAnkle", "LKnee LAnkle"),
        ("tibia_r", "talus_r", "calcn_r", "toes_r", "tibia_l", "talus_l", "calcn_l", "toes_l"),
    ),
    "upper arm": (("RShoulder RElbow", "LShoulder LElbow"), ("humerus_r", "humerus_l")),
    "forearm": (
        ("RElbow RWrist", "LElbow LWrist"),
        ("ulna_r", "radius_r", "hand_r", "ulna_l", "radius_l", "hand_l"),
    ),
}


def marker_set() -> str:
    """Return the marker file (.xml)."""
    markers = (
        f'<Marker name="{each.name}"><socket_parent_frame>/bodyset/{each.body}</socket_parent_frame>'
        f"<location>{' '.join(f'{value:g}' for value in each.location)}</location>"
        "<fixed>true</fixed></Marker>"
        for each in MARKERS
    )
    return _document(f'<MarkerSet name="markerset"><objects>{_lines(markers)}</objects></MarkerSet>')


def scale_setup(stem: str, markers: str, span: tuple[float, float]) -> str:
    """Return the set-up of the scale tool, which makes `<stem>.osim` of the model and the marker set.

    Args:
        stem: of the TRC file. markers: name of the marker file. span: first and last time in the TRC,
        seconds.
    """
    measurements = []
    for name, (pairs, bodies) in MEASUREMENTS.items():
        pair_set = _lines(f"<MarkerPair><markers>{pair}</markers></MarkerPair>" for pair in pairs)
        body_set = _lines(f'<BodyScale name="{body}"><axes> X Y Z</axes></BodyScale>' for body in bodies)
        measurements.append(
            f'<Measurement name="{name}"><apply>true</apply>'
            f"<MarkerPairSet><objects>{pair_set}</objects></MarkerPairSet>"
            f"<BodyScaleSet><objects>{body_set}</objects></BodyScaleSet></Measurement>"
        )
    return _document(
        f'<ScaleTool name="{stem}"><mass>-1</mass>\n'
        f"<GenericModelMaker><model_file>{MODEL}</model_file>"
        f"<marker_set_file>{markers}</marker_set_file></GenericModelMaker>\n"
        "<ModelScaler><apply>true</apply><scaling_order> measurements</scaling_order>\n"
        f"<MeasurementSet><objects>{_lines(measurements)}</objects></MeasurementSet>\n"
        f"<marker_file>{stem}.trc</marker_file><time_range>{_times(span)}</time_range>\n"
        f"<preserve_mass_distribution>true</preserve_mass_distribution>"
        f"<output_model_file>{stem}.osim</output_model_file></ModelScaler>\n"
        "<MarkerPlacer><apply>false</apply></MarkerPlacer></ScaleTool>"
    )


def ik_setup(stem: str, span: tuple[float, float]) -> str:
    """Return the set-up of inverse kinematics, which makes `<stem>.mot` of the model and `<stem>.trc`.

    Args:
        span: first and last time, seconds.
    """
    tasks = (
        f'<IKMarkerTask name="{each.name}"><apply>true</apply><weight>{each.weight:g}</weight></IKMarkerTask>'
        for each in MARKERS
    )
    return _document(
        f'<InverseKinematicsTool name="{stem}"><model_file>{stem}.osim</model_file>\n'
        f"<time_range>{_times(span)}</time_range><output_motion_file>{stem}.mot</output_motion_file>\n"
        f"<report_errors>true</report_errors><marker_file>{stem}.trc</marker_file>\n"
        f"<IKTaskSet><objects>{_lines(tasks)}</objects></IKTaskSet></InverseKinematicsTool>"
    )


def _document(body: str) -> str:
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<OpenSimDocument Version="40000">'
    return f"{head}\n{body}\n</OpenSimDocument>\n"


def _lines(parts: Iterable[str]) -> str:
    return "\n" + "\n".join(parts) + "\n"


def _times(span: tuple[float, float]) -> str:
    return f" {span[0]:.6f} {span[1]:.6f}"
