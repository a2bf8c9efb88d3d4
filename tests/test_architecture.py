"""The map of the source as its imports draw it: floors, stages, circles, sizes.

A room is a sub-package or a module directly inside `demo`, `lifter` or `common`. An arrow is one room that
imports another, wherever the import stands (inside functions and under TYPE_CHECKING too).
docs/architecture.md has the same map in words.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("app.py", "common", "demo", "lifter", "tools", "benchmarks", "tests")
PACKAGES = ("common", "demo", "lifter")
MOST_LINES = 400
MOST_ROOMS = 22  # of demo; the design names about 18
MOST_ARROWS = 70  # inside demo

STAGES = ("video", "detection", "pose", "tracking", "motion", "render", "results")

# Arrows of demo run to a lower number only. A new module directly inside demo gets its floor here.
FLOORS = {
    "version": 0,
    "types": 1,
    "boxes": 2,
    "settings": 2,
    **dict.fromkeys(STAGES, 3),
    "export": 4,  # reads results, with the rig and angles of motion and the colours of render
    "models": 4,
    "training": 4,
    "analysis": 5,
    "pipeline": 6,
    "batch": 7,
    "live": 7,
    "web": 8,
    "__init__": 8,  # the Python API
    "cli": 9,
}

# Arrows that break a rule today, each with the reason. One that is not needed any more fails a test.
EXCEPTIONS = {
    ("demo.tracking", "demo.pose"): "online.py asks the keypoint network about boxes of its own",
    ("demo.results", "demo.models"): "job.py keys outputs by the resolved weights, summary.py lists them",
}
# The same for circles inside lifter.
LIFTER_EXCEPTIONS = {
    ("lifter.batches", "lifter.training"): "Rig, the cameras of a batch, lives beside the losses that use it",
    ("lifter.datasets", "lifter.training"): "Rig, as above",
    ("lifter.datasets", "lifter.evaluation"): "Human3.6M's windows are cut as its protocol cuts them",
}


@cache
def modules() -> dict[str, Path]:
    """Every module of the three packages; a package is called like its folder."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, `from package import module` as `package.module`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name, not a relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in modules() else str(node.module)


def room(module: str) -> str:
    """`demo.pose.hrnet` -> `demo.pose`; the module `demo` itself is `demo.__init__`."""
    package, _, rest = module.partition(".")
    return f"{package}.{rest.partition('.')[0] or '__init__'}"


@cache
def arrows() -> frozenset[tuple[str, str]]:
    """(from, to) between rooms of the three packages."""
    return frozenset(
        (room(module), room(target))
        for module, path in modules().items()
        for target in imported(path)
        if target.partition(".")[0] in PACKAGES and room(target) != room(module)
    )


def inside(package: str) -> set[tuple[str, str]]:
    return {pair for pair in arrows() if all(each.startswith(f"{package}.") for each in pair)}


def floor(name: str) -> int:
    return FLOORS[name.partition(".")[2]]


def test_every_room_of_demo_has_a_floor():
    rooms = {room(module).partition(".")[2] for module in modules() if module.startswith("demo")}
    assert rooms <= set(FLOORS), "give the new module a floor in FLOORS, and a line in docs/architecture.md"


def test_no_arrow_of_demo_runs_up_or_between_stages():
    wrong = {pair for pair in inside("demo") if floor(pair[1]) >= floor(pair[0])}
    assert wrong - set(EXCEPTIONS) == set()


def test_exceptions_are_needed():
    assert set(EXCEPTIONS) | set(LIFTER_EXCEPTIONS) <= arrows(), "take what has gone out of the exceptions"
    for source, target in EXCEPTIONS:
        assert floor(target) >= floor(source)


@pytest.mark.parametrize(("below", "above"), [("lifter", "demo"), ("common", "demo"), ("common", "lifter")])
def test_packages_below_do_not_know_those_above(below, above):
    assert [
        pair for pair in arrows() if pair[0].startswith(f"{below}.") and pair[1].startswith(f"{above}.")
    ] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_program_does_not_import_tools_benchmarks_or_tests(package):
    for module, path in modules().items():
        if module.startswith(package):
            roots = {target.partition(".")[0] for target in imported(path)}
            assert not roots & {"tools", "benchmarks", "tests", "app"}, path


def test_app_imports_the_command_line_only():
    own = {target for target in imported(ROOT / "app.py") if target.partition(".")[0] in PACKAGES}
    assert own == {"demo.cli.main"}


def test_no_circles():
    allowed = set(EXCEPTIONS) | set(LIFTER_EXCEPTIONS)
    graph: dict[str, set[str]] = {}
    for source, target in arrows() - allowed:
        graph.setdefault(source, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circle of imports: {' <- '.join(error.args[1])}")


def test_size_of_demo_from_outside():
    """The program from outside: few rooms, few arrows between them."""
    rooms = {room(module) for module in modules() if module.startswith("demo")}
    assert len(rooms) <= MOST_ROOMS
    assert len(inside("demo")) < MOST_ARROWS


def test_no_file_is_too_long_to_be_read_in_one_sitting():
    paths = [
        path
        for name in SOURCES
        for path in ([ROOT / name] if name.endswith(".py") else (ROOT / name).rglob("*.py"))
    ]
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert len(lines) > 100
    assert {str(path): count for path, count in lines.items() if count > MOST_LINES} == {}
