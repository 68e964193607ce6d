"""Where a listener's next play may come from: for every source, a share of each track.

A source is a distribution over the catalogue: what everybody plays, what this listener plays, other
tracks of their artists, and so on. The hybrid is a mixture of them. Training and serving compute
them here, from the same arrays; ``training/models/hybrid/collaborative.py`` fits these.
"""

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray
from segue.models.hybrid.statistics import (
    CONFIDENCE,
    RECENT,
    WEEK,
    WINDOWS,
    YEAR,
    Patterns,
    Statistics,
    find,
)
from segue.models.hybrid.summary import Summary

# The same for everybody: popularity by window, the charts (squared, so that few tracks have most),
# and chance, from which any track may come.
COMMON = (*(f"popularity of {days} days" for days in WINDOWS), "charts", "week's charts", "chance")
# The listener's own.
OWN = (
    "own plays", "own plays of two months", "own plays of two weeks", "own plays of a day",
    "started", "liked",
)  # fmt: skip
TASTE = OWN.index("own plays of two weeks")
BY_ARTIST = ("artist of late", "artist by tracks", "artist that follows")
BY_GENRE = ("genre", "genre by excess", "main genre")
TOGETHER = (
    "neighbours", "neighbours of late", "neighbours in fashion",
    "factors",
    "broad taste", "broad taste in fashion",
)  # fmt: skip
FOLLOWING = ("follows what was played", "follows the last plays")
SOURCES = COMMON + OWN + BY_ARTIST + BY_GENRE + FOLLOWING + TOGETHER

# Where nothing is known, shares are not divided by it.
_NOTHING = 1e-12


class Votes(NamedTuple):
    """What each source says for some tracks; divided by its total, a vote is a share.

    For one or several listeners, v of them, who have played the same tracks or some of these; see
    ``votes_of``. tracks: (n,) positions, in any order. votes: (v, len(SOURCES), n) float32. totals:
    (v, len(SOURCES)) what those of all tracks of the catalogue add up to. most: (v, len(SOURCES))
    what any other track has at most. A source of which nothing is known for a listener, such as
    likes of one who never liked, has a total of 0: popularity stands in for it. heard: those of the
    tracks played, by their places in the summary, that are among ``tracks``; places: where.
    """

    tracks: NDArray[np.integer]
    votes: FloatArray
    totals: FloatArray
    most: FloatArray
    heard: NDArray[np.intp]
    places: NDArray[np.intp]

    @property
    def shares(self) -> FloatArray:
        """(len(SOURCES), n) of the first listener."""
        votes, totals = self.votes[0], self.totals[0]
        known = totals > _NOTHING
        shares = votes / np.where(known, totals, np.float32(1))[:, None]
        shares[~known] = shares[RECENT]
        return np.asarray(shares, np.float32)

    def weights(self, parts: FloatArray) -> FloatArray:
        """(v, len(SOURCES)) what a vote of each counts for, where these are the parts of a mixture:
        ``weights @ votes`` are the shares of the tracks, and no other track has more than ``weights
        @ most``."""
        known = self.totals > _NOTHING
        weights = np.where(known, parts, 0) / np.where(known, self.totals, 1)
        weights[:, RECENT] += np.where(known, 0, parts).sum(1)
        return weights.astype(np.float32)


def votes_of(
    statistics: Statistics,
    own: Summary,
    *,
    all_tracks: bool = False,
    forbidden: NDArray[np.bool_] | None = None,
) -> Votes:
    """The votes for all tracks that more than what is the same for everybody, and genres, speak
    for: the head, what the listener has heard and what follows, and the tracks of the artists
    heard. Or for all, but those outside the head that are forbidden."""
    plays = _Plays.of(statistics, own, np.ones((1, len(own)), np.float32))
    head = statistics.head
    further = statistics.tail if all_tracks else _of_interest_in_tail(statistics, plays)
    if forbidden is not None:
        further = further[~forbidden[further]]
    votes = np.zeros((1, len(SOURCES), len(head) + len(further)), np.float32)
    heard, places = _vote(statistics, plays, head, votes[:, :, : len(head)])
    tracks = head
    if len(further):
        more = _vote(statistics, plays, further, votes[:, :, len(head) :])
        heard = np.concatenate([heard, more[0]])
        places = np.concatenate([places, more[1] + len(head)])
        tracks = np.concatenate([head, further])
    # The tail has no votes by what is played together.
    together = votes[:, -len(TOGETHER) :, : len(head)].sum(2)
    totals = np.concatenate([_totals(statistics, plays), together], 1)
    return Votes(tracks, votes, totals, _most(statistics, plays), heard, places)


