"""The journal of the local stack: no kill loses a write, and none is ever repeated twice."""

import asyncio
import errno
import os
import re
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from infra.local.journal import Journal, JournaledStack, StateDamaged, Write, entry


class FakeEmulator:
    """Keeps the bodies that were put, in memory; refuses the body ``bad``."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.startup.complete"})
            return
        body = (await receive())["body"]
        status = 400 if body == b"bad" else 200
        if status == 200 and (b"x-amz-target", b"DynamoDB_20120810.PutItem") in scope["headers"]:
            self.bodies.append(body)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"answer"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(file: Path) -> Iterator[Journal]:
    journal = Journal(file)
    yield journal
    journal.close()


def write(body: bytes) -> Write:
    return Write("POST", "/", b"", b"DynamoDB_20120810.PutItem", b"me", body)


def request(
    journal: Journal,
    method: str,
    url: str,
    body: bytes,
    headers: dict[str, str],
    emulator: FakeEmulator | None = None,
) -> httpx.Response:
    async def send() -> httpx.Response:
        application = JournaledStack(emulator or FakeEmulator(), journal)
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, url, content=body, headers=headers)

    return asyncio.run(send())


def post(
    journal: Journal, operation: str, body: bytes, emulator: FakeEmulator | None = None
) -> httpx.Response:
    headers = {"x-amz-target": f"DynamoDB_20120810.{operation}", "authorization": "me"}
    return request(journal, "POST", "/", body, headers, emulator)


def restart(journal: Journal, not_repeated: int = 0) -> list[bytes]:
    """Begin a new emulator; what its tables hold when it is ready."""
    emulator = FakeEmulator()
    application = JournaledStack(emulator, journal)
    ready: list[Any] = []

    async def start() -> None:
        async def send(message: Any) -> None:
            ready.append((message["type"], list(emulator.bodies)))

        async def receive() -> Any:
            raise AssertionError("nothing is received at the start")

        await application({"type": "lifespan"}, receive, send)

    asyncio.run(start())
    assert application.not_repeated == not_repeated
    kind: str
    bodies: list[bytes]
    ((kind, bodies),) = ready
    assert kind == "lifespan.startup.complete"
    return bodies


class TestJournaledStack:
    def test_repeat_what_was_written_before_they_answer(self, journal: Journal) -> None:
        for body in (b"first", b"second"):
            assert post(journal, "PutItem", body).content == b"answer"
        assert restart(journal) == [b"first", b"second"]

    def test_keep_the_account_of_the_writer(self, journal: Journal) -> None:
        post(journal, "PutItem", b"body")
        assert list(journal.writes()) == [write(b"body")]

    @pytest.mark.parametrize("operation", ["GetItem", "Query", "BatchGetItem", "DescribeTable"])
    def test_do_not_note_reads(self, journal: Journal, operation: str) -> None:
        post(journal, operation, b"body")
        assert list(journal.writes()) == []

    @pytest.mark.parametrize(
        ("method", "url", "noted"),
        [
            ("PUT", "/bucket", 1),
            ("PUT", "/bucket?versioning", 1),
            ("DELETE", "/bucket", 1),
            ("GET", "/bucket", 0),
            ("PUT", "/bucket/an/object", 1),
            ("GET", "/bucket/an/object", 0),
            ("POST", "/bucket?delete", 1),
            ("POST", "/", 0),
        ],
    )
    def test_note_what_changes_buckets_and_objects(
        self, journal: Journal, method: str, url: str, noted: int
    ) -> None:
        request(journal, method, url, b"", {})
        assert len(list(journal.writes())) == noted

    def test_keep_the_condition_of_an_object(self, journal: Journal) -> None:
        request(journal, "PUT", "/bucket/object", b"body", {"if-match": "tag"})
        (noted,) = journal.writes()
        assert (b"if-match", b"tag") in noted.scope()["headers"]

    def test_count_what_the_tables_do_not_take_again(self, journal: Journal) -> None:
        """After damage, it builds on what was lost."""
        for body in (b"bad", b"body"):
            journal.append(write(body))
        assert restart(journal, not_repeated=1) == [b"body"]

    def test_do_not_note_refused_writes(self, journal: Journal) -> None:
        assert post(journal, "PutItem", b"bad").status_code == 400
        assert list(journal.writes()) == []


class FullDisk(Journal):
    """A journal on a disk that is full while ``full``."""

    full = True

    def append(self, write: Write) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().append(write)


class TestFullDisk:
    @pytest.fixture
    def journal(self, file: Path) -> Iterator[FullDisk]:
        journal = FullDisk(file)
        yield journal
        journal.close()

    def test_refuses_a_write_before_it_takes_effect(self, journal: FullDisk) -> None:
        emulator = FakeEmulator()
        answer = post(journal, "PutItem", b"body", emulator)
        assert answer.status_code == 507
        assert answer.json()["__type"] == "DiskFull"
        assert "No space left on device" in answer.json()["message"]
        assert emulator.bodies == []

    def test_refuses_an_object_in_the_words_of_s3(self, journal: FullDisk) -> None:
        answer = request(journal, "PUT", "/bucket/object", b"body", {})
        assert answer.status_code == 507
        assert "<Code>DiskFull</Code>" in answer.text

    def test_is_over_when_there_is_space(self, journal: FullDisk) -> None:
        post(journal, "PutItem", b"refused")
        journal.full = False
        assert post(journal, "PutItem", b"body").status_code == 200
        assert restart(journal) == [b"body"]

    def test_leaves_nothing_of_a_write_that_fits_in_part(
        self, journal: FullDisk, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        journal.full = False
        journal.append(write(b"first"))
        write_all = os.write
        monkeypatch.setattr(os, "write", lambda file, data: write_all(file, data[:9]))
        with pytest.raises(OSError, match="No space left"):
            journal.append(write(b"second"))
        monkeypatch.undo()
        journal.append(write(b"third"))
        assert [noted.body for noted in journal.writes()] == [b"first", b"third"]


def stop(journal: Journal, save_beyond: int, *, is_on_file: bool = True) -> bool:
    """End an emulator's life; whether it was told, and so saved its tables."""
    told = False

    async def emulator(scope: Any, receive: Any, send: Any) -> None:
        nonlocal told
        await receive()
        told = True
        await send({"type": "lifespan.shutdown.complete"})

    async def life() -> None:
        answers: list[str] = []

        async def receive() -> Any:
            return {"type": "lifespan.shutdown"}

        async def send(message: Any) -> None:
            answers.append(message["type"])

        application = JournaledStack(emulator, journal, save_beyond, lambda: is_on_file)
        await application({"type": "lifespan"}, receive, send)
        assert answers == ["lifespan.shutdown.complete"]

    asyncio.run(life())
    return told


