"""Write H.264 in mp4 with the source's exact time stamps and its sound."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self, cast
from uuid import uuid4

import av
import av.error
import cv2
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

from common.errors import OutputError, UserError
from common.text import printable
from demo.types import ClipInfo, Image
from demo.video.containers import open_media
from demo.video.reader import VideoReader

_COPIED = {"aac", "mp3", "ac3", "eac3", "alac", "opus"}  # what mp4 holds and players play
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_PREROLL = 0.1  # seconds of sound kept before the picture: decoders warm up on it, players skip it
_MAX_SIDE = 16384  # libx264's limit
_MAX_TICKS = 1_000_000  # a second; mp4 stores steps in 32 bits, so finer clocks could not hold a pause
_MAX_LAST = 60  # longest duration of the last frame, seconds
_AHEAD = 0.5  # lead of the sound over the picture in the file, seconds


class VideoWriter:
    """Write BGR frames of `size` (width, height) to an mp4; a context manager.

    `info` describes the source: its time base is kept so that time stamps survive exactly, and its length
    gives the last frame's. The first frame written becomes time 0, and the sound of `audio_from` (the
    source clip) is aligned to it; `end` (seconds of the source) cuts the sound with the frames. Odd sizes
    are padded by a pixel. The file appears under its name when the block ends without an error, else not at
    all.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        info: ClipInfo,
        audio_from: Path | None = None,
        end: float | None = None,
        crf: int = 21,
        preset: str = "veryfast",
    ) -> None:
        self.path = path
        self.size = size
        self.info = info
        self._audio_from = audio_from if info.has_audio else None
        self._end = end
        # x264's macroblock tree reads uninitialised memory, so the bytes of the file differ from run to run.
        # Without it files are a quarter larger at the same crf.
        self._options = {"crf": str(crf), "preset": preset, "x264-params": "mbtree=0"}
        # Within the 255 bytes of a file name in every script of the stem.
        self._partial = path.absolute().with_name(f".{path.stem[:50]}-{uuid4().hex[:8]}.part")
        self._reformatter = VideoReformatter()
        self._pending: tuple[av.VideoFrame, int] | None = None  # waits for its duration
        self._first = 0
        self._count = 0
        self._audio: _Audio | None = None

    def __enter__(self) -> Self:
        try:
            if self.path.is_dir():
                raise IsADirectoryError("a folder has this name")
            if max(self.size) > _MAX_SIDE:
                raise OSError(f"H.264 cannot hold frames of {self.size[0]}x{self.size[1]} pixels")
            self._partial.touch()  # FFmpeg would notice only at the first frame that it cannot write here
            self._container: OutputContainer = av.open(
                str(self._partial), "w", format="mp4", container_options={"movflags": "+faststart"}
            )
            self._stream = self._add_video()
        except (av.error.FFmpegError, OSError) as error:
            self._discard()
            raise self._failure(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._discard()
            return
        try:
            if self._pending is None:
                raise OutputError(f"no frame to write to {printable(self.path)}")
            self._flush()
            self._container.close()
            self._partial.replace(self.path)
        except (av.error.FFmpegError, OSError) as failed:
            raise self._failure(failed) from failed
        finally:
            self._discard()

    def write(self, image: Image, pts: int) -> None:
        """Add a frame (H, W, 3) at `pts`, in ticks of the source's time base; `pts` must increase."""
        if (image.shape[1], image.shape[0]) != self.size:
            raise ValueError(f"frame of {image.shape[1]}x{image.shape[0]}, the video has {self.size}")
        try:
            if self._pending is None:
                self._first = pts
                if self._audio_from is not None:
                    start = float(pts * self.info.time_base)
                    self._audio = _Audio.open(self._audio_from, self._container, start, self._end)
            else:
                self._encode(pts - self._pending[1])
            self._pending = (self._convert(image), pts)
            self._count += 1
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _add_video(self) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=self.info.fps, options=self._options)
        width, height = self.size
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        # mp4 counts in 1/n seconds: with the source's n, time stamps stay exact.
        stream.time_base = Fraction(1, min(self.info.time_base.denominator, _MAX_TICKS))
        context = stream.codec_context
        context.time_base = stream.time_base
        context.flags |= Flags.frame_duration
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        return stream

    def _convert(self, image: Image) -> av.VideoFrame:
        """Convert BGR to limited-range BT.709 4:2:0, padded to even sides."""
        height, width = image.shape[:2]
        if width % 2 or height % 2:
            image = np.asarray(
                cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8
            )
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        frame.color_primaries = ColorPrimaries.BT709
        frame.color_trc = ColorTrc.BT709
        return frame

    def _encode(self, duration: int) -> None:
        """Encode the pending frame with a duration in ticks of the source."""
        assert self._pending is not None
        frame, pts = self._pending
        scale = self.info.time_base / cast(Fraction, self._stream.time_base)
        frame.time_base = cast(Fraction, self._stream.time_base)
        frame.pts = round((pts - self._first) * scale)
        frame.duration = max(1, round(duration * scale))
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
        if self._audio is not None:
            self._audio.write_until(float((pts - self._first) * self.info.time_base) + _AHEAD)

    def _last_duration(self, pts: int) -> int:
        """Return the last frame's duration in ticks: to the clip's declared end, if that is plausible."""
        step = max(1, round(1 / (self.info.fps * self.info.time_base)))
        left = round(Fraction(self.info.duration) / self.info.time_base) - pts
        if self._count == self.info.frame_count:
            longest = round(_MAX_LAST / self.info.time_base)
        elif not self.info.frame_count and self._end is None:
            longest = round(1 / self.info.time_base)
        else:
            longest = 2 * step  # frames are missing at the end: they are not replaced by a still
        return left if 0 < left <= longest else step

    def _flush(self) -> None:
        assert self._pending is not None
        last = self._pending[1]
        duration = self._last_duration(last)
        self._encode(duration)
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        if self._audio is not None:
            until = float((last + duration - self._first) * self.info.time_base)
            self._audio.write_until(float("inf") if self._end is None else until)
            self._audio.finish()

    def _discard(self) -> None:
        """Close the open files and remove the temporary file, if it still exists."""
        if self._audio is not None:
            self._audio.close()
        with suppress(av.error.FFmpegError, OSError):  # an unfinished file, removed in any case
            if hasattr(self, "_container"):
                self._container.close()
        with suppress(OSError):  # the folder may be missing; the error that led here reports it
            self._partial.unlink(missing_ok=True)

    def _failure(self, error: Exception) -> OutputError:
        reason = getattr(error, "strerror", None) or str(error)
        return OutputError(f"cannot write {printable(self.path)}: {reason}; check permissions and free space")


