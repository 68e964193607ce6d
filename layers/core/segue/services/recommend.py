"""Recommendations: from a user and a model to a list of tracks."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segue.domain.errors import BundleError, ModelFailed, UnknownUser
from segue.domain.events import Event
from segue.domain.plays import Play, label_plays, mean_tracks_per_session
from segue.domain.times import Window
from segue.domain.users import User
from segue.features.listeners import history_of
from segue.models.bundle import Bundle
from segue.models.model import Listener, Model
from segue.models.ranked import Forbidden, Ranked
from segue.models.registry import load_model, model_name
from segue.ports import Clock, ModelStore, Refused, SessionStore, TrackStore, UserStore
from segue.ranking.boosts import Factors, factors_of
from segue.ranking.diversity import pool_size
from segue.ranking.exploration import explore
from segue.ranking.filters import forbidden_tracks
from segue.ranking.lists import all_scores, rank

# A list of ids does not wait for what explains one, or finds similar tracks.
if TYPE_CHECKING:
    from segue.domain.descriptions import TrackCard
    from segue.ranking.explanations import Reason
    from segue.services.similar import Similar, SimilarQuery

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
    ``max_age``: for ``Recommender.tracks``, a list that was made at most so many milliseconds ago
    will do, if there is one; None: it will not.
    ``filter``: an expression that holds for every track of the list; ``boosts``: expressions, and
    what the scores of the tracks that they hold for are multiplied by, as ``segue.ranking`` has
    both. ``explain``: give reasons.
    """

    user_id: str
    model_id: int
    k: int | None = None
    as_of: int | None = None
    novelty: Literal["any", "new"] = "any"
    explicit: bool = True
    exclude: tuple[str, ...] = ()
    filter: str | None = None
    boosts: tuple[tuple[str, float], ...] = ()
    diversity: float = 0.0
    exploration: float = 0.0
    explain: bool = False
    max_age: int | None = None


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The tracks, best first, and where they come from; ``cold_start`` if no play was to go by.

    Track by track: ``scores``, on the model's own scale, after any boosts; ``propensities``, as
    ``segue.ranking.exploration`` has them, None unless it explored; and where it was to explain,
    else None, ``cards``, ``reasons``, and these in words, ``texts``.
    """

    tracks: tuple[str, ...]
    model: str
    bundle: str
    as_of: int
    cold_start: bool
    scores: tuple[float, ...]
    propensities: tuple[float, ...] | None
    cards: "tuple[TrackCard, ...] | None" = None
    reasons: "tuple[Reason | None, ...] | None" = None
    texts: tuple[str | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """The bundle that is served, and why not another one that should be; ``now``: the moment that
    a query is answered as of that names none."""

    version: str
    now: int
    refused: Refused | None


class Recommender:
    """Answers queries; ``as_of`` stands in for "now" where one names no time (None: the clock).

    ``random``: where exploration draws from. ``tell``: called wherever a stored list would do, with
    whether there was one.
    """

    def __init__(
        self,
        sessions: SessionStore,
        users: UserStore,
        models: ModelStore,
        track_store: TrackStore,
        clock: Clock,
        as_of: int | None = None,
        random: Random = _SYSTEM_RANDOM,
        tell: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._sessions = sessions
        self._users = users
        self._models = models
        self._clock = clock
        self._as_of = as_of
        self._random = random
        self._track_store = track_store
        self._tell = tell

    def recommend(self, query: Query, bundle: Bundle | None = None) -> Recommendation:
        """Ask a model of the bundle; None: of the one that is served.

        Raises UnknownModel, UnknownUser, InvalidFilter, ModelFailed, BundleError and
        StoreUnavailable.
        """
        bundle, unavailable = self._served(bundle)
        asked = self._asked(query, bundle)
        k = query.k or playlist_length(_latest(asked.plays, asked.as_of, PLAYLIST_DAYS))
        forbidden = _forbidden(query, asked.events, bundle, unavailable)
        factors = factors_of(query.boosts, bundle)
        with _blaming(asked.name):
            ranked, propensities = self._choose(asked, bundle, k, query, forbidden, factors)
            return _answer(asked, bundle, ranked, propensities, explained=query.explain)

    def tracks(self, query: Query, bundle: Bundle) -> tuple[str, ...]:
        """What ``recommend`` answers, ids alone; or what was made for everybody and stored, where
        the query allows it. Raises as ``recommend`` does."""
        if query.max_age is not None:
            from segue.services.stored import stored_tracks

            stores = self._users, self._sessions, self._track_store
            stored = stored_tracks(query, self._moment(query.as_of), bundle.version, *stores)
            self._tell(stored is not None)
            if stored is not None:
                return stored
        return self.recommend(query, bundle).tracks

    def explain(
        self, query: Query, track_ids: Sequence[str], bundle: Bundle | None = None
    ) -> Recommendation:
        """What the model says of these tracks, in their order, whoever made the list: their scores
        and reasons. Tracks that the bundle does not have are left out.

        Raises as ``recommend`` does, but InvalidFilter.
        """
        bundle, _ = self._served(bundle)
        asked = self._asked(query, bundle)
        positions = bundle.catalogue.positions(track_ids)
        tracks = positions[positions >= 0].astype(np.intp)
        with _blaming(asked.name):
            scores = all_scores(asked.model, asked.listener, bundle)
            return _answer(asked, bundle, Ranked(tracks, scores[tracks]), None, explained=True)

    def similar(self, query: "SimilarQuery") -> "Similar":
        """The tracks most like another.

        Raises UnknownTrack, UnknownModel, InvalidFilter, BundleError and StoreUnavailable.
        """
        from segue.services.similar import similar_tracks

        bundle, unavailable = self._served()
        return similar_tracks(bundle, query, unavailable)

    def models(self) -> Mapping[str, Any]:
        """The manifest of the active bundle, for people to read. Raises BundleError."""
        return self._models.current().manifest.content

    def check(self) -> Health:
        """Reach the models and the tables, as a prediction does.

        Raises BundleError and StoreUnavailable.
        """
        bundle = self._models.current()
        bundle.verify()
        self._users.get("0")
        self._sessions.has_events("0")
        return Health(bundle.version, self._moment(None), self._models.refused())

    def _served(self, bundle: Bundle | None = None) -> tuple[Bundle, frozenset[str]]:
        """The bundle, or the one that is served, with the tracks that were added since; and those
        that must not be recommended."""
        changes = self._track_store.changes()
        bundle = bundle or self._models.current()
        return bundle.extended(changes.added), changes.unavailable

    def _asked(self, query: Query, bundle: Bundle) -> "_Asked":
        name, model = model_name(query.model_id, bundle), load_model(query.model_id, bundle)
        as_of = self._moment(query.as_of)
        window = Window.before(as_of, max(model.history_days, PLAYLIST_DAYS))
        user, events = self._user_and_events(query, window)
        plays = label_plays(e for e in events if window.start <= e.time < window.end)
        heard = _latest(plays, as_of, model.history_days)
        listener = Listener(user, history_of(heard, bundle.catalogue, as_of))
        return _Asked(name, model, listener, as_of, events, plays)

    def _moment(self, as_of: int | None) -> int:
        moments = (as_of, self._as_of)
        return next((moment for moment in moments if moment is not None), self._clock.now())

    def _user_and_events(self, query: Query, window: Window) -> tuple[User, list[Event]]:
        start = 0 if query.novelty == "new" else window.start
        events = self._sessions.history(query.user_id, Window(start, window.end))
        user = self._users.get(query.user_id)
        if user is None and not events and not self._sessions.has_events(query.user_id):
            raise UnknownUser(f"there is no user {query.user_id}")
        return user or User(query.user_id), events

    def _choose(
        self,
        asked: "_Asked",
        bundle: Bundle,
        k: int,
        query: Query,
        forbidden: Forbidden | None,
        factors: Factors | None,
    ) -> tuple[Ranked, tuple[float, ...] | None]:
        """The list, and the propensities of its tracks where it explores."""
        ask = partial(
            rank,
            asked.model,
            asked.listener,
            bundle,
            forbidden=forbidden,
            factors=factors,
            diversity=query.diversity,
        )
        if not query.exploration:
            return ask(k), None
        pool = pool_size(k)
        ranked = ask(pool, pool=pool)
        places, propensities = explore(
            np.arange(len(ranked.tracks)), k, query.exploration, self._random
        )
        drawn = Ranked(ranked.tracks[places], ranked.scores[places])
        return drawn, tuple(propensities.tolist())


class _Asked(NamedTuple):
    """The model that is asked, and whom it is asked for.

    events: all that were read; plays: of these, those that the model or the list's length goes by.
    """

    name: str
    model: Model
    listener: Listener
    as_of: int
    events: list[Event]
    plays: list[Play]


def _answer(
    asked: _Asked,
    bundle: Bundle,
    ranked: Ranked,
    propensities: tuple[float, ...] | None,
    *,
    explained: bool,
) -> Recommendation:
    tracks = ranked.tracks
    answer = Recommendation(
        tracks=tuple(bundle.catalogue.track_ids(tracks)),
        model=asked.name,
        bundle=bundle.version,
        as_of=asked.as_of,
        cold_start=len(asked.listener.history) == 0,
        scores=tuple(ranked.scores.tolist()),
        propensities=propensities,
    )
    if not explained:
        return answer
    from segue.ranking.explanations import reason_text

    reasons = _reasons(asked.model, asked.listener, tracks, bundle)
    texts = tuple(
        reason_text(reason, bundle.catalogue, bundle.descriptions) if reason else None
        for reason in reasons
    )
    return replace(answer, cards=bundle.cards(tracks), reasons=reasons, texts=texts)


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
    except BundleError:
        raise  # no model's fault
    except Exception as error:  # ONNX Runtime's own exceptions share no public base
        # The library's text, paths and all, is for the log, where the cause is printed.
        raise ModelFailed(f"{model}: {type(error).__name__}") from error


def _reasons(
    model: Model, listener: Listener, tracks: NDArray[np.intp], bundle: Bundle
) -> "tuple[Reason | None, ...]":
    from segue.ranking.explanations import explain, explain_cold_start

    if len(tracks) == 0:
        return ()
    catalogue, genres = bundle.catalogue, bundle.track_genres
    if len(listener.history) == 0:
        return explain_cold_start(listener.user, tracks, catalogue, genres)
    return explain(model.contributions(listener, tracks), tracks, catalogue, genres)


def _forbidden(
    query: Query, events: list[Event], bundle: Bundle, unavailable: frozenset[str]
) -> Forbidden | None:
    named = unavailable.union(query.exclude)
    if query.novelty == "new":
        named |= {event.track_id for event in events if event.track_id is not None}
    return forbidden_tracks(bundle, explicit=query.explicit, named=named, where=query.filter)
