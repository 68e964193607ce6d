"""A journal for the local stack, so that no kill and no full disk can lose a write.

The emulator that stands in for DynamoDB and S3 keeps tables, and which buckets there are, in
memory, and saves them when it stops in good order; objects it puts on file, but does not say where
that fails. The journal closes the gap: a write is on file before it takes effect, and where it
cannot be put there, it is refused. It survives the death of the process; a loss of power may cost
the last seconds.

The emulator's objects may be ahead of the journal that is repeated on them. That does no harm: of
the writes of one object, either none takes effect again, or from one on all do.
"""

import asyncio
import errno
import json
import mmap
import os
import re
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from infra.process import LocalStackError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

SALVAGE = "`segue serve --salvage` sets it aside and goes on with what can be read"

_READS = ("Get", "BatchGet", "Query", "Scan", "TransactGet", "Describe", "List")
_LENGTH_AND_CHECKSUM = struct.Struct("<II")
# How every entry's content begins: an array of 6 or 7, and the method.
_BEGINNING = re.compile(rb"[\x96\x97](?:\xa4POST|\xa3PUT|\xa6DELETE)")
_FULL = (errno.ENOSPC, errno.EDQUOT)


class StateDamaged(LocalStackError):
    """A file of the state folder is not what was written to it. Nothing has been changed."""


class Write(NamedTuple):
    """A request that changes something. ``authorization`` says for which account and region,
    ``target`` is DynamoDB's operation and empty for S3, ``headers`` are those of S3 alone."""

    method: str
    path: str
    query: bytes
    target: bytes
    authorization: bytes
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @classmethod
    def of(cls, scope: Message, body: bytes) -> "Write":
        """What is needed to repeat this ASGI request."""
        headers = dict(scope["headers"])
        target = headers.get(b"x-amz-target", b"")
        return cls(
            scope["method"],
            scope["path"],
            scope["query_string"],
            target,
            headers.get(b"authorization", b""),
            body,
            () if target else tuple((name, value) for name, value in scope["headers"]),
        )

    def scope(self) -> Message:
        """The ASGI scope that repeats the request."""
        headers = [*self.headers] or [(b"authorization", self.authorization)]
        if self.target:
            headers.append((b"x-amz-target", self.target))
        return {
            "type": "http",
            "method": self.method,
            "path": self.path,
            "query_string": self.query,
            "headers": headers,
        }


class Span(NamedTuple):
    """Bytes of a journal: an entry, or where ``whole`` is false, what cannot be read."""

    start: int
    end: int
    whole: bool


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Write)


class Journal:
    """An append-only file of writes. A torn last entry belongs to a write that was never answered:
    it is cut off when the file is opened. Raises StateDamaged for any other that is not whole."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._path = path
        try:
            self._end = _checked_end(path)
        except StateDamaged:
            os.close(self._file)
            raise
        self._before = self._end
        os.ftruncate(self._file, self._end)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._end

    def writes(self) -> Iterator[Write]:
        """The writes on file, oldest first."""
        return map(_decoder.decode, contents(self._path))

    def append(self, write: Write) -> None:
        """Put the write on file as a whole or, where that fails, not at all (OSError)."""
        framed = entry(_encoder.encode(write))
        if os.write(self._file, framed) != len(framed):
            os.ftruncate(self._file, self._end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._before, self._end = self._end, self._end + len(framed)

    def take_back(self) -> None:
        """Remove the entry that was appended last."""
        self._end = self._before
        os.ftruncate(self._file, self._end)

    def close(self) -> None:
        os.close(self._file)


def entry(content: bytes) -> bytes:
    """The content as it stands in a journal."""
    return _LENGTH_AND_CHECKSUM.pack(len(content), zlib.crc32(content)) + content


def spans(path: Path) -> Iterator[Span]:
    """What a journal consists of, in order, without the torn entry at its end."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = 0
        while start < len(data):
            end = _entry_end(data, start)
            whole = end is not None
            if end is None:
                end = _next_entry(data, start)
                if end == len(data) and _is_torn(data, start):
                    return
            yield Span(start, end, whole)
            start = end


def contents(path: Path) -> Iterator[bytes]:
    """The content of every entry that is whole."""
    with path.open("rb") as file:
        for span in spans(path):
            file.seek(span.start + _LENGTH_AND_CHECKSUM.size)
            if span.whole:
                yield file.read(span.end - file.tell())


def _checked_end(path: Path) -> int:
    """Where the last entry ends. Raises StateDamaged."""
    end, readable, first = 0, [0, 0], None
    for span in spans(path):
        end = span.end
        if span.whole:
            readable[first is not None] += 1
        else:
            first = first or span
    if first:
        raise StateDamaged(
            f"{path} is damaged at byte {first.start:,}: {readable[0]:,} writes before it can be "
            f"read, and {readable[1]:,} behind. Nothing was changed; {SALVAGE}"
        )
    return end


def _entry_end(data: mmap.mmap, start: int) -> int | None:
    """Where the entry ends that begins here, or None where none does that is whole."""
    begin = start + _LENGTH_AND_CHECKSUM.size
    if begin > len(data):
        return None
    length, checksum = _LENGTH_AND_CHECKSUM.unpack_from(data, start)
    end = begin + int(length)
    # Eight zero bytes are the right checksum of nothing, and no write.
    if end > len(data) or not _BEGINNING.match(data, begin, end):
        return None
    return end if zlib.crc32(data[begin:end]) == checksum else None


