"""Read any clip or picture that FFmpeg supports as upright BGR frames with exact time stamps.

Damage is expected: what can be decoded is delivered, and `VideoReader.damage` describes the rest.
Only the one local file is read: play lists and network protocols are disabled.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import SideData
from av.stream import Disposition
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.stream import VideoStream

from common.errors import DamagedVideo, NotAVideo, NoVideoStream, UserError
from common.text import printable
from demo.types import ClipInfo, Frame, Image
from demo.video.clock import Clock
from demo.video.containers import is_cut_short, open_media, unreadable
from demo.video.hdr import TRANSFERS, ToneMap

_MAX_PIXELS = 2**28  # 16384 x 16384: above every camera, below the sizes of a corrupt header
_TRUSTED_MATRICES = {0, 1, 4, 5, 6, 7, 9, 10}  # AVColorSpace values that swscale converts correctly
_GIVE_UP_AFTER = 32  # read errors in a row
_FASTEST_RATE = 100_000  # frames a second; more is a corrupt header
_SLOWEST_CLOCK = 60  # seconds a tick; more is a corrupt header
_ONE_BEHIND = {"mpeg1video", "mpeg2video"}  # decoders that hold one frame back
_SEQUENCE_HEADER = b"\x00\x00\x01\xb3"  # ISO/IEC 13818-2, 6.2.2.1
_IMAGE_SECONDS = 1  # duration of a still image


def probe(path: Path) -> ClipInfo:
    """Describe a clip. The first frame is decoded, so a described clip can be read.

    Raises:
        InputMissing, EmptyFile, NotAVideo, NoVideoStream, DamagedVideo: see `VideoReader`.
    """
    path = Path(path)
    try:
        state = path.stat()
    except (OSError, ValueError):
        return _probe(path, None)  # raises the error that fits
    return _probe(path, (state.st_size, state.st_mtime_ns, state.st_ino))


@lru_cache(maxsize=256)  # a run asks at the command line and in the pipeline
def _probe(path: Path, state: tuple[int, ...] | None) -> ClipInfo:
    """Describe a clip; `state` changes with the file."""
    with VideoReader(path) as reader:
        return reader.info


class VideoReader:
    """Iterate over the upright BGR frames of a clip or picture; a context manager.

    Time 0 is the clip's first frame. `start` and `end` (seconds) select the frames with start <= time < end;
    times keep counting from the clip's first frame, indexes count the frames returned. Time stamps strictly
    increase. After the iteration `damage` is a line on what could not be read, or None.

    Raises:
        InputMissing, EmptyFile, NotAVideo, NoVideoStream: the file is missing or holds no video.
        DamagedVideo: no frame can be decoded.
        UserError: the cut is empty.
    """

    def __init__(self, path: Path, start: float | None = None, end: float | None = None) -> None:
        if (start or 0.0) < 0 or (end is not None and end <= (start or 0.0)):
            raise UserError(f"nothing to read from {start} s to {end} s: the end must lie after the start")
        self.path = path
        self.start = start
        self.end = end
        self.damage: str | None = None
        self._reformatter = VideoReformatter()
        self._tone_map: ToneMap | None = None  # of HDR clips
        self._open()

    def _open(self) -> None:
        self._container = open_media(self.path)
        try:
            self._stream = _pick_stream(self._container, self.path)
            self._skipped = 0
            self._sequence_size: bytes | None = None
            self._decoded = self._decode()
            first = next(self._decoded, None)
            if first is None:
                raise DamagedVideo(
                    f"{printable(self.path)}: not one frame of the video can be decoded; get a complete copy"
                )
            self.info, self._mirrored, self._coded_size = _describe(
                self.path, self._container, self._stream, first
            )
        except BaseException:
            self._container.close()
            raise
        self._origin = first.pts or 0
        self._raw: Iterator[av.VideoFrame] = chain([first], self._decoded)
        self._frames = self._read()

    @property
    def origin(self) -> float:
        """Time of the clip's first frame on the file's own clock, which its audio shares (seconds)."""
        return float(self._origin * self.info.time_base)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._frames.close()
        self._decoded.close()
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def _read(self) -> Generator[Frame, None, None]:
        start = (self.start or 0.0) - 1e-6
        end = float("inf") if self.end is None else self.end - 1e-6
        if start > 1.0:
            self._seek(start)
        clock = Clock(self._origin, self.info)
        index = 0
        for raw in self._raw:
            pts = clock.stamp(raw.pts)
            time = float(pts * self.info.time_base)
            if time >= end:
                break
            if time < start:
                continue
            try:
                image = self._image(raw)
            except (av.error.FFmpegError, ValueError):  # ValueError: a pixel format without a converter
                self._skipped += 1
                continue
            yield Frame(index, pts, time, image)
            index += 1
        else:
            self.damage = self._diagnose(index)
        if self._skipped and not self.damage:
            self.damage = f"{self._skipped} damaged frame{'s were' if self._skipped > 1 else ' was'} left out"
        if not index and self._skipped:
            raise DamagedVideo(f"{printable(self.path)}: no frame of the wanted part can be decoded")
        if not index:
            raise UserError(
                f"{printable(self.path)} has no frame from {self.start or 0:g} s to "
                f"{'its end' if self.end is None else f'{self.end:g} s'}; it lasts {self.info.duration:.2f} s"
            )

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        """Yield decoded frames; damaged packets and frames are counted and skipped."""
        packets = self._container.demux(self._stream)
        failures = 0
        while failures < _GIVE_UP_AFTER:
            try:
                packet = next(packets)
                failures = 0
            except (StopIteration, IndexError):
                return  # IndexError: PyAV's flush at the end fails for a stream that appeared late
            except av.error.FFmpegError:
                failures += 1
                self._skipped += 1
                packets = self._container.demux(self._stream)
                continue
            try:
                frames = [*self._held_back(packet), *packet.decode()]
            except av.error.FFmpegError:
                self._skipped += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self._skipped += 1
                else:
                    yield frame

    def _held_back(self, packet: Packet) -> list[av.VideoFrame]:
        """Return the frame that FFmpeg's MPEG-1/2 decoders would drop when the picture size changes."""
        if self._stream.codec_context.name not in _ONE_BEHIND:
            return []
        data = bytes(packet)
        at = data.find(_SEQUENCE_HEADER)
        size = data[at + 4 : at + 7] if at >= 0 else self._sequence_size  # two times 12 bits
        changed = self._sequence_size not in (None, size)
        self._sequence_size = size
        if not changed:
            return []
        frames = self._stream.codec_context.decode(None)
        self._stream.codec_context.flush_buffers()
        return frames

    def _seek(self, start: float) -> None:
        """Seek to the last key frame before `start`; nothing is skipped in a file that cannot seek."""
        target = self._origin + int(start / self.info.time_base)
        try:
            self._container.seek(target, stream=self._stream)
            self._decoded = self._decode()
            first = next(self._decoded, None)
        except av.error.FFmpegError:
            first = None
        if first is not None and first.pts is not None and first.pts <= target:
            self._raw = chain([first], self._decoded)
            return
        frames = self._frames  # the generator that is running now stays the one in use
        self._container.close()
        self._open()
        self._frames = frames

    def _image(self, raw: av.VideoFrame) -> Image:
        """Convert to the upright BGR picture, square pixels, (info.height, info.width, 3)."""
        matrix = None
        if raw.colorspace not in _TRUSTED_MATRICES:
            # Players' convention for untagged clips: BT.601 for standard definition, BT.709 above.
            large = raw.width >= 1280 or raw.height > 576
            matrix = Colorspace.ITU709 if large else Colorspace.ITU601
        if raw.color_range > 2:
            raw.color_range = 0
        alpha = any(component.is_alpha for component in raw.format.components) or raw.format.has_palette
        # A stream may change its size; every frame of a clip is scaled to the first frame's size.
        width, height = self._coded_size
        if raw.color_trc in TRANSFERS:
            wide = self._reformatter.reformat(
                raw, width, height, "gbrp16le", src_colorspace=matrix, threads=1
            )
            self._tone_map = self._tone_map or ToneMap(raw.color_trc)
            raw, matrix = self._tone_map(wide), None
        scaled = self._reformatter.reformat(
            raw,
            width=width,
            height=height,
            format="bgra" if alpha else "bgr24",
            src_colorspace=matrix,
            threads=1,  # swscale's own threads cost more than they gain
        )
        image = np.asarray(scaled.to_ndarray(), np.uint8)
        if alpha:
            image = _on_black(image)
        return _upright(image, self.info.rotation, self._mirrored)

    def _diagnose(self, frames: int) -> str | None:
        """Describe what could not be read, after the end of the file."""
        if not is_cut_short(self.path):
            return None
        if not self.start and frames < self.info.frame_count:
            return f"breaks off after {frames} of {self.info.frame_count} frames"
        return f"is cut short: {frames} frame{'s' * (frames != 1)} could be read"


