"""Keeps what cannot be used: the record as it came, where it stood, and why."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from training.data.sources import Row, Unreadable
from training.data.summary import FileSummary

_encode = msgspec.json.Encoder(enc_hook=str).encode


@dataclass(slots=True)
class Tally:
    """Counts what becomes of one file's rows; ``file`` is None where there is no such file."""

    file: str | None
    read: int = 0
    repeats: int = 0
    quarantined: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)

    @property
    def kept(self) -> int:
        """Rows that are used."""
        return self.read - self.repeats - self.quarantined

    def summary(self) -> FileSummary:
        """The counts so far, most frequent reasons first."""
        return FileSummary(
            file=self.file,
            read=self.read,
            kept=self.kept,
            repeats=self.repeats,
            quarantined=self.quarantined,
            reasons=dict(self.reasons.most_common()),
            warnings=dict((+self.warnings).most_common()),
        )


class Quarantine:
    """Writes JSON Lines of ``file``, ``line``, ``reasons`` and ``record``, the record as text.

    ``line`` is the row's number in a Parquet file. Bytes that are not UTF-8 appear as ``\\\\xff``.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def reject(self, tally: Tally, number: int, row: Row, reasons: Sequence[str]) -> None:
        """Write one row down and count it under each of its reasons."""
        tally.quarantined += 1
        tally.reasons.update(reasons)
        entry = {"file": tally.file, "line": number, "reasons": reasons, "record": _text(row)}
        self._file.write(_encode(entry) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def _text(row: Row) -> str:
    if isinstance(row, dict):
        return _encode(row).decode()
    raw = row.raw if isinstance(row, Unreadable) else row
    return raw.rstrip(b"\r").decode("utf-8", "backslashreplace")
