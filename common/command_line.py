"""The exit of the command lines: one line for an error, and its exit status."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

import typer

from common.errors import UserError
from common.text import printable

UNEXPECTED = 70  # exit status of an unhandled exception (sysexits.h: EX_SOFTWARE)
STOPPED = 130  # 128 + SIGINT, as in shells
CLOSED_PIPE = 141  # 128 + SIGPIPE


def run(app: typer.Typer, flags: Sequence[str] | None = None) -> None:
    """Run a command line; every error becomes one printable line on standard error and an exit status.

    The traceback of an unexpected error is logged at level INFO, which `-v` shows.

    Args:
        flags: the arguments; those of the process when not given.
    """
    try:
        app(args=None if flags is None else list(flags))
    except UserError as error:
        _end(f"Error: {printable(error)}", error.status)
    except KeyboardInterrupt:
        _end("Stopped.", STOPPED)
    except BrokenPipeError:  # the pipe's reader has closed: no message can be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(CLOSED_PIPE)
    except Exception as error:
        logging.getLogger(__name__).info("unexpected error", exc_info=error)
        _end(f"Error: unexpected {type(error).__name__}: {printable(error)} (-v shows where)", UNEXPECTED)


def _end(line: str, status: int) -> None:
    typer.echo(line, err=True)
    sys.exit(status)
