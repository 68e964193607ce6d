"""What a user's client sends and is answered: listening events and the profile."""

from dataclasses import asdict
from typing import Annotated, Any

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from msgspec import Meta, Struct

from segue.api.http import MAX_PAGE, read_body, read_count, read_moment
from segue.domain.errors import InvalidRequest
from segue.domain.events import Event
from segue.domain.times import LATEST, Window, format_time
from segue.domain.users import User, json_id
from segue.services.ingest import EventPage, Profile, Receipt
from segue.services.privacy import Dossier, Part

MAX_EVENTS = 500
# They fit, with the longest ids there are.
_MAX_BODY = 1024 * 1024

_Text = Annotated[str, Meta(max_length=256)]
# Beyond, a number is no measurement, and no store is asked to keep it to the last digit.
_Number = Annotated[int, Meta(ge=-(10**15), le=10**15)] | Annotated[float, Meta(ge=-1e15, le=1e15)]
_Attribute = bool | _Number | _Text | Annotated[list[_Text], Meta(max_length=100)]


class EventsBody(Struct, forbid_unknown_fields=True):
    """The body of ``POST /users/{user_id}/events``; what an event is, the domain decides."""

    events: Annotated[list[Any], Meta(max_length=MAX_EVENTS)]


class ProfileBody(Struct, forbid_unknown_fields=True):
    """The body of ``PUT /users/{user_id}``."""

    favourite_genres: Annotated[list[_Text], Meta(max_length=100)] = []
    premium_user: bool = False
    attributes: Annotated[dict[_Text, _Attribute], Meta(max_length=100)] | None = None


def parse_events(event: APIGatewayProxyEvent) -> list[Any]:
    """The records, each as it came. Raises InvalidRequest naming the field."""
    return read_body(event, EventsBody, _MAX_BODY).events


def parse_profile(event: APIGatewayProxyEvent) -> Profile:
    """Raises InvalidRequest naming the field."""
    body = read_body(event, ProfileBody)
    return Profile(tuple(body.favourite_genres), body.premium_user, body.attributes)


def parse_window(event: APIGatewayProxyEvent) -> tuple[Window, int, str | None]:
    """``from``, ``to``, ``limit`` and ``next`` of the query string; by default, everything.

    Raises InvalidRequest naming the field.
    """
    parameters = event.query_string_parameters or {}
    start = read_moment(_moment(parameters.get("from")), "from") or 0
    end = read_moment(_moment(parameters.get("to")), "to")
    limit = read_count(parameters, "limit", default=MAX_PAGE, greatest=MAX_PAGE)
    window = Window(start, LATEST if end is None else end)
    if window.start > window.end:
        raise InvalidRequest("must not be after to", field="from")
    return window, limit, parameters.get("next")


def receipt_body(receipt: Receipt) -> dict[str, object]:
    """Counts, and of each record that is not counted its place in the batch and every reason."""
    return {
        "accepted": receipt.accepted,
        "repeated": receipt.repeated,
        "not_yet_counted": len(receipt.waiting),
        "waiting": receipt.waiting,
        "rejected": len(receipt.rejections),
        "rejections": receipt.rejections,
    }


def page_body(page: EventPage) -> dict[str, object]:
    """The events, each fit to be sent again, and where the next page begins."""
    return {"events": [event_row(event) for event in page.events], "next": page.next}


def event_row(event: Event) -> dict[str, object]:
    """An event under the names that data folders use."""
    return {
        "session_id": json_id(event.session_id),
        "timestamp": format_time(event.time),
        "user_id": json_id(event.user_id),
        "track_id": event.track_id,
        "event_type": event.type,
    }


def profile_body(user: User) -> dict[str, object]:
    """A profile under the names that data folders use."""
    return {
        "user_id": json_id(user.user_id),
        "favourite_genres": user.favourite_genres,
        "premium_user": user.premium,
        "attributes": dict(user.attributes),
    }


def dossier_body(dossier: Dossier, page: EventPage) -> dict[str, object]:
    """Everything held about a user: on each page all but the events, and a page of those."""
    return {
        "profile": dossier.user and profile_body(dossier.user),
        "experiments": [_part_row(part) for part in dossier.parts],
        **page_body(page),
    }


def _part_row(part: Part) -> dict[str, object]:
    return {
        "experiment": part.experiment.base_name,
        "side": part.experiment.side,
        "epoch": part.experiment.epoch,
        "exposure": asdict(part.exposure),
        "outcome": part.record
        and {"successful": part.record.successful}
        | {"settled_at": part.record.settled_at, "credits": part.record.credits}
        | {"figures": part.record.figures},
    }


def _moment(text: str | None) -> str | int | None:
    """In a query string, milliseconds are text, too."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else text
