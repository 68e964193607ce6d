"""Parquet in and out, a batch of rows at a time. What pyarrow leaves untyped stays in here."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Record = dict[str, Any]

TEXT, TEXTS = pa.string(), pa.list_(pa.string())
INTEGER, NUMBER, TRUTH = pa.int64(), pa.float64(), pa.bool_()

BATCH = 1 << 16
# What pyarrow raises for a file that is no Parquet file, or is broken inside.
DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)


def read_batches(file: BinaryIO, advance: Callable[[float], None]) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, some at a time.

    ``advance`` is told which share of the rows was read by now. Raises one of DAMAGE where the file
    is broken.
    """
    table = pq.ParquetFile(file, pre_buffer=False)
    done = 0
    for batch in table.iter_batches(batch_size=BATCH, use_threads=False):
        # Texts that are no UTF-8 are found here, and not where they are read.
        batch.validate(full=True)
        yield batch
        done += batch.num_rows
        advance(done / table.metadata.num_rows)


def records_of(batch: pa.RecordBatch) -> Iterator[Record]:
    """The rows as JSON would hold them: times in ``timestamp`` are milliseconds."""
    names = batch.schema.names
    columns = [plain_values(name, batch.column(i)).to_pylist() for i, name in enumerate(names)]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def plain_values(name: str, column: pa.Array) -> pa.Array:
    """A column of the types that JSON has: texts, numbers, and milliseconds in ``timestamp``."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if name == "timestamp" and pa.types.is_timestamp(column.type):
        milliseconds = pc.cast(column, pa.timestamp("ms", column.type.tz), safe=False)
        column = pc.cast(milliseconds, pa.int64())
    elif pa.types.is_temporal(column.type):
        column = pc.cast(column, pa.string())
    elif pa.types.is_decimal(column.type):
        column = pc.cast(column, pa.float64())
    return column


def count_rows(path: Path) -> int:
    """The number of rows in a Parquet file."""
    return int(pq.read_metadata(path).num_rows)


class TableWriter:
    """Writes rows to a Parquet file in batches; a context manager, since the file needs its end."""

    def __init__(self, path: Path, columns: Mapping[str, pa.DataType]) -> None:
        self._schema = pa.schema(list(columns.items()))
        self._writer = pq.ParquetWriter(path, self._schema)
        self._width = len(columns)
        # One flat list of all cells: a list of rows would keep the garbage collector busy.
        self._cells: list[object] = []
        self._tables: list[pa.Table] = []

    def append(self, row: Iterable[object]) -> None:
        """Add one row, its values in the order of the columns."""
        self._cells.extend(row)
        if len(self._cells) == BATCH * self._width:
            self._flush()

    def extend(self, rows: pa.Table) -> None:
        """Add a table of the same columns; its rows may come to lie before those of ``append``."""
        self._tables.append(rows)
        if sum(map(len, self._tables)) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        arrays = [
            pa.array(self._cells[start :: self._width], field.type)
            for start, field in enumerate(self._schema)
        ]
        self._tables.append(pa.Table.from_arrays(arrays, schema=self._schema))
        self._writer.write_table(pa.concat_tables(self._tables), row_group_size=BATCH)
        self._cells.clear()
        self._tables.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._flush()
        finally:
            self._writer.close()
