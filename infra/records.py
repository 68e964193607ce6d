"""The records of an A/B test, from a running service into a file, a page at a time."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa

from infra.progress import Report
from infra.service import Service, ServiceError
from training.data.folder import check_target, whole_file
from training.data.parquet import TableWriter
from training.tables import RECORDS

Row = Mapping[str, Any]
Write = Callable[[Sequence[Row]], None]

# What becomes of an answer that has not the form of records.
_NO_RECORDS = (LookupError, TypeError, ValueError, AttributeError, pa.ArrowException)


def export_records(
    service: Service, experiment: str, live: bool, path: Path, report: Report
) -> int:
    """Write all records of a side of an experiment; how many there are.

    Into Parquet, typed as ``training.tables.RECORDS`` says, or into JSON lines, as the API has
    them. Raises InvalidData where no such file can be written, ApiError where the service refuses
    or does not answer, and ServiceError where it answers what are no records. In all these cases
    the file is as it was before.
    """
    check_target(path, _WRITERS)
    side = {"experiment": experiment, "live": str(live).lower()}
    done = 0
    try:
        total = _settled(service, side)
        with whole_file(path) as partial, _WRITERS[path.suffix](partial) as write:
            for rows in _pages(service, side):
                write(rows)
                done += len(rows)
                # More may be settled meanwhile.
                report("records", done, max(done, total))
    except _NO_RECORDS as error:
        raise ServiceError(f"the service answers what are no records: {error!r}") from None
    return done


def _settled(service: Service, side: Mapping[str, str]) -> int:
    document = service.call("GET", f"/ab_test/report?{urlencode(side)}")
    return int(document["experiment"]["users"])


def _pages(service: Service, side: Mapping[str, str]) -> Iterator[Sequence[Row]]:
    position: dict[str, str] = {}
    while True:
        page = service.call("GET", f"/ab_test/results?{urlencode({**side, **position})}")
        yield page["results"]
        if page["next"] is None:
            return
        position = {"next": page["next"]}


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    with TableWriter(path, dict(zip(RECORDS.names, RECORDS.types, strict=True))) as table:
        yield lambda rows: table.extend(_table(rows))


@contextmanager
def _json_lines(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda rows: file.writelines(json.dumps(row) + "\n" for row in rows)


_WRITERS = {".parquet": _parquet, ".jsonl": _json_lines}


def _table(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_arrays(
        [pa.array([_cell(row[of.name], of.type) for row in rows], of.type) for of in RECORDS],
        schema=RECORDS,
    )


def _cell(value: Any, type_: pa.DataType) -> Any:
    """A value of an answer as Arrow takes it; user ids that look like numbers come as such."""
    if value is None:
        return None
    if pa.types.is_timestamp(type_):
        return datetime.fromisoformat(value)
    if pa.types.is_map(type_):
        return list(value.items())
    if pa.types.is_list(type_):
        return [_cell(each, type_.value_type) for each in value]
    if pa.types.is_struct(type_):
        return {of.name: _cell(value[of.name], of.type) for of in type_}
    return str(value) if pa.types.is_string(type_) else value
