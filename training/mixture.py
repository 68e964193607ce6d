"""The hybrid's network: a mixture of a few ways to choose a track."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# How many ways of choosing there are, and how much a Gaussian prior on all weights counts, against
# one listener. Held-out users would have the prior weaker, but they chose in the same month: a
# month later, with the weights as old as they are when served, this one is better on all data.
EXPERTS = 8
PRIOR = 16.0
# By so many listeners, the one half by the other, overfitting is told.
MEASURED = 600
FOLDS = 2
ITERATIONS = 60
# Listeners are computed in so many groups of like length.
GROUPS = 6
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
        rows = basis(standardised(signals))
        return self.mix(self.weigh(rows)[None], traits[None])[0]

    def weigh(self, rows: Tensor) -> Tensor:
        """(..., tracks, 2 signals), from ``basis`` -> (..., experts, tracks), logits."""
        return (self.shared + self.own) @ rows.transpose(-1, -2)

    def mix(self, logits: Tensor, traits: Tensor) -> Tensor:
        """(listeners, experts, tracks), (listeners, TRAITS) -> (listeners, tracks),
        log-probabilities among these tracks."""
        ways = torch.log_softmax(self._traits(traits) @ self.gates.T, -1)
        return torch.logsumexp(torch.log_softmax(logits, -1) + ways[..., None], 1)

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

    rows: (listeners, tracks, 2 signals), from ``basis``. correction: the logarithm
    of how many tracks each one stands for, NEVER for none. chosen, heard: bool. traits:
    (listeners, TRAITS). users: (listeners,) int64, whose examples these are.
    """

    rows: Tensor
    correction: Tensor
    chosen: Tensor
    heard: Tensor
    traits: Tensor
    users: Tensor

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
            self.users[listeners],
        )

    def grouped(self) -> "list[Examples]":
        """The same in groups of like length, each without the padding that only a longer one needs:
        nearly half of all where there is but one group."""
        lengths = (self.correction > NEVER).sum(1)
        groups = lengths.argsort().chunk(GROUPS)
        return [self.only(group)._cut(int(lengths[group].max())) for group in groups if len(group)]

    def _cut(self, length: int) -> "Examples":
        return Examples(
            self.rows[:, :length],
            self.correction[:, :length],
            self.chosen[:, :length],
            self.heard[:, :length],
            self.traits,
            self.users,
        )


@dataclass(frozen=True)
class TrainedMixture:
    """The network, and what a known and a held-out user's tracks cost it, in nats a track."""

    network: Mixture
    train_loss: float
    validation_loss: float

    def metrics(self) -> dict[str, float | int]:
        """For the manifest."""
        return {
            "train_loss": round(self.train_loss, 6),
            "validation_loss": round(self.validation_loss, 6),
        }


def fit_mixture(examples: Examples) -> TrainedMixture:
    """The mixture of all listeners, and how well it would do without some of them."""
    validation_loss = _held_out_cost(examples.only(torch.randperm(len(examples))[:MEASURED]))
    network = _fit(examples)
    return TrainedMixture(network.eval(), _cost(network, examples), validation_loss)


def _held_out_cost(examples: Examples) -> float:
    """What the tracks of users cost who were held out; 0 where there is but one user."""
    users = examples.users.unique()
    fold_of_user = torch.randperm(len(users)) % FOLDS
    fold = fold_of_user[torch.searchsorted(users, examples.users)]
    costs = [
        _cost(_fit(examples.only(fold != held)), examples.only(fold == held))
        for held in range(FOLDS if len(users) >= FOLDS else 0)
    ]
    return sum(costs) / max(len(costs), 1)


def _fit(examples: Examples) -> Mixture:
    network = Mixture(examples.rows.shape[2] // 2, examples.traits.shape[1], EXPERTS)
    network.centre = examples.traits.mean(0)
    network.spread = examples.traits.std(0, correction=0).clamp(min=1e-6)
    optimizer = torch.optim.LBFGS(
        network.parameters(), max_iter=ITERATIONS, history_size=20, line_search_fn="strong_wolfe"
    )

    groups = examples.grouped()

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = loss(network, groups) + PRIOR / len(examples) * network.penalty()
        total.backward()
        return total

    optimizer.step(closure)
    return network


@torch.no_grad()
def _cost(network: Mixture, examples: Examples) -> float:
    return loss(network, examples.grouped()).item()


def loss(network: Mixture, groups: Sequence[Examples]) -> Tensor:
    """The mean over listeners of a chosen track's negative log-probability: once among all tracks,
    once among those they had not heard, since both are asked for."""
    parts = [part for examples in groups for part in _surprises(network, examples)]
    each = torch.cat(parts) if parts else torch.empty(0)
    return each.mean() if len(each) else network.shared.sum() * 0


def _surprises(network: Mixture, examples: Examples) -> tuple[Tensor, Tensor]:
    logits = network.weigh(examples.rows) + examples.correction[:, None]
    everything = torch.ones_like(examples.heard)
    return (
        _surprise(network, examples, logits, everything),
        _surprise(network, examples, logits, ~examples.heard),
    )


def _surprise(network: Mixture, examples: Examples, logits: Tensor, allowed: Tensor) -> Tensor:
    """(listeners with a chosen track among the allowed,)."""
    chosen = examples.chosen & allowed
    judged = chosen.any(1)
    logits = logits[judged].masked_fill(~allowed[judged, None], NEVER)
    logs = network.mix(logits, examples.traits[judged])
    chosen = chosen[judged]
    return -torch.where(chosen, logs, torch.zeros_like(logs)).sum(1) / chosen.sum(1)