class _Audio:
    """The source's sound for the output: packets copied, or decoded and encoded as AAC.

    Damaged sound ends early and does not affect the picture.
    """

    def __init__(self, source: Path, output: OutputContainer, start: float, end: float | None) -> None:
        with VideoReader(source) as reader:
            self._shift = reader.origin + start  # the output's time 0 on the source's clock
        self._stop = float("inf") if end is None else end - start
        self._output = output
        self._input = open_media(source)
        audio = _readable_audio(self._input)
        if audio is None:
            raise ValueError("no sound that can be read")
        self._source = audio
        self._copied = _can_copy(source)
        self._last_dts: int | None = None
        if self._copied:
            self._stream = output.add_stream_from_template(self._source)
            self._packets = self._copy()
        else:
            rate = self._source.rate if self._source.rate in _AAC_RATES else 48000
            self._stream = output.add_stream("aac", rate=rate)
            self._stream.layout = "mono" if self._source.channels == 1 else "stereo"
            self._packets = self._transcode()
        self._next: tuple[float, Packet] | None = None

    @classmethod
    def open(cls, source: Path, output: OutputContainer, start: float, end: float | None) -> _Audio | None:
        """Open the sound of `source`, or return None if it has none that can be read."""
        try:
            return cls(source, output, start, end)
        except (UserError, av.error.FFmpegError, StopIteration, ValueError):
            return None

    def write_until(self, time: float) -> None:
        """Mux everything up to `time` (seconds of the output)."""
        while True:
            if self._next is None:
                self._next = next(self._packets, None)
            if self._next is None or self._next[0] > time:
                return
            with suppress(av.error.InvalidDataError, av.error.ArgumentError):  # a damaged packet
                self._output.mux(self._next[1])
            self._next = None

    def finish(self) -> None:
        """Write the rest of the sound."""
        self._packets.close()

    def close(self) -> None:
        """Close the source."""
        self._packets.close()
        self._input.close()

    def _demux(self) -> Iterator[Packet]:
        try:
            yield from self._input.demux(self._source)
        except (av.error.FFmpegError, IndexError):  # IndexError: see `VideoReader._decode`
            return

    def _copy(self) -> Generator[tuple[float, Packet], None, None]:
        base = cast(Fraction, self._source.time_base)
        shift = round(self._shift / base)
        for packet in self._demux():
            if packet.pts is None or packet.dts is None or not packet.size:
                continue
            packet.pts -= shift
            packet.dts -= shift
            time = float(packet.pts * base)
            if time < -_PREROLL or (self._last_dts is not None and packet.dts <= self._last_dts):
                continue
            if time >= self._stop:
                return
            self._last_dts = packet.dts
            packet.stream = self._stream
            yield time, packet

    def _transcode(self) -> Generator[tuple[float, Packet], None, None]:
        resampler = av.AudioResampler("fltp", self._stream.layout, self._stream.rate)
        shift = Fraction(self._shift)
        expected: Fraction | None = None
        for frame in self._decoded():
            base = frame.time_base or Fraction(1, frame.sample_rate)
            time = expected if frame.pts is None else frame.pts * base - shift
            time = time or Fraction(0)
            expected = time + Fraction(frame.samples, frame.sample_rate)
            if expected <= 0:
                continue
            if time >= self._stop:
                break
            frame.time_base = Fraction(1, frame.sample_rate)
            frame.pts = round(time * frame.sample_rate)
            for resampled in resampler.resample(frame):
                yield from self._encoded(resampled)
        for resampled in resampler.resample(None):
            yield from self._encoded(resampled)
        yield from self._encoded(None)

    def _decoded(self) -> Iterator[AudioFrame]:
        for packet in self._demux():
            try:
                yield from cast("list[AudioFrame]", packet.decode())
            except av.error.FFmpegError:
                continue  # a damaged packet is a short silence

    def _encoded(self, frame: AudioFrame | None) -> Iterator[tuple[float, Packet]]:
        for packet in self._stream.encode(frame):
            yield float((packet.pts or 0) * packet.time_base), packet


def _readable_audio(container: InputContainer) -> AudioStream | None:
    """Return the first sound stream that has a decoder."""
    return next((s for s in container.streams.audio if s.codec_context is not None), None)


def _can_copy(source: Path) -> bool:
    """Return whether mp4 can hold this sound unchanged.

    The first packet is written to memory as a test: a damaged header would make the whole file unreadable.
    """
    with open_media(source) as container:
        stream = _readable_audio(container)
        if stream is None or stream.codec_context.codec.canonical_name not in _COPIED:
            return False
        try:
            with av.open(BytesIO(), "w", format="mp4") as trial:
                copy = trial.add_stream_from_template(stream)
                packet = next(p for p in container.demux(stream) if p.size)
                packet.stream = copy
                trial.mux(packet)
        except (av.error.FFmpegError, StopIteration, ValueError):
            return False
    return True
