"""Recommendations: from a user and a model to a list of tracks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segue.domain.errors import ModelFailed, UnknownUser
from segue.domain.events import Event
from segue.domain.plays import Play, label_plays, mean_tracks_per_session
from segue.domain.times import Window
from segue.domain.users import User
from segue.features.encoder import FloatArray
from segue.features.listeners import history_of
from segue.models.bundle import Bundle
from segue.models.cold_start import cold_start_scores
from segue.models.model import Listener
from segue.models.registry import load_model, model_name
from segue.ports import Clock, ModelStore, SessionStore, UserStore
from segue.ranking.filters import forbid, top

HISTORY_DAYS = 30
SHORTEST_PLAYLIST, LONGEST_PLAYLIST = 5, 50


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a model.

    ``k``: length of the list; None: as many tracks as the user's sessions have on average.
    ``as_of``: recommend as if it were this moment; None: now. ``novelty`` "new" leaves out what
    the user has ever started before; ``explicit`` False leaves out explicit tracks; ``exclude``
    names tracks to leave out, known to the catalogue or not.
    """

    user_id: str
    model_id: int
    k: int | None = None
    as_of: int | None = None
    novelty: Literal["any", "new"] = "any"
    explicit: bool = True
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The tracks, best first, and where they come from; ``cold_start`` if no play was to go by."""

    tracks: tuple[str, ...]
    model: str
    bundle: str
    as_of: int
    cold_start: bool


class Recommender:
    """Answers queries; ``as_of`` stands in for "now" where one names no time (None: the clock)."""

    def __init__(
        self,
        sessions: SessionStore,
        users: UserStore,
        models: ModelStore,
        clock: Clock,
        as_of: int | None = None,
    ) -> None:
        self._sessions = sessions
        self._users = users
        self._models = models
        self._clock = clock
        self._as_of = as_of

    def recommend(self, query: Query) -> Recommendation:
        """Raises UnknownModel, UnknownUser, ModelFailed, BundleError and StoreUnavailable."""
        bundle = self._models.current()
        name = model_name(query.model_id, bundle)
        as_of = self._moment(query)
        user, events = self._user_and_events(query, as_of)
        window = Window.before(as_of, HISTORY_DAYS)
        plays = label_plays(event for event in events if event.time in window)
        listener = Listener(user, history_of(plays, bundle.catalogue, as_of))
        cold_start = len(listener.history) == 0
        scores = (
            cold_start_scores(user, bundle.catalogue)
            if cold_start
            else _score(query.model_id, bundle, listener)
        )
        allowed = forbid(scores, _forbidden(query, events, bundle))
        best = top(allowed, query.k or playlist_length(plays))
        tracks = tuple(bundle.catalogue.track_ids(best))
        return Recommendation(tracks, name, bundle.version, as_of, cold_start)

    def models(self) -> Mapping[str, Any]:
        """The manifest of the active bundle, for people to read. Raises BundleError."""
        return self._models.current().manifest.content

    def check(self) -> str:
        """Reach the models and the tables, as a prediction does; the bundle's version.

        Raises BundleError and StoreUnavailable.
        """
        version = self._models.current().version
        self._users.get("0")
        self._sessions.has_events("0")
        return version

    def _moment(self, query: Query) -> int:
        moments = (query.as_of, self._as_of)
        return next((moment for moment in moments if moment is not None), self._clock.now())

    def _user_and_events(self, query: Query, as_of: int) -> tuple[User, list[Event]]:
        start = 0 if query.novelty == "new" else Window.before(as_of, HISTORY_DAYS).start
        events = self._sessions.events(query.user_id, Window(start, as_of))
        user = self._users.get(query.user_id)
        if user is None and not events and not self._sessions.has_events(query.user_id):
            raise UnknownUser(f"there is no user {query.user_id}")
        return user or User(query.user_id), events


def playlist_length(plays: list[Play]) -> int:
    """As many tracks as a session of the window has on average, within sensible bounds."""
    mean = round(mean_tracks_per_session(plays))
    return min(max(mean, SHORTEST_PLAYLIST), LONGEST_PLAYLIST)


def _score(model_id: int, bundle: Bundle, listener: Listener) -> FloatArray:
    model = load_model(model_id, bundle)
    try:
        return model.score(listener)
    except Exception as error:  # ONNX Runtime's own exceptions share no public base
        # The library's text, paths and all, is for the log, where the cause is printed.
        raise ModelFailed(f"{model_name(model_id, bundle)}: {type(error).__name__}") from error


def _forbidden(
    query: Query, events: list[Event], bundle: Bundle
) -> Iterator[NDArray[np.integer | np.bool_]]:
    catalogue = bundle.catalogue
    if not query.explicit:
        yield catalogue.explicit
    named = list(query.exclude)
    if query.novelty == "new":
        named += {event.track_id for event in events if event.track_id is not None}
    positions = catalogue.positions(named)
    yield positions[positions >= 0]
