"""Wrong results are never called fine, files are never lost, names never control the terminal."""

import io
import json
import pickle
import struct
from itertools import pairwise

import numpy as np
import pydantic
import pytest
import torch
from PIL import Image

from common.errors import NotAVideo, OutputError, UserError, WeightsError, WrongOption
from demo import pipeline
from demo.batch.folders import find_clips
from demo.cli.console import Console
from demo.detection.ultralytics_files import check_checkpoint
from demo.models import ModelLoader
from demo.pose.hrnet import HRNetConfig, build, load_hrnet, save_hrnet
from demo.pose.networks import OnnxNetwork
from demo.settings import Settings
from demo.video.reader import VideoReader, probe
from tests.demo.test_pipeline import person_frames
from tests.media import corner_image, make_clip

SETTINGS = Settings.of(height=64, device="cpu")


@pytest.fixture
def process(networks, resolved, tmp_path):
    def run(clip, settings=SETTINGS, folder=None, **options):
        models = ModelLoader(resolved, settings, loaded=networks)
        return pipeline.process(clip, folder or tmp_path / "out", settings, models, **options)

    return run


def test_a_lifter_that_answers_nan_is_no_success(process, networks, tmp_path):
    with torch.no_grad():
        for weight in networks.lifter.parameters():
            weight.fill_(float("nan"))
    clip = make_clip(tmp_path / "clip.mp4", person_frames(12))
    with pytest.raises(UserError, match="not finite"):
        process(clip)
    assert not list((tmp_path / "out").glob("clip*"))


def test_results_beside_the_clip_leave_its_neighbours_alone(process, tmp_path):
    """`--video F/a.mp4 --output F`, where F has an own `a_3d.mp4` and `a.npz`."""
    clip = make_clip(tmp_path / "a.mp4", person_frames(6))
    own = {"a_3d.mp4": b"own film", "a.npz": b"own arrays", "a.json": b"[1]"}
    for name, content in own.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(OutputError, match="--overwrite"):
        process(clip, folder=tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in own} == own
    done = process(clip, folder=tmp_path, overwrite=True)
    again = process(clip, folder=tmp_path)  # ours now
    assert again.from_cache
    done.paths.summary.unlink()  # as a run that was killed leaves it
    assert not process(clip, folder=tmp_path).from_cache


