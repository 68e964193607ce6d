"""Whoever has the archive's files alone comes to the report's figures, each of them."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import reduce
from operator import getitem
from typing import Any

import numpy as np
import pytest

from infra.benchmarks.bucket import MemoryBucket
from infra.memory import MemoryResultStore
from segue.adapters.archive import S3Archive
from segue.adapters.experiments import S3ExperimentStore
from segue.adapters.objects import Objects
from segue.domain.times import DAY, SECOND, parse_time
from segue.experiments.assignment import assign
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import Arm, Experiment, Figure, Guardrail
from segue.experiments.records import Exposure, Record
from segue.reporting.reports import Reports
from segue.services.compaction import Compactor
from tests.unit.recomputed import read, recompute

BEGUN = parse_time("2022-09-01")
RAILS = (
    Guardrail(Figure.LATENCY, 5.0),
    Guardrail(Figure.SKIP_RATE, 0.05),
    Guardrail(Figure.DIVERSITY, 0.05),
    Guardrail(Figure.ADDED_SUCCESS, 0.05),
    Guardrail(Figure.FULL_PLAYS, 0.5),
    Guardrail(Figure.LISTENING_TIME, 5.0),
)
# Live.
TWO = Experiment("two", (Arm("old", 1, 0.5), Arm("new", 3, 0.5)), guardrails=RAILS)
# In replay, where every arm makes a list for every user.
THREE = Experiment(
    "three",
    (Arm("A", 1, 0.5), Arm("B", 2, 0.3), Arm("C", 9, 0.2)),
    window=7 * DAY,
    guardrails=RAILS[:1],
    paired=True,
)
RATES = {"old": 0.35, "new": 0.52, "A": 0.35, "B": 0.42, "C": 0.33}
# Milliseconds; of other arms there are none on top.
DELAYS = {"new": 8.0}
TRACKS = tuple(f"track {place}" for place in range(1, 6))

# Figures are the same to this, relative or absolute.
SAME = 1e-9


def made_up(epoch: Epoch, user: int, random: np.random.Generator) -> Record:
    """A listener's record, half a second after the one before.

    Of five listeners, one is new: nothing is known of them from before.
    """
    group = assign(epoch, str(user)).group
    failed = random.random() < 0.01
    is_new = random.random() < 0.2
    before = None if is_new else float(random.integers(1, 98)) / 97
    eager = 1.0 if before is None else 0.6 + 0.8 * before
    # What one arm's list does for a user, another's mostly does, too.
    luck = random.random()
    successes = {
        arm.group: bool(
            (luck if random.random() < 0.8 else random.random()) < eager * RATES[arm.group]
        )
        for arm in epoch.experiment.arms
    }
    successes[group] &= not failed
    hits = int(random.integers(1, 4)) if successes[group] else 0
    places = tuple(sorted(map(int, 1 + random.choice(len(TRACKS), hits, replace=False))))
    lists = {arm: () if failed and arm == group else TRACKS for arm in successes}
    paired = epoch.experiment.paired
    exposure = Exposure(
        str(user),
        group,
        "model",
        epoch.bundle,
        lists[group],
        BEGUN,
        BEGUN,
        error="it failed" if failed else None,
        before=before,
        traits={
            "premium": "yes" if random.random() < 0.3 else "no",
            "listener": "new" if is_new else "returning",
        },
        figures={
            Figure.LATENCY: float(random.normal(23 + DELAYS.get(group, 0.0), 5)),
            Figure.DIVERSITY: 2 * float(random.beta(6, 18)),
        },
        lists=lists if paired else {},
    )
    figures = {
        Figure.ADDED_SUCCESS: float(successes[group] and random.random() < 0.6),
        Figure.FULL_PLAYS: float(random.poisson(8 * eager)),
        Figure.LISTENING_TIME: float(random.gamma(2, 20 * eager)),
    }
    if not is_new:
        figures[Figure.SKIP_RATE] = float(random.beta(1.5, 3.5))
    return Record(
        exposure,
        successes[group],
        BEGUN + epoch.experiment.window + user * SECOND // 2,
        figures=figures,
        positions=places,
        reported=() if paired else places[::2],
        successes=successes if paired else {},
    )


class Bucket(MemoryBucket):
    """What it holds can be taken away."""

    def objects(self) -> dict[str, bytes]:
        return dict(self._bodies)


def archived(experiment: Experiment, users: int) -> tuple[Any, dict[str, bytes]]:
    """The report on that many users, and the objects of the bucket, in two batches."""
    bucket, random = Bucket(), np.random.default_rng(7)
    client: Any = bucket
    objects = Objects(client, "bucket")
    experiments, results, archive = (
        S3ExperimentStore(objects),
        MemoryResultStore(),
        S3Archive(objects),
    )
    begun, live = Epoch(experiment, "bundle"), not experiment.paired
    experiments.save(begun, None)
    epoch, compactor = begun.live if live else begun, Compactor(results, archive)
    for batch in (range(users // 3), range(users // 3, users)):
        for user in batch:
            results.add(epoch.id, made_up(epoch, user, random))
        while compactor.compact(epoch.id):
            pass
    report = Reports(experiments, results, archive).report(experiment.name, live=live)
    return json.loads(json.dumps(report)), bucket.objects()


def differences(path: str, said: Any, found: Any) -> Iterator[str]:
    """Where the two are not the same, or one lacks what the other has."""
    if said == found:
        return
    if isinstance(said, Mapping) and isinstance(found, Mapping):
        yield from (f"{path}.{name}" for name in said.keys() ^ found.keys())
        for name in said.keys() & found.keys():
            yield from differences(f"{path}.{name}".lstrip("."), said[name], found[name])
    elif isinstance(said, list) and isinstance(found, Sequence) and len(said) == len(found):
        for place, pair in enumerate(zip(said, found, strict=True)):
            yield from differences(f"{path}.{place}", *pair)
    elif not _same(said, found):
        yield f"{path}: {said} is {found}"


def _same(said: Any, found: Any) -> bool:
    if isinstance(said, float) and isinstance(found, int | float):
        return math.isclose(said, found, rel_tol=SAME, abs_tol=SAME)
    return bool(said == found)


@pytest.mark.parametrize(
    ("experiment", "users"), [(TWO, 1_500), (THREE, 900)], ids=["two", "three"]
)
def test_the_report_is_what_the_archive_says(experiment: Experiment, users: int) -> None:
    report, objects = archived(experiment, users)
    again = recompute(read(objects, experiment.name, live=not experiment.paired))
    assert list(differences("", report, again)) == []


@pytest.fixture(scope="module")
def report() -> Any:
    """To be changed in copies only."""
    return archived(TWO, 500)[0]


def test_each_figure_that_is_off_is_noticed(report: Any) -> None:
    figures = dict(numbers("", report))
    assert len(figures) > 500
    for path, figure in figures.items():
        (noticed,) = differences("", report, changed(report, path, figure * 1.001 + 1e-3))
        assert noticed.startswith(f"{path}: ")


def test_a_part_that_is_not_recomputed_is_named(report: Any) -> None:
    less = {name: part for name, part in report.items() if name != "power"}
    assert list(differences("", report, less)) == [".power"]
    assert len(list(differences("", report, report | {"power": []}))) == 1


def numbers(path: str, part: Any) -> Iterator[tuple[str, float]]:
    """Every number of a report, by the path to it."""
    named = part.items() if isinstance(part, dict) else enumerate(part)
    for name, value in named:
        here = f"{path}.{name}".lstrip(".")
        if isinstance(value, dict | list):
            yield from numbers(here, value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield here, value


def changed(report: Any, path: str, figure: float) -> Any:
    """The report with another figure there."""
    copy = deepcopy(report)
    *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
    part = reduce(getitem, way, copy)
    part[last] = figure
    return copy
