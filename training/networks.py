"""The networks, as PyTorch modules: what is trained, and what is exported to answer requests."""

import torch
from torch import Tensor, nn

LATENT = 128
HIDDEN = 64
FACTORS = 32

# How fast a listener's interest fades with the angle: at a cosine of .8 to .9 a track still gains
# from an interest, at .5 it does not.
CONCENTRATION = 16.0


class DenoisingAutoencoder(nn.Module):
    """Overcomplete: the latent space is wider than the input, and noise keeps it from copying."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, LATENT))
        self.decoder = nn.Sequential(
            nn.ReLU(), nn.Linear(LATENT, 256), nn.ReLU(), nn.Linear(256, width)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(tracks, width) -> (tracks, width), the features as reconstructed."""
        reconstructed: Tensor = self.decoder(self.encoder(features))
        return reconstructed


class LatentSpace(nn.Module):
    """The trained encoder as it is exported: from features to points on the unit sphere."""

    def __init__(self, encoder: nn.Module, centre: Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("centre", centre)

    def forward(self, features: Tensor) -> Tensor:
        """(tracks, width) -> (tracks, LATENT), each of length 1."""
        return nn.functional.normalize(self.encoder(features) - self.centre, dim=1)


class TasteDensity(nn.Module):
    """How densely a listener's interests lie around each track.

    A mixture of von Mises-Fisher kernels on the latent sphere, one for each interest i of weight
    w_i: ``score(t) = log sum_{i != t} w_i exp(c cos(t, i))`` with c = CONCENTRATION. The nearest
    neighbours of each interest come first, those that several interests share before the others,
    and a track never counts as its own neighbour.
    """

    def forward(self, latents: Tensor, interests: Tensor, weights: Tensor) -> Tensor:
        """latents (tracks, LATENT), interests (n,) positions, weights (n,) -> scores (tracks,)."""
        cosines = latents[interests] @ latents.T
        tracks = torch.arange(latents.shape[0], device=latents.device)
        itself = interests.unsqueeze(1) == tracks
        evidence = (CONCENTRATION * cosines + weights.log().unsqueeze(1)).masked_fill(
            itself, float("-inf")
        )
        return torch.logsumexp(evidence, 0)


class TrackTower(nn.Module):
    """The track's part of the classifier: all of it can be computed before any request."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, 128), nn.ReLU(), nn.Dropout(0.1))
        self.hidden = nn.Linear(128, HIDDEN)
        self.factors = nn.Linear(128, FACTORS)

    def forward(self, tracks: Tensor) -> tuple[Tensor, Tensor]:
        """(tracks, width) -> (tracks, HIDDEN), (tracks, FACTORS)."""
        body = self.body(tracks)
        return self.hidden(body), self.factors(body)


class ListenerTower(nn.Module):
    """The listener's part, computed once a request."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, 128), nn.ReLU(), nn.Dropout(0.2))
        self.hidden = nn.Linear(128, HIDDEN)
        self.factors = nn.Linear(128, FACTORS)

    def forward(self, listeners: Tensor) -> tuple[Tensor, Tensor]:
        """(..., width) -> (..., HIDDEN), (..., FACTORS)."""
        body = self.body(listeners)
        return self.hidden(body), self.factors(body)


class PreferenceClassifier(nn.Module):
    """P(fully played) for a listener and a track.

    ``logit = w relu(h_listener + h_track) + f_listener f_track + b``: the first layer over the
    pair is a sum of two parts, so the track's part can be computed in advance, exactly.
    """

    def __init__(self, listener_width: int, track_width: int) -> None:
        super().__init__()
        self.listener = ListenerTower(listener_width)
        self.track = TrackTower(track_width)
        self.output = nn.Linear(HIDDEN, 1)

    def forward(self, listeners: Tensor, tracks: Tensor) -> Tensor:
        """(n, listener_width), (n, track_width) -> (n,) logits, pair by pair."""
        return self.pairs(self.listener(listeners), self.track(tracks))

    def pairs(self, listeners: tuple[Tensor, Tensor], tracks: tuple[Tensor, Tensor]) -> Tensor:
        """Logits of pairs whose towers were run already; shapes broadcast against each other."""
        hidden = torch.relu(listeners[0] + tracks[0])
        products = (listeners[1] * tracks[1]).sum(-1)
        logits: Tensor = self.output(hidden).squeeze(-1) + products
        return logits


class ClassifierHead(nn.Module):
    """The classifier as it is exported: one listener against the whole precomputed catalogue."""

    def __init__(self, classifier: PreferenceClassifier) -> None:
        super().__init__()
        self.listener = classifier.listener
        self.output = classifier.output

    def forward(self, listener: Tensor, hidden: Tensor, factors: Tensor) -> Tensor:
        """(width,), (tracks, HIDDEN), (tracks, FACTORS) -> (tracks,) probabilities."""
        own_hidden, own_factors = self.listener(listener)
        logits = torch.relu(hidden + own_hidden) @ self.output.weight[0] + self.output.bias
        return torch.sigmoid(logits + factors @ own_factors)
