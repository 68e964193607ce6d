"""Training of model 2: P(fully played), week by week, from what was known before each week."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from segue.domain.errors import InvalidData
from segue.domain.times import DAY, format_time
from segue.domain.users import User
from segue.features.encoder import FloatArray
from segue.features.listeners import encode_listener, listener_width, user_columns
from training.catalogue import EncodedCatalogue
from training.networks import PreferenceClassifier
from training.progress import Curve, Progress
from training.slices import Labels, Slice, read_labels, read_slices
from training.users import read_users

WEEK = 7 * DAY
MAX_WEEKS = 26
EPOCHS = 30
PATIENCE = 4
LISTENERS_PER_BATCH = 128
NEGATIVES = 256
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2
# Inputs of a track that depend on the time: how much it was begun, fully played, and the share.
TRENDS = 3


@dataclass(frozen=True)
class Week:
    """The examples of one week: listeners as they were before it, and what they played to the end.

    listeners: (listeners, listener_width). tracks: (tracks, track_width + TRENDS).
    owner, track: (pairs,) int64, rows of the two above: this listener fully played this track.
    """

    listeners: Tensor
    tracks: Tensor
    owner: Tensor
    track: Tensor


@dataclass(frozen=True)
class TrainedClassifier:
    """The network; the catalogue as it sees it at the cut-off, (tracks, width); the losses."""

    network: PreferenceClassifier
    tracks: Tensor
    curve: Curve


def train_classifier(
    connection: duckdb.DuckDBPyConnection,
    encoded: EncodedCatalogue,
    cutoff: int,
    device: torch.device,
    progress: Progress,
) -> TrainedClassifier:
    """Fit on the weeks before the cut-off; the last of them, a fifth, tell when to stop."""
    weeks = list(_weeks(connection, encoded, cutoff, progress))
    later = max(1, round(len(weeks) / 5))
    train, validation = weeks[:-later] or weeks, weeks[-later:]
    network = PreferenceClassifier(weeks[0].listeners.shape[1], weeks[0].tracks.shape[1])
    network.to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    curve = Curve(PATIENCE)
    for epoch in range(EPOCHS):
        losses = list(_epoch(network, optimizer, train, device))
        curve.add(float(np.mean(losses)), _validate(network, validation, device), network)
        progress("classifier", epoch + 1, EPOCHS)
        if curve.finished:
            break
    progress("classifier", EPOCHS, EPOCHS)
    curve.restore(network)
    (today,) = read_slices(connection, encoded.catalogue, [cutoff])
    return TrainedClassifier(network.cpu().eval(), _track_inputs(encoded.features, today), curve)


def _weeks(
    connection: duckdb.DuckDBPyConnection,
    encoded: EncodedCatalogue,
    cutoff: int,
    progress: Progress,
) -> Iterator[Week]:
    """The weeks before the cut-off that can teach anything, in the order of time."""
    times = [cutoff - WEEK * week for week in range(MAX_WEEKS, 0, -1)]
    profiles = _profiles(connection, encoded)
    slices = read_slices(connection, encoded.catalogue, times)
    labels = list(read_labels(connection, encoded.catalogue, times))
    found = 0
    for done, (slice_, label) in enumerate(zip(slices, labels, strict=True), 1):
        week = _week(slice_, label, profiles, encoded.features)
        progress("weeks of listening", done, len(times))
        if len(week.owner):
            found += 1
            yield week
    if not found:
        raise InvalidData(
            f"no listener played anything in two weeks before the cut-off {format_time(cutoff)}; "
            "if a stray event lies far after all others, name a cut-off yourself"
        )


def _profiles(
    connection: duckdb.DuckDBPyConnection, encoded: EncodedCatalogue
) -> Mapping[str, FloatArray]:
    """Every user's encoded profile; for a user without one, what serving takes in its place."""
    users = list(read_users(connection).values())
    nobody, *rows = encoded.encoder.encode_users(user_columns([User(""), *users]))
    profiles: dict[str, FloatArray] = defaultdict(lambda: nobody)
    profiles.update(zip((user.user_id for user in users), rows, strict=True))
    return profiles


