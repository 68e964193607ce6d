"""Snapshots of the local tables, each with the journal of what came after it.

A numbered folder holds what the emulator saved at a clean stop, the checksums of that, and the
journal of the writes since then. The emulator works on a copy, which becomes the next number when
it has stopped in good order and what it saved is proven to be whole: one rename puts the new
snapshot and an empty journal in place of the old pair, so that no write is ever repeated on top of
a snapshot that already has it. The pair before stays until the next rename: should a snapshot be
damaged, that pair and the journal give it back.

Where the journal ended is noted when the emulator stops, so that it is noticed if it is cut later.
"""

import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from infra.local.journal import SALVAGE, StateDamaged, contents, entry, spans

# Both say what is there; a snapshot in which one of them is older than the other is none.
_SAVED = ("dynamodb.json", "s3.json")
_JOURNAL = "journal"
_END = "journal.end"
_CHECKSUMS = "checksums.json"


class Snapshots:
    """``work`` is the emulator's folder, ``journal`` the file beside the snapshot it began with.

    Raises StateDamaged where that snapshot is not what was saved.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root
        self._number = max(_numbers(root), default=0)
        self._current = root / str(self._number)
        self._current.mkdir(exist_ok=True)
        if damaged := _damaged(self._current):
            raise StateDamaged(f"{damaged} is damaged. Nothing was changed; {SALVAGE}")
        self.journal = self._current / _JOURNAL
        if missing := _missing(self._current):
            raise StateDamaged(
                f"{self.journal} is damaged: its last {missing:,} bytes are gone. Nothing was "
                f"changed; {SALVAGE}"
            )
        self.work = root / "work"
        self._remove_leftovers()
        _link(self._current, self.work)
        self._began_with = self._inodes()

    @property
    def size(self) -> int:
        """Length in bytes of the snapshot."""
        return sum(file.stat().st_size for file in _files(self._current))

    def commit(self) -> bool:
        """Make what the emulator saved the current snapshot. Call when it has stopped.

        False, and nothing changes, where it did not save, or what it saved is not whole: the old
        pair still holds everything.
        """
        saved = self._inodes()
        if any(saved[name] in (None, self._began_with[name]) for name in _SAVED):
            return False
        try:
            _seal(self.work)
            self.work.rename(self._root / str(self._number + 1))
            _sync(self._root)
        except (OSError, msgspec.DecodeError):
            return False
        self._remove(before=self._number)
        return True

    def note_end(self) -> None:
        """Note where the journal ends. Call when the emulator has stopped, and nothing is saved."""
        new = self.journal.with_suffix(".new")
        with suppress(OSError):  # where there is no space for it, the note before stays
            _sync(self.journal)
            new.write_text(str(self.journal.stat().st_size))
            new.replace(self.journal.with_name(_END))

    def _inodes(self) -> dict[str, int | None]:
        """These change whenever a file is replaced, which is how the emulator saves."""
        files = {name: self.work / name for name in _SAVED}
        return {name: it.stat().st_ino if it.exists() else None for name, it in files.items()}

    def _remove_leftovers(self) -> None:
        """What a kill in the middle of ``commit`` or of a start left behind."""
        shutil.rmtree(self.work, ignore_errors=True)
        self._remove(before=self._number - 1)

    def _remove(self, before: int) -> None:
        for number in _numbers(self._root):
            if number < before:
                shutil.rmtree(self._root / str(number))


def salvage(root: Path, aside: Path) -> str | None:
    """Put what can be read in place of a damaged pair, which is kept in the folder ``aside``.

    Says what was read and what was not; None where nothing is damaged. Raises StateDamaged where
    neither the snapshot nor the one before it is whole.
    """
    number = max(_numbers(root), default=0)
    base = _whole(root, number)
    journals = [root / str(each) / _JOURNAL for each in range(base, number + 1)]
    unreadable = [it for journal in journals for it in spans(journal) if not it.whole]
    missing = sum(_missing(journal.parent) for journal in journals)
    if base == number and not unreadable and not missing:
        return None
    new = root / "salvaged"
    shutil.rmtree(new, ignore_errors=True)
    _link(root / str(base), new)
    writes = _copy_entries(journals, new / _JOURNAL)
    shutil.copytree(root / str(number), aside)
    new.rename(root / str(number + 1))
    _sync(root)
    shutil.rmtree(root / str(number))
    lost = sum(it.end - it.start for it in unreadable)
    begun = "the snapshot before, and " if base < number else ""
    return (
        f"Salvaged           {begun}{writes:,} writes; {len(unreadable)} stretches of the journal, "
        f"{lost:,} bytes, cannot be read, and {missing:,} at its end are gone. What was damaged is "
        f"kept in {aside}"
    )


def _whole(root: Path, number: int) -> int:
    """The number of the newest snapshot to begin with."""
    damaged = []
    for each in (number, number - 1):
        folder = root / str(each)
        fault = _damaged(folder) if folder.is_dir() else folder
        if fault is None:
            return each
        damaged.append(str(fault))
    raise StateDamaged(
        f"nothing can be salvaged: of {' and '.join(damaged)} neither is whole. Nothing was "
        "changed; choose another folder with --state"
    )


def _copy_entries(journals: list[Path], target: Path) -> int:
    """Write the readable entries of the journals into one; how many there were."""
    copied = 0
    with target.open("wb") as file:
        for journal in journals:
            for content in contents(journal) if journal.exists() else ():
                file.write(entry(content))
                copied += 1
        file.flush()
        os.fsync(file.fileno())
    return copied


def _seal(folder: Path) -> None:
    """Prove that what was saved can be read, and note its checksums, all of it on disk.

    Raises OSError or msgspec.DecodeError.
    """
    for file in _files(folder):
        _check_json(file)
        _sync(file)
    sums = folder / _CHECKSUMS
    sums.unlink(missing_ok=True)  # a link to those of the snapshot before
    sums.write_text(json.dumps({it.name: _checksum(it) for it in _files(folder)}))
    _sync(sums)
    _sync(folder)


def _damaged(folder: Path) -> Path | None:
    """A file of the snapshot that is not what was saved."""
    sums = folder / _CHECKSUMS
    if not sums.exists():  # one of an earlier version, or the empty beginning
        return next((file for file in _files(folder) if not _is_json(file)), None)
    try:
        expected: dict[str, str] = msgspec.json.decode(sums.read_bytes(), type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return sums
    for name, checksum in expected.items():
        file = folder / name
        if not file.exists() or _checksum(file) != checksum:
            return file
    return None


def _missing(folder: Path) -> int:
    """How many bytes the journal has lost at its end since that was noted."""
    journal, end = folder / _JOURNAL, folder / _END
    try:
        noted = int(end.read_bytes())
    except (OSError, ValueError):  # nothing was noted, or power failed meanwhile
        return 0
    return max(0, noted - (journal.stat().st_size if journal.exists() else 0))


def _is_json(file: Path) -> bool:
    with suppress(msgspec.DecodeError):
        _check_json(file)
        return True
    return False


def _check_json(file: Path) -> None:
    """Raises msgspec.DecodeError where the file is not one JSON object."""
    if file.stat().st_size == 0:
        raise msgspec.DecodeError(f"{file} is empty")
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        msgspec.json.decode(data, type=_AnyObject)  # builds nothing


class _AnyObject(msgspec.Struct):
    """An object whose fields are looked at and passed over."""


def _checksum(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """What the emulator saved there."""
    for file in sorted(folder.glob("*.json")):
        if file.name != _CHECKSUMS:
            yield file


def _link(source: Path, target: Path) -> None:
    """A copy of a snapshot that takes no space: the emulator replaces files, and never changes
    one."""
    shutil.copytree(
        source, target, copy_function=_link_file, ignore=shutil.ignore_patterns(f"{_JOURNAL}*")
    )


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _numbers(root: Path) -> list[int]:
    return [int(it.name) for it in root.iterdir() if it.name.isdigit()] if root.is_dir() else []
