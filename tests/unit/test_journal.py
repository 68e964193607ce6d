"""The journal of the local stack: no kill loses a write, and none is ever repeated twice."""

import asyncio
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.local.journal import Journal, JournaledStack, Write
from infra.local.snapshots import Snapshots


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
    journal: Journal, method: str, url: str, body: bytes, headers: dict[str, str]
) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=JournaledStack(FakeEmulator(), journal))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, url, content=body, headers=headers)

    return asyncio.run(send())


def post(journal: Journal, operation: str, body: bytes) -> httpx.Response:
    headers = {"x-amz-target": f"DynamoDB_20120810.{operation}", "authorization": "me"}
    return request(journal, "POST", "/", body, headers)


def restart(journal: Journal) -> list[bytes]:
    """Begin a new emulator; what its tables hold when it is ready."""
    emulator = FakeEmulator()
    ready: list[Any] = []

    async def start() -> None:
        async def send(message: Any) -> None:
            ready.append((message["type"], list(emulator.bodies)))

        async def receive() -> Any:
            raise AssertionError("nothing is received at the start")

        await JournaledStack(emulator, journal)({"type": "lifespan"}, receive, send)

    asyncio.run(start())
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
            ("PUT", "/bucket/an/object", 0),
        ],
    )
    def test_note_buckets_but_not_their_objects(
        self, journal: Journal, method: str, url: str, noted: int
    ) -> None:
        request(journal, method, url, b"", {})
        assert len(list(journal.writes())) == noted

    def test_do_not_note_refused_writes(self, journal: Journal) -> None:
        assert post(journal, "PutItem", b"bad").status_code == 400
        assert list(journal.writes()) == []


def stop(journal: Journal, save_beyond: int) -> bool:
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

        await JournaledStack(emulator, journal, save_beyond)({"type": "lifespan"}, receive, send)
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


class TestSnapshots:
    def save(self, snapshots: Snapshots, content: str) -> None:
        """Save as the emulator does: a new file in place of the old."""
        new = snapshots.work / "new"
        new.write_text(content)
        new.replace(snapshots.work / "dynamodb.json")

    def test_begin_with_what_was_saved_and_an_empty_journal(self, tmp_path: Path) -> None:
        first = Snapshots(tmp_path)
        first.journal.write_text("writes")
        self.save(first, "tables")
        assert first.commit()
        second = Snapshots(tmp_path)
        assert (second.work / "dynamodb.json").read_text() == "tables"
        assert not second.journal.exists()

    def test_keep_the_old_tables_with_their_journal_after_a_kill(self, tmp_path: Path) -> None:
        first = Snapshots(tmp_path)
        self.save(first, "old")
        first.commit()
        killed = Snapshots(tmp_path)
        killed.journal.write_text("writes")
        self.save(killed, "new")
        after = Snapshots(tmp_path)
        assert (after.work / "dynamodb.json").read_text() == "old"
        assert after.journal.read_text() == "writes"

    def test_keep_the_journal_where_the_emulator_could_not_save(self, tmp_path: Path) -> None:
        first = Snapshots(tmp_path)
        self.save(first, "old")
        first.commit()
        full_disk = Snapshots(tmp_path)
        full_disk.journal.write_text("writes")
        assert not full_disk.commit()
        assert Snapshots(tmp_path).journal.read_text() == "writes"
