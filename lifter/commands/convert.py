"""`python -m lifter convert`: between the authors' checkpoints and our safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[Path, typer.Argument(help="A checkpoint of ours or of the authors' code.")],
    target: Annotated[Path, typer.Argument(help="*.safetensors, or any other name for the authors' format.")],
    lifter: Annotated[
        str | None, typer.Option(help="NAME or NAME:VARIANT, if the weights do not determine it.")
    ] = None,
    first_stage: Annotated[
        Path | None, typer.Option(help="The JointFormer that a refinement stage goes with.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the target if it is there.")] = False,
) -> None:
    """Convert a checkpoint. Nothing is written unless every weight fits."""
    from common.command_line import echo
    from common.errors import OutputError
    from common.files import exists
    from lifter.checkpoints.files import (
        describe,
        load_checkpoint,
        read_metadata,
        save_checkpoint,
        save_official,
    )

    if exists(target) and not force:
        raise OutputError(f"{target} is there already: give another name, or --force to replace it")
    model, found, config = load_checkpoint(source, lifter, first_stage)
    if target.suffix == ".safetensors":
        kept = read_metadata(source) or {"source": source.name}
        save_checkpoint(target, model, found.name, config, kept)
    else:
        save_official(target, model, found, config)
    count = sum(p.numel() for p in model.parameters())
    echo(f"{target}: {describe(found, config)}, {count:,} weights")
