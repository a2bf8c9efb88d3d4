"""One level floor for a clip: which way is up, how high the floor is, which joints bear on it.

Everything is in camera axes, metres from the camera. `up` is the unit vector (3,) against gravity. It is one
for the clip: the most probable direction under three sources, each with outliers. Cameras are held about
level; the lifter predicts up; and resting joints lie on the floor, none under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import percentile_filter

from demo.types import Doubles, Floats, Segments
from lifter.clock import frame_rate, runs
from lifter.skeletons import H36M_17

# Metres from a joint to the ground it bears on: about half the thickness of that part of the body; for an
# ankle its height over the sole, .039 of stature (Winter, Biomechanics and Motor Control of Human Movement).
_CLEARANCE = {"ankle": 0.08, "knee": 0.05, "wrist": 0.04, "elbow": 0.04, "shoulder": 0.08, "head": 0.10}
_TRUNK_CLEARANCE = 0.11  # pelvis, hips, spine, thorax, neck
CLEARANCE = np.array([_CLEARANCE.get(name.split("_")[-1], _TRUNK_CLEARANCE) for name in H36M_17.joints])
_THORAX = H36M_17.joints.index("thorax")
_ANKLES = (H36M_17.joints.index("right_ankle"), H36M_17.joints.index("left_ankle"))
_HIPS = (H36M_17.joints.index("right_hip"), H36M_17.joints.index("left_hip"))

RESTING_SPEED = (
    0.25  # metres a second; a joint that bears weight is slower, fitted joints of still people are
)
RESTING_TIME = 0.2  # seconds that it is so at least
SAME_PLACE = 0.15  # metres within which a joint rests in one place, however long
STEP_TIME = 1.2  # seconds within which a person on the floor touches it, jumping or not
HEIGHT_SIGMA = 0.05  # metres, of a bearing joint's height
DEPTH_SIGMA = 0.10  # metres, of its distance within the body
REACH = 1.7  # metres over which resting joints that do not touch the floor are spread: a body's height
# Probability that a resting joint bears on the floor, for lifters that do not predict contacts. One joint
# stands for each part of the body: hips, spine, neck and shoulders rest where pelvis and thorax do and add
# nothing.
_BEARS = {
    "ankle": 0.5,
    "wrist": 0.25,
    "knee": 0.1,
    "pelvis": 0.1,
    "elbow": 0.05,
    "thorax": 0.05,
    "head": 0.03,
}
BEARS = np.array([_BEARS.get(name.split("_")[-1], 0.0) for name in H36M_17.joints])

# How cameras are held, degrees: (share, pitch, roll). Most by hand or on a tripod, about level; some tilted
# (four cameras of one laboratory: pitch 18 to 25, roll 3 to 26); a few anyhow, upside down too. Assumed.
LEVEL_CAMERAS = ((0.75, 12.0, 4.0), (0.23, 25.0, 25.0))
# The lifter's up, degrees: (share, sigma). On simulated held-out motion it is off by 4.6 (median, 4 an axis);
# of people who lie or support themselves on their hands by 20 to 40.
LIFTER_UP = ((0.80, 4.0), (0.17, 25.0))
LIFTER_UP_LYING = ((0.20, 4.0), (0.70, 25.0))
# Up by balance: from the feet to the centre of mass. On lifted takes of four real cameras it is off by 2 to
# 10 degrees (`tools/measure_views.py`), by anything on people who lie.
BALANCE = ((0.60, 4.0), (0.30, 35.0))
# Balance: (part of the body's mass, from joint, to joint, centre as a part of the way): head, trunk, upper
# arms, forearms with hands, thighs, shanks with feet (Winter, same book, table 4.1).
SEGMENTS = (
    *((0.081, 8, 10, 0.8), (0.497, 0, 8, 0.5)),
    *((0.028, 11, 12, 0.436), (0.028, 14, 15, 0.436), (0.022, 12, 13, 0.68), (0.022, 15, 16, 0.68)),
    *((0.100, 4, 5, 0.433), (0.100, 1, 2, 0.433), (0.061, 5, 6, 0.606), (0.061, 2, 3, 0.606)),
)
STANDING_SPREAD = 0.04  # metres; a foot so much higher than the other bears 1/e of its weight
MIDDLE_OF_FOOT = 0.05  # metres ahead of the ankle, about .03 of stature (Winter, same table)
PLACE_SIGMA = (
    0.08  # part of the height of the floor by which people's own floors differ: their sizes are estimates
)
UPRIGHT = np.cos(np.radians(45))  # cosine of the trunk's lean up to which the lifter's up is reliable
_ANYWHERE = 1 / 41253  # a sphere has so many square degrees
_COARSE, _FINE, _NEAR = 4.0, 1.0, 10.0  # degrees: grids of up over the sphere, then about the best


@dataclass(frozen=True)
class Places:
    """Where one person's joints rested: points (N, 3), joints (N,), probability (N,) that they bear weight.

    poses: (M, 17, 3) spread over the clip; nothing is under the floor.
    """

    points: Doubles
    joints: np.ndarray
    bears: Doubles
    poses: Doubles


@dataclass(frozen=True)
class Up:
    """up: (3,) of unit length. sigma: degrees by which it may be off."""

    up: Doubles
    sigma: float


def resting_places(joints: Doubles, times: Doubles, contacts: Floats | None = None) -> Places:
    """Find where a person's joints rest.

    Args:
        joints: (T, 17, 3) metres from the camera, NaN where unknown.
        times: (T,) seconds.
        contacts: (T, 17) the lifter's probability that a joint bears on the ground, or None.
    """
    known = np.isfinite(joints).all((1, 2))
    points, numbers, bears = [], [], []
    if known.sum() > 2:
        speed = joint_speeds(joints, times)
        still = speed < RESTING_SPEED if contacts is None else np.nan_to_num(contacts) > 0.5
        for joint in np.flatnonzero(BEARS):
            places: list[Doubles] = []
            for first, end in runs(still[:, joint] & known):
                if times[end - 1] - times[first] < RESTING_TIME:
                    continue
                place = np.median(joints[first:end, joint], axis=0)
                if all(np.linalg.norm(place - other) > SAME_PLACE for other in places):
                    places.append(place)
                    points.append(place)
                    numbers.append(joint)
                    share = BEARS[joint] if contacts is None else float(contacts[first:end, joint].mean())
                    bears.append(min(share, 0.95))
    poses = joints[known]
    some = poses[:: max(1, len(poses) // 30)]
    return Places(np.array(points).reshape(-1, 3), np.array(numbers, int), np.array(bears), some)


def joint_speeds(joints: Doubles, times: Doubles) -> Doubles:
    """Return the speeds (T, 17) of joints (T, 17, 3), metres a second; infinite where unknown."""
    if len(times) < 2:
        return np.full(joints.shape[:2], np.inf)
    return np.nan_to_num(np.linalg.norm(np.gradient(joints, times, axis=0), axis=-1), nan=np.inf)


@dataclass(frozen=True)
class LifterUp:
    """Up (3,) of unit length from the lifted poses, and (share, sigma) in degrees of its errors."""

    up: Doubles
    errors: tuple[tuple[float, float], ...]

    @staticmethod
    def of(ups: Floats | None, joints: Floats) -> LifterUp | None:
        """Return the median of the lifter's up over the frames with an upright pose.

        Where under a fifth of the frames are upright, the median is over all frames, with larger errors.
        Without `ups` it is up by `balance`.

        Args:
            ups: (..., T, 3) predicted up, NaN where unknown; None for lifters that do not predict it.
            joints: (..., T, 17, 3) poses, NaN where unknown.

        Returns:
            None without any pose.
        """
        posed = np.isfinite(joints).all((-1, -2))
        if not posed.any():
            return None
        if ups is None or not np.isfinite(ups).any():
            return LifterUp(balance(joints[posed].astype(np.float64)), BALANCE)
        valid = np.isfinite(ups).all(-1) & posed
        up = ups[valid] / np.linalg.norm(ups[valid], axis=-1, keepdims=True)
        trunk = (joints[valid][:, _THORAX] - joints[valid][:, 0]).astype(np.float64)
        upright = (trunk * up).sum(-1) > UPRIGHT * np.linalg.norm(trunk, axis=-1)
        if upright.mean() < 0.2:
            return LifterUp(unit(np.median(up, axis=0)), LIFTER_UP_LYING)
        return LifterUp(unit(np.median(up[upright], axis=0)), LIFTER_UP)


def balance(poses: Doubles) -> Doubles:
    """Estimate up (3,) from poses (N, 17, 3): on average the centre of mass is over the feet.

    The trunk decides which foot is the lower one and bears the weight.
    """
    trunk = unit(np.median(poses[:, _THORAX] - poses[:, _ANKLES].mean(1), axis=0))
    ankles = poses[:, _ANKLES]
    height = ankles @ trunk
    weight = np.exp(-(height - height.min(1, keepdims=True)) / STANDING_SPREAD)
    weight /= weight.sum(1, keepdims=True)
    ahead = np.cross(poses[:, _HIPS[1]] - poses[:, _HIPS[0]], trunk)
    ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    offset = centre_of_mass(poses) - (weight[..., None] * ankles).sum(1) - MIDDLE_OF_FOOT * ahead
    return unit((offset / np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-9)).mean(0))


def centre_of_mass(joints: Doubles) -> Doubles:
    """Return the centres of mass (T, 3) of joints (T, 17, 3)."""
    total = sum(segment[0] for segment in SEGMENTS)
    parts = (
        mass * (joints[:, start] + share * (joints[:, end] - joints[:, start]))
        for mass, start, end, share in SEGMENTS
    )
    return np.asarray(sum(parts) / total)


def estimate_up(places: Sequence[Places], lifter_up: LifterUp | None) -> Up:
    """Estimate up from people's resting joints, the prior of camera poses, and the lifter's up."""
    pitch, roll = np.meshgrid(np.arange(-88, 89, _COARSE), np.arange(-180, 180, _COARSE))
    best = _most_probable(np.stack((pitch.ravel(), roll.ravel()), 1), places, lifter_up)[0]
    span = np.arange(-_NEAR, _NEAR + _FINE / 2, _FINE)
    pitch, roll = np.meshgrid(best[0] + span, best[1] + span)
    return _most_probable(np.stack((pitch.ravel(), roll.ravel()), 1), places, lifter_up)[1]


def _most_probable(
    angles: Doubles, places: Sequence[Places], lifter_up: LifterUp | None
) -> tuple[Doubles, Up]:
    """Return the most probable pitch and roll of (N, 2), degrees, and the mean up over all of them."""
    pitch, roll = np.radians(angles).T
    ups = np.stack((np.cos(pitch) * np.sin(roll), -np.cos(pitch) * np.cos(roll), np.sin(pitch)), 1)
    score = np.log(_level_density(angles)) + np.log(np.cos(pitch).clip(1e-6))
    if lifter_up is not None:
        off = np.degrees(np.arccos(np.clip(ups @ lifter_up.up, -1, 1)))
        score += np.log(_lifter_density(off, lifter_up.errors))
    bearing = [_bearing(own, ups) for own in places if len(own.poses)]
    if bearing:
        score += sum(likely for likely, _ in bearing) + _one_floor(np.array([floor for _, floor in bearing]))
    weight = np.exp(score - score.max())
    weight /= weight.sum()
    mean = unit(weight @ ups)
    off = np.degrees(np.arccos(np.clip(ups @ mean, -1, 1)))
    return angles[int(score.argmax())], Up(mean, float(np.sqrt(weight @ off**2)))


def _level_density(angles: Doubles) -> Doubles:
    """Return the probability density (N,) of a camera's pitch and roll (N, 2), per square degree."""
    density = np.full(len(angles), (1 - sum(share for share, _, _ in LEVEL_CAMERAS)) * _ANYWHERE)
    roll = (angles[:, 1] + 180) % 360 - 180
    for share, sigma_pitch, sigma_roll in LEVEL_CAMERAS:
        exponent = (angles[:, 0] / sigma_pitch) ** 2 + (roll / sigma_roll) ** 2
        density += share * np.exp(-exponent / 2) / (2 * np.pi * sigma_pitch * sigma_roll)
    return density


