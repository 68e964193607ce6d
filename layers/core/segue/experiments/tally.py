"""What a report needs to know of an epoch's records: counts that can be added and taken away.

They are kept beside the archived records, so that a report on a million users reads none of them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from segue.domain.times import SECOND
from segue.experiments.bets import log_bets
from segue.experiments.experiment import Figure
from segue.experiments.records import Record

MINUTE = 60 * SECOND
# What would take more steps than this is told in steps twice as long.
MOST_STEPS = 256
# Whether the control and the arm succeeded, in the order of Pairs.
_PAIRS = ((True, True), (True, False), (False, True), (False, False))


# Successes and users, as in 14/20.
Outcomes = tuple[int, int]
# Full plays, and how many of them named their list.
Hits = tuple[int, int]
# How many values, their sum, and the sum of their squares.
Moments = tuple[int, float, float]
ByGroup = Mapping[str, Outcomes]
# The logarithm of what each of the bettors of ``bets.log_bets`` owns.
Bets = tuple[float, ...]
# Users for whom both the control and an arm succeeded, the control alone, the arm alone, neither.
Pairs = tuple[int, int, int, int]

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tally:
    """Outcomes by arm: over time, by what is known of the listener; and what goes with them.

    ``course[start][group]`` counts what was settled in the ``step`` milliseconds from ``start``
    on. Of interleaved lists it counts those that a group won; ``draws`` those that none did.
    ``segments[trait][value][group]`` counts by a trait of the listener, ``before[percent][group]``
    by the share of plays that they completed beforehand, to the next 5 %.
    ``figures[name][group]`` sums what metrics and guardrails go by, ``earned[group]`` the
    inversely weighted outcomes of adaptive allocation (off-policy: of all users, as if all had been
    in that group).
    ``positions[position][group]``: the full plays of tracks that stood there in their lists, from 1
    on, and how many of them were sent with the list's ``recommendation_id``.
    ``bets[start][group]``: those on and against an arm in adaptive allocation, in the same steps.
    ``paired[group]``: of paired replays, for whom both the control and that arm succeeded, the
    control alone, the arm alone, and neither.
    """

    step: int = MINUTE
    course: Mapping[int, ByGroup] = field(default_factory=dict)
    segments: Mapping[str, Mapping[str, ByGroup]] = field(default_factory=dict)
    before: Mapping[int, ByGroup] = field(default_factory=dict)
    figures: Mapping[str, Mapping[str, Moments]] = field(default_factory=dict)
    earned: Mapping[str, Moments] = field(default_factory=dict)
    bets: Mapping[int, Mapping[str, Bets]] = field(default_factory=dict)
    draws: int = 0
    positions: Mapping[int, Mapping[str, Hits]] = field(default_factory=dict)
    paired: Mapping[str, Pairs] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Iterable[Record]) -> "Tally":
        """Each record counted once."""
        sums = _Sums()
        for record in records:
            sums.add(record)
        return _bounded(
            cls(
                MINUTE,
                sums.course,
                sums.segments,
                sums.before,
                sums.figures,
                sums.earned,
                sums.bets,
                sums.draws,
                sums.positions,
                sums.paired,
            )
        )

    def plus(self, other: "Tally") -> "Tally":
        """Both together."""
        return self._joined(other, 1)

    def minus(self, other: "Tally") -> "Tally":
        """Without the records of ``other``, all of which were counted here."""
        return self._joined(other, -1)

    def outcomes(self) -> dict[str, Outcomes]:
        """Successes and users of each arm."""
        total: dict[str, Outcomes] = {}
        for arms in self.course.values():
            for group, outcomes in arms.items():
                _count(total, group, outcomes)
        return total

    def stakes(self) -> dict[str, Bets]:
        """What the bettors own who bet on each arm and against it."""
        total: dict[str, Bets] = {}
        for arms in self.bets.values():
            total = _sum(total, arms, 1)
        return total

    @property
    def users(self) -> int:
        """How many records were counted."""
        return self.draws + sum(users for _, users in self.outcomes().values())

    def _joined(self, other: "Tally", sign: int) -> "Tally":
        step = max(self.step, other.step)
        return _bounded(
            Tally(
                step,
                _sum(_in_steps(self.course, step), _in_steps(other.course, step), sign),
                _sum(self.segments, other.segments, sign),
                _sum(self.before, other.before, sign),
                _sum(self.figures, other.figures, sign),
                _sum(self.earned, other.earned, sign),
                _sum(_in_steps(self.bets, step), _in_steps(other.bets, step), sign),
                self.draws + sign * other.draws,
                _sum(self.positions, other.positions, sign),
                _sum(self.paired, other.paired, sign),
            )
        )


class _Sums:
    """A tally in the making."""

    def __init__(self) -> None:
        self.course: dict[int, dict[str, Outcomes]] = defaultdict(dict)
        self.segments: dict[str, dict[str, dict[str, Outcomes]]] = defaultdict(
            lambda: defaultdict(dict)
        )
        self.before: dict[int, dict[str, Outcomes]] = defaultdict(dict)
        self.figures: dict[str, dict[str, Moments]] = defaultdict(dict)
        self.earned: dict[str, Moments] = {}
        self.bets: dict[int, dict[str, Bets]] = defaultdict(dict)
        self.draws = 0
        self.positions: dict[int, dict[str, Hits]] = defaultdict(dict)
        self.paired: dict[str, Pairs] = {}

    def add(self, record: Record) -> None:
        exposure, start = record.exposure, record.settled_at // MINUTE * MINUTE
        for hits, counted in ((record.positions, (1, 0)), (record.reported, (0, 1))):
            for position in hits:
                _count(self.positions[position], exposure.group, counted)
        if not exposure.owners:
            self._add_outcome(record, start)
        elif record.winner is None:
            self.draws += 1
        else:
            _count(self.course[start], record.winner, (1, 1))

    def _add_outcome(self, record: Record, start: int) -> None:
        exposure, group = record.exposure, record.exposure.group
        outcome = (int(record.successful), 1)
        _count(self.course[start], group, outcome)
        for trait, value in exposure.traits.items():
            _count(self.segments[trait][value], group, outcome)
        if exposure.before is not None:
            _count(self.before[round(20 * exposure.before) * 5], group, outcome)
        failed = {Figure.FAILED_CALLS: float(exposure.error is not None)}
        for name, figure in (failed | dict(exposure.figures) | dict(record.figures)).items():
            _measure(self.figures[name], group, figure)
        for other, probability in exposure.propensities.items():
            reward = record.successful / probability if other == group else 0.0
            _measure(self.earned, other, reward)
        self._add_bets(record, self.bets[start])
        self._add_pairs(record)

    def _add_bets(self, record: Record, bets: dict[str, Bets]) -> None:
        """Every other arm beside the control, which the propensities name first."""
        group, success = record.exposure.group, record.successful
        control, *others = record.exposure.propensities.items() or [("", 0.0)]
        for arm, probability in others:
            if group in (control[0], arm):
                of_two = probability / (control[1] + probability)
                bet = log_bets(of_two, in_arm=group == arm, success=success)
                bets[arm] = _sum(bets.get(arm), bet, 1)

    def _add_pairs(self, record: Record) -> None:
        """Every other arm beside the control, whose success the record names first."""
        control, *others = record.successes.items() or [("", False)]
        for arm, success in others:
            place = _PAIRS.index((control[1], success))
            one = tuple(int(place == it) for it in range(len(_PAIRS)))
            self.paired[arm] = _sum(self.paired.get(arm), one, 1)


def _measure(cells: dict[str, Moments], key: str, value: float) -> None:
    n, total, squares = cells.get(key, (0, 0.0, 0.0))
    cells[key] = n + 1, total + value, squares + value**2


def _count(cells: dict[K, Outcomes], key: K, outcomes: Outcomes) -> None:
    successes, users = cells.get(key, (0, 0))
    cells[key] = successes + outcomes[0], users + outcomes[1]


def _sum(one: Any, other: Any, sign: int) -> Any:
    """Nested mappings of tuples of numbers, added place by place; what one lacks counts as 0."""
    if isinstance(other, tuple):
        return tuple(a + sign * b for a, b in zip(one or (0,) * len(other), other, strict=True))
    joined = dict(one or {})
    for key, value in other.items():
        joined[key] = _sum(joined.get(key), value, sign)
    return joined


def _in_steps(course: Mapping[int, Mapping[str, T]], step: int) -> dict[int, dict[str, T]]:
    told: dict[int, dict[str, T]] = {}
    for start, arms in course.items():
        begun = start // step * step
        told[begun] = _sum(told.get(begun), arms, 1)
    return told


def _bounded(tally: Tally) -> Tally:
    step, course = tally.step, tally.course
    while len(course) > MOST_STEPS:
        step *= 2
        course = _in_steps(course, step)
    return replace(tally, step=step, course=course, bets=_in_steps(tally.bets, step))
