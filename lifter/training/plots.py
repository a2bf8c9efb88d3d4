"""Plots of training curves."""

from __future__ import annotations

import csv
from pathlib import Path

from common.files import replace_file


def draw_log(log: Path, picture: Path) -> None:
    """Draw the loss and the first measure (third column) of a training's `log.csv` as a PNG."""
    from matplotlib.figure import Figure

    with log.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        measure = list(reader.fieldnames or ())[2]
    figure = Figure(figsize=(8, 4), layout="constrained")
    left = figure.subplots()
    left.plot([int(row["step"]) for row in rows], [float(row["loss"]) for row in rows], lw=1, label="loss")
    left.set(xlabel="step", ylabel="training loss", yscale="log")
    measured = [row for row in rows if row[measure]]
    right = left.twinx()
    values = [float(row[measure]) for row in measured]
    right.plot([int(row["step"]) for row in measured], values, "o-", color="tab:orange")
    right.set(ylabel=measure.replace("_", " "))
    with replace_file(picture) as temporary:
        figure.savefig(temporary, dpi=100)