def _lifter_density(off: Doubles, errors: Sequence[tuple[float, float]]) -> Doubles:
    """Return the probability density (N,) of errors (N,) of the lifter's up, per square degree."""
    density = np.full(len(off), (1 - sum(share for share, _ in errors)) * _ANYWHERE)
    for share, sigma in errors:
        density += share * np.exp(-((off / sigma) ** 2) / 2) / (2 * np.pi * sigma**2)
    return density


def _one_floor(floors: Doubles) -> Doubles:
    """Return the log likelihood (N,) that people's own floors (people, N), camera heights, are one.

    Student's t about their median, so that some may stand on stairs.
    """
    middle = np.median(floors, axis=0)
    off = (floors - middle) / np.hypot(HEIGHT_SIGMA, PLACE_SIGMA * middle)
    likely: Doubles = -1.5 * np.log1p(off**2 / 2).sum(0)
    return likely


def _bearing(own: Places, ups: Doubles) -> tuple[Doubles, Doubles]:
    """Return the log likelihood (N,) of a person's resting joints for ups (N, 3), and the best floors (N,).

    A resting joint bears on the floor, or is anywhere up to a body's height above it; no joint is under it.
    """
    heights = ups @ own.points.T - CLEARANCE[own.joints]
    rays = own.points / np.linalg.norm(own.points, axis=1, keepdims=True)
    sigma = np.hypot(HEIGHT_SIGMA, DEPTH_SIGMA * (ups @ rays.T))
    lowest = np.empty(len(ups))
    for part in range(0, len(ups), 500):
        reach = np.einsum("ni,mji->nmj", ups[part : part + 500], own.poses) - CLEARANCE
        lowest[part : part + 500] = np.quantile(reach.min(2), 0.1, axis=1)
    # A joint that rests in many places counts once: its errors are correlated.
    share = 1 / np.bincount(own.joints)[own.joints]
    best, height = np.full(len(ups), -np.inf), lowest
    # The floor is at one of the lowest places, or where nothing rests.
    for floor in (*np.sort(heights, axis=1)[:, :5].T, lowest):
        gap = heights - floor[:, None]
        on = own.bears * np.exp(-((gap / sigma) ** 2) / 2) / (np.sqrt(2 * np.pi) * sigma)
        above = (1 - own.bears) / REACH * (gap > 0)
        under = np.minimum(lowest - floor, 0) / HEIGHT_SIGMA
        likely = np.log(on + above + 1e-4) @ share - under**2 / 2
        height = np.where(likely > best, floor, height)
        best = np.maximum(best, likely)
    return best, height


