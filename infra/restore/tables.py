"""A table that is gone comes back under its own name, with the settings that the template gives it.

DynamoDB keeps a backup of a table that was deleted, for 35 days, and a name is free again when its
table is gone. The stack knows a table by its name alone: to CloudFormation, and to the functions,
it is as if it had never been away. What DynamoDB does not bring back is set again.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from infra.local.environment import TEMPLATE
from infra.progress import Report, silent
from infra.restore.erasures import Erasures
from infra.restore.names import TableName
from infra.restore.sources import wait_for
from infra.restore.stack import Stack
from infra.template import TABLE, load
from segue.adapters.aws import translated
from segue.domain.errors import InvalidData, StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# What AWS Backup has made, only AWS Backup restores.
_TYPES = ("SYSTEM", "USER")
# DynamoDB keeps no continuous backup of a table in its first moments.
_TRIES = 60
_PAUSE = 5


@dataclass(frozen=True, slots=True)
class TableRestored:
    """``backed_up`` items were there when DynamoDB counted them last, up to six hours before the
    backup, and ``items`` are there now. ``erased_again``: users who were erased since."""

    backup: str
    taken: datetime
    backed_up: int
    items: int
    erased_again: int


def restore_table(
    stack: Stack,
    table: TableName,
    backup: str | None,
    erasures: Erasures,
    report: Report = silent,
) -> TableRestored:
    """Bring a deleted table back from its latest backup, or this one, and set its settings again.

    Safe to repeat. Raises InvalidData where there is no backup, or the table is there and not from
    that; StoreUnavailable.
    """
    client, name = stack.dynamodb, stack.table(table)
    with translated(name):
        arn = backup or _latest_backup(client, name)
        description = client.describe_backup(BackupArn=arn)["BackupDescription"]
        if not _is_of(client, name, arn):
            client.restore_table_from_backup(BackupArn=arn, TargetTableName=name)
        report("waiting for DynamoDB", 0, 0)
        wait_for(client, name)
        _set_settings(client, name, _properties(stack, table), stack.tags)
    details = description["BackupDetails"]
    taken = details["BackupCreationDateTime"]
    erased = erasures.since(int(taken.timestamp() * 1_000))
    for user_id in erased:
        stack.privacy.erase(user_id)
    counted = description["SourceTableDetails"].get("ItemCount", 0)
    return TableRestored(arn, taken, counted, _count(client, name, report), len(erased))


def _is_of(client: "DynamoDBClient", name: str, backup: str) -> bool:
    """Whether the table is there, restored from this backup; false where there is none."""
    try:
        table = client.describe_table(TableName=name)["Table"]
    except client.exceptions.ResourceNotFoundException:
        return False
    if table.get("RestoreSummary", {}).get("SourceBackupArn") != backup:
        raise InvalidData(
            f"the table {name} is there. What is missing in it comes back by `segue restore items`"
        )
    return True


def _latest_backup(client: "DynamoDBClient", table: str) -> str:
    backups = [
        it
        for page in client.get_paginator("list_backups").paginate(TableName=table, BackupType="ALL")
        for it in page["BackupSummaries"]
        if it["BackupStatus"] == "AVAILABLE" and it["BackupType"] in _TYPES
    ]
    if not backups:
        raise InvalidData(
            f"DynamoDB has no backup of a table {table}: those of a deleted table last 35 days. "
            "Deploy the stack, and bring its items back from an export"
        )
    return max(backups, key=lambda it: it["BackupCreationDateTime"])["BackupArn"]


def _properties(stack: Stack, table: TableName) -> Mapping[str, Any]:
    template = load(TEMPLATE)
    properties = template.resources(TABLE)[table.logical_id]["Properties"]
    resolved: Mapping[str, Any] = template.resolve(properties, {"Stage": stack.stage})
    return resolved


def _set_settings(
    client: "DynamoDBClient", name: str, properties: Mapping[str, Any], tags: Mapping[str, str]
) -> None:
    """Expiry, recovery, protection and tags. Safe to repeat."""
    expiry = properties.get("TimeToLiveSpecification")
    known = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    # DynamoDB refuses to enable what is enabled.
    if expiry and known.get("AttributeName") != expiry["AttributeName"]:
        client.update_time_to_live(TableName=name, TimeToLiveSpecification=expiry)
    _set_recovery(client, name, properties["PointInTimeRecoverySpecification"])
    described = client.describe_table(TableName=name)["Table"]
    protected = properties["DeletionProtectionEnabled"]
    if described.get("DeletionProtectionEnabled", False) != protected:
        client.update_table(TableName=name, DeletionProtectionEnabled=protected)
    if tags:
        pairs: Any = [{"Key": key, "Value": value} for key, value in tags.items()]
        client.tag_resource(ResourceArn=described["TableArn"], Tags=pairs)


def _set_recovery(client: "DynamoDBClient", name: str, recovery: Any) -> None:
    for _ in range(_TRIES):
        with suppress(client.exceptions.ContinuousBackupsUnavailableException):
            client.update_continuous_backups(
                TableName=name, PointInTimeRecoverySpecification=recovery
            )
            return
        time.sleep(_PAUSE)
    raise StoreUnavailable(f"{name}: point-in-time recovery cannot be enabled yet: repeat it")


def _count(client: "DynamoDBClient", name: str, report: Report) -> int:
    items = 0
    with translated(name):
        for page in client.get_paginator("scan").paginate(TableName=name, Select="COUNT"):
            items += page["Count"]
            report("counting", items, 0)
    return items
