"""What comes in about a user: listening events and the profile; and what is held, to read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from segue.domain.errors import InvalidRecord, UnknownUser
from segue.domain.events import Event, parse_event
from segue.domain.times import SECOND, Window, format_time
from segue.domain.users import Attribute, User
from segue.ports import Clock, SessionStore, UserStore

# So far ahead may a client's clock be, in milliseconds.
CLOCK_SKEW = 300 * SECOND


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that cannot be used: its place in the batch, from 0, and every reason."""

    index: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch. ``repeated`` records were there already, or twice in the batch.

    ``not_yet_counted``: how many of these and of the accepted ones are not before "now", so that
    no recommendation as of now goes by them.
    """

    accepted: int
    repeated: int
    not_yet_counted: int
    rejections: tuple[Rejection, ...]


class Position(NamedTuple):
    """An event's place among its user's events, in the order in which they are listed."""

    time: int
    session_id: str
    type: str
    track_id: str

    @classmethod
    def of(cls, event: Event) -> "Position":
        return cls(event.time, event.session_id, event.type, event.track_id or "")


@dataclass(frozen=True, slots=True)
class EventPage:
    """One page of events, in time order; ``next``: behind which to go on, None on the last."""

    events: tuple[Event, ...]
    next: Position | None


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile as it is to be; ``attributes`` None: those that there are stay."""

    favourite_genres: tuple[str, ...]
    premium: bool
    attributes: Mapping[str, Attribute] | None


class Ingest:
    """Takes events and profiles in. Everything raises StoreUnavailable.

    ``as_of`` stands in for "now" where recommendations are made (None: the clock).
    """

    def __init__(
        self, sessions: SessionStore, users: UserStore, clock: Clock, as_of: int | None = None
    ) -> None:
        self._sessions = sessions
        self._users = users
        self._clock = clock
        self._as_of = as_of

    def add(self, user_id: str, records: Iterable[object]) -> Receipt:
        """Store the user's events, whoever sends them, however often; each record stands alone.

        One that has not happened yet, by the clock, is rejected.
        """
        now = self._clock.now()
        events: list[Event] = []
        rejections: list[Rejection] = []
        for index, record in enumerate(records):
            try:
                events.append(_parse(user_id, record, now))
            except InvalidRecord as error:
                rejections.append(Rejection(index, error.reasons))
        new = self._sessions.append(events)
        moment = now if self._as_of is None else self._as_of
        later = sum(event.time >= moment for event in events)
        return Receipt(new, len(events) - new, later, tuple(rejections))

    def events(
        self, user_id: str, window: Window, *, limit: int, after: Position | None
    ) -> EventPage:
        """A page of the user's events in the window. Raises UnknownUser."""
        found = [(Position.of(event), event) for event in self._sessions.events(user_id, window)]
        if not found and not self._is_known(user_id):
            raise UnknownUser(f"there is no user {user_id}")
        rest = sorted(pair for pair in found if after is None or pair[0] > after)
        page = rest[:limit]
        return EventPage(
            tuple(event for _, event in page), page[-1][0] if len(rest) > limit else None
        )

    def profile(self, user_id: str) -> User:
        """Raises UnknownUser where there is no profile, though there may be events."""
        user = self._users.get(user_id)
        if user is None:
            raise UnknownUser(f"there is no profile of user {user_id}")
        return user

    def save_profile(self, user_id: str, profile: Profile) -> User:
        """The user's profile from now on."""
        user = User(user_id, profile.favourite_genres, profile.premium, profile.attributes or {})
        if profile.attributes is None:
            return self._users.amend(user)
        self._users.put(user)
        return user

    def _is_known(self, user_id: str) -> bool:
        return self._sessions.has_events(user_id) or self._users.get(user_id) is not None


def _parse(user_id: str, record: object, now: int) -> Event:
    """The record needs not name its user; if it does, then this one."""
    if not isinstance(record, Mapping):
        raise InvalidRecord(["not an object"])
    event = parse_event({**record, "user_id": record.get("user_id", user_id)})
    if event.user_id != user_id:
        raise InvalidRecord([f"user_id is not {user_id}"])
    if event.time > now + CLOCK_SKEW:
        raise InvalidRecord([f"timestamp is after now, {format_time(now)}"])
    return event
