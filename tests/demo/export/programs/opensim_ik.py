"""Runs with OpenSim: `FOLDER PERSON` scales and runs inverse kinematics by our set-ups; prints RMS in mm."""

import os
import sys
from pathlib import Path

import opensim

folder, person = Path(sys.argv[1]), sys.argv[2]
os.chdir(folder)
opensim.Logger.setLevelString("error")
scaling = opensim.ScaleTool(f"{person}_opensim_scale.xml")
scaling.run()  # answers False where markers are not placed, though it wrote the model
assert Path(f"{person}.osim").is_file(), "the scale tool failed"
kinematics = opensim.InverseKinematicsTool(f"{person}_opensim_ik.xml")
assert kinematics.run(), "inverse kinematics failed"
errors = next(folder.glob("*marker_errors*.sto"))
table = opensim.TimeSeriesTable(str(errors))
column = table.getDependentColumn("marker_error_RMS")
values = [column[row] for row in range(column.size())]
sys.stdout.write(f"{len(values)} {1000 * sum(values) / len(values)} {1000 * max(values)}\n")
