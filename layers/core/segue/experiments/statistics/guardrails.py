"""Figures that a better arm must not worsen: diversity, skip rate, latency."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from segue.domain.errors import InvalidRequest

_LEVEL = 0.05
# The interval is narrowest, beside one for a single look, at about this many users of both arms.
_TUNED_FOR = 5_000
# It rests on the central limit theorem; with fewer users of an arm it says nothing.
LEAST_USERS = 100


class Better(StrEnum):
    """Which way a figure should go."""

    HIGHER = "higher"
    LOWER = "lower"


class State(StrEnum):
    """What is known of a guardrail."""

    HELD = "held"
    BROKEN = "broken"
    UNKNOWN = "not known yet"


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A figure, its direction, and by how much B may worsen it, in the figure's unit."""

    name: str
    better: Better
    margin: float

    def __post_init__(self) -> None:
        if not self.margin > 0:
            raise InvalidRequest(
                f"{self.name}: margin is {self.margin}, not positive", field="margin"
            )


@dataclass(frozen=True, slots=True)
class Sample:
    """One arm's values of a figure, one per user: how many, their mean and (n-1) variance."""

    users: int
    mean: float
    variance: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Sample":
        """Raises InvalidRequest where there are fewer than two values."""
        if len(values) < 2:
            raise InvalidRequest("a sample takes at least two values", field="values")
        return cls(len(values), float(np.mean(values)), float(np.var(values, ddof=1)))


@dataclass(frozen=True, slots=True)
class GuardrailCheck:
    """``mean B - mean A``, the interval that holds at every look, and what follows from it."""

    difference: float
    interval: tuple[float, float]
    state: State


def check_guardrail(guardrail: Guardrail, a: Sample, b: Sample) -> GuardrailCheck:
    """Held: not worse by the margin. Broken: worse by more. Each as sure as a decision is."""
    difference = b.mean - a.mean
    reach = _reach(a, b)
    interval = (difference - reach, difference + reach)
    low, high = interval
    worst, best = (-low, -high) if guardrail.better is Better.HIGHER else (high, low)
    if worst < guardrail.margin:
        state = State.HELD
    elif best > guardrail.margin:
        state = State.BROKEN
    else:
        state = State.UNKNOWN
    return GuardrailCheck(difference, interval, state)


def _reach(a: Sample, b: Sample) -> float:
    """Half the width of the asymptotic confidence sequence of Waudby-Smith et al.

    Time-uniform central limit theory and asymptotic confidence sequences, Annals of Statistics
    2024, equation 9, with its tuning parameter from the appendix.
    """
    if min(a.users, b.users) < LEAST_USERS:
        return math.inf
    variance = a.variance / a.users + b.variance / b.users
    tuning = (-2 * math.log(_LEVEL) + math.log(-2 * math.log(_LEVEL) + 1)) / _TUNED_FOR
    scaled = (a.users + b.users) * tuning
    widening = 2 * (scaled + 1) / scaled * math.log(math.sqrt(scaled + 1) / _LEVEL)
    return math.sqrt(variance * widening)
