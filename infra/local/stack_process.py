"""The child process that holds the tables and the bucket: ``python -m infra.local.stack_process``.

It lives as long as its standard input stays open, so that it stops in good order, saving its
tables, when the parent goes for whatever reason, be it SIGKILL. The lock on the state folder makes
the next one wait until this one has saved.
"""

import fcntl
import os
import signal
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import TextIO

from infra.local.journal import Journal, JournaledStack, StateDamaged
from infra.local.objects import (
    check_objects,
    is_on_file,
    remove_halves,
    remove_what_is_deleted,
    salvage_objects,
    seal_facts,
)
from infra.local.snapshots import Snapshots, salvage
from infra.process import LocalStackError

READY = "ready"
SALVAGE = "--salvage"

_SHORT_JOURNAL = 1_000_000  # bytes; repeated in a fraction of a second


def main(folder: Path, descriptor: int, salvaging: bool) -> None:
    """Serve DynamoDB and S3 on the socket of this number until standard input ends.

    Says ``ready`` on standard output when everything is loaded, and before that what the person at
    the terminal should know: what was salvaged or, and then it ends, what is damaged.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_stop_with_parent, daemon=True).start()
    parent = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with (folder / "stack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            _check_format(folder)
            if salvaging:
                _salvage(folder, parent)
            else:
                _check_beginning(folder)
            _serve(folder, socket.socket(fileno=descriptor), parent)
        except LocalStackError as fault:
            parent.write(f"{fault}\n")
            sys.exit(os.EX_DATAERR)


def _stop_with_parent() -> None:
    # Not sys.stdin: its lock would stand in the way of the interpreter's end.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _salvage(folder: Path, parent: TextIO) -> None:
    tables, objects = folder / "tables", folder / "s3"
    aside = folder / "damaged" / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"
    remove_halves(objects)
    done = [salvage(tables, aside / "tables")]
    journal = Journal(Snapshots(tables).journal)
    done.append(salvage_objects(objects, journal.writes(), aside / "s3"))
    journal.close()
    parent.writelines(f"{line}\n" for line in done if line)


def _check_format(folder: Path) -> None:
    """Raises LocalStackError for a folder of a later version. One that says nothing is of 1."""
    file = folder / "format"
    if file.exists() and (said := file.read_text(errors="replace").strip()) != "1":
        raise LocalStackError(
            f"{file} says {said!r}: a later version of Segue has written this state. Start that "
            "version again, or choose another folder with --state"
        )


def _check_beginning(folder: Path) -> None:
    """Raises StateDamaged where there are objects, and nothing that says how they came there."""
    tables = folder / "tables"
    is_empty = not any(it.stat().st_size for it in tables.glob("*/*"))
    if is_empty and any(it.is_file() for it in (folder / "s3").rglob("*")):
        raise StateDamaged(
            f"{tables} holds neither a snapshot nor a journal, but there are objects in "
            f"{folder / 's3'}. Nothing was changed; `segue serve --salvage` goes on with "
            "these, and with tables that are empty"
        )


def _serve(folder: Path, listener: socket.socket, parent: TextIO) -> None:
    snapshots = Snapshots(folder / "tables")
    journal = Journal(snapshots.journal)
    remove_halves(folder / "s3")
    check_objects(folder / "s3", journal.writes())
    os.environ.update(_emulator_settings(folder, snapshots.work, listener.getsockname()[1]))
    # The emulator reads its settings when it is imported.
    import uvicorn
    from ministack.app import app  # type: ignore[import-untyped]

    seal_facts()
    remove_what_is_deleted()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started and application.not_repeated:
                lost = f"{application.not_repeated:,} writes, of what could not be read"
                parent.write(f"Not repeated       {lost}\n")
            if self.started:
                parent.write(f"{READY}\n")

    application = JournaledStack(app, journal, max(_SHORT_JOURNAL, snapshots.size // 4), is_on_file)
    config = uvicorn.Config(
        application,
        lifespan="on",
        log_level="warning",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
    )
    try:
        Server(config).run(sockets=[listener])
    finally:
        journal.close()
        if not snapshots.commit():
            snapshots.note_end()


def _emulator_settings(folder: Path, tables: Path, port: int) -> dict[str, str]:
    return {
        "GATEWAY_PORT": str(port),
        "SERVICES": "dynamodb,s3,sts",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(tables),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "s3"),
        # Else it opens two more ports, on every interface.
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), SALVAGE in sys.argv[3:])
