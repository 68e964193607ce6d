"""Snapshots of the local tables, each with the journal of what came after it.

A numbered folder holds what the emulator saved at its last clean stop, and the journal of the
writes since then. The emulator works on a copy, which becomes the next number when it has stopped
in good order: one rename puts the new snapshot and an empty journal in place of the old pair, so
that no write is ever repeated on top of a snapshot that already has it.
"""

import shutil
from pathlib import Path

_TABLES = "dynamodb.json"
_JOURNAL = "journal"


class Snapshots:
    """``work`` is the emulator's folder, ``journal`` the file beside the snapshot it began with."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root
        self._number = max(_numbers(root), default=0)
        current = root / str(self._number)
        current.mkdir(exist_ok=True)
        self.journal = current / _JOURNAL
        self.work = root / "work"
        self._remove_leftovers()
        shutil.copytree(current, self.work, ignore=shutil.ignore_patterns(_JOURNAL))
        self._copied = _inode(self.work / _TABLES)

    @property
    def size(self) -> int:
        """Length in bytes of the snapshot."""
        file = self._root / str(self._number) / _TABLES
        return file.stat().st_size if file.exists() else 0

    def commit(self) -> bool:
        """Make what the emulator saved the current snapshot. Call when it has stopped.

        False, and nothing changes, where it did not save: the old pair still holds everything.
        """
        if _inode(self.work / _TABLES) == self._copied:
            return False
        self.work.rename(self._root / str(self._number + 1))
        shutil.rmtree(self._root / str(self._number))
        return True

    def _remove_leftovers(self) -> None:
        """What a kill in the middle of ``commit`` or of a start left behind."""
        shutil.rmtree(self.work, ignore_errors=True)
        for number in _numbers(self._root):
            if number < self._number:
                shutil.rmtree(self._root / str(number))


def _numbers(root: Path) -> list[int]:
    return [int(entry.name) for entry in root.iterdir() if entry.name.isdigit()]


def _inode(path: Path) -> int | None:
    """Changes whenever the file is replaced, which is how the emulator saves."""
    return path.stat().st_ino if path.exists() else None
