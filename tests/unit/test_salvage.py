"""Snapshots and objects of the local stack: what is damaged is noticed, kept, and made good."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.local.journal import Journal, StateDamaged, Write
from infra.local.objects import _sealed, check_objects, remove_halves, salvage_objects
from infra.local.snapshots import Snapshots, salvage
from infra.local.stack_process import _check_beginning


def save(snapshots: Snapshots, content: str, *names: str) -> None:
    """Save as the emulator does: a new file in place of the old."""
    for name in names or ("dynamodb.json", "s3.json"):
        new = snapshots.work / "new"
        new.write_text(json.dumps({"content": content}))
        new.replace(snapshots.work / name)


def note(snapshots: Snapshots, *bodies: bytes) -> None:
    journal = Journal(snapshots.journal)
    for body in bodies:
        journal.append(Write("PUT", "/bucket/object", b"", b"", b"", body))
    journal.close()


def noted(snapshots: Snapshots) -> list[bytes]:
    journal = Journal(snapshots.journal)
    bodies = [write.body for write in journal.writes()]
    journal.close()
    return bodies


def tables(snapshots: Snapshots) -> str:
    content: str = json.loads((snapshots.work / "dynamodb.json").read_bytes())["content"]
    return content


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 0x10
    file.write_bytes(content)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two snapshots: the first, three writes to the second, and another three since."""
    root = tmp_path / "tables"
    first = Snapshots(root)
    save(first, "first")
    first.commit()
    second = Snapshots(root)
    note(second, b"1", b"2", b"3")
    save(second, "second")
    second.commit()
    note(Snapshots(root), b"4", b"5", b"6")
    return root


