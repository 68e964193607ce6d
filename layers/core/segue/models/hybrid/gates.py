"""How the sources are mixed for a listener, and how readily they repeat what they have heard."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray
from segue.features.listeners import History
from segue.models.hybrid.statistics import Statistics, find
from segue.models.hybrid.summary import Summary

# What lets a track be repeated more or less than its share says: that it was heard, how fresh the
# last play is, how often it was skipped, how often it was fully played.
REPEATS = 4

# What tells one kind of listener from another: a constant, how much they play, how much of it
# again, how much of it is what everybody plays, how much they skip, how wide their taste is in
# genres and in artists, how much of the last week they knew before, how long they have been away.
TRAITS = 9
# Days.
_LAST_WEEK = 7.0

# Neither a trait nor what it does to a repeat may run away.
MOST_DEVIATIONS = 3.0
MOST_REPEAT = 8.0


@dataclass(frozen=True)
class Gates:
    """How much of each source a listener gets, and how readily they repeat.

    centre, spread: (TRAITS,) of the traits it was fitted on. shares: (len(SOURCES), TRAITS), from
    scaled traits to the logits of the sources. repeats: (REPEATS, TRAITS), from scaled traits to
    what each count adds to the logarithm of a heard track's share.
    """

    centre: FloatArray
    spread: FloatArray
    shares: FloatArray
    repeats: FloatArray

    def scaled(self, traits: FloatArray) -> FloatArray:
        """(TRAITS,) the traits in deviations from the mean; the first stays 1."""
        deviations = (traits - self.centre) / self.spread
        scaled: FloatArray = np.clip(deviations, -MOST_DEVIATIONS, MOST_DEVIATIONS)
        scaled[0] = 1
        return scaled

    def parts(self, scaled: FloatArray) -> FloatArray:
        """(len(SOURCES),) each source's part in the mixture."""
        logits = self.shares @ scaled
        parts: FloatArray = np.exp(logits - logits.max())
        parts /= parts.sum()
        return parts

    def readiness(self, scaled: FloatArray, counts: FloatArray) -> FloatArray:
        """(n,) what the shares of heard tracks are multiplied by; counts: (n, REPEATS)."""
        exponents = np.clip(counts @ (self.repeats @ scaled), -MOST_REPEAT, MOST_REPEAT)
        factors: FloatArray = np.exp(exponents)
        return factors


def repeats(own: Summary) -> FloatArray:
    """(n, REPEATS) float32, of the listener's tracks."""
    heard = np.ones_like(own.fresh)
    return np.stack([heard, own.fresh, np.log1p(own.skips), np.log1p(own.plays)], 1)


def traits(statistics: Statistics, history: History, own: Summary) -> FloatArray:
    """(TRAITS,) float32, of a history and its summary; the first is 1."""
    tracks = own.tracks
    return np.array(
        [
            1.0,
            np.log1p(len(history)) / 5.0,
            1 - len(tracks) / len(history),
            find(statistics.chart, tracks)[0].mean(),
            1 - history.completed.mean(),
            _width_in_genres(statistics, history),
            _width_in_artists(statistics, tracks),
            _known_of_late(history),
            np.log1p(history.age.min()),
        ],
        np.float32,
    )


def _width_in_genres(statistics: Statistics, history: History) -> float:
    """The entropy of the genres played, 1 being all genres evenly. A play counts for each genre of
    its track in equal parts."""
    _, genres, parts = statistics.genres.pairs(history.tracks)
    plays = np.bincount(genres, parts)
    shares = plays[plays > 0] / max(float(plays.sum()), 1e-9)
    return float(-(shares * np.log(shares)).sum() / np.log(max(len(statistics.genres.names), 2)))


def _width_in_artists(statistics: Statistics, tracks: NDArray[np.intp]) -> float:
    """How many artists there are to a track."""
    artists = statistics.artist[tracks]
    artists = artists[artists >= 0]
    return len(set(artists.tolist())) / max(len(artists), 1)


def _known_of_late(history: History) -> float:
    """The share of the last week's plays whose track had been played before it."""
    late = history.age <= _LAST_WEEK
    before = set(history.tracks[~late].tolist())
    known = [track in before for track in history.tracks[late].tolist()]
    return sum(known) / max(len(known), 1)
