"""The rendered scene: a pinhole camera, a sunny sports court, and shading of skin and cloth.

Colours are linear red, green, blue until the very end. World: metres, z up, floor at z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from demo.types import Image
from tools.mannequin import Array, Body, Cone, Material, f32

SUN = f32([-0.46, -0.62, 0.86]) / np.float32(np.linalg.norm([-0.46, -0.62, 0.86]))
SUNLIGHT = f32([1.30, 1.19, 1.00])
SKYLIGHT = f32([0.42, 0.50, 0.62])
BOUNCE = f32([0.32, 0.27, 0.24])
ALBEDO = f32(
    [[0.70, 0.40, 0.28], [0.80, 0.25, 0.055], [0.035, 0.07, 0.19], [0.78, 0.79, 0.80], [0.055, 0.03, 0.018]]
)
GLOSS = f32([0.10, 0.015, 0.015, 0.08, 0.14])
SHADOW_EXTENT, SHADOW_SCALE = 3.0, 160  # metres to each side of the origin, pixels a metre


@dataclass(frozen=True)
class Camera:
    """A camera that stands still: pixel = K (R x + t), pixel centres at whole numbers."""

    K: NDArray[np.float64]
    R: NDArray[np.float64]
    t: NDArray[np.float64]
    size: tuple[int, int]

    @staticmethod
    def look_at(position: tuple[float, float, float], target: tuple[float, float, float], focal: float,
             size: tuple[int, int]) -> Camera:  # fmt: skip
        """Return a level camera at `position` aimed at `target`. `focal`: pixels. `size`: (width, height)."""
        forward = np.subtract(target, position) / np.linalg.norm(np.subtract(target, position))
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward])
        intrinsic = np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1.0]])
        return Camera(intrinsic, rotation, -rotation @ np.asarray(position, dtype=float), size)

    @property
    def position(self) -> Array:
        """Position in the world, metres (3,)."""
        return (-self.R.T @ self.t).astype(np.float32)

    def enlarged(self, factor: int) -> Camera:
        """Return the same view with `factor` times as many pixels each way."""
        grow = np.diag([factor, factor, 1.0])
        grow[:2, 2] = (factor - 1) / 2
        return Camera(grow @ self.K, self.R, self.t, (self.size[0] * factor, self.size[1] * factor))

    def to_camera(self, world: NDArray[np.floating]) -> NDArray[np.float64]:
        """Transform world metres (..., 3) to camera metres, x right, y down, z forward."""
        return np.asarray(world, dtype=np.float64) @ self.R.T + self.t

    def project(self, world: NDArray[np.floating]) -> NDArray[np.float64]:
        """Project world metres (..., 3) to pixels (..., 2)."""
        seen = self.to_camera(world) @ self.K.T
        return seen[..., :2] / seen[..., 2:]

    def rays(self, pixels: ArrayLike) -> Array:
        """Return unit directions in the world (N, 3) through pixels (N, 2)."""
        at = np.asarray(pixels, dtype=np.float64)
        flat = np.concatenate([at, np.ones((*at.shape[:-1], 1))], axis=-1)
        rays = flat @ np.linalg.inv(self.K).T @ self.R
        return (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).astype(np.float32)


def _clouds(shape: tuple[int, int], cells: int, octaves: int, seed: int) -> Array:
    """Make smooth noise in 0..1, `cells` bumps across, each octave half as large and strong."""
    rng = np.random.default_rng(seed)
    total = np.zeros(shape, dtype=np.float32)
    for octave in range(octaves):
        count = cells * 2**octave
        grid = rng.random((max(2, count * shape[0] // shape[1]), count), dtype=np.float32)
        total += cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC) * 0.5**octave
    return (total - total.min()) / np.ptp(total)


def scenery(camera: Camera) -> tuple[Array, Array]:
    """Return the background (H, W, 3), and the floor's positions (H, W, 2), NaN above the horizon."""
    picture, _ = _scenery(camera.enlarged(2))  # four rays a pixel
    return cv2.resize(picture, camera.size, interpolation=cv2.INTER_AREA), _scenery(camera)[1]


