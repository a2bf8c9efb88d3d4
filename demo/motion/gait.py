"""Steps and cadence of a person who walks or runs, from the contacts of the ankles.

A foot is on the floor while its ankle travels more slowly than the pelvis: a stance foot rests and a swinging
one overtakes. This needs no threshold of speed or height, but a person who moves forwards: there is no gait
on a treadmill.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifter.skeletons import H36M_17

SLOWEST = 0.4  # metres a second of the pelvis; slower is no gait (slow walking: 0.6, Winter 1991)
SHORTEST_STANCE = 0.1  # seconds; a sprinter's stance lasts as long (Weyand et al. 2000)
LONGEST_STEP = 1.2  # seconds between two contacts; more is a halt
FEWEST_STEPS = 4  # that make a cadence


@dataclass(frozen=True)
class Gait:
    """The longest row of steps. starts: (N,) seconds of the contacts, left and right in turn."""

    starts: tuple[float, ...]
    speed: float  # metres a second, mean of the pelvis during these steps

    @property
    def cadence(self) -> float:
        """Steps a minute."""
        return 60 * (len(self.starts) - 1) / (self.starts[-1] - self.starts[0])


def find_gait(joints: NDArray[np.floating], times: NDArray[np.floating]) -> Gait | None:
    """Find the gait of one person, or None where there is none.

    Args:
        joints: (T, 17, 3) metres, world, NaN where missing. times: (T,) seconds.
    """
    places = np.asarray(joints, dtype=np.float64)[:, :, :2]
    if len(places) < 3:
        return None
    speeds = np.linalg.norm(np.gradient(places, times, axis=0), axis=-1)
    pelvis = speeds[:, 0]
    contacts: list[tuple[float, str]] = []
    for side in ("left", "right"):
        ankle = speeds[:, H36M_17.joints.index(f"{side}_ankle")]
        down = (ankle < pelvis) & (pelvis > SLOWEST)
        edges = np.flatnonzero(np.diff(np.concatenate(([False], down, [False])).astype(np.int8)))
        for first, past in zip(edges[::2], edges[1::2], strict=True):
            # A contact that began before the first pose has no start.
            if (
                first > 0
                and np.isfinite(pelvis[first - 1])
                and times[past - 1] - times[first] >= SHORTEST_STANCE
            ):
                contacts.append((float(times[first]), side))
    steps = _longest_row(sorted(contacts))
    if len(steps) < FEWEST_STEPS:
        return None
    during = (times >= steps[0]) & (times <= steps[-1])
    return Gait(tuple(steps), float(np.nanmean(pelvis[during])))


def _longest_row(contacts: list[tuple[float, str]]) -> list[float]:
    """Return the starts of the longest row in which left and right alternate without a halt."""
    best: list[float] = []
    row: list[float] = []
    last = (-np.inf, "")
    for time, side in contacts:
        if side == last[1] or time - last[0] > LONGEST_STEP:
            row = []
        row.append(time)
        last = (time, side)
        best = max(best, list(row), key=len)
    return best
