"""What the service answers, as typed objects, and what can be sent as such.

Fields are named as in the API. What the service will answer beside them one day is ignored.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from msgspec import Struct, field

R_co = TypeVar("R_co", covariant=True)


class Page(Protocol[R_co]):
    """A part of a long answer."""

    @property
    def rows(self) -> Sequence[R_co]:
        """What is on it."""
        ...

    @property
    def next(self) -> str | None:
        """Where the next page begins; None on the last one."""
        ...


class Track(Struct, frozen=True):
    """What people read of a track; None where the catalogue does not say."""

    track_id: str
    title: str | None
    artist: str | None
    artist_id: str | None
    genres: list[str]
    year: int | None
    explicit: bool
    popularity: float


class TrackDetails(Track, frozen=True):
    """A track, whether it may be recommended, and its audio features."""

    available: bool
    attributes: dict[str, int | float | str | list[str | int] | None]


class Reason(Struct, frozen=True, omit_defaults=True):
    """Why a track is on a list. ``text`` says it in words; ``share`` is its part, from 0 to 1.

    ``kind`` is one of ``track``, ``artist``, ``genre``, ``favourite_genre``, ``popularity`` and
    others; which track, artist or genre it is about stands in the field of that name.
    """

    kind: str
    share: float
    text: str
    track_id: str | None = None
    artist_id: str | None = None
    genre: str | None = None


class RecommendedTrack(Track, frozen=True, omit_defaults=True):
    """A track on a list, with its score and what spoke most for it.

    ``propensity``: how likely this track was to be drawn, where the list explores.
    """

    score: float
    reason: Reason | None
    propensity: float | None = None


class Tracks(Struct, frozen=True):
    """The tracks that a search found, the best match first."""

    tracks: list[Track]


class TrackList(Struct, frozen=True):
    """A list of tracks, best first: their ids, or objects where ``explain`` was asked for."""

    tracks: list[str | RecommendedTrack]

    @property
    def track_ids(self) -> list[str]:
        """The ids, whichever was asked for."""
        return [track if isinstance(track, str) else track.track_id for track in self.tracks]

    @property
    def explained(self) -> list[RecommendedTrack]:
        """The tracks with names, scores and reasons; empty unless ``explain`` was asked for."""
        return [track for track in self.tracks if isinstance(track, RecommendedTrack)]


class Prediction(TrackList, frozen=True):
    """What a model recommends. ``answered_by``: the model's name, or ``cold-start``."""

    answered_by: str
    bundle: str


class Recommendation(TrackList, frozen=True):
    """What a listener is shown, and by which arm of which experiment.

    ``recommendation_id`` names the list, for the events of what is played from it. It and
    ``settles_at`` are None where the list is no part of the experiment; ``group``, too, where
    the listener takes no part.
    """

    recommendation_id: str | None
    user_id: int | str
    experiment: str
    side: str
    epoch: int
    group: str | None
    model: str
    as_of: datetime
    settles_at: datetime | None


class Boost(Struct, frozen=True):
    """Multiplies the scores of the tracks that the filter ``where`` describes by ``factor``."""

    where: str
    factor: float


class Genre(Struct, frozen=True):
    """A genre, and how many tracks are of it."""

    genre: str
    tracks: int


class Genres(Struct, frozen=True):
    """Every genre of the catalogue, that of the most tracks first."""

    genres: list[Genre]


class Profile(Struct, frozen=True):
    """A user's profile."""

    user_id: int | str
    favourite_genres: list[str]
    premium_user: bool
    attributes: dict[str, Any]


class Users(Struct, frozen=True):
    """The users that a search found."""

    users: list[Profile]


class Event(Struct, frozen=True, omit_defaults=True):
    """A listening event. To send one, leave out ``user_id``: the call says whose it is.

    ``event_type``: PLAY, SKIP, LIKE, ADVERTISEMENT or BUY_PREMIUM; the last two are of no track.
    ``recommendation_id``: of the list that the track was chosen from, if it was.
    """

    session_id: int | str
    timestamp: datetime
    track_id: str | None
    event_type: str
    user_id: int | str | None = None
    recommendation_id: str | None = None


class Events(Struct, frozen=True):
    """A page of a user's events, in the order of time."""

    events: list[Event]
    next: str | None

    @property
    def rows(self) -> list[Event]:
        """The events."""
        return self.events


class Remark(Struct, frozen=True):
    """On one of the events that were sent: its place among them, from 0, and every reason."""

    index: int
    reasons: list[str]


class Receipt(Struct, frozen=True):
    """What became of the events that were sent.

    ``repeated`` ones were there already. No recommendation goes by those under ``waiting`` yet;
    those under ``rejections`` cannot be used.
    """

    accepted: int
    repeated: int
    not_yet_counted: int
    waiting: list[Remark]
    rejected: int
    rejections: list[Remark]


class Impression(Struct, frozen=True):
    """A list that a user was shown."""

    shown_at: datetime
    tracks: list[str]


