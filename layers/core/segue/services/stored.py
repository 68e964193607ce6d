"""Lists that were made for everybody, served in place of new ones."""

from collections.abc import Collection

from segue.domain.times import Window
from segue.models.bundle import Bundle
from segue.ports import SessionStore, StoredList, UserStore
from segue.services.recommend import Query


def stored_tracks(
    query: Query,
    bundle: Bundle,
    users: UserStore,
    sessions: SessionStore,
    unavailable: Collection[str],
) -> tuple[str, ...] | None:
    """The stored list without what the user was played since, and without what is unavailable;
    None where there is none that the query allows, or where too little is left of it. A query that
    says no length gets all that is left. Raises StoreUnavailable."""
    found = users.stored_list(query.user_id, query.model_id)
    if found is None or not _fits(found, query, bundle):
        return None
    assert query.as_of is not None
    since = sessions.events(query.user_id, Window(found.as_of, query.as_of))
    gone = {event.track_id for event in since}.union(unavailable)
    left = tuple(track for track in found.tracks if track not in gone)
    return left[: query.k] if len(left) >= (query.k or 1) else None


def _fits(found: StoredList, query: Query, bundle: Bundle) -> bool:
    """Whether it is of these models, young enough, and of a query as plain as this one."""
    assert query.as_of is not None
    assert query.max_age is not None
    plain = Query(query.user_id, query.model_id, query.k, query.as_of, max_age=query.max_age)
    age = query.as_of - found.as_of
    return query == plain and found.bundle == bundle.version and 0 <= age <= query.max_age
