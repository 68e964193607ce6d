"""Lists for everybody: shard by shard, each stored as a whole or not at all.

A shard that was stopped is done anew, as if it had never been begun; one that is done is not done
again. So nobody is left out, and nobody has two lists.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from segue.domain.plays import label_plays
from segue.domain.times import Window
from segue.features.listeners import history_of
from segue.models.bundle import Bundle
from segue.models.model import Listener
from segue.models.registry import load_model, model_name
from segue.ports import (
    ListStore,
    ModelStore,
    Profile,
    SessionStore,
    Shard,
    StoredList,
    TrackStore,
    UserList,
    UserStore,
)
from segue.ranking.filters import forbidden_tracks
from segue.ranking.lists import rank_each

# So many listeners are scored together. More gain nothing, and their scores take memory.
TOGETHER = 64
# Each waits for one user at a time.
_THREADS = 16

T = TypeVar("T")
R = TypeVar("R")


class Batch:
    """Makes lists for all users with a profile; ``as_of`` stands in for the moment of a shard."""

    def __init__(
        self,
        sessions: SessionStore,
        users: UserStore,
        models: ModelStore,
        track_store: TrackStore,
        lists: ListStore,
        as_of: int | None = None,
    ) -> None:
        self._sessions = sessions
        self._users = users
        self._models = models
        self._track_store = track_store
        self._lists = lists
        self._as_of = as_of

    def run(self, shard: Shard) -> int:
        """Make and store the lists of a shard; how many. 0 where it is done already.

        Raises UnknownModel, BundleError and StoreUnavailable; there is no file then, and the shard
        has to be done again.
        """
        if self._lists.has(shard):
            return 0
        if self._as_of is not None:
            shard = replace(shard, as_of=self._as_of)
        changes = self._track_store.changes()
        bundle = self._models.current().extended(changes.added)
        days = load_model(shard.model_id, bundle).history_days
        window = Window.before(shard.as_of, days)

        profiles: dict[str, Profile] = {}

        def listener_of(profile: Profile) -> Listener:
            user = profile.user
            if shard.serve:
                profiles[user.user_id] = profile
            events = self._sessions.history(user.user_id, window, fresh=False)
            return Listener(user, history_of(label_plays(events), bundle.catalogue, shard.as_of))

        def store(made: UserList) -> UserList:
            stored = StoredList(tuple(made.tracks), made.bundle, made.as_of)
            self._users.store_list(profiles.pop(made.user_id), shard.model_id, stored)
            return made

        with ThreadPoolExecutor(_THREADS) as threads:

            def each(act: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
                return (done for some in _blocks(items) for done in threads.map(act, some))

            listeners = each(listener_of, self._users.part(shard.number, shard.of))
            lists = lists_of(listeners, shard, bundle, changes.unavailable)
            # Before the file is there, which says that all is done.
            return self._lists.add(shard, each(store, lists) if shard.serve else lists)


def lists_of(
    listeners: Iterable[Listener], shard: Shard, bundle: Bundle, unavailable: Collection[str] = ()
) -> Iterator[UserList]:
    """The lists that the model of the shard recommends, without the tracks that are unavailable.

    They are those of ``Recommender.recommend``. Where two tracks score alike up to rounding, either
    may come first. Raises UnknownModel and BundleCorrupt.
    """
    name, model = model_name(shard.model_id, bundle), load_model(shard.model_id, bundle)
    forbidden = forbidden_tracks(bundle, named=unavailable)
    for some in _blocks(listeners):
        lists = rank_each(model, some, bundle, shard.k, forbidden=forbidden)
        for listener, ranked in zip(some, lists, strict=True):
            yield UserList(
                listener.user.user_id,
                bundle.catalogue.track_ids(ranked.tracks),
                ranked.scores.tolist(),
                name,
                bundle.version,
                shard.as_of,
            )


def _blocks(items: Iterable[T]) -> Iterator[list[T]]:
    """TOGETHER at a time."""
    rest = iter(items)
    while block := list(islice(rest, TOGETHER)):
        yield block
