"""The child process that holds the tables and the bucket: ``python -m infra.local.stack_process``.

It lives as long as its standard input stays open, so that it stops in good order, saving its
tables, when the parent goes for whatever reason, be it SIGKILL. The lock on the state folder makes
the next one wait until this one has saved.
"""

import errno
import fcntl
import os
import signal
import socket
import sys
from pathlib import Path
from threading import Thread

from infra.local.port import bind

_SHORT_JOURNAL = 1_000_000  # bytes; repeated in a fraction of a second


def main(folder: Path, port: int) -> None:
    """Serve DynamoDB and S3 on the port until standard input ends.

    Says ``listening`` on standard output when the port is its own; whoever connects then is
    answered as soon as everything is loaded. Exits with EADDRINUSE's number where another program
    has the port.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_stop_with_parent, daemon=True).start()
    with (folder / "stack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        listener = _listen_on(port)
        os.write(sys.stdout.fileno(), b"listening\n")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        _serve(folder, listener)


def _stop_with_parent() -> None:
    # Not sys.stdin: its lock would stand in the way of the interpreter's end.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _listen_on(port: int) -> socket.socket:
    try:
        listener = bind(port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.exit(errno.EADDRINUSE)
    listener.listen(128)
    return listener


def _serve(folder: Path, listener: socket.socket) -> None:
    from infra.local.journal import Journal, JournaledStack
    from infra.local.snapshots import Snapshots

    snapshots = Snapshots(folder / "tables")
    os.environ.update(_emulator_settings(folder, snapshots.work, listener.getsockname()[1]))
    # The emulator reads its settings when it is imported.
    import uvicorn
    from ministack.app import app  # type: ignore[import-untyped]

    journal = Journal(snapshots.journal)
    config = uvicorn.Config(
        JournaledStack(app, journal, save_beyond=max(_SHORT_JOURNAL, snapshots.size // 4)),
        lifespan="on",
        log_level="warning",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
    )
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        journal.close()
        snapshots.commit()


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
    main(Path(sys.argv[1]), int(sys.argv[2]))
