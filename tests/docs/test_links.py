"""Links inside the repository lead somewhere, and paths in running text exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import DOCUMENTS, ROOT, prose

NOT_YET_WRITTEN = {"blender.md", "unreal.md", "opensim.md", "pandas.md", "viewer.md", "report.md"}
ABSENT = ("outputs/", "runs/", "site/")  # made by a run
ids = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and mkdocs make it for plain words."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).strip().replace(" ", "-")


def anchors(document: Path) -> set[str]:
    return {slug(each) for each in re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_links(document):
    for target in re.findall(r"\]\(([^)]+)\)", prose(document)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (document.parent / file).resolve() if file else document
        assert path.exists(), f"{document}: {target}"
        if anchor:
            assert anchor in anchors(path), f"{document}: {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_paths_in_running_text(document):
    for name in re.findall(r"`([a-z_]+/[\w./-]*)`", prose(document)):
        if "NAME" not in name and not name.startswith(ABSENT) and (ROOT / name.split("/")[0]).is_dir():
            assert (ROOT / name).exists(), f"{document}: {name}"


def test_pages_of_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text()
    pages = set(re.findall(r": ([a-z-]+\.md)$", text, re.MULTILINE))
    there = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert there <= pages, "add the page to the nav of mkdocs.yml"
    assert pages - there <= NOT_YET_WRITTEN
