"""The exit of the command lines: one line for an error, and its exit status."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import typer

from common.errors import OutputError, UserError, needs_torch
from common.text import printable

log = logging.getLogger(__name__)

UNEXPECTED = 70  # exit status of an unhandled exception (sysexits.h: EX_SOFTWARE)
STOPPED = 130  # 128 + SIGINT, as in shells
CLOSED_PIPE = 141  # 128 + SIGPIPE
WRONG_USAGE = 2
_WRONG_USAGE: Any = typer.BadParameter.__mro__[2]  # ClickException: click's, or that of the copy in typer


def run(app: typer.Typer, flags: Sequence[str] | None = None) -> None:
    """Run a command line and end the process.

    Every error becomes one printable line on standard error and an exit status. The traceback of an
    unexpected error is logged at level INFO, which `-v` shows.

    Args:
        flags: the arguments; those of the process when not given.
    """
    with suppress(ValueError):  # only the main thread may
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter shows its number
    try:
        with needs_torch("this command"):
            status = app(args=None if flags is None else list(flags), standalone_mode=False)
        sys.stdout.flush()  # at exit an error could not be reported
    except UserError as error:
        _end(f"Error: {printable(error)}", error.status)
    except _WRONG_USAGE as error:
        _refuse(error)
    except (KeyboardInterrupt, typer.Abort):
        _end("Stopped.", STOPPED)
    except BrokenPipeError:  # the pipe's reader has closed: no message can be written
        _drop_output()
        sys.exit(CLOSED_PIPE)
    except SystemExit as ending:  # click ends with status 1 where a command writes to a closed pipe
        if not isinstance(ending.__context__, BrokenPipeError):
            raise
        _drop_output()
        sys.exit(CLOSED_PIPE)
    except OSError as error:
        if error.filename is not None:  # not of the output: an error that no stage expected
            log.info("unexpected error", exc_info=error)
            _end(_unexpected(error), UNEXPECTED)
        _drop_output()
        _end(f"Error: the output cannot be written ({error.strerror or error})", OutputError.status)
    except Exception as error:
        log.info("unexpected error", exc_info=error)
        if _is_short_of_memory(error):
            _end(f"Error: there is too little memory ({printable(error) or 'none left'})", UserError.status)
        _end(_unexpected(error), UNEXPECTED)
    if status == STOPPED:  # newer versions of typer catch Ctrl-C themselves
        _end("Stopped.", STOPPED)
    sys.exit(status if isinstance(status, int) else 0)


def echo(line: object) -> None:
    """Print one line; a name in it cannot control the terminal."""
    typer.echo(printable(line))


def _refuse(error: Any) -> None:
    """End with the message of a command line that cannot be parsed; without a command it is the help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.format_message(), err=True)
        sys.exit(WRONG_USAGE)
    _end(f"Error: {printable(error.format_message())} (--help lists the options)", WRONG_USAGE)


def _is_short_of_memory(error: Exception) -> bool:
    """Return whether memory ran out: also where a library could not be mapped into it."""
    unmapped = ("failed to map segment", "cannot allocate memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, ImportError) and any(words in str(error).lower() for words in unmapped)
    )


def _unexpected(error: Exception) -> str:
    return f"Error: unexpected {type(error).__name__}: {printable(error)} (-v shows where)"


def _drop_output() -> None:
    """Send what is still buffered nowhere, so that Python's own flush at exit does not fail."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(line: str, status: int) -> None:
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with suppress(OSError, ValueError):
        typer.echo(line, err=True)
    sys.exit(status)