def _scenery(camera: Camera) -> tuple[Array, Array]:
    width, height = camera.size
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    rays = camera.rays(np.stack([columns, rows], axis=-1).reshape(-1, 2)).reshape(height, width, 3)
    up = rays[..., 2]
    steps = np.where(up < -1e-4, -camera.position[2] / np.minimum(up, -1e-4), np.nan)
    floor = camera.position[:2] + rays[..., :2] * steps[..., None]
    picture = _sky(rays)
    ground = _ground(floor)
    seen = np.isfinite(steps) & (steps < 400)
    picture[seen] = ground[seen]
    trees = _trees(rays)
    picture = picture * (1 - trees[..., :1]) + trees[..., 1:] * trees[..., :1]
    far = np.clip((np.nan_to_num(steps, nan=400.0) - 7.0) / 18.0, 0.0, 1.0)[..., None]
    soft = cv2.GaussianBlur(picture, (0, 0), height / 300)  # the lens is focused on the person
    return (picture * (1 - far) + soft * far).astype(np.float32), floor.astype(np.float32)


def _sky(rays: Array) -> Array:
    height = np.clip(rays[..., 2:], 0, 1)
    blue = f32([0.16, 0.36, 0.78]) * height**0.5 + f32([0.66, 0.80, 0.95]) * (1 - height**0.5)
    noise = _clouds((256, 1024), 10, 5, seed=4)
    x = ((np.arctan2(rays[..., 0], rays[..., 1]) / np.pi * 2.0 + 2.0) * 256).astype(np.float32)
    y = (np.clip(rays[..., 2], 0, 1) * 420).astype(np.float32)
    cover = cv2.remap(noise, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    cover = np.clip((cover - 0.52) * 3.5, 0, 0.85)[..., None]
    return (blue * (1 - cover) + f32([0.95, 0.95, 0.96]) * cover).astype(np.float32)


def _trees(rays: Array) -> Array:
    """Return opacity and colour (H, W, 4) of two rows of trees behind the grass."""
    noise = _clouds((256, 2048), 90, 5, seed=11)
    leaves = _clouds((256, 2048), 300, 3, seed=12)
    x = ((np.arctan2(rays[..., 0], rays[..., 1]) / np.pi * 2 + 1.0) * 1024).astype(np.float32)
    picture = np.zeros((*x.shape, 4), dtype=np.float32)
    for row, tall, base, color in (
        (30.0, 0.070, 0.050, (0.24, 0.34, 0.36)),
        (150.0, 0.075, 0.012, (0.07, 0.14, 0.05)),
    ):
        crown = cv2.remap(noise, x, np.full_like(x, row), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        inside = np.clip((base + tall * crown - rays[..., 2]) * 220, 0, 1) * (rays[..., 2] > -0.012)
        y = ((rays[..., 2] + 0.1) * 900 + row).astype(np.float32)
        tint = cv2.remap(leaves, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)[..., None]
        shade = f32(color) * (0.35 + 1.3 * tint)
        picture[..., 1:] = picture[..., 1:] * (1 - inside[..., None]) + shade * inside[..., None]
        picture[..., 0] = np.maximum(picture[..., 0], inside)
    return picture


def _ground(floor: NDArray[np.floating]) -> Array:
    """Return colours of floor positions (H, W, 2): a coated court with white lines, grass around it."""
    x, y = (np.nan_to_num(floor[..., i]).astype(np.float32) for i in (0, 1))
    away = np.hypot(x, y + 4.5) + 1.0
    grain = _clouds((1024, 1024), 256, 3, seed=1)
    patches = _clouds((1024, 1024), 6, 4, seed=2)
    blades = _clouds((1024, 1024), 128, 4, seed=3)
    wrap = {"interpolation": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REFLECT}
    fine = cv2.remap(grain, (x + 20) * 60 % 1023, (y + 20) * 60 % 1023, **wrap) - 0.5
    large = cv2.remap(patches, (x + 20) * 24 % 1023, (y + 20) * 24 % 1023, **wrap) - 0.5
    grass = cv2.remap(blades, (x + 60) * 12 % 1023, (y + 60) * 12 % 1023, **wrap) - 0.5
    tone = (1.0 + 0.45 * fine * np.clip(6 / away, 0, 1) + 0.22 * large)[..., None]
    court = f32([0.10, 0.225, 0.27]) * tone
    apron = f32([0.115, 0.27, 0.17]) * tone
    lawn = f32([0.16, 0.27, 0.07]) * (1.0 + 0.9 * grass[..., None])
    blur = np.clip(away * 0.0022, 0.004, 0.2)

    def band(distance: Array, half: float) -> Array:
        return np.clip((half - np.abs(distance)) / blur + 0.5, 0, 1)[..., None]

    inside_court = band(x, 4.6) * band(y - 1.2, 4.2)
    inside_apron = band(x, 6.6) * band(y - 1.2, 6.4)
    color = lawn * (1 - inside_apron) + apron * inside_apron
    color = color * (1 - inside_court) + court * inside_court
    edge_x = band(np.abs(x) - 4.6, 0.03) * band(y - 1.2, 4.23)
    edge_y = band(np.abs(y - 1.2) - 4.2, 0.03) * band(x, 4.63)
    middle = band(y - 1.2, 0.03) * band(x, 4.6)
    ring = band(np.hypot(x, y - 1.2) - 1.8, 0.03)
    line = np.maximum(np.maximum(edge_x, edge_y), np.maximum(middle, ring))
    paint = f32([0.74, 0.75, 0.73]) * (1.0 + 0.2 * fine[..., None])
    color = color * (1 - 0.9 * line) + paint * 0.9 * line
    return (color * (SUNLIGHT * SUN[2] + SKYLIGHT)).astype(np.float32)


def floor_shadow(body: Body) -> Array:
    """Return the share of sunlight on the floor, as a map around the origin, see `SHADOW_EXTENT`."""
    side = int(2 * SHADOW_EXTENT * SHADOW_SCALE)
    hard, contact = (np.full((side, side), 255, dtype=np.uint8) for _ in range(2))
    for piece in body.pieces:
        if isinstance(piece, Cone):
            ends, radii = (piece.start, piece.end), (piece.start_radius, piece.end_radius)
        else:
            ends, radii = (piece.frame.at(*piece.centre),) * 2, (float(np.mean(piece.radii)),) * 2
        for share in np.linspace(0, 1, 9):
            point = ends[0] * (1 - share) + ends[1] * share
            radius = int((radii[0] * (1 - share) + radii[1] * share) * SHADOW_SCALE * 16)
            spot = (point[:2] - SUN[:2] / SUN[2] * point[2] + SHADOW_EXTENT) * SHADOW_SCALE * 16
            cv2.circle(hard, (int(spot[0]), int(spot[1])), radius, 0, -1, cv2.LINE_AA, 4)
            if point[2] < 0.16:
                below = (point[:2] + SHADOW_EXTENT) * SHADOW_SCALE * 16
                cv2.circle(contact, (int(below[0]), int(below[1])), radius, 0, -1, cv2.LINE_AA, 4)
    sun = cv2.GaussianBlur(hard, (0, 0), 2.2).astype(np.float32) / 255
    near = cv2.GaussianBlur(contact, (0, 0), 7).astype(np.float32) / 255
    return (0.36 + 0.64 * sun) * (0.62 + 0.38 * near)


def shade(body: Body, points: Array, rays: Array, distances: Array) -> Array:
    """Return the light (N, 3) of surface points (N, 3) to the camera, along `rays` (N, 3)."""
    material = distances.argmin(axis=0)
    normal = _crumpled(body, points, _normals(body, points), material)
    facing = np.clip(-np.einsum("ni,ni->n", normal, rays), 0, 1)
    sun = np.clip(normal @ SUN, 0, 1)
    toward = np.flatnonzero(sun > 0)
    sun[toward] *= _sunlit(body, points[toward] + normal[toward] * np.float32(0.012))
    open_sky = np.ones(len(points), dtype=np.float32)
    for reach in (0.03, 0.10):
        lit = body.distance(points + normal * np.float32(reach)) / np.float32(reach)
        open_sky *= 0.45 + 0.55 * np.clip(lit, 0, 1)
    above = (0.5 + 0.5 * normal[:, 2])[:, None]
    ambient = (SKYLIGHT * above + BOUNCE * (1 - above)) * open_sky[:, None]
    # Light that entered skin leaves it nearby: the edge of its shade is soft and red.
    wrap = np.clip((normal @ SUN + 0.25) / 1.25, 0, 1)[:, None] * f32([0.16, 0.05, 0.03])
    wrap *= (material == Material.SKIN)[:, None] * open_sky[:, None]
    color = paint(body, points, material) * (SUNLIGHT * sun[:, None] + ambient + wrap)
    half = SUN - rays
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    glint = (
        np.clip(np.einsum("ni,ni->n", normal, half), 0, 1) ** 28 * sun + 0.35 * (1 - facing) ** 4 * open_sky
    )
    return color + (glint * GLOSS[material])[:, None] * SUNLIGHT


def _normals(body: Body, points: Array) -> Array:
    """Return unit normals (N, 3) by differences over the four corners of a tetrahedron."""
    corners = f32([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]])
    normal = np.zeros_like(points)
    for corner in corners:
        normal += corner * body.distance(points + corner * np.float32(0.0018))[:, None]
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)


