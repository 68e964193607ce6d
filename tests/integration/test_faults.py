"""What AWS may do to a store, and what the store makes of it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from segue.adapters import dynamodb, objects
from segue.domain.errors import StoreUnavailable
from segue.domain.events import Event, EventType
from segue.domain.times import Window
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import DEFAULT
from tests.integration.conftest import Aws, stores_on

pytestmark = pytest.mark.parametrize("aws", ["moto"], indirect=True)

EPOCH = Epoch(DEFAULT, "bundle")
EVENTS = [Event("1", str(place), place, EventType.PLAY, "t") for place in range(60)]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb.time, "sleep", lambda _: None)
    monkeypatch.setattr(objects.time, "sleep", lambda _: None)


def failing(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


def first_failing(call: Callable[..., Any], times: int, error: Exception) -> Callable[..., Any]:
    """The call, failing the first ``times``."""
    errors: Iterator[Exception] = iter([error] * times)

    def wrapped(**arguments: Any) -> Any:
        for fault in errors:
            raise fault
        return call(**arguments)

    return wrapped


def test_a_conflict_with_another_writer_is_tried_again(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    conflict = failing("ConditionalRequestConflict", "PutObject")
    monkeypatch.setattr(aws.s3, "put_object", first_failing(aws.s3.put_object, 3, conflict))
    assert stores_on(aws).experiments.save(EPOCH, None)


def test_endless_conflicts_are_given_up(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    conflict = failing("ConditionalRequestConflict", "PutObject")
    monkeypatch.setattr(aws.s3, "put_object", first_failing(aws.s3.put_object, 99, conflict))
    with pytest.raises(StoreUnavailable, match="too many writers"):
        stores_on(aws).experiments.save(EPOCH, None)


def test_a_compare_and_swap_of_what_is_gone_fails(aws: Aws) -> None:
    assert not stores_on(aws).experiments.save(EPOCH, '"0123456789abcdef"')


@pytest.mark.parametrize("code", ["SlowDown", "InternalError", "AccessDenied", "NoSuchBucket"])
def test_what_s3_refuses_is_unavailable_and_says_why(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    experiments = stores_on(aws).experiments
    # What is not there may be denied, too, and is missing all the same.
    experiments.save(EPOCH, None)
    fault = failing(code, "GetObject")
    monkeypatch.setattr(aws.s3, "get_object", first_failing(aws.s3.get_object, 99, fault))
    with pytest.raises(StoreUnavailable, match=code):
        experiments.running(EPOCH.experiment.name)


def test_items_that_a_throttled_table_leaves_over_are_written_again(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = aws.dynamodb.batch_write_item

    def half(RequestItems: dict[str, list[Any]]) -> dict[str, Any]:  # noqa: N803
        ((table, batch),) = RequestItems.items()
        middle = (len(batch) + 1) // 2
        write(RequestItems={table: batch[:middle]})
        return {"UnprocessedItems": {table: batch[middle:]} if batch[middle:] else {}}

    monkeypatch.setattr(aws.dynamodb, "batch_write_item", half)
    stores = stores_on(aws)
    stores.sessions.put(EVENTS)
    found = stores.sessions.events("1", Window(0, 100))
    assert sorted(found, key=lambda event: event.time) == EVENTS


def test_a_table_that_takes_nothing_is_unavailable(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(RequestItems: dict[str, list[Any]]) -> dict[str, Any]:  # noqa: N803
        return {"UnprocessedItems": RequestItems}

    monkeypatch.setattr(aws.dynamodb, "batch_write_item", none)
    with pytest.raises(StoreUnavailable, match="25 items"):
        stores_on(aws).sessions.put(EVENTS)


def test_a_throttled_query_is_unavailable(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = failing("ProvisionedThroughputExceededException", "Query")
    monkeypatch.setattr(aws.dynamodb, "query", first_failing(aws.dynamodb.query, 99, fault))
    with pytest.raises(StoreUnavailable, match="ProvisionedThroughput"):
        stores_on(aws).sessions.events("1", Window(0, 100))
