"""The report: one HTML file a clip with its people, their quality, and joint angles with their errors."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from common.files import replace_file
from demo.export.plots import plot_angles
from demo.export.quality import Quality, person_quality
from demo.export.source import frame_rate, people_with_motion
from demo.motion.angles import ANGLES, MEAN_ERROR, AngleRange, angle_ranges, asymmetry, joint_angles
from demo.motion.gait import find_gait
from demo.results.result import Result
from demo.types import Status

DASH = "\N{EN DASH}"


def export_report(result: Result, path: Path) -> list[Path]:
    """Write `<name>_report.html` beside `path`."""
    target = path.with_name(f"{path.stem}_report.html")
    name = html.escape(str(result.meta.get("clip", path.stem)))
    people = people_with_motion(result)
    sections = [_clip_section(result, len(people))] + [_person_section(result, person) for person in people]
    page = files("demo.export") / "page"
    text = Template((page / "report.html").read_text(encoding="utf-8")).substitute(
        title=name, style=(page / "report.css").read_text(encoding="utf-8"), body="\n".join(sections)
    )
    with replace_file(target) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")  # of names that are not UTF-8
    return [target]


def _clip_section(result: Result, people: int) -> str:
    """Return the section on the clip, the networks, the floor, and the notes of the run."""
    meta, camera = result.meta, result.meta.get("camera") or {}
    seconds = float(result.times[-1] - result.times[0]) if len(result.times) else 0.0
    rows: list[tuple[str, str]] = [
        ("People with 3D motion", str(people) if people else "no person found"),
        ("Length", f"{len(result.times)} frames, {seconds:.1f} s, {frame_rate(result):.3g} frames a second"),
        ("Picture", f"{meta.get('width', '?')} x {meta.get('height', '?')} pixels"),
        ("Networks", ", ".join(str(weight.get("name", "?")) for weight in meta.get("weights", [])) or "?"),
    ]
    if camera.get("tilt_degrees") is not None:
        focal = "assumed" if camera.get("focal_is_assumed") else "given"
        contacts = meta.get("floor_contacts", "?")
        level = f"camera tilted by {camera['tilt_degrees']:.1f} degrees, from {contacts} foot contacts"
        rows += [("Level", level), ("Focal length", f"{camera.get('focal_pixels', 0):.0f} pixels, {focal}")]
    if meta.get("smoothing_moved_mm") is not None:
        rows.append(("Smoothing", f"moved joints by {meta['smoothing_moved_mm']:.1f} mm on average"))
    if meta.get("damage"):
        rows.append(("Damage", str(meta["damage"])))
    rows += [("Note", str(note)) for note in meta.get("notes", [])]
    return f"<section>{_facts(rows)}</section>"


def _person_section(result: Result, person: int) -> str:
    """Return the section on one person: times, scores, plot and table of angles, gait."""
    person_id = int(result.person_ids[person])
    measured = result.status[person] == Status.MEASURED
    angles = joint_angles(result.joints_world[person])
    picture = plot_angles(angles, result.times, measured, f"Joint angles of person {person_id}")
    rows = _quality_rows(person_quality(result, person))
    gait = find_gait(result.joints_world[person], result.times)
    if gait is not None:
        steps = f"{len(gait.starts)} steps, {gait.starts[0]:.1f} to {gait.starts[-1]:.1f} s"
        rows.append(("Gait", f"{gait.cadence:.0f} steps a minute at {gait.speed:.1f} m/s ({steps})"))
    source = f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}"
    return (
        f'<section id="person{person_id}"><h2>Person {person_id}</h2>{_facts(rows)}'
        f'<img alt="Joint angles over time" src="{source}">'
        "<p>Grey: frames in which the person was not measured.</p>"
        f"{_angle_table(angle_ranges(angles, measured))}</section>"
    )


def _quality_rows(quality: Quality) -> list[tuple[str, str]]:
    counts = quality.frames
    gaps = counts[Status.LOST] + counts[Status.ABSENT]
    rows = [
        ("In the picture", f"{quality.first:.2f} to {quality.last:.2f} s"),
        (
            "Frames",
            f"{counts[Status.MEASURED]} measured ({quality.measured:.0%}), "
            f"{counts[Status.INTERPOLATED]} interpolated, {gaps} without a pose",
        ),
        ("Score of the 2D keypoints", f"{quality.score:.2f} (mean, 0 to 1)"),
        ("Joints inferred, not seen", f"{quality.inferred:.0%}"),
    ]
    if quality.reprojection is not None:
        pixels, share = quality.reprojection
        rows.append(("3D against the picture", f"{pixels:.1f} pixels, {share:.1%} of the height (median)"))
    return rows


def _angle_table(ranges: dict[str, AngleRange]) -> str:
    """Return a table of the angles: ranges of left and right, their difference, the measured error."""
    head = ("angle", "lowest", "highest", "range", "left against right", "mean error*")
    rows = []
    for angle in ANGLES:
        own = ranges[angle.name]
        difference = DASH
        if angle.pair is not None and angle.name.startswith("left"):
            percent = asymmetry(own, ranges[angle.pair])
            difference = f"{percent:+.0f} %" if np.isfinite(percent) else DASH
        low, high = MEAN_ERROR[angle.kind]
        cells = (angle.label, _degrees(own.lowest), _degrees(own.highest), _degrees(own.extent), difference)
        rows.append((*cells, f"{low:.0f}{DASH}{high:.0f}\N{DEGREE SIGN}"))
    return _table(head, rows)


def _degrees(value: float) -> str:
    return f"{value:.0f}\N{DEGREE SIGN}" if np.isfinite(value) else DASH


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    items = (f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in rows)
    return f"<dl>{''.join(items)}</dl>"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    top = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{html.escape(row[0])}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
