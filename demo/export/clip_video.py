"""Re-encode the clip for a page: H.264 of at most 480 lines, limited bit rate, no sound."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from demo.types import Image
from demo.video.reader import VideoReader

LINES = 480
# At most 1.2 Mbit a second: with its base64 and the joints a clip of ten seconds stays below 2.5 MB.
OPTIONS = {
    "crf": "29",
    "preset": "veryfast",
    "maxrate": "1200k",
    "bufsize": "1200k",
    "x264-params": "mbtree=0",
}
KEY_FRAMES = 15  # interval in frames: the most that a seek decodes
TICKS = 90_000  # a second


def encode_small(clip: Path, first: float, last: float) -> bytes:
    """Encode the clip's frames from `first` to `last` (seconds) as an mp4 that begins at time 0.

    Raises:
        UserError: the clip cannot be read (see `demo.video.reader.VideoReader`).
    """
    buffer = BytesIO()
    slack = 1e-4
    with (
        VideoReader(clip, max(0.0, first - slack), last + slack) as reader,
        av.open(buffer, "w", format="mp4") as container,
    ):
        width, height = _small_size(reader.info.width, reader.info.height)
        stream = container.add_stream("libx264", rate=reader.info.fps, options=OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.gop_size = KEY_FRAMES
        stream.codec_context.max_b_frames = (
            0  # every frame is shown when it is decoded: no edit list, exact seeks
        )
        stream.codec_context.color_range = ColorRange.MPEG
        stream.codec_context.colorspace = Colorspace.ITU709
        for frame in reader:
            picture = _to_yuv(cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA))
            picture.time_base, picture.pts = Fraction(1, TICKS), round((frame.time - first) * TICKS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _small_size(width: int, height: int) -> tuple[int, int]:
    """Return even sides, the shorter at most `LINES`, never larger than the clip's own."""
    scale = min(1.0, LINES / min(width, height))
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def _to_yuv(image: Image) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
    return frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
