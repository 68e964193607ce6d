"""The networks, as PyTorch modules: what is trained, and what is exported to answer requests."""

import torch
from torch import Tensor, nn

LATENT = 128
FACTORS = 32
HABIT = 16


class Balance(nn.Module):
    """Centres the inputs, and gives each group of them the same total variance, 1.

    Otherwise thirteen audio features would count thirteen times as much as the genres, and those
    more than the artist.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: Tensor, groups: Tensor) -> None:
        super().__init__()
        variance = features.var(0, unbiased=False)
        totals = torch.zeros(int(groups.max()) + 1).index_add(0, groups, variance)[groups]
        # A group that never varies says nothing.
        scale = torch.where(totals > 0, totals, torch.inf).rsqrt()
        self.register_buffer("mean", features.mean(0))
        self.register_buffer("scale", scale)

    def forward(self, features: Tensor) -> Tensor:
        """(tracks, width) -> (tracks, width)."""
        return (features - self.mean) * self.scale


class DenoisingAutoencoder(nn.Module):
    """Overcomplete: the latent space is wider than the input, and noise keeps it from copying."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, LATENT))
        self.decoder = nn.Sequential(
            nn.ReLU(), nn.Linear(LATENT, 256), nn.ReLU(), nn.Linear(256, width)
        )

    def forward(self, balanced: Tensor) -> Tensor:
        """(tracks, width) -> (tracks, width), the balanced features as reconstructed."""
        reconstructed: Tensor = self.decoder(self.encoder(balanced))
        return reconstructed


class LatentSpace(nn.Module):
    """The trained encoder as it is exported: from features to points on the unit sphere.

    centre: (LATENT,). axes: (LATENT, LATENT), orthogonal: the points are turned, which leaves all
    angles as they are.
    """

    axes: Tensor

    def __init__(self, encoder: nn.Module, centre: Tensor, axes: Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("centre", centre)
        self.register_buffer("axes", axes)

    def forward(self, features: Tensor) -> Tensor:
        """(tracks, width) -> (tracks, LATENT), each of length 1."""
        return nn.functional.normalize(self.encoder(features) - self.centre, dim=1) @ self.axes


class TrackTower(nn.Module):
    """The track's part of the classifier: all of it can be computed before any request.

    The last ``trends`` of its inputs also enter the log-odds by themselves. The first of them is
    the logarithm of the track's share of all plays. So a network that has learned nothing yet
    answers by popularity. What it learns is where listeners differ from that.
    """

    def __init__(self, width: int, trends: int) -> None:
        super().__init__()
        self.trends = trends
        self.body = nn.Sequential(nn.Linear(width, 128), nn.ReLU())
        self.factors = nn.Linear(128, FACTORS)
        self.base = nn.Linear(trends, 1)
        nn.init.zeros_(self.base.weight)
        nn.init.ones_(self.base.weight[:, 0])

    def forward(self, tracks: Tensor) -> tuple[Tensor, Tensor]:
        """(tracks, width) -> (tracks, FACTORS), (tracks,)."""
        base = self.base(tracks[:, -self.trends :]).squeeze(-1)
        return self.factors(self.body(tracks)), base


class UnplayedTracks(nn.Module):
    """The track's part of the classifier as it is exported, for tracks that nobody has played.

    trends: (trends,), those of such a track.
    """

    trends: Tensor

    def __init__(self, track: TrackTower, trends: Tensor) -> None:
        super().__init__()
        self.track = track
        self.register_buffer("trends", trends)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(tracks, track_width) -> (tracks, FACTORS), (tracks,)."""
        trends = self.trends.expand(features.shape[0], -1)
        factors, base = self.track(torch.cat([features, trends], 1))
        return factors, base


class ListenerTower(nn.Module):
    """The listener's part, computed once a request."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, 128), nn.ReLU(), nn.Dropout(0.2))
        self.factors = nn.Linear(128, FACTORS)
        self.habit = nn.Linear(128, HABIT)

    def forward(self, listeners: Tensor) -> tuple[Tensor, Tensor]:
        """(..., width) -> (..., FACTORS), (..., HABIT)."""
        body = self.body(listeners)
        return self.factors(body), self.habit(body)


class Memory(nn.Module):
    """What it adds that the listener has heard a track before; the more so, the more they repeat.

    ``m = w relu(habit_listener + A own) + b``; ``own`` sums up the listener's plays of the track.
    """

    def __init__(self, own_width: int) -> None:
        super().__init__()
        self.own = nn.Linear(own_width, HABIT)
        self.output = nn.Linear(HABIT, 1)

    def forward(self, habits: Tensor, own: Tensor) -> Tensor:
        """(..., HABIT), (..., own_width) -> (...) log-odds, for pairs of a heard track."""
        added: Tensor = self.output(torch.relu(habits + self.own(own))).squeeze(-1)
        return added


class PreferenceClassifier(nn.Module):
    """P(fully played within a week) for a listener and a track.

    ``logit = f_listener f_track + b_track + [heard] m``. Listener and track meet in a product and
    nowhere else, so all of the track's part can be computed in advance, exactly; and what it adds
    to have heard a track is needed for the few heard tracks alone.
    """

    def __init__(self, listener_width: int, track_width: int, own_width: int, trends: int) -> None:
        super().__init__()
        self.listener = ListenerTower(listener_width)
        self.track = TrackTower(track_width, trends)
        self.memory = Memory(own_width)

    def forward(self, listeners: Tensor, tracks: Tensor, heard: Tensor, own: Tensor) -> Tensor:
        """The plain network, pair by pair: (n, listener_width), (n, track_width), (n,) bool,
        (n, own_width) -> (n,) logits."""
        factors, habits = self.listener(listeners)
        track_factors, base = self.track(tracks)
        memory = torch.where(heard, self.memory(habits, own), 0.0)
        logits: Tensor = (factors * track_factors).sum(-1) + base + memory
        return logits


class ClassifierHead(nn.Module):
    """The classifier as it is exported: all that depends on the listener, once for a request."""

    def __init__(self, classifier: PreferenceClassifier) -> None:
        super().__init__()
        self.listener = classifier.listener
        self.memory = classifier.memory

    def forward(self, listener: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """(width,), (n, own_width) -> (FACTORS,), (n,): what the tracks' factors are multiplied by,
        and what is added for each of the n heard tracks."""
        factors, habits = self.listener(listener)
        return factors, self.memory(habits, own)
