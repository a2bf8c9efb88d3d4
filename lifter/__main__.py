"""`python -m lifter COMMAND`: train, evaluate, list, verify, convert, export."""

from __future__ import annotations

import sys

import typer

from lifter.commands.convert import convert
from lifter.commands.evaluate import evaluate
from lifter.commands.export import export
from lifter.commands.list import list_lifters
from lifter.commands.train import train
from lifter.commands.verify import verify
from lifter.errors import UserError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="2D keypoints to 3D: train, measure and convert the lifters.",
)
app.command("train")(train)
app.command("evaluate")(evaluate)
app.command("list")(list_lifters)
app.command("verify")(verify)
app.command("convert")(convert)
app.command("export")(export)


def main() -> None:
    """Runs a command; what goes wrong is told in one line, with an exit status of its own."""
    try:
        app()
    except UserError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(error.status)
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
