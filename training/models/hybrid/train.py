"""Training of model 3: what listeners chose in the month ahead, from what was known before it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.domain.errors import InvalidData
from segue.domain.times import DAY, format_time
from segue.features.encoder import FloatArray
from segue.features.listeners import History
from segue.models.hybrid.gates import REPEATS, TRAITS, Gates, repeats, traits
from segue.models.hybrid.model import Hybrid
from segue.models.hybrid.sources import SOURCES, Votes, votes_of
from segue.models.hybrid.statistics import WINDOWS, Statistics
from segue.models.hybrid.summary import summarise
from segue.models.ranked import best
from training.catalogue import EncodedCatalogue
from training.counts import CountAt
from training.histories import history_at
from training.models.hybrid.collaborative import Tracks, fit_statistics
from training.models.hybrid.mixture import Example, fit_mixture
from training.plays import Plays
from training.progress import Progress

HISTORY_DAYS = Hybrid.history_days
# The month ahead; shorter where the data is: a third of it.
SPAN = 30 * DAY
# So many listeners to learn from, at as few moments as give them, for the last is most like today:
# at most so many, a quarter of a span apart.
LISTENERS = 1_800
MOMENTS = 3
# All that is looked at lies within so many days before the cut-off: the earliest moment is a span
# and a half before it.
DAYS = HISTORY_DAYS + 45
# Candidates for the head of a list: so many of each source, beside what was heard.
CANDIDATES = 20
# Without times, so much of what each listener played is what they "will" play.
HELD_OUT = 0.2


@dataclass(frozen=True)
class Moment:
    """What was known at a moment, and what those who had played something fully played after it.

    full: (tracks, len(WINDOWS)), everybody's full plays, as in ``Counts``. user, track: (pairs,)
    int32, as in ``past``, ascending.
    """

    as_of: int
    past: Plays
    full: NDArray[np.int64]
    user: NDArray[np.int32]
    track: NDArray[np.int32]

    def history(self, user: int) -> History:
        """The plays of a user."""
        return history_at(self.past.of(user), self.as_of)

    def chosen(self, user: int) -> NDArray[np.int32]:
        """The tracks of a user, ascending."""
        start, end = np.searchsorted(self.user, [user, user + 1])
        return self.track[start:end]


@dataclass(frozen=True)
class TrainedHybrid:
    """The gates; their losses, for the manifest, empty where there was nothing to learn them from;
    and the statistics at the cut-off."""

    gates: Gates
    metrics: Mapping[str, float | int]
    statistics: Statistics


def train_hybrid(
    plays: Plays,
    counted: CountAt,
    encoded: EncodedCatalogue,
    cutoff: int,
    seed: int,
    progress: Progress,
    last: Gates | None = None,
) -> TrainedHybrid:
    """Learn the mixture at earlier moments, at which the statistics are fitted anew, each time on
    what came before; then fit the statistics at the cut-off. counted: everybody's plays. last:
    the gates of an earlier training, to begin with. Where nobody listened both before and after
    such a moment, all sources count alike. Raises InvalidData without plays."""
    tracks = Tracks.of(encoded)
    today = plays.known_at(cutoff, HISTORY_DAYS)
    if not len(today):
        raise InvalidData(f"nobody played anything in the year before {format_time(cutoff)}")
    random = np.random.default_rng(seed)
    examples: list[Example] = []
    for done, moment in enumerate(_moments(plays, today, counted, cutoff, random)):
        examples += _examples(moment, tracks, LISTENERS - len(examples), random)
        progress("hybrid", done + 1, MOMENTS + 2)
        if len(examples) == LISTENERS:
            break
    gates, metrics = _even_gates(), {}
    if examples:
        mixture = fit_mixture(examples, last)
        gates, metrics = mixture.gates, mixture.metrics()
    progress("hybrid", MOMENTS + 1, MOMENTS + 2)
    statistics = fit_statistics(tracks, today, counted(cutoff).full)
    trained = TrainedHybrid(gates, metrics, statistics)
    progress("hybrid", MOMENTS + 2, MOMENTS + 2)
    return trained


def _even_gates() -> Gates:
    """All sources alike, for everybody."""
    return Gates(
        centre=np.zeros(TRAITS, np.float32),
        spread=np.ones(TRAITS, np.float32),
        shares=np.zeros((len(SOURCES), TRAITS), np.float32),
        repeats=np.zeros((REPEATS, TRAITS), np.float32),
    )


def _examples(
    moment: Moment, tracks: Tracks, most: int, random: np.random.Generator
) -> Iterator[Example]:
    users = np.sort(random.permutation(np.unique(moment.user))[:most])
    statistics = fit_statistics(tracks, moment.past, moment.full)
    for user in users.tolist():
        yield _example(moment, statistics, user)


def _example(moment: Moment, statistics: Statistics, user: int) -> Example:
    history = moment.history(user)
    own = summarise(history)
    votes = votes_of(statistics, own)
    places = _candidates(votes)
    tracks = votes.tracks[places]
    heard = np.isin(places, votes.places)
    counts = np.zeros((REPEATS, len(places)), np.float32)
    counts[:, heard] = repeats(own)[votes.heard[np.argsort(votes.places)]].T
    return Example(
        shares=votes.shares[:, places],
        repeats=counts,
        chosen=np.isin(tracks, moment.chosen(user)),
        heard=heard,
        traits=traits(statistics, history, own),
        user=user,
    )


def _candidates(votes: Votes) -> NDArray[np.intp]:
    """The places of the heard tracks, and of all others the first by each source, as far as it has
    any to name; ascending."""
    others = votes.votes[0].copy()
    others[:, votes.places] = 0
    firsts = [first_named(source, CANDIDATES) for source in others]
    return np.unique(np.concatenate([votes.places, *firsts]))


def first_named(
    shares: FloatArray, k: int, tracks: NDArray[np.integer] | None = None
) -> NDArray[np.intp]:
    """The k of which a source has the greatest shares, best first; none of which it has no share.
    tracks: as in ``best``."""
    # Left to ``best``, all tracks of no share would be sorted where a source names few.
    return best(np.where(shares > 0, shares, -np.inf), k, tracks=tracks).tracks


def _moments(
    plays: Plays, today: Plays, counted: CountAt, cutoff: int, random: np.random.Generator
) -> Iterator[Moment]:
    if today.time.min() == today.time.max():
        full = counted(cutoff).full
        for _ in range(MOMENTS):
            yield _held_out(today, full, cutoff, random)
        return
    span = min(SPAN, (cutoff - int(today.time.min())) // 3)
    for back in range(MOMENTS):
        as_of = cutoff - span - back * span // 4
        # What happened then, as far as that is known today.
        after = today.completed & (today.time >= as_of) & (today.time < as_of + span)
        past = plays.known_at(as_of, HISTORY_DAYS)
        yield _moment(as_of, past, counted(as_of).full, today.only(after))


def _held_out(
    today: Plays, full: NDArray[np.int64], cutoff: int, random: np.random.Generator
) -> Moment:
    users, _, of_play = today.pairs()
    held = (random.random(len(users)) < HELD_OUT)[of_play]
    future = today.only(held & today.completed)
    # What is held out is not known either; all of it lies in the same windows.
    taken = np.bincount(future.track, minlength=len(full))
    within = cutoff - today.time[0] <= np.array(WINDOWS) * DAY
    return _moment(cutoff, today.only(~held), full - np.outer(taken, within), future)


def _moment(as_of: int, past: Plays, full: NDArray[np.int64], future: Plays) -> Moment:
    """Of those who have a past."""
    users, tracks, _ = future.only(np.isin(future.user, past.user)).pairs()
    return Moment(as_of, past, full, users, tracks)
