"""Training of model 3: what listeners chose in the month ahead, from what was known before it."""

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.domain.errors import InvalidData
from segue.domain.times import DAY, format_time
from segue.features.encoder import FloatArray
from segue.models.hybrid import Hybrid
from segue.models.signals import SIGNALS, TRAITS, Collective, signals, traits
from training.catalogue import EncodedCatalogue
from training.collective import Tracks, fit_collective, standard
from training.mixture import NEVER, Examples, TrainedMixture, basis, fit_mixture
from training.past import Past, read_past
from training.progress import Progress

HISTORY_DAYS = Hybrid.history_days
# The month ahead; shorter where the data is: a third of it.
SPAN = 30 * DAY
# Moments to learn from, a quarter of a span apart, and listeners at each.
LESSONS = 3
LISTENERS = 600
# Tracks told from the chosen ones: the first by every signal, and some drawn for all the rest.
FIRST = 25
DRAWN = 200
# Without times, so much of what each listener played is what they "will" play.
HELD_OUT = 0.2


@dataclass(frozen=True)
class Lesson:
    """What was known at a moment, and what each of its users fully played after it.

    user, track: (pairs,) int64, positions in ``past.users`` and in the catalogue.
    """

    past: Past
    user: NDArray[np.int64]
    track: NDArray[np.int64]


@dataclass(frozen=True)
class TrainedHybrid:
    """The network, and the collective at the cut-off."""

    mixture: TrainedMixture
    collective: Collective


def train_hybrid(
    connection: duckdb.DuckDBPyConnection,
    encoded: EncodedCatalogue,
    latents: FloatArray,
    cutoff: int,
    seed: int,
    progress: Progress,
) -> TrainedHybrid:
    """Learn the weighing at earlier moments, at which the collective is fitted anew, each time on
    what came before; then fit the collective at the cut-off. Raises InvalidData without plays."""
    tracks = Tracks.of(encoded, latents)
    today = read_past(connection, encoded.catalogue, cutoff, HISTORY_DAYS)
    if not len(today.owner):
        raise InvalidData(f"nobody played anything in the year before {format_time(cutoff)}")
    random = np.random.default_rng(seed)
    parts = []
    for done, lesson in enumerate(_lessons(connection, encoded, today, random)):
        users = _drawn(lesson, random)
        heard = lesson.past.tracks[np.isin(lesson.past.owner, users)]
        collective = fit_collective(tracks, lesson.past, heard)
        parts.append(_examples(lesson, users, collective, today.users, random))
        progress("hybrid", done + 1, LESSONS + 2)
    mixture = fit_mixture(_joined(parts))
    progress("hybrid", LESSONS + 1, LESSONS + 2)
    trained = TrainedHybrid(mixture, fit_collective(tracks, today))
    progress("hybrid", LESSONS + 2, LESSONS + 2)
    return trained