def _pick_stream(container: InputContainer, path: Path) -> VideoStream:
    """Choose the video stream to read: the default one, then the largest. Cover art is ignored."""
    hidden = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [s for s in container.streams.video if not s.disposition & hidden]
    if not streams:
        if container.streams.audio or container.streams.video:
            raise NoVideoStream(f"{printable(path)} has sound but no video: give a file with a picture")
        raise unreadable(path)
    readable = [s for s in streams if s.codec_context is not None]
    if not readable and is_cut_short(path):
        raise unreadable(path)
    if not readable:
        raise NotAVideo(f"{printable(path)}: its video codec is unknown here; convert it to H.264")
    best = max(
        readable,
        key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height, -s.index),
    )
    if best.width * best.height > _MAX_PIXELS:
        raise DamagedVideo(f"{printable(path)} claims frames of {best.width}x{best.height}: implausible")
    # Not "AUTO": with frame threading the decoded frames of a damaged clip differ from run to run.
    best.thread_type = "SLICE"
    best.codec_context.options = {"max_pixels": str(_MAX_PIXELS)}
    return best


def _describe(
    path: Path, container: InputContainer, stream: VideoStream, first: av.VideoFrame
) -> tuple[ClipInfo, bool, tuple[int, int]]:
    """Return the ClipInfo, whether frames are mirrored, and the (width, height) to scale frames to."""
    rotation, mirrored = _orientation(first)
    width, height = _square_pixels(first.width, first.height, stream.sample_aspect_ratio)
    is_image = container.format.name == "image2" or container.format.name.endswith("_pipe")
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(0)
    if is_image:
        rate = Fraction(1, _IMAGE_SECONDS)
    elif not 0 < rate <= 1000:
        rate = Fraction(25)
    time_base = stream.time_base or 1 / rate
    declared = stream.average_rate or Fraction(0)
    if declared > _FASTEST_RATE:
        time_base *= declared / rate  # a corrupt clock: its steps are kept, at a plausible rate
    if not 0 < time_base <= _SLOWEST_CLOCK:
        rate, time_base = Fraction(25), Fraction(1, 25)
    upright = (height, width) if rotation in (90, 270) else (width, height)
    info = ClipInfo(
        path=path,
        width=upright[0],
        height=upright[1],
        fps=rate,
        time_base=time_base,
        frame_count=1 if is_image else max(stream.frames, 0),
        duration=float(_IMAGE_SECONDS) if is_image else _duration(container, stream),
        rotation=rotation,
        has_audio=any(s.codec_context is not None for s in container.streams.audio),
        is_image=is_image,
    )
    return info, mirrored, (width, height)


