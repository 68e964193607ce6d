"""The processes of the service: when they are ready, and what stops them."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import pytest

from infra.process import LocalStackError, begin, interruptible, lines_until, serving, stop


@pytest.fixture
def background_job() -> Iterator[None]:
    """A shell has what it starts in the background ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("background_job")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_server_in_the_background_can_be_stopped(how: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(how)


@pytest.mark.usefixtures("background_job")
def test_afterwards_signals_do_what_they_did() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interruptible():
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) == before


CHILD = """
import os, signal, sys
if sys.argv[2:] == ["deaf"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", flush=True)
    signal.pause()
os.write(int(sys.argv[1]), b"through the descriptor")
print("one", "two", "three", sep="\\n", flush=True)
print("an error", file=sys.stderr)
sys.stdin.read()
"""


def test_a_child_has_the_descriptor_a_log_and_an_end_with_its_standard_input(
    tmp_path: Path,
) -> None:
    with (tmp_path / "file").open("wb") as file:
        number, log = file.fileno(), tmp_path / "log"
        child = begin([sys.executable, "-c", CHILD, str(number)], number, log, stdout=PIPE)
    assert lines_until("two", child) == (["one\n", "two\n"], True)
    stop(child, 60)
    assert child.returncode == 0
    assert (tmp_path / "file").read_text() == "through the descriptor"
    assert log.read_text() == "an error\n"


def test_a_child_that_does_not_end_is_killed(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        number = file.fileno()
        command = [sys.executable, "-c", CHILD, str(number), "deaf"]
        child = begin(command, number, tmp_path / "log", stdout=PIPE)
    assert lines_until("ready", child) == (["ready\n"], True)
    stop(child, 0)
    assert child.returncode == -signal.SIGKILL


def test_a_server_that_cannot_start_says_why_itself(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with (
        pytest.raises(LocalStackError, match="`segue serve` has ended"),
        serving("serve", "--bundle", str(tmp_path), "--state", str(tmp_path / "state")),
    ):
        pass
    assert "manifest.json" in capfd.readouterr().err
