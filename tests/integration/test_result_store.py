"""What every result store promises beyond records: counts, pending exposures, erasure."""

from dataclasses import replace
from typing import Any

import pytest

from segue.adapters.archive import S3Archive
from segue.adapters.objects import Objects
from segue.domain.errors import UserErased
from segue.domain.times import DAY
from segue.experiments.experiment import default_experiment
from segue.experiments.records import Exposure, Record
from segue.experiments.tally import Tally
from segue.services.maintenance import Maintenance
from segue.services.settlement import Settlement, undisturbed_by_erasure
from tests.integration.conftest import Aws, Stores, stores_on

NOW = 1_662_000_000_000
EXPERIMENT = default_experiment("bundle")


class Clock:
    def now(self) -> int:
        return NOW + 31 * DAY


def exposure(user: int) -> Exposure:
    return Exposure(str(user), "AB"[user % 2], "model", "bundle", ("t",), NOW, NOW)


def record(user: int) -> Record:
    return Record(exposure(user), user % 3 == 0, NOW + user)


def tagged(stores: Stores) -> dict[str, str]:
    """The tags of the pending exposures, by user."""
    found, after = stores.results.exposures(EXPERIMENT)
    assert after is None
    return {it.user_id: tag for it, tag in found}


def pending(stores: Stores) -> list[Exposure]:
    found: list[Exposure] = []
    after: str | None = ""
    while after is not None:
        page, after = stores.results.exposures(EXPERIMENT, after=after)
        found += [it for it, _ in page]
    return sorted(found, key=lambda it: int(it.user_id))


def test_the_tally_is_that_of_the_records(stores: Stores) -> None:
    assert stores.results.tally(EXPERIMENT) == Tally()
    for user in range(20):
        stores.results.add_record(EXPERIMENT, record(user))
    assert stores.results.tally(EXPERIMENT) == Tally.of(map(record, range(20)))
    assert stores.results.tally(EXPERIMENT.next_epoch("bundle")).users == 0


def test_an_exposure_is_pending_until_it_is_dropped(stores: Stores) -> None:
    for user in range(5):
        stores.results.add_exposure(EXPERIMENT, exposure(user))
    assert pending(stores) == [exposure(user) for user in range(5)]
    tag = tagged(stores)["3"]
    assert stores.results.exposure(EXPERIMENT, "3") == (exposure(3), tag)
    for _ in range(2):
        stores.results.drop_exposure(EXPERIMENT, "3", tag)
    assert [it.user_id for it in pending(stores)] == ["0", "1", "2", "4"]
    assert stores.results.exposure(EXPERIMENT, "3") is None


def test_who_has_a_record_is_no_longer_pending_though_the_exposure_is_there(
    stores: Stores,
) -> None:
    for user in range(6):
        stores.results.add_exposure(EXPERIMENT, exposure(user))
    for user in range(2):
        stores.results.add_record(EXPERIMENT, record(user))
    tally, left = stores.results.tally_and_pending(EXPERIMENT)
    assert tally == Tally.of([record(0), record(1)])
    assert sorted(it.user_id for it in left) == ["2", "3", "4", "5"]


def test_an_erased_user_is_gone_from_records_exposures_and_counts(stores: Stores) -> None:
    for user in range(5):
        stores.results.add_record(EXPERIMENT, record(user))
        stores.results.add_exposure(EXPERIMENT, exposure(user))
    for _ in range(2):
        stores.results.erase(EXPERIMENT, "3")
    assert stores.results.record(EXPERIMENT, "3") is None
    assert [it.user_id for it in pending(stores)] == ["0", "1", "2", "4"]
    assert stores.results.tally(EXPERIMENT).users == 4


def test_what_was_read_before_an_erasure_is_not_written_after_it(stores: Stores) -> None:
    stores.results.erase(EXPERIMENT, "3")
    for _ in range(2):
        with pytest.raises(UserErased):
            stores.results.add_record(EXPERIMENT, record(3))
        with pytest.raises(UserErased):
            stores.results.add_exposure(EXPERIMENT, exposure(3), "an erasure long ago")
    assert stores.results.record(EXPERIMENT, "3") is None
    assert stores.results.exposure(EXPERIMENT, "3") is None
    assert stores.results.records(EXPERIMENT, limit=9).records == ()
    assert stores.results.tally(EXPERIMENT).users == 0
    assert not tagged(stores)


