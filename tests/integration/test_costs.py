"""What the page on costs says of an experiment is what is counted when one is run."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.benchmarks.costs import (
    PAGE,
    Service,
    run_experiment,
    section,
)
from infra.benchmarks.meter import Charge, Meter
from segue.adapters.aws import dynamodb_client
from segue.adapters.objects import Objects
from segue.models.bundle import Bundle
from tests.integration.conftest import ROOT, Aws

COSTS = ROOT / "docs" / "cost.md"
KEY: Any = {"user_id": {"S": "1"}, "epoch": {"S": "e"}}
ITEM: Any = {**KEY, "queue": {"S": "q"}, "turn": {"S": "1"}, "body": {"S": "x" * 5_000}}

on_moto = pytest.mark.parametrize("aws", ["moto"], indirect=True)


@pytest.fixture
def meter(aws: Aws) -> Meter:
    return Meter(aws.dynamodb, aws.s3, dynamodb_client())


def numbers(markdown: str) -> Mapping[str, list[float]]:
    """The numbers of a table, by the first cell of their row, those in this cell in front."""
    rows = [line.split("|")[1:-1] for line in markdown.splitlines() if "|" in line]
    return {
        re.sub(r"[\d.]+", "#", name.strip()): [
            float(each) for each in re.findall(r"[\d.]+", "|".join((name, *cells)).replace(",", ""))
        ]
        for name, *cells in rows[2:]
    }


@on_moto
def test_the_page_says_what_is_counted(aws: Aws, meter: Meter, bundle: Bundle) -> None:
    service = Service(aws.dynamodb, aws.s3, aws.names, bundle)
    counted = run_experiment(service, meter, seed=1)
    written, now = map(numbers, (PAGE.read(COSTS), section(counted)))
    assert written.keys() == now.keys()
    for step, figures in now.items():
        assert written[step] == pytest.approx(figures, rel=0.1, abs=0.05), (
            f"{step} has changed: python -m infra.benchmarks.costs --page docs/cost.md"
        )
    assert counted.added_dollars <= 10


class TestMeter:
    """On the table of exposures: two keys, and two indexes of keys alone."""

    @on_moto
    def test_writes_are_charged_by_the_item_before_and_after(self, aws: Aws, meter: Meter) -> None:
        table = aws.names["ExposuresTable"]
        with meter.counting("put"):
            aws.dynamodb.put_item(TableName=table, Item=ITEM)
        with meter.counting("moved"):
            aws.dynamodb.update_item(
                TableName=table,
                Key=KEY,
                UpdateExpression="SET turn = :two REMOVE body",
                ExpressionAttributeValues={":two": {"S": "2"}},
            )
        with meter.counting("refused"), pytest.raises(ClientError):
            aws.dynamodb.delete_item(
                TableName=table, Key=KEY, ConditionExpression="attribute_exists(body)"
            )
        with meter.counting("batch"):
            deleted: Any = {"DeleteRequest": {"Key": KEY}}
            put: Any = {"PutRequest": {"Item": {**ITEM, "user_id": {"S": "2"}}}}
            aws.dynamodb.batch_write_item(RequestItems={table: [deleted, put]})
        units = {step: charges[Charge.WRITE] for step, charges in meter.charges.items()}
        assert units == {"put": 5 + 1, "moved": 5 + 2, "refused": 1, "batch": 1 + 1 + 5 + 1}

    @on_moto
    def test_a_transaction_is_charged_double_whatever_becomes_of_it(
        self, aws: Aws, meter: Meter
    ) -> None:
        table = aws.names["ExposuresTable"]
        put: Any = {"TableName": table, "Item": ITEM}
        check: Any = {
            "TableName": table,
            "Key": {**KEY, "epoch": {"S": "other"}},
            "ConditionExpression": "attribute_not_exists(user_id)",
        }
        with meter.counting("done"):
            aws.dynamodb.transact_write_items(
                TransactItems=[{"Put": put}, {"ConditionCheck": check}]
            )
        refused: Any = {**put, "ConditionExpression": "attribute_not_exists(user_id)"}
        with meter.counting("refused"), pytest.raises(ClientError):
            aws.dynamodb.transact_write_items(
                TransactItems=[{"Put": refused}, {"ConditionCheck": check}]
            )
        units = {step: charges[Charge.WRITE] for step, charges in meter.charges.items()}
        assert units == {"done": 2 * 5 + 1 + 2, "refused": 2 * 5 + 2}

    @on_moto
    def test_reads_are_charged_item_by_item_or_by_the_page(self, aws: Aws, meter: Meter) -> None:
        table = aws.names["ExposuresTable"]
        for user in "12":
            item = {**ITEM, "epoch": {"S": user}}
            aws.dynamodb.put_item(TableName=table, Item=item)
        first, second, absent = ({**KEY, "epoch": {"S": it}} for it in "123")
        query: Any = {
            "TableName": table,
            "KeyConditionExpression": "user_id = :user",
            "ExpressionAttributeValues": {":user": {"S": "1"}},
        }
        names: Any = {"ProjectionExpression": "#q", "ExpressionAttributeNames": {"#q": "queue"}}
        of_index: Any = {
            "TableName": table,
            "IndexName": "work",
            "KeyConditionExpression": "queue = :queue",
            "ExpressionAttributeValues": {":queue": {"S": "q"}},
        }
        requests: dict[str, Callable[[], object]] = {
            "consistent": lambda: aws.dynamodb.get_item(
                TableName=table, Key=first, ConsistentRead=True
            ),
            "eventual": lambda: aws.dynamodb.get_item(TableName=table, Key=first),
            "absent": lambda: aws.dynamodb.get_item(TableName=table, Key=absent),
            "batch": lambda: aws.dynamodb.batch_get_item(
                RequestItems={table: {"Keys": [first, second, absent], "ConsistentRead": True}}
            ),
            "page": lambda: aws.dynamodb.query(**query),
            "projection": lambda: aws.dynamodb.query(**query, **names),
            "index": lambda: aws.dynamodb.query(**of_index),
        }
        for step, request in requests.items():
            with meter.counting(step):
                request()
        units = {step: charges[Charge.READ] for step, charges in meter.charges.items()}
        assert units == {
            "consistent": 2,
            "eventual": 1,
            "absent": 0.5,
            "batch": 2 + 2 + 1,
            "page": 1.5,
            "projection": 1.5,
            "index": 0.5,
        }

    @on_moto
    def test_a_bucket_charges_reads_and_listings_and_deletes_for_nothing(
        self, aws: Aws, meter: Meter
    ) -> None:
        objects = Objects(aws.s3, aws.names["Bucket"])
        with meter.counting("all"):
            tag = objects.swap("a", b"1", "text/plain", None)
            assert objects.swap("a", b"2", "text/plain", None) is None
            assert objects.read("a") == (b"1", tag)
            assert objects.read("b") is None
            objects.listed("")
            objects.delete(["a"])
        assert meter.charges["all"] == {
            Charge.WRITE: 0,
            Charge.READ: 0,
            Charge.PUT: 3,
            Charge.GET: 2,
        }

    @on_moto
    def test_what_is_sent_outside_of_a_step_is_charged_to_none(
        self, aws: Aws, meter: Meter
    ) -> None:
        with meter.counting("nothing"):
            pass
        aws.dynamodb.put_item(TableName=aws.names["ExposuresTable"], Item=ITEM)
        assert set(meter.charges["nothing"].values()) == {0}
