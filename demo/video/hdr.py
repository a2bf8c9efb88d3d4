"""Tone-map HDR pictures (HLG and PQ, BT.2020) to SDR (BT.709), as networks and screens expect them.

The mapping is one function of a pixel's R'G'B', so it is tabulated once; FFmpeg's `lut3d` applies it.
Formulas: ITU-R BT.2100 (transfer functions), BT.2390 section 5.4 (tone curve), BT.2087 (gamut), BT.1886.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import av
import av.filter
import numpy as np

from demo.types import Doubles

HDR_PEAK = 1000.0  # cd/m2 of HLG's nominal display, and of most PQ masters
SDR_WHITE = 203.0  # cd/m2 of diffuse white in HDR (BT.2408); it becomes SDR's peak
GRID = 33  # points of the table along each axis
# Linear BT.2020 to linear BT.709 (BT.2087, inverse of its table 2).
TO_709 = np.array(((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)))
LUMINANCE = np.array((0.2627, 0.6780, 0.0593))  # of linear BT.2020


def pq_to_nits(signal: Doubles) -> Doubles:
    """Return cd/m2 of a PQ signal in [0, 1] (BT.2100 table 4)."""
    root = signal ** (1 / 78.84375)
    nits: Doubles = 10_000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (
        1 / 0.1593017578125
    )
    return nits


def nits_to_pq(nits: Doubles) -> Doubles:
    """Return the PQ signal of cd/m2: the inverse of `pq_to_nits`."""
    power = (nits / 10_000) ** 0.1593017578125
    signal: Doubles = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    return signal


def hlg_to_nits(signal: Doubles) -> Doubles:
    """Return cd/m2 (..., 3) of an HLG signal (..., 3) on a display of `HDR_PEAK` (BT.2100 table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = scene @ LUMINANCE
    nits: Doubles = HDR_PEAK * np.maximum(luminance, 1e-9)[..., None] ** 0.2 * scene
    return nits


# AVColorTransferCharacteristic of HDR signals, and their way to cd/m2.
TRANSFERS: Mapping[int, Callable[[Doubles], Doubles]] = {16: pq_to_nits, 18: hlg_to_nits}


def compress(nits: Doubles) -> Doubles:
    """Compress 0..`HDR_PEAK` to 0..`SDR_WHITE`, highlights only (BT.2390's EETF without black lift)."""
    peak = nits_to_pq(np.array(HDR_PEAK))
    signal = np.minimum(nits_to_pq(nits) / peak, 1)
    top = float(nits_to_pq(np.array(SDR_WHITE)) / peak)
    knee = 1.5 * top - 0.5
    t = (signal - knee) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * top
    )
    return pq_to_nits(np.where(signal < knee, signal, spline) * peak)


def to_sdr(signal: Doubles, transfer: int) -> Doubles:
    """Return the BT.709 signal (..., 3) of an HDR signal (..., 3), both in [0, 1].

    The largest of the three channels is compressed and the others keep their ratio to it, so hues stay.
    """
    nits = TRANSFERS[transfer](signal)
    largest = np.maximum(nits.max(-1, keepdims=True), 1e-6)
    linear = nits * (compress(largest) / largest) / SDR_WHITE @ TO_709.T
    return np.clip(linear, 0, 1) ** (1 / 2.4)


class ToneMap:
    """Maps HDR frames of one clip to SDR."""

    def __init__(self, transfer: int) -> None:
        self._transfer = transfer
        self._graph: av.filter.Graph | None = None
        self._format: tuple[int, int, str] | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return an SDR frame of a frame with 16 bits a channel, `gbrp16le`."""
        kind = frame.width, frame.height, frame.format.name
        if self._graph is None or self._format != kind:
            self._graph, self._format = self._build(frame), kind
        self._graph.push(frame)
        pulled = self._graph.pull()
        assert isinstance(pulled, av.VideoFrame)
        return pulled

    def _build(self, frame: av.VideoFrame) -> av.filter.Graph:
        with tempfile.TemporaryDirectory() as folder:
            # lut3d reads the table when it is made; a plain name needs no escaping.
            path = Path(folder) / "sdr.cube"
            path.write_text(_cube(self._transfer), encoding="ascii")
            graph = av.filter.Graph()
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
            )
            table = graph.add("lut3d", file=str(path).replace("\\", "/").replace(":", "\\:"))
            sink = graph.add("buffersink")
            source.link_to(table)
            table.link_to(sink)
            graph.configure()
        return graph


def _cube(transfer: int) -> str:
    """Return the mapping as a .cube table; red runs fastest."""
    axis = np.linspace(0, 1, GRID)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    table = to_sdr(np.stack((red, green, blue), -1).reshape(-1, 3), transfer)
    rows = "\n".join(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in table)
    return f"LUT_3D_SIZE {GRID}\n{rows}\n"
