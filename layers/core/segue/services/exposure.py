"""Makes exposures: assigns the arm, asks its model, and notes what the analysis will need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from time import perf_counter

import numpy as np

from segue.domain.errors import ModelFailed
from segue.domain.plays import Play, label_plays
from segue.domain.times import Window
from segue.experiments.assignment import assign, choose, seed
from segue.experiments.bandit import propensities
from segue.experiments.epoch import Epoch, Side
from segue.experiments.experiment import Arm, Figure, Mode
from segue.experiments.interleaving import team_draft
from segue.experiments.records import Exposure, Impression, Pending
from segue.models.bundle import Bundle
from segue.models.registry import model_name
from segue.ports import Clock, ResultArchive, SessionStore, UserStore
from segue.ranking.space import track_vectors
from segue.services.recommend import Query, Recommender


@dataclass(frozen=True, slots=True)
class _List:
    """What a listener is recommended and how that came about, as ``Exposure`` has it."""

    group: str
    model: str
    tracks: tuple[str, ...]
    error: str | None
    owners: tuple[str, ...] = ()
    propensities: Mapping[str, float] = field(default_factory=dict)
    seen: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class Exposer:
    """Makes the one exposure that a user has in an epoch, and further lists of the same arm.

    Whoever asks for them stores them.
    """

    def __init__(
        self,
        recommender: Recommender,
        sessions: SessionStore,
        users: UserStore,
        archive: ResultArchive,
        clock: Clock,
    ) -> None:
        self._recommender = recommender
        self._sessions = sessions
        self._users = users
        self._archive = archive
        self._clock = clock

    def expose(
        self,
        epoch: Epoch,
        bundle: Bundle,
        user_id: str,
        as_of: int,
        k: int | None = None,
        max_age: int | None = None,
    ) -> Pending:
        """Recommend as of the moment ``as_of``; ``k`` comes before the experiment's own;
        ``max_age``: see ``Query``.

        Raises UnknownUser, UnknownModel, BundleError and StoreUnavailable.
        """
        experiment, query = epoch.experiment, _query(epoch, user_id, as_of, k, max_age)
        start = perf_counter()
        made = self._list(epoch, bundle, query)
        latency = 1_000 * (perf_counter() - start)
        before = Window(max(0, as_of - experiment.window), as_of)
        # A listener's habits: it doesn't matter whether the last second is among them.
        plays = label_plays(self._sessions.events(user_id, before, fresh=False))
        exposure = Exposure(
            user_id=user_id,
            group=made.group,
            model=made.model,
            bundle=bundle.version,
            tracks=made.tracks,
            as_of=as_of,
            created_at=self._clock.now(),
            error=made.error,
            owners=made.owners,
            before=_completed(plays),
            traits=self._traits(user_id, plays),
            figures={Figure.LATENCY: latency} | _diversity(made.tracks, bundle),
            propensities=made.propensities,
            seen=made.seen,
            lists=self._lists(epoch, bundle, query, made),
        )
        return Pending(exposure, as_of + experiment.window)

    def another(
        self,
        epoch: Epoch,
        bundle: Bundle,
        exposure: Exposure,
        as_of: int,
        k: int | None = None,
        max_age: int | None = None,
    ) -> Impression:
        """What the arm of an earlier exposure recommends as of another moment.

        Raises ModelFailed where that is nothing, and otherwise as ``expose``.
        """
        query = _query(epoch, exposure.user_id, as_of, k, max_age)
        made = self._list(epoch, bundle, query, exposure.group)
        if made.error and not made.tracks:
            raise ModelFailed(made.error)
        return Impression(as_of, made.tracks, made.owners)

    def _list(self, epoch: Epoch, bundle: Bundle, query: Query, group: str | None = None) -> _List:
        """By the arm of that group or, where the user has none yet, by one that they are given."""
        if epoch.experiment.mode is Mode.INTERLEAVE:
            return self._interleaved(epoch, bundle, query)
        if group is not None:
            arm = next(arm for arm in epoch.experiment.arms if arm.group == group)
            return self._of(arm, bundle, query)
        if epoch.experiment.mode is Mode.THOMPSON:
            return self._sampled(epoch, bundle, query)
        return self._of(assign(epoch, query.user_id), bundle, query)

    def _lists(
        self, epoch: Epoch, bundle: Bundle, query: Query, made: _List
    ) -> dict[str, tuple[str, ...]]:
        """Of a paired replay, every arm's list; nobody is shown more than one, so not of live."""
        if not epoch.experiment.paired or epoch.side is Side.LIVE:
            return {}
        return {
            arm.group: (
                made.tracks if arm.group == made.group else self._of(arm, bundle, query).tracks
            )
            for arm in epoch.experiment.arms
        }

    def _sampled(self, epoch: Epoch, bundle: Bundle, query: Query) -> _List:
        # The archive's counts, which are one request; what was settled since counts next time.
        outcomes = self._archive.read(epoch.id).tally.outcomes()
        seen = {arm.group: outcomes.get(arm.group, (0, 0)) for arm in epoch.experiment.arms}
        shares = propensities(list(seen.values()))
        made = self._of(choose(epoch, query.user_id, shares), bundle, query)
        logged = dict(zip(seen, shares, strict=True))
        return _List(
            made.group, made.model, made.tracks, made.error, propensities=logged, seen=seen
        )

    def _interleaved(self, epoch: Epoch, bundle: Bundle, query: Query) -> _List:
        lists = [self._of(arm, bundle, query) for arm in epoch.experiment.arms]
        random = Random(seed(epoch.id.salt, query.user_id))
        length = max(len(made.tracks) for made in lists)
        picks = team_draft({made.group: made.tracks for made in lists}, length, random)
        errors = [made.error for made in lists if made.error]
        return _List(
            group="+".join(made.group for made in lists),
            model="+".join(made.model for made in lists),
            tracks=tuple(track for track, _ in picks),
            error="; ".join(errors) or None,
            owners=tuple(group for _, group in picks),
        )

    def _of(self, arm: Arm, bundle: Bundle, query: Query) -> _List:
        """The arm's list, or what failed: a model's failure counts against its arm."""
        name = model_name(arm.model_id, bundle)
        asked = replace(query, model_id=arm.model_id)
        try:
            return _List(arm.group, name, self._recommender.tracks(asked, bundle), None)
        except ModelFailed as error:
            return _List(arm.group, name, (), str(error))

    def _traits(self, user_id: str, plays: Sequence[Play]) -> dict[str, str]:
        user = self._users.get(user_id)
        return {
            "premium": "yes" if user and user.premium else "no",
            "listener": "returning" if plays else "new",
        }


def _query(epoch: Epoch, user_id: str, as_of: int, k: int | None, max_age: int | None) -> Query:
    """By the control's model; each arm that is asked puts its own in."""
    experiment = epoch.experiment
    control = experiment.arms[0].model_id
    return Query(user_id, control, k or experiment.k, as_of, max_age=max_age)


def _completed(plays: Sequence[Play]) -> float | None:
    return sum(play.completed for play in plays) / len(plays) if plays else None


def _diversity(tracks: Sequence[str], bundle: Bundle) -> dict[str, float]:
    """Mean of 1 - cosine over all pairs of the list's tracks; nothing for a list without pairs."""
    vectors = track_vectors(bundle)
    if vectors is None or len(tracks) < 2:
        return {}
    rows = vectors[bundle.catalogue.positions(tracks)].astype(np.float64)
    units = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny)
    count = len(units)
    # The cosines of all ordered pairs sum to the squared length of the sum, less each with itself.
    cosines = float((units.sum(axis=0) ** 2).sum() - (units**2).sum())
    return {Figure.DIVERSITY: 1 - cosines / (count * (count - 1))}
