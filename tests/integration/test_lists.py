"""The lists of a shard, stored in a bucket: all or none of them, once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO

import pyarrow.parquet
import pytest

from segue.ports import Shard, UserList
from tests.integration.conftest import Aws, Stores, stores_on

SHARD = Shard("run", 3, 20, 0, 7, 16)
LISTS = [UserList(str(user), ["a", "b"], [1.0, 0.5], "hybrid", "abc", 0) for user in range(9)]


def test_a_shard_is_done_when_its_lists_are_there(stores: Stores) -> None:
    assert not stores.lists.has(SHARD)
    assert stores.lists.add(SHARD, LISTS) == len(LISTS)
    assert stores.lists.has(SHARD)
    for other in (replace(SHARD, number=8), replace(SHARD, of=17), replace(SHARD, run="r")):
        assert not stores.lists.has(other)


def test_a_shard_without_users_is_done_all_the_same(stores: Stores) -> None:
    assert stores.lists.add(SHARD, []) == 0
    assert stores.lists.has(SHARD)


def test_who_stops_half_way_leaves_nothing(stores: Stores) -> None:
    def stopped() -> Iterator[UserList]:
        yield LISTS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stores.lists.add(SHARD, stopped())
    assert not stores.lists.has(SHARD)


def test_of_many_at_once_one_stores_its_lists(stores: Stores) -> None:
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda _: stores.lists.add(SHARD, LISTS), range(8)))
    assert sorted(added) == [0] * 7 + [len(LISTS)]


def test_a_file_stands_under_its_run_and_its_number(aws: Aws) -> None:
    stores_on(aws).lists.add(SHARD, LISTS)
    answer = aws.s3.get_object(Bucket=aws.names["Bucket"], Key="lists/run/00007-of-00016.parquet")
    table = pyarrow.parquet.read_table(BytesIO(answer["Body"].read()))
    assert table["user_id"].to_pylist() == [it.user_id for it in LISTS]
