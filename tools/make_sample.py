"""Make the sample clip: a rendered person with the motion of a real one, and the exact 3D truth beside it.

Run with `python -m tools.make_sample MOCAP_FOLDER videos/`. The folder holds the free motion capture (see
`lifter.datasets.mocap.npz`). No person is filmed and no foreign picture is used: the clip may be passed on.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from multiprocessing import Pool
from pathlib import Path
from typing import Annotated

import av
import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from common.errors import DataError
from demo.types import Image
from lifter.datasets.mocap.npz import MotionSequence, load_mocap
from tools.mannequin import Array, Body, dress
from tools.studio import (
    SHADOW_EXTENT,
    SHADOW_SCALE,
    Camera,
    develop,
    floor_shadow,
    scenery,
    shade,
)

TAKE = "cmu__14_20"
START, SECONDS, FPS = 1.2, 7.4, 30
CAMERA = Camera.look_at((1.55, -4.35, 1.35), (0.0, 0.0, 0.96), 1075.0, (960, 540))
FINER = 3  # rays, each way, in a pixel that one ray cannot stand for
TILE = 8  # rays that share one coarse march
FAR = 12.0  # metres


def cut(take: MotionSequence, start: float, seconds: float, fps: int) -> tuple[Array, NDArray[np.float64]]:
    """Cut joints (T, 17, 3) from a take, resampled and moved to the origin, and their times (T,)."""
    times = np.arange(round(seconds * fps)) / fps
    if start < 0 or start + times[-1] > (len(take.joints) - 1) / take.fps:
        raise DataError(
            f"take {take.key}: {start} s to {start + seconds} s lies outside it; "
            f"it has {len(take.joints) / take.fps:.1f} s"
        )
    at = (start + times) * take.fps
    before = np.minimum(at.astype(int), len(take.joints) - 2)
    share = (at - before)[:, None, None]
    joints = take.joints[before] * (1 - share) + take.joints[before + 1] * share
    middle = joints[:, 0, :2].mean(axis=0)
    joints[..., :2] -= middle
    return joints.astype(np.float32), times


def march(
    body: Body, origin: Array, rays: Array, start: Array, cone: float, steps: int
) -> tuple[Array, Array]:
    """March along rays (N, 3) from `start` (N,) metres until the body is nearer than `cone` times the way.

    Returns the distance (N,) in metres, and whether the body was hit (N,).
    """
    way = start.copy()
    met = np.zeros(len(rays), dtype=bool)
    going = np.arange(len(rays))
    for _ in range(steps):
        gap = body.distance(origin + rays[going] * way[going, None])
        near = gap <= cone * way[going]
        met[going[near]] = True
        on = ~near & (way[going] < FAR)
        going = going[on]
        if len(going) == 0:
            break
        way[going] += gap[on] * np.float32(0.92)
    met[going] |= cone > 0.001  # a coarse cone that has not finished may hold a hit: it is refined
    return way, met


def trace(
    body: Body, camera: Camera, pixels: NDArray[np.floating], start: Array
) -> tuple[Array, Array, NDArray[np.int32]]:
    """Trace pixels (N, 2) to light (N, 3), depth (N,) and material (N,); -1 where a ray misses the body."""
    rays = camera.rays(pixels)
    way, met = march(body, camera.position, rays, start, 0.3 / float(camera.K[0, 0]), 64)
    hit = np.flatnonzero(met)
    points = camera.position + rays[hit] * way[hit, None]
    distances = body.distances(points)
    light, material = np.zeros_like(rays), np.full(len(rays), -1, dtype=np.int32)
    light[hit] = shade(body, points, rays[hit], distances)
    material[hit] = distances.argmin(axis=0)
    return light, np.where(met, way, FAR).astype(np.float32), material


def render(joints: Array, camera: Camera, place: Array, floor: Array) -> Image:
    """Render one frame (H, W, 3), BGR; `place` and `floor` are the `scenery` of the camera."""
    body = dress(joints)
    wide, tall = camera.size
    empty = place * _shadow_on(floor, floor_shadow(body))[..., None]
    columns, rows = (v.ravel() for v in np.meshgrid(np.arange(wide // TILE), np.arange(tall // TILE)))
    tiles = np.stack([columns, rows], axis=1) * TILE
    # Where the cone around a tile's middle ray is empty, all of its rays are.
    cone = 0.8 * TILE / float(camera.K[0, 0])
    middles = camera.rays(tiles + (TILE - 1) / 2)
    begin = np.full(len(tiles), 2.0, dtype=np.float32)
    way, met = march(body, camera.position, middles, begin, cone, 40)
    inside = np.stack(np.meshgrid(np.arange(TILE), np.arange(TILE)), axis=-1).reshape(-1, 2)
    pixels = (tiles[met][:, None] + inside).reshape(-1, 2)
    start = np.repeat(way[met] * np.float32(1 - cone), len(inside))
    light, depth, material = trace(body, camera, pixels, start)
    x, y = pixels.T
    depths = np.full((tall, wide), FAR, dtype=np.float32)
    kinds = np.full((tall, wide), -1, dtype=np.int32)
    starts = np.full((tall, wide), 2.0, dtype=np.float32)
    depths[y, x], kinds[y, x], starts[y, x] = depth, material, start
    picture = empty.copy()
    picture[y[material >= 0], x[material >= 0]] = light[material >= 0]
    rows, columns = np.nonzero(_edges(depths, kinds, body, camera))
    # A pixel beside a tile has its neighbours' rays: the nearest start around is safe for all.
    safe = cv2.erode(starts, np.ones((3, 3), dtype=np.uint8))[rows, columns]
    picture[rows, columns] = _refined(body, camera, columns, rows, safe, empty[rows, columns])
    return develop(picture)


def _edges(depths: Array, kinds: NDArray[np.int32], body: Body, camera: Camera) -> NDArray[np.bool_]:
    """Return the pixels (H, W) that need several rays: outlines, seams, and the face."""
    ones = np.ones((3, 3), dtype=np.uint8)
    kind = (kinds + 1).astype(np.uint8)
    edges = cv2.dilate(kind, ones) != cv2.erode(kind, ones)
    edges |= cv2.dilate(depths, ones) - cv2.erode(depths, ones) > 0.05
    x, y = camera.project(body.head.origin)
    near = int(0.14 * camera.K[0, 0] / camera.to_camera(body.head.origin)[2])
    edges[max(0, int(y) - near) : int(y) + near, max(0, int(x) - near) : int(x) + near] = True
    return edges


def _refined(
    body: Body, camera: Camera, x: NDArray[np.intp], y: NDArray[np.intp], start: Array, empty: Array
) -> Array:
    """Average FINER x FINER rays for each of the pixels x, y (N,), over the background `empty`: (N, 3)."""
    offsets = (np.arange(FINER) + 0.5) / FINER - 0.5
    grid = np.stack(np.meshgrid(offsets, offsets), axis=-1).reshape(-1, 2)
    pixels = (np.stack([x, y], axis=1)[:, None] + grid).reshape(-1, 2)
    light, _, material = trace(body, camera, pixels, np.repeat(start, len(grid)))
    mixed = np.where((material >= 0)[:, None], light, np.repeat(empty, len(grid), axis=0))
    return mixed.reshape(len(x), len(grid), 3).mean(axis=1)


def _shadow_on(floor: Array, shadow: Array) -> Array:
    """Sample the shadow map at the floor's positions (H, W, 2); 1 beyond its edge."""
    where = (np.nan_to_num(floor, nan=1e6) + SHADOW_EXTENT) * SHADOW_SCALE
    where = np.clip(where, -10, 1e4).astype(np.float32)
    return cv2.remap(
        shadow,
        where[..., 0],
        where[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=1.0,
    )


class _Worker:
    """A process that keeps the scenery and draws one pose after the other."""

    place: Array
    floor: Array

    @classmethod
    def start(cls) -> None:
        cv2.setNumThreads(1)
        cls.place, cls.floor = scenery(CAMERA)

    @classmethod
    def draw(cls, joints: Array) -> Image:
        return render(joints, CAMERA, cls.place, cls.floor)


def frames(joints: Array, jobs: int) -> Iterator[Image]:
    """Yield all frames in order, drawn by `jobs` processes."""
    with Pool(jobs, _Worker.start) as pool:
        yield from pool.imap(_Worker.draw, joints)


def encode(path: Path, pictures: Iterator[Image], fps: int, crf: int) -> None:
    """Write pictures (H, W, 3), BGR, as H.264, yuv420p, ready to stream."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as file:
        stream = file.add_stream("libx264", rate=Fraction(fps), options={"crf": str(crf), "preset": "slow"})
        stream.width, stream.height = CAMERA.size
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        file.mux(stream.encode())


def save_truth(path: Path, joints: Array, times: NDArray[np.float64], fps: int) -> None:
    """Write the exact truth of the clip, readable with plain numpy."""
    np.savez_compressed(
        path,
        joints_world=joints,
        joints_camera=CAMERA.to_camera(joints).astype(np.float32),
        K=CAMERA.K,
        R=CAMERA.R,
        t=CAMERA.t,
        image_size=np.array(CAMERA.size),
        times=times,
        fps=np.array(fps),
    )


def main(
    mocap: Annotated[Path, typer.Argument(help="Folder of the free motion capture.")],
    output: Annotated[Path, typer.Argument(help="Folder for sample.mp4 and sample_truth.npz.")] = Path(
        "videos"
    ),
    jobs: Annotated[int, typer.Option(help="Processes that draw.")] = 2,
    crf: Annotated[int, typer.Option(help="Quality of the H.264 stream; less is better and larger.")] = 21,
) -> None:
    """Draw the sample clip: about three seconds a frame and process."""
    take = next((t for t in load_mocap(mocap, "train") if t.key == TAKE), None)
    if take is None:
        raise DataError(f"{mocap}: holds no take {TAKE}; use the motion capture this tool was written for")
    joints, times = cut(take, START, SECONDS, FPS)
    output.mkdir(parents=True, exist_ok=True)
    save_truth(output / "sample_truth.npz", joints, times, FPS)
    drawn = track(frames(joints, jobs), total=len(joints), description="drawing")
    encode(output / "sample.mp4", iter(drawn), FPS, crf)


if __name__ == "__main__":
    typer.run(main)
