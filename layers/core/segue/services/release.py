"""Whether a function answers: every one of its routes is called as an application would call it.

What is written is of a listener and an experiment that exist for this alone. The listener is erased
in the end; the experiment is stopped, and an epoch of it stays in the archive.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

NAME = "release-check"

_OK, _CREATED, _ACCEPTED, _NO_CONTENT = 200, 201, 202, 204
_REFUSED = (404, 409, 422)
_ONE = "/experiments/{name}"
_EXPERIMENT = {
    "arms": [
        {"group": "control", "model_id": 0, "share": 0.5},
        {"group": "treatment", "model_id": 1, "share": 0.5},
    ],
    "window_days": 1,
}


class Request(NamedTuple):
    """A request to a route such as ``/users/{user_id}``; ``parameters`` are those of its path."""

    method: str
    route: str
    parameters: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    @property
    def path(self) -> str:
        """The route with its parameters in it."""
        return self.route.format(**self.parameters)


class Answer(NamedTuple):
    """The status of an answer, and its body: parsed where it is JSON, text where it is not."""

    status: int
    body: Any


Send = Callable[[Request], Answer]


class RouteFailed(Exception):
    """A route was not answered as it should be; the message names it."""


class Caller:
    """Calls routes by ``send``, and compares their statuses with what is expected."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def __call__(
        self,
        method: str,
        route: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        if_match: str | None = None,
        expected: tuple[int, ...] = (_OK,),
        **parameters: str,
    ) -> Any:
        """The body of the answer. Raises RouteFailed for an answer of another status."""
        headers = {"If-Match": if_match} if if_match else {}
        answer = self._send(Request(method, route, parameters, query or {}, headers, body))
        if answer.status not in expected:
            wanted = " or ".join(map(str, expected))
            raise RouteFailed(
                f"{method} {route} was answered {answer.status} instead of {wanted}: {answer.body}"
            )
        return answer.body


@contextmanager
def listener(call: Caller, user_id: str) -> Iterator[str]:
    """A listener who exists for as long as this does, made by ``functions/events``."""
    profile = {"favourite_genres": [], "premium_user": False}
    call("PUT", "/users/{user_id}", profile, user_id=user_id)
    try:
        yield user_id
    finally:
        call("DELETE", "/users/{user_id}", user_id=user_id, expected=(_NO_CONTENT,))


def check_predict(call: Caller, user_id: str) -> None:
    """Call the routes of ``functions/predict``."""
    call("GET", "/health")
    for model in call("GET", "/models")["models"]:
        call("POST", "/models/{model_id}/predict", {"user_id": user_id}, model_id=str(model["id"]))
    call("GET", "/genres")
    track = call("GET", "/tracks", query={"limit": "1"})["tracks"][0]["track_id"]
    call("GET", "/tracks/{track_id}", track_id=track)
    call("GET", "/tracks/{track_id}/similar", track_id=track)


def check_events(call: Caller, user_id: str) -> None:
    """Call the routes of ``functions/events``; those that make and erase a listener for another."""
    call("PUT", "/tracks/{track_id}", {"available": True}, track_id=NAME, expected=_REFUSED)
    with listener(call, f"{user_id}-new") as new:
        event = {
            "session_id": NAME,
            "timestamp": "2022-01-01T00:00:00Z",
            "event_type": "ADVERTISEMENT",
        }
        call("POST", "/users/{user_id}/events", {"events": [event]}, user_id=new)
        call("GET", "/users/{user_id}", user_id=new)
        call("GET", "/users", query={"query": new})
        call("GET", "/users/{user_id}/events", user_id=new)
        call("GET", "/users/{user_id}/export", user_id=new)


def check_ab_test(call: Caller, user_id: str) -> None:
    """Call the routes of ``functions/ab_test``, through the life of an experiment."""
    before = call("GET", _ONE, name=NAME, expected=(_OK, *_REFUSED)).get("etag")
    call("PUT", _ONE, _EXPERIMENT, name=NAME, if_match=before, expected=(_OK, _CREATED))
    call("GET", "/experiments")
    call("POST", "/experiments/{name}/dry_run", _EXPERIMENT, name=NAME)
    asked = {"experiment": NAME}
    call("GET", "/users/{user_id}/recommendations", user_id=user_id, query=asked)
    call("POST", "/perform_ab_test", {"user_id": user_id} | asked, expected=(_OK, _ACCEPTED))
    call("GET", "/ab_test/results", query=asked)
    call("DELETE", "/ab_test/results", query=asked, expected=(_NO_CONTENT,))
    call("DELETE", _ONE, name=NAME, expected=(_NO_CONTENT,))
    call("GET", "/layers")
    call("PUT", "/layers/{name}", {"holdout": 2}, name=NAME, expected=_REFUSED)


def check_ab_report(call: Caller, user_id: str) -> None:  # noqa: ARG001
    """Call the routes of ``functions/ab_report``; there is not always an experiment to report."""
    call("GET", "/ab_test/report", expected=(_OK, *_REFUSED))
    call("GET", "/ab_test/overview")
    call("POST", "/experiments/{name}/ship", {"group": "nobody"}, name=NAME, expected=_REFUSED)


def check_pages(call: Caller, user_id: str) -> None:  # noqa: ARG001
    """Call the routes of ``functions/pages``."""
    call("GET", "/")
    call("GET", "/docs")
    call("GET", "/openapi.json")
    call("GET", "/assets/{file}", file=NAME, expected=_REFUSED)


CHECKS: Mapping[str, Callable[[Caller, str], None]] = {
    "PredictFunction": check_predict,
    "EventsFunction": check_events,
    "AbTestFunction": check_ab_test,
    "AbReportFunction": check_ab_report,
    "PagesFunction": check_pages,
}
