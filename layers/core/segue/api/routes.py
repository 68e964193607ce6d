"""Every route of the API: what it takes, what it answers, and how that may fail.

The OpenAPI document is made from this table, and a query string is checked against it. Tests hold
it together with the template, the README and the Postman collection.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from msgspec import UNSET, Struct
from msgspec.structs import asdict, fields

from segue.api.experiments import (
    ArmBody,
    ArmRow,
    ChangeRow,
    ExperimentAnswer,
    ExperimentBody,
    ExperimentQuery,
    ExperimentRow,
    ExperimentsAnswer,
    LayerBody,
    LayerRow,
    LayersAnswer,
    OutcomeAnswer,
    OverviewQuery,
    PendingAnswer,
    PlanAnswer,
    ResultRow,
    ResultsAnswer,
    ResultsQuery,
    ShipBody,
    ShippedAnswer,
    SideQuery,
    StopQuery,
    TestBody,
)
from segue.api.http import REPLACED, REPLACEMENT
from segue.api.live import LiveAnswer, LiveQuery
from segue.api.recommendations import (
    BoostBody,
    BundleAnswer,
    HealthAnswer,
    ModelRow,
    PredictBody,
)
from segue.api.tracks import (
    GenreRow,
    GenresAnswer,
    ReasonRow,
    RecommendedTrack,
    SearchQuery,
    SimilarQuery,
    TrackAnswer,
    TrackBody,
    TrackRow,
    TracksAnswer,
)
from segue.api.users import (
    EventRow,
    EventsAnswer,
    EventsBody,
    EventsQuery,
    ExportAnswer,
    ProfileBody,
    ProfileRow,
    ReceiptAnswer,
    UsersAnswer,
    UsersQuery,
)
from segue.domain.errors import (
    AnswerTooLarge,
    BundleError,
    EpochConflict,
    ExperimentStopped,
    InvalidFilter,
    InvalidRequest,
    MalformedRequest,
    ModelFailed,
    NotReadyToShip,
    RequestTooLarge,
    SegueError,
    StaleVersion,
    StoreUnavailable,
    UnknownExperiment,
    UnknownModel,
    UnknownRoute,
    UnknownTrack,
    UnknownUser,
    VersionNeeded,
)
from segue.experiments.experiment import Mode, State

_JSON = "application/json"
_HTML = "text/html"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no problem. ``body``: the type of its JSON, None where it is none.

    ``headers``: what it bears beside the usual ones, and what that means.
    """

    says: str
    body: Any = None
    example: Any = None
    media_types: Sequence[str] = (_JSON,)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """A method of a path, under the name ``operation``.

    ``query``: the parameters of the query string. ``headers``: those of the request that it reads,
    and what they mean. ``errors``: what it may end in beside what any route may.
    """

    method: str
    path: str
    operation: str
    summary: str
    answers: Mapping[int, Answer]
    errors: Sequence[type[SegueError]] = ()
    query: type[Struct] | None = None
    body: type[Struct] | None = None
    example: Struct | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def parameters(self) -> Collection[str]:
        """The names of the query string's parameters."""
        return [it.encode_name for it in fields(self.query)] if self.query else ()


# What a route that reads a body may end in, one that needs the models, one that names a user.
_BODY = (InvalidRequest, RequestTooLarge)
_MODELS = (BundleError, StoreUnavailable)
_USER = (InvalidRequest, UnknownUser, StoreUnavailable)

