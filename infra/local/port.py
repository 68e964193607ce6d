"""Ports of this machine."""

import socket

HOST = "127.0.0.1"


def bind(port: int) -> socket.socket:
    """A socket that owns the port. Raises OSError where another program does."""
    # With the protocol named, asyncio sends small answers at once (TCP_NODELAY); without, every
    # second packet of an answer waits 40 ms for the first one to be acknowledged.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError:
        listener.close()
        raise
    return listener