def test_a_person_who_is_not_there_is_a_wrong_option(process, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", person_frames(12))
    with pytest.raises(WrongOption, match="--person 999") as caught:
        process(clip, SETTINGS.but(person="999"))
    assert caught.value.status == 2


@pytest.mark.parametrize(
    "flags",
    [
        {"person": "nobody"}, {"person": "1\n"}, {"person": "-1"}, {"focal": "inf"}, {"focal": 1e-300},
        {"focal": 1e300}, {"focal": "nan"}, {"start": "inf"}, {"start": 1e305}, {"end": "inf"}, {"end": 0},
        {"orbit": "nan"}, {"orbit": 1e9}, {"detect_every": 10**9}, {"height": 10**9},
    ],
)  # fmt: skip
def test_flags_have_ranges(flags):
    with pytest.raises(pydantic.ValidationError):
        Settings.of(**flags)


def test_mpeg_2_loses_no_frame_where_the_size_changes(tmp_path):
    parts = [(64, 48), (96, 64), (64, 48)]
    whole = b""
    for size in parts:
        frames = [corner_image(*size, level=5 * index) for index in range(5)]
        part = make_clip(tmp_path / "p.ts", frames, codec="mpeg2video", container_format="mpegts")
        whole += part.read_bytes()
    (tmp_path / "joined.ts").write_bytes(whole)
    with VideoReader(tmp_path / "joined.ts") as reader:
        frames = list(reader)
    assert len(frames) == 15
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert all(a.time < b.time for a, b in pairwise(frames))


def test_an_animated_webp_is_told_what_it_is(tmp_path):
    frames = [Image.new("RGB", (16, 16), (level, 0, 0)) for level in (0, 200)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=100)
    with pytest.raises(NotAVideo, match="animated WebP"):
        probe(tmp_path / "a.webp")


@pytest.mark.parametrize("mode", ["CMYK", "RGB", "L"])
@pytest.mark.parametrize("orientation", [1, 6, 3])
def test_photographs_of_every_kind_are_read(tmp_path, mode, orientation):
    picture = Image.new("RGB", (48, 32), (255, 255, 255)).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.jpg", exif=exif)
    with VideoReader(tmp_path / "a.jpg") as reader:
        (frame,) = reader
    assert frame.image.shape[:2] == ((48, 32) if orientation == 6 else (32, 48))
    assert frame.image.min() > 240  # white, not inverted


def test_time_stamps_that_repeat_or_run_backwards(tmp_path):
    clip = make_clip(tmp_path / "a.mkv", 8, pts=[0, 1, 2, 3, 4, 5, 6, 7], options={"bf": "0"})
    data = bytearray(clip.read_bytes())
    block = data.find(b"\xa3")  # SimpleBlock: track, then a 16-bit relative time
    changed = 0
    while block >= 0 and changed < 4:
        if data[block + 2 : block + 4][:1] == b"\x81" or data[block + 3 : block + 4] == b"\x81":
            changed += 1
            data[block + 5] ^= 0x15
        block = data.find(b"\xa3", block + 1)
    (tmp_path / "b.mkv").write_bytes(data)
    with VideoReader(tmp_path / "b.mkv") as reader:
        times = [frame.time for frame in reader]
    assert times
    assert all(a < b for a, b in pairwise(times))


def test_a_pattern_over_links_in_circles_ends(tmp_path):
    for name in ("a", "b", "a/c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "clip.mp4").touch()
        for link in range(4):
            (tmp_path / name / f"link{link}").symlink_to(tmp_path)
    clips = find_clips([tmp_path / "**" / "*.mp4"], tmp_path / "out")
    assert sorted(str(job.clip.relative_to(tmp_path)) for job in clips.jobs) == [
        "a/c/clip.mp4", "a/clip.mp4", "b/clip.mp4",
    ]  # fmt: skip
    assert [job.clip.name for job in find_clips([tmp_path / "a" / "**"], tmp_path / "out").jobs]


def test_a_detector_with_a_pickle_in_front_of_its_zip_is_refused(shared, tmp_path):
    both = tmp_path / "both.pt"
    both.write_bytes(pickle.dumps({}, 2) + (shared / "weights" / "yolo11n-standin.pt").read_bytes())
    with pytest.raises(WeightsError, match="does not start as a zip"):
        check_checkpoint(both)


TINY = HRNetConfig(width=4, modules=(1, 1, 1), blocks=1, input_size=(32, 32))


@pytest.mark.parametrize(
    "change",
    [
        {"input_size": [0, 64]}, {"input_size": [100_000, 64]}, {"input_size": [-4, 4]}, {"blocks": 10**8},
        {"modules": [1, 10**9, 1]}, {"width": 10**6}, {"joints": 0}, {"extra": 1}, None, "[" * 100_000,
    ],
)  # fmt: skip
def test_metadata_of_networks_that_the_file_does_not_hold(tmp_path, change):
    path = tmp_path / "a.safetensors"
    save_hrnet(build(TINY), TINY, path)
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    config = json.loads(header["__metadata__"]["hrnet_config"])
    changed = change if isinstance(change, str) else json.dumps(change and {**config, **change})
    header["__metadata__"]["hrnet_config"] = changed
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    with pytest.raises(WeightsError):
        load_hrnet(path)


def test_an_onnx_model_that_loads_and_cannot_run(tmp_path):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    shape = helper.make_tensor("shape", TensorProto.INT64, [4], [1, 17, 7, 7])
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        "wrong",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3, 64, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 17, "h", "w"])],
        [shape],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "a.onnx")
    network = OnnxNetwork(tmp_path / "a.onnx", "cpu")
    with pytest.raises(WeightsError, match="cannot be run"):
        network(np.zeros((1, 3, 64, 64), np.float32))


def test_names_do_not_control_the_terminal(monkeypatch):
    console = Console()
    for stream in ("_err", "_out"):
        monkeypatch.setattr(getattr(console, stream), "_file", io.StringIO())
    wicked = "a\x1b[2J\x9b31m\n\u202e.mp4[/bold]"
    console.note(wicked)
    console.say(wicked)
    for stream in (console._err, console._out):
        written = stream.file.getvalue()
        assert written.count("\n") == 1
        assert not set("\x1b\x9b\u202e") & set(written)
