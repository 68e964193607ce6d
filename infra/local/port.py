"""Ports of this machine."""

import socket

from infra.local.errors import LocalStackError

HOST = "127.0.0.1"


def listen(port: int, option: str) -> socket.socket:
    """A socket that owns the port, and lets whoever connects wait until it is served.

    Raises LocalStackError, naming the ``option`` that chooses another port, where that is taken.
    """
    # With the protocol named, asyncio sends small answers at once (TCP_NODELAY); without, every
    # second packet of an answer waits 40 ms for the first one to be acknowledged.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        # Two sockets may be bound to one port; only one of them may listen.
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise LocalStackError(
            f"port {port} of {HOST} cannot be used ({error.strerror}); stop the program that "
            f"has it, or choose another {option}"
        ) from None
    return listener


def free_port() -> int:
    """A port that nobody listens on."""
    with listen(0, "") as listener:
        port: int = listener.getsockname()[1]
        return port
