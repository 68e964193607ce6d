"""What requests to DynamoDB are charged, by the rules of its developer guide."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.benchmarks.meter import Index, Table, item_size

WORK = Index(frozenset({"queue", "turn"}), frozenset({"queue", "turn", "id"}))
ALL = Index(frozenset({"queue"}), None)
TABLE = Table(frozenset({"id"}), {"work": WORK})
THERE = {"id": {"S": "1"}, "queue": {"S": "pending"}, "turn": {"S": "1"}, "body": {"S": "a"}}


def text(size: int) -> dict[str, Any]:
    """An item of so many bytes."""
    return {"id": {"S": "x" * (size - 2)}}


def changed(**values: str) -> dict[str, Any]:
    return THERE | {name: {"S": value} for name, value in values.items()}


class TestSize:
    @pytest.mark.parametrize(
        ("value", "size"),
        [
            ({"S": "né"}, 3),
            ({"B": b"abc"}, 3),
            ({"BOOL": True}, 1),
            ({"NULL": True}, 1),
            ({"N": "7"}, 2),
            ({"N": "-123"}, 3),
            ({"N": "1662000000000"}, 3),
            ({"N": "0.25"}, 2),
            ({"L": []}, 3),
            ({"L": [{"S": "ab"}, {"N": "1"}]}, 3 + 1 + 2 + 1 + 2),
            ({"M": {"k": {"S": "ab"}}}, 3 + 1 + 1 + 2),
        ],
    )
    def test_is_that_of_name_and_value(self, value: Any, size: int) -> None:
        assert item_size({"name": value}) == len("name") + size

    def test_of_what_has_no_rule_here_is_not_guessed(self) -> None:
        with pytest.raises(NotImplementedError, match="SS"):
            item_size({"name": {"SS": ["a"]}})


class TestWrite:
    @pytest.mark.parametrize(("size", "units"), [(3, 1), (1_024, 1), (1_025, 2), (10_240, 10)])
    def test_takes_a_unit_for_each_begun_kilobyte(self, size: int, units: int) -> None:
        assert TABLE.write_units({}, text(size), {}, times=1) == units

    def test_takes_the_units_of_the_item_before_where_that_was_larger(self) -> None:
        assert TABLE.write_units(text(3_000), text(10), {}, times=1) == 3
        assert TABLE.write_units(text(3_000), {}, {}, times=1) == 3

    def test_that_is_refused_takes_the_units_of_what_was_offered(self) -> None:
        assert TABLE.write_units({}, {}, {}, times=1) == 1
        assert TABLE.write_units({}, {}, text(2_000), times=1) == 2

    def test_in_a_transaction_takes_double_of_the_table_alone(self) -> None:
        assert TABLE.write_units({}, THERE, {}, times=2) == 2 + 1


class TestIndex:
    @pytest.mark.parametrize(
        ("before", "after", "units"),
        [
            ({}, THERE, 1),
            (THERE, {}, 1),
            (THERE, {"id": {"S": "1"}, "queue": {"S": "pending"}}, 1),
            (THERE, changed(turn="2"), 2),
            (THERE, changed(body="b"), 0),
            ({"id": {"S": "1"}}, {"id": {"S": "1"}, "body": {"S": "a"}}, 0),
        ],
        ids=["comes", "goes", "leaves the index", "moves", "changes elsewhere", "is in no index"],
    )
    def test_of_keys_is_written_where_they_change(
        self, before: Any, after: Any, units: int
    ) -> None:
        assert WORK.write_units(before, after) == units

    def test_of_whole_items_is_written_with_whatever_changes(self) -> None:
        assert ALL.write_units(THERE, changed(body="b" * 2_000)) == 2

    @given(*[st.dictionaries(st.sampled_from(sorted(THERE)), st.sampled_from("ab"))] * 2)
    def test_takes_as_much_there_as_back(self, one: Any, other: Any) -> None:
        before, after = ({name: {"S": it} for name, it in item.items()} for item in (one, other))
        for index in (WORK, ALL):
            there, back = index.write_units(before, after), index.write_units(after, before)
            assert there == back <= 2
            assert (there == 0) == (index.entry(before) == index.entry(after))


def test_a_stored_item_takes_100_bytes_more_and_so_does_its_entry() -> None:
    keys = {name: THERE[name] for name in ("id", "queue", "turn")}
    assert TABLE.stored_bytes(THERE) == item_size(THERE) + 100 + item_size(keys) + 100
    assert TABLE.stored_bytes(text(10)) == 110
