"""What comes in about a user: listening events and the profile; and what is held, to read."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from typing import TYPE_CHECKING

from segue.domain.errors import (
    BundleError,
    InvalidRecord,
    InvalidRequest,
    StoreUnavailable,
    UnknownPosition,
    UnknownUser,
)
from segue.domain.events import Event, parse_event
from segue.domain.times import SECOND, Window, format_time
from segue.domain.users import Attribute, User
from segue.ports import Clock, SessionStore, UserStore

# It brings NumPy along, for which a function that reads a profile need not wait.
if TYPE_CHECKING:
    from segue.domain.catalogue import Catalogue

# An id of so many letters may be misspelt; so many that begin alike are then looked at.
LEAST_FOR_MISTAKES, ALIKE = 3, 1_000
# So far ahead may a client's clock be, in milliseconds.
CLOCK_SKEW = 300 * SECOND


@dataclass(frozen=True, slots=True)
class Remark:
    """On a record that does not count: its place in the batch, from 0, and every reason."""

    index: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch. ``repeated`` records were there already, or twice in the batch.

    ``rejections``: on those that cannot be used. ``waiting``: on those, of the accepted and the
    repeated ones, that no recommendation goes by yet: they are not before "now", or of a track that
    the served catalogue does not have.
    """

    accepted: int
    repeated: int
    waiting: tuple[Remark, ...]
    rejections: tuple[Remark, ...]


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

    ``catalogue`` answers with the one that the models were trained with; ``extended_catalogue`` has
    those, too, that were added since, and takes a request more. Both may raise BundleError.
    ``as_of`` stands in for "now" where recommendations are made (None: the clock).
    """

    def __init__(
        self,
        sessions: SessionStore,
        users: UserStore,
        clock: Clock,
        catalogue: "Callable[[], Catalogue]",
        extended_catalogue: "Callable[[], Catalogue]",
        as_of: int | None = None,
    ) -> None:
        self._sessions = sessions
        self._users = users
        self._clock = clock
        self._catalogue = catalogue
        self._extended_catalogue = extended_catalogue
        self._as_of = as_of

    def add(self, user_id: str, records: Iterable[object]) -> Receipt:
        """Store the user's events, whoever sends them, however often; each record stands alone.

        One that has not happened yet, by the clock, is rejected.
        """
        now = self._clock.now()
        events: dict[int, Event] = {}
        rejections: list[Remark] = []
        for index, record in enumerate(records):
            try:
                events[index] = _parse(user_id, record, now)
            except InvalidRecord as error:
                rejections.append(Remark(index, error.reasons))
        new = self._sessions.append(events.values())
        waiting = tuple(self._waiting(events, now if self._as_of is None else self._as_of))
        return Receipt(new, len(events) - new, waiting, tuple(rejections))

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

    def search(self, text: str, limit: int) -> list[User]:
        """Users with a profile whose ids begin so; any users where nothing is typed.

        Where there are none, those whose ids begin nearly so: one letter of the second half may be
        wrong, missing or too many.
        """
        found = self._users.search(text, limit)
        if found or len(text) < LEAST_FOR_MISTAKES:
            return found
        alike = self._users.search(text[: len(text) // 2], ALIKE)
        return _beginning_nearly(alike, text)[:limit]

    def save_profile(self, user_id: str, profile: Profile) -> User:
        """The user's profile from now on.

        Raises InvalidRequest for a genre that the served catalogue does not have.
        """
        self._check_genres(profile.favourite_genres)
        user = User(user_id, profile.favourite_genres, profile.premium, profile.attributes or {})
        if profile.attributes is None:
            return self._users.amend(user)
        self._users.put(user)
        return user

    def _waiting(self, events: Mapping[int, Event], now: int) -> Iterator[Remark]:
        """On the events, by their places, that no recommendation as of ``now`` goes by."""
        absent = self._absent([it.track_id for it in events.values() if it.track_id])
        for index, event in events.items():
            reasons = []
            if event.time >= now:
                reasons.append(f"timestamp is not before now, {format_time(now)}")
            if event.track_id and event.track_id in absent:
                reasons.append(absent[event.track_id])
            if reasons:
                yield Remark(index, tuple(reasons))

    def _absent(self, tracks: Sequence[str]) -> dict[str, str]:
        """Why, of the tracks that no model goes by."""
        if not tracks:
            return {}
        try:
            positions = self._catalogue().positions(tracks)
            if (positions < 0).any():
                positions = self._extended_catalogue().positions(tracks)
        except (BundleError, StoreUnavailable) as error:
            return dict.fromkeys(tracks, f"no catalogue is served: {error}")
        pairs = zip(tracks, positions, strict=True)
        return {it: f"track {it} is not in the catalogue" for it, place in pairs if place < 0}

    def _check_genres(self, genres: Sequence[str]) -> None:
        """Not where no catalogue is served, or one without genres: nobody can tell then."""
        try:
            known = self._catalogue().genres
            if not known.keys() >= set(genres):
                known = self._extended_catalogue().genres
        except BundleError:
            return
        for place, genre in enumerate(genres if known else ()):
            if genre not in known:
                folded = {name.casefold(): name for name in known}
                close = get_close_matches(genre.casefold(), folded)
                nearest = ", ".join(folded[name] for name in close)
                raise InvalidRequest(
                    f"the catalogue has no genre {genre!r}; "
                    + (f"the nearest are {nearest}" if nearest else "GET /genres lists them"),
                    field=f"favourite_genres[{place}]",
                )

    def _is_known(self, user_id: str) -> bool:
        return self._sessions.has_events(user_id) or self._users.get(user_id) is not None


def _beginning_nearly(users: Sequence[User], text: str) -> list[User]:
    """Those whose ids begin so with one mistake."""
    # They bring NumPy along, for which most requests need not wait.
    import numpy as np

    from segue.domain.words import prefix_distances

    wanted = text.encode()
    # Of an id, no more counts than its beginning, of one letter more than was typed.
    beginnings = np.array([user.user_id.encode() for user in users], f"S{len(wanted) + 1}")
    distances = prefix_distances(beginnings, wanted, 1)
    return [user for user, distance in zip(users, distances, strict=True) if distance <= 1]


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
