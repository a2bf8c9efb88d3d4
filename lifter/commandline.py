"""How both command lines end: one line for what goes wrong, and its exit status."""

from __future__ import annotations

import sys

import typer

from lifter.errors import UserError


def run(app: typer.Typer) -> None:
    """Runs a command line; a `UserError` becomes one line on standard error and an exit status of its own."""
    try:
        app()
    except UserError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(error.status)
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        sys.exit(130)