def _lessons(
    connection: duckdb.DuckDBPyConnection,
    encoded: EncodedCatalogue,
    today: Past,
    random: np.random.Generator,
) -> Iterator[Lesson]:
    reach = int(today.age.max() * DAY)
    if today.age.max() == today.age.min():
        for _ in range(LESSONS):
            yield _held_out(today, len(encoded.catalogue), random)
        return
    span = min(SPAN, reach // 3)
    for back in range(LESSONS):
        moment = today.as_of - span - back * span // 4
        yield _earlier(
            read_past(connection, encoded.catalogue, moment, HISTORY_DAYS), today, moment, span
        )


def _earlier(past: Past, today: Past, moment: int, span: int) -> Lesson:
    """What happened in the ``span`` from ``moment`` on, as far as that is known today."""
    age = (today.as_of - moment) / DAY
    after = today.completed & (today.age <= age) & (today.age > age - span / DAY)
    # Both lists of users are sorted; somebody who is new since has no history to go by.
    places = np.minimum(np.searchsorted(past.users, today.users), max(len(past.users) - 1, 0))
    known = np.isin(today.users, past.users)
    after &= known[today.owner]
    return _lesson(past, places[today.owner[after]], today.tracks[after], len(past.users))


def _held_out(today: Past, tracks: int, random: np.random.Generator) -> Lesson:
    pairs, of_play = np.unique(
        today.owner.astype(np.int64) * tracks + today.tracks, return_inverse=True
    )
    held = (random.random(len(pairs)) < HELD_OUT)[of_play]
    past = today.only(~held)
    future = held & today.completed
    return _lesson(past, today.owner[future], today.tracks[future], len(today.users))


def _lesson(
    past: Past, user: NDArray[np.integer], track: NDArray[np.integer], users: int
) -> Lesson:
    """The different pairs of those who have a past."""
    active = np.bincount(past.owner, minlength=users) > 0
    pairs = np.unique(np.stack([user, track], 1)[active[user]].astype(np.int64), axis=0)
    return Lesson(past, pairs[:, 0], pairs[:, 1])


@dataclass(frozen=True)
class _Choice:
    """One listener of a lesson: candidate tracks, their rows, and how many each stands for."""

    rows: FloatArray
    correction: FloatArray
    chosen: NDArray[np.bool_]
    heard: NDArray[np.bool_]
    traits: FloatArray


def _drawn(lesson: Lesson, random: np.random.Generator) -> NDArray[np.int64]:
    """Those of a lesson's listeners who are learnt from."""
    return np.sort(random.permutation(np.unique(lesson.user))[:LISTENERS])


def _examples(
    lesson: Lesson,
    users: NDArray[np.int64],
    collective: Collective,
    everybody: NDArray[np.str_],
    random: np.random.Generator,
) -> Examples:
    choices = [_choice(lesson, collective, int(user), random) for user in users]
    longest = max((len(choice.chosen) for choice in choices), default=0)
    padded = Examples(
        rows=torch.zeros(len(choices), longest, 2 * len(SIGNALS)),
        correction=torch.full((len(choices), longest), NEVER),
        chosen=torch.zeros(len(choices), longest, dtype=torch.bool),
        heard=torch.zeros(len(choices), longest, dtype=torch.bool),
        traits=torch.zeros(len(choices), TRAITS),
        users=torch.from_numpy(np.searchsorted(everybody, lesson.past.users[users])),
    )
    for place, choice in enumerate(choices):
        own = slice(len(choice.chosen))
        padded.rows[place, own] = basis(torch.from_numpy(choice.rows))
        padded.correction[place, own] = torch.from_numpy(choice.correction)
        padded.chosen[place, own] = torch.from_numpy(choice.chosen)
        padded.heard[place, own] = torch.from_numpy(choice.heard)
        padded.traits[place] = torch.from_numpy(choice.traits)
    return padded


def _choice(
    lesson: Lesson, collective: Collective, user: int, random: np.random.Generator
) -> _Choice:
    history = lesson.past.history(user)
    rows = standard(signals(collective, history))
    start, end = np.searchsorted(lesson.user, [user, user + 1])
    played = np.zeros(len(rows), np.bool_)
    played[lesson.track[start:end]] = True
    heard = np.zeros(len(rows), np.bool_)
    heard[history.tracks] = True
    sure = played | heard
    sure[np.argpartition(-rows, min(FIRST, len(rows) - 1), axis=0)[:FIRST].ravel()] = True
    rest = np.flatnonzero(~sure)
    drawn = random.choice(rest, min(DRAWN, len(rest)), replace=False)
    tracks = np.concatenate([np.flatnonzero(sure), drawn])
    correction = np.zeros(len(tracks), np.float32)
    correction[len(tracks) - len(drawn) :] = np.log(len(rest) / max(len(drawn), 1))
    return _Choice(
        rows[tracks], correction, played[tracks], heard[tracks], traits(collective, history)
    )


def _joined(parts: list[Examples]) -> Examples:
    longest = max(part.rows.shape[1] for part in parts)

    def join(name: str, fill: float) -> Tensor:
        padded = []
        for part in parts:
            values = getattr(part, name)
            shape = (len(values), longest - values.shape[1], *values.shape[2:])
            padded.append(torch.cat([values, torch.full(shape, fill, dtype=values.dtype)], 1))
        return torch.cat(padded)

    examples = Examples(
        join("rows", 0),
        join("correction", NEVER),
        join("chosen", False),
        join("heard", False),
        torch.cat([part.traits for part in parts]),
        torch.cat([part.users for part in parts]),
    )
    if not len(examples):
        raise InvalidData(
            "no listener played anything in two stretches of time before the cut-off; "
            "if a stray event lies far after all others, name a cut-off yourself"
        )
    return examples
