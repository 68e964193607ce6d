"""Experiments, what they show a listener, and their results: requests and answers."""

import csv
from io import StringIO
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from msgspec import Meta, Struct

from segue.api.http import (
    MAX_LIST,
    MAX_PAGE,
    ListLength,
    UserId,
    json_response,
    negotiate,
    read_body,
    read_count,
    read_segment,
)
from segue.domain.errors import InvalidRequest, MalformedRequest
from segue.domain.times import DAY, format_time
from segue.domain.users import json_id
from segue.experiments.experiment import (
    DEFAULT_NAME,
    Arm,
    Better,
    Experiment,
    Figure,
    Guardrail,
    Mode,
    check_name,
)
from segue.experiments.manifest import user_hash
from segue.experiments.records import Record, RecordPage, position_of

# It brings ONNX Runtime along, which not every function has a use for.
if TYPE_CHECKING:
    from segue.services.live import Shown

_Days = Annotated[int, Meta(ge=1, le=365)]


class ArmBody(Struct, forbid_unknown_fields=True):
    """One of ``arms``; ``share`` is given in mode fixed, and in no other."""

    group: str
    model_id: int
    share: float | None = None


class GuardrailBody(Struct, forbid_unknown_fields=True):
    """One of ``guardrails``; ``better`` repeats what the figure says, if anything."""

    figure: Figure
    margin: float
    better: Better | None = None


class ExperimentBody(Struct, forbid_unknown_fields=True):
    """The body of ``PUT /experiments/{name}``; the first arm is the control."""

    arms: Annotated[list[ArmBody], Meta(max_length=100)]
    window_days: _Days = 30
    k: ListLength | None = None
    mode: Mode = Mode.FIXED
    guardrails: Annotated[list[GuardrailBody], Meta(max_length=100)] = []


def parse_experiment(
    name: str, event: APIGatewayProxyEvent
) -> tuple[Experiment, frozenset[str], frozenset[str]]:
    """The experiment as it is to be, and the tags of ``If-Match`` and of ``If-None-Match``.

    Which bundle and epoch it is of, the service decides. Raises InvalidRequest naming the field.
    """
    body = read_body(event, ExperimentBody)
    experiment = Experiment(
        name=read_segment(name, "name"),
        arms=tuple(_arm(place, body) for place in range(len(body.arms))),
        bundle="",
        window=body.window_days * DAY,
        k=body.k,
        mode=body.mode,
        guardrails=tuple(_guardrail(*it) for it in enumerate(body.guardrails)),
    )
    return experiment, _tags(event, "If-Match"), _tags(event, "If-None-Match", weak=True)


def _arm(place: int, body: ExperimentBody) -> Arm:
    arm, field = body.arms[place], f"arms[{place}].share"
    if body.mode is Mode.FIXED:
        if arm.share is None:
            raise InvalidRequest("mode fixed takes the share of users of each arm", field=field)
        return Arm(arm.group, arm.model_id, arm.share)
    if arm.share is not None:
        raise InvalidRequest(f"mode {body.mode} allots no shares; leave it out", field=field)
    return Arm(arm.group, arm.model_id, 1 / len(body.arms))


def _guardrail(place: int, body: GuardrailBody) -> Guardrail:
    figure = body.figure
    if body.better not in (None, figure.better):
        raise InvalidRequest(
            f"{figure} is better {figure.better}; say so, or leave it out",
            field=f"guardrails[{place}].better",
        )
    return Guardrail(figure, body.margin)


def parse_experiment_name(event: APIGatewayProxyEvent) -> str:
    """``experiment`` of the query string. Raises InvalidRequest."""
    name = (event.query_string_parameters or {}).get("experiment", DEFAULT_NAME)
    check_name(name, "experiment")
    return name


def parse_side(event: APIGatewayProxyEvent) -> tuple[str, bool]:
    """``experiment`` and ``live`` of the query string. Raises InvalidRequest naming the field."""
    live = (event.query_string_parameters or {}).get("live", "false")
    if live not in ("true", "false"):
        raise InvalidRequest("must be true or false", field="live")
    return parse_experiment_name(event), live == "true"


def parse_list_length(event: APIGatewayProxyEvent) -> int | None:
    """``k`` of the query string. Raises InvalidRequest naming the field."""
    parameters = event.query_string_parameters or {}
    if "k" not in parameters:
        return None
    return read_count(parameters, "k", default=MAX_LIST, greatest=MAX_LIST)


def experiment_row(experiment: Experiment, tag: str) -> dict[str, object]:
    """An experiment as it was put, with what the service added; ``etag`` is for ``If-Match``."""
    return {
        "name": experiment.name,
        "arms": [_arm_row(arm, experiment.mode) for arm in experiment.arms],
        "window_days": experiment.window // DAY,
        "k": experiment.k,
        "mode": experiment.mode,
        "guardrails": [
            {"figure": it.figure, "better": it.figure.better, "margin": it.margin}
            for it in experiment.guardrails
        ],
        "epoch": experiment.epoch,
        "salt": experiment.salt,
        "bundle": experiment.bundle,
        "etag": tag,
    }


