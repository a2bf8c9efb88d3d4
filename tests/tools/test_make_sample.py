"""The sample clip: the camera, the body and the drawing obey geometry, and the shipped files agree."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from common.errors import DataError
from lifter.datasets.mocap.npz import MotionSequence
from tools.make_sample import CAMERA, FPS, SECONDS, START, TAKE, cut, march, render, save_truth
from tools.mannequin import Cone, Ellipsoid, Frame, Material, dress
from tools.studio import Camera, develop, scenery

VIDEOS = Path(__file__).resolve().parents[2] / "videos"


def standing():
    """A man of 1.7 m who faces -y."""
    half = [
        (0.0, 0.90), (-0.09, 0.90), (-0.10, 0.49), (-0.11, 0.08), (0.09, 0.90), (0.10, 0.49), (0.11, 0.08),
        (0.0, 1.12), (0.0, 1.35), (0.0, 1.52), (0.0, 1.62),
        (0.20, 1.40), (0.45, 1.30), (0.68, 1.25), (-0.20, 1.40), (-0.45, 1.30), (-0.68, 1.25),
    ]  # fmt: skip
    return np.array([(x, 0.0, z) for x, z in half], dtype=np.float32)


def test_the_camera_is_aimed_at_its_target():
    camera = Camera.look_at((0.0, -4.0, 1.0), (0.0, 0.0, 1.0), 1000.0, (961, 541))
    seen = camera.project(np.array([[0, 0, 1], [1, 0, 1], [0, 0, 0], [0.5, 1, 1]]))
    np.testing.assert_allclose(seen, [[480, 270], [730, 270], [480, 520], [580, 270]], atol=1e-9)
    np.testing.assert_allclose(camera.position, [0, -4, 1], atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(camera.R), 1.0)


def test_rays_go_back_through_their_pixels():
    camera = Camera.look_at((1.0, -4.0, 1.5), (0.2, 0.0, 0.8), 900.0, (640, 480))
    pixels = np.array([[0.0, 0.0], [639.0, 10.0], [320.0, 400.0]])
    points = camera.position + camera.rays(pixels) * 3.0
    np.testing.assert_allclose(camera.project(points), pixels, atol=1e-2)


def test_an_enlarged_camera_sees_the_same():
    camera = Camera.look_at((1.0, -4.0, 1.5), (0.2, 0.0, 0.8), 900.0, (640, 480))
    point = np.array([0.3, 0.1, 1.2])
    # Pixel i covers [i - 0.5, i + 0.5]: the centre of its two halves is 2 i + 0.5.
    np.testing.assert_allclose(camera.enlarged(2).project(point), 2 * camera.project(point) + 0.5, atol=1e-9)


def test_every_joint_of_a_limb_lies_inside_the_body():
    joints = standing()
    depth = -dress(joints).distance(joints)
    assert (depth[[1, 2, 4, 5, 7, 8, 9, 11, 12, 14, 15]] > 0.02).all()
    assert (depth[[3, 6, 13, 16]] > 0.0).all()


def test_distance_to_a_limb_is_that_of_a_capsule():
    body = dress(standing())
    # The forearm runs from (0.45, 1.30) to (0.68, 1.25); a point 30 cm in front of its middle.
    middle = np.array([0.565, 0.0, 1.275])
    away = float(body.distance(np.float32([middle - (0.0, 0.30, 0.0)]))[0])
    assert 0.30 - 0.042 - 0.003 < away < 0.30 - 0.028 + 0.003


def test_distances_never_promise_more_than_there_is():
    body = dress(standing())
    rng = np.random.default_rng(0)
    points = rng.uniform((-1, -0.7, 0), (1, 0.7, 2), (400, 3)).astype(np.float32)
    away = body.distance(points)
    far = away > 0.05
    for direction in rng.normal(size=(20, 3)):
        step = (direction / np.linalg.norm(direction)).astype(np.float32) * 0.85 * away[far, None]
        assert (body.distance(points[far] + step) > -1e-3).all()


def test_shoes_stand_on_the_floor_and_point_ahead():
    joints = standing()
    body = dress(joints)
    grid = np.stack(np.meshgrid([0.11], np.linspace(-0.35, 0.2, 111), np.linspace(-0.05, 0.05, 101)), -1)
    solid = grid.reshape(-1, 3)[body.distance(grid.reshape(-1, 3).astype(np.float32)) < 0]
    assert -0.012 < solid[:, 2].min() < 0.02
    assert solid[:, 1].min() < -0.15 and solid[:, 1].max() < 0.09  # toes at -y, heel at +y


def test_pieces_are_made_of_what_they_should():
    pieces = dress(standing()).pieces
    assert {piece.material for piece in pieces} == set(Material)
    assert any(isinstance(piece, Cone) for piece in pieces) and any(isinstance(p, Ellipsoid) for p in pieces)


def test_a_frame_places_and_measures():
    axes = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], dtype=np.float32)
    frame = Frame(np.array([1, 2, 3], dtype=np.float32), axes)
    np.testing.assert_allclose(frame.at(0.5, 0.25, 0.1), [0.75, 2.5, 3.1], atol=1e-6)
    np.testing.assert_allclose(frame.local(frame.at(0.5, 0.25, 0.1)[None]), [[0.5, 0.25, 0.1]], atol=1e-6)


def test_marching_stops_at_the_surface():
    body = dress(standing())
    origin = np.array([0, -4, 1.2], dtype=np.float32)
    rays = np.array([[0, 1, 0], [0.8, 0.6, 0]], dtype=np.float32)
    way, met = march(body, origin, rays, np.full(2, 2.0, dtype=np.float32), 0.0003, 64)
    assert met.tolist() == [True, False]
    assert 3.8 < way[0] < 3.95  # the chest is about 11 cm thick in front of the spine
    assert abs(float(body.distance(origin + rays[:1] * way[:1, None])[0])) < 0.003


def test_a_drawn_frame_shows_the_body_at_its_true_place():
    camera = Camera.look_at((0.0, -4.4, 1.3), (0.0, 0.0, 0.9), 270.0, (240, 136))
    place, floor = scenery(camera)
    joints = standing()
    picture = render(joints, camera, place, floor).astype(int)
    changed = np.abs(picture - develop(place).astype(int)).max(axis=2) > 25
    for joint in (0, 2, 5, 8, 10, 12, 15):
        x, y = np.rint(camera.project(joints[joint])).astype(int)
        assert changed[y, x], joint
    assert picture.shape == (136, 240, 3) and not changed[:, :60].any() and not changed[:14].any()


def take_of(frames, fps=50.0):
    joints = np.zeros((frames, 17, 3), dtype=np.float32)
    joints[..., 0] = np.arange(frames)[:, None] / fps  # 1 m/s along x
    joints[:, 0, 2] = 1.0
    return MotionSequence("walk", "1", "train", fps, joints)


def test_cut_resamples_and_moves_to_the_origin():
    joints, times = cut(take_of(200), 0.5, 2.0, 30)
    assert joints.shape == (60, 17, 3)
    np.testing.assert_allclose(times, np.arange(60) / 30)
    np.testing.assert_allclose(np.diff(joints[:, 0, 0]), 1 / 30, atol=1e-5)
    np.testing.assert_allclose(joints[:, 0, :2].mean(axis=0), 0, atol=1e-5)
    assert (joints[:, 0, 2] == 1.0).all()  # heights stay


@pytest.mark.parametrize(("start", "seconds"), [(3.0, 2.0), (-0.1, 1.0)])
def test_cut_refuses_what_the_take_does_not_hold(start, seconds):
    with pytest.raises(DataError, match="walk"):
        cut(take_of(200), start, seconds, 30)


def test_truth_file_holds_both_spaces(tmp_path):
    joints, times = cut(take_of(100), 0.0, 1.0, 30)
    save_truth(tmp_path / "truth.npz", joints, times, 30)
    with np.load(tmp_path / "truth.npz") as truth:
        assert truth["joints_world"].shape == truth["joints_camera"].shape == (30, 17, 3)
        world = (truth["joints_camera"] - truth["t"]) @ truth["R"]
        np.testing.assert_allclose(world, truth["joints_world"], atol=1e-5)


def test_the_shipped_clip_and_its_truth_agree():
    with np.load(VIDEOS / "sample_truth.npz") as truth:
        joints, camera, times = truth["joints_world"], truth["joints_camera"], truth["times"]
        K, R, t = truth["K"], truth["R"], truth["t"]
    with av.open(str(VIDEOS / "sample.mp4")) as clip:
        stream = clip.streams.video[0]
        assert (stream.width, stream.height, stream.pix_fmt) == (*CAMERA.size, "yuv420p")
        stamps = [float(frame.pts * stream.time_base) for frame in clip.decode(stream)]
    assert len(stamps) == len(times) == round(SECONDS * FPS) == len(joints)
    np.testing.assert_allclose(stamps, times, atol=1e-4)
    np.testing.assert_allclose(joints @ R.T + t, camera, atol=1e-5)
    pixels = camera @ K.T
    pixels = pixels[..., :2] / pixels[..., 2:]
    assert (pixels > 10).all() and (pixels < np.array(CAMERA.size) - 10).all()
    assert (VIDEOS / "sample.mp4").stat().st_size < 2_500_000


def test_the_shipped_truth_is_the_named_take(shared):
    with np.load(shared / "mocap" / "mocap_h36m17_50fps.npz") as data:
        first, step = data[f"{TAKE}/first"], data[f"{TAKE}/step"].astype(np.int32)
    raw = np.cumsum(np.concatenate([first[None], step]), axis=0) * 1e-4
    raw[:, 1:] += raw[:, :1]
    with np.load(VIDEOS / "sample_truth.npz") as truth:
        shipped = truth["joints_world"]
    frame = round(START * 50)  # frame 0 and every third frame of the clip fall on frames of the take
    # The clip was drawn before the legs of the motion capture were corrected; above the pelvis both agree.
    upper = shipped[:, 8:] - shipped[:, 8:9]
    for of_clip, of_take in ((0, frame), (3, frame + 5), (60, frame + 100)):
        np.testing.assert_allclose(upper[of_clip], raw[of_take, 8:] - raw[of_take, 8:9], atol=2e-4)
