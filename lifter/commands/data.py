"""`python -m lifter data`: commands for data sets. One command so far, `check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Data sets.")


@app.callback()
def data() -> None:
    """Check that the files of data sets follow their layout."""


@app.command()
def check(
    folder: Annotated[
        Path, typer.Argument(help="Human3.6M, HumanEva, MPI-INF-3DHP, Ski-Pose PTZ, or motion capture.")
    ],
) -> None:
    """Check every file of a data set; exit status 12 if one is missing, damaged or implausible."""
    from common.command_line import echo
    from common.errors import DataError
    from lifter.datasets.checks.integrity import check as check_folder

    name, findings = check_folder(folder)
    echo(f"{folder}: {name}")
    bad = 0
    for finding in findings:
        bad += not finding.good
        echo(f"{'ok ' if finding.good else 'BAD'}  {finding.text}")
    if bad:
        raise DataError(f"{folder}: {bad} {'thing is' if bad == 1 else 'things are'} wrong, marked BAD above")
