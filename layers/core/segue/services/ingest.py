"""What comes in about a user: listening events and the profile; and what is held, to read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from segue.domain.errors import InvalidRecord, UnknownPosition, UnknownUser
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


@dataclass(frozen=True, slots=True)
class EventPage:
    """One page of events, in time order; ``next``: the position to go on from, None on the last."""

    events: tuple[Event, ...]
    next: str | None


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

    def events(self, user_id: str, window: Window, *, limit: int, after: str | None) -> EventPage:
        """A page of the user's events in the window, behind the position ``after``.

        Raises UnknownUser, and UnknownPosition for one that no page of this list gave.
        """
        found = sorted(self._sessions.events(user_id, window), key=_order)
        if not found and not self._is_known(user_id):
            raise UnknownUser(f"there is no user {user_id}")
        start = 0
        if after is not None:
            positions = [_position(event, window) for event in found]
            if after not in positions:
                raise UnknownPosition
            start = positions.index(after) + 1
        page = tuple(found[start : start + limit])
        more = start + limit < len(found)
        return EventPage(page, _position(page[-1], window) if more else None)

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


def _order(event: Event) -> tuple[int, str, str, str]:
    return event.time, event.session_id, event.type, event.track_id or ""


def _position(event: Event, window: Window) -> str:
    """The place behind the event in the list of its user's events in the window."""
    return sha256(repr((window, *event)).encode()).hexdigest()[:32]


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
