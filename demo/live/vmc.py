"""Bone rotations to avatar programs: VMC protocol over OSC, one UDP packet or two a frame.

VMC (https://protocol.vmc.info): /VMC/Ext/OK, /VMC/Ext/T, /VMC/Ext/Root/Pos, /VMC/Ext/Bone/Pos.
OSC 1.0 (https://opensoundcontrol.stanford.edu/spec-1_0.html): big endian, everything a multiple of 4 bytes.
Space: Unity's, left-handed, x right, y up, z ahead; metres. Rotations are those from VRM's T-pose, each in
its parent's axes, which is the rest pose of `demo.motion.rig` mirrored in x.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import numpy as np

from common.errors import UserError
from demo.live.pipeline import LiveFrame, LivePose
from demo.motion.rig import RIG_JOINTS, solve_rig
from demo.types import Doubles

PORT = 39539  # of VMC's receivers ("Marionette")
LARGEST = 1400  # bytes of a packet, within the 1500 of Ethernet
_NOW = struct.pack(">Q", 1)  # OSC's time tag for "immediately"
# Unity's names of the rig's joints (HumanBodyBones), in the order of `RIG_JOINTS`.
BONES = (
    "Hips", "Spine", "Chest", "UpperChest", "Neck", "Head",
    "LeftShoulder", "LeftUpperArm", "LeftLowerArm", "LeftHand",
    "RightShoulder", "RightUpperArm", "RightLowerArm", "RightHand",
    "LeftUpperLeg", "LeftLowerLeg", "LeftFoot", "RightUpperLeg", "RightLowerLeg", "RightFoot",
)  # fmt: skip


def osc_message(address: str, *values: str | int | float) -> bytes:
    """Pack an OSC message with strings, 32-bit integers and 32-bit floats."""
    tags, data = ",", b""
    for value in values:
        if isinstance(value, str):
            tags, data = tags + "s", data + _osc_string(value)
        elif isinstance(value, int):
            tags, data = tags + "i", data + struct.pack(">i", value)
        else:
            tags, data = tags + "f", data + struct.pack(">f", value)
    return _osc_string(address) + _osc_string(tags) + data


def osc_bundles(messages: Sequence[bytes]) -> Iterator[bytes]:
    """Yield OSC bundles of at most `LARGEST` bytes with all messages, in their order."""
    bundle = head = _osc_string("#bundle") + _NOW
    for message in messages:
        part = struct.pack(">i", len(message)) + message
        if len(bundle) + len(part) > LARGEST and bundle != head:
            yield bundle
            bundle = head
        bundle += part
    if bundle != head:
        yield bundle


def _osc_string(text: str) -> bytes:
    """Return the bytes of a string, a zero, and zeros up to a multiple of 4."""
    data = text.encode("ascii")
    return data + b"\0" * (4 - len(data) % 4)


def to_unity(position: Doubles, rotation: Doubles) -> tuple[list[float], list[float]]:
    """Mirror a position (3,) and a quaternion x y z w (4,) of the rig in x: right-handed to left-handed."""
    return (position * (-1, 1, 1)).tolist(), (rotation * (1, -1, -1, 1)).tolist()


def vmc_messages(pose: LivePose, time: float) -> list[bytes]:
    """Return the messages of one person's pose at a time, seconds. The hips carry the place."""
    rig = solve_rig(pose.world[None], np.zeros(1))
    messages = [
        osc_message("/VMC/Ext/OK", 1),
        osc_message("/VMC/Ext/T", float(time)),
        osc_message("/VMC/Ext/Root/Pos", "root", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    ]
    for joint in range(len(RIG_JOINTS)):
        place = rig.root[0] if joint == 0 else rig.offsets[joint]
        position, rotation = to_unity(place, rig.rotations[0, joint])
        messages.append(osc_message("/VMC/Ext/Bone/Pos", BONES[joint], *position, *rotation))
    return messages


def parse_address(text: str) -> tuple[str, int]:
    """Read `host:port`, `host` or `:port`.

    Raises:
        UserError: the port is no number from 1 to 65535.
    """
    host, _, port = text.rpartition(":") if ":" in text else (text, "", str(PORT))
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise UserError(f"--osc {text}: give host:port, for example 127.0.0.1:{PORT}")
    return host or "127.0.0.1", int(port)


class VmcSender:
    """Sends one person to a receiver: the one sent before while there, else the largest in the picture."""

    def __init__(self, host: str, port: int) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except OSError as error:
            raise UserError(f"--osc {host}:{port}: {error.strerror or error}") from error
        family, self._address = found[0][0], found[0][4]
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._person = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def show(self, live: LiveFrame) -> bool:
        """Send a frame. A receiver that does not listen is no error: it may be started later."""
        if not live.people:
            return True
        people = {pose.drawn.person_id: pose for pose in live.people}
        if self._person not in people:
            self._person = max(people, key=lambda number: _height(people[number]))
        for packet in osc_bundles(vmc_messages(people[self._person], live.frame.time)):
            try:
                self._socket.sendto(packet, self._address)
            except OSError:
                break
        return True


def _height(pose: LivePose) -> float:
    """Return the height of a person in the picture, pixels."""
    assert pose.drawn.keypoints is not None
    rows = pose.drawn.keypoints[:, 1]
    return float(np.nanmax(rows) - np.nanmin(rows))
