"""How both command lines end: one line for what goes wrong, and its exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from common.errors import UserError
from common.text import printable


def run(app: typer.Typer, flags: Sequence[str] | None = None) -> None:
    """Runs a command line; a `UserError` becomes one printable line on standard error and its exit status.

    flags: the arguments; those of the process when not given.
    """
    try:
        app(args=None if flags is None else list(flags))
    except UserError as error:
        typer.echo(f"Error: {printable(error)}", err=True)
        sys.exit(error.status)
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        sys.exit(130)
