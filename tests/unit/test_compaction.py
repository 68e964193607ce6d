"""Records move into the archive, each of them once, whatever is stopped or goes on meanwhile."""

from collections.abc import Callable, Iterable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.memory import (
    MemoryArchive,
    MemoryExperimentStore,
    MemoryResultStore,
    MemorySessionStore,
    MemoryUserStore,
)
from segue.domain.errors import StoreUnavailable
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import DEFAULT
from segue.experiments.records import Exposure, Record
from segue.experiments.tally import Tally
from segue.reporting.reports import Reports
from segue.services.compaction import Compactor
from segue.services.privacy import Privacy
from tests.unit.steps import Countdown, Killed, Pause, Stepped, interleave

RUNNING = Epoch(DEFAULT, "bundle")
EPOCH = RUNNING.id
USERS = "12345"
ERASED = "3"
# More than a compaction of these users has, two at a time.
STEPS = range(20)
# So many that it shows when all of them are in one arm.
CROWD = tuple(map(str, range(12)))


def record(user_id: str, created_at: int = 0) -> Record:
    exposure = Exposure(user_id, "A", "model", "bundle", ("track",), 0, created_at)
    return Record(exposure, successful=int(user_id) % 3 == 0, settled_at=0)


class Service:
    """Results of some users, and what can be done with them, with a pause before each step."""

    def __init__(self, users: Iterable[str] = USERS, page: int = 2) -> None:
        self.experiments = MemoryExperimentStore()
        self.experiments.save(RUNNING, None)
        self.results, self.archive = MemoryResultStore(page=page), MemoryArchive()
        for user_id in users:
            self.results.add(EPOCH, record(user_id))

    def compact(self, pause: Pause = lambda: None) -> int:
        return Compactor(*self._stepped(pause)).compact(EPOCH)

    def compact_all(self, pause: Pause = lambda: None) -> None:
        while self.compact(pause):
            pass

    def erase(self, pause: Pause = lambda: None, user_id: str = ERASED) -> None:
        sessions, users = MemorySessionStore(), MemoryUserStore()
        Privacy(sessions, users, *self._stepped(pause)).erase(user_id)

    def counted(self, pause: Pause = lambda: None) -> int:
        """How many users reports count."""
        reports = Reports(self.experiments, *self._stepped(pause))
        (mismatch,) = reports.mismatches()
        users: int = mismatch["users"]["A"]
        return users

    def holds(self, users: Iterable[str]) -> None:
        """Each of these users' records is in one batch, the one that is noted, and no other."""
        batches = self.archive.batches.get(EPOCH, [])
        held = [(user, place) for place, batch in enumerate(batches, start=1) for user in batch]
        expected = [(user, self.results.batches[EPOCH, user]) for user in users]
        assert sorted(held) == sorted(expected)
        archived = self.archive.read(EPOCH)
        assert archived.noted
        assert archived.tally == Tally.of(map(record, users))
        assert {user for _, user in self.results.results} == set(users)

    def _stepped(self, pause: Pause) -> tuple[Stepped, Stepped]:
        return Stepped(self.results, pause), Stepped(self.archive, pause)


def killed(steps: int, work: Callable[[Pause], object]) -> bool:
    """Whether the work was stopped after so many steps; else it was done by then."""
    try:
        work(Countdown(steps))
    except Killed:
        return True
    return False


def test_records_are_archived_a_batch_at_a_time() -> None:
    service = Service()
    assert [service.compact() for _ in range(4)] == [2, 2, 1, 0]
    assert [set(batch) for batch in service.archive.batches[EPOCH]] == [
        {"1", "2"},
        {"3", "4"},
        {"5"},
    ]
    service.holds(USERS)


def test_nothing_is_archived_where_nothing_is_settled() -> None:
    service = Service(users="")
    assert service.compact() == 0
    assert service.archive.read(EPOCH).tag is None


