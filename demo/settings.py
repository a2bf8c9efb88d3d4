"""Every knob of the application, once: type, unit, default, meaning. The command line is made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from demo.version import VERSION as VERSION

# What the networks are that the user does not name. "auto" is "standard" where that can be had, or "shipped".
NETWORKS = {
    "shipped": {"detector": "yolo-person", "pose": "hrnet-wild", "lifter": "wild"},
    "standard": {"detector": "yolo11n", "pose": "hrnet-w32", "lifter": "wild"},
    "best": {"detector": "yolo11x", "pose": "hrnet-w48-384", "lifter": "wild"},
}
VIEWS_LIFTER = "esmformer"  # for several synchronised clips


class Settings(BaseModel):
    """What the user can set. Paths of clips and outputs are not here: they differ from clip to clip."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: str = Field(
        "all", description="Who: all, largest, or a person's id as the first run numbered them."
    )
    quality: Literal["auto", "shipped", "standard", "best"] = Field(
        "auto",
        description="Networks that look at the pictures: standard; best (larger, slower); shipped (ours, "
        "less precise, nothing is downloaded); auto: standard, and shipped where that cannot be downloaded.",
    )
    detector: str = Field(
        "auto",
        description="Person detector: a name of `weights` or an ultralytics .pt file; auto: by --quality.",
    )
    pose: str = Field(
        "auto",
        description="2D keypoints: a name of `weights`, HRNet weights (.pth, .safetensors), a heatmap "
        "model (.onnx), or mmpose:CONFIG[:CHECKPOINT]; auto: by --quality.",
    )
    lifter: str = Field(
        "auto",
        description="2D to 3D: a name of `weights` or of a system, or a checkpoint file; auto: wild, for "
        "--views esmformer.",
    )
    lifter_weights: Path | None = Field(None, description="Checkpoint for --lifter, for example an author's.")
    device: str = Field("auto", description="auto, cpu, cuda (or cuda:1), mps.")
    start: float | None = Field(None, ge=0, description="Begin here, seconds.")
    end: float | None = Field(None, gt=0, description="Stop here, seconds.")
    detect_every: int = Field(
        1, ge=1, description="Run the detector on every n-th frame; tracks bridge the rest."
    )
    flip: bool = Field(True, description="Average 3D with that of the mirrored input.")
    pose_flip: bool = Field(
        False, description="Average 2D heatmaps with those of the mirrored crop (slower)."
    )
    smooth: bool = Field(True, description="Zero-phase low-pass of the 3D motion.")
    focal: float | None = Field(
        None,
        gt=0,
        description="Focal length in pixels; without it 0.9 of the picture's longer side is assumed.",
    )
    height: int | None = Field(None, ge=64, le=4320, description="Height of the rendered video, pixels.")
    orbit: float = Field(0.0, description="Turn the 3D view, degrees a second.")
    render: bool = Field(True, description="Render the side-by-side video.")
    offline: bool = Field(False, description="Never touch the network.")

    @model_validator(mode="before")
    @classmethod
    def _name_networks(cls, given: Any) -> Any:
        """Networks that are "auto" get the names that `quality` gives them."""
        if not isinstance(given, dict):
            return given
        quality = given.get("quality", "auto")
        chosen = any(given.get(role, "auto") != "auto" for role in ("detector", "pose"))
        if quality == "auto" and chosen:  # nothing stands in for what the user chose
            quality = "standard"
        named = NETWORKS.get("standard" if quality == "auto" else quality, {})
        return {
            **given,
            "quality": quality,
            **{role: name for role, name in named.items() if given.get(role, "auto") == "auto"},
        }

    def chosen_device(self) -> str:
        """The device to compute on; "auto" takes a GPU where there is one."""
        if self.device != "auto":
            return self.device
        import torch

        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"


Stage = Literal["analyse", "lift", "render"]

# What each stage's outcome depends on; a change of the rest does not repeat it.
ANALYSIS_KNOBS = frozenset({"detector", "pose", "pose_flip", "start", "end", "detect_every"})
LIFT_KNOBS = ANALYSIS_KNOBS | {"person", "lifter", "lifter_weights", "flip", "smooth", "focal"}
RENDER_KNOBS = LIFT_KNOBS | {"height", "orbit", "render"}