def bearing_joints(joints: Doubles, times: Doubles, up: Doubles) -> Doubles:
    """Estimate the probability (T, 17) that low and slow joints of a stretch bear on the ground.

    Low is meant relative to where the person touches the ground about that time (`touch_heights`).
    """
    gap = joints @ up - CLEARANCE - touch_heights(joints, times, up)[:, None]
    low = np.exp(-((np.maximum(gap, 0) / HEIGHT_SIGMA) ** 2) / 2)
    slow = np.exp(-((joint_speeds(joints, times) / RESTING_SPEED) ** 2) / 2)
    return low * slow


def touch_heights(joints: Doubles, times: Doubles, up: Doubles) -> Doubles:
    """Return the heights (T,) along `up` at which a person touches the ground about each frame of a stretch.

    A low percentile of the lowest joint over a good second: a jump is shorter than that.
    """
    height = (joints @ up - CLEARANCE).min(1)
    window = max(3, round(STEP_TIME * frame_rate(times))) | 1
    return percentile_filter(height, 15, size=window, mode="nearest")


def touches(joints: Doubles, segments: Segments, times: Doubles, up: Doubles) -> Doubles:
    """Return `touch_heights` for all stretches of a person, (T,); NaN elsewhere."""
    out = np.full(len(times), np.nan)
    for first, end in segments:
        out[first:end] = touch_heights(joints[first:end], times[first:end], up)
    return out


