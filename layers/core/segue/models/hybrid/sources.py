"""Where a listener's next play may come from: for every source, a share of each track.

A source is a distribution over the catalogue: what everybody plays, what this listener plays, other
tracks of their artists, and so on. The hybrid is a mixture of them. Training and serving compute
them here, from the same arrays; ``training/models/hybrid/collaborative.py`` fits these.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray
from segue.features.listeners import History
from segue.models.hybrid.statistics import (
    CONFIDENCE,
    RECENT,
    WEEK,
    WINDOWS,
    YEAR,
    Neighbours,
    Patterns,
    Statistics,
)

# The same for everybody: popularity by window, the charts (squared, so that few tracks have most),
# and chance, from which any track may come.
COMMON = (*(f"popularity of {days} days" for days in WINDOWS), "charts", "week's charts", "chance")
# The listener's own.
OWN = (
    "own plays", "own plays of two months", "own plays of two weeks", "own plays of a day",
    "started", "liked",
)  # fmt: skip
BY_ARTIST = ("artist", "artist of late", "artist by tracks")
BY_GENRE = ("genre", "genre by excess", "main genre")
TOGETHER = (
    "neighbours", "neighbours by count", "neighbours of late", "neighbours sharpened",
    "neighbours in fashion",
    "factors", "factors sharpened",
    "broad taste", "broad taste sharpened", "broad taste in fashion",
)  # fmt: skip
SOURCES = COMMON + OWN + BY_ARTIST + BY_GENRE + TOGETHER

# After so many days a play tells half as much: one's stock, one's current taste, one's mood.
_STOCK, _TASTE, _MOOD = 60.0, 14.0, 1.0
# A heard track is fresh for about a week.
_FRESH = 7.0
# Where nothing is known, shares are not divided by it.
_NOTHING = 1e-12


@dataclass(frozen=True)
class Summary:
    """A listener's different tracks, (n,) ascending positions, and for each of them, (n,) float32:
    full plays in all, with slow, middling and fast forgetting; starts and likes, with slow
    forgetting; skips likewise; and how fresh the last play is."""

    tracks: NDArray[np.intp]
    plays: FloatArray
    stock: FloatArray
    taste: FloatArray
    mood: FloatArray
    starts: FloatArray
    likes: FloatArray
    skips: FloatArray
    fresh: FloatArray

    def without(self, place: int) -> "Summary":
        """As if the track at this place had never been played."""
        return Summary(*(np.delete(getattr(self, one.name), place) for one in fields(self)))


def summarise(history: History) -> Summary:
    """Sum a history up by track."""
    tracks, of_play = np.unique(history.tracks, return_inverse=True)

    def total(weights: NDArray[np.generic]) -> FloatArray:
        return np.bincount(of_play, weights, len(tracks)).astype(np.float32)

    completed = history.completed.astype(np.float32)
    slow = history.recency(_STOCK)
    fresh = np.zeros(len(tracks), np.float32)
    np.maximum.at(fresh, of_play, history.recency(_FRESH))
    return Summary(
        tracks=tracks.astype(np.intp),
        plays=total(completed),
        stock=total(completed * slow),
        taste=total(completed * history.recency(_TASTE)),
        mood=total(completed * history.recency(_MOOD)),
        starts=total(slow),
        likes=total(history.liked * slow),
        skips=total((1 - completed) * slow),
        fresh=fresh,
    )


@dataclass(frozen=True)
class Votes:
    """What each source says for some tracks; divided by its total, a vote is a share.

    tracks: (n,) positions, in any order. votes: (len(SOURCES), n) float32. totals: (len(SOURCES),)
    what those of all tracks of the catalogue add up to. most: (len(SOURCES),) what any other track
    has at most. A source of which nothing is known for this listener, such as likes of one who
    never liked, has a total of 0: popularity stands in for it. heard: those of the listener's
    tracks, by their places in the summary, that are among ``tracks``; places: where.
    """

    tracks: NDArray[np.integer]
    votes: FloatArray
    totals: FloatArray
    most: FloatArray
    heard: NDArray[np.intp]
    places: NDArray[np.intp]

    @property
    def shares(self) -> FloatArray:
        """(len(SOURCES), n)."""
        known = self.totals > _NOTHING
        totals: FloatArray = np.where(known, self.totals, np.float32(1)).astype(np.float32)
        shares = self.votes / totals[:, None]
        shares[~known] = shares[RECENT]
        return shares

    def weights(self, parts: FloatArray) -> FloatArray:
        """(len(SOURCES),) what a vote of each counts for, where these are the parts of a mixture:
        ``weights @ votes`` are the shares of the tracks, and no other track has more than ``weights
        @ most``."""
        known = self.totals > _NOTHING
        weights = np.where(known, parts, 0) / np.where(known, self.totals, 1)
        weights[RECENT] += parts[~known].sum()
        return weights.astype(np.float32)


def votes_of(statistics: Statistics, own: Summary, *, all_tracks: bool = False) -> Votes:
    """The votes for all tracks that more than what is the same for everybody, and genres, speak
    for: the head, what the listener has heard, and the tracks of the artists heard. Or for all."""
    head = statistics.head
    further = statistics.tail if all_tracks else _of_interest_in_tail(statistics, own)
    votes = np.zeros((len(SOURCES), len(head) + len(further)), np.float32)
    heard, places = _vote(statistics, own, head, votes[:, : len(head)])
    tracks = head
    if len(further):
        more = _vote(statistics, own, further, votes[:, len(head) :])
        heard = np.concatenate([heard, more[0]])
        places = np.concatenate([places, more[1] + len(head)])
        tracks = np.concatenate([head, further])
    totals = _totals(statistics, own)
    # The tail has no votes by what is played together.
    totals[-len(TOGETHER) :] = votes[-len(TOGETHER) :].sum(1)
    return Votes(tracks, votes, totals, _most(statistics, own), heard, places)


def votes_for(
    statistics: Statistics, own: Summary, tracks: NDArray[np.integer], totals: FloatArray
) -> Votes:
    """The votes for these tracks alone, ascending; what goes by the tracks that are played together
    is divided by the given totals, since to know its own it would have to look at all tracks."""
    votes = np.zeros((len(SOURCES), len(tracks)), np.float32)
    heard, places = _vote(statistics, own, tracks, votes)
    known = _totals(statistics, own)
    known[-len(TOGETHER) :] = totals[-len(TOGETHER) :]
    return Votes(tracks, votes, known, _most(statistics, own), heard, places)


def _of_interest_in_tail(statistics: Statistics, own: Summary) -> NDArray[np.int32]:
    """What the listener has heard, and all tracks of the artists heard, as far as they are in the
    tail; ascending."""
    if not len(statistics.tail):
        return statistics.tail
    tracks, artists = statistics.tail_by_artist
    heard, _ = _artists_played(statistics, own)
    starts, ends = (np.searchsorted(artists, heard, side) for side in ("left", "right"))
    by_artist = [tracks[start:end] for start, end in zip(starts, ends, strict=True)]
    in_head, _ = _find(statistics.head, own.tracks)
    return np.unique(np.concatenate([own.tracks[~in_head].astype(np.int32), *by_artist]))


def _find(
    tracks: NDArray[np.integer], wanted: NDArray[np.integer]
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which of the wanted tracks are among others, ascending, and the places of those."""
    places = np.minimum(np.searchsorted(tracks, wanted), max(len(tracks) - 1, 0))
    found = tracks[places] == wanted if len(tracks) else np.zeros(len(wanted), np.bool_)
    return found, places[found]


