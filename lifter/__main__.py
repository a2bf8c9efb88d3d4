"""`python -m lifter COMMAND`: train, evaluate, data, list, verify, convert, export."""

from __future__ import annotations

import typer

from common.command_line import run
from lifter.commands.convert import convert
from lifter.commands.data import app as data
from lifter.commands.evaluate import evaluate
from lifter.commands.export import export
from lifter.commands.list import list_lifters
from lifter.commands.train import train
from lifter.commands.verify import verify

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="2D keypoints to 3D: train, measure and convert the lifters.",
)
app.command("train")(train)
app.command("evaluate")(evaluate)
app.add_typer(data, name="data")
app.command("list")(list_lifters)
app.command("verify")(verify)
app.command("convert")(convert)
app.command("export")(export)


if __name__ == "__main__":
    run(app)
