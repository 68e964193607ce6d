"""Recommendations: from a user and a model to a list of tracks."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from random import Random, SystemRandom
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segue.domain.errors import ModelFailed, UnknownUser
from segue.domain.events import Event
from segue.domain.plays import Play, label_plays, mean_tracks_per_session
from segue.domain.times import Window
from segue.domain.users import User
from segue.features.listeners import history_of
from segue.models.bundle import Bundle
from segue.models.model import Listener, Model
from segue.models.ranked import Forbidden, Ranked
from segue.models.registry import load_model, model_name
from segue.ports import Clock, ModelStore, Refused, SessionStore, UserStore
from segue.ranking.diversity import pool_size
from segue.ranking.explanations import Reason, explain, explain_cold_start
from segue.ranking.exploration import explore
from segue.ranking.lists import rank
from segue.services.similar import SimilarQuery, similar_tracks

# The sessions of so many days decide how long a list is.
PLAYLIST_DAYS = 30
SHORTEST_PLAYLIST, LONGEST_PLAYLIST = 5, 50

# It keeps no state, so that sandboxes started from one snapshot do not draw alike.
_SYSTEM_RANDOM = SystemRandom()

_TIME = attrgetter("time")


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a model.

    ``k``: length of the list; None: as many tracks as the user's sessions have on average.
    ``as_of``: recommend as if it were this moment; None: now. ``novelty`` "new" leaves out what
    the user has ever started before; ``explicit`` False leaves out explicit tracks; ``exclude``
    names tracks to leave out, known to the catalogue or not. ``diversity`` from 0 (by score alone)
    to 1 (as diverse as can be); ``exploration`` from 0 (none) to 1, the temperature of the draw;
    ``explain``: give reasons.
    """

    user_id: str
    model_id: int
    k: int | None = None
    as_of: int | None = None
    novelty: Literal["any", "new"] = "any"
    explicit: bool = True
    exclude: tuple[str, ...] = ()
    diversity: float = 0.0
    exploration: float = 0.0
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The tracks, best first, and where they come from; ``cold_start`` if no play was to go by.

    Track by track: ``scores``, on the model's own scale; ``reasons``, None unless they were asked
    for; ``propensities``, as ``segue.ranking.exploration`` has them, None unless it explored.
    """

    tracks: tuple[str, ...]
    model: str
    bundle: str
    as_of: int
    cold_start: bool
    scores: tuple[float, ...]
    reasons: tuple[Reason | None, ...] | None
    propensities: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Health:
    """The bundle that is served, and why not another one that should be; ``now``: the moment that
    a query is answered as of that names none."""

    version: str
    now: int
    refused: Refused | None


class Recommender:
    """Answers queries; ``as_of`` stands in for "now" where one names no time (None: the clock).

    ``random``: where exploration draws from.
    """

    def __init__(
        self,
        sessions: SessionStore,
        users: UserStore,
        models: ModelStore,
        clock: Clock,
        as_of: int | None = None,
        random: Random = _SYSTEM_RANDOM,
    ) -> None:
        self._sessions = sessions
        self._users = users
        self._models = models
        self._clock = clock
        self._as_of = as_of
        self._random = random

    def recommend(self, query: Query, bundle: Bundle | None = None) -> Recommendation:
        """Ask a model of the bundle; None: of the one that is served.

        Raises UnknownModel, UnknownUser, ModelFailed, BundleError and StoreUnavailable.
        """
        bundle = bundle or self._models.current()
        name, model = model_name(query.model_id, bundle), load_model(query.model_id, bundle)
        as_of = self._moment(query.as_of)
        window = Window.before(as_of, max(model.history_days, PLAYLIST_DAYS))
        user, events = self._user_and_events(query, window)
        plays = label_plays(e for e in events if window.start <= e.time < window.end)
        heard = _latest(plays, as_of, model.history_days)
        listener = Listener(user, history_of(heard, bundle.catalogue, as_of))
        k = query.k or playlist_length(_latest(plays, as_of, PLAYLIST_DAYS))
        forbidden = _forbidden(query, events, bundle)
        with _blaming(name):
            ranked, propensities = self._choose(model, listener, bundle, k, query, forbidden)
            tracks = ranked.tracks
            reasons = _reasons(model, listener, tracks, bundle) if query.explain else None
        return Recommendation(
            tracks=tuple(bundle.catalogue.track_ids(tracks)),
            model=name,
            bundle=bundle.version,
            as_of=as_of,
            cold_start=len(listener.history) == 0,
            scores=tuple(ranked.scores.tolist()),
            reasons=reasons,
            propensities=propensities,
        )

    def similar(self, query: SimilarQuery) -> tuple[str, ...]:
        """The tracks most like another. Raises UnknownTrack, UnknownModel and BundleError."""
        return similar_tracks(self._models.current(), query)

    def models(self) -> Mapping[str, Any]:
        """The manifest of the active bundle, for people to read. Raises BundleError."""
        return self._models.current().manifest.content

    def check(self) -> Health:
        """Reach the models and the tables, as a prediction does.

        Raises BundleError and StoreUnavailable.
        """
        version = self._models.current().version
        self._users.get("0")
        self._sessions.has_events("0")
        return Health(version, self._moment(None), self._models.refused())

    def _moment(self, as_of: int | None) -> int:
        moments = (as_of, self._as_of)
        return next((moment for moment in moments if moment is not None), self._clock.now())

    def _user_and_events(self, query: Query, window: Window) -> tuple[User, list[Event]]:
        start = 0 if query.novelty == "new" else window.start
        events = self._sessions.events(query.user_id, Window(start, window.end))
        user = self._users.get(query.user_id)
        if user is None and not events and not self._sessions.has_events(query.user_id):
            raise UnknownUser(f"there is no user {query.user_id}")
        return user or User(query.user_id), events

    def _choose(
        self,
        model: Model,
        listener: Listener,
        bundle: Bundle,
        k: int,
        query: Query,
        forbidden: Forbidden | None,
    ) -> tuple[Ranked, tuple[float, ...] | None]:
        """The list, and the propensities of its tracks where it explores."""
        ask = partial(rank, model, listener, bundle, forbidden=forbidden, diversity=query.diversity)
        if not query.exploration:
            return ask(k), None
        pool = pool_size(k)
        ranked = ask(pool, pool=pool)
        places, propensities = explore(
            np.arange(len(ranked.tracks)), k, query.exploration, self._random
        )
        drawn = Ranked(ranked.tracks[places], ranked.scores[places])
        return drawn, tuple(propensities.tolist())


def playlist_length(plays: list[Play]) -> int:
    """As many tracks as a session of the window has on average, within sensible bounds."""
    mean = round(mean_tracks_per_session(plays))
    return min(max(mean, SHORTEST_PLAYLIST), LONGEST_PLAYLIST)


def _latest(plays: list[Play], as_of: int, days: int) -> list[Play]:
    """Those of the last days; all are in the order of time, and before ``as_of``."""
    start = Window.before(as_of, days).start
    return plays[bisect_left(plays, start, key=_TIME) :]


@contextmanager
def _blaming(model: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # ONNX Runtime's own exceptions share no public base
        # The library's text, paths and all, is for the log, where the cause is printed.
        raise ModelFailed(f"{model}: {type(error).__name__}") from error


def _reasons(
    model: Model, listener: Listener, tracks: NDArray[np.intp], bundle: Bundle
) -> tuple[Reason | None, ...]:
    if len(tracks) == 0:
        return ()
    catalogue, genres = bundle.catalogue, bundle.track_genres
    if len(listener.history) == 0:
        return explain_cold_start(listener.user, tracks, catalogue, genres)
    return explain(model.contributions(listener, tracks), tracks, catalogue, genres)


def _forbidden(query: Query, events: list[Event], bundle: Bundle) -> Forbidden | None:
    catalogue = bundle.catalogue
    named = set(query.exclude)
    if query.novelty == "new":
        named |= {event.track_id for event in events if event.track_id is not None}
    if query.explicit and not named:
        return None
    none = np.zeros(len(catalogue), np.bool_)
    forbidden = none if query.explicit else catalogue.explicit.copy()
    positions = catalogue.positions(list(named))
    forbidden[positions[positions >= 0]] = True
    return forbidden
