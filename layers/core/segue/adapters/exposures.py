"""Results of experiments in DynamoDB, one item for each user and epoch.

::

    user_id, epoch    the key; the epoch as {experiment}/{side}/{number}
    exposure          as compressed JSON; a sealed item has none
    digest            tells this exposure from one that another call made
    settles_at        while the exposure is pending
    later             other lists that the user was shown, each as compressed JSON
    outcome           what a record has beside its exposure, as JSON
    archived_in       the batch of the archive that holds the record
    format            for a later version of Segue: what has none is of format 1
    queue, turn       the index "work": what is to be settled, by time, and archived, by epoch
    part, place       the index "epochs": an epoch's users, in the order of their places

    user_id, "erasure"   the user's last erasure: its id, when it was, and when DynamoDB may delete
                         the item

An item's place is 64 hexadecimal digits drawn by lot. It says nothing of the user, so that it may
stand in logs and in positions. Both indexes spread their items over sixteen partitions, by such a
digit. They follow the table within a second or so, so that what they name is always read again,
consistently.
"""

import random
import secrets
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
from botocore.exceptions import ClientError

from segue.adapters.aws import cancellation_reasons, error_code, items_of, translated, tried
from segue.adapters.positions import place_at, position_of
from segue.domain.errors import LaterFormat, StoreUnavailable, UserErased
from segue.domain.times import DAY
from segue.experiments.epoch import EpochId, Side
from segue.experiments.records import (
    Exposure,
    Impression,
    Pending,
    Record,
    RecordPage,
    Result,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_STORE = "Exposures"
_DIGITS = "0123456789abcdef"
_ERASURE = "erasure"
# Longer than any backup of a table is kept: what is restored from one leaves out who was erased
# since. No call that began before an erasure is still under way by then.
_ERASURE_KEPT = 36 * DAY
# What DynamoDB reads in one batch.
_BATCH = 100
# What one call reads of an epoch's users, and of the unarchived records of a partition.
_USERS = 1_000
_UNARCHIVED = 256
# Bytes of JSON in a page: a function can answer with six megabytes.
_PAGE = 2_000_000
_WORKERS = 16
_TRIES = 8
# Of what cannot be read, a message names so many.
_NAMED = 5

# What the JSON of exposures has in common. It must stay as it is: what was compressed with it
# cannot be read without it.
_COMMON = (
    b'"AB+CD""propensities":{"seen":{"returning""new""yes""no"'
    b'"autoencoder+classifier""popularity""hybrid"'
    b'{"user_id":"","group":"A","model":"classifier","bundle":"20","tracks":["",""],'
    b'"as_of":1,"created_at":1,"error":null,"owners":["A","B"],"before":null,'
    b'"before":0.,"traits":{"premium":"no","listener":"returning"},'
    b'"figures":{"latency":,"diversity":0.},"propensities":{},"seen":{}}'
)
_FAILED = "ConditionalCheckFailed"

# An item, or a part of it, as boto3 has it.
_Item = dict[str, Any]


class _Outcome(msgspec.Struct, omit_defaults=True):
    """What a record has beside its exposure."""

    successful: bool
    settled_at: int
    credits: dict[str, int]
    figures: dict[str, float]
    positions: tuple[int, ...] = ()
    reported: tuple[int, ...] = ()
    successes: dict[str, bool] = {}


class DynamoResultStore:
    """Results of experiments in one table. All of it raises StoreUnavailable."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def find(self, epoch: EpochId, user_id: str) -> Result | None:
        """One GetItem."""
        with translated(_STORE):
            answer = self._client.get_item(
                TableName=self._table, Key=_key(epoch, user_id), ConsistentRead=True
            )
        return _result(answer["Item"]) if "Item" in answer else None

    def add(self, epoch: EpochId, result: Result, erasure: str | None = None) -> Result:
        """One TransactWriteItems, which tells what is there where it is refused.

        Raises UserErased, also where the user's earlier result is not erased wholly yet.
        """
        refusals = tried(_STORE, lambda: self._put(_item(epoch, result), erasure))
        if refusals is None:
            return result
        there, mark = refusals
        if mark["Code"] == _FAILED:
            raise UserErased(mark["Item"]["id"]["S"])
        stored = _result(there["Item"])
        if stored is None:
            raise UserErased(erasure)
        return stored

    def show(self, epoch: EpochId, pending: Pending, impression: Impression) -> Result | None:
        """One UpdateItem, which tells what is there where it is refused."""
        digest = _digest(pending.exposure)
        later = _compressed(msgspec.json.encode(impression), _common(pending.exposure))
        _, item = self._change(
            _key(epoch, pending.exposure.user_id),
            "SET later = list_append(if_not_exists(later, :none), :later)",
            # The last: a request whose answer was lost is sent again.
            "digest = :digest AND attribute_exists(settles_at) AND NOT contains(later, :list)",
            {
                ":digest": {"S": digest},
                ":none": {"L": []},
                ":list": {"B": later},
                ":later": {"L": [{"B": later}]},
            },
        )
        return _result(item) if item.get("digest") == {"S": digest} else None

    def settle(self, epoch: EpochId, record: Record) -> Record | None:
        """One UpdateItem, which tells what is there where it is refused."""
        digest = _digest(record.exposure)
        settled, item = self._change(
            _key(epoch, record.exposure.user_id),
            "SET outcome = :outcome, queue = :queue, turn = :turn REMOVE settles_at",
            "digest = :digest AND attribute_not_exists(outcome)",
            {":digest": {"S": digest}, **_named(_outcome(epoch, record))},
        )
        if settled:
            return record
        stored = _result(item) if item.get("digest") == {"S": digest} else None
        return stored if isinstance(stored, Record) else None

    def due(self, now: int) -> Iterator[Sequence[tuple[EpochId, Pending]]]:
        """Sixteen Querys, and one BatchGetItem for a hundred exposures that are due.

        What cannot be read is left out; at the end, StoreUnavailable names it.
        """
        faults: list[str] = []
        for entries in _batches(self._due(now)):
            found = []
            for item in self._read(entries):
                try:
                    result = _result(item)
                except StoreUnavailable as fault:
                    faults.append(str(fault))
                    continue
                if isinstance(result, Pending) and result.settles_at <= now:
                    found.append((epoch_of(item), result))
            if found:
                yield found
        if faults:
            raise StoreUnavailable("; ".join(faults[:_NAMED]))

    def records(self, epoch: EpochId, *, limit: int, after: str | None = None) -> RecordPage:
        """Up to seventeen Querys and, for a hundred users each, one more and one BatchGetItem."""
        entries = self._users(epoch, "" if after is None else place_at(epoch, after))
        page: list[Record] = []
        size = looked_at = 0
        while batch := list(islice(entries, min(_BATCH, limit - len(page)))):
            results = {item["user_id"]["S"]: _result(item) for item in self._read(batch)}
            for entry in batch:
                record = results.get(entry["user_id"]["S"])
                if isinstance(record, Record):
                    page.append(record)
                    size += len(msgspec.json.encode(record))
                if size >= _PAGE:
                    return RecordPage(tuple(page), position_of(epoch, entry["place"]["S"]))
            looked_at += len(batch)
            if len(page) == limit or looked_at >= _USERS:
                is_last = next(entries, None) is None
                position = position_of(epoch, batch[-1]["place"]["S"])
                return RecordPage(tuple(page), None if is_last else position)
        return RecordPage(tuple(page), None)

    def pending(self, epoch: EpochId) -> list[Pending]:
        """Up to 26 Querys, and ten BatchGetItems."""
        batches = _batches(islice(self._users(epoch), _USERS))
        found = (_result(item) for batch in batches for item in self._read(batch))
        return [result for result in found if isinstance(result, Pending)]

    def unarchived(self, epoch: EpochId) -> list[Record]:
        """Sixteen Querys at a time, then one BatchGetItem for a hundred records.

        At most 4,096 records, as many of each partition.
        """
        with ThreadPoolExecutor(_WORKERS) as pool:
            found = pool.map(lambda digit: self._settled(digit, epoch, _UNARCHIVED), _DIGITS)
            items = pool.map(self._read, _batches(chain.from_iterable(found)))
            results = [
                _result(item) for item in chain.from_iterable(items) if "archived_in" not in item
            ]
        return [result for result in results if isinstance(result, Record)]

    def epochs_to_archive(self) -> set[EpochId]:
        """Sixteen Querys, and as many for each epoch that is found."""
        with ThreadPoolExecutor(_WORKERS) as pool:
            return set().union(*pool.map(self._settled_epochs, _DIGITS))

    def note_archived(self, epoch: EpochId, records: Iterable[Record], batch: int) -> None:
        """One UpdateItem a record, sixteen at a time."""

        def note(exposure: Exposure) -> None:
            self._change(
                _key(epoch, exposure.user_id),
                "SET archived_in = :batch REMOVE queue, turn",
                # What is being erased has no exposure any more, and the erasure wants to know.
                "attribute_exists(outcome) AND digest = :digest "
                "OR attribute_exists(user_id) AND attribute_not_exists(exposure)",
                {":batch": {"N": str(batch)}, ":digest": {"S": _digest(exposure)}},
            )

        with ThreadPoolExecutor(_WORKERS) as pool:
            list(pool.map(note, (record.exposure for record in records)))

    def of_user(self, user_id: str) -> list[tuple[EpochId, Result]]:
        """One Query; further pages only beyond a megabyte."""
        found = ((epoch_of(item), _result(item)) for item in self._of_user(user_id))
        return [(epoch, result) for epoch, result in found if result is not None]

    def begin_erasure(self, user_id: str) -> list[EpochId]:
        """One PutItem, and the Query of ``of_user``."""
        now = int(time.time() * 1_000)
        mark = {
            "user_id": {"S": user_id},
            "epoch": {"S": _ERASURE},
            "id": {"S": uuid4().hex},
            "at": {"N": str(now)},
            "expires_at": {"N": str((now + _ERASURE_KEPT) // 1_000)},
        }
        tried(_STORE, lambda: self._client.put_item(TableName=self._table, Item=mark))
        return [epoch_of(item) for item in self._of_user(user_id)]

    def seal(self, epoch: EpochId, user_id: str) -> int | None:
        """One UpdateItem."""
        _, item = self._change(
            _key(epoch, user_id),
            "REMOVE exposure, digest, later, settles_at, outcome, queue, turn, part, place",
            "attribute_exists(user_id)",
        )
        return int(item["archived_in"]["N"]) if "archived_in" in item else None

    def forget(self, epoch: EpochId, user_id: str) -> None:
        """One DeleteItem."""
        with translated(_STORE):
            try:
                self._client.delete_item(
                    TableName=self._table,
                    Key=_key(epoch, user_id),
                    ConditionExpression="attribute_not_exists(exposure)",
                )
            except ClientError as error:
                if error_code(error) != f"{_FAILED}Exception":
                    raise

    def erased(self) -> Iterator[tuple[str, int]]:
        """Users who were erased, and when, in milliseconds. One Scan of the table.

        What an earlier version has noted says no time: it counts as of now.
        """
        for item in self._scan("epoch = :erasure", {":erasure": {"S": _ERASURE}}):
            at = item.get("at", {"N": str(int(time.time() * 1_000))})
            yield item["user_id"]["S"], int(at["N"])

    def archived(self) -> Iterator[tuple[EpochId, str, int]]:
        """The epoch, user and batch of what is noted as archived. One Scan of the table."""
        for item in self._scan("attribute_exists(archived_in)"):
            yield epoch_of(item), item["user_id"]["S"], int(item["archived_in"]["N"])

    def note_unarchived(self, epoch: EpochId, user_id: str, batch: int) -> None:
        """Let a record be archived anew that is noted to be in this batch, and is not. One
        UpdateItem."""
        queue = {":queue": {"S": _settled_queue()}, ":turn": {"S": _name(epoch)}}
        self._change(
            _key(epoch, user_id),
            "SET queue = :queue, turn = :turn REMOVE archived_in",
            "archived_in = :batch AND attribute_exists(outcome)",
            {":batch": {"N": str(batch)}, **queue},
        )

    def _scan(self, condition: str, values: _Item | None = None) -> Iterator[_Item]:
        """The items that fulfil the condition, as they are at last."""
        scan: Any = {
            "TableName": self._table,
            "ConsistentRead": True,
            "FilterExpression": condition,
        }
        if values:
            scan["ExpressionAttributeValues"] = values
        return items_of(_STORE, self._client.scan, **scan)

    def _put(self, item: _Item, erasure: str | None) -> list[Any] | None:
        """None where the item was written; else what DynamoDB says of it and of the erasure."""
        known: _Item = {"ConditionExpression": "attribute_not_exists(user_id)"}
        if erasure is not None:
            known["ConditionExpression"] += " OR id = :known"
            known["ExpressionAttributeValues"] = {":known": {"S": erasure}}
        there: _Item = {
            "TableName": self._table,
            "Item": item,
            "ConditionExpression": "attribute_not_exists(user_id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        mark: _Item = {
            "TableName": self._table,
            "Key": {"user_id": item["user_id"], "epoch": {"S": _ERASURE}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            **known,
        }
        try:
            self._client.transact_write_items(
                TransactItems=[{"Put": there}, {"ConditionCheck": mark}]  # type: ignore[typeddict-item]
            )
        except ClientError as error:
            reasons = cancellation_reasons(error)
            if not any(reason["Code"] == _FAILED for reason in reasons):
                raise
            return reasons
        return None

    def _change(
        self, key: _Item, change: str, condition: str, values: _Item | None = None
    ) -> tuple[bool, _Item]:
        """Whether the condition held, and the item: as it is then, or as it was and stays."""
        values_if_any: Any = {"ExpressionAttributeValues": values} if values else {}

        def request() -> tuple[bool, _Item]:
            try:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=key,
                    UpdateExpression=change,
                    ConditionExpression=condition,
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **values_if_any,
                )
                return True, answer["Attributes"]
            except ClientError as error:
                if error_code(error) != f"{_FAILED}Exception":
                    raise
                there: Any = error.response
                return False, there.get("Item", {})

        return tried(_STORE, request)

    def _read(self, entries: Sequence[_Item]) -> list[_Item]:
        """The items that are still there of these, at most _BATCH, in their order."""
        keys = [{"user_id": entry["user_id"], "epoch": entry["epoch"]} for entry in entries]
        wanted, found = keys, {}
        for attempt in range(_TRIES):
            with translated(_STORE):
                request: Any = {self._table: {"Keys": wanted, "ConsistentRead": True}}
                answer = self._client.batch_get_item(RequestItems=request)
            for item in answer["Responses"].get(self._table, []):
                found[item["user_id"]["S"], item["epoch"]["S"]] = item
            left: Any = answer.get("UnprocessedKeys", {}).get(self._table)
            if not left:
                places = ((key["user_id"]["S"], key["epoch"]["S"]) for key in keys)
                return [found[place] for place in places if place in found]
            wanted = left["Keys"]
            time.sleep(0.05 * 2**attempt)
        raise StoreUnavailable(f"{_STORE}: {len(wanted)} items still refused after throttling")

    def _due(self, now: int) -> Iterator[_Item]:
        """Index entries of what can be settled by now, beginning with a partition drawn by lot."""
        start = random.randrange(len(_DIGITS))
        for digit in _DIGITS[start:] + _DIGITS[:start]:
            yield from self._work(f"pending#{digit}", "<=", _moment(now), _BATCH)

    def _users(self, epoch: EpochId, after: str = "") -> Iterator[_Item]:
        """Index entries of the epoch's users behind this place, in the order of the places."""
        for digit in _DIGITS:
            if digit >= after[:1]:
                yield from self._query(
                    IndexName="epochs",
                    KeyConditionExpression="part = :part AND place > :after",
                    ExpressionAttributeValues={
                        ":part": {"S": f"{_name(epoch)}#{digit}"},
                        ":after": {"S": max(after, digit)},
                    },
                    Limit=_BATCH,
                )

    def _settled(self, digit: str, epoch: EpochId, limit: int) -> list[_Item]:
        """Index entries of the epoch's records, in one partition, that are to be archived."""
        return list(islice(self._work(f"settled#{digit}", "=", _name(epoch), limit), limit))

    def _settled_epochs(self, digit: str) -> set[EpochId]:
        """Epochs with records, in one partition, that are to be archived."""
        epochs: list[str] = []
        while True:
            # Behind the last epoch there may be thousands of its records: no page, one item.
            last = epochs[-1] if epochs else " "
            first = next(self._work(f"settled#{digit}", ">", last, 1), None)
            if first is None:
                return {_epoch_named(name) for name in epochs}
            epochs.append(first["turn"]["S"])

    def _work(self, queue: str, comparison: str, turn: str, page: int) -> Iterator[_Item]:
        """Index entries of a partition of what is left to be done, by turn; so many a request."""
        return self._query(
            IndexName="work",
            KeyConditionExpression=f"queue = :queue AND turn {comparison} :turn",
            ExpressionAttributeValues={":queue": {"S": queue}, ":turn": {"S": turn}},
            Limit=page,
        )

    def _of_user(self, user_id: str) -> Iterator[_Item]:
        """The user's results, those sealed included."""
        items = self._query(
            KeyConditionExpression="user_id = :user",
            ExpressionAttributeValues={":user": {"S": user_id}},
            ConsistentRead=True,
        )
        return (item for item in items if item["epoch"]["S"] != _ERASURE)

    def _query(self, **query: Any) -> Iterator[_Item]:
        return items_of(_STORE, self._client.query, TableName=self._table, **query)


def _item(epoch: EpochId, result: Result) -> _Item:
    place = secrets.token_hex(32)
    item = _key(epoch, result.exposure.user_id) | {
        "exposure": {"B": _compressed(msgspec.json.encode(result.exposure))},
        "digest": {"S": _digest(result.exposure)},
        "part": {"S": f"{_name(epoch)}#{place[0]}"},
        "place": {"S": place},
    }
    if isinstance(result, Record):
        return item | _outcome(epoch, result)
    return item | {
        "settles_at": {"N": str(result.settles_at)},
        "queue": {"S": f"pending#{place[0]}"},
        "turn": {"S": _moment(result.settles_at)},
    }


def _outcome(epoch: EpochId, record: Record) -> _Item:
    """What is in the item of a record, and not in that of its exposure."""
    outcome = _Outcome(
        record.successful,
        record.settled_at,
        dict(record.credits),
        dict(record.figures),
        record.positions,
        record.reported,
        dict(record.successes),
    )
    return {
        "outcome": {"B": msgspec.json.encode(outcome)},
        "queue": {"S": _settled_queue()},
        "turn": {"S": _name(epoch)},
    }


def is_result(item: _Item) -> bool:
    """Whether it is a result, and neither sealed nor the mark of an erasure."""
    return "exposure" in item


def as_archived(item: _Item, batch: int) -> _Item:
    """An item of an earlier moment as it has to be now: this batch holds its record."""
    waiting = {"settles_at", "queue", "turn"}
    kept = {name: value for name, value in item.items() if name not in waiting}
    return kept | {"archived_in": {"N": str(batch)}}


def with_outcome(item: _Item, record: Record) -> _Item:
    """An item that was pending, with the outcome of its record."""
    return item | {"outcome": _outcome(epoch_of(item), record)["outcome"]}


def as_unarchived(item: _Item) -> _Item:
    """An archived item as it has to be where no archive holds its record any more."""
    kept = {name: value for name, value in item.items() if name != "archived_in"}
    return kept | {"queue": {"S": _settled_queue()}, "turn": item["epoch"]}


def _settled_queue() -> str:
    """One of the partitions of what is to be archived."""
    return f"settled#{secrets.choice(_DIGITS)}"


def _result(item: _Item) -> Result | None:
    """What the item holds; None where it is sealed. Raises StoreUnavailable, without the user."""
    if "exposure" not in item:
        return None
    if "format" in item:
        raise LaterFormat.of(f"{_STORE}: an item", item["format"]["N"])
    try:
        exposure = msgspec.json.decode(_decompressed(item["exposure"]["B"]), type=Exposure)
        later = _later(exposure, item)
        if "outcome" not in item:
            return Pending(exposure, int(item["settles_at"]["N"]), later)
        outcome = msgspec.json.decode(item["outcome"]["B"], type=_Outcome)
    except (zlib.error, msgspec.DecodeError, KeyError) as error:
        place = f"part {item['part']['S']}, place {item['place']['S']}"
        raise StoreUnavailable(f"{_STORE}: the item at {place} cannot be read") from error
    return Record(exposure, later=later, **msgspec.structs.asdict(outcome))


def _later(exposure: Exposure, item: _Item) -> tuple[Impression, ...]:
    stored = item.get("later", {"L": []})["L"]
    common = _common(exposure) if stored else b""
    return tuple(
        msgspec.json.decode(_decompressed(entry["B"], common), type=Impression) for entry in stored
    )


def _common(exposure: Exposure) -> bytes:
    """What other lists have in common with the first one: most of their tracks."""
    return msgspec.json.encode(exposure.impression)


def _digest(exposure: Exposure) -> str:
    """Of what no later version of Segue adds to: an exposure that it stores, it has to settle."""
    said = (exposure.user_id, exposure.group, exposure.model, exposure.bundle, exposure.tracks)
    made = (exposure.as_of, exposure.created_at)
    return sha256(msgspec.json.encode((said, made))).hexdigest()[:16]


def _compressed(plain: bytes, common: bytes = _COMMON) -> bytes:
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS, zdict=common)
    return compressor.compress(plain) + compressor.flush()


def _decompressed(packed: bytes, common: bytes = _COMMON) -> bytes:
    decompressor = zlib.decompressobj(wbits=-zlib.MAX_WBITS, zdict=common)
    return decompressor.decompress(packed) + decompressor.flush()


def _key(epoch: EpochId, user_id: str) -> _Item:
    return {"user_id": {"S": user_id}, "epoch": {"S": _name(epoch)}}


def _name(epoch: EpochId) -> str:
    return f"{epoch.experiment}/{epoch.side}/{epoch.number}"


def epoch_of(item: _Item) -> EpochId:
    """Of a result's item."""
    return _epoch_named(item["epoch"]["S"])


def _epoch_named(name: str) -> EpochId:
    experiment, side, number = name.split("/")
    return EpochId(experiment, int(number), Side(side))


def _moment(time_ms: int) -> str:
    """A time in milliseconds as a text that sorts like it."""
    return f"{time_ms:015d}"


def _named(values: _Item) -> _Item:
    return {f":{name}": value for name, value in values.items()}


def _batches(entries: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Of _BATCH each, as far as they reach."""
    left = iter(entries)
    while batch := list(islice(left, _BATCH)):
        yield batch
