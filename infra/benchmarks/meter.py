"""Counts what AWS charges for as requests are sent: units of DynamoDB, and requests to S3.

Emulators do not know what a request costs. The rules are those of the DynamoDB developer guide,
"Item sizes and formats", "Read and write operations" and "Using global secondary indexes":

- A write takes a unit for each begun KB of the item, as it was or as it becomes, whichever is
  larger; also where its condition fails. In a transaction it takes two, a condition check included.
- An index takes units of its own where its entry comes, goes or changes; two where the entry's key
  changes, since it is deleted and written anew.
- A read takes a unit for each begun 4 KB: of each item that is got by its key, whether it is there
  or not, and of all items of a page together. It takes half a unit where it need not be consistent.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.model import OperationModel
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

# An item, a key, or the arguments of a request, as boto3 has them.
_Item = Mapping[str, Any]

_WRITTEN_AT_ONCE, _READ_AT_ONCE = 1_024, 4_096


class Charge(StrEnum):
    """What there is a price for."""

    WRITE = "write units"
    READ = "read units"
    PUT = "PUT, LIST"
    GET = "GET"


Charges = dict[Charge, float]

# Of S3's operations; None: free.
_OF_BUCKET: Mapping[str, Charge | None] = {
    "PutObject": Charge.PUT,
    "ListObjectsV2": Charge.PUT,
    "GetObject": Charge.GET,
    "DeleteObjects": None,
}


@dataclass(frozen=True, slots=True)
class Index:
    """The names of an index's own key, and of all that its entries hold (None: whole items)."""

    key: frozenset[str]
    attributes: frozenset[str] | None

    def entry(self, item: _Item) -> _Item:
        """What the index holds of the item: nothing where the item lacks a part of the key."""
        if not self.key <= item.keys():
            return {}
        names = item.keys() if self.attributes is None else self.attributes & item.keys()
        return {name: item[name] for name in names}

    def write_units(self, before: _Item, after: _Item) -> int:
        """Units for the change of an item; {} is an item that is not there."""
        old, new = self.entry(before), self.entry(after)
        if old == new:
            return 0
        if old and new and all(old[name] == new[name] for name in self.key):
            return _kilobytes(old, new)
        return sum(_kilobytes(entry) for entry in (old, new) if entry)


@dataclass(frozen=True, slots=True)
class Table:
    """A table's key and indexes; the indexes by name."""

    key: frozenset[str]
    indexes: Mapping[str, Index]

    def key_of(self, item: _Item) -> dict[str, Any]:
        """The item's key."""
        return {name: item[name] for name in self.key}

    def write_units(self, before: _Item, after: _Item, offered: _Item, *, times: int) -> int:
        """Units of the table, so many times, and of its indexes, for one item.

        ``offered``: what a put would have written, whatever came of it.
        """
        of_indexes = sum(index.write_units(before, after) for index in self.indexes.values())
        return times * _kilobytes(before, after, offered) + of_indexes

    def stored_bytes(self, item: _Item) -> int:
        """Of the item and its entries; DynamoDB needs 100 bytes more for each of them."""
        entries = [index.entry(item) for index in self.indexes.values()]
        return sum(item_size(each) + 100 for each in (item, *entries) if each)


@dataclass(slots=True)
class _Write:
    """A write under way: where, what was there before, and what is offered in its place."""

    table: str
    key: _Item
    offered: _Item
    times: int
    before: _Item = field(default_factory=dict)


