"""Lists for everybody as Parquet files, a file a shard.

::

    lists/{run}/{number}-of-{shards}.parquet

A file is written once, whole or not at all. That it is there says that the shard is done.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from segue.adapters.archive.parquet import (
    PARQUET,
    Block,
    Column,
    Kind,
    Repetition,
    Values,
    pack,
    write_parquet,
)
from segue.adapters.objects import Objects
from segue.ports import Shard, UserList

# So many lists are compressed together, and then let go of.
_ROWS_TOGETHER = 4_096


class S3Lists:
    """The files in one bucket. Everything raises StoreUnavailable."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def has(self, shard: Shard) -> bool:
        """One ListObjectsV2."""
        entries, _ = self._objects.listed(_key(shard), limit=1)
        return bool(entries)

    def add(self, shard: Shard, lists: Iterable[UserList]) -> int:
        """One PutObject, on the condition that there is no file yet."""
        body, rows = encode(lists)
        written = self._objects.swap(_key(shard), body, PARQUET, None)
        return rows if written else 0


def encode(lists: Iterable[UserList]) -> tuple[bytes, int]:
    """A Parquet file with a row for each list, and how many there are."""
    rest, blocks = iter(lists), list[Block]()
    while some := list(islice(rest, _ROWS_TOGETHER)):
        blocks.append(_block(some))
    body = write_parquet([*_COLUMNS], blocks or [_block([])])
    return body, sum(block[0].rows for block in blocks)


def file_name(shard: Shard) -> str:
    """Of the shard's file; they sort as the shards do."""
    return f"{shard.number:05}-of-{shard.of:05}.parquet"


def _key(shard: Shard) -> str:
    return f"lists/{shard.run}/{file_name(shard)}"


def _block(lists: list[UserList]) -> Block:
    return [pack(column, values(lists)) for column, values in _COLUMNS.items()]


_COLUMNS: Mapping[Column, Callable[[list[UserList]], Values]] = {
    Column("user_id", Kind.TEXT): lambda lists: [it.user_id.encode() for it in lists],
    Column("tracks", Kind.TEXT, Repetition.MANY): lambda lists: [
        [track.encode() for track in it.tracks] for it in lists
    ],
    Column("scores", Kind.NUMBER, Repetition.MANY): lambda lists: [it.scores for it in lists],
    Column("model", Kind.TEXT): lambda lists: [it.model.encode() for it in lists],
    Column("bundle", Kind.TEXT): lambda lists: [it.bundle.encode() for it in lists],
    Column("as_of", Kind.TIME): lambda lists: [it.as_of for it in lists],
}