def _crumpled(body: Body, points: Array, normal: Array, material: NDArray[np.intp]) -> Array:
    """Perturb normals (N, 3) by the folds of cloth and the strands of hair, which move with the body."""
    cloth = (material == Material.SHIRT) | (material == Material.SHORTS)
    x, y, z = body.chest.local(points).T
    fold = np.sin(34 * z + 15 * x + 2.2 * np.sin(17 * x + 11 * y)) + 0.7 * np.sin(52 * z - 31 * x + 19 * y)
    slope = np.float32(0.17) * (fold * cloth)[:, None] * (body.chest.axes[2] + 0.5 * body.chest.axes[0])
    x, y, z = body.head.local(points).T
    strand = np.sin(260 * x + 3 * np.sin(60 * y)) + np.sin(410 * x + 90 * z)
    slope += np.float32(0.16) * (strand * (material == Material.HAIR))[:, None] * body.head.axes[0]
    bent = normal + slope
    return bent / np.maximum(np.linalg.norm(bent, axis=1, keepdims=True), 1e-9)


def _sunlit(body: Body, points: Array) -> Array:
    """Return the share of sunlight at points (N, 3), softly shaded by the body's other limbs."""
    light = np.ones(len(points), dtype=np.float32)
    travelled = np.full(len(points), 0.015, dtype=np.float32)
    for _ in range(12):
        gap = body.distance(points + SUN * travelled[:, None])
        light = np.minimum(light, np.clip(0.5 + 14.0 * gap / travelled, 0, 1))
        travelled += np.clip(gap, 0.015, 0.12)
    return light * light * (3 - 2 * light)


