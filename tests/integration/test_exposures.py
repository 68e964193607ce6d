"""Results of experiments: what every store of them promises, and what it costs in DynamoDB."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from hashlib import sha256
from random import Random
from string import ascii_letters, digits
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.benchmarks.pending import requests_of
from segue.adapters import exposures
from segue.adapters.dynamodb import MAX_BATCH, write_batch
from segue.adapters.exposures import DynamoResultStore
from segue.domain.errors import StoreUnavailable, UnknownPosition, UserErased
from segue.domain.times import DAY
from segue.experiments.epoch import EpochId, Side
from segue.experiments.records import Exposure, Impression, Pending, Record, Result
from segue.ports import ResultStore
from tests.integration.conftest import Aws, resources

NOW = 1_662_000_000_000
EPOCH = EpochId("default", 1, Side.LIVE)
OTHERS = (EpochId("default", 1, Side.REPLAY), EpochId("default", 10, Side.LIVE))


@pytest.fixture(params=["moto", "local stack"])
def results(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ResultStore]:
    """Each store in turn, with nothing in it."""
    with resources(request, monkeypatch) as aws:
        yield store_on(aws)


on_moto = pytest.mark.parametrize("aws", ["moto"], indirect=True)
once = pytest.mark.parametrize("results", ["moto"], indirect=True)


def store_on(aws: Aws) -> DynamoResultStore:
    return DynamoResultStore(aws.dynamodb, aws.names["ExposuresTable"])


def random_id(place: int) -> str:
    """As services make them: of letters and digits, which nothing compresses."""
    return "".join(Random(place).choices(ascii_letters + digits, k=22))


def exposure(user: str, *tracks: str, created_at: int = NOW) -> Exposure:
    return Exposure(user, "A", "autoencoder", "bundle", tracks or ("t",), NOW, created_at)


def pending(user: str, *tracks: str, settles_at: int = NOW + DAY) -> Pending:
    return Pending(exposure(user, *tracks), settles_at)


def record(user: str, *tracks: str, settled_at: int = NOW + DAY) -> Record:
    return Record(exposure(user, *tracks), True, settled_at)


def note(results: ResultStore, users: Sequence[str], batch: int, epoch: EpochId = EPOCH) -> None:
    """Note the records that ``record`` makes for these users."""
    results.note_archived(epoch, [record(user) for user in users], batch)


def users_of(found: Sequence[Result]) -> list[str]:
    return [result.exposure.user_id for result in found]


def due(results: ResultStore, now: int) -> list[tuple[EpochId, Pending]]:
    return [pair for some in results.due(now) for pair in some]


def in_order(aws: Aws, users: Sequence[str]) -> list[str]:
    """As a list has them: by the places that were drawn for them."""
    return sorted(users, key=lambda user: str(raw(aws, user)["place"]["S"]))


def pages(results: ResultStore, limit: int) -> Iterator[tuple[Record, ...]]:
    after = None
    while True:
        page = results.records(EPOCH, limit=limit, after=after)
        yield page.records
        if page.next is None:
            return
        after = page.next


def listed(results: ResultStore, limit: int = 100) -> list[Record]:
    return [it for page in pages(results, limit) for it in page]


def erased(results: ResultStore, user: str) -> str | None:
    """Erase the user; the erasure, as a writer gets to know it."""
    for epoch in results.begin_erasure(user):
        results.seal(epoch, user)
        results.forget(epoch, user)
    with pytest.raises(UserErased) as refused:
        results.add(EPOCH, pending(user))
    return refused.value.erasure


class TestOneResultAUser:
    def test_the_first_stays_whatever_comes_later(self, results: ResultStore) -> None:
        assert results.find(EPOCH, "1") is None
        assert results.add(EPOCH, pending("1", "a")) == pending("1", "a")
        assert results.add(EPOCH, pending("1", "b")) == pending("1", "a")
        assert results.add(EPOCH, record("1", "b")) == pending("1", "a")
        assert results.find(EPOCH, "1") == pending("1", "a")

    def test_a_record_takes_its_exposures_place(self, results: ResultStore) -> None:
        results.add(EPOCH, pending("1"))
        assert results.settle(EPOCH, record("1")) == record("1")
        assert results.find(EPOCH, "1") == record("1")
        assert results.add(EPOCH, pending("1")) == record("1")

    def test_the_first_record_counts(self, results: ResultStore) -> None:
        results.add(EPOCH, pending("1"))
        results.settle(EPOCH, record("1"))
        assert results.settle(EPOCH, record("1", settled_at=NOW + 9 * DAY)) == record("1")
        assert results.find(EPOCH, "1") == record("1")

    def test_a_record_can_come_without_an_exposure_before(self, results: ResultStore) -> None:
        assert results.add(EPOCH, record("1")) == record("1") == results.find(EPOCH, "1")
        assert due(results, NOW + 99 * DAY) == []

    def test_a_record_of_another_exposure_is_not_stored(self, results: ResultStore) -> None:
        assert results.settle(EPOCH, record("1")) is None
        assert results.find(EPOCH, "1") is None
        results.add(EPOCH, pending("1", "a"))
        late = Record(exposure("1", "a", created_at=NOW - 1), True, NOW)
        for other in (record("1", "b"), late):
            assert results.settle(EPOCH, other) is None
        assert results.find(EPOCH, "1") == pending("1", "a")

    def test_epochs_and_sides_do_not_see_each_other(self, results: ResultStore) -> None:
        results.add(EPOCH, record("1"))
        for other in OTHERS:
            assert results.find(other, "1") is None
            assert results.records(other, limit=9).records == ()
            assert results.unarchived(other) == []
            assert results.add(other, pending("1", "b")) == pending("1", "b")
        assert listed(results) == [record("1")]

    def test_of_many_writers_one_wins_and_all_are_answered_with_it(
        self, results: ResultStore
    ) -> None:
        def write(writer: int) -> Result:
            made = record if writer % 2 else pending
            return results.add(EPOCH, made("1", str(writer)))

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(write, range(32)))
        assert [results.find(EPOCH, "1")] * 32 == answers

    def test_of_many_who_settle_one_wins_and_all_are_answered_with_it(
        self, results: ResultStore
    ) -> None:
        results.add(EPOCH, pending("1"))
        mine = [record("1", settled_at=NOW + writer) for writer in range(32)]
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda it: results.settle(EPOCH, it), mine))
        assert [results.find(EPOCH, "1")] * 32 == answers

    @once
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def test_all_that_it_holds_comes_back(self, results: ResultStore, data: st.DataObject) -> None:
        stored = data.draw(any_result)
        epoch = EpochId(uuid4().hex, 1, data.draw(st.sampled_from(Side)))
        assert results.add(epoch, stored) == stored
        found = results.find(epoch, stored.exposure.user_id)
        assert found == stored
        assert results.of_user(stored.exposure.user_id).count((epoch, stored)) == 1
        if isinstance(stored, Record):
            assert results.unarchived(epoch) == [stored]


texts = st.text(st.characters(codec="utf-8"), max_size=12)
times = st.integers(0, 9_999_999_999_999)
numbers = st.floats(allow_nan=False, allow_infinity=False)
any_exposure = st.builds(
    Exposure,
    user_id=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    group=texts,
    model=texts,
    bundle=texts,
    tracks=st.lists(texts, max_size=9).map(tuple),
    as_of=times,
    created_at=times,
    error=st.none() | texts,
    owners=st.lists(texts, max_size=9).map(tuple),
    before=st.none() | numbers,
    traits=st.dictionaries(texts, texts, max_size=3),
    figures=st.dictionaries(texts, numbers, max_size=3),
    propensities=st.dictionaries(texts, numbers, max_size=3),
    seen=st.dictionaries(texts, st.tuples(times, times), max_size=3),
)
any_result = st.builds(Pending, any_exposure, times) | st.builds(
    Record,
    any_exposure,
    st.booleans(),
    times,
    st.dictionaries(texts, st.integers(0, 20), max_size=3),
    st.dictionaries(texts, numbers, max_size=3),
)


impressions = st.builds(
    Impression,
    times,
    st.lists(texts, max_size=9).map(tuple),
    st.lists(texts, max_size=9).map(tuple),
)


class TestFurtherLists:
    LATER = Impression(NOW + 5, ("u", "t"))

    def test_stand_beside_the_first_and_stay_when_it_is_settled(self, results: ResultStore) -> None:
        results.add(EPOCH, pending("1"))
        shown = replace(pending("1"), later=(self.LATER,))
        for _ in range(2):
            assert results.show(EPOCH, pending("1"), self.LATER) == shown
        assert results.find(EPOCH, "1") == shown
        assert due(results, NOW + DAY) == [(EPOCH, shown)]
        settled = replace(record("1"), later=(self.LATER,), positions=(2, 3), reported=(3,))
        assert results.settle(EPOCH, settled) == settled == results.find(EPOCH, "1")

    def test_are_refused_once_it_is_settled(self, results: ResultStore) -> None:
        results.add(EPOCH, record("1"))
        assert results.show(EPOCH, pending("1"), self.LATER) == record("1")
        assert results.find(EPOCH, "1") == record("1")

    def test_are_refused_once_the_user_was_erased(self, results: ResultStore) -> None:
        assert results.show(EPOCH, pending("1"), self.LATER) is None
        results.add(EPOCH, pending("1"))
        results.seal(EPOCH, "1")
        assert results.show(EPOCH, pending("1"), self.LATER) is None
        assert results.find(EPOCH, "1") is None

    def test_are_not_put_beside_another_exposure(self, results: ResultStore) -> None:
        results.add(EPOCH, pending("1", "a"))
        assert results.show(EPOCH, pending("1", "b"), self.LATER) is None
        assert results.find(EPOCH, "1") == pending("1", "a")

    @once
    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(first=any_exposure, later=impressions)
    def test_come_back_as_they_went(
        self, results: ResultStore, first: Exposure, later: Impression
    ) -> None:
        epoch, made = EpochId(uuid4().hex, 1, Side.LIVE), Pending(first, NOW)
        results.add(epoch, made)
        shown = replace(made, later=(later,))
        assert results.show(epoch, made, later) == shown == results.find(epoch, first.user_id)

    @on_moto
    def test_take_one_request_and_little_room_where_they_are_much_the_same(self, aws: Aws) -> None:
        results, tracks = store_on(aws), [random_id(place) for place in range(21)]
        made = pending("1", *tracks[:20])
        results.add(EPOCH, made)
        before = size_of(raw(aws, "1"))
        with requests_of(aws.dynamodb) as asked:
            results.show(EPOCH, made, Impression(NOW + 5, (*tracks[1:20], tracks[20])))
        assert asked == {"UpdateItem": 1}
        assert size_of(raw(aws, "1")) - before < 100


class TestErasure:
    def test_what_was_read_before_is_not_written_after(self, results: ResultStore) -> None:
        results.begin_erasure("1")
        for made in (pending("1"), record("1")):
            for known in (None, "an erasure long ago"):
                with pytest.raises(UserErased):
                    results.add(EPOCH, made, known)
        assert results.find(EPOCH, "1") is None
        assert results.of_user("1") == []

    def test_whoever_knows_of_it_writes_after_it(self, results: ResultStore) -> None:
        known = erased(results, "1")
        for _ in range(2):
            assert results.add(EPOCH, pending("1"), known) == pending("1")
        assert results.settle(EPOCH, record("1")) == record("1")
        later = erased(results, "1")
        assert later != known
        with pytest.raises(UserErased) as refused:
            results.add(EPOCH, pending("1"), known)
        assert refused.value.erasure == later

    def test_of_one_user_does_not_touch_another(self, results: ResultStore) -> None:
        results.add(EPOCH, pending("1"))
        results.begin_erasure("11")
        assert results.add(EPOCH, pending("2")) == pending("2")
        assert results.of_user("1") == [(EPOCH, pending("1"))]

    def test_names_the_epochs_that_there_is_something_in(self, results: ResultStore) -> None:
        assert results.begin_erasure("1") == []
        known = erased(results, "1")
        results.add(EPOCH, pending("1"), known)
        results.add(OTHERS[0], record("1"), known)
        assert set(results.begin_erasure("1")) == {EPOCH, OTHERS[0]}
        results.seal(EPOCH, "1")
        assert set(results.begin_erasure("1")) == {EPOCH, OTHERS[0]}
        results.forget(EPOCH, "1")
        assert results.begin_erasure("1") == [OTHERS[0]]

    @pytest.mark.parametrize("made", [pending("1"), record("1")])
    def test_what_is_sealed_is_nowhere(self, results: ResultStore, made: Result) -> None:
        results.add(EPOCH, made)
        for _ in range(2):
            assert results.seal(EPOCH, "1") is None
        assert results.find(EPOCH, "1") is None
        assert results.settle(EPOCH, record("1")) is None
        assert results.of_user("1") == []
        assert due(results, NOW + 99 * DAY) == []
        assert listed(results) == []
        assert results.pending(EPOCH) == []
        assert results.unarchived(EPOCH) == []
        assert results.epochs_to_archive() == set()

    def test_tells_which_batch_of_the_archive_holds_the_record(self, results: ResultStore) -> None:
        for user in "12":
            results.add(EPOCH, record(user))
        note(results, ["1"], 7)
        assert results.seal(EPOCH, "1") == 7
        # Noted by a compaction that had read the record before it was sealed.
        assert results.seal(EPOCH, "2") is None
        note(results, ["2"], 8)
        assert results.seal(EPOCH, "2") == 8
        assert results.find(EPOCH, "2") is None

    def test_leaves_nothing(self, results: ResultStore) -> None:
        results.add(EPOCH, record("1"))
        erased(results, "1")
        note(results, ["1"], 7)
        for _ in range(2):
            assert results.seal(EPOCH, "1") is None
            results.forget(EPOCH, "1")
        assert results.begin_erasure("1") == []

    def test_forgets_only_what_is_sealed(self, results: ResultStore) -> None:
        results.add(EPOCH, pending("1"))
        results.forget(EPOCH, "1")
        assert results.find(EPOCH, "1") == pending("1")

    def test_halfway_lets_nobody_put_anything_into_its_way(self, results: ResultStore) -> None:
        results.add(EPOCH, record("1"))
        results.begin_erasure("1")
        results.seal(EPOCH, "1")
        with pytest.raises(UserErased) as refused:
            results.add(EPOCH, pending("1"))
        with pytest.raises(UserErased):
            results.add(EPOCH, pending("1"), refused.value.erasure)
        results.forget(EPOCH, "1")
        results.add(EPOCH, pending("1"), refused.value.erasure)

    def test_misses_no_writer_who_is_under_way(self, results: ResultStore) -> None:
        users = [str(user) for user in range(24)]

        def write(user: str) -> None:
            for epoch in (EPOCH, *OTHERS):
                try:
                    results.add(epoch, pending(user))
                    results.settle(epoch, record(user))
                except UserErased:
                    pass

        def erase(user: str) -> None:
            for epoch in results.begin_erasure(user):
                results.seal(epoch, user)
                results.forget(epoch, user)

        tasks = [(act, user) for user in users for act in (write, erase, write)]
        Random(7).shuffle(tasks)
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda task: task[0](task[1]), tasks))
        assert [results.of_user(user) for user in users] == [[]] * 24
        assert due(results, NOW + 99 * DAY) == []
        assert listed(results) == []


class TestDue:
    def test_is_what_is_pending_and_can_be_settled_by_now(self, results: ResultStore) -> None:
        for user in range(4):
            results.add(EPOCH, pending(str(user), settles_at=NOW + user))
        results.add(OTHERS[0], pending("1", settles_at=NOW))
        results.add(OTHERS[0], record("2"))
        assert due(results, NOW - 1) == []
        found = due(results, NOW + 2)
        assert sorted((epoch.side, it.exposure.user_id) for epoch, it in found) == [
            (Side.LIVE, "0"),
            (Side.LIVE, "1"),
            (Side.LIVE, "2"),
            (Side.REPLAY, "1"),
        ]
        results.settle(EPOCH, record("0"))
        results.seal(EPOCH, "1")
        assert (EPOCH, pending("2", settles_at=NOW + 2)) in due(results, NOW + 2)
        assert len(due(results, NOW + 2)) == 2

    def test_comes_a_part_at_a_time_while_it_is_being_settled(self, results: ResultStore) -> None:
        for user in range(104):
            results.add(EPOCH, pending(str(user)))
        settled = 0
        for some in results.due(NOW + DAY):
            assert 0 < len(some) <= 100
            settled += len([results.settle(it, record(each.exposure.user_id)) for it, each in some])
        assert settled == len(listed(results)) == 104
        assert due(results, NOW + DAY) == []

    @on_moto
    def test_begins_at_another_place_each_time(self, aws: Aws) -> None:
        for user in range(24):
            store_on(aws).add(EPOCH, pending(str(user)))
        firsts = {due(store_on(aws), NOW + DAY)[0][1].exposure.user_id for _ in range(12)}
        assert len(firsts) > 1

    def test_costs_what_is_due_and_not_what_is_pending(self, aws: Aws) -> None:
        results = store_on(aws)
        for user in range(10):
            results.add(EPOCH, pending(str(user)))
        with requests_of(aws.dynamodb) as few:
            assert len(due(results, NOW + DAY)) == 10
        results.add(EPOCH, pending("later", settles_at=NOW + 2 * DAY))
        repeat(aws, "later", 3_000)
        with requests_of(aws.dynamodb) as many:
            assert len(due(results, NOW + DAY)) == 10
        assert few == many == {"Query": 16, "BatchGetItem": 1}


class TestRecords:
    def test_are_listed_in_one_order_however_long_the_pages(self, results: ResultStore) -> None:
        users = [str(user) for user in range(40)]
        for user in users:
            results.add(EPOCH, record(user))
        found = list(pages(results, 9))
        assert [len(page) for page in found] == [9, 9, 9, 9, 4]
        listing = users_of(results.records(EPOCH, limit=40).records)
        assert sorted(listing) == sorted(users)
        assert [user for page in found for user in users_of(page)] == listing
        assert results.records(EPOCH, limit=40).next is None

    def test_are_none_while_all_are_pending(self, results: ResultStore) -> None:
        for user in range(20):
            results.add(EPOCH, pending(str(user)))
        assert listed(results, 3) == []
        for user in range(0, 20, 2):
            results.settle(EPOCH, record(str(user)))
        settled = [str(user) for user in range(0, 20, 2)]
        assert sorted(users_of(listed(results, 3))) == sorted(settled)

    def test_are_each_listed_once_though_some_come_and_go_meanwhile(
        self, results: ResultStore
    ) -> None:
        users = [str(user) for user in range(42)]
        staying, leaving, coming = users[::3], users[1::3], users[2::3]
        for user in staying + leaving:
            results.add(EPOCH, record(user))
        found: list[str] = []
        changes = zip(leaving, coming, strict=True)
        for page in pages(results, 4):
            found += users_of(page)
            for gone, new in [change for change, _ in zip(changes, range(3), strict=False)]:
                erased(results, gone)
                results.add(EPOCH, pending(new))
                results.settle(EPOCH, record(new))
            note(results, found, 1)
        assert len(set(found)) == len(found)
        assert set(found) >= set(staying)

    def test_go_on_behind_a_user_who_is_gone(self, results: ResultStore) -> None:
        for user in "123456":
            results.add(EPOCH, record(user))
        users = users_of(listed(results))
        page = results.records(EPOCH, limit=3)
        erased(results, users[2])
        erased(results, users[3])
        following = results.records(EPOCH, limit=3, after=page.next)
        assert users_of(following.records) == users[4:]

    @once
    @pytest.mark.parametrize("after", ["", "x", "../../secret", "0" * 64, "f" * 80])
    def test_a_made_up_position_is_refused(self, results: ResultStore, after: str) -> None:
        results.add(EPOCH, record("1"))
        with pytest.raises(UnknownPosition):
            results.records(EPOCH, limit=10, after=after)

    @once
    def test_a_position_of_another_list_is_refused(self, results: ResultStore) -> None:
        for user in "123":
            results.add(EPOCH, record(user))
        position = results.records(EPOCH, limit=2).next
        for other in OTHERS:
            with pytest.raises(UnknownPosition):
                results.records(other, limit=2, after=position)

    @on_moto
    def test_a_page_ends_before_an_answer_would_be_too_large(self, aws: Aws) -> None:
        results = store_on(aws)
        users = [str(user) for user in range(9)]
        for user in users:
            results.add(EPOCH, record(user, *["t" * 250] * 2_000))
        found = list(pages(results, 100))
        assert sorted(user for page in found for user in users_of(page)) == users
        assert [len(page) for page in found if page] == [4, 4, 1]

    @on_moto
    def test_a_page_of_nothing_but_exposures_ends_and_the_next_goes_on(
        self, aws: Aws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(exposures, "_USERS", 5)
        results = store_on(aws)
        for user in range(12):
            results.add(EPOCH, pending(str(user)))
        users = in_order(aws, [str(user) for user in range(12)])
        results.settle(EPOCH, record(users[-1]))
        found = list(pages(results, 5))
        assert [users_of(page) for page in found] == [[], [], [users[-1]]]
        # The thousand first users: some are pending, the others have records.
        results.settle(EPOCH, record(users[1]))
        assert users_of(results.pending(EPOCH)) == [users[0], *users[2:5]]


def test_pending_are_those_without_an_outcome(results: ResultStore) -> None:
    for user in "123456":
        results.add(EPOCH, pending(user))
        results.add(OTHERS[0], record(user))
    results.settle(EPOCH, record("3"))
    assert sorted(users_of(results.pending(EPOCH))) == [*"12456"]
    assert results.pending(OTHERS[0]) == []


class TestArchiving:
    def test_what_is_noted_is_left_to_be_archived_no_more(self, results: ResultStore) -> None:
        users = [str(user) for user in range(40)]
        for user in users:
            results.add(EPOCH, record(user))
        results.add(EPOCH, pending("pending"))
        assert sorted(users_of(results.unarchived(EPOCH))) == sorted(users)
        for _ in range(2):
            note(results, users[:30], 1)
        assert sorted(users_of(results.unarchived(EPOCH))) == sorted(users[30:])
        note(results, users[30:], 2)
        assert results.unarchived(EPOCH) == []
        assert len(listed(results)) == 40
        assert results.find(EPOCH, "0") == record("0")

    def test_what_is_pending_is_not_noted(self, results: ResultStore) -> None:
        results.add(EPOCH, pending("1"))
        note(results, ["1"], 1)
        assert len(due(results, NOW + DAY)) == 1
        results.settle(EPOCH, record("1"))
        assert results.unarchived(EPOCH) == [record("1")]

    def test_names_the_epochs_that_have_something_left(self, results: ResultStore) -> None:
        assert results.epochs_to_archive() == set()
        for user in range(20):
            results.add(EPOCH, pending(str(user)))
            for other in OTHERS:
                results.add(other, record(str(user)))
        assert results.epochs_to_archive() == set(OTHERS)
        results.settle(EPOCH, record("7"))
        assert results.epochs_to_archive() == {EPOCH, *OTHERS}
        note(results, [str(user) for user in range(20)], 1, OTHERS[0])
        assert results.epochs_to_archive() == {EPOCH, OTHERS[1]}

    def test_names_epochs_without_reading_all_that_is_left_of_them(self, aws: Aws) -> None:
        results = store_on(aws)
        for epoch in (EPOCH, *OTHERS):
            results.add(epoch, record("1"))
        repeat(aws, "1", 600)
        with requests_of(aws.dynamodb) as asked:
            assert results.epochs_to_archive() == {EPOCH, *OTHERS}
        assert asked == {"Query": 16 + 3}

    @on_moto
    def test_takes_as_many_of_each_partition_at_a_time(
        self, aws: Aws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(exposures, "_UNARCHIVED", 1)
        results = store_on(aws)
        left = {str(user) for user in range(24)}
        for user in left:
            results.add(EPOCH, record(user))
        while left:
            queues = {user: raw(aws, user)["queue"]["S"] for user in left}
            found = users_of(results.unarchived(EPOCH))
            assert sorted(queues[user] for user in found) == sorted(set(queues.values()))
            note(results, found, 1)
            left -= set(found)
        assert results.unarchived(EPOCH) == []


class TestOfUser:
    def test_are_those_of_all_epochs(self, results: ResultStore) -> None:
        results.add(EPOCH, pending("1"))
        results.add(OTHERS[0], record("1"))
        results.add(OTHERS[0], record("2"))
        assert dict(results.of_user("1")) == {EPOCH: pending("1"), OTHERS[0]: record("1")}
        assert results.of_user("3") == []

    def test_take_one_request_however_many_epochs_there_are(self, aws: Aws) -> None:
        results = store_on(aws)
        for number in range(40):
            results.add(EpochId("default", number, Side.REPLAY), record("2"))
        results.add(EPOCH, record("1"))
        with requests_of(aws.dynamodb) as asked:
            assert results.of_user("1") == [(EPOCH, record("1"))]
        assert asked == {"Query": 1}


@dataclass
class Model:
    """What the calls mean for the results of one epoch, by user."""

    stored: dict[str, Result] = field(default_factory=dict)
    sealed: dict[str, int | None] = field(default_factory=dict)
    archived: dict[str, int] = field(default_factory=dict)

    def add(self, new: Result) -> Result | None:
        """None where it is refused."""
        user = new.exposure.user_id
        return None if user in self.sealed else self.stored.setdefault(user, new)

    def settle(self, outcome: Record) -> Record | None:
        user = outcome.exposure.user_id
        there = self.stored.get(user)
        if there is None or there.exposure != outcome.exposure:
            return None
        if isinstance(there, Record):
            return there
        self.stored[user] = replace(outcome, later=there.later)
        return outcome

    def show(self, shown: Pending, impression: Impression) -> Result | None:
        user = shown.exposure.user_id
        there = self.stored.get(user)
        if there is None or there.exposure != shown.exposure:
            return None
        if isinstance(there, Pending) and impression not in there.later:
            there = self.stored[user] = replace(there, later=(*there.later, impression))
        return there

    def note(self, outcome: Record, batch: int) -> None:
        user = outcome.exposure.user_id
        there = self.stored.get(user)
        if user in self.sealed:
            self.sealed[user] = batch
        elif isinstance(there, Record) and there.exposure == outcome.exposure:
            self.archived[user] = batch

    def seal(self, user: str) -> int | None:
        if self.stored.pop(user, None):
            self.sealed[user] = self.archived.pop(user, None)
        return self.sealed.get(user)

    def forget(self, user: str) -> None:
        self.sealed.pop(user, None)

    @property
    def records(self) -> set[Record]:
        return {it for it in self.stored.values() if isinstance(it, Record)}

    @property
    def pending(self) -> set[Pending]:
        return {it for it in self.stored.values() if isinstance(it, Pending)}

    @property
    def unarchived(self) -> set[Record]:
        return {it for it in self.records if it.exposure.user_id not in self.archived}


Call = tuple[str, str, str, int]
calls = st.tuples(
    st.sampled_from(["add", "add a record", "show", "settle", "note", "seal", "forget"]),
    st.sampled_from("123"),
    st.sampled_from("ab"),
    st.integers(1, 9),
)


def check(results: ResultStore, model: Model, epoch: EpochId, call: Call) -> None:
    """Call both; they answer the same."""
    name, user, track, batch = call
    if name == "settle":
        outcome = record(user, track)
        assert results.settle(epoch, outcome) == model.settle(outcome)
    elif name == "show":
        shown, impression = pending(user, track), Impression(NOW + batch, ("a", "later"))
        assert results.show(epoch, shown, impression) == model.show(shown, impression)
    elif name == "note":
        outcome = record(user, track)
        results.note_archived(epoch, [outcome], batch)
        model.note(outcome, batch)
    elif name == "seal":
        assert results.seal(epoch, user) == model.seal(user)
    elif name == "forget":
        results.forget(epoch, user)
        model.forget(user)
    else:
        new = pending(user, track) if name == "add" else record(user, track)
        expected = model.add(new)
        with nullcontext() if expected else pytest.raises(UserErased):
            assert results.add(epoch, new) == expected


@once
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(calls, max_size=12))
def test_whatever_is_called_in_whatever_order_the_store_answers_as_the_model(
    results: ResultStore, calls: list[Call]
) -> None:
    # Nothing is left of the example before.
    epoch, model = EpochId(uuid4().hex, 1, Side.LIVE), Model()
    for call in calls:
        check(results, model, epoch, call)
        assert results.find(epoch, call[1]) == model.stored.get(call[1])
    assert set(results.records(epoch, limit=9).records) == model.records
    assert set(results.pending(epoch)) == model.pending
    assert {it for where, it in due(results, NOW + DAY) if where == epoch} == model.pending
    assert set(results.unarchived(epoch)) == model.unarchived
    assert (epoch in results.epochs_to_archive()) == bool(model.unarchived)
    for user in "123":
        mine = [result for where, result in results.of_user(user) if where == epoch]
        assert mine == [it for it in [model.stored.get(user)] if it]


@on_moto
class TestWhatAwsMayDo:
    @pytest.fixture(autouse=True)
    def no_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("segue.adapters.exposures.time.sleep", lambda _: None)

    def test_a_write_whose_answer_was_lost_is_found_by_the_next_try(
        self, aws: Aws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        results, later = store_on(aws), Impression(NOW + 5, ("t", "u"))
        for call, answer in (
            (lambda: results.add(EPOCH, pending("1")), pending("1")),
            (
                lambda: results.show(EPOCH, pending("1"), later),
                replace(pending("1"), later=(later,)),
            ),
            (lambda: results.settle(EPOCH, record("1")), replace(record("1"), later=(later,))),
            (lambda: note(results, ["1"], 5), None),
            (lambda: results.seal(EPOCH, "1"), 5),
            (lambda: results.forget(EPOCH, "1"), None),
        ):
            with lost_answers(aws), pytest.raises(StoreUnavailable):
                call()
            assert call() == answer
        assert results.begin_erasure("1") == []

    def test_a_transaction_that_another_one_was_in_the_way_of_is_tried_again(
        self, aws: Aws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        results = store_on(aws)
        cancelled = cancellation("None", "TransactionConflict")
        conflict = failing("TransactionConflictException")
        fail_first(aws, monkeypatch, "transact_write_items", 3, cancelled)
        fail_first(aws, monkeypatch, "update_item", 3, conflict)
        fail_first(aws, monkeypatch, "put_item", 3, conflict)
        assert results.add(EPOCH, pending("1")) == pending("1")
        assert results.settle(EPOCH, record("1")) == record("1")
        assert results.begin_erasure("1") == [EPOCH]

    def test_endless_conflicts_are_given_up(
        self, aws: Aws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cancelled = cancellation("TransactionConflict", "ThrottlingError")
        fail_first(aws, monkeypatch, "transact_write_items", 99, cancelled)
        with pytest.raises(StoreUnavailable, match="too many writers"):
            store_on(aws).add(EPOCH, pending("1"))

    def test_a_transaction_that_can_never_succeed_is_not_tried_again(
        self, aws: Aws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cancelled = cancellation("ValidationError", "None")
        fail_first(aws, monkeypatch, "transact_write_items", 1, cancelled)
        with pytest.raises(StoreUnavailable, match="TransactionCanceled"):
            store_on(aws).add(EPOCH, pending("1"))

    @pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "AccessDenied"])
    def test_what_is_refused_is_unavailable_and_says_why(
        self, aws: Aws, monkeypatch: pytest.MonkeyPatch, code: str
    ) -> None:
        results = store_on(aws)
        for name in ("query", "get_item", "batch_get_item", "update_item", "delete_item"):
            fail_first(aws, monkeypatch, name, 99, failing(code))
        for call in (
            lambda: results.find(EPOCH, "1"),
            lambda: results.settle(EPOCH, record("1")),
            lambda: due(results, NOW),
            lambda: results.records(EPOCH, limit=1),
            lambda: results.unarchived(EPOCH),
            lambda: results.epochs_to_archive(),
            lambda: results.of_user("1"),
            lambda: results.forget(EPOCH, "1"),
        ):
            with pytest.raises(StoreUnavailable, match=code):
                call()

    def test_what_a_throttled_table_leaves_out_is_read_again(
        self, aws: Aws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        results = store_on(aws)
        for user in range(40):
            results.add(EPOCH, pending(str(user)))
        read = aws.dynamodb.batch_get_item

        def half(RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
            ((table, request),) = RequestItems.items()
            middle = (len(request["Keys"]) + 1) // 2
            first: Any = {table: {**request, "Keys": request["Keys"][:middle]}}
            rest = {table: {**request, "Keys": left}} if (left := request["Keys"][middle:]) else {}
            return {**read(RequestItems=first), "UnprocessedKeys": rest}

        monkeypatch.setattr(aws.dynamodb, "batch_get_item", half)
        assert len(due(results, NOW + DAY)) == 40

        def none(RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
            return {"Responses": {}, "UnprocessedKeys": RequestItems}

        monkeypatch.setattr(aws.dynamodb, "batch_get_item", none)
        with pytest.raises(StoreUnavailable, match="after throttling"):
            results.pending(EPOCH)

    @pytest.mark.parametrize("damage", [{"exposure": {"B": b"?"}}, {"settles_at": None}])
    def test_what_cannot_be_read_stops_nothing_else_and_is_named_without_the_user(
        self, aws: Aws, damage: dict[str, Any]
    ) -> None:
        results = store_on(aws)
        for user in ("somebody", "else", "1"):
            results.add(EPOCH, pending(user))
        item = {**raw(aws, "somebody"), **damage}
        item = {name: value for name, value in item.items() if value}
        aws.dynamodb.put_item(TableName=aws.names["ExposuresTable"], Item=item)
        found = results.due(NOW + DAY)
        assert sorted(users_of([it for _, it in next(found)])) == ["1", "else"]
        with pytest.raises(StoreUnavailable, match=item["place"]["S"]) as said:
            next(found)
        for told in ("somebody", sha256(b"somebody").hexdigest()):
            assert told not in str(said.value)
        assert "default/live/1" in str(said.value)
        with pytest.raises(StoreUnavailable, match=item["place"]["S"]):
            results.find(EPOCH, "somebody")

    def test_what_an_index_names_and_what_decides_is_read_consistently(
        self, aws: Aws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        results = store_on(aws)
        results.add(EPOCH, record("1"))
        call, inconsistent = aws.dynamodb._make_api_call, []  # type: ignore[attr-defined]

        def noted(operation: str, asked: Any) -> Any:
            (request,) = asked.get("RequestItems", {"": asked}).values()
            if not request.get("ConsistentRead"):
                inconsistent.append((operation, asked.get("IndexName")))
            return call(operation, asked)

        monkeypatch.setattr(aws.dynamodb, "_make_api_call", noted)
        results.find(EPOCH, "1")
        results.of_user("1")
        due(results, NOW)
        results.unarchived(EPOCH)
        results.records(EPOCH, limit=1)
        results.pending(EPOCH)
        assert set(inconsistent) == {("Query", "work"), ("Query", "epochs")}

    def test_an_index_that_is_behind_names_what_is_not_there(
        self, aws: Aws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        results = store_on(aws)
        for user in "123456":
            results.add(EPOCH, pending(user))
        users = in_order(aws, "123456")
        for user in users[3:]:
            results.settle(EPOCH, record(user))
        query, before = aws.dynamodb.query, [raw(aws, user) for user in users]

        def behind(**asked: Any) -> Any:
            wanted = asked.get("ExpressionAttributeValues", {}).values()
            entries = [it for it in before if it["queue"] in wanted or it["part"] in wanted]
            return {"Items": entries} if "IndexName" in asked else query(**asked)

        results.settle(EPOCH, record(users[0]))
        note(results, users[3:4], 1)
        erased(results, users[4])
        # Who came back since, with an exposure that is not due yet.
        results.add(EPOCH, pending(users[1], settles_at=NOW + 2 * DAY), erased(results, users[1]))
        monkeypatch.setattr(aws.dynamodb, "query", behind)
        assert users_of([it for _, it in due(results, NOW + DAY)]) == [users[2]]
        assert users_of(results.unarchived(EPOCH)) == [users[5]]
        assert users_of(results.pending(EPOCH)) == users[1:3]
        assert users_of(listed(results)) == [users[0], users[3], users[5]]


@on_moto
class TestCost:
    """A write of up to 1,024 bytes is one unit, a read of up to 4,096."""

    USER = "6f1c1f0e-8a55-4d0c-9c86-0b7a1a6f2e11"
    TRACKS = tuple(random_id(place) for place in range(40))
    # Of paired lists as many tracks are kept once more; with ids as long, that is a second unit.
    SHORT = tuple(track[:10] for track in TRACKS)
    PLAIN = Exposure(
        USER,
        "A",
        "autoencoder",
        "20240901T101112Z-3fa8c1d2e4b5",
        TRACKS[:20],
        NOW,
        NOW + 12_345,
        before=0.34782608695652173,
        traits={"premium": "no", "listener": "returning"},
        figures={"latency": 12.345678901234567, "diversity": 0.7312345678901234},
    )

    @pytest.mark.parametrize(
        "made",
        [
            PLAIN,
            replace(PLAIN, group="A+B", model="autoencoder+classifier", owners=("A", "B") * 10),
            replace(
                PLAIN,
                propensities={"A": 0.1234567890123456, "B": 0.8765432109876544},
                seen={"A": (12_345, 23_456), "B": (13_579, 24_680)},
            ),
            replace(PLAIN, tracks=(), error="the classifier gave up: an error of some length"),
            replace(PLAIN, tracks=SHORT[:20], lists={"A": SHORT[:20], "B": SHORT[20:]}),
        ],
        ids=["fixed", "interleaved", "adaptive", "failed", "paired"],
    )
    def test_a_result_of_twenty_tracks_is_written_as_one_unit(
        self, aws: Aws, made: Exposure
    ) -> None:
        results = store_on(aws)
        results.add(EPOCH, Pending(made, NOW + 30 * DAY))
        sizes = [size_of(raw(aws, self.USER))]
        figures = {
            "full_plays": 1234.0,
            "listening_time": 4321.123,
            "added_success": 1.0,
            "skip_rate": 0.2857142857142857,
        }
        successes = dict.fromkeys(made.lists, True)
        credit = dict.fromkeys(made.owners, 10)
        outcome = Record(made, True, NOW, credit, figures, successes=successes)
        results.settle(EPOCH, outcome)
        sizes.append(size_of(raw(aws, self.USER)))
        results.note_archived(EPOCH, [outcome], 12_345)
        sizes.append(size_of(raw(aws, self.USER)))
        assert max(sizes) <= 1_024

    def test_what_becomes_of_a_result_does_not_move_it_in_the_list_of_its_epoch(
        self, aws: Aws
    ) -> None:
        results = store_on(aws)
        results.add(EPOCH, pending("1"))
        names = ("user_id", "epoch", "part", "place")
        keys = {name: raw(aws, "1")[name] for name in names}
        results.settle(EPOCH, record("1"))
        note(results, ["1"], 1)
        item = raw(aws, "1")
        assert {name: item[name] for name in names} == keys
        assert not {"queue", "turn"} & item.keys()


def raw(aws: Aws, user: str) -> dict[str, Any]:
    key: Any = {"user_id": {"S": user}, "epoch": {"S": "default/live/1"}}
    found = aws.dynamodb.get_item(TableName=aws.names["ExposuresTable"], Key=key)
    return dict(found["Item"])


def size_of(item: dict[str, Any]) -> int:
    """As DynamoDB counts it: names and values; of numbers, every two digits."""
    return sum(len(name) + _size(**value) for name, value in item.items())


def _size(S: str = "", B: bytes = b"", N: str = "", L: list[Any] | None = None) -> int:  # noqa: N803
    elements = 0 if L is None else 3 + sum(1 + _size(**it) for it in L)
    return len(S.encode()) + len(B) + (len(N) // 2 + 2 if N else 0) + elements


def repeat(aws: Aws, user: str, count: int) -> None:
    """Put the user's item so many times more, for others, without the adapter's own writes."""
    item = raw(aws, user)
    made = [{**item, "user_id": {"S": f"more {place}"}} for place in range(count)]
    for start in range(0, count, MAX_BATCH):
        batch = [{"PutRequest": {"Item": each}} for each in made[start : start + MAX_BATCH]]
        write_batch(aws.dynamodb, aws.names["ExposuresTable"], batch)


@contextmanager
def lost_answers(aws: Aws) -> Iterator[None]:
    """All that is asked is done, and nobody is told."""
    call = aws.dynamodb._make_api_call  # type: ignore[attr-defined]

    def lost(operation: str, asked: Any) -> Any:
        call(operation, asked)
        raise ReadTimeoutError(endpoint_url="")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws.dynamodb, "_make_api_call", lost)
        yield


def failing(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Operation")


def cancellation(*codes: str) -> ClientError:
    """A transaction that was given up, and why, part by part."""
    response: Any = {
        "Error": {"Code": "TransactionCanceledException", "Message": "no"},
        "CancellationReasons": [{"Code": code} for code in codes],
    }
    return ClientError(response, "TransactWriteItems")


def fail_first(
    aws: Aws, patch: pytest.MonkeyPatch, name: str, count: int, error: ClientError
) -> None:
    """Let the first ``count`` calls of this name fail."""
    call, errors = getattr(aws.dynamodb, name), iter([error] * count)

    def wrapped(**asked: Any) -> Any:
        for fault in errors:
            raise fault
        return call(**asked)

    patch.setattr(aws.dynamodb, name, wrapped)
