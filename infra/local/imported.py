"""Remembers which data folder the local tables hold, so that a further start need not read it."""

import json
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from infra.local.journal import StateDamaged
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
    """What was imported last, or None. Raises StateDamaged."""
    file = _file(state)
    if not file.exists():
        return None
    text, _, checksum = file.read_bytes().partition(b"\n")
    # An earlier version noted no checksum.
    if checksum in (b"", _checksum(text)):
        with suppress(ValueError):  # no UTF-8, or no JSON
            noted: Fingerprint = json.loads(text)
            return noted
    raise StateDamaged(
        f"{file} is damaged: it says which data the tables hold. Nothing was changed. Where it is "
        "removed, the data are imported again, and with them who of them was erased since"
    )


def note_import(state: Path, imported: Fingerprint) -> None:
    """Note the folder; call when all of it is in the tables."""
    text = json.dumps(imported).encode()
    new = _file(state).with_suffix(".new")
    new.write_bytes(text + b"\n" + _checksum(text))
    new.replace(_file(state))


def _checksum(text: bytes) -> bytes:
    return sha256(text).hexdigest().encode()


def _file(state: Path) -> Path:
    """Beside the tables: whoever deletes those deletes it, too."""
    return state / "tables" / "imported.json"