def common_floor(touch: Sequence[Doubles], trust: Sequence[float]) -> tuple[list[float], float]:
    """Find a size factor for each person, and the height of the floor they share.

    Args:
        touch: for each person the heights (N,) metres at which they touched the ground.
        trust: mean keypoint score of each person; one with less than half of the highest does not count.

    One camera cannot distinguish a small person from a far one, but people on one floor can be compared. The
    floor is where most people stand within a fifth of its distance below the camera, the lowest such place
    when there are several: people stand on walls and stairs, never under the floor. People who stand there
    get a factor. The others, and a single person, get 1.
    """
    heights = [float(np.median(own)) if len(own) else np.nan for own in touch]
    enough = max(trust, default=0.0) / 2
    counted = [h for h, seen in zip(heights, trust, strict=True) if np.isfinite(h) and seen >= enough]
    if not counted:
        return [1.0] * len(heights), 0.0
    # At a camera near the height of the floor sizes are unknown: then each person is a group of their own.
    groups = [[other for other in counted if other == own or _may_share_floor(own, other)] for own in counted]
    most = max(map(len, groups))
    floor = float(np.median(min((group for group in groups if len(group) == most), key=np.median)))
    alone = len(heights) == 1
    return [floor / own if _may_share_floor(floor, own) and not alone else 1.0 for own in heights], floor


def _may_share_floor(a: float, b: float) -> bool:
    """Return whether two heights from the camera may be one floor under people of different size."""
    return a * b > 0 and min(abs(a), abs(b)) > 0.3 and 0.8 <= a / b <= 1.25


def axes_from_up(up: Doubles) -> Doubles:
    """Return the camera-to-world rotation (3, 3): z is `up`, y the viewing direction along the floor."""
    forward = np.array((0.0, 0.0, 1.0)) - up[2] * up
    if np.linalg.norm(forward) < 0.1:  # the camera points straight down or up
        forward = np.array((0.0, -1.0, 0.0)) + up[1] * up
    y = unit(forward)
    return np.stack((np.cross(y, up), y, up))


def unit(v: Doubles) -> Doubles:
    """Scale v to length 1."""
    return v / max(float(np.linalg.norm(v)), 1e-9)
