"""Mosaics: training pictures of a detector, composed of other pictures."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from common.errors import DataError, InputMissing
from demo.training.augment import Augmentation, recoloured
from demo.types import Image

_GREY = 114  # around pictures, as ultralytics pads them
_SCALES = 0.5, 1.4  # relative to the scale that fills the place
_LARGEST = 2.5  # largest enlargement: beyond it pictures have no detail
_ALONE = 0.4  # chance of a single picture; otherwise four


def read_pictures(archive: Path, split: str) -> list[bytes]:
    """Read the JPEG files of a zip; if it has folders train/ and val/, those of one split.

    Raises:
        InputMissing: the file does not exist.
        DataError: it is damaged or holds no such pictures.
    """
    if not archive.is_file():
        raise InputMissing(f"{archive} does not exist: give a zip of pictures")
    try:
        with zipfile.ZipFile(archive) as pictures:
            names = [name for name in sorted(pictures.namelist()) if name.lower().endswith((".jpg", ".jpeg"))]
            if any("/train/" in name for name in names):
                names = [name for name in names if f"/{split}/" in name]
            found = [pictures.read(name) for name in names]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{archive}: cannot be read ({error})") from error
    if not found:
        raise DataError(f"{archive}: no JPEG pictures for {split!r} in it")
    return found


def compose(pool: Sequence[Sequence[bytes]], size: int, generator: np.random.Generator) -> Image:
    """Compose one picture, or four in a grid, each cropped and scaled at random: (size, size, 3) BGR.

    All sets of the pool are drawn equally often.
    """
    canvas = np.full((size, size, 3), _GREY, np.uint8)
    x, y = (0, 0) if generator.random() < _ALONE else generator.integers(size // 4, size - size // 4, 2)
    for left, right in ((0, x), (x, size)):
        for top, bottom in ((0, y), (y, size)):
            if right > left and bottom > top:
                some = pool[int(generator.integers(len(pool)))]
                picture = _decoded(some[int(generator.integers(len(some)))])
                canvas[top:bottom, left:right] = _placed(picture, right - left, bottom - top, generator)
    return recoloured(canvas, generator, Augmentation())


def _decoded(file: bytes) -> Image:
    picture = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise DataError("a picture of the training cannot be read: damaged JPEG")
    return np.asarray(picture, np.uint8)


def _placed(picture: Image, width: int, height: int, generator: np.random.Generator) -> Image:
    """Place a picture at random in (height, width): its position, scale and mirroring."""
    h, w = picture.shape[:2]
    size = np.exp(generator.uniform(*np.log(_SCALES)))
    scale = min(max(width / w, height / h) * size, _LARGEST)
    left, top = generator.uniform(0, 1, 2) * (width - scale * w, height - scale * h)
    affine = np.array([[scale, 0, left], [0, scale, top]])
    if generator.random() < 0.5:
        affine[0] = -scale, 0, left + scale * (w - 1)
    kind = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
    placed = cv2.warpAffine(picture, affine, (width, height), flags=kind, borderValue=(_GREY,) * 3)
    return np.asarray(placed, np.uint8)


def as_input(pictures: Sequence[Image]) -> Tensor:
    """Convert BGR pictures of one size to (N, 3, H, W) RGB in 0..1, ultralytics' input."""
    rgb = np.stack(pictures)[..., ::-1].transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(rgb)).float().div_(255)
