"""Fuzzing of everything a user hands over: flags, names, containers, checkpoints.

A short run belongs to every test run; 2,000 examples of each to the long suite (`make test-long`). The right
answer is a result or a `UserError` in one line, within LIMIT seconds, and with the user's files as they were.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pydantic
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save as save_safetensors

from common.arrays import BROKEN, open_arrays
from common.command_line import run
from common.errors import DataError, UserError
from common.safe_load import read_tensors
from common.text import printable
from demo.batch.folders import find_clips, is_one_file
from demo.cli.main import app, expand_multi_values
from demo.results.claims import claim_outputs
from demo.results.outputs import ClipPaths
from demo.results.result import read_result
from demo.settings import Settings, flag_fields
from demo.video.reader import VideoReader
from lifter.checkpoints.files import load_checkpoint
from lifter.datasets.pickled_arrays import read_npz
from lifter.registry import create
from tests.lifter.tiny import CONFIGS
from tests.media import make_clip

LIMIT = 20  # seconds
FRAMES = 60  # of a damaged clip at most; a flipped rate may make it longer
OPTIONS = {"deadline": None, "suppress_health_check": list(HealthCheck)}
SHORT = settings(max_examples=40, **OPTIONS)
LONG = settings(max_examples=2000, **OPTIONS)

ODD = [
    "~nosuchuser",
    "/dev/zero",
    "/dev/null",
    "-",
    "--",
    "*",
    "**",
    "[",
    "a/../..",
    "nan",
    "inf",
    "1e305",
    "-1",
    "0",
    "mmpose:",
    ":",
    "cuda:99",
    "auto",
]
NAMES = st.one_of(
    st.text(min_size=1, max_size=40),
    st.sampled_from([*ODD, "x" * 5000, "\x1b[2J", "\n", "\u202e", os.fsdecode(b"\xff")]),
)
NUMBERS = st.one_of(st.floats(), st.integers(), st.sampled_from([1e-300, 1e300, 10**30, "nan", "inf", ""]))


def answer(work, *arguments):
    """Run `work`. A `UserError` must be one printable line; anything else is a failure of the test."""
    begun = time.monotonic()
    try:
        return work(*arguments)
    except UserError as error:
        assert printable(error).count("\n") == 0
        assert 1 <= error.status <= 12
        return None
    finally:
        assert time.monotonic() - begun < LIMIT


def long_version(test, given_arguments):
    """The same test with 2,000 examples, for the long suite."""
    return pytest.mark.long(pytest.mark.timeout(3600)(LONG(given(**given_arguments)(test))))


def short_version(test, given_arguments):
    """The same test with 40 examples."""
    return SHORT(given(**given_arguments)(test))


# Flags ------------------------------------------------------------------------------------------------

FLAGS = {
    "flags": st.dictionaries(st.sampled_from(sorted(flag_fields())), st.one_of(NAMES, NUMBERS), max_size=4)
}


def check_settings(flags):
    try:
        chosen = Settings.of(**flags)
    except pydantic.ValidationError:
        return
    json.dumps(chosen.model_dump(mode="json"), allow_nan=False)  # as results keep them


LINES = {
    "words": st.lists(st.one_of(NAMES, st.sampled_from(["--" + name for name in flag_fields()])), max_size=6)
}


def check_command_line(words):
    """The parser ends in one line; `--version` ends it before any work."""
    err = io.StringIO()
    with (
        contextlib.redirect_stderr(err),
        contextlib.redirect_stdout(io.StringIO()),
        pytest.raises(SystemExit) as caught,
    ):
        run(app, expand_multi_values(["--version", *words]))
    assert caught.value.code in (0, 1, 2, 3, 5, 11, 12)
    assert err.getvalue().count("\n") <= 1
    assert "\x1b" not in err.getvalue()


# Names ------------------------------------------------------------------------------------------------

FILE_NAMES = st.binary(min_size=1, max_size=60).map(
    lambda raw: os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"_"))
)
FOLDERS = {"names": st.lists(FILE_NAMES, max_size=5), "pattern": NAMES, "recursive": st.booleans()}


def check_names(names, pattern, recursive):
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        for name in names:
            with contextlib.suppress(OSError):
                (folder / name).write_bytes(b"the user's")
        before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        given_paths = [folder, folder / pattern]
        is_one_file(given_paths[1:])
        clips = answer(find_clips, given_paths, folder / "out", recursive)
        for job in clips.jobs if clips is not None else ():
            paths = ClipPaths.of(job.clip, folder)
            answer(claim_outputs, paths, paths.patterns(True, ["_person*.bvh"]), False)
            answer(VideoReader, job.clip)
        assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


# Containers --------------------------------------------------------------------------------------------


def containers():
    """A small clip of each container, made once."""
    if not _CONTAINERS:
        with tempfile.TemporaryDirectory() as folder:
            for name, more in {
                "a.mp4": {"audio": "aac", "movflags": "faststart"},
                "a.mkv": {"audio": "libopus", "audio_rate": 48000},
                "a.avi": {"codec": "mpeg4"},
                "a.gif": {"codec": "gif", "pix_fmt": "rgb8"},
                "a.ts": {"codec": "mpeg2video"},
            }.items():
                _CONTAINERS.append(make_clip(Path(folder) / name, 6, **more).read_bytes())
    return _CONTAINERS


_CONTAINERS: list[bytes] = []
FLIPS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=30)
CLIPS = {"which": st.integers(0, 4), "flips": FLIPS, "cut": st.floats(0.05, 1), "head": st.booleans()}


def damaged(data, flips, cut, head):
    changed = bytearray(data[: max(int(len(data) * cut), 1)])
    reach = min(len(changed), 600) if head else len(changed)
    for place, change in flips:
        changed[int(place * reach)] ^= change
    return bytes(changed)


def check_container(which, flips, cut, head):
    def read(path):
        with VideoReader(path) as reader:
            last = -1.0
            for count, frame in enumerate(reader):
                assert frame.time > last
                assert frame.image.shape == (reader.info.height, reader.info.width, 3)
                last = frame.time
                if count > FRAMES:
                    return

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        path.write_bytes(damaged(containers()[which], flips, cut, head))
        answer(read, path)


# Checkpoints and arrays --------------------------------------------------------------------------------


def checkpoints():
    """One small network as our safetensors, as both layouts of torch, and results as npz."""
    if not _CHECKPOINTS:
        torch.manual_seed(0)
        state = create("simple_posenet", CONFIGS["simple_posenet"]).state_dict()
        metadata = {"lifter": "simple_posenet", "config": json.dumps(vars(CONFIGS["simple_posenet"]))}
        _CHECKPOINTS.append((".safetensors", save_safetensors(state, metadata)))
        for zipped in (True, False):
            buffer = io.BytesIO()
            torch.save({"model_pos": state, "epoch": 3}, buffer, _use_new_zipfile_serialization=zipped)
            _CHECKPOINTS.append((".pth", buffer.getvalue()))
        buffer = io.BytesIO()
        np.savez(
            buffer, a=np.zeros((2, 3)), positions_3d=np.array({"S1": {"walk": np.ones((2, 2))}}, dtype=object)
        )
        _CHECKPOINTS.append((".npz", buffer.getvalue()))
    return _CHECKPOINTS


_CHECKPOINTS: list[tuple[str, bytes]] = []
FILES = {"which": st.integers(0, 3), "flips": FLIPS, "cut": st.floats(0.05, 1), "head": st.booleans()}


def check_checkpoint(which, flips, cut, head):
    suffix, data = checkpoints()[which]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        path.write_bytes(damaged(data, flips, cut, head))
        for read in (read_tensors, load_checkpoint, read_result, read_npz):
            answer(read, path)
        with contextlib.suppress(*BROKEN), open_arrays(path) as file:
            file.read_all()


PICKLES = {"data": st.binary(max_size=200), "zipped": st.booleans()}


def check_pickle_bytes(data, zipped):
    """Any bytes in the place of the pickle."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.pth"
        path.write_bytes(b"\x80\x02" + data)
        if zipped:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("a/data.pkl", b"\x80\x02" + data)
        answer(read_tensors, path)
        header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
        header += b" " * (-(len(header) + 11) % 64) + b"\n"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data)
        with contextlib.suppress(DataError):
            answer(read_npz, path)


test_settings = short_version(check_settings, FLAGS)
test_settings_long = long_version(check_settings, FLAGS)
test_command_line = short_version(check_command_line, LINES)
test_command_line_long = long_version(check_command_line, LINES)
test_names = short_version(check_names, FOLDERS)
test_names_long = long_version(check_names, FOLDERS)
test_containers = short_version(check_container, CLIPS)
test_containers_long = long_version(check_container, CLIPS)
test_checkpoints = short_version(check_checkpoint, FILES)
test_checkpoints_long = long_version(check_checkpoint, FILES)
test_pickles = short_version(check_pickle_bytes, PICKLES)
test_pickles_long = long_version(check_pickle_bytes, PICKLES)
