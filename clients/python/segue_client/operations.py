"""Every operation of the API, as a function from its arguments to the request it makes.

Nothing is sent here; ``Client`` and ``AsyncClient`` have a method of each. Arguments are named as
in the API, with an underscore where the name is a word of Python (``from_``). An argument that is
None is not sent, so that the service's default holds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote, urlencode

import httpx
import msgspec

from segue_client.errors import InvalidAnswer, Unreachable, problem_of
from segue_client.models import (
    AbTestOutcome,
    Arm,
    Boost,
    Bundle,
    Event,
    Events,
    Experiment,
    ExperimentPlan,
    Experiments,
    ExperimentWithLog,
    Export,
    Genres,
    Guardrail,
    Health,
    Layer,
    Layers,
    Prediction,
    Profile,
    Receipt,
    Recommendation,
    RecommendedTrack,
    Results,
    Shipped,
    TrackDetails,
    TrackList,
    Tracks,
    Users,
)
from segue_client.retries import Outcome

T_co = TypeVar("T_co", covariant=True)

UserId = int | str
# ISO 8601, milliseconds since 1970 UTC, or a datetime; without a zone it is UTC.
Time = str | int | datetime
# A number, text or list of texts; whatever a profile may hold.
Attribute = bool | float | str | Sequence[str]


def _as_decoded(answer: Any, _: httpx.Headers) -> Any:
    return answer


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """A request. Its answer is decoded as a ``kind``; ``finish`` makes of it what is returned."""

    method: str
    path: str
    kind: Any
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    finish: Callable[[Any, httpx.Headers], T_co] = _as_decoded

    @property
    def url(self) -> str:
        """Path and query string."""
        query = urlencode({name: _text(it) for name, it in self.query.items()})
        return f"{self.path}?{query}" if query else self.path

    @property
    def content(self) -> bytes | None:
        """The body, as JSON."""
        return None if self.body is None else msgspec.json.encode(self.body)

    def at_page(self, position: str) -> "Call[T_co]":
        """The same call, for another page."""
        return replace(self, query={**self.query, "next": position})

    def read(self, outcome: Outcome) -> T_co:
        """The answer. Raises Problem, Unreachable and InvalidAnswer."""
        if isinstance(outcome, httpx.TransportError):
            reason = str(outcome) or type(outcome).__name__
            raise Unreachable(f"no answer from {outcome.request.url}: {reason}") from outcome
        if not outcome.is_success:
            raise problem_of(outcome)
        return self.finish(self._decode(outcome), outcome.headers)

    def _decode(self, response: httpx.Response) -> Any:
        if response.status_code == HTTPStatus.NO_CONTENT:
            return None
        if self.kind is str:
            return response.text
        try:
            return msgspec.json.decode(response.content, type=self.kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidAnswer(f"{response.url} answers what is not Segue's: {error}") from None


def predict(
    model_id: int,
    user_id: UserId,
    *,
    k: int | None = None,
    as_of: Time | None = None,
    novelty: Literal["any", "new"] | None = None,
    explicit: bool | None = None,
    exclude: Sequence[str] | None = None,
    filter: str | None = None,
    boosts: Sequence[Boost] | None = None,
    diversity: float | None = None,
    exploration: float | None = None,
    explain: bool | None = None,
) -> Call[Prediction]:
    """Recommend tracks to a user, by one model.

    ``k``: how many. ``as_of``: at which moment. ``novelty``: ``new`` leaves out what the user ever
    started. ``explicit``: False leaves out explicit tracks. ``exclude``: tracks to leave out.
    ``filter``: only tracks of which this expression is true, such as
    ``genre == "rock" and year >= 1990``. ``boosts``: tracks to weigh up or down. ``diversity``: 0
    by score alone, to 1 for tracks that differ. ``exploration``: 0 none, to 1, how boldly the list
    is drawn at random. ``explain``: True answers names, scores and reasons beside the ids.
    """
    return Call(
        "POST",
        _path("models", model_id, "predict"),
        list[str | RecommendedTrack],
        body=_given(
            user_id=user_id,
            k=k,
            as_of=as_of,
            novelty=novelty,
            explicit=explicit,
            exclude=exclude,
            filter=filter,
            boosts=boosts,
            diversity=diversity,
            exploration=exploration,
            explain=explain,
        ),
        finish=_prediction,
    )


def recommend(
    user_id: UserId,
    *,
    experiment: str | None = None,
    k: int | None = None,
    explain: bool | None = None,
    max_age: int | None = None,
) -> Call[Recommendation]:
    """Recommend tracks to a user, by the arm that the running experiment gives them. ``max_age``: a
    list that was made for everybody at most so many seconds ago will do."""
    query = _given(experiment=experiment, k=k, explain=explain, max_age=max_age)
    return Call("GET", _path("users", user_id, "recommendations"), Recommendation, query)


def search_tracks(
    query: str | None = None,
    *,
    limit: int | None = None,
    filter: str | None = None,
    explicit: bool | None = None,
) -> Call[Tracks]:
    """Find tracks by words of title or artist, or the beginning of an id; typing errors are fine.

    Without ``query``: the most popular ones.
    """
    given = _given(query=query, limit=limit, filter=filter, explicit=explicit)
    return Call("GET", "/tracks", Tracks, given)


def track(track_id: str) -> Call[TrackDetails]:
    """What is known of a track."""
    return Call("GET", _path("tracks", track_id), TrackDetails)


def save_track(
    track_id: str,
    *,
    available: bool | None = None,
    track: Mapping[str, Attribute | None] | None = None,
) -> Call[TrackDetails]:
    """Add a track that the models were not trained with, by its row of the catalogue; take one out
    of all lists, or put it back: from the next request on."""
    body = _given(available=available, track=track)
    return Call("PUT", _path("tracks", track_id), TrackDetails, body=body)


def similar_tracks(
    track_id: str,
    *,
    k: int | None = None,
    explicit: bool | None = None,
    filter: str | None = None,
    explain: bool | None = None,
) -> Call[TrackList]:
    """The tracks that sound most alike, the nearest first; never the track itself."""
    return Call(
        "GET",
        _path("tracks", track_id, "similar"),
        list[str | RecommendedTrack],
        _given(k=k, explicit=explicit, filter=filter, explain=explain),
        finish=_track_list,
    )


def genres() -> Call[Genres]:
    """The genres of the catalogue."""
    return Call("GET", "/genres", Genres)


def search_users(query: str | None = None, *, limit: int | None = None) -> Call[Users]:
    """Find users by the beginning of their id."""
    return Call("GET", "/users", Users, _given(query=query, limit=limit))


def profile(user_id: UserId) -> Call[Profile]:
    """A user's profile."""
    return Call("GET", _path("users", user_id), Profile)