_TRACK_ID = "0ofHAoxe9vBkTCp2UQIavz"
_TRACK = TrackRow(
    track_id=_TRACK_ID,
    title="Paper Lanterns",
    artist="Slow Harbour",
    artist_id="a1",
    genres=("harbour rock",),
    year=2019,
    explicit=False,
    popularity=0.41,
)
_CARD = {name: getattr(_TRACK, name) for name in _TRACK.__struct_fields__}
_REASON = ReasonRow(
    kind="artist", share=0.62, text="more by Slow Harbour, whom you play", artist_id="a1"
)
_RECOMMENDED = RecommendedTrack(**_CARD, score=0.8125, reason=_REASON)
_EVENT = EventRow(
    session_id=1,
    timestamp="2022-08-03T18:09:55.000Z",
    user_id=429,
    track_id=_TRACK_ID,
    event_type="PLAY",
)
_PROFILE = ProfileRow(
    user_id=429, favourite_genres=("harbour rock", "honey funk"), premium_user=False, attributes={}
)
_EXPERIMENT = ExperimentRow(
    name="hybrid",
    arms=[ArmRow("A", 1, 0.5), ArmRow("B", 3, 0.5)],
    window_days=30,
    k=20,
    mode=Mode.FIXED,
    guardrails=[],
    description="Does the hybrid keep people listening?",
    owner="discovery",
    traffic=0.1,
    layer=None,
    state=State.RUNNING,
    shipped=None,
    paired=False,
    epoch=1,
    salt="hybrid:1",
    bundle="aaee7d83c4a4",
    etag='"1"',
)
_LAYER = LayerRow("home", 0.05, 0.75, {"hybrid": 0.2})
_RESULT = ResultRow(
    created_at="2022-10-02T08:00:00.000Z",
    user_id=429,
    group="A",
    model="autoencoder",
    recomm_successful=1,
    tracks=(_TRACK_ID,),
    as_of="2022-09-01T00:00:00.000Z",
    settled_at="2022-10-02T08:00:00.000Z",
    bundle="aaee7d83c4a4",
    error=None,
    credits=None,
    propensities=None,
    later=[],
    positions=(1,),
)
_PAGE = {
    200: Answer("A page", media_types=(_HTML,), headers={"ETag": "Of this very content"}),
    304: Answer("It is still what If-None-Match names", media_types=()),
}
_IF_CHANGED = {"If-None-Match": "The ETag of what is there already"}
_TAG = {"ETag": "The version of the experiment, for If-Match"}