def votes_for(
    statistics: Statistics,
    own: Summary,
    kept: FloatArray,
    tracks: NDArray[np.integer],
    totals: FloatArray,
) -> Votes:
    """The votes of several imagined listeners for these tracks alone, ascending.

    kept: (v, n), 1 for those of the n tracks played that a listener has really played. totals:
    (1, len(SOURCES)), as ``votes_of`` has them: what goes by the tracks that are played together is
    divided by these, since to know its own it would have to look at all tracks.
    """
    plays = _Plays.of(statistics, own, kept)
    votes = np.zeros((len(kept), len(SOURCES), len(tracks)), np.float32)
    heard, places = _vote(statistics, plays, tracks, votes)
    together = np.repeat(totals[:, -len(TOGETHER) :], len(kept), 0)
    totals = np.concatenate([_totals(statistics, plays), together], 1)
    return Votes(tracks, votes, totals, _most(statistics, plays), heard, places)


class _Plays(NamedTuple):
    """What v listeners have played of the same n tracks, and what follows from it.

    tracks: (n,) ascending. counts: (v, len(OWN), n). different: (v, n), 1 for a track fully played.
    artists: (a,) those of the tracks and those that follow, ascending; of_artists: (v,
    len(BY_ARTIST), a) their weights. of_genres: (v, len(BY_GENRE), genres) the weights of genres.
    followers: (f,) the tracks that follow, ascending; following: (v, len(FOLLOWING), f).
    """

    tracks: NDArray[np.intp]
    counts: FloatArray
    different: FloatArray
    artists: NDArray[np.int32]
    of_artists: FloatArray
    of_genres: FloatArray
    followers: NDArray[np.int32]
    following: FloatArray

    @classmethod
    def of(cls, statistics: Statistics, own: Summary, kept: FloatArray) -> Self:
        counts = own.counts * kept[:, None]
        different, last = (own.plays > 0) * kept, own.last * kept
        weights = np.stack([counts[:, TASTE], last], 1).reshape(-1, len(own))
        followers = statistics.followers.of(weights, own.tracks)
        return cls(
            own.tracks,
            counts,
            different,
            *_artists_played(statistics, own.tracks, counts[:, TASTE], different, last),
            _genres_played(statistics, own.tracks, counts[:, 0]),
            followers.numbers,
            followers.weights.reshape(len(kept), len(FOLLOWING), -1),
        )


def _artists_played(
    statistics: Statistics,
    tracks: NDArray[np.intp],
    taste: FloatArray,
    different: FloatArray,
    last: FloatArray,
) -> tuple[NDArray[np.int32], FloatArray]:
    """By plays of late; by how many different tracks were played, squared: who plays many of an
    artist's tracks wants the others; and as what follows the artists of the last plays."""
    known = statistics.artist[tracks] >= 0
    of_tracks = statistics.artist[tracks][known]
    following = statistics.artist_followers.of(last[:, known], of_tracks)
    artists = _different(of_tracks, following.numbers)
    weights = np.zeros((len(taste), len(BY_ARTIST), len(artists)), np.float32)
    belongs = (of_tracks[:, None] == artists).astype(np.float32)
    weights[:, 0] = taste[:, known] @ belongs
    weights[:, 1] = (different[:, known] @ belongs) ** 2
    weights[:, 2, np.searchsorted(artists, following.numbers)] = following.weights
    return artists, weights


def _genres_played(
    statistics: Statistics, tracks: NDArray[np.intp], plays: FloatArray
) -> FloatArray:
    """Of the genres played; of those played more than by others; and of the one or two played most.
    The greatest weight of each is 1."""
    usual = statistics.of_genres[0]
    rows, genres, parts = statistics.genres.pairs(tracks)
    of_tracks = np.zeros((len(tracks), len(usual)), np.float32)
    of_tracks[rows, genres] = parts
    played = plays @ of_tracks
    excess = np.maximum(played - plays.sum(1, keepdims=True) * usual, 0)
    weights = np.stack([played**2, excess, played**4], 1) / np.maximum(usual, np.float32(1e-9))
    # Powers of large counts leave little room for the rest of a float.
    weights /= weights.max(2, keepdims=True, initial=_NOTHING)
    return np.asarray(weights, np.float32)


