"""Several processes that train together."""

from __future__ import annotations

import os
import subprocess
import sys


def launch(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script or a module with its arguments in two processes on the CPU."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*torchrun, *(str(each) for each in arguments)]
    known = os.environ | {"PYTHONPATH": ".", "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=known)
    assert done.returncode == 0, done.stderr[-3000:]
    return done
