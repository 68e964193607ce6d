"""Training of model 3: what listeners chose in the month ahead, from what was known before it."""

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from segue.domain.errors import InvalidData
from segue.domain.times import DAY, format_time
from segue.models.hybrid.gates import REPEATS, repeats, traits
from segue.models.hybrid.model import Hybrid
from segue.models.hybrid.sources import Votes, votes_of
from segue.models.hybrid.statistics import Statistics
from segue.models.hybrid.summary import summarise
from training.catalogue import EncodedCatalogue
from training.histories import read_plays
from training.models.hybrid.collaborative import Tracks, fit_statistics
from training.models.hybrid.mixture import Example, TrainedMixture, fit_mixture
from training.past import Past, past_at
from training.plays import Plays
from training.progress import Progress

HISTORY_DAYS = Hybrid.history_days
# The month ahead; shorter where the data is: a third of it.
SPAN = 30 * DAY
# So many listeners to learn from, at as few moments as give them, for the last is most like today:
# at most so many, a quarter of a span apart.
LISTENERS = 900
MOMENTS = 3
# Candidates for the head of a list: so many of each source, beside what was heard.
CANDIDATES = 20
# Without times, so much of what each listener played is what they "will" play.
HELD_OUT = 0.2


@dataclass(frozen=True)
class Moment:
    """What was known at a moment, and what each of its users fully played after it.

    user, track: (pairs,) int64, positions in ``past.users`` and in the catalogue, ascending.
    """

    past: Past
    user: NDArray[np.int64]
    track: NDArray[np.int64]

    def chosen(self, user: int) -> NDArray[np.int64]:
        """The tracks of one of the users, ascending."""
        start, end = np.searchsorted(self.user, [user, user + 1])
        return self.track[start:end]


@dataclass(frozen=True)
class TrainedHybrid:
    """The gates, and the statistics at the cut-off."""

    mixture: TrainedMixture
    statistics: Statistics


def train_hybrid(
    connection: duckdb.DuckDBPyConnection,
    encoded: EncodedCatalogue,
    cutoff: int,
    seed: int,
    progress: Progress,
) -> TrainedHybrid:
    """Learn the mixture at earlier moments, at which the statistics are fitted anew, each time on
    what came before; then fit the statistics at the cut-off. Raises InvalidData without plays."""
    tracks = Tracks.of(encoded)
    users, plays = read_plays(connection, encoded.catalogue)
    today = past_at(users, plays, cutoff, HISTORY_DAYS)
    if not len(today.owner):
        raise InvalidData(f"nobody played anything in the year before {format_time(cutoff)}")
    random = np.random.default_rng(seed)
    examples: list[Example] = []
    for done, moment in enumerate(_moments(users, plays, today, random)):
        examples += _examples(moment, tracks, today, LISTENERS - len(examples), random)
        progress("hybrid", done + 1, MOMENTS + 2)
        if len(examples) == LISTENERS:
            break
    if not examples:
        raise InvalidData(
            "no listener played anything in two stretches of time before the cut-off; "
            "if a stray event lies far after all others, name a cut-off yourself"
        )
    mixture = fit_mixture(examples)
    progress("hybrid", MOMENTS + 1, MOMENTS + 2)
    trained = TrainedHybrid(mixture, fit_statistics(tracks, today))
    progress("hybrid", MOMENTS + 2, MOMENTS + 2)
    return trained


def _examples(
    moment: Moment, tracks: Tracks, today: Past, most: int, random: np.random.Generator
) -> Iterator[Example]:
    users = np.sort(random.permutation(np.unique(moment.user))[:most])
    statistics = fit_statistics(tracks, moment.past)
    everybody = np.searchsorted(today.users, moment.past.users[users])
    for user, number in zip(users.tolist(), everybody.tolist(), strict=True):
        yield _example(moment, statistics, user, number)


def _example(moment: Moment, statistics: Statistics, user: int, number: int) -> Example:
    history = moment.past.history(user)
    own = summarise(history)
    votes = votes_of(statistics, own)
    places = _candidates(votes)
    tracks = votes.tracks[places]
    heard = np.isin(places, votes.places)
    counts = np.zeros((len(places), REPEATS), np.float32)
    counts[heard] = repeats(own)[votes.heard[np.argsort(votes.places)]]
    return Example(
        shares=np.ascontiguousarray(votes.shares[:, places].T),
        repeats=counts,
        chosen=np.isin(tracks, moment.chosen(user)),
        heard=heard,
        traits=traits(statistics, history, own),
        user=number,
    )


def _candidates(votes: Votes) -> NDArray[np.intp]:
    """The places of the heard tracks, and of all others the first by each source; ascending."""
    others = votes.votes[0].copy()
    others[:, votes.places] = 0
    first = min(CANDIDATES, others.shape[1])
    best = np.argpartition(others, -first, axis=1)[:, -first:]
    found: NDArray[np.intp] = np.union1d(votes.places, best)
    return found


def _moments(
    users: NDArray[np.str_], plays: Plays, today: Past, random: np.random.Generator
) -> Iterator[Moment]:
    reach = int(today.age.max() * DAY)
    if today.age.max() == today.age.min():
        for _ in range(MOMENTS):
            yield _held_out(today, random)
        return
    span = min(SPAN, reach // 3)
    for back in range(MOMENTS):
        as_of = today.as_of - span - back * span // 4
        yield _earlier(past_at(users, plays, as_of, HISTORY_DAYS), today, span)


def _earlier(past: Past, today: Past, span: int) -> Moment:
    """What happened in the ``span`` from the past's moment on, as far as that is known today."""
    age = (today.as_of - past.as_of) / DAY
    after = today.completed & (today.age <= age) & (today.age > age - span / DAY)
    # Both lists of users are sorted; somebody who is new since has no history to go by.
    places = np.minimum(np.searchsorted(past.users, today.users), max(len(past.users) - 1, 0))
    known = np.isin(today.users, past.users)
    after &= known[today.owner]
    return _moment(past, places[today.owner[after]], today.tracks[after], len(past.users))


def _held_out(today: Past, random: np.random.Generator) -> Moment:
    tracks = int(today.tracks.max()) + 1
    pairs, of_play = np.unique(
        today.owner.astype(np.int64) * tracks + today.tracks, return_inverse=True
    )
    held = (random.random(len(pairs)) < HELD_OUT)[of_play]
    past = today.only(~held)
    future = held & today.completed
    return _moment(past, today.owner[future], today.tracks[future], len(today.users))


def _moment(
    past: Past, user: NDArray[np.integer], track: NDArray[np.integer], users: int
) -> Moment:
    """The different pairs of those who have a past."""
    active = np.bincount(past.owner, minlength=users) > 0
    pairs = np.unique(np.stack([user, track], 1)[active[user]].astype(np.int64), axis=0)
    return Moment(past, pairs[:, 0], pairs[:, 1])
