"""An experiment: which models compete, for whom, over what stretch of time."""

import math
import re
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Self

from segue.domain.errors import InvalidRequest
from segue.domain.times import DAY
from segue.experiments.layers import ALL, PARTS, Slots

FEWEST_ARMS, MOST_ARMS = 2, 8
LONGEST_WINDOW = 365 * DAY
# Of the users of two arms that are compared, either gets at least so many.
LEAST_SHARE = 1e-6
# Of a figure's range, or of 1 where it has no end: no number of users that could be counted would
# show a smaller one held.
_LEAST_MARGIN = 1e-6
# No dot: what lies behind one tells the live side, in salts and keys.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_GROUP = re.compile(r"[A-Za-z0-9_-]{1,32}")


class Mode(StrEnum):
    """How listeners come by their recommendations."""

    # Each has one arm, by fixed shares.
    FIXED = "fixed"
    # Each has one arm, more likely one that has done well so far.
    THOMPSON = "thompson"
    # Each has one list, drafted from both arms.
    INTERLEAVE = "interleave"


class State(StrEnum):
    """Whether listeners are still assigned to arms."""

    RUNNING = "running"
    # Nobody is; outcomes of those who were are still settled.
    STOPPED = "stopped"
    # Stopped for good, with its layer's users free for others.
    ARCHIVED = "archived"


class Better(StrEnum):
    """Which way a figure should go."""

    HIGHER = "higher"
    LOWER = "lower"


class Figure(StrEnum):
    """One number a listener, which way it should go, and its range. A guardrail can watch any.

    Whether the model gave no answer (1) or one (0); share of the window's plays that were skipped;
    mean distance of a list's tracks (1 less their cosine); milliseconds that the recommendation
    took, of which a function has no more than ``highest`` (the template's Timeout). Of the window:
    whether a recommended track was fully played that the listener had not played for 90 days (1)
    or none (0); how many plays were full ones; minutes of listening.
    """

    better: Better
    highest: float
    unit: str

    FAILED_CALLS = "failed_calls", Better.LOWER, 1.0
    SKIP_RATE = "skip_rate", Better.LOWER, 1.0
    DIVERSITY = "diversity", Better.HIGHER, 2.0
    LATENCY = "latency", Better.LOWER, 25_000.0, "ms"
    ADDED_SUCCESS = "added_success", Better.HIGHER, 1.0
    FULL_PLAYS = "full_plays", Better.HIGHER, math.inf
    LISTENING_TIME = "listening_time", Better.HIGHER, math.inf, "min"

    def __new__(cls, name: str, better: Better, highest: float, unit: str = "") -> Self:
        """A member is its name, with the rest beside it."""
        figure = str.__new__(cls, name)
        figure._value_ = name
        figure.better, figure.highest, figure.unit = better, highest, unit
        return figure


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the competing models and the share of users that it is allotted.

    Where the mode allots none, shares are equal and mean nothing.
    """

    group: str
    model_id: int
    share: float

    def share_beside(self, control: "Arm") -> float:
        """The arm's share of the users of both."""
        return self.share / (control.share + self.share)


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A figure that an arm must not worsen by more than ``margin``, in the figure's unit."""

    figure: Figure
    margin: float


@dataclass(frozen=True, slots=True)
class Experiment:
    """Which models compete and how, as somebody put it. ``arms[0]`` is the control.

    ``window`` is how long after the recommendation a play counts, in milliseconds; ``k`` the length
    of the lists, None being the mean of the user's sessions. ``traffic``: the share of all users
    who take part live; ``slots``, which these are, of their ``layer`` or of all. ``shipped``: the
    group whose model everybody gets since it was stopped; None: the control's. ``paired``: in
    replay, every arm makes a list for every user, so that each user compares the arms.
    """

    name: str
    arms: tuple[Arm, ...]
    window: int = 30 * DAY
    k: int | None = None
    mode: Mode = Mode.FIXED
    guardrails: tuple[Guardrail, ...] = ()
    paired: bool = False
    description: str = ""
    owner: str = ""
    traffic: float = 1.0
    layer: str | None = None
    slots: Slots = ALL
    state: State = State.RUNNING
    shipped: str | None = None

    @property
    def default_arm(self) -> Arm:
        """Whose model those get who take no part."""
        return next((arm for arm in self.arms if arm.group == self.shipped), self.arms[0])

    def changes_from(self, before: "Experiment") -> list[str]:
        """The fields in which this one differs, but for the slots, which follow from others."""
        names = (it.name for it in fields(self) if it.name != "slots")
        return [it for it in names if getattr(self, it) != getattr(before, it)]