def _vote(
    statistics: Statistics, own: Summary, tracks: NDArray[np.integer], votes: FloatArray
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Fill in (len(SOURCES), n) votes, 0 so far, for n tracks, ascending; ``heard`` and ``places``
    of ``Votes``."""
    ends = np.cumsum([len(group) for group in (COMMON, OWN, BY_ARTIST, BY_GENRE)])
    common, by_own, by_artist, by_genre, together = np.split(votes, ends)
    common[:] = statistics.common_of(tracks)
    found, places = _find(tracks, own.tracks)
    by_own[:, places] = _counts(own)[:, found]
    recent, fashion = common[RECENT], common[WEEK] / common[YEAR]
    _vote_by_artist(statistics, own, tracks, recent, by_artist)
    _vote_by_genre(statistics, own, tracks, recent, by_genre)
    _vote_together(statistics, own, tracks, fashion, together)
    return np.flatnonzero(found), places


def _counts(own: Summary) -> FloatArray:
    """(len(OWN), n)."""
    return np.stack([own.plays, own.stock, own.taste, own.mood, own.starts, own.likes])


def _vote_by_artist(
    statistics: Statistics,
    own: Summary,
    tracks: NDArray[np.integer],
    recent: FloatArray,
    votes: FloatArray,
) -> None:
    """Other tracks of the artists played, also of late; and by how many different tracks of each
    were played, squared: who plays many of an artist's tracks wants the others. Among an artist's
    tracks by the square root of popularity, so that the less played ones have a part."""
    artists, weights = _artists_played(statistics, own)
    found, places = _find(artists, statistics.artist[tracks])
    within = np.sqrt(recent[found]) / statistics.of_artists[artists[places]]
    votes[:, found] = weights[:, places] * within


def _artists_played(statistics: Statistics, own: Summary) -> tuple[NDArray[np.int32], FloatArray]:
    """Which artists, ascending; and their weights, (len(BY_ARTIST), artists)."""
    artists, places = np.unique(statistics.artist[own.tracks], return_inverse=True)
    counts = (own.plays, own.taste, own.plays > 0)
    weights = np.stack([np.bincount(places, of, len(artists)) for of in counts])
    weights[2] **= 2
    known = artists >= 0
    return artists[known], weights[:, known].astype(np.float32)


def _vote_by_genre(
    statistics: Statistics,
    own: Summary,
    tracks: NDArray[np.integer],
    recent: FloatArray,
    votes: FloatArray,
) -> None:
    """What is played of the genres played; of those played more than by others; and of the one or
    two played most."""
    rows, genres, parts = statistics.genre_pairs(tracks)
    for row, weights in enumerate(_genres_played(statistics, own)):
        votes[row] = np.bincount(rows, weights[genres] * parts, len(tracks))
    votes *= recent
    votes[1] /= np.sqrt(recent)


def _genres_played(statistics: Statistics, own: Summary) -> FloatArray:
    """(len(BY_GENRE), genres) the weights of the genres, the greatest being 1."""
    usual = statistics.of_genres[0]
    rows, genres, parts = statistics.genres.pairs(own.tracks)
    plays = np.bincount(genres, own.plays[rows] * parts, len(usual)).astype(np.float32)
    excess = np.maximum(plays - own.plays.sum() * usual, 0)
    weights = np.stack([plays**2, excess, plays**4]) / np.maximum(usual, np.float32(1e-9))
    # Powers of large counts leave little room for the rest of a float.
    weights /= weights.max(1, keepdims=True, initial=_NOTHING)
    return np.asarray(weights, np.float32)


def _vote_together(
    statistics: Statistics,
    own: Summary,
    tracks: NDArray[np.integer],
    fashion: FloatArray,
    votes: FloatArray,
) -> None:
    """What goes with what was played, for the head's tracks alone. Neighbours, each track played
    alike, by their counts, and by those of late; factors; broad taste. Sharpened is squared; in
    fashion, multiplied by how much more a track is played this week than in the year."""
    played = own.plays > 0
    counted, rows = _find(statistics.head, own.tracks[played])
    if not len(rows):
        return
    whole = tracks is statistics.head
    inside, places = (slice(None), None) if whole else _find(statistics.head, tracks)
    plays, taste = own.plays[played][counted], own.taste[played][counted]
    each = np.stack([np.ones_like(plays), np.log1p(plays), taste])
    votes[0:3, inside] = _by_neighbours(statistics.neighbours, rows, each, places)
    votes[5, inside] = _by_factors(statistics, rows, places)
    votes[7, inside] = _by_patterns(statistics.patterns, rows, places)
    np.maximum(votes, 0, out=votes)
    votes[[3, 6, 8]] = votes[[1, 5, 7]] ** 2
    votes[[4, 9]] = votes[[1, 7]] * fashion


# In the following, rows: (n,) the places in the head of the tracks that were played; asked: (m,) of
# those that are asked for, None for all.


def _by_neighbours(
    neighbours: Neighbours,
    rows: NDArray[np.intp],
    each: FloatArray,
    asked: NDArray[np.intp] | None,
) -> FloatArray:
    """(3, m): what the plays speak for, each of them as much as in each of the (3, n) rows."""
    votes = neighbours.vectors.products(each @ neighbours.vectors.at(rows), asked)
    itself = each * neighbours.lengths[rows]
    if asked is None:
        votes[:, rows] -= itself
        return votes * neighbours.gain
    found, places = _find(rows, asked)
    votes[:, found] -= itself[:, places]
    return votes * neighbours.gain[asked]


def _by_factors(
    statistics: Statistics, rows: NDArray[np.intp], asked: NDArray[np.intp] | None
) -> FloatArray:
    """(m,): by the listener's factors. These follow in closed form from what they played (Hu, Koren
    & Volinsky, 2008), ``(V'V + c V'WV + l I) p = (1 + c) V'w``, so that nothing of a listener has
    to be stored."""
    factors = statistics.factors.at(rows)
    gram = statistics.gram + CONFIDENCE * factors.T @ factors
    listener = np.linalg.solve(gram, (1 + CONFIDENCE) * factors.sum(0))
    votes: FloatArray = statistics.factors.products(listener[None], asked)[0]
    return votes


def _by_patterns(
    patterns: Patterns, rows: NDArray[np.intp], asked: NDArray[np.intp] | None
) -> FloatArray:
    """(m,): the plays with all but the broadest patterns taken out, the ideal low-pass filter of
    GF-CF (Shen et al., 2021)."""
    listener = patterns.vectors.at(rows).sum(0, keepdims=True)
    gain = patterns.gain if asked is None else patterns.gain[asked]
    votes: FloatArray = patterns.vectors.products(listener, asked)[0] * gain
    return votes


def _totals(statistics: Statistics, own: Summary) -> FloatArray:
    """(len(SOURCES),) what the votes of all tracks add up to, in closed form; 0 for TOGETHER."""
    _, artists = _artists_played(statistics, own)
    genre, excess, main = _genres_played(statistics, own)
    popular, roots = statistics.of_genres
    totals = [
        *np.ones(len(COMMON)),
        *_counts(own).sum(1),
        *artists.sum(1),
        *(genre @ popular, excess @ roots, main @ popular),
        *np.zeros(len(TOGETHER)),
    ]
    return np.array(totals, np.float32)


def _most(statistics: Statistics, own: Summary) -> FloatArray:
    """(len(SOURCES),) the votes that a track of the tail has at most, if the listener has played
    nothing of its artist."""
    most = np.zeros(len(SOURCES), np.float32)
    most[: len(COMMON)] = statistics.most_common_in_tail
    genre, excess, main = _genres_played(statistics, own)
    popular = statistics.most_in_tail_by_genre
    by_genre = [genre * popular, excess * np.sqrt(popular), main * popular]
    start = SOURCES.index(BY_GENRE[0])
    most[start : start + len(BY_GENRE)] = np.max(by_genre, axis=1, initial=0)
    return most