ROUTES = (
    Route(
        "POST",
        "/models/{model_id}/predict",
        "predict",
        "Recommend tracks to a user, by one model",
        {
            200: Answer(
                "Track ids, best first; objects where explain is true",
                list[str | RecommendedTrack],
                [_TRACK_ID],
                headers={
                    "X-Segue-Answered-By": "The model's name, or cold-start",
                    "X-Segue-Bundle": "The version of the bundle that answered",
                },
            )
        },
        (*_BODY, InvalidFilter, UnknownModel, UnknownUser, ModelFailed, *_MODELS),
        body=PredictBody,
        example=PredictBody(
            429, k=10, boosts=[BoostBody('genre == "harbour rock"', 1.5)], explain=True
        ),
    ),
    Route(
        "GET",
        "/users/{user_id}/recommendations",
        "recommend",
        "Recommend tracks to a user, by the arm that the running experiment gives them",
        {
            200: Answer(
                "What to show, and what names it",
                LiveAnswer,
                LiveAnswer(
                    recommendation_id="5f4dcc3b5aa765d61d8327deb882cf99",
                    user_id=429,
                    experiment="default",
                    side="live",
                    epoch=1,
                    group="A",
                    model="autoencoder",
                    tracks=[_TRACK_ID],
                    as_of="2022-09-01T00:00:00.000Z",
                    settles_at="2022-10-01T00:00:00.000Z",
                ),
            )
        },
        (InvalidRequest, UnknownUser, UnknownExperiment, UnknownModel, ModelFailed, *_MODELS),
        query=LiveQuery,
    ),
    Route(
        "GET",
        "/tracks",
        "searchTracks",
        "Find tracks by title, artist or id",
        {200: Answer("The best match first", TracksAnswer, TracksAnswer([_TRACK]))},
        (InvalidRequest, InvalidFilter, *_MODELS),
        query=SearchQuery,
    ),
    Route(
        "GET",
        "/tracks/{track_id}",
        "track",
        "What is known of a track",
        {
            200: Answer(
                "The track",
                TrackAnswer,
                TrackAnswer(**_CARD, available=True, attributes={"energy": 0.72}),
            )
        },
        (UnknownTrack, *_MODELS),
    ),
    Route(
        "PUT",
        "/tracks/{track_id}",
        "saveTrack",
        "Add a track that the models were not trained with; take one out of all lists, or put it "
        "back: from the next request on",
        {
            200: Answer(
                "The track as it is now",
                TrackAnswer,
                TrackAnswer(**_CARD, available=False, attributes={"energy": 0.72}),
            )
        },
        (*_BODY, UnknownTrack, *_MODELS),
        body=TrackBody,
        example=TrackBody(available=False),
    ),
    Route(
        "GET",
        "/tracks/{track_id}/similar",
        "similarTracks",
        "The nearest tracks in the autoencoder's latent space, never the track itself",
        {
            200: Answer(
                "Track ids, the nearest first; objects where explain is true",
                list[str | RecommendedTrack],
                [_RECOMMENDED],
            )
        },
        (InvalidRequest, InvalidFilter, UnknownTrack, UnknownModel, *_MODELS),
        query=SimilarQuery,
    ),
    Route(
        "GET",
        "/genres",
        "genres",
        "The genres of the catalogue",
        {
            200: Answer(
                "That of the most tracks first",
                GenresAnswer,
                GenresAnswer([GenreRow("harbour rock", 412)]),
            )
        },
        _MODELS,
    ),
    Route(
        "GET",
        "/users",
        "searchUsers",
        "Find users by the beginning of their id",
        {200: Answer("In the order of their ids", UsersAnswer, UsersAnswer([_PROFILE]))},
        (InvalidRequest, StoreUnavailable),
        query=UsersQuery,
    ),
    Route(
        "GET",
        "/users/{user_id}",
        "profile",
        "A user's profile",
        {200: Answer("The profile", ProfileRow, _PROFILE)},
        _USER,
    ),
    Route(
        "PUT",
        "/users/{user_id}",
        "saveProfile",
        "Set a user's profile",
        {200: Answer("The profile as it is now", ProfileRow, _PROFILE)},
        (*_BODY, StoreUnavailable),
        body=ProfileBody,
        example=ProfileBody(["harbour rock", "honey funk"]),
    ),
    Route(
        "DELETE",
        "/users/{user_id}",
        "eraseUser",
        "Erase all that is held about a user, A/B records included",
        {204: Answer("It is gone", media_types=())},
        (InvalidRequest, StoreUnavailable),
    ),
    Route(
        "GET",
        "/users/{user_id}/export",
        "exportUser",
        "All that is held about a user",
        {
            200: Answer(
                "Profile, experiments, and a page of the events",
                ExportAnswer,
                ExportAnswer(_PROFILE, [], [_EVENT], None),
            )
        },
        _USER,
        query=EventsQuery,
    ),
    Route(
        "POST",
        "/users/{user_id}/events",
        "addEvents",
        "Add listening events; repeats are harmless, and the next recommendation sees them",
        {
            200: Answer(
                "What became of them",
                ReceiptAnswer,
                ReceiptAnswer(
                    accepted=1,
                    repeated=0,
                    not_yet_counted=0,
                    waiting=[],
                    rejected=0,
                    rejections=[],
                ),
            )
        },
        (*_BODY, StoreUnavailable),
        body=EventsBody,
        example=EventsBody([_EVENT]),
    ),
    Route(
        "GET",
        "/users/{user_id}/events",
        "events",
        "A user's listening events",
        {200: Answer("In the order of time", EventsAnswer, EventsAnswer([_EVENT], None))},
        _USER,
        query=EventsQuery,
    ),
    Route(
        "POST",
        "/perform_ab_test",
        "performTest",
        "Perform a user's A/B test: recommend as of the cut-off, look at what was played after it",
        {
            200: Answer("What it came to", OutcomeAnswer, OutcomeAnswer(1)),
            202: Answer(
                "The window has not passed yet",
                PendingAnswer,
                PendingAnswer("pending", "2022-10-01T00:00:00.000Z"),
            ),
        },
        (
            *_BODY,
            UnknownUser,
            UnknownExperiment,
            UnknownModel,
            ExperimentStopped,
            EpochConflict,
            *_MODELS,
        ),
        body=TestBody,
        example=TestBody(429),
    ),
    Route(
        "GET",
        "/ab_test/results",
        "results",
        "The results of an A/B test",
        {
            200: Answer(
                "A page of them, as JSON or with the original service's columns as CSV",
                ResultsAnswer,
                ResultsAnswer([_RESULT], None),
                (_JSON, "text/csv"),
                {"Link": "Of CSV: where the next page is"},
            )
        },
        (InvalidRequest, UnknownExperiment, StoreUnavailable),
        query=ResultsQuery,
    ),
    Route(
        "DELETE",
        "/ab_test/results",
        "clearResults",
        "Begin anew: a new epoch; the old results stay archived",
        {204: Answer("Later answers are without them", media_types=())},
        (InvalidRequest, UnknownExperiment, StaleVersion, *_MODELS),
        query=ExperimentQuery,
    ),
    Route(
        "GET",
        "/ab_test/report",
        "report",
        "What an A/B test says so far",
        {200: Answer("As JSON or as a page", dict[str, Any], None, (_JSON, _HTML))},
        (InvalidRequest, UnknownExperiment, StoreUnavailable),
        query=SideQuery,
    ),
    Route(
        "GET",
        "/ab_test/overview",
        "overview",
        "Every epoch that ever began, and which verdicts hold among all of them",
        {200: Answer("As JSON or as a page", dict[str, Any], None, (_JSON, _HTML))},
        (InvalidRequest, StoreUnavailable),
        query=OverviewQuery,
    ),
    Route(
        "GET",
        "/experiments",
        "experiments",
        "Every experiment",
        {200: Answer("All of them", ExperimentsAnswer, ExperimentsAnswer([_EXPERIMENT]))},
        _MODELS,
    ),
    Route(
        "GET",
        "/experiments/{name}",
        "experiment",
        "An experiment, and who changed what of it",
        {
            200: Answer(
                "As it stands",
                ExperimentAnswer,
                ExperimentAnswer(
                    **asdict(_EXPERIMENT),
                    log=[ChangeRow("2022-09-01T00:00:00.000Z", "", "", 1, [], {})],
                ),
                headers=_TAG,
            )
        },
        (InvalidRequest, UnknownExperiment, *_MODELS),
    ),
    Route(
        "DELETE",
        "/experiments/{name}",
        "stopExperiment",
        "Stop an experiment: nobody is assigned any more; what there is stays",
        {204: Answer("It is stopped", media_types=())},
        (InvalidRequest, UnknownExperiment, *_MODELS),
        query=StopQuery,
    ),
    Route(
        "PUT",
        "/experiments/{name}",
        "saveExperiment",
        "Make an experiment, or change one as the version that If-Match names",
        {
            200: Answer("It was changed", ExperimentRow, _EXPERIMENT, headers=_TAG),
            201: Answer("It was made", ExperimentRow, _EXPERIMENT, headers=_TAG),
        },
        (*_BODY, UnknownModel, ExperimentStopped, StaleVersion, VersionNeeded, *_MODELS),
        body=ExperimentBody,
        example=ExperimentBody([ArmBody("A", 1, 0.5), ArmBody("B", 3, 0.5)], k=20),
        headers={
            "If-Match": "The ETag of the version that is to be changed",
            "If-None-Match": "*, where it must not be there yet",
        },
    ),
    Route(
        "POST",
        "/experiments/{name}/dry_run",
        "planExperiment",
        "Say what a PUT of the same would change, and how many users it would move",
        {
            200: Answer(
                "Nothing was changed",
                PlanAnswer,
                PlanAnswer(False, True, 2, ("window",), 1_000, 0.5, 500),
            )
        },
        (*_BODY, UnknownModel, ExperimentStopped, *_MODELS),
        body=ExperimentBody,
        example=ExperimentBody([ArmBody("A", 1, 0.5), ArmBody("B", 3, 0.5)], window_days=14),
    ),
    Route(
        "POST",
        "/experiments/{name}/ship",
        "shipExperiment",
        "Stop an experiment, and let everybody have the winner's model",
        {
            200: Answer(
                "It is shipped",
                ShippedAnswer,
                ShippedAnswer("hybrid", State.STOPPED, "B"),
            )
        },
        (*_BODY, UnknownExperiment, ExperimentStopped, NotReadyToShip, StoreUnavailable),
        body=ShipBody,
        example=ShipBody("B"),
    ),
    Route(
        "GET",
        "/layers",
        "layers",
        "Every layer: experiments that share no user, and users who are in none",
        {200: Answer("All of them", LayersAnswer, LayersAnswer([_LAYER]))},
        (StoreUnavailable,),
    ),
    Route(
        "PUT",
        "/layers/{name}",
        "saveLayer",
        "Say how many of a layer's users are in no experiment",
        {200: Answer("As it is now", LayerRow, _LAYER)},
        (*_BODY, StoreUnavailable),
        body=LayerBody,
        example=LayerBody(0.05),
    ),
    Route(
        "GET",
        "/models",
        "models",
        "The bundle that is served, its models and their metrics",
        {
            200: Answer(
                "Its manifest",
                BundleAnswer,
                BundleAnswer(
                    version="aaee7d83c4a4",
                    cutoff="2022-09-01T00:00:00.000Z",
                    models=[ModelRow(1, "autoencoder", {"ndcg": 0.11})],
                    files={"card.md": {"sha256": "...", "size": 1_024}},
                ),
            )
        },
        _MODELS,
    ),
    Route(
        "GET",
        "/health",
        "health",
        "Whether predictions can be had",
        {
            200: Answer(
                "They can",
                HealthAnswer,
                HealthAnswer("ok", "aaee7d83c4a4", "2022-09-01T00:00:00.000Z", UNSET),
            )
        },
        _MODELS,
    ),
    Route(
        "GET",
        "/",
        "explorer",
        "The explorer: listeners, what they heard, and every model's list side by side",
        _PAGE,
        headers=_IF_CHANGED,
    ),
    Route(
        "GET",
        "/assets/{file}",
        "asset",
        "What the pages are made of: scripts, styles, pictures",
        {
            200: Answer(
                "The file",
                media_types=("text/javascript", "text/css", "image/svg+xml"),
                headers={"ETag": "Of this very content"},
            ),
            304: _PAGE[304],
        },
        (UnknownRoute,),
        headers=_IF_CHANGED,
    ),
    Route(
        "GET",
        "/docs",
        "docs",
        "This document as a page, to try it out",
        _PAGE,
        headers=_IF_CHANGED,
    ),
    Route(
        "GET",
        "/openapi.json",
        "openapi",
        "This document",
        {200: Answer("OpenAPI 3.1", dict[str, Any])},
    ),
)