class TestSnapshots:
    def test_begin_with_what_was_saved_and_an_empty_journal(self, tmp_path: Path) -> None:
        first = Snapshots(tmp_path)
        note(first, b"write")
        save(first, "tables")
        assert first.commit()
        second = Snapshots(tmp_path)
        assert tables(second) == "tables"
        assert not second.journal.exists()

    def test_keep_the_old_tables_with_their_journal_after_a_kill(self, root: Path) -> None:
        save(Snapshots(root), "third")
        after = Snapshots(root)
        assert tables(after) == "second"
        assert noted(after) == [b"4", b"5", b"6"]

    @pytest.mark.parametrize("saved", [(), ("dynamodb.json",), ("s3.json",)])
    def test_keep_the_journal_where_the_emulator_could_not_save_all(
        self, root: Path, saved: tuple[str, ...]
    ) -> None:
        full_disk = Snapshots(root)
        if saved:
            save(full_disk, "third", *saved)
        assert not full_disk.commit()
        assert noted(Snapshots(root)) == [b"4", b"5", b"6"]

    def test_keep_the_journal_where_what_was_saved_cannot_be_read(self, root: Path) -> None:
        torn = Snapshots(root)
        save(torn, "third")
        with (torn.work / "dynamodb.json").open("r+b") as file:
            file.truncate(5)
        assert not torn.commit()
        assert tables(Snapshots(root)) == "second"

    def test_keep_the_journal_where_there_is_no_space_for_checksums(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        full_disk = Snapshots(root)
        save(full_disk, "third")

        def fail(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", fail)
        assert not full_disk.commit()
        monkeypatch.undo()
        assert noted(Snapshots(root)) == [b"4", b"5", b"6"]

    @pytest.mark.parametrize("name", ["dynamodb.json", "s3.json", "checksums.json"])
    @pytest.mark.parametrize(
        "damage",
        [
            lambda file: flip(file, 3),
            lambda file: os.truncate(file, 9),
            lambda file: os.truncate(file, 0),
        ],
        ids=["flipped", "cut", "empty"],
    )
    def test_refuse_what_is_not_what_was_saved(
        self, root: Path, name: str, damage: Callable[[Path], None]
    ) -> None:
        damage(root / "2" / name)
        with pytest.raises(StateDamaged, match="damaged"):
            Snapshots(root)

    def test_refuse_a_snapshot_of_an_earlier_version_that_was_cut(self, root: Path) -> None:
        (root / "2" / "checksums.json").unlink()
        assert tables(Snapshots(root)) == "second"
        os.truncate(root / "2" / "dynamodb.json", 9)
        with pytest.raises(StateDamaged, match=r"dynamodb\.json"):
            Snapshots(root)


class TestEnd:
    """Of a journal, where it was at the last stop."""

    @pytest.fixture
    def journal(self, root: Path) -> Path:
        snapshots = Snapshots(root)
        snapshots.note_end()
        return snapshots.journal

    def test_is_no_matter_while_the_journal_grows(self, root: Path, journal: Path) -> None:
        note(Snapshots(root), b"7")
        assert noted(Snapshots(root)) == [b"4", b"5", b"6", b"7"]

    def test_is_that_of_one_snapshot_alone(self, root: Path, journal: Path) -> None:
        snapshots = Snapshots(root)
        save(snapshots, "third")
        snapshots.commit()
        assert noted(Snapshots(root)) == []

    @pytest.mark.parametrize("left", [2, 1, 0, None])
    def test_is_missed(self, root: Path, journal: Path, tmp_path: Path, left: int | None) -> None:
        """Though it was cut between two entries, or removed."""
        size = journal.stat().st_size
        journal.unlink() if left is None else os.truncate(journal, size * left // 3)
        with pytest.raises(StateDamaged, match=r"journal is damaged: its last [0-9,]+ bytes"):
            Snapshots(root)
        said = salvage(root, tmp_path / "aside")
        assert said is not None
        assert f"{size - size * (left or 0) // 3:,} at its end are gone" in said
        assert noted(Snapshots(root)) == [b"4", b"5"][: left or 0]

    def test_of_which_the_note_cannot_be_read_is_not_known(self, root: Path, journal: Path) -> None:
        journal.with_name("journal.end").write_bytes(b"")
        assert noted(Snapshots(root)) == [b"4", b"5", b"6"]


def test_objects_without_anything_else_are_refused(tmp_path: Path) -> None:
    """As of a state whose only journal was removed, or emptied."""
    _check_beginning(tmp_path)
    put(tmp_path / "s3")
    with pytest.raises(StateDamaged, match="neither a snapshot nor a journal"):
        _check_beginning(tmp_path)
    snapshots = Snapshots(tmp_path / "tables")
    snapshots.journal.touch()
    with pytest.raises(StateDamaged, match="neither a snapshot nor a journal"):
        _check_beginning(tmp_path)
    note(snapshots, b"1")
    _check_beginning(tmp_path)


class TestSalvage:
    def test_changes_nothing_where_nothing_is_damaged(self, root: Path, tmp_path: Path) -> None:
        assert salvage(root, tmp_path / "aside") is None
        assert not (tmp_path / "aside").exists()

    def test_of_a_journal_keeps_all_that_can_be_read(self, root: Path, tmp_path: Path) -> None:
        journal = root / "2" / "journal"
        flip(journal, journal.stat().st_size // 2)
        damaged = journal.read_bytes()
        said = salvage(root, tmp_path / "aside")
        assert said is not None
        assert "2 writes" in said
        assert tables(Snapshots(root)) == "second"
        assert noted(Snapshots(root)) == [b"4", b"6"]
        assert (tmp_path / "aside" / "journal").read_bytes() == damaged

    def test_of_a_journal_leaves_zeros_behind(self, root: Path, tmp_path: Path) -> None:
        journal = root / "2" / "journal"
        content = journal.read_bytes()
        entry = len(content) // 3
        journal.write_bytes(content[:entry] + bytes(entry) + content[2 * entry :] + bytes(64))
        said = salvage(root, tmp_path / "aside")
        assert said is not None
        assert "2 writes" in said
        assert noted(Snapshots(root)) == [b"4", b"6"]

    def test_of_a_snapshot_loses_nothing(self, root: Path, tmp_path: Path) -> None:
        """The one before, and all writes since then, are the same."""
        flip(root / "2" / "dynamodb.json", 3)
        damaged = (root / "2" / "dynamodb.json").read_bytes()
        assert salvage(root, tmp_path / "aside")
        assert tables(Snapshots(root)) == "first"
        assert noted(Snapshots(root)) == [b"1", b"2", b"3", b"4", b"5", b"6"]
        assert (tmp_path / "aside" / "dynamodb.json").read_bytes() == damaged

    def test_changes_nothing_where_neither_snapshot_is_whole(
        self, root: Path, tmp_path: Path
    ) -> None:
        for number in ("1", "2"):
            flip(root / number / "dynamodb.json", 3)
        with pytest.raises(StateDamaged, match="--state"):
            salvage(root, tmp_path / "aside")
        assert {entry.name for entry in root.iterdir()} >= {"1", "2"}


KEY = "000000000000/bucket/ab/record.json"


def put(
    root: Path,
    key: str = KEY,
    body: bytes = b"body",
    said_of: bytes = b"body",
    seal: Callable[[str], str] = _sealed,
) -> Path:
    """Write an object as the emulator does."""
    file = root / key
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body)
    facts = {
        "content_type": "application/json",
        "content_encoding": None,
        "etag": f'"{hashlib.md5(said_of).hexdigest()}"',
        "last_modified": "2026-11-29T20:00:00.000Z",
        "size": len(said_of),
        "metadata": {},
        "preserved_headers": {},
        "storage_class": "STANDARD",
        "checksums": {"CRC32": "eRq8Bg=="},
        "version_id": None,
    }
    file.with_name(file.name + ".meta.json").write_text(seal(json.dumps(facts)))
    return file


class TestObjects:
    def test_are_accepted_as_they_were_put(self, tmp_path: Path) -> None:
        put(tmp_path)
        check_objects(tmp_path, [])

    @pytest.mark.parametrize("suffix", ["", ".meta.json"])
    def test_are_refused_where_a_byte_is_another(self, tmp_path: Path, suffix: str) -> None:
        file = put(tmp_path)
        flip(file.with_name(file.name + suffix), 1)
        with pytest.raises(StateDamaged, match=r"record\.json"):
            check_objects(tmp_path, [])

    def test_of_an_earlier_version_are_accepted(self, tmp_path: Path) -> None:
        put(tmp_path, seal=str)
        check_objects(tmp_path, [])

    def test_are_refused_where_any_byte_of_their_facts_is_another(self, tmp_path: Path) -> None:
        """Though the journal has the object: the emulator reads the facts before it is repeated."""
        facts = put(tmp_path).with_name("record.json.meta.json")
        content = facts.read_bytes()
        writes = [Write("PUT", "/bucket/ab/record.json", b"", b"", b"", b"body")]
        for place in range(len(content)):
            for other in {content[place] ^ 1 << bit for bit in range(8)} | {ord("\t")}:
                facts.write_bytes(content[:place] + bytes([other]) + content[place + 1 :])
                with pytest.raises(StateDamaged, match=r"record\.json\.meta\.json"):
                    check_objects(tmp_path, writes)

    def test_are_left_to_the_journal_where_their_replacement_was_interrupted(
        self, tmp_path: Path
    ) -> None:
        put(tmp_path, body=b"new", said_of=b"old")
        check_objects(tmp_path, [Write("PUT", "/bucket/ab/record.json", b"", b"", b"", b"new")])

    def test_lose_what_was_written_in_part(self, tmp_path: Path) -> None:
        kept = put(tmp_path)
        for name in ("new.json", "record.json.tmp", "record.json.meta.json.tmp"):
            kept.with_name(name).write_bytes(b"bo")
        remove_halves(tmp_path)
        assert {file.name for file in kept.parent.iterdir()} == {
            "record.json",
            "record.json.meta.json",
        }

    def test_are_set_aside(self, tmp_path: Path) -> None:
        root, aside = tmp_path / "s3", tmp_path / "aside"
        file = put(root)
        put(root, KEY + "2")
        flip(file, 1)
        said = salvage_objects(root, [], aside)
        assert said is not None
        assert KEY in said
        assert (aside / KEY).exists()
        assert not file.exists()
        check_objects(root, [])
        assert salvage_objects(root, [], aside) is None

    def test_are_set_aside_for_their_facts(self, tmp_path: Path) -> None:
        root, aside = tmp_path / "s3", tmp_path / "aside"
        file = put(root)
        flip(file.with_name("record.json.meta.json"), 99)
        assert salvage_objects(root, [], aside)
        assert not any(it.is_file() for it in root.rglob("*"))
        assert len([it for it in aside.rglob("*") if it.is_file()]) == 2
