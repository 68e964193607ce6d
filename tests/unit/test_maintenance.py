"""functions/maintenance: outcomes are settled, and records archived, whatever fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import pytest

from segue.domain.errors import StoreUnavailable
from segue.domain.events import Event
from segue.domain.times import DAY, Window
from segue.experiments.epoch import EpochId, Side
from segue.experiments.experiment import DEFAULT_NAME
from segue.experiments.records import Record
from segue.ports import Archived
from tests.unit.conftest import LambdaContext, World, load_function

REPLAY, LIVE = (EpochId(DEFAULT_NAME, 1, side) for side in (Side.REPLAY, Side.LIVE))


@pytest.fixture(autouse=True)
def listeners(world: World) -> None:
    """Users 1 to 5 each heard ten tracks before the cut-off; stores answer two at a time."""
    for user in range(1, 6):
        world.play(str(user), world.tracks(10 * user, 10 * user + 10), session=f"s{user}")
    world.results.page = 2


def show(world: World, *users: int) -> None:
    """Recommend to these, live, at the cut-off; then let their windows pass."""
    world.clock.time = world.cutoff
    for user in users:
        world.live.recommend(str(user))
    world.clock.time = world.cutoff + 30 * DAY


def always() -> bool:
    return True


def never() -> bool:
    return False


def before_events(
    monkeypatch: pytest.MonkeyPatch, world: World, act: Callable[[str], object]
) -> None:
    """From now on, do that with each user whose events are to be read."""
    events = world.sessions.events

    def read(user_id: str, window: Window, *, fresh: bool) -> list[Event]:
        act(user_id)
        return events(user_id, window, fresh=fresh)

    monkeypatch.setattr(world.sessions, "events", read)


def unavailable(what: str) -> None:
    raise StoreUnavailable(f"{what}: SlowDown")


def batches(world: World, epoch: EpochId) -> list[int]:
    """The sizes of the epoch's batches."""
    return [len(batch) for batch in world.archive.batches.get(epoch, [])]