# In what any route may end.
ERRORS: Sequence[type[SegueError]] = (MalformedRequest, AnswerTooLarge)

_PARAMETERS = {(route.method, route.path): route.parameters for route in ROUTES}
# A signature may stand in the query string, for API Gateway to read.
_SIGNATURE = frozenset(
    f"X-Amz-{name}"
    for name in [
        "Algorithm",
        "Credential",
        "Date",
        "Expires",
        "Security-Token",
        "Signature",
        "SignedHeaders",
    ]
)


def check_parameters(event: APIGatewayProxyEvent) -> None:
    """Raises MalformedRequest for a parameter that is unknown, repeated, or no UTF-8 text.

    Those of a preflight are of the request that it is about, and checked when that comes.
    """
    if event.http_method == "OPTIONS":
        return
    known = _PARAMETERS.get((event.http_method, str(event.get("resource"))), ())
    several = event.get("multiValueQueryStringParameters") or {}
    given = {
        name: value
        for name, value in (event.query_string_parameters or {}).items()
        if name not in _SIGNATURE
    }
    if unknown := [name for name in given if name not in known]:
        raise no_such_parameters(unknown, known)
    for name, value in given.items():
        if len(several.get(name, ())) > 1:
            raise MalformedRequest("may stand in the query only once", field=name)
        if REPLACEMENT in value:
            raise MalformedRequest(REPLACED, field=name)


def no_such_parameters(unknown: Sequence[str], known: Collection[str] = ()) -> MalformedRequest:
    """Names them all; the problem's ``field`` is the first one."""
    others = f"; nor {', '.join(unknown[1:])}" if unknown[1:] else ""
    takes = f"takes {', '.join(known)}" if known else "takes none"
    return MalformedRequest(f"no such parameter{others}; this route {takes}", field=unknown[0])