def _next_entry(data: mmap.mmap, start: int) -> int:
    """Where the next whole entry begins behind ``start``, or the end of the file."""
    for match in _BEGINNING.finditer(data, start + _LENGTH_AND_CHECKSUM.size + 1):
        found = match.start() - _LENGTH_AND_CHECKSUM.size
        if _entry_end(data, found) is not None:
            return found
    return len(data)


def _is_torn(data: mmap.mmap, start: int) -> bool:
    """Whether what begins here, and goes to the end of the file, is the first part of an entry, or
    zeros: where power fails, a file may have its new length and not yet its new bytes.

    Of an entry that is there as a whole, but has a wrong length, the checksum still holds.
    """
    begin = start + _LENGTH_AND_CHECKSUM.size
    if begin > len(data) or not data[start:].strip(b"\0"):
        return True
    length, checksum = _LENGTH_AND_CHECKSUM.unpack_from(data, start)
    return begin + int(length) > len(data) and zlib.crc32(data[begin:]) != checksum


class _NothingToSave(Exception):
    """Ends the emulator's life without its last act."""


class JournaledStack:
    """An ASGI application around the emulator: notes its writes, repeats them at the start.

    Writes pass one at a time, so that the order on file is the order in which they took effect.

    The emulator saves its tables when it is told of the end. It is told only where the journal is
    longer than ``save_beyond`` bytes: a short journal is sooner repeated than large tables are
    saved. And it is told only where ``is_on_file``: while an object is in the journal alone, the
    journal has to stay.

    ``not_repeated`` counts what the tables did not take at the start: after damage to the journal,
    the writes that build on what was lost.
    """

    def __init__(
        self,
        application: Application,
        journal: Journal,
        save_beyond: int = 0,
        is_on_file: Callable[[], bool] = lambda: True,
    ) -> None:
        self._application = application
        self._journal = journal
        self._save_beyond = save_beyond
        self._is_on_file = is_on_file
        self._order = asyncio.Lock()
        self.not_repeated = 0

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
                    answer = await asyncio.create_task(self._answer(write.scope(), write.body))
                    # Objects may have it already; of tables, what it builds on is missing.
                    self.not_repeated += bool(write.target) and _is_refused(answer)
            await send(message)

        async def receive_unless_short() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown" and not self._has_to_save():
                raise _NothingToSave
            return message

        try:
            await self._application(scope, receive_unless_short, send_when_repeated)
        except _NothingToSave:
            await send({"type": "lifespan.shutdown.complete"})

    def _has_to_save(self) -> bool:
        return self._journal.size > self._save_beyond and self._is_on_file()

    async def _write(self, scope: Message, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        if body is None:
            return
        async with self._order:
            try:
                self._journal.append(Write.of(scope, body))
            except OSError as error:
                answer = _refusal(scope, error)
            else:
                answer = await self._take_effect(scope, body)
        for message in answer:
            await send(message)

    async def _take_effect(self, scope: Message, body: bytes) -> list[Message]:
        """The emulator's answer; what it refuses, or fails at, does not stay in the journal."""
        stays = False
        try:
            answer = await self._answer(scope, body)
            stays = not _is_refused(answer)
        finally:
            if not stays:
                self._journal.take_back()
        return answer

    async def _answer(self, scope: Message, body: bytes) -> list[Message]:
        answer: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            answer.append(message)

        await self._application(scope, receive, send)
        return answer


def _is_refused(answer: list[Message]) -> bool:
    return bool(answer[0]["status"] >= HTTPStatus.MULTIPLE_CHOICES)


def _is_noted(scope: Message) -> bool:
    """Whether the request may change something."""
    target = dict(scope.get("headers", ())).get(b"x-amz-target", b"").decode("latin-1")
    service, _, operation = target.partition(".")
    if service.startswith("DynamoDB_"):
        return not operation.startswith(_READS)
    deletes_many = scope["method"] == "POST" and scope["query_string"].startswith(b"delete")
    return scope["method"] in ("PUT", "DELETE") or deletes_many


def _refusal(scope: Message, error: OSError) -> list[Message]:
    """What DynamoDB or S3 would answer if it had a disk that is full, or fails."""
    code = "DiskFull" if error.errno in _FULL else "DiskFailed"
    text = f"the write cannot be put on disk: {error.strerror}"
    if b"x-amz-target" in dict(scope["headers"]):
        kind, body = b"application/x-amz-json-1.0", json.dumps({"__type": code, "message": text})
    else:
        kind = b"application/xml"
        body = f"<Error><Code>{code}</Code><Message>{text}</Message></Error>"
    length = str(len(body)).encode()
    return [
        {
            "type": "http.response.start",
            # An SDK does not repeat it, as it would a 503: whoever waits is told at once.
            "status": HTTPStatus.INSUFFICIENT_STORAGE,
            "headers": [(b"content-type", kind), (b"content-length", length)],
        },
        {"type": "http.response.body", "body": body.encode()},
    ]


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
