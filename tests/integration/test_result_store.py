"""What every result store promises beyond records: counts, pending exposures, erasure."""

from dataclasses import replace
from typing import Any

import pytest

from segue.adapters.archive import S3Archive
from segue.adapters.objects import Objects
from segue.domain.times import DAY
from segue.experiments.experiment import default_experiment
from segue.experiments.records import Exposure, Record
from segue.experiments.tally import Tally
from segue.services.maintenance import Maintenance
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


def pending(stores: Stores) -> list[Exposure]:
    found: list[Exposure] = []
    after: str | None = ""
    while after is not None:
        page, after = stores.results.exposures(EXPERIMENT, after=after)
        found += page
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
    for _ in range(2):
        stores.results.drop_exposure(EXPERIMENT, "3")
    assert [it.user_id for it in pending(stores)] == ["0", "1", "2", "4"]
    assert stores.results.exposure(EXPERIMENT, "3") is None


def test_an_erased_user_is_gone_from_records_exposures_and_counts(stores: Stores) -> None:
    for user in range(5):
        stores.results.add_record(EXPERIMENT, record(user))
        stores.results.add_exposure(EXPERIMENT, exposure(user))
    for _ in range(2):
        stores.results.erase(EXPERIMENT, "3")
    assert stores.results.record(EXPERIMENT, "3") is None
    assert [it.user_id for it in pending(stores)] == ["0", "1", "2", "4"]
    assert stores.results.tally(EXPERIMENT).users == 4


# moto takes no condition for a deletion.
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
        results.add_record(EXPERIMENT, back)
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
    work = Maintenance(stores.sessions, stores.results, archive, Clock()).run(lambda: True)
    assert (work.settled, work.archived, work.faults) == (5, 5, [])
    assert stores.results.exposures(live) == ((), None)
    assert stores.results.tally(live).users == 5
    listed = aws.s3.list_objects_v2(Bucket=aws.names["Bucket"], Prefix="ab/default.live/")
    names = [entry["Key"].rpartition("/")[2] for entry in listed["Contents"]]
    assert len(names) == 2
    assert "manifest.json" in names
