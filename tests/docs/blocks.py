"""Read the code blocks, commands and links of the Markdown documents.

A block may follow a comment that says what a test lacks:

    <!-- parsed only: REASON -->   its commands are parsed: programs, options and values must be known
    <!-- not tested: REASON -->    its commands are neither run nor parsed
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "weights").rglob("*.md"),
        *(ROOT / "videos").glob("*.md"),
    ]
)
_MARK = re.compile(r"^<!-- (parsed only|not tested): (.+) -->$")


@dataclass(frozen=True)
class Block:
    """A fenced block. line: of its first fence, from 1."""

    document: Path
    line: int
    language: str
    text: str
    mark: Literal["", "parsed only", "not tested"]

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[list[str]]:
        """The command lines of a shell block as words, without comments; `a && b` is two."""
        joined = re.sub(r"\\\n\s*", " ", self.text)
        lines = (part for line in joined.splitlines() for part in line.split(" && "))
        words = [shlex.split(line, comments=True) for line in lines]
        return [each for each in words if each]


def blocks(document: Path) -> list[Block]:
    """All fenced blocks of a document."""
    found: list[Block] = []
    mark, start, language, inside = "", 0, "", None
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), start=1):
        if inside is not None:
            if line.startswith("```"):
                found.append(Block(document, start, language, "\n".join(inside) + "\n", mark))
                mark, inside = "", None
            else:
                inside.append(line)
        elif line.startswith("```"):
            start, language, inside = number, line[3:].strip(), []
        elif given := _MARK.match(line):
            mark = given[1]
        elif line.strip():
            mark = ""
    assert inside is None, f"{document}:{start}: the block does not end"
    return found


def all_blocks() -> list[Block]:
    return [block for document in DOCUMENTS for block in blocks(document)]


def prose(document: Path) -> str:
    """The text of a document without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
