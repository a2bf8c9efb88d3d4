"""Media containers: open them safely, and detect their kind and completeness from their bytes."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path
from typing import BinaryIO

import av
import av.error
from av.container import InputContainer

from common.errors import DamagedVideo, EmptyFile, InputMissing, NotAVideo, UserError
from common.text import printable

# Every demuxer that may be used. Play lists (HLS, concat), text and devices are excluded on purpose: a file
# must not make the program open another address.
_FORMATS = (
    "mov,matroska,webm,avi,gif,mpegts,mpeg,mpegvideo,m4v,h264,hevc,obu,ivf,flv,live_flv,asf,ogg,rm,mxf,nut,dv,"
    "yuv4mpegpipe,apng,image2,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,tiff_pipe,gif_pipe,jpegxl_pipe,"
    "jpegxl_anim,wav,w64,aiff,caf,mp3,aac,ac3,eac3,flac,amr,dts,truehd,wv,ape,tta,au"
)
_MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"moof", b"pnot"}
_WEBP_ANIMATION = 0x02  # a flag of the VP8X chunk (RFC 9649, section 2.7.1)
_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_SIGNATURES = {
    _EBML: "a Matroska or WebM video",
    b"GIF8": "a GIF",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"FLV\x01": "a Flash video",
    b"\x00\x00\x01\xba": "an MPEG video",
    b"\x30\x26\xb2\x75": "a Windows Media file",
}


def open_media(path: Path) -> InputContainer:
    """Open a local media file.

    Raises:
        InputMissing, EmptyFile, NotAVideo: the file is missing, empty or of another kind.
        DamagedVideo: the file starts like a video, but its structure cannot be read.
    """
    name = printable(path)
    try:
        found = path.stat()
        # Checked before opening: opening a FIFO would block.
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
            raise InputMissing(f"{name} is {kind}: give the path of a video file")
        with path.open("rb") as file:
            head = file.read(64)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputMissing(f"cannot read {name} ({reason}): check the path and its permissions") from error
    if not head:
        raise EmptyFile(f"{name} is empty (zero bytes): copy or record it again")
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20:21] and head[20] & _WEBP_ANIMATION:
        raise NotAVideo(f"{name} is an animated WebP, which FFmpeg cannot read: convert it to MP4 or GIF")
    try:
        return av.open(
            f"file:{path.absolute()}",
            metadata_errors="replace",
            container_options={
                "format_whitelist": _FORMATS,
                "protocol_whitelist": "file",
                "pattern_type": "none",  # a '%' in a picture's name is a '%'
            },
        )
    except av.error.FFmpegError as error:
        raise unreadable(path) from error


def unreadable(path: Path) -> UserError:
    """Return the error for a file that FFmpeg cannot open, chosen by its first bytes."""
    with path.open("rb") as file:
        head = file.read(64)
    kind = _claimed_kind(head)
    if kind is None:
        return NotAVideo(
            f"{printable(path)} is neither a video nor an image that can be read: check the file"
        )
    return DamagedVideo(
        f"{printable(path)} starts like {kind}, but its structure is damaged or cut off: get a complete copy"
    )


def _claimed_kind(head: bytes) -> str | None:
    """Return the kind of media file that the first bytes declare, in words, or None."""
    if head[4:8] in _MP4_BOXES:
        return "an MP4 or QuickTime video"
    if head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"WEBP"):
        return "an AVI video" if head[8:12] == b"AVI " else "a WebP image"
    return next((kind for magic, kind in _SIGNATURES.items() if head.startswith(magic)), None)


def is_cut_short(path: Path) -> bool:
    """Return whether the file is shorter than its structure declares (MP4, AVI, Matroska/WebM, GIF).

    A file that was removed or became unreadable meanwhile counts as cut short.
    """
    try:
        return _is_cut_short(path, path.stat().st_size)
    except OSError:
        return True


def _is_cut_short(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        head = file.read(12)
        if head[4:8] in _MP4_BOXES:
            return _mp4_cut(file, size)
        if head[:4] == b"RIFF":
            return int.from_bytes(head[4:8], "little") + 8 > size
        if head[:4] == _EBML:
            return _matroska_cut(file, size)
        if head[:4] == b"GIF8":
            file.seek(-min(size, 16), os.SEEK_END)
            return b";" not in file.read()
    return False


def _mp4_cut(file: BinaryIO, size: int) -> bool:
    """Return whether a top-level box (ISO/IEC 14496-12, 4.2) that holds media extends past the end."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length, kind = struct.unpack(">I4s", header[:8])
        if length == 1 and len(header) == 16:
            length = struct.unpack(">Q", header[8:])[0]
        if length < 8:  # 0: up to the end of the file; else not a box
            return False
        if position + length > size:
            return kind in _MP4_BOXES
        position += length
    return False


def _matroska_cut(file: BinaryIO, size: int) -> bool:
    """Return whether the segment declares more bytes than the file has (RFC 8794, RFC 9559)."""
    file.seek(4)
    header = _vint(file)
    if header is None:
        return False
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != _SEGMENT:
        return False
    segment = _vint(file)
    return segment is not None and file.tell() + segment > size


def _vint(file: BinaryIO) -> int | None:
    """Read an EBML variable-size integer (RFC 8794, section 4); None when unknown (all ones) or invalid."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    extra = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> extra)]) + file.read(extra), "big")
    return None if value == (1 << 7 * (extra + 1)) - 1 else value