def save_profile(
    user_id: UserId,
    *,
    favourite_genres: Sequence[str] | None = None,
    premium_user: bool | None = None,
    attributes: Mapping[str, Attribute] | None = None,
) -> Call[Profile]:
    """Set a user's profile. Without ``attributes``, those that there are stay."""
    body = _given(
        favourite_genres=favourite_genres, premium_user=premium_user, attributes=attributes
    )
    return Call("PUT", _path("users", user_id), Profile, body=body)


def erase_user(user_id: UserId) -> Call[None]:
    """Erase all that is held about a user, A/B records included."""
    return Call("DELETE", _path("users", user_id), None)


def export_user(
    user_id: UserId,
    *,
    from_: Time | None = None,
    to: Time | None = None,
    limit: int | None = None,
    next: str | None = None,
) -> Call[Export]:
    """All that is held about a user, the events a page at a time."""
    query = _given(**{"from": from_}, to=to, limit=limit, next=next)
    return Call("GET", _path("users", user_id, "export"), Export, query)


def add_events(user_id: UserId, events: Sequence[Event | Mapping[str, Any]]) -> Call[Receipt]:
    """Add up to 500 listening events; repeats are harmless, the next recommendation sees them."""
    body = {"events": events}
    return Call("POST", _path("users", user_id, "events"), Receipt, body=body)


def events(
    user_id: UserId,
    *,
    from_: Time | None = None,
    to: Time | None = None,
    limit: int | None = None,
    next: str | None = None,
) -> Call[Events]:
    """A page of a user's listening events, from ``from_`` on and before ``to``."""
    query = _given(**{"from": from_}, to=to, limit=limit, next=next)
    return Call("GET", _path("users", user_id, "events"), Events, query)


def perform_test(user_id: UserId, *, experiment: str | None = None) -> Call[AbTestOutcome]:
    """Perform a user's A/B test: recommend as of the cut-off, look at what was played after it."""
    body = _given(user_id=user_id, experiment=experiment)
    return Call("POST", "/perform_ab_test", AbTestOutcome, body=body)


def results(
    *,
    experiment: str | None = None,
    live: bool | None = None,
    epoch: int | None = None,
    limit: int | None = None,
    next: str | None = None,
) -> Call[Results]:
    """A page of the results of an A/B test."""
    query = _given(
        experiment=experiment, live=live, epoch=epoch, limit=limit, next=next, format="json"
    )
    return Call("GET", "/ab_test/results", Results, query)


def clear_results(*, experiment: str | None = None) -> Call[None]:
    """Begin anew: a new epoch; the old results stay archived."""
    return Call("DELETE", "/ab_test/results", None, _given(experiment=experiment))


def report(
    *, experiment: str | None = None, live: bool | None = None, epoch: int | None = None
) -> Call[dict[str, Any]]:
    """What an A/B test says so far."""
    query = _given(experiment=experiment, live=live, epoch=epoch, format="json")
    return Call("GET", "/ab_test/report", dict[str, Any], query)


