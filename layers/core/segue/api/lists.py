"""Lists for everybody: which shard is to be made."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from segue.api.http import ListLength, read_event, read_moment
from segue.domain.errors import InvalidRequest
from segue.ports import Shard


class ShardEvent(Struct, forbid_unknown_fields=True):
    """What the state machine says of a shard."""

    run: Annotated[str, Meta(pattern="^[^/]{1,80}$")]
    model: int
    k: ListLength
    as_of: str
    shard: Annotated[int, Meta(ge=0)]
    shards: Annotated[int, Meta(ge=1)]
    serve: bool = False


def parse_shard(event: Mapping[str, Any]) -> Shard:
    """Raises InvalidRequest."""
    asked = read_event(event, ShardEvent)
    if asked.shard >= asked.shards:
        raise InvalidRequest(f"must be less than {asked.shards}, the shards", field="shard")
    as_of = read_moment(asked.as_of, "as_of")
    assert as_of is not None  # as it is given
    return Shard(
        asked.run, asked.model, asked.k, as_of, asked.shard, asked.shards, serve=asked.serve
    )
