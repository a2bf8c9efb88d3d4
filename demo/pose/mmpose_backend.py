"""Any top-down MMPose model as the 2D keypoint stage: `--pose mmpose:CONFIG[:CHECKPOINT]`.

MMPose is an extra (`make mmpose`) and is imported only when asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputMissing, MissingExtra, WeightsError
from common.safe_load import read_tensors
from demo.pose.estimator import KeypointEstimator, missing_keypoints, usable_boxes
from demo.types import Floats, Image

_PREFIX = "mmpose:"


class MMPoseEstimator(KeypointEstimator):
    """The keypoint stage on a model made by `mmpose.apis.init_model`; all people of a picture are a batch."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.runtime = {"runtime": "torch"}

    def estimate(self, items: Sequence[tuple[Image, Floats]]) -> list[Floats]:
        """Estimate keypoints (n, 17, 3) of the n boxes (n, 4) of each picture, as `PoseEstimator` does.

        Raises:
            WeightsError: the model finds other joints than COCO's 17.
        """
        from mmpose.apis import inference_topdown

        results = []
        for image, boxes in items:
            boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
            keypoints = missing_keypoints(len(boxes))
            rows = np.flatnonzero(usable_boxes(boxes, image))
            samples = (
                inference_topdown(self._model, image, boxes[rows], bbox_format="xyxy") if len(rows) else []
            )
            for row, sample in zip(rows, samples, strict=True):
                found = sample.pred_instances
                if found.keypoints.shape[1:] != (17, 2):
                    raise WeightsError(
                        f"the MMPose model finds {found.keypoints.shape[1]} joints, not COCO's 17"
                    )
                keypoints[row, :, :2] = found.keypoints[0]
                keypoints[row, :, 2] = np.clip(found.keypoint_scores[0], 0, 1)
            results.append(keypoints)
        return results


def load_mmpose(spec: str, device: str, flip_test: bool = False) -> KeypointEstimator:
    """Load the keypoint stage for "mmpose:CONFIG[:CHECKPOINT]".

    Args:
        spec: CONFIG is a path, or the name of a configuration that MMPose ships; CHECKPOINT a local file.
            Without one the weights are random, for tests.
        device: as PyTorch names it.
        flip_test: average with the mirrored picture, where the model supports it.

    Raises:
        MissingExtra: MMPose is not installed.
        InputMissing: no such configuration or checkpoint.
        WeightsError: the checkpoint does not fit the configuration.
    """
    try:
        import mmpose
        from mmpose.apis import init_model
    except ImportError as error:
        raise MissingExtra(
            f"{spec} needs MMPose, which is not installed ({error}): run `make mmpose`"
        ) from error
    name, _, checkpoint = spec.removeprefix(_PREFIX).partition(":")
    config = _find_config(name, Path(mmpose.__file__).parent / ".mim" / "configs")
    options = {"model.test_cfg.flip_test": flip_test}
    model = init_model(str(config), None, device=device, cfg_options=options)
    if checkpoint:
        _load_weights(model, Path(checkpoint))
    return MMPoseEstimator(model)


def _find_config(name: str, shipped: Path) -> Path:
    if Path(name).is_file():
        return Path(name)
    found = sorted(shipped.rglob(f"{Path(name).stem}.py")) if Path(name).stem else []
    if not found:
        raise InputMissing(f"the MMPose configuration {name!r} is neither a file nor one that MMPose ships")
    return found[0]


def _load_weights(model: Any, path: Path) -> None:
    """Load weights strictly, by our own reader: MMPose's would execute the pickle."""
    tree = read_tensors(path)
    try:
        # non-strict towards mean and deviation of pictures only, which old files lack
        differing = model.load_state_dict(tree.get("state_dict", tree), strict=False)
    except RuntimeError as error:
        raise WeightsError(
            f"{path} does not fit the MMPose configuration: {str(error).splitlines()[-1]}"
        ) from error
    missing = [key for key in differing.missing_keys if not key.startswith("data_preprocessor.")]
    unexpected = [key for key in differing.unexpected_keys if not key.startswith("data_preprocessor.")]
    if missing or unexpected:
        raise WeightsError(
            f"{path} does not fit the MMPose configuration: {len(missing)} keys missing {missing[:3]}, "
            f"{len(unexpected)} unexpected {unexpected[:3]}"
        )
