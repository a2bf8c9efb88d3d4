"""One level floor for a clip: which way is up, how high the floor is, and people who stand on it.

Everything is in camera axes, metres. `up` is the unit vector (3,) against gravity.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from scipy.ndimage import percentile_filter

from demo.types import Doubles, Floats
from lifter.smoothing import smooth
from lifter.windows import blocks

ANKLE_HEIGHT = 0.08  # metres from the sole to the ankle joint
RESTING_SPEED = 0.35  # metres a second; a foot slower than this stands
STEP_TIME = 1.2  # seconds within which somebody on the floor touches it, jumping or not
STRETCH = 0.1  # the part of a person's distance that may be wrong because of a wrong size
ANKLES = (3, 6)
STANDING_SPREAD = 0.04  # metres; a foot so much higher than the other one bears a third of its weight
MIDDLE_OF_FOOT = 0.05  # metres ahead of the ankle
# (part of the body's mass, from joint, to joint, centre as a part of the way): head, trunk, upper arms,
# forearms with hands, thighs, shanks with feet. Winter, "Biomechanics and Motor Control of Human Movement".
SEGMENTS = (
    *((0.081, 8, 10, 0.8), (0.497, 0, 8, 0.5)),
    *((0.028, 11, 12, 0.436), (0.028, 14, 15, 0.436), (0.022, 12, 13, 0.68), (0.022, 15, 16, 0.68)),
    *((0.100, 4, 5, 0.433), (0.100, 1, 2, 0.433), (0.061, 5, 6, 0.606), (0.061, 2, 3, 0.606)),
)


def estimate_up(joints: Floats, ups: Floats | None) -> Doubles:
    """The first guess of up: half what the lifter says, half how people keep their balance.

    Where the lifter does not say, balance alone.
    """
    if not any(len(known) for track in joints for known in _complete(track)):
        return np.array((0.0, -1.0, 0.0))
    said = [] if ups is None else [up[np.isfinite(up).all(1)] for up in ups]
    if not sum(map(len, said)):
        bodies = [known[:, 8] - known[:, ANKLES].mean(1) for track in joints for known in _complete(track)]
        return balance(joints, unit(np.median(np.concatenate(bodies), axis=0)))
    up = unit(np.concatenate(said).mean(0).astype(np.float64))
    return unit(up + balance(joints, up))


def _complete(joints: Floats) -> Iterator[Doubles]:
    """The poses (N, 17, 3) of which all joints are known, block by block."""
    for part in blocks(0, len(joints)):
        known = np.isfinite(joints[part]).all((1, 2))
        yield joints[part][known].astype(np.float64)


def balance(joints: Iterable[Floats], up: Doubles) -> Doubles:
    """Up from where the centre of mass is: over the feet, on average, whoever does not fall.

    joints: for each person (T, 17, 3), Human3.6M-17, NaN where unknown. up: a first guess, which tells the
    standing foot (the lower one) from the other and the front of the foot from its heel.
    """
    away = []
    for pose in (known for track in joints for known in _complete(track)):
        ankles = pose[:, ANKLES]
        height = ankles @ up
        weight = np.exp(-(height - height.min(1, keepdims=True)) / STANDING_SPREAD)
        weight /= weight.sum(1, keepdims=True)
        ahead = np.cross(pose[:, 4] - pose[:, 1], up)
        ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
        support = (weight[..., None] * ankles).sum(1) + MIDDLE_OF_FOOT * ahead
        offset = centre_of_mass(pose) - support
        away.append(offset / np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-9))
    return unit(np.concatenate(away).mean(0))


def centre_of_mass(joints: Doubles) -> Doubles:
    """Centres of mass (T, 3) of Human3.6M-17 joints, by the segment masses of Dempster and Winter."""
    total = sum(segment[0] for segment in SEGMENTS)
    parts = (
        mass * (joints[:, start] + share * (joints[:, end] - joints[:, start]))
        for mass, start, end, share in SEGMENTS
    )
    return np.asarray(sum(parts) / total)


def contacts(ankles: Doubles, times: Doubles, up: Doubles) -> Doubles:
    """Where one person's feet touched the ground (N, 3): where they rested, else where they were lowest.

    ankles: (T, 2, 3), NaN where unknown.
    """
    rested = _rests(ankles, times)
    return rested if len(rested) else _touches(ankles, times, up)


def _rests(ankles: Doubles, times: Doubles) -> Doubles:
    """The mean place of each ankle for each second that it stood still."""
    places = []
    if len(times) < 3:
        return np.zeros((0, 3))
    for path in np.moveaxis(ankles, 1, 0):
        speed = np.linalg.norm(np.gradient(path, times, axis=0), axis=1)
        still = np.nan_to_num(speed, nan=np.inf) < RESTING_SPEED
        edges = np.flatnonzero(np.diff(np.concatenate(([0], still.astype(int), [0]))))
        for first, end in zip(edges[::2], edges[1::2], strict=True):
            if times[end - 1] - times[first] >= 0.1:
                # A long stand counts more than a step: as a foot that is put down once a second.
                pieces = max(1, round(float(times[end - 1] - times[first])))
                places += [piece.mean(0) for piece in np.array_split(path[first:end], pieces)]
    return np.array(places).reshape(-1, 3)


def _touches(ankles: Doubles, times: Doubles, up: Doubles) -> Doubles:
    """For each second the mean place of the lower ankle, over the quarter in which it was lowest."""
    known = np.flatnonzero(np.isfinite(ankles).all((1, 2)))
    height = ankles[known] @ up
    lower = height.argmin(1)
    places = []
    for second in np.unique(np.floor(times[known])):
        inside = np.flatnonzero(np.floor(times[known]) == second)
        low = height[inside, lower[inside]]
        chosen = inside[low <= np.quantile(low, 0.25)]
        places.append(ankles[known[chosen], lower[chosen]].mean(0))
    return np.array(places).reshape(-1, 3)


def level(up: Doubles, places: Doubles, prior: float = 5.0, spread: float = 0.08) -> Doubles:
    """`up` corrected so that the places where feet stood lie at one height.

    A least-squares turn by a small angle about the two horizontal axes, held back by a prior of `prior`
    degrees; contact heights are good to `spread` metres. People who stay in one place say little about the
    floor, and then the first guess stays.
    """
    if len(places) < 2:
        return up
    axes = axes_from_up(up)
    local = (places - np.median(places, axis=0)) @ axes.T
    near = np.abs(local[:, 2]) < max(3 * np.median(np.abs(local[:, 2])), 0.15)  # stairs, chairs, failures
    if near.sum() < 2:
        return up
    local = local[near] - local[near].mean(0)
    normal = local[:, :2].T @ local[:, :2] / spread**2 + np.eye(2) / np.radians(prior) ** 2
    turn = np.linalg.solve(normal, -local[:, :2].T @ local[:, 2] / spread**2)
    turn *= min(1.0, np.radians(2 * prior) / max(float(np.linalg.norm(turn)), 1e-9))
    return unit(up + turn @ axes[:2])


def axes_from_up(up: Doubles) -> Doubles:
    """Camera-to-world rotation (3, 3): z is `up`, y looks where the camera looks, along the floor."""
    forward = np.array((0.0, 0.0, 1.0)) - up[2] * up
    if np.linalg.norm(forward) < 0.1:  # the camera looks straight down or up
        forward = np.array((0.0, -1.0, 0.0)) + up[1] * up
    y = unit(forward)
    return np.stack((np.cross(y, up), y, up))


def ground_heights(ankles: Doubles, up: Doubles, fps: float) -> Doubles:
    """How high (T,) along `up` a person touches the ground about each frame of a stretch.

    A low percentile of the lower ankle over a good second: a jump is shorter than that.
    """
    height = (ankles @ up).min(1)
    window = max(3, round(STEP_TIME * fps)) | 1
    return percentile_filter(height, 15, size=window, mode="nearest")


def common_floor(touch: Sequence[Doubles], trust: Sequence[float]) -> tuple[list[float], float]:
    """A size factor for each person, and the height of ankles on the floor.

    touch: for each person the heights (N,) at which it touched the ground. trust: how well each one's feet
    were seen; who has less than half of the best has no say.

    One camera cannot tell a small person from a far one; that they stand on one floor can. The floor is
    where most people stand within a fifth of its distance below the camera, the lowest such place when there
    are several: people stand on walls and stairs, never under the floor. Who stands there gets a factor,
    the others, and somebody alone, get 1.
    """
    heights = [float(np.median(own)) if len(own) else np.nan for own in touch]
    enough = max(trust, default=0.0) / 2
    heard = [h for h, seen in zip(heights, trust, strict=True) if np.isfinite(h) and seen >= enough]
    if not heard:
        return [1.0] * len(heights), 0.0
    # A camera near the height of the floor says nothing of sizes: then everybody is only like themselves.
    groups = [[other for other in heard if other == own or _alike(own, other)] for own in heard]
    most = max(map(len, groups))
    floor = float(np.median(min((group for group in groups if len(group) == most), key=np.median)))
    alone = len(heights) == 1
    return [floor / own if _alike(floor, own) and not alone else 1.0 for own in heights], floor


def _alike(a: float, b: float) -> bool:
    """Whether two heights, measured from the camera, could be one floor under people of different size."""
    return a * b > 0 and min(abs(a), abs(b)) > 0.3 and 0.8 <= a / b <= 1.25


def snap_to_floor(root: Doubles, touch: Doubles, floor: float, up: Doubles, fps: float) -> Doubles:
    """A trajectory (T, 3) moved along the line of sight so that its feet touch the floor where they stood.

    Depth comes from apparent size and wanders; seen from above, a wrong depth is a wrong height. Only what
    lasts longer than a step is corrected, so jumps stay; and nothing that would need more than a tenth of
    the distance (somebody on a wall, a camera at the height of the floor).

    touch: (T,) from `ground_heights`. floor: from `common_floor`.
    """
    sight = root / root[:, 2:]
    slope = sight @ up
    # Far from zero when the camera looks down on the floor; near zero depth says nothing about height.
    need = (floor - touch) * slope / (slope**2 + 0.1**2)
    trust = np.clip(2 - np.abs(need) / (STRETCH * root[:, 2]), 0, 1)
    shift = smooth((trust * need)[:, None].astype(np.float32), fps, cutoff=1.0)
    return root + shift * sight


def unit(v: Doubles) -> Doubles:
    """v with length 1."""
    return v / max(float(np.linalg.norm(v)), 1e-9)