def report_page(
    *, experiment: str | None = None, live: bool | None = None, epoch: int | None = None
) -> Call[str]:
    """The same as a page for a browser, in HTML."""
    query = _given(experiment=experiment, live=live, epoch=epoch, format="html")
    return Call("GET", "/ab_test/report", str, query)


def overview(*, limit: int | None = None, next: str | None = None) -> Call[dict[str, Any]]:
    """A page of all epochs that ever began, and which verdicts hold among all of them."""
    query = _given(limit=limit, next=next, format="json")
    return Call("GET", "/ab_test/overview", dict[str, Any], query)


def experiments() -> Call[Experiments]:
    """Every experiment."""
    return Call("GET", "/experiments", Experiments)


def save_experiment(
    name: str,
    arms: Sequence[Arm],
    *,
    window_days: int | None = None,
    k: int | None = None,
    mode: Literal["fixed", "interleave", "thompson"] | None = None,
    guardrails: Sequence[Guardrail] | None = None,
    description: str | None = None,
    owner: str | None = None,
    traffic: float | None = None,
    layer: str | None = None,
    paired: bool | None = None,
    if_match: str | None = None,
    if_none_match: str | None = None,
) -> Call[Experiment]:
    """Make an experiment, or change one; the first arm is the control.

    ``if_match``: the etag of the version to change, needed to change one. ``if_none_match``: ``*``
    where there must be none yet. Raises PreconditionFailed where that is not so.
    """
    body = _given(
        arms=arms,
        window_days=window_days,
        k=k,
        mode=mode,
        guardrails=guardrails,
        description=description,
        owner=owner,
        traffic=traffic,
        layer=layer,
        paired=paired,
    )
    headers = _given(**{"If-Match": if_match, "If-None-Match": if_none_match})
    path = _path("experiments", name)
    return Call("PUT", path, Experiment, body=body, headers=headers)


def plan_experiment(
    name: str,
    arms: Sequence[Arm],
    *,
    window_days: int | None = None,
    k: int | None = None,
    mode: Literal["fixed", "interleave", "thompson"] | None = None,
    guardrails: Sequence[Guardrail] | None = None,
    description: str | None = None,
    owner: str | None = None,
    traffic: float | None = None,
    layer: str | None = None,
    paired: bool | None = None,
) -> Call[ExperimentPlan]:
    """What ``save_experiment`` would change, and how many users it would move."""
    body = save_experiment(
        name,
        arms,
        window_days=window_days,
        k=k,
        mode=mode,
        guardrails=guardrails,
        description=description,
        owner=owner,
        traffic=traffic,
        layer=layer,
        paired=paired,
    ).body
    return Call("POST", _path("experiments", name, "dry_run"), ExperimentPlan, body=body)


def experiment(name: str) -> Call[ExperimentWithLog]:
    """An experiment, and who changed what of it, the latest change foremost."""
    return Call("GET", _path("experiments", name), ExperimentWithLog)


def stop_experiment(name: str, *, archive: bool | None = None) -> Call[None]:
    """Assign nobody any more; what there is stays. ``archive``: for good."""
    return Call("DELETE", _path("experiments", name), None, _given(archive=archive))


def ship_experiment(
    name: str,
    *,
    group: str,
    side: Literal["live", "replay"] | None = None,
    despite: str | None = None,
) -> Call[Shipped]:
    """Stop the experiment, and let everybody have the winner's model. ``side``: whose report says
    so. ``despite``: why it is shipped although the report does not."""
    body = _given(group=group, side=side, despite=despite)
    return Call("POST", _path("experiments", name, "ship"), Shipped, body=body)


def layers() -> Call[Layers]:
    """Every layer: experiments that share no user, and users who are in none."""
    return Call("GET", "/layers", Layers)


def save_layer(name: str, *, holdout: float) -> Call[Layer]:
    """Say how many of a layer's users are in no experiment."""
    return Call("PUT", _path("layers", name), Layer, body={"holdout": holdout})


def models() -> Call[Bundle]:
    """The bundle that is served, its models and their metrics."""
    return Call("GET", "/models", Bundle)


def health() -> Call[Health]:
    """Whether predictions can be had."""
    return Call("GET", "/health", Health)


def openapi() -> Call[dict[str, Any]]:
    """The OpenAPI document of the service."""
    return Call("GET", "/openapi.json", dict[str, Any])


def _path(*segments: object) -> str:
    return "".join(f"/{quote(str(segment), safe='')}" for segment in segments)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _text(value: object) -> str:
    """A parameter as the query string has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _prediction(tracks: list[str | RecommendedTrack], headers: httpx.Headers) -> Prediction:
    answered_by = headers.get("X-Segue-Answered-By", "")
    return Prediction(tracks, answered_by, headers.get("X-Segue-Bundle", ""))


def _track_list(tracks: list[str | RecommendedTrack], _: httpx.Headers) -> TrackList:
    return TrackList(tracks)
