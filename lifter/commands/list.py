"""`python -m lifter list`: all lifters and their specs."""

from __future__ import annotations

from typing import Annotated

import typer


def list_lifters(
    details: Annotated[bool, typer.Option("--details", help="Papers, figures, licences, variants.")] = False,
) -> None:
    """Show all lifters: input, output and source."""
    from rich.console import Console
    from rich.table import Table

    from lifter.registry import REGISTRY

    console = Console(highlight=False, soft_wrap=True)
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    columns = ("lifter", "frames", "output", "units", "joints", "scores", "views", "space", "flip", "error")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for found in REGISTRY.values():
        c = found.spec(found.config_class())
        table.add_row(
            found.name,
            f"1-{c.frames}" if c.short == "as_is" else str(c.frames),
            c.output if c.frames > 1 else "frame",
            "m" if c.units == "metres" else "2.5D",
            c.joints,
            "yes" if c.channels == 3 else "no",
            str(c.views),
            c.space,
            "yes" if c.flip_average else "no",
            "yes" if c.predicts_error else "no",
        )
    console.print(table)
    if details:
        for found in REGISTRY.values():
            console.print(f"\n[bold]{found.name}[/bold]: {found.paper}")
            console.print(f"  reported: {found.published}")
            console.print(f"  licence of code and weights: {found.licence}")
            console.print(f"  variants: {', '.join(found.variants)}")
