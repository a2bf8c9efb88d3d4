"""What pages draw people with: the limbs and colours of the 3D panel, as JSON takes them."""

from __future__ import annotations

from typing import Any

from demo.render.frame import SHINS, SOLE
from demo.render.panel import LEFT, LIMBS, RIGHT, Color


def describe_body() -> dict[str, Any]:
    """Return the limbs and colours that `page/scene.js` draws a person with."""
    return {
        "limbs": [
            [limb.start, limb.end, int(limb.side), limb.start_radius, limb.end_radius] for limb in LIMBS
        ],
        "shins": SHINS,
        "sole": SOLE,
        "sides": [[0, 0, 0], rgb(RIGHT), rgb(LEFT)],
    }


def rgb(color: Color) -> list[int]:
    """Return a colour as red, green, blue from 0 to 255."""
    blue, green, red = color
    return [round(red), round(green), round(blue)]
