"""Hostile motion capture: BVH, Acclaim's ASF and AMC, and the HDF5 of Ski-Pose PTZ are read or refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import DataError
from lifter.datasets.mocap.asf import load_amc
from lifter.datasets.mocap.bvh import load_bvh
from lifter.datasets.ski_pose import load_ski_pose
from tests.lifter.datasets.mocap.motion_files import amc_text, asf_text, bvh_text

OPTIONS = {"deadline": None, "suppress_health_check": list(HealthCheck)}
SHORT = settings(max_examples=60, **OPTIONS)
LONG = settings(max_examples=2000, **OPTIONS)
WORDS = [
    "nan",
    "-inf",
    "1e308",
    "1e400",
    "0",
    "-1",
    "99999999999",
    "9" * 5000,
    "{",
    "}",
    "JOINT",
    "End",
    "CHANNELS",
]
WORDS += [
    "MOTION",
    "Frames:",
    ":root",
    ":bonedata",
    ":hierarchy",
    "begin",
    "end",
    "dof",
    "rx",
    "tq",
    "axis",
    "\0",
    "é",
]
edits = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(("drop", "double", "put", "cut")), st.sampled_from(WORDS)),
    min_size=1,
    max_size=4,
)


def edit(text, changes):
    """A text with words dropped, doubled, replaced, or the rest cut off."""
    parts = re.split(r"(\s+)", text)
    for share, kind, word in changes:
        at = min(int(share * len(parts)), len(parts) - 1)
        if kind == "cut":
            parts = parts[: at + 1]
        else:
            parts[at : at + 1] = {"drop": [], "double": [parts[at], " ", parts[at]], "put": [word]}[kind]
        parts = parts or [""]
    return "".join(parts)


def read_bvh(folder, changes):
    (folder / "a.bvh").write_text(edit(bvh_text(frames=4), changes))
    return load_bvh(folder / "a.bvh")


def read_amc(folder, changes, which):
    texts = {"asf": asf_text(), "amc": amc_text(frames=4)}
    texts[which] = edit(texts[which], changes)
    for suffix, text in texts.items():
        (folder / f"a.{suffix}").write_text(text)
    return load_amc(folder / "a.amc", folder / "a.asf", 120.0)


def check(read):
    """The right answer: finite joints, or one line."""
    try:
        capture = read()
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert np.isfinite(capture.joints).all()


def fuzz_bvh(tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("bvh")
    check(lambda: read_bvh(folder, changes))


def fuzz_amc(tmp_path_factory, changes, which):
    folder = tmp_path_factory.mktemp("amc")
    check(lambda: read_amc(folder, changes, which))


@SHORT
@given(changes=edits)
def test_bvh(tmp_path_factory, changes):
    fuzz_bvh(tmp_path_factory, changes)


@pytest.mark.long
@LONG
@given(changes=edits)
def test_bvh_long(tmp_path_factory, changes):
    fuzz_bvh(tmp_path_factory, changes)


@SHORT
@given(changes=edits, which=st.sampled_from(("asf", "amc")))
def test_amc(tmp_path_factory, changes, which):
    fuzz_amc(tmp_path_factory, changes, which)


@pytest.mark.long
@LONG
@given(changes=edits, which=st.sampled_from(("asf", "amc")))
def test_amc_long(tmp_path_factory, changes, which):
    fuzz_amc(tmp_path_factory, changes, which)


@pytest.mark.parametrize(
    "text",
    [
        "HIERARCHY\nROOT a {\n CHANNELS 1000000000 Xrotation\nMOTION",
        "HIERARCHY\nROOT a {\n"
        + "JOINT b {\n" * 20_000
        + "}" * 20_001
        + "\nMOTION\nFrames: 2\nFrame Time: 0.1\n",
        "HIERARCHY\nROOT a { }\nMOTION\nFrames: 1000000000000\nFrame Time: 0.1\n",
        "\0" * 1000,
        "HIERARCHY\nEND x {",
    ],
    ids=[
        "channels without end",
        "nested 20,000 deep",
        "frames without numbers",
        "zeros",
        "an end of nothing",
    ],
)
def test_bvh_that_promises_more_than_it_holds(tmp_path, text):
    (tmp_path / "a.bvh").write_text(text)
    with pytest.raises(DataError, match=r"a\.bvh"):
        load_bvh(tmp_path / "a.bvh")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("order TX", "order qx"),  # a movement that does not exist
        ("lfemur ltibia", "lfemur ltibia\nltibia lfemur"),  # bones in a circle
        ("hierarchy", "hierarchy\nroot root"),
    ],
)
def test_skeletons_that_contradict_themselves(tmp_path, old, new):
    text = asf_text()
    assert old in text
    (tmp_path / "a.asf").write_text(text.replace(old, new, 1))
    (tmp_path / "a.amc").write_text(amc_text())
    with pytest.raises(DataError, match=r"a\.a"):
        load_amc(tmp_path / "a.amc", tmp_path / "a.asf", 120)


@pytest.mark.parametrize("case", ["huge", "link to itself", "group", "text", "another file"])
def test_hdf5_that_is_not_what_it_claims(tmp_path, case):
    h5py = pytest.importorskip("h5py", reason="h5py is an extra: requirements-datasets.txt")
    (tmp_path / "train").mkdir()
    with h5py.File(tmp_path / "train" / "labels.h5", "w") as file:
        for key in ("seq", "cam", "frame", "subj", "2D", "3D", "cam_intrinsic"):
            if case == "huge":  # 2^40 numbers, none of them stored
                file.create_dataset(key, (2**20, 2**20), "f8", chunks=(1024, 1024))
            elif case == "link to itself":
                file[key] = h5py.SoftLink(f"/{key}")
            elif case == "group":
                file.create_group(key)
            elif case == "text":
                file[key] = "no number"
            else:
                file.create_dataset(key, (100, 51), "u1", external=[("/etc/passwd", 0, 5100)])
    with pytest.raises(DataError, match=r"labels\.h5"):
        load_ski_pose(tmp_path, "train")
