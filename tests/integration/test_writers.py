"""Many writers at once, who try again as they please: one record a user, and the first one stays.

``SEGUE_WRITERS_USERS=10000 pytest tests/integration/test_writers.py`` is the full size.
"""

import os
import random
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from infra.memory import MemoryModelStore
from segue.adapters.archive import S3Archive
from segue.adapters.objects import Objects
from segue.domain.errors import StaleVersion
from segue.experiments.experiment import default_experiment
from segue.experiments.records import Exposure, Record
from segue.experiments.tally import Tally
from segue.models.bundle import Bundle
from segue.ports import ResultStore
from segue.services.epochs import ANY, Epochs
from tests.integration.conftest import Aws, stores_on

USERS = int(os.environ.get("SEGUE_WRITERS_USERS", "300"))
WRITERS = 64
NOW = 1_662_000_000_000
EXPERIMENT = default_experiment("bundle")


def tries() -> Iterator[Record]:
    """Each user's outcome as seen by one to four writers right after each other, all different."""
    chance = random.Random(7)
    for user in range(USERS):
        for writer in range(1 + chance.randrange(4)):
            exposure = Exposure(str(user), "A", f"writer {writer}", "bundle", ("t",), NOW, NOW)
            yield Record(exposure, chance.random() < 0.5, NOW + writer)


def write(results: ResultStore) -> dict[str, set[Record]]:
    """Everybody writes; every answer that a user's writers were given."""
    answers = defaultdict(set)
    with ThreadPoolExecutor(WRITERS) as pool:
        for record in pool.map(lambda it: results.add_record(EXPERIMENT, it), tries()):
            answers[record.exposure.user_id].add(record)
    return answers


def listed(results: ResultStore) -> list[Record]:
    found: list[Record] = []
    after: str | None = ""
    while after is not None:
        page = results.records(EXPERIMENT, limit=1_000, after=after)
        found += page.records
        after = page.next
    return found


def test_one_of_many_creates_an_experiment_that_must_not_be_there(aws: Aws, bundle: Bundle) -> None:
    results = stores_on(aws).results
    epochs = Epochs(MemoryModelStore(bundle), results)
    wanted = replace(EXPERIMENT, name="spring")

    def created(_: int) -> bool:
        try:
            return epochs.save(wanted, (), (ANY,)).created
        except StaleVersion:
            return False

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(created, range(WRITERS))) == 1
    assert epochs.running("spring").epoch == 1


def test_each_user_has_one_record_and_all_of_their_writers_were_answered_with_it(aws: Aws) -> None:
    results = stores_on(aws).results
    answers = write(results)
    assert {len(records) for records in answers.values()} == {1}
    stored = listed(results)
    assert len(stored) == len(answers) == USERS
    assert set(stored) == set().union(*answers.values())

    archive = S3Archive(Objects(aws.s3, aws.names["Bucket"]))
    after: str | None = ""
    while after is not None:
        after = archive.compact(EXPERIMENT, after).next
    assert set(listed(results)) == set(stored)
    # Whoever asked before the compaction and writes after it adds to no answer and no count.
    write(results)
    assert set(listed(results)) == set(stored)
    assert results.tally(EXPERIMENT) == Tally.of(stored)
