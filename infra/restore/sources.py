"""What items are brought back from: a table beside the lost one, or an export on S3.

DynamoDB restores into new tables alone. So a moment, or a backup, is first made a table beside the
live one, under a name that says what it is of: whoever is stopped finds it there when they repeat.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from infra.exports import Item, TableExport, item_of, open_export
from segue.adapters.aws import items_of, translated
from segue.domain.errors import InvalidData
from segue.domain.times import format_time, parse_time

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_WAIT: Any = {"Delay": 5, "MaxAttempts": 17_280}


class Source(Protocol):
    """Items of an earlier moment, ``as_of``, in milliseconds; 0 where it is not known."""

    @property
    def as_of(self) -> int: ...

    def items(self) -> Iterator[Item]:
        """All of them; those of one user mostly follow each other. Raises StoreUnavailable."""
        ...

    def remove(self) -> None:
        """Remove what was made for this alone."""
        ...


@dataclass(frozen=True)
class TableSource:
    """A table beside the live one. ``made``: for this alone."""

    client: "DynamoDBClient"
    name: str
    as_of: int
    made: bool

    def items(self) -> Iterator[Item]:
        scan = {"TableName": self.name, "ConsistentRead": True}
        return items_of(self.name, self.client.scan, **scan)

    def remove(self) -> None:
        if self.made:
            with translated(self.name):
                self.client.delete_table(TableName=self.name)


@dataclass(frozen=True)
class ExportSource:
    """A finished export of the whole table."""

    export: TableExport
    as_of: int

    def items(self) -> Iterator[Item]:
        for file in self.export.files:
            for record in self.export.records(file):
                yield item_of(record["Item"])

    def remove(self) -> None:
        pass


def open_source(client: "DynamoDBClient", live: str, given: str) -> Source:
    """A time, the ARN of a backup, ``s3://`` and an export, or the name of a table.

    Of a time or a backup of the table ``live`` a table is made, which takes DynamoDB its time.
    Raises InvalidData, StoreUnavailable.
    """
    if given.startswith("s3://"):
        return _of_export(given)
    with translated(live):
        if "/backup/" in given:
            return _of_backup(client, live, given)
        with suppress(ValueError):
            return _of_time(client, live, parse_time(given))
        return _of_table(client, given)


def wait_for(client: "DynamoDBClient", name: str) -> None:
    """Wait until a table that DynamoDB restores is there: minutes, or hours for a large one."""
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig=_WAIT)


def _of_export(url: str) -> Source:
    export = open_export(url)
    taken = export.summary.export_time
    if not export.summary.is_full or taken is None:
        raise InvalidData(f"{url} holds changes alone; give an export of the whole table")
    return ExportSource(export, int(taken.timestamp() * 1_000))


def _of_table(client: "DynamoDBClient", name: str) -> Source:
    summary = client.describe_table(TableName=name)["Table"].get("RestoreSummary")
    return TableSource(
        client, name, _milliseconds(summary["RestoreDateTime"]) if summary else 0, False
    )


def _of_time(client: "DynamoDBClient", live: str, moment: int) -> Source:
    name = f"{live}-as-of-{format_time(moment).replace(':', '.')}"
    with suppress(client.exceptions.TableAlreadyExistsException):
        client.restore_table_to_point_in_time(
            SourceTableName=live,
            TargetTableName=name,
            RestoreDateTime=datetime.fromtimestamp(moment / 1_000, UTC),
        )
    return _made(client, name, moment)


def _of_backup(client: "DynamoDBClient", live: str, arn: str) -> Source:
    name = f"{live}-{arn.rpartition('/')[2]}"
    details = client.describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]
    with suppress(client.exceptions.TableAlreadyExistsException):
        client.restore_table_from_backup(BackupArn=arn, TargetTableName=name)
    return _made(client, name, _milliseconds(details["BackupCreationDateTime"]))


def _made(client: "DynamoDBClient", name: str, as_of: int) -> Source:
    wait_for(client, name)
    return TableSource(client, name, as_of, True)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)