# What results depend on: records before and after a change of these must not be counted together.
FROZEN = frozenset({"arms", "window", "k", "mode", "paired"})


# There from the start: autoencoder against classifier, half and half.
DEFAULT_NAME = "default"
DEFAULT = Experiment(DEFAULT_NAME, (Arm("A", 1, 0.5), Arm("B", 2, 0.5)))


def check_name(name: str, field: str = "name") -> None:
    """Raises InvalidRequest for what can be no experiment's and no layer's name.

    ``field`` is where it was given.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            "must be 1 to 64 of a-z, 0-9, '-' and '_', beginning with a letter or digit",
            field=field,
        )


def check(experiment: Experiment, models: Container[int]) -> None:
    """Raises InvalidRequest, naming the field, for what cannot be run with these models."""
    check_name(experiment.name)
    arms = experiment.arms
    if not FEWEST_ARMS <= len(arms) <= MOST_ARMS:
        raise InvalidRequest(f"there must be {FEWEST_ARMS} to {MOST_ARMS} arms", field="arms")
    _check_mode(experiment)
    for place, arm in enumerate(arms):
        _check_arm(arm, f"arms[{place}]", models)
    if not math.isclose(sum(arm.share for arm in arms), 1, abs_tol=1e-9):
        raise InvalidRequest("the shares must sum to 1", field="arms")
    for place, arm in enumerate(arms[1:], start=1):
        if not LEAST_SHARE <= arm.share_beside(arms[0]) <= 1 - LEAST_SHARE:
            raise InvalidRequest(
                f"either of this arm and the control must get at least {LEAST_SHARE:g} of the "
                "users of both",
                field=f"arms[{place}].share",
            )
    _refuse_repeats([arm.group for arm in arms], "arms", "groups")
    if not DAY <= experiment.window <= LONGEST_WINDOW:
        raise InvalidRequest("must be from 1 to 365 days", field="window_days")
    _check_traffic(experiment)
    _check_guardrails(experiment)


def _check_mode(experiment: Experiment) -> None:
    mode = experiment.mode
    if mode is Mode.INTERLEAVE and len(experiment.arms) != 2:
        raise InvalidRequest("mode interleave takes exactly 2 arms", field="arms")
    if experiment.paired and mode is not Mode.FIXED:
        raise InvalidRequest(
            f"mode {mode} compares no pairs; leave it out, or use mode fixed", field="paired"
        )


def _check_arm(arm: Arm, field: str, models: Container[int]) -> None:
    if not _GROUP.fullmatch(arm.group):
        raise InvalidRequest("must be 1 to 32 letters, digits, '-' and '_'", field=f"{field}.group")
    if arm.model_id not in models:
        raise InvalidRequest(f"there is no model {arm.model_id}", field=f"{field}.model_id")
    if not 0 < arm.share < 1:
        raise InvalidRequest("must be between 0 and 1", field=f"{field}.share")


def _check_traffic(experiment: Experiment) -> None:
    if not 1 / PARTS <= experiment.traffic <= 1:
        raise InvalidRequest(f"must be from {1 / PARTS:g} to 1", field="traffic")
    if experiment.layer is not None:
        check_name(experiment.layer, "layer")


def _check_guardrails(experiment: Experiment) -> None:
    rails, mode = experiment.guardrails, experiment.mode
    if rails and mode is not Mode.FIXED:
        raise InvalidRequest(
            f"mode {mode} watches none; leave them out, or use mode fixed", field="guardrails"
        )
    _refuse_repeats([rail.figure for rail in rails], "guardrails", "figures")
    for place, rail in enumerate(rails):
        highest = rail.figure.highest
        least = _LEAST_MARGIN * (highest if math.isfinite(highest) else 1)
        if not least <= rail.margin < highest:
            below = f" to less than {highest:g}" if math.isfinite(highest) else " on"
            bounds = f"must be from {least:g}{below} {rail.figure.unit}".strip()
            raise InvalidRequest(f"{bounds} for {rail.figure}", field=f"guardrails[{place}].margin")


def _refuse_repeats(names: list[str], field: str, what: str) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InvalidRequest(f"{what} must differ; {repeated[0]} occurs twice", field=field)
