"""Faults that happen to ``segue serve`` while it is written to: nothing acknowledged is lost.

One service and one ledger go through them all, in order. ``make faults`` does so many rounds:
``pytest tests/e2e/test_faults.py --rounds 20 --seed 1``.
"""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from segue.models.bundle import MANIFEST, read_manifest
from tests.e2e.conftest import (
    PATIENCE,
    Options,
    Service,
    client,
    end,
    serving,
    stack_process,
    start,
    wait_until_ready,
)
from tests.e2e.ledger import EVENTS, Counts, Ledger

pytestmark = pytest.mark.local

_DISK = 64 * 1024 * 1024  # bytes
_USERS = 12


@dataclass
class Row:
    """A line of the table: what happened how often, and the counts after the last time."""

    times: int = 0
    refused: int = 0
    counts: Counts = field(default_factory=lambda: Counts(0, 0, 0))


@dataclass
class Campaign:
    """The service, its ledger, and the chance that says when and where something happens."""

    options: Options
    random: Random
    rounds: range
    ledger: Ledger = field(default_factory=Ledger)
    rows: dict[str, Row] = field(default_factory=dict)
    _service: Service | None = None

    @property
    def service(self) -> Service:
        """The running service; started where there is none."""
        if self._service is None or self._service.process.poll() is not None:
            self._service = start(self.options)
            wait_until_ready(self._service)
        return self._service

    def end(self) -> None:
        """Stop the service in good order, if it runs."""
        if self._service:
            end(self._service.process)
            self._service = None

    def kill(self) -> None:
        """SIGKILL for the service."""
        self.service.kill()
        self.end()

    def write_until(self, happens: Callable[[Service], None]) -> None:
        """It happens after some answers, while everyone writes."""
        service = self.service
        with self.ledger.writing(service):
            self.ledger.wait_for(self.random.randint(5, 60), lambda it: len(it.events))
            happens(service)

    def check(self, fault: str, refused: int = 0) -> None:
        """After the fault, everything can be written."""
        self.recover()
        self.happened(fault, refused)

    def recover(self) -> None:
        """What was not acknowledged is, and so is more."""
        self.ledger.repeat(self.service)
        self.ledger.write(self.service, _USERS)
        assert self.ledger.unanswered == []

    def happened(self, fault: str, refused: int) -> None:
        """A fault, which was answered by so many refusals."""
        row = self.rows.setdefault(fault, Row())
        row.times += 1
        row.refused += refused

    def count(self, *faults: str) -> None:
        """After all rounds: nothing was lost or doubled."""
        counts = self.ledger.count(self.service)
        for fault in faults:
            self.rows[fault].counts = counts
        assert (counts.lost, counts.doubled) == (0, 0)

    def refused(self, **ports: int) -> str:
        """A start that ends with one clear line."""
        refused = start(self.options, **ports)
        _, stderr = refused.process.communicate(timeout=PATIENCE)
        assert refused.process.returncode == 1, stderr
        (line,) = stderr.splitlines()
        return str(line)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """A small disk of its own, or None where this user may not mount one."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        yield None
        return
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def campaign(
    disk: Path | None,
    bundle_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> Iterator[Campaign]:
    state = (disk or tmp_path_factory.mktemp("faults")) / "state"
    bundle = shutil.copytree(bundle_path, tmp_path_factory.mktemp("bundle") / "bundle")
    random = Random(pytestconfig.getoption("--seed", 1))
    rounds = range(pytestconfig.getoption("--rounds", 1))
    campaign = Campaign(Options(bundle, state), random, rounds)
    yield campaign
    campaign.end()
    campaign.ledger.close()
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n\nSeed {pytestconfig.getoption('--seed', 1)}:\n\n{table(campaign.rows)}")


def table(rows: dict[str, Row]) -> str:
    """What happened and what came of it, as Markdown; it stands in docs/operations.md."""
    lines = ["| fault | times | refused | acknowledged so far | lost | doubled |"]
    lines += ["|---|---|---|---|---|---|"]
    lines += [
        f"| {fault} | {row.times} | {row.refused:,} | {row.counts.acknowledged:,} "
        f"| {row.counts.lost} | {row.counts.doubled} |"
        for fault, row in rows.items()
    ]
    return "\n".join(lines)


def fill(file: Path) -> None:
    """Leave no space on the disk that the file is on."""
    with file.open("wb", buffering=0) as filler:
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while filler.write(bytes(size)) == size:
                    pass


def kill_tables(service: Service) -> None:
    os.kill(stack_process(service), signal.SIGKILL)


def only_in_a_full_run(campaign: Campaign) -> None:
    if len(campaign.rounds) == 1:
        pytest.skip("only in a full run: `make faults`")


def make_snapshot(campaign: Campaign) -> None:
    """Write more than is left to the journal, and stop in good order."""
    service = campaign.service
    before = tables_of(campaign.options, "journal")
    bucket = service.names["Bucket"]
    client(service, "s3").put_object(Bucket=bucket, Key="large", Body=bytes(2_000_000))
    campaign.end()
    campaign.ledger.write(campaign.service, _USERS)
    campaign.end()
    assert tables_of(campaign.options, "journal") != before


def tables_of(options: Options, name: str) -> Path:
    """A file of the current snapshot."""
    numbers = (entry for entry in (options.state / "tables").iterdir() if entry.name.isdigit())
    return max(numbers, key=lambda entry: int(entry.name)) / name


FILES: dict[str, Callable[[Options], list[Path]]] = {
    "the journal": lambda options: [tables_of(options, "journal")],
    "a snapshot": lambda options: [tables_of(options, "dynamodb.json")],
    "an object": lambda options: [
        it for it in options.state.glob("s3/*/*/ab/**/*.*") if ".meta" not in it.name
    ],
    "what is said of an object": lambda options: [*options.state.glob("s3/*/*/ab/**/*.meta.json")],
    "the bundle": lambda options: [
        options.bundle / name for name in (MANIFEST, *read_manifest(options.bundle).files)
    ],
}


def flip(file: Path, random: Random) -> bytes:
    """Turn one bit of one byte; what the file holds then."""
    damaged = bytearray(file.read_bytes())
    damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
    file.write_bytes(damaged)
    return bytes(damaged)


def test_the_service_is_killed(campaign: Campaign) -> None:
    for _ in campaign.rounds:
        campaign.write_until(Service.kill)
        campaign.end()
        campaign.check("SIGKILL of `segue serve`")
    campaign.count("SIGKILL of `segue serve`")


def test_the_tables_are_killed(campaign: Campaign) -> None:
    """Begun again beneath the running service."""
    for _ in campaign.rounds:
        campaign.write_until(kill_tables)
        campaign.check("SIGKILL of the tables and the bucket")
    campaign.count("SIGKILL of the tables and the bucket")


def test_both_are_killed(campaign: Campaign) -> None:
    def kill_both(service: Service) -> None:
        service.process.send_signal(signal.SIGSTOP)  # lest it should begin them again
        kill_tables(service)
        service.kill()

    for _ in campaign.rounds:
        campaign.write_until(kill_both)
        campaign.end()
        campaign.check("SIGKILL of both at once")
    campaign.count("SIGKILL of both at once")


class TestFullDisk:
    @pytest.fixture(autouse=True)
    def _needs_a_disk(self, disk: Path | None) -> None:
        if disk is None:
            pytest.skip("a small disk can be mounted by root on Linux alone")

    def test_is_over_when_there_is_space(self, campaign: Campaign, disk: Path) -> None:
        """Writes are refused with the reason, and reading goes on; no restart is needed."""
        for _ in campaign.rounds:
            refusals = self.fill_while_writing(campaign, disk)
            assert campaign.ledger.count(campaign.service).lost == 0
            (disk / "filler").unlink()
            campaign.check("disk full, then space again", refusals)
        campaign.count("disk full, then space again")

    def test_and_the_tables_are_killed(self, campaign: Campaign, disk: Path) -> None:
        """They are begun again, and read, on the full disk."""
        fault = "disk full, then SIGKILL of the tables"
        for _ in campaign.rounds:
            refusals = self.fill_while_writing(campaign, disk)
            kill_tables(campaign.service)
            assert campaign.ledger.count(campaign.service).lost == 0
            (disk / "filler").unlink()
            campaign.check(fault, refusals)
        campaign.count(fault)

    @pytest.mark.parametrize("ending", ["SIGKILL", "stop"])
    def test_then_an_end(self, campaign: Campaign, disk: Path, ending: str) -> None:
        for _ in campaign.rounds:
            refusals = self.fill_while_writing(campaign, disk)
            campaign.kill() if ending == "SIGKILL" else campaign.end()
            (disk / "filler").unlink()
            campaign.check(f"disk full, then {ending} of `segue serve`", refusals)
        campaign.count(f"disk full, then {ending} of `segue serve`")

    def fill_while_writing(self, campaign: Campaign, disk: Path) -> int:
        """How many writes were refused."""
        before = len(campaign.ledger.refusals)

        def fill_up(_: Service) -> None:
            fill(disk / "filler")
            campaign.ledger.wait_for(20, lambda it: len(it.refusals))

        campaign.write_until(fill_up)
        refusals = campaign.ledger.refusals[before:]
        assert all(problem["status"] == 503 for problem in refusals), refusals
        assert all("DiskFull" in problem["detail"] for problem in refusals), refusals
        return len(refusals)


def test_a_byte_of_a_file_is_another(campaign: Campaign) -> None:
    """The start is refused, names the file, and changes nothing."""
    faults = {f"a byte flipped in {kind}": files for kind, files in FILES.items()}
    for _ in campaign.rounds:
        make_snapshot(campaign)
        for fault, files in faults.items():
            file = campaign.random.choice(sorted(files(campaign.options)))
            content = file.read_bytes()
            damaged = flip(file, campaign.random)
            assert file.name in campaign.refused()
            assert file.read_bytes() == damaged
            file.write_bytes(content)
            campaign.happened(fault, 1)
        campaign.recover()
    campaign.count(*faults)


def test_a_snapshot_is_damaged_and_salvaged(campaign: Campaign) -> None:
    """The one before, and the journal since then, give it back."""
    for _ in campaign.rounds:
        make_snapshot(campaign)
        file = tables_of(campaign.options, "dynamodb.json")
        os.truncate(file, campaign.random.randrange(file.stat().st_size))
        assert str(file) in campaign.refused()
        options = campaign.options
        campaign.options = replace(options, more=("--salvage",))
        campaign.check("a snapshot cut short, then `--salvage`", 1)
        campaign.options = options
    campaign.count("a snapshot cut short, then `--salvage`")


def test_the_journal_is_damaged_and_salvaged(campaign: Campaign) -> None:
    """In a copy: what cannot be read is lost, at most one session's; all else is there."""
    row = campaign.rows.setdefault("a byte flipped in the journal, then `--salvage`", Row())
    for _ in campaign.rounds:
        campaign.end()
        campaign.ledger.write(campaign.service, _USERS)
        campaign.end()
        copy = campaign.options.state.with_name("copy")
        shutil.copytree(campaign.options.state, copy)
        options = replace(campaign.options, state=copy, more=("--salvage",))
        flip(tables_of(options, "journal"), campaign.random)
        with serving(options) as service:
            counts = campaign.ledger.count(service)
        shutil.rmtree(copy)
        # A user without events is recommended nothing, either.
        assert counts.lost <= EVENTS + 1
        assert counts.doubled == 0
        row.times += 1
        row.counts = replace(counts, lost=row.counts.lost + counts.lost)


def test_a_port_is_taken(campaign: Campaign) -> None:
    only_in_a_full_run(campaign)
    for _ in campaign.rounds:
        campaign.end()
        for option in ("port", "stack_port"):
            with socket.create_server(("127.0.0.1", 0)) as other:
                line = campaign.refused(**{option: other.getsockname()[1]})
            assert f"--{option.replace('_', '-')}" in line
        campaign.check("each port taken by another program", 2)
    campaign.count("each port taken by another program")


def test_the_clock_is_moved(campaign: Campaign) -> None:
    """A year back, and a year forth: nothing that is kept depends on the time of day."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.skip("Debian's libfaketime is not installed")
    for years in [-1, 1] * len(campaign.rounds):
        campaign.end()
        moved = {"LD_PRELOAD": str(library), "FAKETIME": f"{years:+}y"}
        campaign.options = replace(campaign.options, environment=moved)
        campaign.check("the clock a year off")
        year = datetime.now(UTC).year + years
        assert f" {year} " in campaign.service.request("GET", "/health").headers["date"]
    campaign.count("the clock a year off")
