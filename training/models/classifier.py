"""Model 2: P(fully played within a week), from what was known before; trained, and written down."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from segue.domain.times import DAY, Window
from segue.features.encoder import FloatArray
from segue.features.listeners import OWN_WIDTH, encode_heard, encode_listener, listener_width
from training.catalogue import EncodedCatalogue
from training.counts import CountAt, Counts
from training.export import BLOCK, BundleWriter
from training.histories import history_at, read_plays, read_profiles
from training.models.networks import ClassifierHead, PreferenceClassifier, UnplayedTracks
from training.plays import Plays
from training.progress import Curve, Progress

WEEK = 7 * DAY
# Days before a moment that listeners and tracks are known by.
MONTH = 30
MAX_WEEKS = 13
# So many listeners of a week at most, drawn.
LISTENERS = 8_000
# The rate falls to nothing over the epochs, so few are enough.
EPOCHS = 6
PATIENCE = 3
LISTENERS_PER_BATCH = 128
# Tracks drawn for a batch of listeners: some evenly, most by how often they are played.
DRAWN_EVENLY = 64
DRAWN_BY_PLAYS = 128
LEARNING_RATE = 6e-3
# From the weights of the last bundle on.
EPOCHS_ON, LEARNING_RATE_ON = 1, 1e-3
WEIGHT_DECAY = 1e-2
# Inputs of a track that depend on the time: how much it was fully played, begun, begun of late, and
# which share of it was to the end.
TRENDS = 4


@dataclass(frozen=True)
class Heard:
    """The tracks that each listener heard in the month before: arrays over (listener, track) pairs,
    each of which is there once.

    owner, track: (pairs,) int64, rows of listeners and tracks. own: (pairs, OWN_WIDTH), what the
    plays come to.
    """

    owner: Tensor
    track: Tensor
    own: Tensor


@dataclass(frozen=True)
class Week:
    """The examples of one week: listeners as they were before it, and what they played to the end.

    listeners: (listeners, listener_width). trends: (tracks, TRENDS). plays: (tracks,), each
    track's share of all plays in the month before. owner, track: (pairs,) int64, rows of listeners
    and tracks: this listener fully played this track.
    """

    listeners: Tensor
    trends: Tensor
    plays: Tensor
    heard: Heard
    owner: Tensor
    track: Tensor


@dataclass(frozen=True)
class TrainedClassifier:
    """The network; how tracks do at the cut-off, (tracks, TRENDS), and how one does that nobody has
    played, (TRENDS,); the losses."""

    network: PreferenceClassifier
    trends: Tensor
    unplayed: Tensor
    curve: Curve


def train_classifier(
    connection: duckdb.DuckDBPyConnection,
    counted: CountAt,
    encoded: EncodedCatalogue,
    cutoff: int,
    device: torch.device,
    progress: Progress,
    last: Mapping[str, Tensor] | None = None,
) -> TrainedClassifier | None:
    """Fit on the weeks before the cut-off; the last of them, a fifth, tell what is kept. counted:
    everybody's plays of the whole catalogue; learnt from are the tracks that were out. last: the
    weights of an earlier training, to go on from in a few epochs. None where nobody listened both
    in a week and in the month before it."""
    past = encoded.past
    weeks = list(_weeks(connection, counted, encoded, cutoff, progress))
    if not weeks:
        return None
    later = max(1, round(len(weeks) / 5))
    train, validation = weeks[:-later] or weeks, weeks[-later:]
    # One copy for all weeks: only the trends differ.
    features = torch.from_numpy(past.features)
    network = _network(train, features).to(device)

    def losses() -> tuple[float, float]:
        # Of as many weeks each, without dropout, with the same draws: the gap is overfitting.
        learnt = _measure(network, train[-later:], features, device)
        return learnt, _measure(network, validation, features, device)

    epochs, rate = EPOCHS, LEARNING_RATE
    curve = Curve(PATIENCE)
    if last is not None:
        epochs, rate = EPOCHS_ON, LEARNING_RATE_ON
        network.load_state_dict(last)
        curve.begin(*losses(), network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
    steps = epochs * sum(len(_portions(week)) for week in train)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(epochs):
        _epoch(network, optimizer, schedule, train, features, device)
        curve.add(*losses(), network)
        progress("classifier", epoch + 1, epochs)
        if curve.finished:
            break
    progress("classifier", epochs, epochs)
    curve.restore(network)
    trends = _trends(counted(cutoff).with_unplayed(), len(past.catalogue))
    return TrainedClassifier(network.cpu().eval(), trends[:-1], trends[-1], curve)


def _network(weeks: Sequence[Week], features: Tensor) -> PreferenceClassifier:
    """An untrained network whose first guess is the chance that any pair has."""
    track_width = features.shape[1] + TRENDS
    width = weeks[0].listeners.shape[1]
    network = PreferenceClassifier(width, track_width, OWN_WIDTH, TRENDS)
    pairs = sum(len(week.listeners) for week in weeks) * len(features)
    chance = sum(len(week.owner) for week in weeks) / pairs
    torch.nn.init.constant_(network.track.base.bias, np.log(chance))
    return network


def _weeks(
    connection: duckdb.DuckDBPyConnection,
    counted: CountAt,
    encoded: EncodedCatalogue,
    cutoff: int,
    progress: Progress,
) -> Iterator[Week]:
    """The weeks before the cut-off that can teach anything, in the order of time."""
    times = [cutoff - WEEK * week for week in range(MAX_WEEKS, 0, -1)]
    window = Window.before(cutoff, MONTH + 7 * MAX_WEEKS)
    users, plays = read_plays(connection, encoded.past.catalogue, window)
    profiles = read_profiles(connection, encoded.encoder, users.tolist())
    for done, as_of in enumerate(times, 1):
        counts = counted(as_of).only(encoded.released)
        week = _week(plays, counts, as_of, profiles, encoded.past.features)
        progress("weeks of listening", done, len(times))
        if len(week.owner):
            yield week


def _week(
    plays: Plays,
    counts: Counts,
    as_of: int,
    profiles: FloatArray,
    features: NDArray[np.float16],
) -> Week:
    """The examples of the week from ``as_of`` on. counts: at that moment. profiles: (users,
    user_width)."""
    month = plays.known_at(as_of, MONTH)
    user, track = plays.completed_in(as_of, as_of + WEEK)
    listeners = _draw_listeners(np.intersect1d(user, month.user), as_of)
    taught = np.isin(user, listeners)
    return Week(
        listeners=_listener_inputs(listeners, month, as_of, profiles, features),
        trends=_trends(counts, len(features)),
        plays=torch.from_numpy(counts.begun / max(counts.begun.sum(), 1)).float(),
        heard=_heard(listeners, month, as_of, len(features)),
        owner=torch.from_numpy(np.searchsorted(listeners, user[taught])),
        track=torch.from_numpy(track[taught].astype(np.int64)),
    )


def _draw_listeners(listeners: NDArray[np.int32], as_of: int) -> NDArray[np.int32]:
    """At most LISTENERS of them, ascending."""
    return np.sort(np.random.default_rng(as_of).permutation(listeners)[:LISTENERS])


def _heard(listeners: NDArray[np.int32], month: Plays, as_of: int, tracks: int) -> Heard:
    plays = month.only(np.isin(month.user, listeners))
    rows = np.searchsorted(listeners, plays.user)
    keys, pairs = np.unique(rows * tracks + plays.track, return_inverse=True)
    # A pair stands for a track here: so all listeners are summed up at once.
    _, own = encode_heard(replace(history_at(plays, as_of), tracks=pairs.astype(np.int32)))
    owner, track = np.divmod(keys.astype(np.int64), tracks)
    return Heard(*map(torch.from_numpy, (owner, track, own)))


def _listener_inputs(
    listeners: NDArray[np.int32],
    month: Plays,
    as_of: int,
    profiles: FloatArray,
    features: NDArray[np.float16],
) -> Tensor:
    rows = [
        encode_listener(profiles[user], history_at(month.of(user), as_of), features)
        for user in listeners
    ]
    width = listener_width(features.shape[1], profiles.shape[1])
    return torch.from_numpy(np.array(rows, np.float32).reshape(len(rows), width))


def _trends(counts: Counts, known: int) -> Tensor:
    """(tracks, TRENDS): how the tracks do at the moment; ``known`` is how many of them were out.

    Plays are taken as shares, so that they mean the same for a service that grows; a track's
    completion rate is drawn towards the catalogue's until it has been begun some ten times.
    """
    begun, ended = counts.begun, counts.ended
    overall = ended.sum() / max(begun.sum(), 1)
    rate = (ended + 10 * overall) / (begun + 10) - overall
    columns = [*(_lift(plays, known) for plays in (ended, begun, counts.hot)), rate]
    return torch.from_numpy(np.stack(columns, 1).astype(np.float32))


def _lift(plays: NDArray[np.int64 | np.float64], known: int) -> NDArray[np.float64]:
    """The logarithm of each track's share of the plays against an equal share; every track is
    given one more play, so that none has none."""
    lift: NDArray[np.float64] = np.log((plays + 1) / (plays.sum() / max(known, 1) + 1))
    return lift


def track_inputs(features: Tensor, trends: Tensor) -> Tensor:
    """(tracks, width) float16 and (tracks, TRENDS) -> (tracks, width + TRENDS) float32."""
    return torch.cat([features.float(), trends], 1)


def _epoch(
    network: PreferenceClassifier,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    weeks: Sequence[Week],
    features: Tensor,
    device: torch.device,
) -> None:
    network.train()
    for week, chosen in _batches(weeks):
        loss = _loss(network, week, chosen, features, device)
        optimizer.zero_grad()
        (loss / len(chosen)).backward()
        optimizer.step()
        schedule.step()


def _batches(weeks: Sequence[Week]) -> Iterator[tuple[Week, Tensor]]:
    """Some listeners of one week at a time: they share the catalogue as it was in that week."""
    batches = [
        (week, chosen)
        for week in weeks
        for chosen in torch.randperm(len(week.listeners)).split(LISTENERS_PER_BATCH)
    ]
    for place in torch.randperm(len(batches)).tolist():
        yield batches[place]


def _portions(week: Week) -> tuple[Tensor, ...]:
    """The rows of the week's listeners, so many at a time."""
    rows = torch.arange(len(week.listeners))
    return tuple(rows.split(LISTENERS_PER_BATCH))


