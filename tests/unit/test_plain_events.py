"""Events read by columns: the same as events read one by one, faults and all."""

import json
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segue.domain.errors import InvalidRecord
from segue.domain.events import parse_event
from training.data import ingest
from training.data.events import EVENT_COLUMNS, read_plain_columns, read_plain_events
from training.data.records import decode
from training.data.sources import Columns, Row, Unreadable

IDS = [1, 0, -1, 1.0, 1.5, True, None, "", "1", "a", "é", "x" * 64, "x" * 65, 10**64, [1], {"a": 1}]
TIMES = [
    "2022-09-01T00:00:00",
    "2022-09-01T12:30:59.999",
    "2022-09-01T12:30:59.999999",
    "2022-09-01T12:30:59.9",
    "2022-09-01T00:00:00Z",
    "2022-09-01T00:00:00+02:00",
    "2022-09-01",
    "2022-09-01 00:00:00",
    "2022-02-31T00:00:00",
    "2022-09-01T23:59:60",
    "2022-09-01T24:00:00",
    "1969-12-31T23:59:59",
    "1970-01-01T00:00:00",
    "2100-01-01T00:00:00",
    "2022-09-01T00:00:00\n",
    "soon",
    1_661_990_400_000,
    1_661_990_400_000.0,
    1_661_990_400_000.5,
    253_402_300_800_000,
    -1,
    0,
    True,
    None,
    [],
]
TYPES = ["play", "PLAY", "Play", "SKIP", "like", "advertisment", "ADVERTISEMENT", "BUY_PREMIUM"]
TYPES_WITH_FAULTS = [*TYPES, "stop", "", 1, None, []]

CLEAN = {
    "user_id": 101,
    "session_id": 1,
    "timestamp": "2022-09-01T00:00:00",
    "track_id": "t1",
    "event_type": "play",
}


def changed(field: str, values: Sequence[object]) -> st.SearchStrategy[dict[str, object]]:
    return st.sampled_from(values).map(lambda value: CLEAN | {field: value})


records = st.one_of(
    st.builds(
        lambda **fields: fields,
        user_id=st.integers(1, 3),
        session_id=st.integers(1, 4),
        timestamp=st.sampled_from(TIMES[:3]),
        track_id=st.sampled_from(["t1", "t2", 3]),
        event_type=st.sampled_from(TYPES),
    ),
    changed("user_id", IDS),
    changed("session_id", IDS),
    changed("track_id", IDS),
    changed("timestamp", TIMES),
    changed("event_type", TYPES_WITH_FAULTS),
    st.fixed_dictionaries(
        {},
        optional={
            "user_id": st.sampled_from(IDS),
            "session_id": st.sampled_from(IDS),
            "timestamp": st.sampled_from(TIMES),
            "track_id": st.sampled_from(IDS),
            "event_type": st.sampled_from(TYPES_WITH_FAULTS),
            "more": st.sampled_from([None, 0.5, "x", [1]]),
        },
    ),
)
lines = st.one_of(
    records.map(lambda record: json.dumps(record).encode()),
    records.map(lambda record: json.dumps(record, ensure_ascii=False).encode()),
    st.sampled_from(
        [
            b"",
            b" ",
            b"{",
            b"null",
            b"[1]",
            b'{"user_id": "\xff"}',
            b'{"user_id": 1, "more": "\xff"}',
            b'{"user_id": 1, "more": 1e999}',
            b'{"user\\u005fid": 1}',
            json.dumps(CLEAN).encode()[:-1] + b', "user_id": 102}',
            json.dumps(CLEAN).encode()[:-1] + b', "track\\u005fid": null}',
            json.dumps(CLEAN).encode() * 2,
        ]
    ),
)


def nothing_is_plain(rows: Sequence[tuple[int, Row]]) -> tuple[Any, Sequence[tuple[int, Row]]]:
    """Leaves every row to the path that reads one by one."""
    nothing, _ = read_plain_events([])
    return nothing, rows


def read(
    data: Path, workspace: Path, reader: Callable[..., object]
) -> tuple[list[list[dict[str, object]]], bytes, bytes]:
    """The tables, the quarantine and the summary."""
    with patch("training.data.listening.read_plain_events", reader):
        ingest(data, workspace, needs=())
    tables = [
        pq.read_table(workspace / f"{name}.parquet").to_pylist() for name in ("events", "plays")
    ]
    return (
        tables,
        (workspace / "quarantine.jsonl").read_bytes(),
        (workspace / "summary.json").read_bytes(),
    )


