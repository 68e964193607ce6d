"""Docker for ``sam local``: where there is none, a line says why."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runtime.docker import why_not

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lets there be these programs, and no others; each ends with this status."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def install(*programs: str, prints: str = "", status: int = 0) -> None:
        for program in programs:
            (tmp_path / program).write_text(f"#!/bin/sh\necho {prints}\nexit {status}\n")
            (tmp_path / program).chmod(0o755)

    return install


def test_programs_that_are_missing_are_named(install: Install) -> None:
    assert why_not() == "no Docker: docker, socat, dockerd, iptables, ip cannot be found"
    install("docker", "socat", "ip", status=1)
    assert why_not() == "no Docker: dockerd, iptables cannot be found"


def test_a_daemon_that_answers_is_enough(install: Install) -> None:
    install("docker", "socat", prints="172.17.0.0/16")
    assert why_not() is None


def test_only_root_can_start_one(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("docker", "socat", "dockerd", "iptables", "ip", status=1)
    for user, reason in (
        (0, None),
        (1000, "no Docker daemon answers, and only root can start one"),
    ):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert why_not() == reason
