"""The files of the bucket's objects, as the emulator keeps them.

An object is a file with its bytes and, beside it, one that says among other things their size and
MD5. The emulator renames each into place, but not both at once: a kill, or a full disk, can leave
the first without the second. The journal then has the write, and repeats it.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from infra.local.errors import StateDamaged
from infra.local.journal import SALVAGE, Write

_FACTS = ".meta.json"
_LISTED = 3


class _Facts(msgspec.Struct):
    size: int
    etag: str


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
    damaged = _damaged(root, writes)
    for file in damaged:
        for each in (file, _facts_of(file)):
            kept = aside / each.relative_to(root)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(each, kept)
    names = ", ".join(str(file.relative_to(root)) for file in damaged)
    return f"Set aside          damaged objects, in {aside}: {names}" if damaged else None


def _damaged(root: Path, writes: Iterable[Write]) -> list[Path]:
    suspects = sorted(file for file, _ in _files(root) if not _is_whole(file))
    if not suspects:
        return []
    # An object that was replaced, but not yet what is said of it, has a body from the journal.
    put = {(it.path, _md5(it.body)) for it in writes if it.method == "PUT"}
    return [file for file in suspects if (_path(root, file), _md5(file.read_bytes())) not in put]


def _is_whole(file: Path) -> bool:
    try:
        facts = msgspec.json.decode(_facts_of(file).read_bytes(), type=_Facts)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    body = file.read_bytes()
    # The tag of an object that was put in parts is no MD5.
    return len(body) == facts.size and ("-" in facts.etag or facts.etag.strip('"') == _md5(body))


def _files(root: Path) -> Iterator[tuple[Path, bool]]:
    """The objects' own files, and whether beside each is what is said of it."""
    for folder, _, names in os.walk(root):
        there = set(names)
        for name in names:
            if not name.endswith(_FACTS):
                yield Path(folder, name), name + _FACTS in there


def _facts_of(file: Path) -> Path:
    return file.with_name(file.name + _FACTS)


def _path(root: Path, file: Path) -> str:
    """``/{bucket}/{key}``; the root's folders are accounts."""
    return "/" + file.relative_to(root).as_posix().partition("/")[2]


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
