"""`python -m lifter verify`: compare our networks with the reference outputs of vector files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TOLERANCE = 1e-4  # metres, float32
EXACT_TOLERANCE = 1e-9  # float64


def verify(
    files: Annotated[list[Path], typer.Argument(help="Vector files (.npz).", metavar="FILE.npz...")],
) -> None:
    """Load the weights in each file strictly, run the network and show the largest difference per output.

    The exit status is 1 if a difference is above 1e-4, or above 1e-9 in double precision (f64/), or if an
    output in a file is unknown.
    """
    import math

    from rich.console import Console
    from rich.markup import escape

    from common.text import printable
    from lifter.checkpoints.vectors import EXACT, differences, read_vector

    console = Console(highlight=False, soft_wrap=True)
    exact = True
    for path in files:
        vector = read_vector(path)
        console.print(f"[bold]{vector.entry.name}[/bold]  {escape(printable(path))}")
        for name, worst in differences(vector).items():
            allowed = EXACT_TOLERANCE if name.startswith(EXACT) else TOLERANCE
            fits = worst is not None and math.isfinite(worst) and worst <= allowed
            exact &= fits
            shown = "not computed" if worst is None else f"{worst:.2e}"
            console.print(
                f"  {escape(printable(name)):<24} {shown}  {'ok' if fits else '[red]differs[/red]'}"
            )
    if not exact:
        raise typer.Exit(1)