class HeldOutcome(Struct, frozen=True):
    """What came of an exposure. ``settled_at`` is in milliseconds since 1970 UTC."""

    successful: bool
    settled_at: int
    credits: dict[str, int]
    figures: dict[str, float]
    positions: list[int]
    reported: list[int]


class Held(Struct, frozen=True):
    """What one epoch of an experiment holds of a user; ``outcome`` is None while it is awaited."""

    experiment: str
    side: str
    epoch: int
    exposure: dict[str, Any]
    later: list[Impression]
    outcome: HeldOutcome | None


class Export(Struct, frozen=True):
    """Everything held about a user: on each page all but the events, and a page of those."""

    profile: Profile | None
    experiments: list[Held]
    events: list[Event]
    next: str | None

    @property
    def rows(self) -> list[Event]:
        """The events."""
        return self.events


class AbTestOutcome(Struct, frozen=True):
    """What a user's A/B test came to.

    ``successful`` is 1 where a recommended track was played to its end in the window, else 0. It is
    None while the window has not passed; ask again from ``settles_at`` on.
    """

    successful: int | None = field(name="Successful recommendation", default=None)
    status: str = "settled"
    settles_at: datetime | None = None


class Result(Struct, frozen=True):
    """One user's result of an A/B test. ``tracks``: the list that the user was shown first, before
    those in ``later``; ``positions``: where in them the tracks stood that were fully played.
    """

    created_at: datetime
    user_id: int | str
    group: str
    model: str
    recomm_successful: int
    tracks: list[str]
    as_of: datetime
    settled_at: datetime
    bundle: str
    error: str | None
    credits: dict[str, int] | None
    propensities: dict[str, float] | None
    later: list[Impression]
    positions: list[int]


class Results(Struct, frozen=True):
    """A page of results; it may hold fewer than ``limit`` though others follow."""

    results: list[Result]
    next: str | None

    @property
    def rows(self) -> list[Result]:
        """The results."""
        return self.results


class Arm(Struct, frozen=True, omit_defaults=True):
    """One of the competing models. ``share``: of the users, in mode fixed; None in others."""

    group: str
    model_id: int
    share: float | None = None


class Guardrail(Struct, frozen=True, omit_defaults=True):
    """A figure that no arm may worsen by more than ``margin``.

    ``better``, higher or lower, follows from the figure; leave it out when you send one.
    """

    figure: str
    margin: float
    better: str | None = None


class Experiment(Struct, frozen=True):
    """An experiment as it stands. ``etag`` names its version, for ``if_match``."""

    name: str
    arms: list[Arm]
    window_days: int
    k: int | None
    mode: str
    guardrails: list[Guardrail]
    description: str
    owner: str
    traffic: float
    layer: str | None
    state: str
    shipped: str | None
    paired: bool
    epoch: int
    salt: str
    bundle: str
    etag: str


class ArmFigures(Struct, frozen=True):
    """What came of a group: how many of its users were successes."""

    successes: int
    users: int


class ExperimentChange(Struct, frozen=True):
    """A change of an experiment: when, by whom and why, and of which fields. ``figures``: of each
    side of the epoch before, each group's successes and users."""

    at: datetime
    by: str
    reason: str
    epoch: int
    changed: list[str]
    figures: dict[str, dict[str, ArmFigures]]


class ExperimentWithLog(Experiment, frozen=True):
    """An experiment, and how it came to be so, the latest change foremost."""

    log: list[ExperimentChange]


class ExperimentPlan(Struct, frozen=True):
    """What a change would do. ``users``: who have an outcome in the epoch that runs; ``moved``: the
    share of users who would be in another group, and ``users_moved``, so many of those."""

    creates: bool
    begins_epoch: bool
    epoch: int
    changed: list[str]
    users: int
    moved: float
    users_moved: int


class Shipped(Struct, frozen=True):
    """Everybody gets the model of the group that was shipped from now on."""

    name: str
    state: str
    shipped: str | None


class Layer(Struct, frozen=True):
    """Experiments that share no user, each with its share of all; ``holdout`` is in none."""

    name: str
    holdout: float
    free: float
    experiments: dict[str, float]


class Layers(Struct, frozen=True):
    """Every layer."""

    layers: list[Layer]


class Experiments(Struct, frozen=True):
    """Every experiment."""

    experiments: list[Experiment]


class Model(Struct, frozen=True):
    """A model of the bundle: what it is called, and how it did when it was trained."""

    id: int
    name: str
    metrics: dict[str, Any]


class Bundle(Struct, frozen=True):
    """The bundle of models that is served. ``cutoff``: nothing later was learnt from."""

    version: str
    cutoff: datetime
    models: list[Model]
    files: dict[str, Any]


class RefusedBundle(Struct, frozen=True):
    """A bundle that should be served and is not, and why."""

    bundle: str | None
    reason: str


class Health(Struct, frozen=True):
    """Predictions can be had. ``now``: the moment that they are made as of."""

    status: str
    bundle: str
    now: datetime
    refused: RefusedBundle | None = None
