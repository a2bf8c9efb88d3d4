"""Text that is safe to print."""

from __future__ import annotations


def printable(value: object) -> str:
    """Return a value as one line of printable characters: control characters are escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))
