"""What training costs, as a command of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.benchmarks.figures import Figure
from infra.process import SEGUE
from segue.domain.errors import InvalidData

# CPU seconds, and GB of memory.
TIME_TARGET, MEMORY_TARGET = 60.0, 3.0

_KIB = 1_024


def measure_training(data: Path, out: Path) -> Iterator[Figure]:
    """Train on a data folder, and leave the bundle at ``out``. Raises InvalidData."""
    arguments = ["train", "--data", str(data), "--out", str(out)]
    process = subprocess.Popen(  # noqa: S603 - the project's own command
        [*SEGUE, *arguments], stdout=sys.stderr.fileno()
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise InvalidData(f"{data}: training failed")
    seconds = used.ru_utime + used.ru_stime
    yield Figure.of("training all models", "s of CPU", [seconds], target=TIME_TARGET)
    gigabytes = used.ru_maxrss * _KIB / 1e9
    yield Figure.of("training, most memory", "GB", [gigabytes], target=MEMORY_TARGET)
