"""Cameras against the numbers of VideoPose3D's own code, and against geometry."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lifter.cameras import (
    camera_to_world,
    denormalize_screen,
    look_rotation,
    normalize_screen,
    perspective_crop,
    project,
    project_linear,
    quaternion_inverse,
    quaternion_rotate,
    world_to_camera,
)
from lifter.clip_camera import to_screen

CAMERAS = [f"S{subject}_{number}" for subject in (1, 9) for number in range(4)]


@pytest.fixture(scope="module")
def truth(shared):
    with np.load(shared / "vectors" / "camera_seed0.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def close(actual, expected, atol=1e-5):
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)


@pytest.mark.parametrize(("width", "height"), [(1000, 1002), (1920, 1080), (720, 1280)])
def test_screen_normalisation(truth, width, height):
    normalised = normalize_screen(truth["norm/in_px"], width, height)
    close(normalised, truth[f"norm/{width}x{height}"], 1e-9)
    close(denormalize_screen(normalised, width, height), truth["norm/in_px"], 1e-9)


def test_quaternions(truth):
    q, v = truth["quat/q"], truth["quat/v"]
    close(quaternion_rotate(q, v), truth["quat/qrot"])
    close(quaternion_inverse(q), truth["quat/qinverse"])
    close(quaternion_rotate(quaternion_inverse(q), v), truth["quat/qrot_qinverse"])


@pytest.mark.parametrize("camera", CAMERAS)
def test_world_and_camera(truth, camera):
    rotation, position = truth[f"cam/{camera}/R"], truth[f"cam/{camera}/t"]
    seen = world_to_camera(truth["cam/world_in"], rotation, position)
    close(seen, truth[f"cam/{camera}/world_to_camera"])
    close(camera_to_world(seen, rotation, position), truth[f"cam/{camera}/camera_to_world_roundtrip"])
    relative = seen - seen[..., :1, :]
    close(camera_to_world(relative, rotation), truth[f"cam/{camera}/camera_to_world_t0"])


@pytest.mark.parametrize("camera", CAMERAS)
def test_projection(truth, camera):
    points = truth[f"cam/{camera}/world_to_camera"].reshape(12, 17, 3)
    intrinsics = truth[f"cam/{camera}/intrinsic"].expand(12, 9)
    close(project(points, intrinsics), truth[f"cam/{camera}/project_to_2d"])
    close(project_linear(points, intrinsics), truth[f"cam/{camera}/project_to_2d_linear"])


def test_points_beyond_45_degrees_are_clamped(truth):
    points = truth["cam/near_points"]
    intrinsics = truth["cam/S1_3/intrinsic"].expand(len(points), 9)
    close(project(points, intrinsics), truth["cam/near_project_to_2d"])


angles = st.floats(-3.1, 3.1)


@given(yaw=angles, pitch=st.floats(-1.4, 1.4), roll=angles)
def test_look_rotation_is_a_rotation(yaw, pitch, roll):
    r = look_rotation(*(torch.tensor(a, dtype=torch.float64) for a in (yaw, pitch, roll)))
    close(r @ r.T, torch.eye(3, dtype=torch.float64), 1e-9)
    assert torch.linalg.det(r).item() == pytest.approx(1)


def test_look_rotation_follows_its_sign_convention():
    zero, quarter = torch.tensor(0.0), torch.tensor(torch.pi / 2)
    level = look_rotation(zero, zero, zero)
    close(level @ torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, 1.0]))  # +y lies ahead
    close(level @ torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, -1.0, 0.0]))  # z is up in the picture
    left = look_rotation(quarter, zero, zero)
    close(left @ torch.tensor([-1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0]), 1e-6)  # now it sees -x
    down = look_rotation(zero, torch.tensor(torch.pi / 6), zero)
    assert (down @ torch.tensor([0.0, 1.0, 0.0]))[1] < 0  # what lay ahead is in the upper half
    rolled = look_rotation(zero, zero, torch.tensor(torch.pi / 6))
    assert (rolled @ torch.tensor([0.0, 0.0, 1.0]))[0] < 0  # a camera turned clockwise sees up on the left


def test_h36m_cameras_of_the_spec_are_unit_quaternions(shared):
    cameras = json.loads((shared / "specs" / "h36m_cameras.json").read_text())
    found = [c.get("orientation") for subject in cameras["extrinsics"].values() for c in subject]
    quaternions = [q for q in found if q]
    assert len(quaternions) == 28
    np.testing.assert_allclose(np.linalg.norm(quaternions, axis=1), 1, atol=1e-6)


@given(x=st.floats(-0.9, 0.9), y=st.floats(-0.9, 0.9), focal=st.floats(1.0, 5.0))
def test_centring_is_what_a_camera_turned_to_the_person_sees(x, y, focal):
    seed = torch.Generator().manual_seed(0)
    direction = torch.tensor([x / focal, y / focal, 1.0], dtype=torch.float64)
    body = 4 * direction + 0.3 * torch.randn(1, 5, 17, 3, generator=seed, dtype=torch.float64)
    seen = torch.cat((focal * body[..., :2] / body[..., 2:], torch.ones_like(body[..., :1])), -1)
    turned, rotation = perspective_crop(seen, torch.tensor([focal], dtype=torch.float64))
    close(rotation[0] @ rotation[0].T, torch.eye(3, dtype=torch.float64), 1e-6)
    assert torch.linalg.det(rotation[0]).item() == pytest.approx(1)
    again = body @ rotation[0].T
    close(turned[..., :2], focal * again[..., :2] / again[..., 2:], 1e-6)
    assert turned[..., :2].mean((0, 1, 2)).abs().max() < 0.1 * focal


def test_missing_joints_do_not_pull_the_centre():
    seen = torch.zeros(1, 3, 17, 3)
    seen[..., 2] = 1
    seen[:, :, 4] = torch.tensor([5.0, 5.0, 0.0])
    turned, rotation = perspective_crop(seen, torch.tensor([2.0]))
    close(rotation[0], torch.eye(3))
    close(turned, seen)


@given(width=st.integers(1, 8000), height=st.integers(1, 8000))
def test_screen_units_are_the_same_in_numpy(width, height):
    corners = torch.tensor([[0, 0], [width, height], [width / 3, height / 2]], dtype=torch.float64)
    found = to_screen(corners.numpy(), width, height)
    close(torch.from_numpy(found), normalize_screen(corners, width, height), 1e-12)
    assert found[:2, 0].tolist() == [-1, 1]
    assert found[2, 1] == pytest.approx(0, abs=1e-9)
