"""OSC bytes against the specification, and VMC's bones in Unity's space."""

from __future__ import annotations

import socket
import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from common.errors import UserError
from demo.live.pipeline import LivePipeline
from demo.live.vmc import BONES, LARGEST, VmcSender, osc_bundles, osc_message, parse_address, to_unity
from tests.demo.live.scenes import SIZE, frames, models


def unpack(packet):
    """Messages of a bundle as (address, values), by OSC 1.0."""
    assert packet[:8] == b"#bundle\0"
    assert packet[8:16] == b"\0\0\0\0\0\0\0\1"
    at, messages = 16, []
    while at < len(packet):
        (size,) = struct.unpack_from(">i", packet, at)
        part, at = packet[at + 4 : at + 4 + size], at + 4 + size
        assert size % 4 == 0
        address, part = _string(part)
        tags, part = _string(part)
        values = []
        for tag in tags[1:]:
            if tag == "s":
                value, part = _string(part)
            else:
                (value,) = struct.unpack_from(f">{tag}", part)
                part = part[4:]
            values.append(value)
        assert part == b""
        messages.append((address, values))
    return messages


def _string(data):
    text = data[: data.index(b"\0")]
    return text.decode(), data[len(text) // 4 * 4 + 4 :]


def test_the_specifications_examples():
    # OSC 1.0, "OSC Message Examples": /oscillator/4/frequency with 440.0; /foo with 1000, -1, "hello", 1.234
    assert osc_message("/oscillator/4/frequency", 440.0) == bytes.fromhex(
        "2f6f7363696c6c61746f722f342f6672657175656e6379002c66000043dc0000"
    )
    assert osc_message("/foo", 1000, -1, "hello", 1.234) == bytes.fromhex(
        "2f666f6f000000002c69697366000000000003e8ffffffff68656c6c6f0000003f9df3b6"
    )


def test_bundles_hold_all_and_fit_a_packet():
    messages = [osc_message("/VMC/Ext/OK", number) for number in range(200)]
    packets = list(osc_bundles(messages))
    assert len(packets) > 1
    assert max(map(len, packets)) <= LARGEST
    assert [values for packet in packets for _, values in unpack(packet)] == [[n] for n in range(200)]


def test_to_unity_mirrors_points_like_rotations():
    rng = np.random.default_rng(1)
    mirror = np.array((-1.0, 1.0, 1.0))
    for turn in Rotation.random(20, rng=rng):
        point = rng.normal(size=3)
        position, rotation = to_unity(point, turn.as_quat())
        there = Rotation.from_quat(rotation).apply(position)
        assert there == pytest.approx(turn.apply(point) * mirror)


def test_a_receiver_gets_every_bone():
    pipeline = LivePipeline(models([(0.0, 0.1, 4.0)] * 5), SIZE, 30.0)
    live = [pipeline.step(frame) for frame in frames(5)][-1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        with VmcSender(*receiver.getsockname()) as sender:
            assert sender.show(live)
        messages = []
        while len(messages) < 3 + len(BONES):
            messages += unpack(receiver.recv(2000))
    assert messages[0] == ("/VMC/Ext/OK", [1])
    bones = {values[0]: values[1:] for address, values in messages if address == "/VMC/Ext/Bone/Pos"}
    assert set(bones) == set(BONES)
    # The arms hang: in Unity's space the left one points to -x in the T-pose, the right one to x.
    left, right = (Rotation.from_quat(bones[f"{side}UpperArm"][3:]) for side in ("Left", "Right"))
    assert bones["Hips"][1] == pytest.approx(0.9, abs=0.1)
    assert left.apply((-1, 0, 0))[1] < -0.8
    assert right.apply((1, 0, 0))[1] < -0.8
    for values in bones.values():
        assert np.linalg.norm(values[3:]) == pytest.approx(1, abs=1e-5)
    # The person faces the camera, whose viewing direction is -z of the file, so the front is +z: no turn.
    hips = Rotation.from_quat(bones["Hips"][3:])
    assert abs(hips.apply((0, 0, 1))[2]) > 0.9


def test_addresses():
    assert parse_address("10.0.0.2:39540") == ("10.0.0.2", 39540)
    assert parse_address(":39540") == ("127.0.0.1", 39540)
    assert parse_address("studio") == ("studio", 39539)
    for wrong in ("host:0", "host:x", "host:70000", "host:"):
        with pytest.raises(UserError, match="host:port"):
            parse_address(wrong)
    with pytest.raises(UserError, match="--osc"):
        VmcSender("no.such.host.invalid", 39539)