@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.lists(lines, max_size=40))
def test_a_folder_reads_the_same_by_columns_and_one_by_one(
    tmp_path: Path, content: list[bytes]
) -> None:
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    (data / "sessions.jsonl").write_bytes(b"\n".join(content))
    by_columns = read(data, tmp_path / "columns", read_plain_events)
    assert by_columns == read(data, tmp_path / "rows", nothing_is_plain)


@given(rows=st.lists(records, max_size=20))
def test_records_of_parquet_read_the_same(rows: list[dict[str, object]]) -> None:
    events, others = read_plain_events(list(enumerate(rows)))
    for event in events.to_pylist():
        line, *cells = event.values()
        found = parse_event(decode(dict(rows[line])))
        assert cells == list(found.identity)
    assert sorted([*events["line"].to_pylist(), *(line for line, _ in others)]) == list(
        range(len(rows))
    )


COLUMNS = {
    "user_id": [pa.array([1, 0, -1, None]), pa.array(["a", "", "x" * 65, None])],
    "session_id": [pa.array([1, 2, 3, 4], pa.uint8()), pa.array([1.0, 1.5, 2.0, None])],
    "track_id": [pa.array(["t", None, "u", "v"]), pa.array([True, False, None, True])],
    "timestamp": [
        pa.array([0, -1, 253_402_300_800_000, None]),
        pa.array([0, 1_500, 2_000_000, None], pa.timestamp("us")),
        pa.array(["2022-09-01T00:00:00", "2022-09-01", "soon", None]),
    ],
    "event_type": [
        pa.array(["play", "Play", "stop", None]),
        pa.array(["PLAY", "advertisment", "LIKE", "SKIP"]).dictionary_encode(),
    ],
}


@pytest.mark.parametrize("columns", list(product(*COLUMNS.values())))
def test_columns_of_parquet_read_as_their_rows_do(columns: Sequence[pa.Array]) -> None:
    block = Columns(5, pa.RecordBatch.from_arrays(list(columns), names=list(COLUMNS)))
    by_columns, by_rows = (
        _together(*read_plain_columns(block)),
        _together(*nothing_is_plain([*block])),
    )
    assert by_columns == by_rows


def _together(plain: pa.Table, others: Sequence[tuple[int, Row]]) -> dict[int, object]:
    """What each row comes to in the end: an event, or its faults."""
    found: dict[int, object] = {}
    for line, *cells in zip(*plain.to_pydict().values(), strict=True):
        found[line] = tuple(cells)
    for line, row in others:
        try:
            found[line] = parse_event(decode(row)).identity
        except InvalidRecord as fault:
            found[line] = fault.reasons
    return dict(sorted(found.items()))


def test_columns_without_faults_are_not_taken_apart() -> None:
    batch = pa.RecordBatch.from_pylist([CLEAN, CLEAN | {"event_type": "LIKE"}])
    events, others = read_plain_columns(Columns(1, batch))
    assert (events["line"].to_pylist(), others) == ([1, 2], [])


def test_rows_without_faults_are_all_read_by_columns() -> None:
    kinds = [CLEAN | {"event_type": kind} for kind in TYPES if kind != "Play"]
    times = [CLEAN | {"timestamp": time} for time in (*TIMES[:3], 0, 1_661_990_400_000)]
    advert = CLEAN | {"event_type": "advertisment", "track_id": None}
    rows = [json.dumps(record).encode() for record in (*kinds, *times, advert)]
    events, others = read_plain_events(list(enumerate(rows)))
    assert (events.num_rows, others) == (len(rows), [])
    assert events.column_names == list(EVENT_COLUMNS)


def test_one_row_with_a_fault_leaves_the_others_plain() -> None:
    rows: list[Row] = [CLEAN, CLEAN | {"user_id": None}, Unreadable(b"", "cut"), CLEAN]
    events, others = read_plain_events(list(enumerate(rows)))
    assert events["line"].to_pylist() == [0, 3]
    assert [line for line, _ in others] == [1, 2]
