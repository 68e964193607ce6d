"""Recommendations by an experiment: which list a listener is shown, and by which arm."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from msgspec import Meta, Struct

from segue.api.experiments import ExperimentName
from segue.api.http import Explain, ListLength, read_query
from segue.api.tracks import RecommendedTrack, recommended_tracks
from segue.domain.times import format_time
from segue.domain.users import json_id
from segue.experiments.experiment import DEFAULT_NAME, check_name

# Lists that were made for everybody are there for so long.
MaxAge = Annotated[
    int,
    Meta(
        ge=1,
        le=7 * 24 * 60 * 60,
        description="Seconds: a list will do that was made for everybody at most so long ago; what "
        "was played since is left out. Where there is none, a new one is made",
    ),
]

# It brings ONNX Runtime along, which not every function has a use for.
if TYPE_CHECKING:
    from segue.services.live import Shown


class LiveQuery(Struct):
    """Which experiment, how many tracks, whether as objects with names and reasons, and whether a
    list will do that was made for everybody."""

    experiment: ExperimentName = DEFAULT_NAME
    k: ListLength | None = None
    explain: Explain = False
    max_age: MaxAge | None = None


class LiveAnswer(Struct):
    """What a listener is shown, and by which arm of which experiment.

    ``recommendation_id`` names the list; send it with the events of the tracks that are played from
    it. It and ``settles_at`` are null where the list is no part of the experiment, and shown for
    the listener's sake; ``group``, too, where the listener takes no part."""

    recommendation_id: str | None
    user_id: int | str
    experiment: str
    side: str
    epoch: int
    group: str | None
    model: str
    tracks: Sequence[str | RecommendedTrack]
    as_of: str
    settles_at: str | None


def parse_live(event: APIGatewayProxyEvent) -> LiveQuery:
    """Raises InvalidRequest naming the field."""
    query = read_query(event, LiveQuery)
    check_name(query.experiment, "experiment")
    return query


def live_answer(shown: "Shown") -> LiveAnswer:
    """What a listener is shown."""
    settles_at = shown.settles_at
    return LiveAnswer(
        recommendation_id=shown.recommendation_id,
        user_id=json_id(shown.user_id),
        experiment=shown.epoch.experiment.name,
        side=shown.epoch.side,
        epoch=shown.epoch.number,
        group=shown.group,
        model=shown.model,
        tracks=_live_tracks(shown),
        as_of=format_time(shown.impression.shown_at),
        settles_at=None if settles_at is None else format_time(settles_at),
    )


def _live_tracks(shown: "Shown") -> Sequence[str | RecommendedTrack]:
    """Ids or, where reasons were asked for, objects; a track that no catalogue has stays an id."""
    if shown.explained is None:
        return shown.impression.tracks
    rows = {row.track_id: row for part in shown.explained for row in recommended_tracks(part)}
    return [rows.get(track, track) for track in shown.impression.tracks]
