"""BVH, GLB, TRC and C3D, read back by readers of our own and compared with numbers made by hand."""

import json
import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from demo.export.bvh import export_bvh
from demo.export.glb import export_glb
from demo.export.opensim import MARKERS, MEASUREMENTS
from demo.export.trc import export_trc
from demo.motion.rig import RIG_JOINTS, solve_rig
from lifter.datasets.mocap.bvh import parse_bvh, positions
from tests.demo.export.results import late_and_gap, march, result_of, two_shots, uneven
from tests.lifter.motions import STANDING


def test_a_bvh_gives_the_rigs_joints_in_centimetres(tmp_path):
    result = late_and_gap()
    files = export_bvh(result, tmp_path / "clip.bvh")
    assert [file.name for file in files] == ["clip_person1.bvh", "clip_person2.bvh", "clip_motion.json"]
    for file, joints in zip(files[:2], result.joints_world, strict=True):
        bvh = parse_bvh(file.read_text(), file.name)
        assert bvh.frame_time == pytest.approx(1 / 30, abs=1e-7)
        names = [joint.name for joint in bvh.joints]
        rows = [names.index(name) for name in RIG_JOINTS]
        expected = solve_rig(joints, result.times).positions() * 100
        np.testing.assert_allclose(positions(bvh)[:, rows], expected, atol=1e-3)
        assert bvh.joints[0].channels == (
            "xposition", "yposition", "zposition", "zrotation", "xrotation", "yrotation",
        )  # fmt: skip


def test_the_sidecar_of_the_bvhs_lists_what_was_filled(tmp_path):
    export_bvh(late_and_gap(), tmp_path / "clip.bvh")
    sidecar = json.loads((tmp_path / "clip_motion.json").read_text())
    first, second = sidecar["people"]
    assert first["measured"] == [[0, 11], [21, 30]]
    assert first["interpolated"] == [[12, 20]]
    assert first["held"] == []
    assert second["held"] == [[0, 9]]
    assert sidecar["frames"] == 31
    assert sidecar["frames_per_second"] == pytest.approx(30)


def test_a_bvh_of_a_variable_rate_has_an_even_one(tmp_path):
    (file, _) = export_bvh(uneven(), tmp_path / "clip.bvh")
    bvh = parse_bvh(file.read_text(), file.name)
    assert bvh.frame_time == pytest.approx(1 / 30, abs=1e-7)
    assert len(bvh.values) == 41


def test_a_bvh_jumps_at_a_cut_and_does_not_glide(tmp_path):
    (file, _) = export_bvh(two_shots(), tmp_path / "clip.bvh")
    x = parse_bvh(file.read_text(), file.name).values[:, 0]
    assert np.abs(x[:15]).max() < 20
    assert x[15:].min() > 280


def read_glb(path):
    """The JSON, and a function that gives an accessor's values."""
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    document = json.loads(data[20 : 20 + size])
    binary = data[20 + size + 8 :]

    def values(number):
        accessor = document["accessors"][number]
        view = document["bufferViews"][accessor["bufferView"]]
        kinds = {5126: "<f4", 5121: "u1", 5123: "<u2"}
        part = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        return np.frombuffer(part, kinds[accessor["componentType"]]).reshape(accessor["count"], -1)

    return document, values


def joints_of_glb(document, values, skin):
    """(T, 20, 3): forward kinematics of the animated nodes, by matrices."""
    moved = {}
    for channel in document["animations"][0]["channels"]:
        sampler = document["animations"][0]["samplers"][channel["sampler"]]
        target = channel["target"]
        moved[target["node"], target["path"]] = values(sampler["output"])
    parents = {
        child: number for number, node in enumerate(document["nodes"]) for child in node.get("children", [])
    }
    frames = len(next(iter(moved.values())))

    def world(number):
        node = document["nodes"][number]
        matrix = np.tile(np.eye(4), (frames, 1, 1))
        matrix[:, :3, 3] = moved.get((number, "translation"), node.get("translation", (0, 0, 0)))
        if (number, "rotation") in moved:
            matrix[:, :3, :3] = Rotation.from_quat(moved[number, "rotation"]).as_matrix()
        return world(parents[number]) @ matrix if number in parents else matrix

    return np.stack([world(number)[:, :3, 3] for number in document["skins"][skin]["joints"]], 1)


def test_a_glb_gives_the_rigs_joints_in_metres_at_the_clips_own_times(tmp_path):
    result = uneven()
    (file,) = export_glb(result, tmp_path / "clip.glb")
    document, values = read_glb(file)
    expected = solve_rig(result.joints_world[0], result.times).positions()
    np.testing.assert_allclose(joints_of_glb(document, values, 0), expected, atol=1e-5)
    times = values(document["animations"][0]["samplers"][0]["input"])[:, 0]
    np.testing.assert_allclose(times, result.times, atol=1e-6)
    assert {sampler["interpolation"] for sampler in document["animations"][0]["samplers"]} == {"LINEAR"}


