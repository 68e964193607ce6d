"""Experiments and their results: requests and answers."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from msgspec import Meta, Struct
from msgspec.structs import asdict

from segue.api.http import (
    MAX_LIST,
    MAX_PAGE,
    ListLength,
    Live,
    PageLength,
    Position,
    UserId,
    json_response,
    negotiate,
    read_body,
    read_query,
    read_segment,
)
from segue.domain.errors import InvalidRequest, MalformedRequest
from segue.domain.times import DAY, format_time
from segue.domain.users import json_id
from segue.experiments.epoch import Epoch, Side
from segue.experiments.experiment import (
    DEFAULT_NAME,
    Arm,
    Better,
    Experiment,
    Figure,
    Guardrail,
    Mode,
    State,
    check_name,
)
from segue.experiments.layers import PARTS, Layer, size
from segue.experiments.records import Impression, Pending, Record, RecordPage

if TYPE_CHECKING:
    from segue.services.epochs import Plan

ExperimentName = Annotated[str, Meta(description="Which experiment", examples=[DEFAULT_NAME])]
EpochNumber = Annotated[
    int, Meta(ge=1, le=10**6, description="Which epoch; the one that runs, if none is given")
]
_Days = Annotated[int, Meta(ge=1, le=365)]
_Bit = Annotated[int, Meta(ge=0, le=1)]
_GOES_BEFORE = Meta(description="Goes before what Accept says")

COLUMNS = ("created_at", "user_id", "group", "model", "recomm_successful")
_FORMATS = {"json": "application/json", "csv": "text/csv"}
# A cell that begins with one of these, a spreadsheet may run as a formula; the last four are the
# full-width forms of the first.
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


class TestBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Of which user, and by which experiment, a test is performed."""

    user_id: UserId
    experiment: ExperimentName = DEFAULT_NAME


class ExperimentQuery(Struct):
    """Which experiment."""

    experiment: ExperimentName = DEFAULT_NAME


class SideQuery(Struct):
    """Which experiment, and which side and epoch of it."""

    experiment: ExperimentName = DEFAULT_NAME
    live: Live = False
    epoch: EpochNumber | None = None
    format: Annotated[Literal["json", "html"], _GOES_BEFORE] | None = None


class OverviewQuery(Struct):
    """A page of all epochs that ever began."""

    limit: Annotated[int, Meta(ge=1, le=MAX_LIST, description="Most epochs on a page")] = 20
    next: Position | None = None
    format: Annotated[Literal["json", "html"], _GOES_BEFORE] | None = None


class ResultsQuery(Struct):
    """The same, a page at a time."""

    experiment: ExperimentName = DEFAULT_NAME
    live: Live = False
    epoch: EpochNumber | None = None
    limit: PageLength = MAX_PAGE
    next: Position | None = None
    format: Annotated[Literal["json", "csv"], _GOES_BEFORE] | None = None


class ArmBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One of ``arms``; ``share`` is given in mode fixed, and in no other."""

    group: str
    model_id: int
    share: float | None = None


class GuardrailBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One of ``guardrails``; ``better`` repeats what the figure says, if anything."""

    figure: Figure
    margin: float
    better: Better | None = None


class StopQuery(Struct):
    """Whether the experiment may run again."""

    archive: Annotated[
        bool, Meta(description="Stop it for good, and let others of its layer have its users")
    ] = False


class ShipBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which group won, by which side's report. ``despite``: why it is shipped although the report
    does not say that it is ready."""

    group: str
    side: Side = Side.LIVE
    despite: Annotated[str, Meta(min_length=1, max_length=500)] | None = None


class ShippedAnswer(Struct):
    """Everybody gets the model of the group that was shipped from now on."""

    name: str
    state: State
    shipped: str | None


class LayerBody(Struct, forbid_unknown_fields=True):
    """The share of a layer's users who are in no experiment."""

    holdout: Annotated[float, Meta(ge=0, le=1)]


