"""Parse command lines without running them: does the program know every flag, and is every value possible?"""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.main import get_command

from demo.cli.main import app as application
from demo.cli.main import expand_multi_values
from demo.training.__main__ import app as picture_training
from lifter.__main__ import app as lifter

APPS = {"lifter": lifter, "demo.training": picture_training}


def split(words: list[str]) -> tuple[typer.Typer, list[str]]:
    """Split `-m MODULE ARGUMENTS` or `app.py ARGUMENTS` into the program and its arguments."""
    if words[0] == "-m":
        return module_app(words[1]), words[2:]
    assert words[0] in ("app.py", "motion-from-video"), f"no program {words[0]}"
    return application, expand_multi_values(words[1:]) if words[1:] else []


def module_app(module: str) -> typer.Typer:
    """The command line of a module: its typer application, or one made of its function `main`."""
    if module in APPS:
        return APPS[module]
    assert module.startswith(("tools.", "benchmarks.")), f"no program {module}"
    found = importlib.import_module(module)
    if hasattr(found, "app"):
        return found.app
    app = typer.Typer()
    app.command()(found.main)
    return app


def parse(words: list[str]) -> None:
    """Parse a command line; one that only names a program or a subcommand may lack its required arguments.

    Raises the errors of click where an option or a value is unknown.
    """
    app, arguments = split(words)
    descend(get_command(app), words[0], arguments)


def descend(command: Any, name: str, words: list[str], parent: Any = None) -> None:
    """Parse the words of a command, then those of the subcommand that they name."""
    with command.make_context(name, list(words), parent=parent, resilient_parsing=not words) as context:
        rest = [*getattr(context, "_protected_args", []), *context.args]
        if rest and hasattr(command, "resolve_command"):
            subname, subcommand, left = command.resolve_command(context, rest)
            descend(subcommand, subname, left, context)
