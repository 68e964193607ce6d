"""Ports for the servers that tests start."""

from socket import socket


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
