"""Makes small test clips with PyAV: any codec, time stamps, orientation and sound."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

from demo.types import Frame
from demo.video.reader import VideoReader

Image = NDArray[np.uint8]

# Display matrices as ISO/IEC 14496-12 writes them: a b u c d v x y w, turning clockwise.
ONE, W = 1 << 16, 1 << 30
MATRICES = {
    0: (ONE, 0, 0, 0, ONE, 0, 0, 0, W),
    90: (0, ONE, 0, -ONE, 0, 0, 0, 0, W),
    180: (-ONE, 0, 0, 0, -ONE, 0, 0, 0, W),
    270: (0, -ONE, 0, ONE, 0, 0, 0, 0, W),
}


def corner_image(width: int = 64, height: int = 48, level: int = 0) -> Image:
    """Gray (60 + level), the top left quarter red, the top right blue: shows every turn and mirroring."""
    image = np.full((height, width, 3), 60 + level, np.uint8)
    image[: height // 2, : width // 2] = (0, 0, 200)
    image[: height // 2, width // 2 :] = (200, 0, 0)
    return image


def tone(seconds: float, rate: int, start: float = 0.0) -> NDArray[np.float32]:
    """A 440 Hz sine that is silent before `start`: mono (1, N), in [-1, 1]."""
    time = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * 440 * time) * (time >= start)).astype(np.float32)[None]


def make_clip(
    path: Path,
    frames: Sequence[Image] | int = 12,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: Fraction | int = 30,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    matrix: Sequence[int] | None = None,
    aspect: Fraction | None = None,
    audio: str | None = None,
    audio_rate: int = 44100,
    sound: NDArray[np.float32] | None = None,
    container_format: str | None = None,
    movflags: str = "",
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip; `pts` are ticks of `time_base`. With `frames=0` only the sound is written."""
    if isinstance(frames, int):
        frames = [corner_image(level=3 * i % 120) for i in range(frames)]
    yuv = pix_fmt.startswith("yuv")
    base = time_base or Fraction(1) / rate
    with av.open(
        str(path), "w", format=container_format, container_options={"movflags": movflags} if movflags else {}
    ) as out:
        video = out.add_stream(codec, rate=rate, options=options or {}) if frames else None
        if video is not None:
            video.height, video.width = frames[0].shape[:2]
            video.pix_fmt = pix_fmt
            video.time_base = video.codec_context.time_base = base
            if yuv:  # tagged, so that the size does not decide
                video.codec_context.colorspace = Colorspace.ITU601
            if aspect:
                video.codec_context.sample_aspect_ratio = aspect
            if matrix:
                video.set_display_matrix(list(matrix))
        voice = out.add_stream(audio, rate=audio_rate) if audio else None
        if voice is not None:
            voice.layout = "mono"
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="bgra" if image.shape[2] == 4 else "bgr24")
            frame = frame.reformat(format=pix_fmt, dst_colorspace=Colorspace.ITU601 if yuv else None)
            frame.time_base = base
            frame.pts = pts[index] if pts is not None else index
            out.mux(video.encode(frame))
        if video is not None:
            out.mux(video.encode(None))
        if voice is not None:
            samples = tone(len(frames) / rate or 1.0, audio_rate) if sound is None else sound
            resampler = av.AudioResampler(voice.codec_context.format or "fltp", "mono", audio_rate)
            for begin in range(0, samples.shape[1], 1024):
                part = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(samples[:, begin : begin + 1024]), format="fltp", layout="mono"
                )
                part.rate = audio_rate
                part.pts = begin
                part.time_base = Fraction(1, audio_rate)
                for converted in resampler.resample(part):
                    out.mux(voice.encode(converted))
            out.mux(voice.encode(None))
    return path


def truncate(path: Path, target: Path, tenths: int) -> Path:
    """Copy the first `tenths` tenths of a file's bytes."""
    data = path.read_bytes()
    target.write_bytes(data[: len(data) * tenths // 10])
    return target


def read(path: Path, **cut: float) -> list[Frame]:
    """All frames of a clip, or of a cut (`start`, `end` in seconds)."""
    with VideoReader(path, **cut) as reader:
        return list(reader)
