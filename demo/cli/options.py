"""Options of the command line that are fields of the settings."""

from __future__ import annotations

from typing import Any

import typer

from demo.settings import Settings, flag_fields

FIELDS = flag_fields()


def option_for(name: str, *flags: str) -> Any:
    """Return a flag with the default and the description of its settings field."""
    field = FIELDS[name]
    return typer.Option(field.default, *flags, help=field.description)


def settings_of(**flags: Any) -> Settings:
    """Return the settings of flags.

    Raises:
        typer.BadParameter: a value is out of range; the message names the flag.
    """
    from pydantic import ValidationError

    try:
        return Settings.of(**flags)
    except ValidationError as error:
        first = error.errors()[0]
        flag = "--" + str(first["loc"][-1]).replace("_", "-")
        raise typer.BadParameter(f"{flag}: {first['msg']}") from error
