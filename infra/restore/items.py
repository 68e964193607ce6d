"""Copies what is missing of a table back into it, out of what it was at an earlier moment.

A hundred items at a time are looked up in the live table, and what is lacking is written, on the
condition that nobody else has done so. So the copy may be stopped anywhere and repeated, may run
while the service does, and never overwrites anything. Throttling makes it slower.
"""

import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from infra.exports import Item
from infra.progress import Report, silent
from infra.restore.doors import DOORS, Door
from infra.restore.erasures import Erasures
from infra.restore.names import TableName
from infra.restore.sources import Source, open_source
from infra.restore.stack import Stack
from infra.threads import in_threads
from segue.adapters.aws import translated
from segue.domain.errors import StoreUnavailable
from segue.domain.times import SECOND

# What DynamoDB reads in one batch.
_BATCH = 100
_WORKERS = 8
# Of a batch that is throttled, or lost to other writers: five minutes altogether.
_TRIES = 20
_LONGEST_PAUSE = 30
# The second finds nothing to do, but where users were erased, or others deleted items, meanwhile.
_MOST_PASSES = 10


@dataclass(frozen=True, slots=True)
class ItemsRestored:
    """``items``: what the source holds. ``there``: what the table held already. ``written``: what
    it lacked. ``left_out``: of erased users, or without a place in the table any more.
    ``erased_again``: users whose erasure came while the copy ran."""

    items: int
    there: int
    written: int
    left_out: int
    erased_again: int


@dataclass(slots=True)
class _Pass:
    items: int = 0
    there: int = 0
    written: int = 0

    @property
    def left_out(self) -> int:
        return self.items - self.there - self.written


def restore_items(
    stack: Stack, table: TableName, given: str, erasures: Erasures, report: Report = silent
) -> ItemsRestored:
    """Bring back what the table lacks of what it was. ``given``: see ``open_source``.

    Goes through the source until it finds that nothing is lacking, twice or more. Raises
    InvalidData, and StoreUnavailable, after which it can be repeated.
    """
    begun = int(time.time() * SECOND)
    source = open_source(stack.dynamodb, stack.table(table), given)
    door, erased, late = DOORS[table](stack, table), set(erasures.since(source.as_of)), 0
    passes: list[_Pass] = []
    while not passes or passes[-1].written:
        if len(passes) == _MOST_PASSES:
            raise StoreUnavailable(f"{door.table} loses items while they come back: find out why")
        passes.append(_copy(source, door, erased, partial(report, f"pass {len(passes) + 1}")))
        for user_id in erasures.since(begun) - erased:
            stack.privacy.erase(user_id)
            erased.add(user_id)
            late += 1
    source.remove()
    first, last = passes[0], passes[-1]
    written = sum(it.written for it in passes)
    return ItemsRestored(last.items, first.there, written, last.left_out, late)


def _copy(source: Source, door: Door, erased: set[str], report: partial[None]) -> _Pass:
    """Look all items up once, and write what is lacking."""
    total = _Pass()
    batches = _batches(source.items())
    for done in in_threads(partial(_copy_batch, door, erased), batches, _WORKERS):
        total.items += done.items
        total.there += done.there
        total.written += done.written
        report(total.items, 0)
    return total


def _copy_batch(door: Door, erased: set[str], batch: Sequence[Item]) -> _Pass:
    wanted = [
        prepared
        for item in batch
        if item.get("user_id", {}).get("S") not in erased
        if (prepared := door.prepared(item)) is not None
    ]
    for attempt in range(_TRIES):
        live = _live(door, wanted)
        lacking = [it for it in wanted if door.lacks(it, live.get(door.key_of(it)))]
        if attempt == 0:
            done = _Pass(len(batch), len(wanted) - len(lacking), len(lacking))
        if not lacking or door.put(lacking, live):
            return done
        _pause(attempt)
    raise StoreUnavailable(f"{door.table}: too many writers at once, or throttled: repeat it")


def _live(door: Door, items: Iterable[Item]) -> Mapping[tuple[str, ...], Item]:
    """What the table holds under the keys of these items, by key."""
    wanted: list[Any] = [{name: item[name] for name in door.key} for item in items]
    live: dict[tuple[str, ...], Item] = {}
    for attempt in range(_TRIES):
        if not wanted:
            return live
        with translated(door.table):
            answer = door.client.batch_get_item(
                RequestItems={door.table: {"Keys": wanted, "ConsistentRead": True}}
            )
        live |= {door.key_of(item): item for item in answer["Responses"].get(door.table, [])}
        left: Any = answer.get("UnprocessedKeys", {}).get(door.table, {})
        wanted = left.get("Keys", [])
        if wanted:
            _pause(attempt)
    raise StoreUnavailable(f"{door.table}: throttled: repeat it")


def _pause(attempt: int) -> None:
    time.sleep(random.uniform(0, min(0.05 * 2**attempt, _LONGEST_PAUSE)))


def _batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    while batch := list(islice(items, _BATCH)):
        yield batch
