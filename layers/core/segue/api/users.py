"""Users: their listening events and profiles, requests and answers."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from msgspec import UNSET, Meta, Struct, UnsetType, field

from segue.api.experiments import ImpressionRow, impression_rows
from segue.api.http import (
    DEFAULT_LENGTH,
    MAX_PAGE,
    ListLength,
    PageLength,
    Position,
    read_body,
    read_moment,
    read_query,
)
from segue.domain.errors import InvalidRequest
from segue.domain.events import Event
from segue.domain.times import LATEST, Window, format_time
from segue.domain.users import User, json_id
from segue.experiments.records import Record, Result

# Every function has the table of routes, and with it this module; few have a use for these.
if TYPE_CHECKING:
    from segue.experiments.epoch import EpochId
    from segue.services.ingest import EventPage, Profile, Receipt
    from segue.services.privacy import Dossier

MAX_EVENTS = 500
# They fit, with the longest ids there are.
_MAX_BODY = 1024 * 1024

_Text = Annotated[str, Meta(max_length=256)]
# Beyond, a number is no measurement, and no store is asked to keep it to the last digit.
_Number = Annotated[int, Meta(ge=-(10**15), le=10**15)] | Annotated[float, Meta(ge=-1e15, le=1e15)]
_Attribute = bool | _Number | _Text | Annotated[list[_Text], Meta(max_length=100)]
_Genres = Annotated[list[_Text], Meta(max_length=100)]


class EventsBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Listening events, in any order. What an event is, ``EventRow`` says; one that cannot be used
    is answered as a rejection, and does no harm to the others."""

    events: Annotated[list[Any], Meta(max_length=MAX_EVENTS)]


class ProfileBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A user's profile as it is to be. Without ``attributes``, those that there are stay."""

    favourite_genres: _Genres = []
    premium_user: bool = False
    attributes: Annotated[dict[_Text, _Attribute], Meta(max_length=100)] | None = None


class EventsQuery(Struct):
    """Which of a user's events: those from ``from`` on and before ``to``, a page at a time."""

    start: Annotated[str, Meta(description="ISO 8601 or epoch milliseconds")] | None = field(
        name="from", default=None
    )
    end: Annotated[str, Meta(description="The same; not itself in it")] | None = field(
        name="to", default=None
    )
    limit: PageLength = MAX_PAGE
    next: Position | None = None


class EventRow(Struct, omit_defaults=True):
    """A listening event, under the names that data folders use."""

    session_id: int | str
    timestamp: str
    user_id: int | str
    track_id: str | None
    event_type: str
    recommendation_id: (
        Annotated[str, Meta(description="The list that the track was chosen from")] | UnsetType
    ) = UNSET


class EventsAnswer(Struct):
    """A page of events, each fit to be sent again; ``next`` is null on the last page."""

    events: list[EventRow]
    next: str | None


class ProfileRow(Struct):
    """A profile, under the names that data folders use."""

    user_id: int | str
    favourite_genres: tuple[str, ...]
    premium_user: bool
    attributes: dict[str, Any]


class UsersQuery(Struct):
    """Which users are looked for."""

    query: Annotated[
        str, Meta(max_length=256, description="The beginning of the id; one letter may be wrong")
    ] = ""
    limit: ListLength = DEFAULT_LENGTH


class UsersAnswer(Struct):
    """The users that were found."""

    users: list[ProfileRow]


class RemarkRow(Struct):
    """On one of the events that were sent: its place among them, from 0, and every reason."""

    index: int
    reasons: tuple[str, ...]


class ReceiptAnswer(Struct):
    """What became of the events. ``repeated`` ones were there already. No recommendation goes by
    those under ``waiting`` yet; those under ``rejections`` cannot be used."""

    accepted: int
    repeated: int
    not_yet_counted: int
    waiting: list[RemarkRow]
    rejected: int
    rejections: list[RemarkRow]


class OutcomeRow(Struct):
    """What came of an exposure, in an export."""

    successful: bool
    settled_at: int
    credits: dict[str, int]
    figures: dict[str, float]
    positions: tuple[int, ...]
    reported: tuple[int, ...]