def test_a_glb_has_a_parent_node_a_skin_and_a_mesh_that_fits_its_skeleton_for_each_person(tmp_path):
    (file,) = export_glb(late_and_gap(), tmp_path / "clip.glb")
    document, values = read_glb(file)
    roots = [document["nodes"][number]["name"] for number in document["scenes"][0]["nodes"]]
    assert roots == ["person1", "person1_mesh", "person2", "person2_mesh"]
    assert document["nodes"][0]["extras"]["filled_frames"] == list(range(12, 21))
    primitive = document["meshes"][0]["primitives"][0]
    corners = values(primitive["attributes"]["POSITION"])
    owners = values(primitive["attributes"]["JOINTS_0"])[:, 0]
    inverse = values(document["skins"][0]["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
    # Bound to its joint, each box begins near the joint.
    local = np.einsum("vij,vj->vi", inverse[owners], np.c_[corners, np.ones(len(corners))])[:, :3]
    for joint in range(20):
        if (owners == joint).any():
            assert np.linalg.norm(local[owners == joint], axis=-1).min() < 0.12
    # Faces point outwards: along their normals the box gets larger.
    normals = values(primitive["attributes"]["NORMAL"]).reshape(-1, 4, 3)[:, 0]
    faces = corners.reshape(-1, 6, 4, 3)
    outwards = faces.mean(2) - faces.mean((1, 2))[:, None]
    assert ((outwards.reshape(-1, 3) * normals).sum(-1) > 0).all()


def test_a_trc_holds_fourteen_markers_in_metres_and_only_the_persons_span(tmp_path):
    files = export_trc(late_and_gap(), tmp_path / "clip.trc")
    text = (tmp_path / "clip_person2.trc").read_text().split("\n")
    assert text[0] == "PathFileType\t4\t(X/Y/Z)\tclip_person2.trc"
    assert text[2].split("\t")[:5] == ["30.000000", "30.000000", "21", "14", "m"]
    names = [name for name in text[3].split("\t")[2:] if name]
    assert names == [marker.name for marker in MARKERS]
    first = text[6].split("\t")
    assert len(first) == 2 + 3 * 14
    assert float(first[1]) == pytest.approx(10 / 30, abs=1e-6)
    x, y, z = STANDING[1] + np.float32((1.0, 0.5, 0.0))  # the right hip of the second person
    np.testing.assert_allclose([float(cell) for cell in first[2:5]], (x, z, -y), atol=1e-6)
    gap = (tmp_path / "clip_person1.trc").read_text().split("\n")[6 + 12].split("\t")
    assert "NaN" not in gap  # OpenSim fails on frames without any marker
    assert (tmp_path / "clip_opensim_markers.xml") in files


def test_a_single_missing_marker_of_a_trc_is_nan(tmp_path):
    joints = march()
    joints[4, 1] = np.nan
    export_trc(result_of([joints]), tmp_path / "clip.trc")
    row = (tmp_path / "clip_person1.trc").read_text().split("\n")[6 + 4].split("\t")
    assert row[2:5] == ["NaN"] * 3
    assert row.count("NaN") == 3


def test_opensims_markers_are_mirror_images_and_the_scaling_uses_them():
    named = {marker.name: marker for marker in MARKERS}
    for name, marker in named.items():
        if name.startswith("R"):
            x, y, z = marker.location
            assert named["L" + name[1:]].location == (x, y, -z)
            assert named["L" + name[1:]].body in (marker.body, marker.body[:-1] + "l")
    for pairs, _ in MEASUREMENTS.values():
        assert all(set(pair.split()) <= set(named) for pair in pairs)


def test_a_c3d_holds_millimetres_with_z_up_and_gaps_as_gaps(tmp_path):
    ezc3d = pytest.importorskip("ezc3d", reason="ezc3d is not installed (requirements-export.txt)")
    from demo.export.c3d import export_c3d

    result = late_and_gap()
    (file,) = export_c3d(result, tmp_path / "clip.c3d")
    read = ezc3d.c3d(str(file))
    points, labels = read["data"]["points"], read["parameters"]["POINT"]["LABELS"]["value"]
    assert read["parameters"]["POINT"]["UNITS"]["value"] == ["mm"]
    assert labels[0] == "person1:pelvis"
    assert labels[17 + 6] == "person2:left_ankle"
    np.testing.assert_allclose(points[:3, 17 + 6, 10], result.joints_world[1, 10, 6] * 1000, atol=0.01)
    missing = read["data"]["meta_points"]["residuals"][0] < 0
    assert missing[0].tolist() == [12 <= frame <= 20 for frame in range(31)]
    assert missing[17].tolist() == [frame < 10 for frame in range(31)]


def test_a_single_frame(tmp_path):
    result = result_of([march(1)])
    (file, _) = export_bvh(result, tmp_path / "clip.bvh")
    assert len(parse_bvh_values(file)) == 1
    document, values = read_glb(export_glb(result, tmp_path / "clip.glb")[0])
    assert joints_of_glb(document, values, 0).shape == (1, 20, 3)


def parse_bvh_values(file):
    """Rows after the frame time: the motion reader of the data sets wants two frames at least."""
    return [line for line in file.read_text().split("Frame Time:")[1].split("\n")[1:] if line]
