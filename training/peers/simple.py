"""Peers that need no fitting to speak of."""

import numpy as np
from scipy import sparse

from training.peers.matrix import full_plays, popularity, shares
from training.peers.peer import SEED, FloatArray, IntArray, Peer, Unsuitable, settings
from training.protocol.split import Split


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

    def fit(self, split: Split, *, count: str, days: int | None = None) -> None:
        self._ranking = popularity(split, days=days, count=count)


class MonthPopularity(Popularity):
    """Popularity of the last 30 days."""

    name = "popularity-30-days"
    grid = settings(count=("listeners", "plays"), days=(30,))


class RecentPopularity(Popularity):
    """Popularity of the last days, as many as did best on earlier data."""

    name = "popularity-recent"
    grid = settings(days=(30, 1, 3, 7, 14), count=("listeners", "plays"))


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
    """What the user played, the latest first; then what is popular."""

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
        # All other tracks tie at 0, and the more popular of them come first.
        scores = np.zeros((len(users), self._tracks), np.float32)
        for row, user in zip(scores, users, strict=True):
            own = slice(self._starts[user], self._starts[user + 1])
            np.maximum.at(row, self._track[own], 1 + self._moment[own] - self._moment[own][:1])
        return scores


class OwnPlays(Peer):
    """What the user played much and lately, and what all play these days.

    score = (the track's share of the user's full plays, a play counting half for every half-life
    that it is old) + weight * (its share of all full plays in the last days). Without a half-life
    nothing is forgotten, without days all plays count.
    """

    name = "own-plays-and-popularity"
    grid = settings(
        half_life=(60, 7, 30, 180, None), days=(14, 3, 7, 30, None), weight=(0.3, 0.1, 1.0, 3.0)
    )
    repeats = (True, False)

    def fit(
        self, split: Split, *, half_life: float | None, days: int | None, weight: float
    ) -> None:
        self._own = shares(full_plays(split, half_life=half_life))
        popular = popularity(split, days=days)
        self._popular = weight * popular / max(popular.sum(), 1)

    def scores(self, users: IntArray) -> FloatArray:
        scores: FloatArray = self._own[users].toarray() + self._popular
        return scores


class ArtistTracks(Peer):
    """The tracks of the artists that the user plays, the most popular ones of each first.

    score = (the artist's share of the user's full plays, a play counting half for every half-life
    that it is old) * (the track's share of all full plays of the artist in the last days).
    """

    name = "artist-tracks"
    grid = settings(half_life=(60, 2, 7, 30, 180, None), days=(30, 7, None))
    repeats = (True, False)

    def fit(self, split: Split, *, half_life: float | None, days: int | None) -> None:
        artists = np.asarray(split.artists)
        known = np.flatnonzero(artists >= 0)
        if not len(known):
            raise Unsuitable("no track has an artist")
        where, shape = (artists[known], known), (artists.max() + 1, split.tracks)
        of_artist = sparse.csr_array((np.ones(len(known), np.float32), where), shape)
        popular = sparse.csr_array((popularity(split, days=days)[known], where), shape)
        self._artists = shares(full_plays(split, half_life=half_life) @ of_artist.T)
        self._tracks = shares(popular)

    def scores(self, users: IntArray) -> FloatArray:
        scores: FloatArray = (self._artists[users] @ self._tracks).toarray()
        return scores
