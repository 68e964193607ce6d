"""Takes a folder's rows in: counts each one, and puts aside what cannot be used."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from segue.domain.errors import InvalidRecord
from training.data.parquet import Record
from training.data.quarantine import Quarantine, Tally
from training.data.records import Item, decode
from training.data.sources import TABLES, Block, Row, Source

_T = TypeVar("_T")

# Told how many bytes of the folder's files were used by now, and how many they are together.
Progress = Callable[[int, int], None]


class Intake:
    """The rows of all files, each read once, with one tally for each table."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        quarantine: Quarantine,
        progress: Progress | None,
        tables: Iterable[str] = TABLES,
    ) -> None:
        self.tallies = {
            table: Tally(sources[table].file if table in sources else None) for table in tables
        }
        self._sources = sources
        self._quarantine = quarantine
        self._progress = progress
        self._total = sum(source.size for source in sources.values())
        self._used = 0

    def items(self, table: str, parse: Callable[[Record], Item]) -> Iterator[tuple[int, Item]]:
        """What ``parse`` makes of the table's records, with their rows' numbers.

        Nothing without a file. Rows of which it makes an InvalidRecord go to the quarantine.
        """
        return self.parsed(table, lambda row: parse(decode(row)))

    def parsed(self, table: str, parse: Callable[[Row], Item]) -> Iterator[tuple[int, Item]]:
        """``items`` of rows that are no records."""
        return self.accepted(table, self.rows(table), parse)

    def rows(self, table: str) -> Iterator[tuple[int, Row]]:
        """The table's rows with their numbers, each counted as read; nothing without a file."""
        tally = self.tallies[table]
        for row in self._all(table, lambda source: source.rows(self._report)):
            tally.read += 1
            yield row

    def blocks(self, table: str) -> Iterator[Block]:
        """The same, many rows at once."""
        tally = self.tallies[table]
        for block in self._all(table, lambda source: source.blocks(self._report)):
            tally.read += len(block)
            yield block

    def _all(self, table: str, read: Callable[[Source], Iterator[_T]]) -> Iterator[_T]:
        source = self._sources.get(table)
        if source is not None:
            yield from read(source)
            self._used += source.size
            self._report(0)

    def accepted(
        self, table: str, rows: Iterable[tuple[int, Row]], parse: Callable[[Row], Item]
    ) -> Iterator[tuple[int, Item]]:
        """What ``parse`` makes of some of the ``rows``; those it refuses go to the quarantine."""
        for number, row in rows:
            try:
                item = parse(row)
            except InvalidRecord as fault:
                self._quarantine.reject(self.tallies[table], number, row, fault.reasons)
            else:
                yield number, item

    def reject(self, table: str, numbers: Iterable[int], reason: str) -> None:
        """Put rows aside that turn out to be unusable only in the company of others.

        Reads the file again for their text. ``numbers`` ascend, and are rows that ``items`` gave.
        """
        rows = self._sources[table].rows()
        for number in numbers:
            row = next(row for at, row in rows if at == number)
            self._quarantine.reject(self.tallies[table], number, row, [reason])

    def _report(self, used: int) -> None:
        if self._progress is not None:
            self._progress(self._used + used, self._total)
