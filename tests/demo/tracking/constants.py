"""The tuned numbers of the tracking stages, and the checks of them."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[3]
MODULES = [f"demo.tracking.{file.stem}" for file in sorted((ROOT / "demo/tracking").glob("*.py"))]
MODULES = [*(name for name in MODULES if not name.endswith("__init__")), "demo.pose.rotated"]
CHECKS: dict[str, Callable[[], None]] = {}


def check(*names: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register a check of some constants, each "module.NAME"."""

    def register(function: Callable[[], None]) -> Callable[[], None]:
        CHECKS.update(dict.fromkeys(names, function))
        return function

    return register


def constants() -> dict[str, str]:
    """Return the modules of the literal numbers with names in capitals, by "module.NAME"."""
    found = {}
    for module in MODULES:
        for node in ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and _is_number(node.value):
                names = [name.id for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)]
                found |= {f"{module.split('.')[-1]}.{name}": module for name in names if name.isupper()}
    return found


def _is_number(node: ast.expr) -> bool:
    """Whether an expression is a number, numbers, or an array of numbers; joint numbers are integers."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float)
    if isinstance(node, ast.Tuple | ast.List):
        return any(isinstance(part, ast.Constant) and isinstance(part.value, float) for part in node.elts)
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "np.array" and _is_number(node.args[0])
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