class TestSettlement:
    def test_an_exposure_is_settled_once_its_window_has_passed(self, world: World) -> None:
        show(world, 1, 2)
        exposure = world.results.exposed[LIVE, "1"]
        world.play("1", [exposure.tracks[0]], days=20, session="later")
        assert world.maintenance.run(always).settled == 2
        assert not world.results.exposed
        outcomes = {user: it.successful for (_, user), it in world.results.settled.items()}
        assert outcomes == {"1": True, "2": False}
        assert world.maintenance.run(always).settled == 0

    def test_an_exposure_whose_window_has_not_passed_waits(self, world: World) -> None:
        show(world, 1)
        world.clock.time -= 1
        assert world.maintenance.run(always).settled == 0
        assert world.results.exposed
        assert not world.results.settled

    def test_many_are_settled_some_at_a_time_while_there_is_time(self, world: World) -> None:
        show(world, 1, 2, 3, 4, 5)
        assert world.maintenance.run(never).settled == 2
        assert world.maintenance.run(always).settled == 3

    def test_an_outcome_that_somebody_else_has_settled_meanwhile_stays(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        show(world, 1)
        theirs = Record(world.results.exposed[LIVE, "1"], True, 9)
        before_events(monkeypatch, world, lambda _: world.results.settle(LIVE, theirs))
        world.maintenance.run(always)
        assert world.results.settled == {(LIVE, "1"): theirs}

    def test_who_was_erased_while_the_run_went_on_does_not_come_back(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        show(world, 1)
        before_events(monkeypatch, world, world.privacy.erase)
        assert world.maintenance.run(always).settled == 0
        assert not world.results.results

    def test_a_fault_with_one_user_does_not_hold_up_the_others(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        show(world, 1, 2, 3, 4, 5)
        with monkeypatch.context() as patch:
            before_events(patch, world, lambda user: unavailable("Sessions") if user == "1" else 0)
            work = world.maintenance.run(always)
        assert (work.settled, work.archived, work.faults) == (4, 4, ["Sessions: SlowDown"])
        assert list(world.results.exposed) == [(LIVE, "1")]
        assert world.maintenance.run(always).settled == 1


class TestArchive:
    def perform(self, world: World) -> None:
        """Five records in replay, and three live."""
        for user in range(1, 6):
            world.experiments.perform(str(user))
        show(world, 1, 2, 3)

    def test_records_of_both_sides_are_archived_a_batch_at_a_time(self, world: World) -> None:
        self.perform(world)
        work = world.maintenance.run(always)
        assert (work.settled, work.archived, work.faults) == (3, 8, [])
        assert (batches(world, REPLAY), batches(world, LIVE)) == ([2, 2, 1], [2, 1])
        assert world.maintenance.run(always).archived == 0

    def test_records_of_an_epoch_that_runs_no_more_are_archived_too(self, world: World) -> None:
        self.perform(world)
        world.experiments.clear()
        assert world.maintenance.run(always).archived == 8

    def test_a_run_without_settling_archives_what_is_settled(self, world: World) -> None:
        self.perform(world)
        work = world.maintenance.run(always, settle=False)
        assert (work.settled, work.archived) == (0, 5)
        assert len(world.results.exposed) == 3

    def test_without_time_one_step_of_each_is_done(self, world: World) -> None:
        self.perform(world)
        work = world.maintenance.run(never)
        assert (work.settled, work.archived) == (2, 2)

    def test_a_run_leaves_off_in_time(self, world: World) -> None:
        self.perform(world)
        left = iter([True, False])
        assert world.maintenance.run(lambda: next(left, False), settle=False).archived == 4

    def test_what_somebody_else_is_at_is_left_to_them(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.perform(world)
        add, asked = world.archive.add, []

        def beaten(archived: Archived, records: Sequence[Record]) -> Archived | None:
            asked.append(archived.epoch)
            return None if archived.epoch == REPLAY else add(archived, records)

        monkeypatch.setattr(world.archive, "add", beaten)
        # Who has been asked so often would be asked for ever.
        left = iter(repeat(True, 50))
        assert world.maintenance.run(lambda: next(left)).archived == 3
        assert asked.count(REPLAY) == 3, "once beside each batch of the other, and once at the end"

    @pytest.mark.parametrize("broken", [REPLAY, LIVE])
    def test_a_fault_in_one_epoch_does_not_hold_up_the_others(
        self, world: World, monkeypatch: pytest.MonkeyPatch, broken: EpochId
    ) -> None:
        self.perform(world)
        read = world.archive.read

        def broken_read(epoch: EpochId) -> Archived:
            if epoch == broken:
                unavailable("results")
            return read(epoch)

        monkeypatch.setattr(world.archive, "read", broken_read)
        work = world.maintenance.run(always)
        assert work.archived == (3 if broken == REPLAY else 5)
        assert work.faults == [f"default, {broken.side}: results: SlowDown"]

    def test_a_fault_in_settling_does_not_hold_up_the_archive(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.perform(world)
        monkeypatch.setattr(world.results, "due", lambda _: unavailable("Exposures"))
        work = world.maintenance.run(always)
        assert (work.archived, work.faults) == (5, ["Exposures: SlowDown"])


class TestSweep:
    @pytest.fixture
    def swept(self, world: World, monkeypatch: pytest.MonkeyPatch) -> list[EpochId]:
        """What is swept from now on, one file each; the live side cannot be."""
        world.experiments.clear()
        epochs: list[EpochId] = []

        def sweep(epoch: EpochId, now: int) -> int:
            assert now == world.clock.time
            if epoch.side is Side.LIVE:
                unavailable("results")
            epochs.append(epoch)
            return 1

        monkeypatch.setattr(world.archive, "sweep", sweep)
        return epochs

    def test_of_running_epochs_each_side_is_swept(self, world: World, swept: list[EpochId]) -> None:
        ((default, _),) = world.stored_experiments.all_running()
        world.epochs.save(replace(default.experiment, name="another"), (), ())
        work = world.maintenance.run(always)
        assert {(it.experiment, it.side) for it in swept} == {
            (name, Side.REPLAY) for name in (DEFAULT_NAME, "another")
        }
        assert work.swept == 2
        assert work.faults == [f"{it}, live: results: SlowDown" for it in (DEFAULT_NAME, "another")]

    def test_only_while_there_is_time(self, world: World, swept: list[EpochId]) -> None:
        assert world.maintenance.run(never).swept == 0
        assert swept == []


class TestHandler:
    @pytest.fixture
    def handler(self, world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
        module = load_function("maintenance", monkeypatch).module
        monkeypatch.setattr(module, "maintenance", world.maintenance)
        return module.lambda_handler

    def test_a_run_settles_and_archives(self, handler: Any, world: World) -> None:
        show(world, 1)
        handler({"source": "aws.events"}, Context())
        assert not world.results.exposed
        assert batches(world, LIVE) == [1]

    def test_a_run_may_leave_outcomes_unsettled(self, handler: Any, world: World) -> None:
        world.experiments.perform("2")
        show(world, 1)
        handler({"source": "aws.events", "settle": False}, Context())
        assert len(world.results.exposed) == 1
        assert batches(world, REPLAY) == [1]

    def test_a_run_leaves_off_in_time(self, handler: Any, world: World) -> None:
        show(world, 1, 2, 3, 4, 5)
        handler({"source": "aws.events"}, Context(left=60_000))
        assert len(world.results.exposed) == 3

    def test_a_run_with_a_fault_fails_and_names_it(
        self, handler: Any, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        show(world, 1)
        monkeypatch.setattr(world.archive, "sweep", lambda *_: unavailable("results"))
        with pytest.raises(StoreUnavailable, match="default, replay: results: SlowDown"):
            handler({"source": "aws.events"}, Context())
        assert batches(world, LIVE) == [1]


@dataclass(frozen=True)
class Context(LambdaContext):
    """A context with so much time left, in milliseconds."""

    left: int = 600_000

    def get_remaining_time_in_millis(self) -> int:
        return self.left