def test_whoever_knows_of_an_erasure_writes_after_it(stores: Stores) -> None:
    stores.results.erase(EXPERIMENT, "3")
    with pytest.raises(UserErased) as refused:
        stores.results.add_record(EXPERIMENT, record(3))
    known = refused.value.erasure
    for _ in range(2):
        assert stores.results.add_record(EXPERIMENT, record(3), known) == record(3)
        assert stores.results.add_exposure(EXPERIMENT, exposure(3), known) == exposure(3)
    assert stores.results.record(EXPERIMENT, "3") == record(3)
    assert stores.results.tally(EXPERIMENT) == Tally.of([record(3)])
    assert tagged(stores).keys() == {"3"}
    stores.results.erase(EXPERIMENT, "3")
    with pytest.raises(UserErased):
        stores.results.add_record(EXPERIMENT, record(3), known)


def test_an_erased_user_among_others_leaves_a_page_shorter_and_no_user_out(stores: Stores) -> None:
    for user in range(9):
        stores.results.add_record(EXPERIMENT, record(user))
    for user in (2, 5, 8):
        stores.results.erase(EXPERIMENT, str(user))
    users, after = [], ""
    while True:
        page = stores.results.records(EXPERIMENT, limit=2, after=after)
        users += [int(it.exposure.user_id) for it in page.records]
        if page.next is None:
            break
        after = page.next
    assert sorted(users) == [0, 1, 3, 4, 6, 7]


# moto takes no condition for a deletion.
@pytest.mark.parametrize("stores", ["memory", "local stack"], indirect=True)
def test_an_exposure_that_took_another_ones_place_is_not_dropped(stores: Stores) -> None:
    stores.results.add_exposure(EXPERIMENT, exposure(3))
    tag = tagged(stores)["3"]
    stores.results.erase(EXPERIMENT, "3")
    later = replace(exposure(3), created_at=NOW + DAY)
    undisturbed_by_erasure(lambda it: stores.results.add_exposure(EXPERIMENT, later, it))
    stores.results.drop_exposure(EXPERIMENT, "3", tag)
    found = stores.results.exposure(EXPERIMENT, "3")
    assert found is not None
    assert found[0] == later


@pytest.mark.parametrize("aws", ["local stack"], indirect=True)
def test_who_is_erased_and_comes_back_during_a_compaction_keeps_the_new_record(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = stores_on(aws).results
    results.add_record(EXPERIMENT, record(3))
    back = replace(record(3), settled_at=NOW + DAY)
    delete = aws.s3.delete_objects

    def meanwhile(**arguments: Any) -> Any:
        monkeypatch.setattr(aws.s3, "delete_objects", delete)
        results.erase(EXPERIMENT, "3")
        undisturbed_by_erasure(lambda it: results.add_record(EXPERIMENT, back, it))
        return delete(**arguments)

    monkeypatch.setattr(aws.s3, "delete_objects", meanwhile)
    archive = S3Archive(Objects(aws.s3, aws.names["Bucket"]))
    archive.compact(EXPERIMENT)
    assert results.record(EXPERIMENT, "3") == back
    assert results.tally(EXPERIMENT).users == 1


@pytest.mark.parametrize("aws", ["moto"], indirect=True)
def test_an_outcome_is_settled_counted_and_archived_in_one_run(aws: Aws) -> None:
    stores = stores_on(aws)
    stores.results.save_experiment(EXPERIMENT, None)
    live = EXPERIMENT.live
    for user in range(5):
        stores.results.add_exposure(live, exposure(user))
    archive = S3Archive(Objects(aws.s3, aws.names["Bucket"]))
    settlement = Settlement(stores.sessions, stores.results, Clock())
    work = Maintenance(settlement, stores.results, archive, Clock()).run(lambda: True)
    assert (work.settled, work.archived, work.faults) == (5, 5, [])
    assert stores.results.exposures(live) == ([], None)
    assert stores.results.tally(live).users == 5
    listed = aws.s3.list_objects_v2(Bucket=aws.names["Bucket"], Prefix="ab/default.live/")
    names = [entry["Key"].rpartition("/")[2] for entry in listed["Contents"]]
    assert len(names) == 2
    assert "manifest.json" in names
