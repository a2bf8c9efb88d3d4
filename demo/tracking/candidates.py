"""Boxes and keypoint candidates of the first pass, frame by frame, in little memory.

Half an hour of people is millions of joints.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from jaxtyping import Bool, Float32, Int64

from demo.types import Floats, TrackedBox

_NUMBERS = 2 * 17 * 3  # of a person's keypoints: both candidates of every joint


@dataclass(frozen=True)
class FramePeople:
    """The tracker's people in one frame. `observed` is False where a box was only predicted."""

    ids: Int64[np.ndarray, " people"]
    boxes: Float32[np.ndarray, "people 4"]
    scores: Float32[np.ndarray, " people"]
    observed: Bool[np.ndarray, " people"]
    candidates: Float32[np.ndarray, "people 2 17 3"]


class CandidateStore(Sequence[list[TrackedBox]]):
    """Boxes and keypoint candidates of all people, in flat arrays that only grow.

    They take 450 bytes a person and frame. A sequence of `TrackedBox` lists, one a frame, which are created
    on each access.
    """

    def __init__(self) -> None:
        self._ends = array("q", [0])  # past each frame's last person
        self._ids = array("q")
        self._boxes = array("f")
        self._scores = array("d")
        self._observed = array("b")
        self._keypoints = array("f")

    def append(self, people: FramePeople) -> None:
        """Append the next frame."""
        self._ids.extend(people.ids.tolist())
        self._boxes.frombytes(np.ascontiguousarray(people.boxes, np.float32).tobytes())
        self._scores.extend(people.scores.tolist())
        self._observed.extend(people.observed.tolist())
        self._keypoints.frombytes(np.ascontiguousarray(people.candidates, np.float32).tobytes())
        self._ends.append(len(self._ids))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> list[TrackedBox]: ...

    @overload
    def __getitem__(self, index: slice) -> list[list[TrackedBox]]: ...

    def __getitem__(self, index: int | slice) -> list[TrackedBox] | list[list[TrackedBox]]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return [
            TrackedBox(
                self._ids[person],
                np.array(self._boxes[4 * person : 4 * person + 4], np.float32),
                self._scores[person],
                bool(self._observed[person]),
            )
            for person in range(self._ends[index], self._ends[index + 1])
        ]

    def keypoints(self) -> Iterator[Floats]:
        """Yield each frame's keypoint candidates (people, 2, 17, 3)."""
        for first, end in zip(self._ends[:-1], self._ends[1:], strict=True):
            part = self._keypoints[first * _NUMBERS : end * _NUMBERS]
            yield np.array(part, np.float32).reshape(-1, 2, 17, 3)
