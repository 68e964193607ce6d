"""A journal for the tables of the local stack, so that no kill can lose a write.

The emulator that stands in for DynamoDB keeps its tables in memory and saves them when it stops in
good order. The journal closes the gap: a write that succeeded is on file before its answer leaves.
It survives the death of the process; a loss of power may cost the last seconds.
"""

import asyncio
import os
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_READS = ("Get", "BatchGet", "Query", "Scan", "TransactGet", "Describe", "List")
_LENGTHS_AND_CHECKSUM = struct.Struct("<HHII")


class Write(NamedTuple):
    """A request that changed a table: the operation, who asked (account, region), the body."""

    target: bytes
    authorization: bytes
    body: bytes

    def scope(self) -> Message:
        """The ASGI scope that repeats the request."""
        headers = [
            (b"x-amz-target", self.target),
            (b"authorization", self.authorization),
            (b"content-type", b"application/x-amz-json-1.0"),
        ]
        return {
            "type": "http",
            "method": "POST",
            "path": "/",
            "query_string": b"",
            "headers": headers,
        }


class Journal:
    """An append-only file of writes. A torn last entry belongs to a write that was never answered:
    it is cut off when the file is opened."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._path = path
        self._end = sum(_size(write) for write in self.writes())
        os.ftruncate(self._file, self._end)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._end

    def writes(self) -> Iterator[Write]:
        """The writes on file, oldest first."""
        with self._path.open("rb") as file:
            while write := _read(file.read):
                yield write

    def append(self, write: Write) -> None:
        """Put the write on file as a whole or, where the disk is full, not at all (OSError)."""
        lengths = (len(write.target), len(write.authorization), len(write.body))
        content = b"".join(write)
        entry = _LENGTHS_AND_CHECKSUM.pack(*lengths, zlib.crc32(content)) + content
        if os.write(self._file, entry) != len(entry):
            os.ftruncate(self._file, self._end)
            raise OSError(f"{self._path}: the disk is full")
        self._end += len(entry)

    def close(self) -> None:
        os.close(self._file)


class _NothingToSave(Exception):
    """Ends the emulator's life without its last act."""


class JournaledTables:
    """An ASGI application around the emulator: notes its table writes, repeats them at the start.

    Writes pass one at a time, so that the order on file is the order in which they took effect.
    The emulator is told of the end, and so saves its tables, only where the journal is longer than
    ``save_beyond`` bytes: a short journal is sooner repeated than large tables are saved.
    """

    def __init__(self, application: Application, journal: Journal, save_beyond: int = 0) -> None:
        self._application = application
        self._journal = journal
        self._save_beyond = save_beyond
        self._order = asyncio.Lock()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif target := _write_target(scope):
            await self._write(target, scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _lifespan(self, scope: Message, receive: Receive, send: Send) -> None:
        async def send_when_repeated(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                for write in self._journal.writes():
                    # A task of its own: the emulator keeps the caller's account in the context.
                    await asyncio.create_task(self._answer(write.scope(), write.body))
            await send(message)

        async def receive_unless_short() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown" and self._journal.size <= self._save_beyond:
                raise _NothingToSave
            return message

        try:
            await self._application(scope, receive_unless_short, send_when_repeated)
        except _NothingToSave:
            await send({"type": "lifespan.shutdown.complete"})

    async def _write(self, target: bytes, scope: Message, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        if body is None:
            return
        async with self._order:
            answer = await self._answer(scope, body)
            if answer[0]["status"] == 200:
                headers = dict(scope["headers"])
                self._journal.append(Write(target, headers.get(b"authorization", b""), body))
        for message in answer:
            await send(message)

    async def _answer(self, scope: Message, body: bytes) -> list[Message]:
        answer: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            answer.append(message)

        await self._application(scope, receive, send)
        return answer


def _read(read: Callable[[int], bytes]) -> Write | None:
    head = read(_LENGTHS_AND_CHECKSUM.size)
    if len(head) < _LENGTHS_AND_CHECKSUM.size:
        return None
    *lengths, checksum = _LENGTHS_AND_CHECKSUM.unpack(head)
    write = Write(*(read(length) for length in lengths))
    return write if zlib.crc32(b"".join(write)) == checksum else None


def _size(write: Write) -> int:
    return _LENGTHS_AND_CHECKSUM.size + sum(map(len, write))


def _write_target(scope: Message) -> bytes | None:
    """The DynamoDB operation that the request names, unless it only reads."""
    headers: dict[bytes, bytes] = dict(scope.get("headers", ()))
    target = headers.get(b"x-amz-target", b"")
    service, _, operation = target.decode("latin-1").partition(".")
    is_write = service.startswith("DynamoDB_") and not operation.startswith(_READS)
    return target if is_write else None


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, or None where the client left before it was complete."""
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)
