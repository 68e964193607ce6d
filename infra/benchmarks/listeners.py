"""Made-up listeners of a bundle's catalogue, each with a month of plays."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from infra.demo.randomness import Rng, stream
from infra.memory import (
    FixedClock,
    MemoryModelStore,
    MemorySessionStore,
    MemoryTrackStore,
    MemoryUserStore,
)
from segue.domain.catalogue import Catalogue
from segue.domain.events import Event, EventType
from segue.domain.times import DAY, SECOND, Window
from segue.domain.users import User
from segue.models.bundle import Bundle
from segue.services.recommend import Recommender

PLAYS = 300
_DAYS = 30
_PLAYS_PER_SESSION = 15
_SONG, _SKIPPED_AFTER = 200 * SECOND, 30 * SECOND
_SKIPS, _LIKES = 0.25, 0.08
# So many different tracks are drawn by popularity, and so many of a few artists.
_POPULAR, _OF_ARTISTS, _ARTISTS = 60, 60, 8
_FAVOURITES = 3


@dataclass(frozen=True)
class MadeUp:
    """A listener's profile, and their events in the order of time."""

    user: User
    events: list[Event]


@dataclass
class _ReadyStore(MemorySessionStore):
    """Answers with a list that is ready, so that a request's time is without the database's."""

    ready: dict[str, list[Event]] = field(default_factory=dict)

    def events(self, user_id: str, window: Window, *, fresh: bool = True) -> list[Event]:  # noqa: ARG002
        """All events; a made-up listener has none outside the window."""
        return self.ready[user_id]


def recommender(
    bundle: Bundle, listeners: list[MadeUp], track_store: MemoryTrackStore | None = None
) -> Recommender:
    """The service over a bundle and these listeners, at the moment of the bundle's cut-off."""
    track_store = track_store or MemoryTrackStore()
    sessions = _ReadyStore(ready={one.user.user_id: one.events for one in listeners})
    users = MemoryUserStore({one.user.user_id: one.user for one in listeners})
    clock = FixedClock(bundle.manifest.cutoff)
    return Recommender(sessions, users, MemoryModelStore(bundle), track_store, clock)


def make_listeners(bundle: Bundle, number: int, seed: int) -> list[MadeUp]:
    """The same for the same seed. Each plays a stock of tracks, some much more than others."""
    catalogue, cutoff = bundle.catalogue, bundle.manifest.cutoff
    chances = catalogue.popularity.astype(np.float64)
    chances /= chances.sum()
    listeners = []
    for place in range(number):
        random = stream(seed, place)
        plays = _plays(catalogue, chances, random)
        favourites = random.permutation(list(catalogue.genres))[:_FAVOURITES]
        user = User(str(place), tuple(favourites.tolist()), premium=bool(random.random() < 0.5))
        events = list(_events(user.user_id, catalogue.track_ids(plays), cutoff, random))
        listeners.append(MadeUp(user, events))
    return listeners


def _plays(catalogue: Catalogue, chances: NDArray[np.float64], random: Rng) -> NDArray[np.integer]:
    """(PLAYS,) positions of the tracks played, in order."""
    popular = random.choice(len(catalogue), _POPULAR, p=chances)
    artists = catalogue.artists[random.choice(len(catalogue), _ARTISTS, p=chances)]
    by_artists = np.flatnonzero(np.isin(catalogue.artists, artists))
    stock = random.permutation(np.concatenate([popular, random.choice(by_artists, _OF_ARTISTS)]))
    often = 1 / np.arange(1, len(stock) + 1)
    return random.choice(stock, PLAYS, p=often / often.sum())


def _events(user_id: str, tracks: list[str], cutoff: int, random: Rng) -> Iterator[Event]:
    sessions = PLAYS // _PLAYS_PER_SESSION
    for place, track in enumerate(tracks):
        session, within = divmod(place, _PLAYS_PER_SESSION)
        begun = cutoff - _DAYS * DAY + session * _DAYS * DAY // sessions + within * _SONG
        yield Event(user_id, str(session), begun, EventType.PLAY, track)
        if random.random() < _LIKES:
            yield Event(user_id, str(session), begun + SECOND, EventType.LIKE, track)
        if random.random() < _SKIPS:
            yield Event(user_id, str(session), begun + _SKIPPED_AFTER, EventType.SKIP, track)