class Meter:
    """Counts what both clients send, as ``charges``, by the step that it is sent in.

    A second DynamoDB client, ``reader``, looks at items before and after they are written. No two
    writers may be at the same item at once.
    """

    def __init__(
        self, dynamodb: "DynamoDBClient", s3: "S3Client", reader: "DynamoDBClient"
    ) -> None:
        self.charges: dict[str, Charges] = {}
        self._reader = reader
        self._tables: dict[str, Table] = {}
        self._step: Charges | None = None
        self._lock = Lock()
        dynamodb.meta.events.register("before-parameter-build.dynamodb", self._begin)
        dynamodb.meta.events.register("after-call.dynamodb", self._end)
        s3.meta.events.register("after-call.s3", self._count_bucket)

    @contextmanager
    def counting(self, step: str) -> Iterator[None]:
        """What is sent in here is charged to the step; what is sent outside, to none."""
        self._step = self.charges.setdefault(step, dict.fromkeys(Charge, 0.0))
        try:
            yield
        finally:
            self._step = None

    def table(self, name: str) -> Table:
        """The table, as its description says."""
        if name not in self._tables:
            described: Any = self._reader.describe_table(TableName=name)["Table"]
            self._tables[name] = _described(described)
        return self._tables[name]

    def _begin(self, params: _Item, model: "OperationModel", context: Any, **_: Any) -> None:
        if self._step is None:
            return
        writes = list(self._writes(model.name, params))
        for write in writes:
            write.before = self._look_at(write)
        context["metered"] = params, writes

    def _end(self, parsed: _Item, model: "OperationModel", context: Any, **_: Any) -> None:
        if self._step is None:
            return
        params, writes = context["metered"]
        for write in writes:
            table, after = self.table(write.table), self._look_at(write)
            units = table.write_units(write.before, after, write.offered, times=write.times)
            self._add(Charge.WRITE, units)
        if not writes:
            self._add(Charge.READ, _READS[model.name](self, params, parsed))

    def _count_bucket(self, model: "OperationModel", **_: Any) -> None:
        charge = _OF_BUCKET[model.name] if self._step is not None else None
        if charge:
            self._add(charge, 1)

    def _add(self, charge: Charge, amount: float) -> None:
        with self._lock:
            assert self._step is not None
            self._step[charge] += amount

    def _look_at(self, write: _Write) -> _Item:
        key: Any = write.key
        answer = self._reader.get_item(TableName=write.table, Key=key, ConsistentRead=True)
        return answer.get("Item", {})

    def _writes(self, operation: str, params: _Item) -> Iterator[_Write]:
        if operation in {"PutItem", "UpdateItem", "DeleteItem"}:
            yield self._write(params)
        elif operation == "TransactWriteItems":
            for part in params["TransactItems"]:
                (each,) = part.values()
                yield self._write(each, times=2)
        elif operation == "BatchWriteItem":
            for table, batch in params["RequestItems"].items():
                for request in batch:
                    (each,) = request.values()
                    yield self._write({"TableName": table, **each})

    def _write(self, params: _Item, times: int = 1) -> _Write:
        table, offered = params["TableName"], params.get("Item", {})
        key = params["Key"] if "Key" in params else self.table(table).key_of(offered)
        return _Write(table, key, offered, times)

    def _of_item(self, params: _Item, answer: _Item) -> float:
        return _read_units(item_size(answer.get("Item", {})), params)

    def _of_batch(self, params: _Item, answer: _Item) -> float:
        units = 0.0
        for table, wanted in params["RequestItems"].items():
            items = answer["Responses"].get(table, [])
            absent = len(wanted["Keys"]) - len(items)
            sizes = [*map(item_size, items), *[0] * absent]
            units += sum(_read_units(size, wanted) for size in sizes)
        return units

    def _of_page(self, params: _Item, answer: _Item) -> float:
        items: Iterable[_Item] = answer["Items"]
        if "ProjectionExpression" in params:
            # What is charged for is whole items.
            items = self._reader.query(**_unprojected(params))["Items"]
        if "IndexName" in params:
            index = self.table(params["TableName"]).indexes[params["IndexName"]]
            items = map(index.entry, items)
        return _read_units(sum(map(item_size, items)), params)


def _unprojected(params: _Item) -> dict[str, Any]:
    """The same query for whole items; a name that only the projection uses would be refused."""
    condition = params["KeyConditionExpression"]
    names = {
        short: name
        for short, name in params.get("ExpressionAttributeNames", {}).items()
        if short in condition
    }
    whole = {it: params[it] for it in params.keys() - {"ProjectionExpression"}}
    whole.pop("ExpressionAttributeNames", None)
    return whole | ({"ExpressionAttributeNames": names} if names else {})


_READS: Mapping[str, Callable[[Meter, _Item, _Item], float]] = {
    "GetItem": Meter._of_item,
    "BatchGetItem": Meter._of_batch,
    "Query": Meter._of_page,
    "Scan": Meter._of_page,
}


def item_size(item: _Item) -> int:
    """Bytes of the item as DynamoDB counts them: of names and values."""
    return sum(len(name.encode()) + _size(*value.items()) for name, value in item.items())


def _size(typed: tuple[str, Any]) -> int:
    kind, value = typed
    if kind == "S":
        return len(value.encode())
    if kind == "B":
        return len(value)
    if kind == "N":
        # One for every two digits, without zeros at either end, and one more.
        return ceil(len(value.lstrip("-").replace(".", "").strip("0")) / 2) + 1
    if kind in {"BOOL", "NULL"}:
        return 1
    if kind == "L":
        return 3 + sum(1 + _size(*element.items()) for element in value)
    if kind == "M":
        return 3 + len(value) + item_size(value)
    raise NotImplementedError(f"the size of DynamoDB's type {kind}")


def _kilobytes(*items: _Item) -> int:
    """Write units of the largest of these: a unit at least."""
    return max(1, *(ceil(item_size(item) / _WRITTEN_AT_ONCE) for item in items))


def _read_units(size: int, params: _Item) -> float:
    blocks = max(1, ceil(size / _READ_AT_ONCE))
    return blocks if params.get("ConsistentRead") else blocks / 2


def _described(description: _Item) -> Table:
    key = _names(description["KeySchema"])
    indexes = {
        index["IndexName"]: _described_index(index, key)
        for index in description.get("GlobalSecondaryIndexes", [])
    }
    return Table(key, indexes)


def _described_index(description: _Item, table_key: frozenset[str]) -> Index:
    key, projection = _names(description["KeySchema"]), description["Projection"]
    if projection["ProjectionType"] == "ALL":
        return Index(key, None)
    return Index(key, key | table_key | frozenset(projection.get("NonKeyAttributes", [])))


def _names(schema: Sequence[_Item]) -> frozenset[str]:
    return frozenset(each["AttributeName"] for each in schema)
