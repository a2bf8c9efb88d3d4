"""Parse command lines without running them: does the program know every flag, and is every value possible?"""

from __future__ import annotations

import importlib
from typing import Any

import click
import typer
from typer.main import get_command

from demo.cli.main import app as application
from demo.cli.main import expand_multi_values
from demo.training.__main__ import app as picture_training
from lifter.__main__ import app as lifter

APPS = {"lifter": lifter, "demo.training": picture_training}


def parse(words: list[str]) -> None:
    """Parse `-m MODULE ARGUMENTS` or `app.py ARGUMENTS`.

    Raises:
        click.ClickException: the command line is wrong. AssertionError: there is no such program.
    """
    if words[0] == "-m":
        descend(click_command(words[1]), words[1], words[2:])
    else:
        assert words[0] in ("app.py", "motion-from-video"), f"no program {words[0]}"
        descend(get_command(application), words[0], expand_multi_values(words[1:]))


def click_command(module: str) -> click.Command:
    """The command line of a module: its typer application, or its function `main`."""
    if module in APPS:
        return get_command(APPS[module])
    assert module.startswith(("tools.", "benchmarks.")), f"no program {module}"
    found = importlib.import_module(module)
    if hasattr(found, "app"):
        return get_command(found.app)
    alone = typer.Typer()
    alone.command()(found.main)
    return get_command(alone)


def descend(command: Any, name: str, words: list[str], parent: Any = None) -> None:
    """Parse the words of a command, then those of the subcommand that they name."""
    with command.make_context(name, list(words), parent=parent) as context:
        rest = [*getattr(context, "_protected_args", []), *context.args]
        if rest and hasattr(command, "resolve_command"):
            subname, subcommand, left = command.resolve_command(context, rest)
            descend(subcommand, subname, left, context)