def _arm_row(arm: Arm, mode: Mode) -> dict[str, object]:
    share = arm.share if mode is Mode.FIXED else None
    return {"group": arm.group, "model_id": arm.model_id, "share": share}


def shown_body(shown: "Shown") -> dict[str, object]:
    """What a listener is shown, and by which arm of which experiment."""
    exposure = shown.exposure
    recorded = shown.recommendation_id is not None
    return {
        "recommendation_id": shown.recommendation_id,
        "user_id": json_id(exposure.user_id),
        "experiment": shown.experiment.base_name,
        "side": shown.experiment.side,
        "epoch": shown.experiment.epoch,
        "group": exposure.group,
        "model": exposure.model,
        "tracks": exposure.tracks,
        "as_of": format_time(exposure.as_of),
        "settles_at": format_time(shown.settles_at) if recorded else None,
    }


def _tags(event: APIGatewayProxyEvent, header: str, *, weak: bool = False) -> frozenset[str]:
    """The header's tags, empty without the header. ``weak``: a tag's ``W/`` makes no difference."""
    value = event.headers.get(header)
    if value is None:
        return frozenset()
    tags = [tag.strip() for tag in value.split(",")]
    found = frozenset(tag.removeprefix("W/") if weak else tag for tag in tags if tag)
    if not found:
        raise MalformedRequest("names no version; give one, or leave the header out", field=header)
    return found


class TestBody(Struct, forbid_unknown_fields=True):
    """The body of ``POST /perform_ab_test``."""

    user_id: UserId
    experiment: str = DEFAULT_NAME


def parse_test(event: APIGatewayProxyEvent) -> tuple[str, str]:
    """The user's id and the experiment's name. Raises InvalidRequest naming the field."""
    body = read_body(event, TestBody)
    check_name(body.experiment, "experiment")
    return str(body.user_id), body.experiment


def parse_page(event: APIGatewayProxyEvent) -> tuple[int, str | None]:
    """``limit`` and ``next`` of the query string. Raises InvalidRequest naming the field."""
    parameters = event.query_string_parameters or {}
    limit = read_count(parameters, "limit", default=MAX_PAGE, greatest=MAX_PAGE)
    return limit, parameters.get("next")


COLUMNS = ("created_at", "user_id", "group", "model", "recomm_successful")
_FORMATS = {"json": "application/json", "csv": "text/csv"}
# Bytes of rows in one answer: Lambda lets 6 MB through, in which what is escaped counts twice.
_MOST_BYTES = 2_000_000
# A cell that begins with one of these, a spreadsheet may run as a formula; the last four are the
# full-width forms of the first.
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def results_response(
    experiment: Experiment, page: RecordPage, limit: int, event: APIGatewayProxyEvent
) -> Response[str]:
    """As the client prefers it. Of a CSV file, which has no place for it, ``Link`` has the rest."""
    if negotiate(event, _FORMATS) == "json":
        return _json(experiment, page)
    headers = {"Content-Disposition": 'attachment; filename="results.csv"'}
    if page.next:
        asked, following = (
            event.query_string_parameters or {},
            position_of(experiment.salt, page.next),
        )
        query = urlencode({**asked, "format": "csv", "limit": limit, "next": following})
        headers["Link"] = f'<?{query}>; rel="next"'
    return Response(200, "text/csv; charset=utf-8", _csv(page), headers)


def _json(experiment: Experiment, page: RecordPage) -> Response[str]:
    """Long lists of tracks make a page end early; the next one begins there."""
    rows: list[msgspec.Raw] = []
    following, size = page.next, 0
    for record in page.records:
        row = msgspec.json.encode(result_row(record))
        size += len(row)
        if rows and size > _MOST_BYTES:
            following = user_hash(page.records[len(rows) - 1].exposure.user_id)
            break
        rows.append(msgspec.Raw(row))
    position = following and position_of(experiment.salt, following)
    return json_response({"results": rows, "next": position})


def _csv(page: RecordPage) -> str:
    text = StringIO()
    rows = csv.DictWriter(text, COLUMNS, extrasaction="ignore")
    rows.writeheader()
    rows.writerows(map(_cells, page.records))
    return text.getvalue()


def _cells(record: Record) -> dict[str, object]:
    """What a spreadsheet would run is text behind an apostrophe (OWASP); numbers stay numbers."""
    row = result_row(record)
    return {
        name: f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
        for name, cell in row.items()
    }


def result_row(record: Record) -> dict[str, object]:
    """A record as the results list it: the original service's columns first, then our own."""
    exposure = record.exposure
    return {
        "created_at": format_time(exposure.created_at),
        "user_id": json_id(exposure.user_id),
        "group": exposure.group,
        "model": exposure.model,
        "recomm_successful": int(record.successful),
        "tracks": exposure.tracks,
        "as_of": format_time(exposure.as_of),
        "settled_at": format_time(record.settled_at),
        "bundle": exposure.bundle,
        "error": exposure.error,
        "credits": record.credits or None,
        "propensities": exposure.propensities or None,
    }