def _week(
    slice_: Slice,
    labels: Labels,
    profiles: Mapping[str, FloatArray],
    features: NDArray[np.float16],
) -> Week:
    known = sorted(set(labels.users) & slice_.histories.keys())
    row = {user: place for place, user in enumerate(known)}
    owner = np.array([row.get(user, -1) for user in labels.users], np.int64)
    taught = owner >= 0
    return Week(
        listeners=_listener_inputs(known, slice_, profiles, features),
        tracks=_track_inputs(features, slice_),
        owner=torch.from_numpy(owner[taught]),
        track=torch.from_numpy(labels.tracks[taught].astype(np.int64)),
    )


def _listener_inputs(
    users: Sequence[str],
    slice_: Slice,
    profiles: Mapping[str, FloatArray],
    features: NDArray[np.float16],
) -> Tensor:
    rows = [encode_listener(profiles[user], slice_.histories[user], features) for user in users]
    width = listener_width(features.shape[1], len(profiles[""]))
    return torch.from_numpy(np.array(rows, np.float32).reshape(len(rows), width))


def _track_inputs(features: NDArray[np.float16], slice_: Slice) -> Tensor:
    """Shape (tracks, track_width + TRENDS): the features, and how the tracks do at the moment.

    Counts are taken against the month's most played track, so that they mean the same for a
    service that grows; a track's completion rate is drawn towards the catalogue's until it has
    been begun some ten times.
    """
    begun, ended = slice_.starts, slice_.completions
    overall = ended.sum() / max(begun.sum(), 1)
    trends = [_relative(begun), _relative(ended), (ended + 10 * overall) / (begun + 10) - overall]
    columns = np.stack(trends, 1).astype(np.float32)
    return torch.from_numpy(np.hstack([features.astype(np.float32), columns]))


def _relative(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    logs: NDArray[np.float64] = np.log1p(counts)
    shares: NDArray[np.float64] = logs / max(logs.max(initial=0.0), 1.0)
    return shares


def _epoch(
    network: PreferenceClassifier,
    optimizer: torch.optim.Optimizer,
    weeks: Sequence[Week],
    device: torch.device,
) -> Iterator[float]:
    network.train()
    for week, chosen in _batches(weeks):
        loss = _loss(network, week, chosen, device)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def _batches(weeks: Sequence[Week]) -> Iterator[tuple[Week, Tensor]]:
    """Some listeners of one week at a time: they share the catalogue as it was in that week."""
    batches = [
        (week, chosen)
        for week in weeks
        for chosen in torch.randperm(len(week.listeners)).split(LISTENERS_PER_BATCH)
    ]
    for place in torch.randperm(len(batches)).tolist():
        yield batches[place]


def _loss(
    network: PreferenceClassifier,
    week: Week,
    chosen: Tensor,
    device: torch.device,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Cross-entropy of what was fully played, and of tracks drawn evenly that were not.

    The two halves weigh the same, so the log-odds are those of a full play plus a constant. A track
    that was begun and skipped is no more a negative than one never begun: it was not fully played,
    and is drawn as rarely; to count it for more would make the model shun what is played most. A
    drawn track that its listener did play is one of thousands, and is left in.
    """
    drawn = torch.randint(len(week.tracks), (NEGATIVES,), generator=generator)
    place = torch.full((len(week.listeners),), -1).index_put((chosen,), torch.arange(len(chosen)))
    taught = place[week.owner] >= 0
    owner, track = place[week.owner[taught]], week.track[taught]
    listeners = network.listener(week.listeners[chosen].to(device))
    rows, at = torch.unique(torch.cat([track, drawn]), return_inverse=True)
    tracks = network.track(week.tracks[rows].to(device))
    played = network.pairs(_take(listeners, owner), _take(tracks, at[: len(track)]))
    unplayed = network.pairs(
        (listeners[0][:, None], listeners[1][:, None]), _take(tracks, at[len(track) :])
    )
    return cross_entropy(played, torch.ones_like(played)) + cross_entropy(
        unplayed, torch.zeros_like(unplayed)
    )


def _take(tower: tuple[Tensor, Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
    rows = rows.to(tower[0].device)
    return tower[0][rows], tower[1][rows]


@torch.no_grad()
def _validate(network: PreferenceClassifier, weeks: Sequence[Week], device: torch.device) -> float:
    """The same loss on later weeks; the same tracks are drawn each time, so epochs compare."""
    network.eval()
    generator = torch.Generator().manual_seed(0)
    losses = [
        _loss(network, week, chosen, device, generator).item()
        for week in weeks
        for chosen in torch.arange(len(week.listeners)).split(LISTENERS_PER_BATCH)
    ]
    return float(np.mean(losses))
