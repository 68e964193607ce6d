"""The hybrid's network: a mixture of a few ways to choose a track."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# How many ways of choosing are tried; the one that tells held-out listeners' tracks best is kept.
EXPERTS = (1, 4)
HELD_OUT = 0.3
ITERATIONS = 60
# The weight of the Gaussian prior on all weights, against one listener.
PRIOR = 2.0
# The logit of a track that is not there: an infinite one has no gradient.
NEVER = -1e9


class Mixture(nn.Module):
    """``P(track) = sum_e P(e | traits) softmax(w_e b(signals))``: a mixture of softmaxes.

    b is a signal, standardised over the catalogue, and ``log(1 + it)`` where it is positive: most
    signals have a long tail, and neither alone weighs both the tail and the rest. One softmax is a
    conditional logit; several can say "what they always play, or else what is in the charts",
    which no single weighing of the two can.
    """

    def __init__(self, signals: int, traits: int, experts: int) -> None:
        super().__init__()
        self.shared = nn.Parameter(torch.zeros(2 * signals))
        # Different from each other from the start, or they would stay the same for ever.
        self.own = nn.Parameter(0.05 * torch.randn(experts, 2 * signals) * (experts > 1))
        self.gates = nn.Parameter(torch.zeros(experts, traits))
        self.centre: Tensor
        self.spread: Tensor
        self.register_buffer("centre", torch.zeros(traits))
        self.register_buffer("spread", torch.ones(traits))

    def forward(self, signals: Tensor, traits: Tensor) -> Tensor:
        """(tracks, signals) raw, (traits,) -> (tracks,) log-probabilities."""
        return self.choose(standardised(signals)[None], traits[None])[0]

    def choose(self, rows: Tensor, traits: Tensor, correction: Tensor | None = None) -> Tensor:
        """rows: (listeners, tracks, signals), standardised. traits: (listeners, TRAITS).
        correction: (listeners, tracks), added to the logits; NEVER leaves a track out.
        Gives (listeners, tracks), log-probabilities among these tracks.
        """
        logits = basis(rows) @ (self.shared + self.own).T
        if correction is not None:
            logits = logits + correction[..., None]
        ways = torch.log_softmax(self._traits(traits) @ self.gates.T, -1)
        return torch.logsumexp(torch.log_softmax(logits, 1) + ways[:, None], -1)

    def _traits(self, traits: Tensor) -> Tensor:
        scaled = ((traits - self.centre) / self.spread).clamp(-3, 3)
        # The first is a constant, which has no spread.
        return torch.cat([torch.ones_like(scaled[:, :1]), scaled[:, 1:]], 1)

    def penalty(self) -> Tensor:
        """The squared length of all weights; gates are held less tightly."""
        apart = self.own.square().sum() + 0.3 * self.gates.square().sum()
        return self.shared.square().sum() + apart


def standardised(signals: Tensor) -> Tensor:
    """(tracks, signals), each column with mean 0 and variance 1; a constant one becomes 0."""
    centred = signals - signals.mean(0)
    spread = centred.square().mean(0).sqrt()
    return torch.where(spread > 1e-6, centred / spread.clamp(min=1e-6), torch.zeros_like(centred))


def basis(rows: Tensor) -> Tensor:
    """(..., signals) -> (..., 2 signals)."""
    return torch.cat([rows, torch.log1p(rows.clamp(min=0))], -1)


@dataclass(frozen=True)
class Examples:
    """What listeners chose, out of some of the tracks: arrays over (listeners, tracks).

    rows: (listeners, tracks, signals), standardised over the catalogue. correction: the logarithm
    of how many tracks each one stands for, NEVER for none. chosen, heard: bool. traits:
    (listeners, TRAITS).
    """

    rows: Tensor
    correction: Tensor
    chosen: Tensor
    heard: Tensor
    traits: Tensor

    def __len__(self) -> int:
        return len(self.traits)

    def only(self, listeners: Tensor) -> "Examples":
        """These listeners."""
        return Examples(
            self.rows[listeners],
            self.correction[listeners],
            self.chosen[listeners],
            self.heard[listeners],
            self.traits[listeners],
        )


@dataclass(frozen=True)
class TrainedMixture:
    """The network, and what a held-out and a known listener's tracks cost it, in nats a track."""

    network: Mixture
    train_loss: float
    validation_loss: float

    def metrics(self) -> dict[str, float | int]:
        """For the manifest."""
        return {
            "experts": len(self.network.gates),
            "train_loss": round(self.train_loss, 6),
            "validation_loss": round(self.validation_loss, 6),
        }


def fit_mixture(examples: Examples, experts: Sequence[int] = EXPERTS) -> TrainedMixture:
    """The mixture whose number of experts tells the tracks of held-out listeners best, fitted anew
    on all listeners."""
    order = torch.randperm(len(examples))
    held, kept = order.split([cut := int(HELD_OUT * len(order)), len(order) - cut])
    tried = []
    for number in experts:
        network = _fit(examples.only(kept), number)
        tried.append((_cost(network, examples.only(held if cut else kept)), number))
    validation_loss, best = min(tried)
    network = _fit(examples, best)
    return TrainedMixture(network.eval(), _cost(network, examples), validation_loss)


def _fit(examples: Examples, experts: int) -> Mixture:
    network = Mixture(examples.rows.shape[2], examples.traits.shape[1], experts)
    network.centre = examples.traits.mean(0)
    network.spread = examples.traits.std(0, correction=0).clamp(min=1e-6)
    optimizer = torch.optim.LBFGS(
        network.parameters(), max_iter=ITERATIONS, history_size=20, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = loss(network, examples) + PRIOR / len(examples) * network.penalty()
        total.backward()
        return total

    optimizer.step(closure)
    return network


@torch.no_grad()
def _cost(network: Mixture, examples: Examples) -> float:
    return loss(network, examples).item()


def loss(network: Mixture, examples: Examples) -> Tensor:
    """The mean over listeners of a chosen track's negative log-probability: once among all tracks,
    once among those they had not heard, since both are asked for."""
    both = (_view(network, examples, heard_too) for heard_too in (True, False))
    parts = torch.cat(list(both))
    return parts.mean() if len(parts) else network.shared.sum() * 0


def _view(network: Mixture, examples: Examples, heard_too: bool) -> Tensor:
    """(listeners with a chosen track,)."""
    allowed = torch.ones_like(examples.heard) if heard_too else ~examples.heard
    chosen = examples.chosen & allowed
    judged = chosen.any(1)
    correction = examples.correction.masked_fill(~allowed, NEVER)
    logs = network.choose(examples.rows[judged], examples.traits[judged], correction[judged])
    chosen = chosen[judged]
    return -torch.where(chosen, logs, torch.zeros_like(logs)).sum(1) / chosen.sum(1)
