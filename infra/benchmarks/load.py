"""How the local service stands up to many requests at once: ``python -m infra.benchmarks.load``.

A closed loop: so many clients, each of which asks again as soon as it is answered, for a model's
list of one listener after another. Starts ``segue serve`` on a bundle and a data folder, with a
state folder of its own. Beside latencies and faults it says how the memory of each process grew,
and which of them the time goes into: where that is the emulator of DynamoDB, the models are not
what to make faster.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, Any

import httpx
import numpy as np
import typer

from infra.benchmarks.figures import machine
from infra.cli.options import Json
from infra.cli.output import console, markdown_table, write_json
from infra.process import HOST, free_port, serving
from infra.progress import Report, progress_bars, silent

_USERS = 100
_PATIENCE = 300.0
# Which process does what, by what is in its command line; the gateway is the service itself.
_ROLES = {"stack_process": "tables and bucket", "worker_process": "functions", "": "gateway"}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used by now: seconds of CPU time, and bytes of memory."""

    role: str
    seconds: float
    resident: int


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it. latencies: (requests,) seconds. answers: how many there were of each status,
    "none" where none came. before, after: by process."""

    model: int
    clients: int
    seconds: float
    latencies: Sequence[float]
    answers: Mapping[str, int]
    before: Mapping[int, Usage]
    after: Mapping[int, Usage]

    @property
    def busy(self) -> dict[str, float]:
        """Milliseconds of CPU time a request, by role."""
        found = dict.fromkeys(_ROLES.values(), 0.0)
        for pid in self.after:
            found[self.after[pid].role] += 1_000 * self._seconds(pid) / len(self.latencies)
        return found

    @property
    def bottleneck(self) -> str:
        """The role of the process that was busy for the greatest part of the time."""
        return self.after[max(self.after, key=self._seconds)].role

    @property
    def growth(self) -> int:
        """Bytes by which all processes together grew."""
        now, then = (sum(it.resident for it in each.values()) for each in (self.after, self.before))
        return now - then

    def _seconds(self, pid: int) -> float:
        before = self.before.get(pid)
        return self.after[pid].seconds - (before.seconds if before else 0.0)

    def to_json(self) -> dict[str, Any]:
        """Figures alone: milliseconds and megabytes."""
        p50, p95, p99, most = self._percentiles()
        return {
            "model": self.model,
            "clients": self.clients,
            "requests": len(self.latencies),
            "answers": dict(self.answers),
            "requests_per_second": len(self.latencies) / self.seconds,
            "latency_ms": {"50": p50, "95": p95, "99": p99, "100": most},
            "cpu_ms_per_request": self.busy,
            "bottleneck": self.bottleneck,
            "memory_before": [asdict(it) for it in self.before.values()],
            "memory_after": [asdict(it) for it in self.after.values()],
        }

    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        p50, p95, p99, most = self._percentiles()
        busy = ", ".join(f"{role} {spent:.1f}" for role, spent in self.busy.items())
        return (
            str(self.model),
            str(self.clients),
            f"{len(self.latencies) / self.seconds:.0f}",
            f"{p50:.0f} / {p95:.0f} / {p99:.0f} / {most:.0f}",
            ", ".join(f"{number:,} with {status}" for status, number in self.answers.items()),
            busy,
            self.bottleneck,
            f"{self.growth / 1e6:+.0f} MB",
        )

    def _percentiles(self) -> list[float]:
        found: list[float] = np.percentile(self.latencies, [50, 95, 99, 100]).tolist()
        return [1_000 * seconds for seconds in found]


_HEADING = (
    "model",
    "clients",
    "requests a second",
    "50 / 95 / 99 / 100 % within, ms",
    "answers",
    "CPU a request, ms",
    "busiest",
    "memory",
)


def measure_load(
    url: str, pid: int, model: int, clients: int, requests: int, report: Report = silent
) -> Load:
    """Send so many requests to a service whose first process is ``pid``."""
    found = httpx.get(f"{url}/users?limit={_USERS}", trust_env=False).json()["users"]
    users = [user["user_id"] for user in found]
    latencies: list[float] = []
    answers: Counter[str] = Counter()
    # The first request to each process loads the models.
    for _ in _asked(url, model, clients, 2 * _USERS, users):
        pass
    before, start = usage(pid), perf_counter()
    asked = _asked(url, model, clients, requests, users)
    for done, (status, seconds) in enumerate(asked, start=1):
        answers[status] += 1
        latencies.append(seconds)
        report(f"model {model}", done, requests)
    return Load(model, clients, perf_counter() - start, latencies, answers, before, usage(pid))


def _asked(
    url: str, model: int, clients: int, requests: int, users: Sequence[Any]
) -> Iterator[tuple[str, float]]:
    """The status of each answer and how long it took, in seconds; in the order of the requests."""
    address = f"{url}/models/{model}/predict"
    with httpx.Client(timeout=_PATIENCE, trust_env=False) as client:

        def ask(number: int) -> tuple[str, float]:
            start = perf_counter()
            try:
                answer = client.post(address, json={"user_id": users[number % len(users)]})
                status = str(answer.status_code)
            except httpx.HTTPError:
                status = "none"
            return status, perf_counter() - start

        with ThreadPoolExecutor(clients) as pool:
            yield from pool.map(ask, range(requests))


def usage(pid: int) -> dict[int, Usage]:
    """What the service with this first process, and its children, have used, by process."""
    return {process: _usage(process) for process in (pid, *_children(pid))}


def _usage(pid: int) -> Usage:
    """From proc(5)."""
    folder = Path(f"/proc/{pid}")
    command, stat, statm = (
        (folder / name).read_text(encoding="utf-8") for name in ("cmdline", "stat", "statm")
    )
    # Behind the name, which may hold anything, field 3 is the first: 14 and 15 are times.
    user, system = stat.rpartition(")")[2].split()[11:13]
    return Usage(
        next(role for part, role in _ROLES.items() if part in command),
        (int(user) + int(system)) / os.sysconf("SC_CLK_TCK"),
        int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE"),
    )


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in listed for child in file.read_text(encoding="utf-8").split()]


@contextmanager
def service(bundle: Path, data: Path) -> Iterator[tuple[str, int]]:
    """``segue serve`` on these; its address, and the number of its first process."""
    port, stack_port = free_port(), free_port()
    with TemporaryDirectory(prefix="segue-") as state:
        options = ["--bundle", str(bundle), "--data", str(data), "--state", state]
        options += ["--port", str(port), "--stack-port", str(stack_port)]
        with serving("serve", *options) as (process, _):
            yield f"http://{HOST}:{port}", process.pid


def main(
    bundle: Annotated[Path, typer.Option(metavar="BUNDLE", help="The models.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="The listeners and what they heard.")],
    requests: Annotated[int, typer.Option(min=1, help="So many for each model.")] = 20_000,
    clients: Annotated[int, typer.Option(min=1, help="So many ask at once.")] = 8,
    model: Annotated[
        list[int] | None, typer.Option(help="Only these models; may be given several times.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Put the local service under load, and print how it took it."""
    out = console(json_file)
    with service(bundle, data) as (url, pid), progress_bars(out) as report:
        loads = [
            measure_load(url, pid, number, clients, requests, report)
            for number in model or range(4)
        ]
    for line in markdown_table(_HEADING, [load.cells() for load in loads]):
        out.print(line)
    answer = machine() | {"loads": [load.to_json() for load in loads]}
    write_json(json.dumps(answer, indent=2), json_file)


if __name__ == "__main__":
    typer.run(main)
