"""What training costs, as a command of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.benchmarks.figures import Figure
from infra.process import SEGUE
from segue.domain.errors import InvalidData

# CPU seconds, and GB of memory.
TIME_TARGET, MEMORY_TARGET = 60.0, 3.0

_KIB = 1_024


@dataclass(frozen=True)
class Used:
    """What a process took: seconds by the clock and of CPU time, and GB of memory at most."""

    seconds: float
    cpu_seconds: float
    gigabytes: float


def train_apart(data: Path, out: Path) -> Used:
    """Train on a data folder in a process of its own; the bundle is at ``out``. Raises InvalidData
    where that fails."""
    arguments = ["train", "--data", str(data), "--out", str(out)]
    start = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 - the project's own command
        [*SEGUE, *arguments], stdout=sys.stderr.fileno()
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise InvalidData(f"{data}: training failed")
    return Used(
        time.perf_counter() - start,
        used.ru_utime + used.ru_stime,
        used.ru_maxrss * _KIB / 1e9,
    )


def measure_training(data: Path, out: Path) -> Iterator[Figure]:
    """Train on a data folder, and leave the bundle at ``out``. Raises InvalidData."""
    used = train_apart(data, out)
    yield Figure.of("training all models", "s of CPU", [used.cpu_seconds], target=TIME_TARGET)
    yield Figure.of("training, most memory", "GB", [used.gigabytes], target=MEMORY_TARGET)
