"""Plots of joint angles over time, by matplotlib without a display."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from common.errors import MissingExtra
from demo.export.source import spans
from demo.motion.angles import ANGLES
from demo.render.panel import LEFT, RIGHT, Color, mix


def plot_angles(
    angles: NDArray[np.floating], times: NDArray[np.floating], measured: NDArray[np.bool_], title: str
) -> bytes:
    """Draw a PNG with one panel per kind of angle; frames that were not measured are shaded.

    Args:
        angles: (T, A) degrees. times: (T,) seconds. measured: (T,).

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("the report needs matplotlib: pip install matplotlib") from error

    kinds = list(dict.fromkeys(angle.kind for angle in ANGLES))
    figure = Figure(figsize=(10, 1.1 + 1.55 * len(kinds)), layout="constrained")
    for axes, kind in zip(figure.subplots(len(kinds), 1, sharex=True), kinds, strict=True):
        for number, angle in enumerate(ANGLES):
            if angle.kind == kind:
                color = _line_color(angle.name)
                axes.plot(times, angles[:, number], color=color, lw=1.4, label=angle.label)
        for first, last in spans(~measured):
            axes.axvspan(*_edges(times, first, last), color="0.88", lw=0)
        axes.set_ylabel("degrees")
        axes.grid(alpha=0.3)
        axes.margins(x=0)
        axes.legend(loc="upper right", fontsize=8, ncols=2)
    axes.set_xlabel("seconds")
    figure.suptitle(title)
    buffer = BytesIO()
    figure.savefig(buffer, dpi=90, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _edges(times: NDArray[np.floating], first: int, last: int) -> tuple[float, float]:
    """Return where frames `first` to `last` begin and end, half a step around their times."""
    half = float(np.median(np.diff(times))) / 2 if len(times) > 1 else 0.5
    return float(times[first]) - half, float(times[last]) + half


def _line_color(name: str) -> tuple[float, float, float]:
    """Return the side's colour of the 3D panel, darkened for a white page; greys for the trunk."""
    color: Color = (60, 60, 60) if "forward" in name else (160, 160, 160)
    if name.startswith(("left", "right")):
        color = mix(LEFT if name.startswith("left") else RIGHT, (0.0, 0.0, 0.0), 0.15)
    blue, green, red = color
    return red / 255, green / 255, blue / 255