def paint(body: Body, points: Array, material: NDArray[np.intp]) -> Array:
    """Return colours (N, 3) of surface points: face, stripes, socks and soles over the plain materials."""
    color = ALBEDO[material].copy()
    skin = material == Material.SKIN
    face = body.head.local(points)
    left, ahead, up = np.abs(face[:, 0]), face[:, 1], face[:, 2]
    smile = up - 5.0 * left * left
    front = skin & (ahead > 0.03) & (np.linalg.norm(face, axis=1) < 0.16)

    def spot(x: float, z: float, wide: float, tall: float) -> Array:
        reach = np.hypot((left - x) / wide, ((smile if z < -0.05 else up) - z) / tall)
        return (np.clip((1.25 - reach) / 0.5, 0, 1) * front)[:, None].astype(np.float32)

    for share, tone in (
        (0.55 * spot(0.043, -0.025, 0.022, 0.018), (0.66, 0.26, 0.18)),  # cheeks
        (0.55 * spot(0.031, 0.004, 0.021, 0.012), (0.36, 0.17, 0.11)),  # eye sockets
        (spot(0.031, 0.003, 0.0135, 0.0068), (0.80, 0.78, 0.76)),
        (spot(0.031, 0.003, 0.0066, 0.0070), (0.03, 0.02, 0.015)),
        (0.9 * spot(0.031, 0.0115, 0.0150, 0.0022), (0.05, 0.025, 0.015)),  # lashes
        (0.9 * spot(0.032, 0.026, 0.0200, 0.0042), (0.05, 0.028, 0.018)),  # brows
        (spot(0.0, -0.066, 0.0245, 0.0068), (0.45, 0.115, 0.095)),
        (0.8 * spot(0.0, -0.066, 0.0220, 0.0014), (0.12, 0.03, 0.025)),
        (0.7 * spot(0.0075, -0.041, 0.0040, 0.0028), (0.20, 0.07, 0.05)),  # nostrils
    ):
        color = color * (1 - share) + f32(tone) * share
    for knee, ankle in body.shins:
        along = ankle - knee
        share = (points - knee) @ along / float(along @ along)
        beside = np.linalg.norm(points - knee - share[:, None] * along, axis=1)
        color[skin & (share > 0.78) & (share < 1.3) & (beside < 0.10)] = (0.80, 0.80, 0.79)
    for foot in body.feet:
        place = foot.local(points)
        shoe = (
            (material == Material.SHOE) & (np.abs(place[:, 0]) < 0.055) & (np.abs(place[:, 1] - 0.07) < 0.16)
        )
        _cover(color, shoe * _within(place[:, 2] + 0.085, 0.033), (0.62, 0.12, 0.05))  # sole
        _cover(color, shoe * _within(place[:, 1] - 0.035, 0.013), (0.05, 0.12, 0.30))  # band over the instep
    torso = body.chest.local(points)
    shirt = (material == Material.SHIRT) & (np.abs(torso[:, 0]) < 0.17)
    _cover(color, shirt * _within(torso[:, 2] + 0.005, 0.028), (0.82, 0.80, 0.74))
    return color


def _within(distance: Array, half: float) -> Array:
    """Return 1 where a coordinate is less than `half` metres from zero, 0 beyond, with a ramp of 4 mm."""
    return np.clip((half - np.abs(distance)) / np.float32(0.004) + 0.5, 0, 1)


def _cover(color: Array, share: Array, tone: tuple[float, float, float]) -> None:
    """Mix a tone into colours (N, 3), in place, by shares (N,)."""
    color += (f32(tone) - color) * share[:, None].astype(np.float32)


def develop(linear: Array) -> Image:
    """Convert linear light (H, W, 3) to an 8-bit BGR picture: a soft shoulder for highlights, then sRGB."""
    bright = np.clip(linear, 0, None)
    bright = bright * (1 + bright / 4.0) / (1 + bright * 0.62)
    curve = np.where(
        bright < 0.0031308, 12.92 * bright, 1.055 * np.maximum(bright, 1e-6) ** (1 / 2.4) - 0.055
    )
    return np.ascontiguousarray((np.clip(curve, 0, 1) * 255 + 0.5).astype(np.uint8)[..., ::-1])
