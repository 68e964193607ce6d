"""The files of the bucket's objects, as the emulator keeps them.

An object is a file with its bytes and, beside it, one of facts: among other things, their size and
MD5, and a checksum of the facts themselves. The emulator renames each into place, but not both
at once: a kill, or a full disk, can leave the first without the second. The journal then has the
write, and repeats it.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from infra.local.journal import SALVAGE, StateDamaged, Write

_FACTS = ".meta.json"
_SEAL = ', "seal": "'
# What the emulator says of an object; of an earlier version, without the checksum.
_UNSEALED = frozenset(
    [
        "content_type",
        "content_encoding",
        "etag",
        "last_modified",
        "size",
        "metadata",
        "preserved_headers",
        "storage_class",
        "checksums",
        "version_id",
    ]
)
_LISTED = 3


class _Facts(msgspec.Struct):
    size: int
    etag: str


def seal_facts() -> None:
    """Have the running emulator put a checksum into the facts that it writes."""
    from ministack.services import s3  # type: ignore[import-untyped]

    write = s3._atomic_write

    def write_sealed(file: str, data: bytes | str, *, text: bool = False) -> None:
        write(file, _sealed(data) if isinstance(data, str) else data, text=text)

    s3._atomic_write = write_sealed


def remove_what_is_deleted() -> None:
    """Have the running emulator remove the file of an object that is deleted: where a bucket keeps
    versions, it only notes the deletion, in memory, and would find the object again at a start."""
    from ministack.services import s3

    mark = s3._record_delete_marker

    def mark_and_remove(bucket: str, key: str, there: object) -> str:
        marker: str = mark(bucket, key, there)
        s3._delete_persisted_object(bucket, key)
        return marker

    s3._record_delete_marker = mark_and_remove


def is_on_file() -> bool:
    """Whether the running emulator has every object on file: it keeps in memory what it could not
    write."""
    from ministack.services.s3 import _buckets  # type: ignore[import-untyped]

    buckets = _buckets._data.values()
    return all(it["body"] is None for bucket in buckets for it in bucket["objects"].values())


def remove_halves(root: Path) -> None:
    """Remove what an interrupted write left; the emulator would take it for an object."""
    for file, is_complete in _files(root):
        if not is_complete:
            file.unlink()


def check_objects(root: Path, writes: Iterable[Write]) -> None:
    """Raises StateDamaged where an object is not what was put, and no write of the journal's."""
    if damaged := _damaged(root, writes):
        listed = ", ".join(map(str, damaged[:_LISTED]))
        more = f" and {len(damaged) - _LISTED:,} more" if len(damaged) > _LISTED else ""
        raise StateDamaged(f"damaged: {listed}{more}. Nothing was changed; {SALVAGE}")


def salvage_objects(root: Path, writes: Iterable[Write], aside: Path) -> str | None:
    """Move the damaged objects into the folder ``aside``. The journal may still give them back.

    Says which; None where nothing is damaged.
    """
    damaged = [_object_of(file) for file in _damaged(root, writes)]
    for file in damaged:
        for each in (file, _facts_of(file)):
            kept = aside / each.relative_to(root)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(each, kept)
    names = ", ".join(str(file.relative_to(root)) for file in damaged)
    return f"Set aside          damaged objects, in {aside}: {names}" if damaged else None


def _damaged(root: Path, writes: Iterable[Write]) -> list[Path]:
    """The files at fault: of an object, its bytes or its facts."""
    faults = (_fault(file) for file, _ in _files(root))
    suspects = sorted(file for file in faults if file)
    if not suspects:
        return []
    # An object that was replaced, but not yet its facts, has a body from the journal.
    put = {(it.path, _md5(it.body)) for it in writes if it.method == "PUT"}
    return [file for file in suspects if (_path(root, file), _md5(file.read_bytes())) not in put]


def _fault(file: Path) -> Path | None:
    """The object's file, or that of its facts, where it is not what was written."""
    facts = _read_facts(_facts_of(file))
    if facts is None:
        return _facts_of(file)
    body = file.read_bytes()
    # The tag of an object that was put in parts is no MD5.
    fits = len(body) == facts.size and ("-" in facts.etag or facts.etag.strip('"') == _md5(body))
    return None if fits else file


def _read_facts(file: Path) -> _Facts | None:
    """None where they are not what was written, be it but one byte."""
    with suppress(ValueError):  # no UTF-8, or no JSON
        text = file.read_text(encoding="utf-8")
        facts, is_sealed, _ = text.rpartition(_SEAL)
        if is_sealed:
            known = text == _sealed(facts + "}")
        else:
            known = msgspec.json.decode(text, type=dict[str, Any]).keys() <= _UNSEALED
        return msgspec.json.decode(text, type=_Facts) if known else None
    return None


def _sealed(facts: str) -> str:
    """The JSON object with a checksum of its text for its last field."""
    return f'{facts[:-1]}{_SEAL}{_md5(facts.encode())}"}}'


def _files(root: Path) -> Iterator[tuple[Path, bool]]:
    """The objects' own files, and whether beside each is what is said of it."""
    for folder, _, names in os.walk(root):
        there = set(names)
        for name in names:
            if not name.endswith(_FACTS):
                yield Path(folder, name), name + _FACTS in there


def _facts_of(file: Path) -> Path:
    return file.with_name(file.name + _FACTS)


def _object_of(file: Path) -> Path:
    """The object's file, given that, or the one of its facts."""
    return file.with_name(file.name.removesuffix(_FACTS))


def _path(root: Path, file: Path) -> str:
    """``/{bucket}/{key}``; the root's folders are accounts."""
    return "/" + file.relative_to(root).as_posix().partition("/")[2]


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
