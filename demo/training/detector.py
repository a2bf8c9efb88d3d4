"""The training of the person detector, by ultralytics' own trainer.

Many pictures contain unlabelled people, most of them small. Trained on them as background, a detector learns
to miss them. A teacher can therefore label them before the training. It can also be distilled during the
training: the new network's features are drawn to the teacher's where the teacher detects an object
(ultralytics' distillation).
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils._pytree import tree_map

from common.errors import DataError, InputMissing
from common.files import replace_file
from demo.detection.detector import PersonDetector
from demo.detection.ultralytics_files import check_checkpoint, ultralytics_offline
from demo.types import Floats

_SIZE = 1.5  # size of the program's pictures, over that of the training's
_SURE = 0.45  # a teacher's box below this score is no label
_SAME = 0.4  # a teacher's box that overlaps a label as much (IoU) is that person


@dataclass(frozen=True)
class DetectorTraining:
    """The settings of the training that differ from ultralytics' defaults."""

    epochs: int = 60
    batch: int = 16
    image_size: int = 320
    shape: str = "yolo11n.yaml"
    seed: int = 1
    device: str = "cpu"
    workers: int = 1  # processes that make the pictures


def prepare(
    data: Path, folder: Path, teacher: PersonDetector | None, done: Callable[[int, int], None]
) -> Path:
    """Unpack `images.zip` (ultralytics' layout: images/{train,val}, labels/{train,val}) into `folder`.

    Args:
        teacher: labels the unlabelled people that it finds in the training pictures.
        done: called with the number of pictures labelled and in all.

    Returns:
        The file that describes the data set to ultralytics.

    Raises:
        InputMissing, DataError: `images.zip` is missing or damaged.
    """
    description = folder / "data.yaml"
    if description.is_file():
        return description
    archive = data / "images.zip"
    if not archive.is_file():
        raise InputMissing(f"{archive} does not exist: give the folder of the detection pictures")
    try:
        with zipfile.ZipFile(archive) as pictures:
            pictures.extractall(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{archive}: cannot be unpacked ({error})") from error
    if teacher is not None:
        names = sorted((folder / "images" / "train").iterdir())
        for number, name in enumerate(names, start=1):
            _add_labels(name, folder / "labels" / "train" / f"{name.stem}.txt", teacher)
            done(number, len(names))
    with replace_file(description) as temporary:
        where = f"path: {folder.resolve()}\ntrain: images/train\nval: images/val\nnames:\n  0: person\n"
        temporary.write_text(where, encoding="utf-8")
    return description


def read_boxes(labels: Path) -> Floats:
    """Read ultralytics' labels (class, x, y of the middle, width, height) as (n, 4), parts of the picture."""
    rows = [line.split()[1:5] for line in labels.read_text("utf-8").splitlines()]
    return np.array(rows, np.float32).reshape(-1, 4)


def _add_labels(picture: Path, labels: Path, teacher: PersonDetector) -> None:
    image = cv2.imread(str(picture))
    if image is None:
        raise DataError(f"{picture}: not a picture that can be read")
    found = teacher.detect([np.asarray(image, np.uint8)])[0]
    size = np.array(image.shape[1::-1] * 2, np.float32)
    sure = found.boxes[found.scores >= _SURE] / size
    boxes = np.concatenate([(sure[:, :2] + sure[:, 2:]) / 2, sure[:, 2:] - sure[:, :2]], axis=1)
    known = read_boxes(labels)
    new = [box for box in boxes if not len(known) or _iou(box, known).max() < _SAME]
    with labels.open("a", encoding="utf-8") as file:
        file.writelines("0 {:.5f} {:.5f} {:.5f} {:.5f}\n".format(*box) for box in new)


def _iou(box: Floats, others: Floats) -> Floats:
    """Return the IoU (M,) of one box (4,) with (M, 4), all x, y of the middle, width, height."""
    low = np.maximum(box[:2] - box[2:] / 2, others[:, :2] - others[:, 2:] / 2)
    high = np.minimum(box[:2] + box[2:] / 2, others[:, :2] + others[:, 2:] / 2)
    shared = np.clip(high - low, 0, None).prod(-1)
    return np.asarray(shared / (box[2:].prod() + others[:, 2:].prod(-1) - shared), np.float32)


def train(
    description: Path,
    folder: Path,
    settings: DetectorTraining,
    done: Callable[[int, int], None],
    *,
    teacher: Path | None = None,
    init: Path | None = None,
) -> Path:
    """Train, or resume an interrupted run in `folder`, and return the weights.

    Args:
        done: called with the number of epochs done and in all, after each.
        teacher: a detector of ultralytics whose features are distilled.
        init: weights of an earlier training to start from, instead of random ones.

    Raises:
        InputMissing: `init` does not exist.
        WeightsError: `init` is not a checkpoint that can be opened safely.
    """
    if init is not None and not init.is_file():
        raise InputMissing(f"{init}: no such detector file")
    if init is not None:
        check_checkpoint(init)
    ultralytics = ultralytics_offline()
    last = folder / "run" / "weights" / "last.pt"
    start = str(init) if init else settings.shape
    network = ultralytics.YOLO(str(last) if last.is_file() else start, task="detect", verbose=False)
    network.add_callback("on_train_epoch_end", lambda trainer: done(trainer.epoch + 1, settings.epochs))
    network.train(
        trainer=_trainer(torch.get_num_threads()),
        data=str(description),
        epochs=settings.epochs,
        batch=settings.batch,
        imgsz=settings.image_size,
        seed=settings.seed,
        device=settings.device,
        resume=last.is_file(),
        project=str(folder.resolve()),
        name="run",
        exist_ok=True,
        pretrained=init is not None,
        distill_model=str(teacher) if teacher else None,
        amp=settings.device != "cpu",
        workers=settings.workers,
        plots=False,
        val=False,
        verbose=False,
        optimizer="AdamW",
        lr0=0.002,
        lrf=0.02,
        cos_lr=True,
        warmup_epochs=1.0,
        close_mosaic=max(settings.epochs // 8, 1),
        degrees=5.0,
        scale=0.6,
    )
    return export(last, folder / "yolo-person.pt")


def export(checkpoint: Path, target: Path) -> Path:
    """Extract the averaged weights of a training's checkpoint, in half precision, for the program to load."""
    ultralytics = ultralytics_offline()
    shutil.copyfile(checkpoint, target)
    stripped = ultralytics.utils.torch_utils.strip_optimizer(target)
    save_detector(stripped["model"], int(_SIZE * stripped["train_args"]["imgsz"]), target)
    return target


def save_detector(model: Any, image_size: int, target: Path) -> None:
    """Write a network and the size of its pictures in the layout of ultralytics' checkpoints."""
    size = image_size // 32 * 32
    model.args = {"task": "detect", "imgsz": size}  # only these: the full settings contain local paths
    model.pt_path = target.name
    checkpoint = {
        "model": model.half(),
        "train_args": model.args,
        "version": ultralytics_offline().__version__,
    }
    with (
        replace_file(target) as temporary,
        temporary.open("wb") as file,
    ):  # a file object: torch stores a path's name
        torch.save(checkpoint, file)


class _LossInFloat32:
    """Ultralytics' loss outside of autocast: bfloat16 rounds boxes to whole pixels."""

    def __init__(self, loss: Callable[[Any, Any], Any]) -> None:
        self.loss = loss

    def __call__(self, found: Any, batch: Any) -> Any:
        def exact(value: Any) -> Any:
            return value.float() if isinstance(value, torch.Tensor) else value

        with torch.autocast("cpu", enabled=False):
            return self.loss(tree_map(exact, found), batch)


def _trainer(threads: int) -> type:
    """Return ultralytics' trainer, changed to compute in bfloat16 on a CPU, in half the time."""
    from ultralytics.models.yolo.detect import DetectionTrainer

    class Trainer(DetectionTrainer):
        def _setup_train(self) -> None:
            super()._setup_train()
            if self.device.type == "cpu":
                torch.set_num_threads(threads)  # ultralytics leaves it at one
                self.amp = True
                self.model.criterion = _LossInFloat32(self.model.init_criterion())
                self.model.to(memory_format=torch.channels_last)

    return Trainer