class HeldRow(Struct):
    """What one epoch of an experiment holds of a user; ``outcome`` is null while it is awaited."""

    experiment: str
    side: str
    epoch: int
    exposure: dict[str, Any]
    later: list[ImpressionRow]
    outcome: OutcomeRow | None


class ExportAnswer(Struct):
    """Everything held about a user: on each page all but the events, and a page of those."""

    profile: ProfileRow | None
    experiments: list[HeldRow]
    events: list[EventRow]
    next: str | None


def parse_events(event: APIGatewayProxyEvent) -> list[Any]:
    """The records, each as it came. Raises InvalidRequest naming the field."""
    return read_body(event, EventsBody, _MAX_BODY).events


def parse_profile(event: APIGatewayProxyEvent) -> "Profile":
    """Raises InvalidRequest naming the field."""
    from segue.services.ingest import Profile

    body = read_body(event, ProfileBody)
    return Profile(tuple(body.favourite_genres), body.premium_user, body.attributes)


def parse_window(event: APIGatewayProxyEvent) -> tuple[Window, int, str | None]:
    """The window, how many of its events, and behind which position; by default, everything.

    Raises InvalidRequest naming the field.
    """
    query = read_query(event, EventsQuery)
    start = read_moment(_moment(query.start), "from") or 0
    end = read_moment(_moment(query.end), "to")
    window = Window(start, LATEST if end is None else end)
    if window.start > window.end:
        raise InvalidRequest("must not be after to", field="from")
    return window, query.limit, query.next


def parse_users(event: APIGatewayProxyEvent) -> tuple[str, int]:
    """The beginning of the id, and how many users. Raises InvalidRequest naming the field."""
    query = read_query(event, UsersQuery)
    return query.query, query.limit


def users_answer(users: Iterable[User]) -> UsersAnswer:
    """The users that a search found."""
    return UsersAnswer([profile_row(user) for user in users])


def receipt_answer(receipt: "Receipt") -> ReceiptAnswer:
    """What became of a batch of events."""
    return ReceiptAnswer(
        accepted=receipt.accepted,
        repeated=receipt.repeated,
        not_yet_counted=len(receipt.waiting),
        waiting=[RemarkRow(it.index, it.reasons) for it in receipt.waiting],
        rejected=len(receipt.rejections),
        rejections=[RemarkRow(it.index, it.reasons) for it in receipt.rejections],
    )


def events_answer(page: "EventPage") -> EventsAnswer:
    """A page of events."""
    return EventsAnswer([_event_row(event) for event in page.events], page.next)


def profile_row(user: User) -> ProfileRow:
    """A user's profile."""
    return ProfileRow(
        user_id=json_id(user.user_id),
        favourite_genres=user.favourite_genres,
        premium_user=user.premium,
        attributes=dict(user.attributes),
    )


def export_answer(dossier: "Dossier", page: "EventPage") -> ExportAnswer:
    """Everything held about a user, with a page of the events."""
    return ExportAnswer(
        profile=profile_row(dossier.user) if dossier.user else None,
        experiments=[_held_row(*it) for it in dossier.results],
        events=[_event_row(event) for event in page.events],
        next=page.next,
    )


def _event_row(event: Event) -> EventRow:
    return EventRow(
        session_id=json_id(event.session_id),
        timestamp=format_time(event.time),
        user_id=json_id(event.user_id),
        track_id=event.track_id,
        event_type=event.type,
        recommendation_id=event.recommendation_id or UNSET,
    )


def _held_row(epoch: "EpochId", result: Result) -> HeldRow:
    return HeldRow(
        experiment=epoch.experiment,
        side=epoch.side,
        epoch=epoch.number,
        exposure=asdict(result.exposure),
        later=impression_rows(result.later),
        outcome=_outcome_row(result) if isinstance(result, Record) else None,
    )


def _outcome_row(record: Record) -> OutcomeRow:
    return OutcomeRow(
        record.successful,
        record.settled_at,
        dict(record.credits),
        dict(record.figures),
        record.positions,
        record.reported,
    )


def _moment(text: str | None) -> str | int | None:
    """In a query string, milliseconds are text, too."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else text
