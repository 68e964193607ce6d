"""Writes through the public API, remembers what was acknowledged, and counts what is there."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import httpx

from tests.e2e.conftest import PATIENCE, Service

_WRITERS = 4
# Of one session.
EVENTS = 3

# What a request asks for: method, path and body.
Asked = tuple[str, str, Any]


@dataclass(frozen=True)
class Counts:
    """Of all that was acknowledged so far."""

    acknowledged: int
    lost: int
    doubled: int


@dataclass
class Ledger:
    """What the service has acknowledged: events, outcomes of A/B tests, and what was shown.

    Like any careful client it repeats what was not answered, or refused with a 5xx, until it is.
    """

    events: set[tuple[str, str, str]] = field(default_factory=set)
    outcomes: dict[str, int] = field(default_factory=dict)
    shown: dict[str, Any] = field(default_factory=dict)
    unanswered: list[Asked] = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    _users: Iterator[int] = field(default_factory=itertools.count)
    _client: httpx.Client = field(
        default_factory=lambda: httpx.Client(timeout=PATIENCE, trust_env=False)
    )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def write(self, service: Service, users: int) -> None:
        """One session, one test and one recommendation of each of so many new users."""
        with ThreadPoolExecutor(_WRITERS) as pool:
            list(pool.map(lambda _: self._write_one(service), range(users)))

    @contextmanager
    def writing(self, service: Service) -> Iterator[None]:
        """Writers that do not pause; inside, something may happen to the service."""
        stop = Event()

        def write_on() -> None:
            # Where nobody answers any more, thousands a second would be asked again later.
            while not stop.wait(0.02 if self.unanswered else 0):
                self._write_one(service)

        with ThreadPoolExecutor(_WRITERS) as pool:
            writers = [pool.submit(write_on) for _ in range(_WRITERS)]
            try:
                yield
            finally:
                stop.set()
            for writer in writers:
                writer.result()

    def wait_for(self, more: int, reached: Callable[["Ledger"], int]) -> None:
        """Until what ``reached`` counts has grown by so many."""
        goal, deadline = reached(self) + more, time.monotonic() + PATIENCE
        while reached(self) < goal:
            assert time.monotonic() < deadline, "nobody writes any more"
            time.sleep(0.002)

    def repeat(self, service: Service) -> None:
        """Ask once more for what was not acknowledged."""
        asked, self.unanswered = self.unanswered, []
        for each in asked:
            self._ask(service, each)

    def count(self, service: Service) -> Counts:
        """Compare the ledger with what the service has."""
        users = sorted({user for user, _, _ in self.events})
        found = Counter(event for user in users for event in self._events(service, user))
        rows = list(self._results(service))
        outcomes = Counter(row["user_id"] for row in rows)
        held = {row["user_id"]: row["recomm_successful"] for row in rows}
        lost = len(self.events - found.keys())
        lost += sum(held.get(user) != outcome for user, outcome in self.outcomes.items())
        lost += sum(self._get(service, path) != answer for path, answer in self.shown.items())
        doubled = sum(times - 1 for times in (*found.values(), *outcomes.values()))
        acknowledged = len(self.events) + len(self.outcomes) + len(self.shown)
        return Counts(acknowledged, lost, doubled)

    def _write_one(self, service: Service) -> None:
        user = f"u{next(self._users)}"
        events = [
            {
                "session_id": f"s{user}",
                "timestamp": f"2022-08-31T10:0{minute}:00Z",
                "event_type": "PLAY",
                "track_id": f"t{minute}",
            }
            for minute in range(EVENTS)
        ]
        # In two parts: the second has to change what the first has written.
        for part in (events[:1], events[1:]):
            self._ask(service, ("POST", f"/users/{user}/events", {"events": part}))
        self._ask(service, ("POST", "/perform_ab_test", {"user_id": user}))
        self._ask(service, ("GET", f"/users/{user}/recommendations", None))

    def _ask(self, service: Service, asked: Asked) -> None:
        try:
            response = self._request(service, *asked)
        except httpx.TransportError:
            self.unanswered.append(asked)
            return
        if response.status_code >= 500:
            self.refusals.append(response.json())
            self.unanswered.append(asked)
        elif response.status_code == 404:  # a user none of whose events could be written
            self.unanswered.append(asked)
        else:
            assert response.is_success, response.text
            self._note(asked, response.json())

    def _note(self, asked: Asked, answer: Any) -> None:
        _, path, body = asked
        if path.endswith("/events"):
            user = path.split("/")[2]
            assert answer["accepted"] + answer["repeated"] == len(body["events"])
            self.events |= {(user, it["session_id"], it["track_id"]) for it in body["events"]}
        elif path == "/perform_ab_test":
            self.outcomes[body["user_id"]] = answer["Successful recommendation"]
        else:
            self.shown[path] = answer

    def _request(self, service: Service, method: str, path: str, body: Any) -> httpx.Response:
        return self._client.request(method, service.url + path, json=body)

    def _get(self, service: Service, path: str) -> Any:
        response = self._request(service, "GET", path, None)
        assert response.is_success or response.status_code == 404, response.text
        return response.json()

    def _events(self, service: Service, user: str) -> Iterator[tuple[str, str, str]]:
        # A user of whom nothing is there is not known.
        for event in self._get(service, f"/users/{user}/events").get("events", ()):
            yield user, event["session_id"], event["track_id"]

    def _results(self, service: Service) -> Iterator[dict[str, Any]]:
        page: dict[str, Any] = {"next": ""}
        while page["next"] is not None:
            after = f"?next={page['next']}" if page["next"] else ""
            page = self._get(service, f"/ab_test/results{after}")
            yield from page["results"]
