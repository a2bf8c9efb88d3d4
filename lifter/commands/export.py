"""`python -m lifter export`: a lifter as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    source: Annotated[Path, typer.Argument(help="A checkpoint of ours or of the authors' code.")],
    target: Annotated[Path, typer.Argument(help="The ONNX file to write.")],
    lifter: Annotated[
        str | None, typer.Option(help="NAME or NAME:VARIANT, if the weights do not determine it.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the target if it is there.")] = False,
) -> None:
    """Write an ONNX file (free batch size) and check that ONNX Runtime gives the same joints."""
    from common.command_line import echo
    from common.errors import OutputError
    from common.files import exists
    from lifter.checkpoints.files import describe, load_checkpoint
    from lifter.checkpoints.onnx import export_onnx

    if exists(target) and not force:
        raise OutputError(f"{target} is there already: give another name, or --force to replace it")
    model, found, config = load_checkpoint(source, lifter)
    worst = export_onnx(model, found.spec(config), config, target)
    echo(f"{target}: {describe(found, config)}, largest difference from PyTorch {worst:.1e} m")