class TestKilled:
    @pytest.mark.parametrize("steps", STEPS)
    def test_a_compaction_leaves_each_record_to_be_archived_once(self, steps: int) -> None:
        service = Service()
        assert killed(steps, service.compact_all) == (steps < 19)
        service.compact_all()
        service.holds(USERS)

    @pytest.mark.parametrize("steps", STEPS)
    def test_a_compaction_changes_no_count(self, steps: int) -> None:
        service = Service(CROWD, page=1_000)
        killed(steps, service.compact_all)
        assert service.counted() == len(CROWD)

    @pytest.mark.parametrize("first", STEPS)
    def test_so_does_one_that_mends_what_another_left(self, first: int) -> None:
        for second in STEPS:
            service = Service()
            killed(first, service.compact_all)
            killed(second, service.compact_all)
            service.compact_all()
            service.holds(USERS)

    @pytest.mark.parametrize("compacted", STEPS)
    def test_an_erasure_is_whole_once_it_is_repeated(self, compacted: int) -> None:
        others = set(USERS) - {ERASED}
        for erased in range(8):
            service = Service()
            killed(compacted, service.compact_all)
            killed(erased, service.erase)
            service.compact_all()
            service.erase()
            service.compact_all()
            service.holds(others)


class TestAtOnce:
    """Whatever somebody else does in between, each record that is left is archived once."""

    @pytest.mark.parametrize("step", STEPS)
    def test_a_compaction_within_a_compaction(self, step: int) -> None:
        service = Service()
        interleave([0] * step + [1] * 100, service.compact_all, service.compact_all)
        service.compact_all()
        service.holds(USERS)

    @pytest.mark.parametrize("first", STEPS)
    @pytest.mark.parametrize("user_id", USERS)
    def test_a_compaction_whose_rest_falls_within_an_erasure(
        self, first: int, user_id: str
    ) -> None:
        for second in range(9):
            service = Service()
            interleave(
                [0] * first + [1] * second + [0] * 100,
                service.compact_all,
                lambda pause, of=service: of.erase(pause, user_id),
            )
            service.compact_all()
            service.holds(set(USERS) - {user_id})

    @pytest.mark.parametrize("step", STEPS)
    def test_who_was_erased_and_comes_back_is_archived_again(self, step: int) -> None:
        service = Service()

        def come_back(pause: Pause) -> None:
            service.erase(pause)
            erasure = service.results.erasures[ERASED]
            pause()
            service.results.add(EPOCH, record(ERASED, created_at=1), erasure)

        interleave([0] * step + [1] * 100, service.compact_all, come_back)
        service.compact_all()
        service.holds(USERS)

    @given(st.lists(st.integers(0, 3), max_size=80), st.integers(1, 3))
    def test_two_of_each_in_any_order(self, order: list[int], page: int) -> None:
        service = Service(page=page)
        again = "5"
        interleave(
            order,
            service.compact_all,
            service.compact_all,
            service.erase,
            lambda pause: service.erase(pause, again),
        )
        service.compact_all()
        service.holds(set(USERS) - {ERASED, again})


class TestReports:
    @given(st.lists(st.integers(0, 2), max_size=60))
    def test_count_each_record_once_while_records_are_archived(self, order: list[int]) -> None:
        service, counts = Service(CROWD, page=1_000), []
        interleave(
            order,
            lambda pause: counts.append(service.counted(pause)),
            service.compact_all,
            service.compact_all,
        )
        assert counts == [len(CROWD)]

    @given(st.lists(st.integers(0, 2), max_size=60))
    def test_miss_nobody_but_who_is_erased(self, order: list[int]) -> None:
        service, counts = Service(CROWD, page=1_000), []
        interleave(
            order,
            lambda pause: counts.append(service.counted(pause)),
            service.compact_all,
            service.erase,
        )
        assert counts[0] in {len(CROWD) - 1, len(CROWD)}

    def test_give_up_where_the_archive_never_stands_still(self) -> None:
        service, calls = Service(CROWD, page=1_000), count()

        def change() -> None:
            assert next(calls) < 100
            service.archive.erase(EPOCH, "nobody", None)

        with pytest.raises(StoreUnavailable, match="archived anew"):
            service.counted(change)
