"""Lists that were made for everybody, served in place of new ones."""

from segue.domain.times import Window
from segue.ports import SessionStore, TrackStore, UserStore
from segue.services.recommend import Query


def stored_tracks(
    query: Query,
    as_of: int,
    bundle: str,
    users: UserStore,
    sessions: SessionStore,
    track_store: TrackStore,
) -> tuple[str, ...] | None:
    """The list that is stored for the user, without what they were played since and what was taken
    out of the catalogue. None where there is none that the query lets be so old at this moment, or
    where too little is left of it. A query of no length gets all that is left.

    bundle: the version that the list has to be of. Raises StoreUnavailable.
    """
    found = users.stored_list(query.user_id, query.model_id)
    if found is None or found.bundle != bundle or not _fits(as_of - found.as_of, query):
        return None
    since = sessions.events(query.user_id, Window(found.as_of, as_of))
    gone = {event.track_id for event in since} | track_store.changes().unavailable
    left = tuple(track for track in found.tracks if track not in gone)
    return left[: query.k] if len(left) >= (query.k or 1) else None


def _fits(age: int, query: Query) -> bool:
    """Whether a list of this age is young enough, and nothing else is asked for."""
    assert query.max_age is not None
    plain = Query(query.user_id, query.model_id, query.k, query.as_of, max_age=query.max_age)
    return query == plain and 0 <= age <= query.max_age
