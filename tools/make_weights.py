"""Make a shipped weight file again: python -m tools.make_weights NAME --data INPUT=PATH ...

Runs the stages of `tools/recipes.py` in their order, each in a process of its own. A stage that is finished
is skipped, one that was interrupted goes on where it was.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from common.command_line import run
from common.errors import InputMissing, UserError
from common.files import replace_file
from tools.recipes import INPUTS, RECIPES, Recipe, Stage

_ENVIRONMENT = {"ACCELERATE_USE_CPU": "true"}  # else processes without a GPU would each train alone

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def command(stage: Stage, out: Path, inputs: dict[str, Path]) -> list[str]:
    """Fill in the placeholders of a stage: the arguments after `python`."""
    values = {"out": str(out)} | {name: str(path) for name, path in inputs.items()}
    arguments = [argument.format_map(values) for argument in stage.arguments]
    if stage.processes == 1:
        return ["-m", stage.module, *arguments]
    team = ["-m", "torch.distributed.run", "--nproc_per_node", str(stage.processes)]
    return [*team, "--module", stage.module, *arguments]


def is_finished(stage: Stage, out: Path, arguments: list[str]) -> bool:
    """Return whether the result of this stage exists.

    Raises:
        UserError: it was made by another command.
    """
    record = _record(stage, out)
    if not record.is_file() or not (out / stage.result).is_file():
        return False
    if json.loads(record.read_text(encoding="utf-8")) != arguments:
        raise UserError(f"{record}: stage {stage.name} was made by another command; give another --out")
    return True


def make(recipe: Recipe, inputs: dict[str, Path], out: Path) -> Path:
    """Run the stages that are not finished, and return the weight file.

    Raises:
        UserError: a stage failed, or `out` holds another run.
    """
    for number, stage in enumerate(recipe.stages, start=1):
        arguments = command(stage, out, inputs)
        label = f"[{number}/{len(recipe.stages)}] {stage.name}"
        if is_finished(stage, out, arguments):
            typer.echo(f"{label}: finished before")
            continue
        typer.echo(f"{label}: python {shlex.join(arguments)}")
        status = subprocess.run([sys.executable, *arguments], env=os.environ | _ENVIRONMENT).returncode
        if status != 0 or not (out / stage.result).is_file():
            raise UserError(
                f"stage {stage.name} ended with status {status}; the same command goes on from here"
            )
        with replace_file(_record(stage, out)) as temporary:
            temporary.write_text(json.dumps(arguments) + "\n", encoding="utf-8")
    return out / recipe.stages[-1].result


def parse_inputs(recipe: Recipe, data: list[str]) -> dict[str, Path]:
    """Parse `INPUT=PATH` arguments.

    Raises:
        UserError: an input is unknown or not given. InputMissing: a path does not exist.
    """
    found = {}
    for word in data:
        name, equals, path = word.partition("=")
        if not equals or name not in recipe.inputs:
            raise UserError(f"--data {word}: write INPUT=PATH with one of {', '.join(recipe.inputs)}")
        found[name] = Path(path)
        if not found[name].exists():
            raise InputMissing(f"{path}: no such file or folder")
    missing = [f"--data {name}=PATH ({INPUTS[name]})" for name in recipe.inputs if name not in found]
    if missing:
        raise UserError(f"give {'; '.join(missing)}")
    return found


def _record(stage: Stage, out: Path) -> Path:
    """Return the file that records the command of a finished stage."""
    return out / f"{stage.name}.made.json"


@app.command()
def main(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(RECIPES)}.")],
    data: Annotated[
        list[str] | None, typer.Option(help=f"INPUT=PATH, again for each of: {', '.join(INPUTS)}.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for all stages.", show_default="runs/NAME")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the commands.")] = False,
) -> None:
    """Run all stages of a weight file; run again after an interruption, it goes on."""
    if name not in RECIPES:
        raise UserError(f"there is no recipe {name!r}; choose one of: {', '.join(RECIPES)}")
    recipe, folder = RECIPES[name], out or Path("runs") / name
    if dry_run:
        given = dict(word.split("=", 1) for word in data or [] if "=" in word)
        inputs = {each: Path(given.get(each, each.upper())) for each in recipe.inputs}
        for stage in recipe.stages:
            typer.echo(f"python {shlex.join(command(stage, folder, inputs))}")
        return
    result = make(recipe, parse_inputs(recipe, data or []), folder)
    typer.echo(f"{result}: measure it, then copy it to weights/ and its sha256 into weights/manifest.toml")


if __name__ == "__main__":
    run(app)
