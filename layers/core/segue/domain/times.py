"""Times are integers: milliseconds since 1970-01-01 UTC. Text is read and written here alone."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SECOND = 1_000
DAY = 86_400 * SECOND

# From here on the year has five digits, and text no longer sorts as time does.
LATEST = 253_402_300_800_000

_NO_TIME = "not a time (ISO 8601 text or epoch milliseconds)"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open stretch of time ``start <= t < end``, in milliseconds."""

    start: int
    end: int

    @classmethod
    def before(cls, time: int, days: int) -> "Window":
        """The ``days`` that end at ``time``."""
        return cls(time - days * DAY, time)

    @classmethod
    def after(cls, time: int, days: int) -> "Window":
        """The ``days`` that begin at ``time``."""
        return cls(time, time + days * DAY)

    def __contains__(self, time: int) -> bool:
        return self.start <= time < self.end


def parse_time(value: object) -> int:
    """Read an ISO 8601 text (UTC where it names no zone) or epoch milliseconds.

    Raises ValueError, saying why and never what (it may be long, or deeply nested), for anything
    else or outside 1970 to 9999.
    """
    # Not isinstance: True and False are integers to it.
    if type(value) is int:
        time = value
    elif isinstance(value, str):
        time = _parse_text(value)
    else:
        raise ValueError(_NO_TIME)
    if not 0 <= time < LATEST:
        raise ValueError("not between the years 1970 and 9999")
    return time


def _parse_text(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(_NO_TIME) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    # Not timestamp() * 1000: a float's last digit would move some times by a millisecond.
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def format_time(time: int) -> str:
    """Write ``time`` as ISO 8601 in UTC with milliseconds: such texts sort as their times do."""
    seconds, millis = divmod(time, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{millis:03d}Z"