def _loss(
    network: PreferenceClassifier,
    week: Week,
    chosen: Tensor,
    features: Tensor,
    device: torch.device,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Noise-contrastive estimation of P(fully played within the week), a sum over pairs.

    What was played is told from noise (Gutmann and Hyvarinen, 2010). Noise are the tracks that the
    listener has heard, each once, and tracks drawn for the whole batch. Most is decided among the
    former. As often as noise brings a track to a listener, so much less a play of it counts; with
    that correction the network's own answer is the probability itself, whatever the noise.
    """
    drawn = _draw(week, generator)
    hearer, heard, own = _of(chosen, week, week.heard.owner, week.heard.track, week.heard.own)
    player, played = _of(chosen, week, week.owner, week.track)
    rows, column = torch.unique(torch.cat([heard, played, drawn]), return_inverse=True)
    of_heard, of_played, of_drawn = column.split([len(heard), len(played), len(drawn)])
    factors, habits = network.listener(week.listeners[chosen].to(device))
    tracks, base = network.track(track_inputs(features[rows], week.trends[rows]).to(device))
    memory = network.memory(habits[hearer.to(device)], own.to(device))
    logits = factors @ tracks.T + base
    logits = logits.index_put((hearer.to(device), of_heard.to(device)), memory, accumulate=True)
    # How often noise brings a track to a listener: by the draws, and once if it was heard.
    noise = DRAWN_EVENLY / len(features) + DRAWN_BY_PLAYS * week.plays[rows]
    noise = noise.repeat(len(chosen), 1)
    noise[hearer, of_heard] += 1
    everybody = torch.arange(len(chosen)).repeat_interleave(len(drawn))
    owner = torch.cat([player, hearer, everybody])
    column = torch.cat([of_played, of_heard, of_drawn.repeat(len(chosen))])
    odds = logsigmoid(logits[owner.to(device), column.to(device)])
    odds = odds - noise[owner, column].log().to(device)
    return softplus(-odds[: len(player)]).sum() + softplus(odds[len(player) :]).sum()


def _of(chosen: Tensor, week: Week, owner: Tensor, *columns: Tensor) -> tuple[Tensor, ...]:
    """Of pairs, those of the chosen listeners: their owners' places in ``chosen``; the columns."""
    place = torch.full((len(week.listeners),), -1)
    place[chosen] = torch.arange(len(chosen))
    places = place[owner]
    within = places >= 0
    return places[within], *(column[within] for column in columns)


def _draw(week: Week, generator: torch.Generator | None) -> Tensor:
    evenly = torch.randint(len(week.plays), (DRAWN_EVENLY,), generator=generator)
    by_plays = torch.multinomial(week.plays, DRAWN_BY_PLAYS, True, generator=generator)
    return torch.cat([evenly, by_plays])


@torch.no_grad()
def _measure(
    network: PreferenceClassifier, weeks: Sequence[Week], features: Tensor, device: torch.device
) -> float:
    """The same loss for each full play, without dropout; the same tracks are drawn each time, so
    epochs compare."""
    network.eval()
    generator = torch.Generator().manual_seed(0)
    losses = [
        _loss(network, week, chosen, features, device, generator).item()
        for week in weeks
        for chosen in _portions(week)
    ]
    return sum(losses) / max(sum(len(week.owner) for week in weeks), 1)


@torch.no_grad()
def write_classifier(
    writer: BundleWriter,
    trained: TrainedClassifier,
    features: NDArray[np.float16],
    listener_width: int,
) -> None:
    """The catalogue's part of the network, computed; the same as a network, for tracks that are
    added; the rest of it; and the weights of both, for the next training."""
    rows = torch.from_numpy(features).split(BLOCK), trained.trends.split(BLOCK)
    parts = [trained.network.track(track_inputs(*block)) for block in zip(*rows, strict=True)]
    factors, base = (torch.cat(part) for part in zip(*parts, strict=True))
    writer.array("classifier/factors.npy", factors.numpy())
    writer.array("classifier/base.npy", base.numpy())
    added = UnplayedTracks(trained.network.track, trained.unplayed)
    inputs = {"features": torch.from_numpy(features[:2]).float()}
    writer.network("classifier/unplayed.onnx", added, inputs, ("track_factors", "base"))
    head = ClassifierHead(trained.network)
    inputs = {"listener": torch.zeros(listener_width), "own": torch.zeros(3, OWN_WIDTH)}
    writer.network("classifier/head.onnx", head, inputs, ("factors", "memory"))
    weights = {name: value.numpy() for name, value in trained.network.state_dict().items()}
    writer.weights("classifier", weights)
