"""Experiments, and what they show a listener: requests and answers."""

from typing import TYPE_CHECKING, Annotated

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from msgspec import Meta, Struct

from segue.api.reading import MAX_LIST, ListLength, read_body, read_count, read_segment
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
