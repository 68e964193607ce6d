"""When a request is sent again, and after how long."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

# What came of one attempt.
Outcome = httpx.Response | httpx.TransportError


@dataclass(frozen=True, slots=True)
class Retry:
    """Sends a request again after a lost connection, a time-out, and the statuses 429 and 5xx.

    That is safe for every request of this API, POST included. An event that is stored already is
    counted as repeated. A prediction changes nothing. The first outcome of an A/B test is final.
    PUT and DELETE come to the same if they come twice. There is one exception: a PUT with
    ``If-Match`` or ``If-None-Match`` may be answered with 412 the second time, if its first answer
    was lost.

    ``attempts``: how often at most, the first time included. Pauses are drawn at random from 0 to
    ``backoff`` seconds, to twice that, and so on, never more than ``longest``. ``Retry-After``
    says more exactly when; where that is later than ``longest``, the answer stands.
    """

    attempts: int = 5
    backoff: float = 0.25
    longest: float = 20.0

    def pause(self, attempt: int, outcome: Outcome) -> float | None:
        """Seconds until the next attempt; None where this outcome stands. Counts from 1."""
        if attempt >= self.attempts or not _is_passing(outcome):
            return None
        asked = _retry_after(outcome)
        if asked is None:
            return random.uniform(0, min(self.longest, self.backoff * 2 ** (attempt - 1)))
        return asked if asked <= self.longest else None


def _is_passing(outcome: Outcome) -> bool:
    if isinstance(outcome, httpx.TransportError):
        # A URL that no attempt can reach.
        return not isinstance(outcome, httpx.UnsupportedProtocol)
    return (
        outcome.status_code == HTTPStatus.TOO_MANY_REQUESTS
        or outcome.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    )


def _retry_after(outcome: Outcome) -> float | None:
    """``Retry-After`` in seconds; it may be a number, or a date."""
    value = outcome.headers.get("Retry-After") if isinstance(outcome, httpx.Response) else None
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())