class TestEnd:
    def test_saves_the_tables_where_the_journal_is_long(self, journal: Journal) -> None:
        post(journal, "PutItem", b"body")
        assert stop(journal, save_beyond=journal.size - 1)

    def test_leaves_a_short_journal_to_be_repeated(self, journal: Journal) -> None:
        post(journal, "PutItem", b"body")
        assert not stop(journal, save_beyond=journal.size)
        assert restart(journal) == [b"body"]

    def test_leaves_the_journal_while_an_object_is_nowhere_else(self, journal: Journal) -> None:
        post(journal, "PutItem", b"body")
        assert not stop(journal, save_beyond=0, is_on_file=False)


class TestJournal:
    @pytest.mark.parametrize("kept", range(1, 10))
    def test_cuts_off_an_entry_that_was_torn(self, file: Path, kept: int) -> None:
        for body in (b"body", b"torn"):
            journal = Journal(file)
            before = file.stat().st_size
            journal.append(write(body))
            journal.close()
        with file.open("r+b") as torn:
            torn.truncate(before + kept)
        journal = Journal(file)
        journal.append(write(b"after"))
        assert [noted.body for noted in journal.writes()] == [b"body", b"after"]
        journal.close()

    @pytest.mark.parametrize("zeros", [1, 7, 8, 9, 64, 5_000])
    def test_cuts_off_zeros_at_the_end(self, file: Path, zeros: int) -> None:
        content = entries(file, b"first", b"second")
        file.write_bytes(content + bytes(zeros))
        journal = Journal(file)
        assert [noted.body for noted in journal.writes()] == [b"first", b"second"]
        assert file.read_bytes() == content
        journal.close()

    @pytest.mark.parametrize("zeros", [8, 24, 64])
    def test_refuses_zeros_before_the_end(self, file: Path, zeros: int) -> None:
        first = entries(file, b"first")
        file.write_bytes(first + bytes(zeros) + first)
        said = f"at byte {len(first)}: 1 writes before it can be read, and 1 behind"
        with pytest.raises(StateDamaged, match=said):
            Journal(file)

    def test_refuses_an_entry_that_is_zeros(self, file: Path) -> None:
        content = entries(file, b"1", b"2", b"3")
        first = len(content) // 3
        zeroed = content[:first] + bytes(first) + content[2 * first :]
        file.write_bytes(zeroed)
        with pytest.raises(StateDamaged, match="1 writes before it can be read, and 1 behind"):
            Journal(file)

    def test_refuses_to_open_a_file_that_is_damaged_anywhere(self, file: Path) -> None:
        """One byte of three entries is another; were it the length or the last, too."""
        content = entries(file, b"first", b"second", b"third")
        for place in range(len(content)):
            file.write_bytes(flipped(content, place))
            with pytest.raises(StateDamaged, match=re.escape(str(file))):
                Journal(file)
            assert file.read_bytes() == flipped(content, place)

    def test_says_where_it_is_damaged_and_what_can_be_read(self, file: Path) -> None:
        content = entries(file, b"first", b"second", b"third", b"fourth")
        second = len(entries(file, b"first"))
        file.write_bytes(flipped(content, second + 30))
        said = f"at byte {second}: 1 writes before it can be read, and 2 behind"
        with pytest.raises(StateDamaged, match=said):
            Journal(file)

    def test_reads_what_an_earlier_version_wrote(self, file: Path) -> None:
        """Writes had no headers then."""
        file.write_bytes(entry(msgspec.msgpack.encode(write(b"body")[:6])))
        journal = Journal(file)
        assert list(journal.writes()) == [write(b"body")]
        journal.close()


def entries(file: Path, *bodies: bytes) -> bytes:
    """What a journal of these holds."""
    file.unlink(missing_ok=True)
    journal = Journal(file)
    for body in bodies:
        journal.append(write(body))
    journal.close()
    return file.read_bytes()


def flipped(content: bytes, place: int) -> bytes:
    """The bytes with one bit of one of them turned."""
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]
