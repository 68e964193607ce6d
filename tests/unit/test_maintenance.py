"""functions/maintenance: outcomes are settled once their window has passed, whatever fails."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from segue.domain.errors import StoreUnavailable
from segue.domain.times import DAY
from segue.experiments.experiment import DEFAULT_NAME, Experiment
from segue.experiments.manifest import Compaction
from segue.services.maintenance import Maintenance
from tests.unit.conftest import LambdaContext, World, load_function


@dataclass
class Archive:
    """An archive that has work for so many compactions of each side."""

    batches: int = 1
    broken: set[str] = field(default_factory=set)
    compacted: list[tuple[str, str]] = field(default_factory=list)
    swept: list[str] = field(default_factory=list)

    def compact(self, experiment: Experiment, after: str = "") -> Compaction:
        if experiment.name in self.broken:
            raise StoreUnavailable("results: SlowDown")
        self.compacted.append((experiment.name, after))
        place = int(after or "0") + 1
        return Compaction(10, (), str(place) if place < self.batches else None)

    def sweep(self, experiment: Experiment, now: int) -> int:
        self.swept.append(experiment.name)
        return 1


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def maintenance(world: World, archive: Archive) -> Maintenance:
    world.experiments.clear()  # begins the experiment
    for user in range(1, 6):
        world.play(str(user), world.tracks(10 * user, 10 * user + 10), session=f"s{user}")
    return Maintenance(world.settlement, world.results, archive, world.clock)


def show(world: World, *users: int) -> None:
    """Recommend to these, live, at the cut-off."""
    world.clock.time = world.cutoff
    for user in users:
        world.live.recommend(str(user))


def always() -> bool:
    return True


def never() -> bool:
    return False


def test_an_exposure_is_settled_once_its_window_has_passed(
    world: World, maintenance: Maintenance
) -> None:
    show(world, 1, 2)
    (exposure, _) = world.results.pending.values()
    world.play(exposure.user_id, [exposure.tracks[0]], days=20, session="later")
    world.clock.time = world.cutoff + 30 * DAY
    assert maintenance.run(always).settled == 2
    assert not world.results.pending
    outcomes = {r.exposure.user_id: r.successful for r in world.results.settled.values()}
    assert outcomes == {"1": True, "2": False}
    assert maintenance.run(always).settled == 0


def test_an_exposure_whose_window_has_not_passed_waits(
    world: World, maintenance: Maintenance
) -> None:
    show(world, 1)
    world.clock.time = world.cutoff + 30 * DAY - 1
    assert maintenance.run(always).settled == 0
    assert world.results.pending
    assert not world.results.settled


def test_an_exposure_that_was_settled_but_not_dropped_keeps_its_record(
    world: World, maintenance: Maintenance
) -> None:
    show(world, 1)
    ((key, exposure),) = world.results.pending.items()
    world.clock.time = world.cutoff + 31 * DAY
    maintenance.run(always)
    before = dict(world.results.settled)
    world.results.pending[key] = exposure
    world.play("1", [exposure.tracks[0]], days=20, session="reported late")
    maintenance.run(always)
    assert world.results.settled == before
    assert not world.results.pending


def test_who_was_erased_while_the_run_went_on_does_not_come_back(
    world: World, maintenance: Maintenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(world, 1)
    world.clock.time = world.cutoff + 31 * DAY
    events = world.sessions.events

    def erased_meanwhile(*arguments: Any) -> Any:
        world.privacy.erase("1")
        return events(*arguments)

    monkeypatch.setattr(world.sessions, "events", erased_meanwhile)
    assert maintenance.run(always).settled == 0
    assert not world.results.settled


def test_both_sides_of_every_experiment_are_compacted(
    world: World, maintenance: Maintenance, archive: Archive
) -> None:
    archive.batches = 3
    work = maintenance.run(always)
    sides = (DEFAULT_NAME, f"{DEFAULT_NAME}.live")
    assert archive.compacted == [(side, after) for side in sides for after in ("", "1", "2")]
    assert archive.swept == list(sides)
    assert (work.archived, work.swept, work.faults) == (60, 2, [])


def test_without_time_each_side_still_has_its_turn(
    world: World, maintenance: Maintenance, archive: Archive
) -> None:
    archive.batches = 3
    show(world, 1)
    world.clock.time = world.cutoff + 31 * DAY
    work = maintenance.run(never)
    assert archive.compacted == [(DEFAULT_NAME, ""), (f"{DEFAULT_NAME}.live", "")]
    assert (work.archived, work.swept) == (20, 0)


def test_a_fault_in_one_experiment_does_not_hold_up_the_others(
    world: World, maintenance: Maintenance, archive: Archive
) -> None:
    archive.broken = {f"{DEFAULT_NAME}.live"}
    work = maintenance.run(always)
    assert archive.compacted == [(DEFAULT_NAME, "")]
    assert work.faults == ["default, live: results: SlowDown"]


class TestHandler:
    @pytest.fixture
    def handler(self, maintenance: Maintenance, monkeypatch: pytest.MonkeyPatch) -> Any:
        module = load_function("maintenance", monkeypatch).module
        monkeypatch.setattr(module, "maintenance", maintenance)
        return module.lambda_handler

    def test_a_run_settles_and_compacts(self, handler: Any, archive: Archive) -> None:
        handler({"source": "aws.events"}, Context())
        assert archive.swept

    def test_a_run_may_leave_outcomes_unsettled(
        self, handler: Any, world: World, archive: Archive
    ) -> None:
        show(world, 1)
        world.clock.time = world.cutoff + 30 * DAY
        handler({"source": "aws.events", "settle": False}, Context())
        assert len(world.results.pending) == 1
        assert archive.swept

    def test_a_run_leaves_off_in_time(self, handler: Any, archive: Archive) -> None:
        archive.batches = 9
        handler({"source": "aws.events"}, Context(left=60_000))
        assert len(archive.compacted) == 2

    def test_a_run_with_a_fault_fails_and_names_it(self, handler: Any, archive: Archive) -> None:
        archive.broken = {DEFAULT_NAME}
        with pytest.raises(StoreUnavailable, match="SlowDown"):
            handler({"source": "aws.events"}, Context())
        assert archive.swept


@dataclass(frozen=True)
class Context(LambdaContext):
    """A context with so much time left, in milliseconds."""

    left: int = 600_000

    def get_remaining_time_in_millis(self) -> int:
        return self.left