def _duration(container: InputContainer, stream: VideoStream) -> float:
    """Return the declared length of the video stream in seconds, 0.0 when unknown."""
    if stream.duration and stream.time_base:
        return max(0.0, float(stream.duration * stream.time_base))
    try:  # Matroska's tag of one stream; the container's length would include longer audio
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except (KeyError, ValueError):
        return max(0.0, (container.duration or 0) / av.time_base)


def _orientation(frame: av.VideoFrame) -> tuple[int, bool]:
    """Return clockwise degrees (a multiple of 90) to make the frame upright, and whether to mirror it first.

    The display matrix maps a stored point to the shown one: x' = a x + c y, y' = b x + d y (ISO/IEC 14496-12,
    8.5.3, y down), so a turn by t clockwise has a = cos t, b = sin t.
    """
    try:
        data = cast(SideData | None, frame.side_data.get("DISPLAYMATRIX"))
    except ValueError:  # PyAV cannot read another entry's type (a photo's EXIF): only the rotation is known
        return round(-frame.rotation / 90) % 4 * 90, False
    if data is None or data.buffer_size < 36:
        return 0, False
    a, b, _, c, d = (int(v) for v in np.frombuffer(bytes(data), np.int32, count=5))
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return round(np.degrees(np.arctan2(b, a)) / 90) % 4 * 90, mirrored


def _square_pixels(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Return the size with square pixels; the shorter side is enlarged, so no detail is lost."""
    if not aspect or not Fraction(1, 4) <= aspect <= 4:  # beyond that it is a corrupt header
        return width, height
    return (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))


def _on_black(image: Image) -> Image:
    """Blend BGRA (H, W, 4), straight alpha, onto black: BGR (H, W, 3)."""
    alpha = image[..., 3]
    colour = np.ascontiguousarray(image[..., :3])
    if alpha.min() == 255:
        return colour
    return np.asarray(cv2.multiply(colour, cv2.merge([alpha] * 3), scale=1 / 255), np.uint8)


def _upright(image: Image, rotation: int, mirrored: bool) -> Image:
    """Mirror left-right if `mirrored`, then rotate clockwise by `rotation` degrees."""
    if mirrored:
        image = np.asarray(cv2.flip(image, 1), np.uint8)
    turns = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
    if rotation in turns:
        image = np.asarray(cv2.rotate(image, turns[rotation]), np.uint8)
    return image
