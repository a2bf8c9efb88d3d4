"""OSC bytes against the specification, and VMC's bones in Unity's space."""

from __future__ import annotations

import socket
import threading

import numpy as np
import pytest
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_server import BlockingOSCUDPServer
from pythonosc.parsing.osc_types import IMMEDIATELY
from scipy.spatial.transform import Rotation

from common.errors import UserError
from demo.live.pipeline import LivePipeline
from demo.live.vmc import BONES, LARGEST, VmcSender, osc_bundles, osc_message, parse_address, to_unity
from tests.demo.live.scenes import SIZE, frames, models


def unpack(packet):
    """Messages of a bundle as (address, values), as python-osc reads them."""
    bundle = OscBundle(packet)
    assert bundle.timestamp == IMMEDIATELY
    return [(message.address, message.params) for message in bundle]


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


def test_a_receiver_of_another_program_reads_a_run():
    """The server of python-osc gets every frame, in order, with rotations of unit length."""
    got, done = [], threading.Event()
    dispatcher = Dispatcher()
    dispatcher.set_default_handler(lambda address, *values: got.append((address, values)))
    dispatcher.map("/end", lambda _: done.set())
    with BlockingOSCUDPServer(("127.0.0.1", 0), dispatcher) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            pipeline = LivePipeline(models([(0.1 * at, 0.1, 4.0) for at in range(10)]), SIZE, 30.0)
            with VmcSender(*server.server_address) as sender:
                shown = [sender.show(pipeline.step(frame)) for frame in frames(10)]
                sender._socket.sendto(osc_message("/end"), server.server_address)
            assert done.wait(10)
        finally:
            server.shutdown()
            thread.join()
    assert all(shown)
    times = [values[0] for address, values in got if address == "/VMC/Ext/T"]
    assert times == sorted(times)
    assert len(times) >= 8  # people are tracked from their second frame on
    bones = [values for address, values in got if address == "/VMC/Ext/Bone/Pos"]
    assert [values[0] for values in bones] == list(BONES) * len(times)
    assert np.linalg.norm([values[4:] for values in bones], axis=1) == pytest.approx(1, abs=1e-5)
    hips = np.array([values[1:4] for values in bones if values[0] == "Hips"])
    assert (hips[-1] - hips[0])[0] < -0.3  # it walks to the right of the picture: the file's x, Unity's -x