class ExperimentBody(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An experiment as it is to be; the first arm is the control. ``traffic``: the share of users
    who take part live; those of experiments of one ``layer`` differ."""

    arms: Annotated[list[ArmBody], Meta(max_length=100)]
    window_days: _Days = 30
    k: ListLength | None = None
    mode: Mode = Mode.FIXED
    guardrails: Annotated[list[GuardrailBody], Meta(max_length=100)] = []
    description: Annotated[str, Meta(max_length=2_000)] = ""
    owner: Annotated[str, Meta(max_length=200)] = ""
    traffic: Annotated[float, Meta(gt=0, le=1)] = 1.0
    layer: Annotated[str, Meta(description="Its name")] | None = None
    paired: bool = False


class ArmRow(Struct):
    """One of the competing models; ``share`` is null where the mode allots none."""

    group: str
    model_id: int
    share: float | None


class GuardrailRow(Struct):
    """A figure that no arm may worsen by more than the margin."""

    figure: Figure
    better: Better
    margin: float


class ExperimentRow(Struct):
    """An experiment as it was put, with what the service added; ``etag`` is for ``If-Match``."""

    name: str
    arms: list[ArmRow]
    window_days: int
    k: int | None
    mode: Mode
    guardrails: list[GuardrailRow]
    description: str
    owner: str
    traffic: float
    layer: str | None
    state: State
    shipped: str | None
    paired: bool
    epoch: int
    salt: str
    bundle: str
    etag: str


class FiguresRow(Struct):
    """What came of a group: how many of its users were successes."""

    successes: int
    users: int


class ChangeRow(Struct):
    """A change of an experiment: when, by whom and why, of which fields, and the epoch then.

    ``figures``: of each side of the epoch before, each group's successes and users, as far as
    settled and archived.
    """

    at: str
    by: str
    reason: str
    epoch: int
    changed: list[str]
    figures: dict[str, dict[str, FiguresRow]]


class ExperimentAnswer(ExperimentRow):
    """An experiment as it stands, and how it came to be so, the latest change foremost."""

    log: list[ChangeRow]


class PlanAnswer(Struct):
    """What a change would do. ``users``: who have an outcome in the epoch that runs, as far as
    archived; ``moved``: the share of users who would be in another group, and ``users_moved``, so
    many of those."""

    creates: bool
    begins_epoch: bool
    epoch: int
    changed: tuple[str, ...]
    users: int
    moved: float
    users_moved: int


class LayerRow(Struct):
    """A layer: experiments that share no user. ``experiments``: each one's share of all users."""

    name: str
    holdout: float
    free: float
    experiments: dict[str, float]


class LayersAnswer(Struct):
    """Every layer."""

    layers: list[LayerRow]


class ExperimentsAnswer(Struct):
    """Every experiment that was ever put."""

    experiments: list[ExperimentRow]


class OutcomeAnswer(Struct, rename={"successful": "Successful recommendation"}):
    """1 where a recommended track was played to its end in the window, else 0."""

    successful: _Bit


class PendingAnswer(Struct):
    """The window has not passed yet; ask again from ``settles_at`` on."""

    status: Literal["pending"]
    settles_at: str


class ImpressionRow(Struct):
    """A list that a user was shown."""

    shown_at: str
    tracks: tuple[str, ...]


class ResultRow(Struct):
    """One user's result: the original service's columns first, then our own."""

    created_at: str
    user_id: int | str
    group: str
    model: str
    recomm_successful: _Bit
    tracks: tuple[str, ...]
    as_of: str
    settled_at: str
    bundle: str
    error: str | None
    credits: dict[str, int] | None
    propensities: dict[str, float] | None
    later: list[ImpressionRow]
    positions: tuple[int, ...]


class ResultsAnswer(Struct):
    """A page of results, in a fixed order; ``next`` is null on the last page.

    A page of long lists may hold fewer than ``limit``."""

    results: list[ResultRow]
    next: str | None


def parse_save(
    name: str, event: APIGatewayProxyEvent
) -> tuple[Experiment, frozenset[str], frozenset[str]]:
    """The experiment as it is to be, and the tags of ``If-Match`` and of ``If-None-Match``.

    Raises InvalidRequest naming the field.
    """
    experiment = parse_experiment(name, event)
    return experiment, _tags(event, "If-Match"), _tags(event, "If-None-Match", weak=True)


def parse_experiment(name: str, event: APIGatewayProxyEvent) -> Experiment:
    """The experiment as it is to be. Which bundle and epoch it is of, the service decides.

    Raises InvalidRequest naming the field.
    """
    body = read_body(event, ExperimentBody)
    return Experiment(
        name=read_segment(name, "name"),
        arms=tuple(_arm(place, body) for place in range(len(body.arms))),
        window=body.window_days * DAY,
        k=body.k,
        mode=body.mode,
        guardrails=tuple(_guardrail(*it) for it in enumerate(body.guardrails)),
        description=body.description,
        owner=body.owner,
        traffic=body.traffic,
        layer=body.layer,
        paired=body.paired,
    )


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


def read_name(text: str) -> str:
    """An experiment's name as it stands in the path. Raises MalformedRequest and InvalidRequest."""
    name = read_segment(text, "name")
    check_name(name)
    return name


def parse_experiment_name(event: APIGatewayProxyEvent) -> str:
    """Which experiment the query string names. Raises InvalidRequest."""
    return _checked(read_query(event, ExperimentQuery).experiment)


def caller(event: APIGatewayProxyEvent) -> str:
    """Who signed the request; empty where nobody did."""
    context: Any = event.get("requestContext") or {}
    return context.get("identity", {}).get("userArn") or ""


def parse_side(event: APIGatewayProxyEvent) -> SideQuery:
    """Raises InvalidRequest naming the field."""
    query = read_query(event, SideQuery)
    _checked(query.experiment)
    return query


def parse_results(event: APIGatewayProxyEvent) -> ResultsQuery:
    """Raises InvalidRequest naming the field."""
    query = read_query(event, ResultsQuery)
    _checked(query.experiment)
    return query


def experiment_row(epoch: Epoch, tag: str) -> ExperimentRow:
    """An experiment with its running epoch, and the tag of that version."""
    experiment = epoch.experiment
    return ExperimentRow(
        name=experiment.name,
        arms=[_arm_row(arm, experiment.mode) for arm in experiment.arms],
        window_days=experiment.window // DAY,
        k=experiment.k,
        mode=experiment.mode,
        guardrails=[
            GuardrailRow(it.figure, it.figure.better, it.margin) for it in experiment.guardrails
        ],
        description=experiment.description,
        owner=experiment.owner,
        traffic=experiment.traffic,
        layer=experiment.layer,
        state=experiment.state,
        shipped=experiment.shipped,
        paired=experiment.paired,
        epoch=epoch.number,
        salt=epoch.id.salt,
        bundle=epoch.bundle,
        etag=tag,
    )


def experiment_answer(epoch: Epoch, tag: str, versions: Sequence[Epoch]) -> ExperimentAnswer:
    """The same with its log. ``versions``: the experiment after every change."""
    before = [None, *versions]
    log = [_change_row(*pair) for pair in zip(before, versions, strict=False)]
    return ExperimentAnswer(**asdict(experiment_row(epoch, tag)), log=log[::-1])


def _change_row(before: Epoch | None, after: Epoch) -> ChangeRow:
    change = after.change
    return ChangeRow(
        at=format_time(change.at),
        by=change.by,
        reason=change.reason,
        epoch=after.number,
        changed=after.experiment.changes_from(before.experiment) if before else [],
        figures={
            side: {group: FiguresRow(*counts) for group, counts in groups.items()}
            for side, groups in change.figures.items()
        },
    )


def plan_answer(plan: "Plan") -> PlanAnswer:
    """What a change would do."""
    return PlanAnswer(
        creates=plan.created,
        begins_epoch=plan.begins_epoch,
        epoch=plan.epoch,
        changed=plan.changed,
        users=plan.users,
        moved=plan.moved,
        users_moved=round(plan.moved * plan.users),
    )


def layer_row(layer: Layer) -> LayerRow:
    """A layer, and who has its users."""
    return LayerRow(
        name=layer.name,
        holdout=layer.holdout,
        free=layer.free,
        experiments={name: size(slots) / PARTS for name, slots in sorted(layer.taken.items())},
    )


def _arm_row(arm: Arm, mode: Mode) -> ArmRow:
    return ArmRow(arm.group, arm.model_id, arm.share if mode is Mode.FIXED else None)


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


def parse_test(event: APIGatewayProxyEvent) -> tuple[str, str]:
    """The user's id and the experiment's name. Raises InvalidRequest naming the field."""
    body = read_body(event, TestBody)
    return str(body.user_id), _checked(body.experiment)


def test_response(outcome: Record | Pending) -> Response[str]:
    """What a test came to, or when it will."""
    if isinstance(outcome, Record):
        return json_response(OutcomeAnswer(int(outcome.successful)))
    return json_response(PendingAnswer("pending", format_time(outcome.settles_at)), 202)


def results_response(page: RecordPage, limit: int, event: APIGatewayProxyEvent) -> Response[str]:
    """As the client prefers it. Of a CSV file, which has no place for it, ``Link`` has the rest."""
    if negotiate(event, _FORMATS) == "json":
        return json_response(ResultsAnswer([result_row(it) for it in page.records], page.next))
    headers = {"Content-Disposition": 'attachment; filename="results.csv"'}
    if page.next:
        asked = event.query_string_parameters or {}
        query = urlencode({**asked, "format": "csv", "limit": limit, "next": page.next})
        headers["Link"] = f'<?{query}>; rel="next"'
    return Response(200, "text/csv; charset=utf-8", _csv(page), headers)


def _csv(page: RecordPage) -> str:
    text = StringIO()
    rows = csv.DictWriter(text, COLUMNS)
    rows.writeheader()
    rows.writerows(map(_cells, page.records))
    return text.getvalue()


def _cells(record: Record) -> dict[str, object]:
    """What a spreadsheet would run is text behind an apostrophe (OWASP); numbers stay numbers."""
    row = result_row(record)
    cells = {name: getattr(row, name) for name in COLUMNS}
    return {
        name: f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
        for name, cell in cells.items()
    }


def result_row(record: Record) -> ResultRow:
    """A record as the results list it."""
    exposure = record.exposure
    return ResultRow(
        created_at=format_time(exposure.created_at),
        user_id=json_id(exposure.user_id),
        group=exposure.group,
        model=exposure.model,
        recomm_successful=int(record.successful),
        tracks=exposure.tracks,
        as_of=format_time(exposure.as_of),
        settled_at=format_time(record.settled_at),
        bundle=exposure.bundle,
        error=exposure.error,
        credits=dict(record.credits) or None,
        propensities=dict(exposure.propensities) or None,
        later=impression_rows(record.later),
        positions=record.positions,
    )


def impression_rows(impressions: Iterable[Impression]) -> list[ImpressionRow]:
    """Lists that a user was shown, in the order of time."""
    return [ImpressionRow(format_time(it.shown_at), it.tracks) for it in impressions]


def _checked(name: str) -> str:
    check_name(name, "experiment")
    return name