def _of_interest_in_tail(statistics: Statistics, plays: _Plays) -> NDArray[np.int32]:
    """What the listener has heard, what follows, and all tracks of the artists heard, as far as
    they are in the tail; ascending."""
    tracks = statistics.tail_by_artist
    if not len(tracks):
        return tracks
    starts = statistics.artist_starts
    heard = plays.artists[plays.of_artists[0, :2].any(0)]
    by_artist = [tracks[starts[artist] : starts[artist + 1]] for artist in heard]
    single = _different(plays.tracks, plays.followers).astype(np.int32)
    in_head, _ = find(statistics.head, single)
    return _different(single[~in_head], *by_artist)


def _different(*numbers: NDArray[np.integer]) -> NDArray[Any]:
    """All numbers once, ascending. Asked for no counts, NumPy would import its masked arrays, which
    takes a cold start 20 ms."""
    return np.unique(np.concatenate(numbers), return_counts=True)[0]


def _vote(
    statistics: Statistics, plays: _Plays, tracks: NDArray[np.integer], votes: FloatArray
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Fill in (v, len(SOURCES), n) votes, 0 so far, for n tracks, ascending; ``heard`` and
    ``places`` of ``Votes``."""
    ends = np.cumsum([len(group) for group in (COMMON, OWN, BY_ARTIST, BY_GENRE, FOLLOWING)])
    common, own, by_artist, by_genre, following, together = np.split(votes, ends, 1)
    common[:] = shares = statistics.common_of(tracks)
    recent, fashion = shares[RECENT], shares[WEEK] / shares[YEAR]
    found, places = find(tracks, plays.tracks)
    own[:, :, places] = plays.counts[:, :, found]
    _vote_by_artist(statistics, plays, tracks, shares[YEAR], recent, by_artist)
    _vote_by_genre(statistics, plays, tracks, recent, by_genre)
    _vote_together(statistics, plays, tracks, fashion, together)
    follows, after = find(tracks, plays.followers)
    following[:, :, after] = plays.following[:, :, follows]
    return np.flatnonzero(found), places


def _vote_by_artist(
    statistics: Statistics,
    plays: _Plays,
    tracks: NDArray[np.integer],
    year: FloatArray,
    recent: FloatArray,
    votes: FloatArray,
) -> None:
    """Tracks of artists: by their popularity among the artist's; where the artist's other tracks
    are wanted, by the square root of it, so that the less played ones have a part."""
    popular, roots = statistics.of_artists
    # The last place stands for no artist.
    place = np.full(len(popular) + 1, -1, np.int32)
    place[plays.artists] = np.arange(len(plays.artists))
    places = place[statistics.artist[tracks]]
    found = np.flatnonzero(places >= 0)
    places = places[found]
    artists, weights = plays.artists[places], plays.of_artists[:, :, places]
    weights[:, [0, 2]] *= year[found] / popular[artists]
    weights[:, 1] *= np.sqrt(recent[found]) / roots[artists]
    votes[:, :, found] = weights


def _vote_by_genre(
    statistics: Statistics,
    plays: _Plays,
    tracks: NDArray[np.integer],
    recent: FloatArray,
    votes: FloatArray,
) -> None:
    """What is played of the genres played."""
    listeners, rows, genres = plays.of_genres.shape
    weights = plays.of_genres.reshape(listeners * rows, genres)
    votes[:] = statistics.by_genre(tracks, weights).reshape(votes.shape)
    votes *= recent
    votes[:, 1] /= np.sqrt(recent)


def _vote_together(
    statistics: Statistics,
    plays: _Plays,
    tracks: NDArray[np.integer],
    fashion: FloatArray,
    votes: FloatArray,
) -> None:
    """What goes with what was played, for the head's tracks alone: neighbours of what was played,
    by counts and of late; factors; broad taste. In fashion: multiplied by how much more a track is
    played this week than in the year."""
    counted, rows = find(statistics.head, plays.tracks)
    if not len(rows):
        return
    whole = tracks is statistics.head
    inside, places = (slice(None), None) if whole else find(statistics.head, tracks)
    different = plays.different[:, counted]
    counts = np.log1p(plays.counts[:, 0, counted]), plays.counts[:, TASTE, counted]
    by_neighbours = _by_neighbours(statistics, rows, np.concatenate(counts), places)
    votes[:, 0, inside], votes[:, 1, inside] = np.split(by_neighbours, 2)
    votes[:, 3, inside] = _by_factors(statistics, rows, different, places)
    votes[:, 4, inside] = _by_patterns(statistics.patterns, rows, different, places)
    np.maximum(votes, 0, out=votes)
    votes[:, [2, 5]] = votes[:, [0, 4]] * fashion


# In the following, rows: (n,) the places in the head of the tracks that were played; weights: (v,
# n) of these; asked: (m,) the places of those that are asked for, None for all.


def _by_neighbours(
    statistics: Statistics,
    rows: NDArray[np.intp],
    weights: FloatArray,
    asked: NDArray[np.intp] | None,
) -> FloatArray:
    """(v, m): what the plays speak for."""
    neighbours = statistics.neighbours
    votes = neighbours.vectors.products(weights @ neighbours.vectors.at(rows), asked)
    itself = weights * statistics.neighbour_lengths[rows]
    if asked is None:
        votes[:, rows] -= itself
        return votes * neighbours.gain
    found, places = find(rows, asked)
    votes[:, found] -= itself[:, places]
    return votes * neighbours.gain[asked]


def _by_factors(
    statistics: Statistics,
    rows: NDArray[np.intp],
    weights: FloatArray,
    asked: NDArray[np.intp] | None,
) -> FloatArray:
    """(v, m): by the listeners' factors. These follow in closed form from what they played (Hu,
    Koren & Volinsky, 2008), ``(V'V + c V'WV + l I) p = (1 + c) V'w``, so that nothing of a listener
    has to be stored."""
    factors = statistics.factors.at(rows)
    grams = statistics.gram + CONFIDENCE * ((weights[:, None] * factors.T) @ factors)
    targets = (1 + CONFIDENCE) * (weights @ factors)
    listeners = np.linalg.solve(grams, targets[:, :, None])[:, :, 0]
    return statistics.factors.products(listeners, asked)


def _by_patterns(
    patterns: Patterns,
    rows: NDArray[np.intp],
    weights: FloatArray,
    asked: NDArray[np.intp] | None,
) -> FloatArray:
    """(v, m): the plays with all but the broadest patterns taken out, the ideal low-pass filter of
    GF-CF (Shen et al., 2021)."""
    votes = patterns.vectors.products(weights @ patterns.vectors.at(rows), asked)
    return votes * (patterns.gain if asked is None else patterns.gain[asked])


def _totals(statistics: Statistics, plays: _Plays) -> FloatArray:
    """(v, all sources but TOGETHER) what the votes of all tracks add up to, in closed form."""
    popular, roots = statistics.of_genres
    genre, excess, main = np.moveaxis(plays.of_genres, 1, 0)
    by_genre = np.stack([genre @ popular, excess @ roots, main @ popular], 1)
    common = np.ones((len(plays.counts), len(COMMON)), np.float32)
    own, by_artist, following = (
        votes.sum(2) for votes in (plays.counts, plays.of_artists, plays.following)
    )
    return np.concatenate([common, own, by_artist, by_genre, following], 1)


def _most(statistics: Statistics, plays: _Plays) -> FloatArray:
    """(v, len(SOURCES)) the votes that a track of the tail has at most that is not of interest."""
    most = np.zeros((len(plays.counts), len(SOURCES)), np.float32)
    most[:, : len(COMMON)] = statistics.most_common_in_tail
    popular = statistics.most_in_tail_by_genre
    genre, excess, main = np.moveaxis(plays.of_genres, 1, 0)
    by_genre = np.stack([genre * popular, excess * np.sqrt(popular), main * popular], 1)
    by_artist = plays.of_artists[:, -1] * statistics.most_in_tail_by_artist[plays.artists]
    most[:, SOURCES.index(BY_ARTIST[-1])] = by_artist.max(1, initial=0)
    start = SOURCES.index(BY_GENRE[0])
    most[:, start : start + len(BY_GENRE)] = by_genre.max(2, initial=0)
    return most
