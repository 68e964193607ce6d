"""Remembers which data folder the local tables hold, so that a further start need not read it."""

import json
from pathlib import Path

from segue.domain.errors import InvalidData

Fingerprint = dict[str, object]


def fingerprint(data: Path) -> Fingerprint:
    """The folder and its files by name, size and time of change. Raises InvalidData."""
    try:
        stats = {file.name: file.stat() for file in sorted(data.iterdir())}
    except OSError as error:
        raise InvalidData(f"the data folder {data} cannot be read: {error.strerror}") from None
    files = {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}
    return {"folder": str(data.resolve()), "files": files}


def last_import(state: Path) -> Fingerprint | None:
    """What was imported last, or None."""
    try:
        noted: Fingerprint = json.loads(_file(state).read_bytes())
    except (OSError, ValueError):
        return None
    return noted


def note_import(state: Path, imported: Fingerprint) -> None:
    """Note the folder; call when all of it is in the tables."""
    _file(state).write_text(json.dumps(imported))


def _file(state: Path) -> Path:
    """Beside the tables: whoever deletes those deletes it, too."""
    return state / "tables" / "imported.json"
