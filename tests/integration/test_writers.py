"""Many writers at once, who try again as they please: one result a user, and the first one stays.

``SEGUE_WRITERS_USERS=10000 pytest tests/integration/test_writers.py`` is the full size.
"""

import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import pytest

from infra.memory import MemoryModelStore
from segue.adapters.clock import SystemClock
from segue.domain.errors import StaleVersion
from segue.experiments.epoch import EpochId, Side
from segue.experiments.experiment import DEFAULT
from segue.experiments.records import Exposure, Pending, Record, Result
from segue.models.bundle import Bundle
from segue.ports import ResultStore
from segue.services.epochs import ANY, Epochs
from segue.services.layers import Layers
from segue.services.life import Life
from tests.integration.conftest import Aws, stores_on

USERS = int(os.environ.get("SEGUE_WRITERS_USERS", "300"))
WRITERS = 64
NOW = 1_662_000_000_000
EPOCH = EpochId("default", 1, Side.LIVE)

R = TypeVar("R", Pending, Record)

# moto copies the whole table for every transaction.
pytestmark = pytest.mark.parametrize("aws", ["local stack"], indirect=True)


def exposures() -> list[Pending]:
    """Each user's exposure as made by one to four writers right after each other, all different."""
    chance = random.Random(7)
    return [
        Pending(Exposure(str(user), "A", f"writer {writer}", "bundle", ("t",), NOW, NOW), NOW)
        for user in range(USERS)
        for writer in range(1 + chance.randrange(4))
    ]


def outcomes(found: Iterable[Pending]) -> list[Record]:
    """Each user's outcome as seen by one to four writers."""
    chance = random.Random(11)
    return [
        Record(pending.exposure, chance.random() < 0.5, NOW + writer)
        for pending in found
        for writer in range(1 + chance.randrange(4))
    ]


def write(act: Callable[[R], Result | None], tries: Sequence[R]) -> dict[str, Result | None]:
    """Everybody writes; the one answer that all of a user's writers were given."""
    answers = defaultdict(set)
    with ThreadPoolExecutor(WRITERS) as pool:
        for made, answer in zip(tries, pool.map(act, tries), strict=True):
            answers[made.exposure.user_id].add(answer)
    return {user: only for user, (only,) in answers.items()}


def listed(results: ResultStore) -> dict[str, Record]:
    found: dict[str, Record] = {}
    after: str | None = None
    while True:
        page = results.records(EPOCH, limit=1_000, after=after)
        found |= {record.exposure.user_id: record for record in page.records}
        if page.next is None:
            return found
        after = page.next


def test_each_user_has_one_result_and_all_of_their_writers_were_answered_with_it(aws: Aws) -> None:
    results = stores_on(aws).results
    exposed = write(lambda it: results.add(EPOCH, it), exposures())
    due = [pending for some in results.due(NOW) for _, pending in some]
    assert {pending.exposure.user_id: pending for pending in due} == exposed
    assert len(due) == USERS

    settled = write(lambda it: results.settle(EPOCH, it), outcomes(due))
    assert listed(results) == settled
    # Whoever made an exposure before that, and stores it now, is answered with the record.
    assert write(lambda it: results.add(EPOCH, it), exposures()) == settled
    assert listed(results) == settled
    unarchived = results.unarchived(EPOCH)
    assert {record.exposure.user_id: record for record in unarchived} == settled


def test_one_of_many_creates_an_experiment_that_must_not_be_there(aws: Aws, bundle: Bundle) -> None:
    stores = stores_on(aws)
    layers = Layers(stores.experiments)
    models = MemoryModelStore(bundle)
    life = Life(stores.experiments, stores.archive, SystemClock())
    epochs = Epochs(models, stores.experiments, stores.archive, layers, life)
    wanted = replace(DEFAULT, name="spring")

    def created(_: int) -> bool:
        try:
            return epochs.save(wanted, (), (ANY,)).created
        except StaleVersion:
            return False

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(created, range(WRITERS))) == 1
    assert epochs.running("spring").number == 1
