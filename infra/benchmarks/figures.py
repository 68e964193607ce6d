"""What a benchmark measured, beside what it should be."""

import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np

from infra.cli.output import markdown_table

_HEADING = "what", "measured", "by the clock", "target", "met", "ratio"
_PACKAGES = (
    "boto3",
    "faiss-cpu",
    "implicit",
    "msgspec",
    "numpy",
    "onnxruntime",
    "pandas",
    "torch",
)


@dataclass(frozen=True)
class Times:
    """Milliseconds of one thing that is done again and again: CPU time, and by the clock."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def take(self, act: Callable[[], object]) -> None:
        """Do it once more."""
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        act()
        self.cpu.append((time.process_time_ns() - cpu) / 1e6)
        self.wall.append((time.perf_counter_ns() - wall) / 1e6)


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    median, low, high: of all measurements, in ``unit``; from low to high lie 80 % of them. target:
    the most that the median should be; None where nothing is demanded. ratio: how many times as
    much as ``ratio_to``. wall: where the others are CPU time, the median time by the clock.
    """

    what: str
    unit: str
    median: float
    low: float
    high: float
    target: float | None = None
    ratio: float | None = None
    ratio_to: str = ""
    wall: float | None = None

    @classmethod
    def of(cls, what: str, unit: str, measured: Sequence[float], **further: Any) -> Self:
        """The figure of one or many measurements."""
        low, median, high = np.percentile(measured, [10, 50, 90]).tolist()
        return cls(what, unit, median, low, high, **further)

    @classmethod
    def of_times(cls, what: str, times: Times, **further: Any) -> Self:
        """The figure of what was timed, in milliseconds."""
        return cls.of(what, "ms", times.cpu, wall=float(np.median(times.wall)), **further)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        return None if self.target is None else self.median <= self.target

    def to_json(self) -> dict[str, Any]:
        """As ``segue bench --json`` writes it."""
        return asdict(self) | {"met": self.met}

    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        low, median, high = map(_digits, (self.low, self.median, self.high))
        spread = f" ({low}-{high})" if self.low != self.high else ""
        return (
            self.what,
            f"{median}{spread} {self.unit}",
            "" if self.wall is None else f"{_digits(self.wall)} {self.unit}",
            "" if self.target is None else f"{self.target:.4g} {self.unit}",
            {None: "", True: "yes", False: "no"}[self.met],
            "" if self.ratio is None else f"{self.ratio:.2f} x {self.ratio_to}",
        )


def _digits(number: float) -> str:
    """With two decimals; of a thousand and more, the whole number alone."""
    return f"{number:,.0f}" if number >= 1_000 else f"{number:.2f}"


def table(figures: Iterable[Figure]) -> list[str]:
    """The lines of the table, in Markdown."""
    return markdown_table(_HEADING, [figure.cells() for figure in figures])


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": {"python": platform.python_version()} | {it: version(it) for it in _PACKAGES},
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
