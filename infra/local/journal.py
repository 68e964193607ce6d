"""A journal for the local stack, so that no kill can lose a write.

The emulator that stands in for DynamoDB and S3 puts objects on file at once, but keeps tables, and
which buckets there are, in memory, and saves them when it stops in good order. The journal closes
the gap: a write that succeeded is on file before its answer leaves. It survives the death of the
process; a loss of power may cost the last seconds.
"""

import asyncio
import os
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_READS = ("Get", "BatchGet", "Query", "Scan", "TransactGet", "Describe", "List")
_LENGTH_AND_CHECKSUM = struct.Struct("<II")


class Write(NamedTuple):
    """A request that changed something. ``authorization`` says for which account and region,
    ``target`` is DynamoDB's operation and empty for S3."""

    method: str
    path: str
    query: bytes
    target: bytes
    authorization: bytes
    body: bytes

    @classmethod
    def of(cls, scope: Message, body: bytes) -> "Write":
        """What is needed to repeat this ASGI request."""
        headers = dict(scope["headers"])
        return cls(
            scope["method"],
            scope["path"],
            scope["query_string"],
            headers.get(b"x-amz-target", b""),
            headers.get(b"authorization", b""),
            body,
        )

    def scope(self) -> Message:
        """The ASGI scope that repeats the request."""
        headers = [(b"authorization", self.authorization)]
        if self.target:
            headers.append((b"x-amz-target", self.target))
        return {
            "type": "http",
            "method": self.method,
            "path": self.path,
            "query_string": self.query,
            "headers": headers,
        }


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Write)


class Journal:
    """An append-only file of writes. A torn last entry belongs to a write that was never answered:
    it is cut off when the file is opened."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._path = path
        self._end = sum(_LENGTH_AND_CHECKSUM.size + len(content) for content in self._contents())
        os.ftruncate(self._file, self._end)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._end

    def writes(self) -> Iterator[Write]:
        """The writes on file, oldest first."""
        return map(_decoder.decode, self._contents())

    def append(self, write: Write) -> None:
        """Put the write on file as a whole or, where the disk is full, not at all (OSError)."""
        content = _encoder.encode(write)
        entry = _LENGTH_AND_CHECKSUM.pack(len(content), zlib.crc32(content)) + content
        if os.write(self._file, entry) != len(entry):
            os.ftruncate(self._file, self._end)
            raise OSError(f"{self._path}: the disk is full")
        self._end += len(entry)

    def close(self) -> None:
        os.close(self._file)

    def _contents(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while len(head := file.read(_LENGTH_AND_CHECKSUM.size)) == _LENGTH_AND_CHECKSUM.size:
                length, checksum = _LENGTH_AND_CHECKSUM.unpack(head)
                content = file.read(length)
                if zlib.crc32(content) != checksum:
                    return
                yield content


class _NothingToSave(Exception):
    """Ends the emulator's life without its last act."""


class JournaledStack:
    """An ASGI application around the emulator: notes its writes, repeats them at the start.

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
        elif _is_noted(scope):
            await self._write(scope, receive, send)
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

    async def _write(self, scope: Message, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        if body is None:
            return
        async with self._order:
            answer = await self._answer(scope, body)
            if answer[0]["status"] < HTTPStatus.MULTIPLE_CHOICES:
                self._journal.append(Write.of(scope, body))
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


def _is_noted(scope: Message) -> bool:
    """Whether the request may change what the emulator keeps in memory alone."""
    target = dict(scope.get("headers", ())).get(b"x-amz-target", b"").decode("latin-1")
    service, _, operation = target.partition(".")
    if service.startswith("DynamoDB_"):
        return not operation.startswith(_READS)
    # A path of one part is a bucket: the request makes it, changes its settings, or deletes it.
    return scope.get("method") in ("PUT", "DELETE") and "/" not in scope["path"].strip("/")


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
