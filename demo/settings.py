"""Every option once: type, unit, default, meaning. The command line is made from these fields.

Options are grouped by the stage that reads them. A stage's artefact is keyed by its whole group, so a new
field needs no second place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from common.runtimes.names import RuntimeName
from demo.version import VERSION as VERSION

LONGEST = 1e7  # seconds that a flag may name: 115 days, far above every clip and every wait

# The stages that report progress, in their order, and what to show for them.
STAGE_LABELS = {
    "analyse": "finding people",
    "lift": "lifting to 3D",
    "render": "rendering",
    "export": "exporting",
}


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


class AnalysisSettings(_Group):
    """What the first pass depends on: detection, tracking and 2D keypoints."""

    detector: str = Field(
        "auto",
        description="Person detector: a name of `weights` or an ultralytics .pt file; auto: by --quality.",
    )
    pose: str = Field(
        "auto",
        description="2D keypoints: a name of `weights`, HRNet weights (.pth, .safetensors), a heatmap "
        "model (.onnx), or mmpose:CONFIG[:CHECKPOINT], which runs CONFIG as Python; auto: by --quality.",
    )
    runtime: RuntimeName = Field(
        "auto",
        description="What runs the networks: torch, onnxruntime, openvino; auto: the fastest installed one "
        "that agrees with PyTorch.",
    )
    pose_flip: bool = Field(
        False, description="Average 2D heatmaps with those of the mirrored crop (slower)."
    )
    start: float | None = Field(None, ge=0, le=LONGEST, description="Begin here, seconds.")
    end: float | None = Field(None, gt=0, le=LONGEST, description="Stop here, seconds.")
    detect_every: int = Field(
        1, ge=1, le=1000, description="Run the detector on every n-th frame; tracks bridge the rest."
    )


class LiftSettings(_Group):
    """What the 3D motion depends on beside the analysis."""

    person: str = Field(
        "all",
        pattern=r"^(all|main|largest|\d{1,9})$",
        description="Who: all, main (the largest, longest and most central), or a person's id as the first "
        "run numbered them.",
    )
    lifter: str = Field(
        "auto",
        description="2D to 3D: a name of `weights` or of a system, or a checkpoint file; auto: wild, for "
        "--views esmformer.",
    )
    lifter_weights: Path | None = Field(None, description="Checkpoint for --lifter, for example an author's.")
    flip: bool = Field(True, description="Average 3D with that of the mirrored input.")
    smooth: bool = Field(True, description="Zero-phase low-pass of the 3D motion.")
    focal: float | None = Field(
        None,
        ge=1,
        le=1e6,
        description="Focal length in pixels; without it 0.9 of the picture's longer side is assumed.",
    )


class RenderSettings(_Group):
    """What the side-by-side video depends on beside the motion."""

    enabled: bool = Field(True, alias="render", description="Render the side-by-side video.")
    height: int | None = Field(None, ge=64, le=4320, description="Height of the rendered video, pixels.")
    bystanders: bool = Field(True, description="Draw bystanders, faint.")
    orbit: float = Field(0.0, ge=-3600, le=3600, description="Turn the 3D view, degrees a second.")


class ExportSettings(_Group):
    """Which other files are written."""

    viewer: bool = Field(True, description="Write the viewer, a page that shows the clip in 3D in a browser.")
    formats: str = Field(
        "",
        alias="export",
        description="Also write these, separated by commas: viewer, report, bvh, glb, csv, angles, trc, c3d, "
        "parquet, xlsx, fbx; or all.",
    )


class Settings(_Group):
    """What the user can set. Paths of clips and outputs are not here: they differ from clip to clip."""

    quality: Literal["auto", "shipped", "standard", "best"] = Field(
        "auto",
        description="Networks that look at the pictures: standard; best (larger, slower); shipped (ours, "
        "less precise, nothing is downloaded); auto: standard, and shipped where that cannot be downloaded.",
    )
    device: str = Field("auto", description="auto, cpu, cuda (or cuda:1), mps.")
    offline: bool = Field(False, description="Never touch the network.")
    analysis: AnalysisSettings = AnalysisSettings()
    lift: LiftSettings = LiftSettings()
    render: RenderSettings = RenderSettings()
    export: ExportSettings = ExportSettings()

    @classmethod
    def of(cls, **flags: Any) -> Settings:
        """Settings by the flat names of the command line: `Settings.of(person="largest", height=720)`.

        Raises:
            pydantic.ValidationError: a value is out of range; its location ends with the flag's name.
        """
        nested: dict[str, Any] = {}
        for flag, value in flags.items():
            group = _group_of(flag)
            (nested.setdefault(group, {}) if group else nested)[flag] = value
        return cls(**nested)

    def but(self, **flags: Any) -> Settings:
        """The same settings with some flags changed, by their flat names."""
        fields = self.model_dump(by_alias=True)
        flat = {name: value for name, value in fields.items() if name not in _groups()}
        for group in _groups():
            flat |= fields[group]
        return Settings.of(**flat | flags)


def flag_fields() -> dict[str, Any]:
    """Return the pydantic field of every command-line flag, by the flag's name."""
    fields = {name: field for name, field in Settings.model_fields.items() if name not in _groups()}
    for group in _groups().values():
        fields |= {field.alias or name: field for name, field in group.model_fields.items()}
    return fields


def _groups() -> dict[str, type[_Group]]:
    return {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, _Group)
    }


def _group_of(flag: str) -> str:
    """The group that holds a flag, "" for a flag of `Settings` itself."""
    for name, group in _groups().items():
        if any(flag in (field.alias or own, own) for own, field in group.model_fields.items()):
            return name
    return ""
