"""Peers that need no fitting to speak of."""

import numpy as np

from training.evaluation.split import Split
from training.peers.matrix import full_plays
from training.peers.peer import SEED, FloatArray, IntArray, Peer, Unsuitable, settings


class Random(Peer):
    """Tracks drawn evenly: the floor. A user's draw depends on nothing else."""

    name = "random"
    grid = settings()
    repeats = (True,)

    def fit(self, split: Split) -> None:
        self._tracks = split.tracks

    def scores(self, users: IntArray) -> FloatArray:
        draws = [np.random.default_rng((SEED, user)).random(self._tracks, "f4") for user in users]
        return np.array(draws, np.float32).reshape(len(users), self._tracks)


class _Ranking(Peer):
    """One order of the tracks for everybody."""

    repeats = (True, False)
    _ranking: FloatArray

    def scores(self, users: IntArray) -> FloatArray:
        return np.tile(self._ranking, (len(users), 1))


class Popularity(_Ranking):
    """How many users fully played a track, or how often all of them did."""

    name = "popularity"
    grid = settings(count=("listeners", "plays"))
    days: int | None = None

    def fit(self, split: Split, *, count: str) -> None:
        plays = full_plays(split, days=self.days)
        weights = np.ones_like(plays.data) if count == "listeners" else plays.data
        counts = np.bincount(plays.indices, weights, split.tracks)
        self._ranking = counts.astype(np.float32)


class RecentPopularity(Popularity):
    """Popularity of the last 30 days."""

    name = "popularity-30-days"
    days = 30


class CataloguePopularity(_Ranking):
    """What the catalogue itself says is popular; tracks of which it says nothing come last."""

    name = "catalogue-popularity"
    grid = settings()

    def fit(self, split: Split) -> None:
        said = np.asarray(split.popularity)
        if np.isnan(said).all():
            raise Unsuitable("the catalogue says nothing of popularity")
        self._ranking = np.nan_to_num(said, nan=float(np.nanmin(said)) - 1)


class OwnHistory(Peer):
    """What the user played, the latest first, and nothing else."""

    name = "own-history"
    grid = settings(plays=("completed", "started"))
    repeats = (True,)

    def fit(self, split: Split, *, plays: str) -> None:
        kept = np.asarray(split.plays.completed) | (plays == "started")
        user, track, time = split.plays.user[kept], split.plays.track[kept], split.plays.time[kept]
        # Plays are in the order of time within each user, so a running number tells recency;
        # plays of the same moment share one.
        moment = np.concatenate([[0], np.cumsum(np.diff(time) != 0)])
        self._starts = np.searchsorted(user, np.arange(len(split.users) + 1))
        self._track, self._moment, self._tracks = track, moment, split.tracks

    def scores(self, users: IntArray) -> FloatArray:
        scores = np.full((len(users), self._tracks), -np.inf, np.float32)
        for row, user in zip(scores, users, strict=True):
            own = slice(self._starts[user], self._starts[user + 1])
            np.maximum.at(row, self._track[own], self._moment[own] - self._moment[own][:1])
        return scores
