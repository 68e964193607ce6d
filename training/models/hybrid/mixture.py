"""The mixture inside the hybrid: which sources listeners' plays come from, fitted with PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.features.encoder import FloatArray
from segue.models.hybrid.gates import MOST_REPEAT, Gates

# The weight of the Gaussian prior, in listeners: on how a source's part follows from the traits, on
# the parts themselves, and on repeats.
PRIOR = 2.0
PRIOR_OF_PARTS = 0.1
PRIOR_OF_TRAITS = 4.0
ITERATIONS = 60
# Less than this a step does not lower the loss of an example for it to be worth another one.
ENOUGH = 2e-5
# Examples are fitted in groups of like length, which spares half of the padding.
GROUP = 100
# Every so many-th listener is held out, to measure what the others teach.
HELD_OUT = 5


@dataclass(frozen=True)
class Example:
    """One listener at a moment: the candidates for the head of a list, and which they chose.

    Only these count: most of what listeners choose can never get to the head of a list, and would
    teach little else than that. shares: (len(SOURCES), n) float32, from ``sources``. repeats:
    (REPEATS, n) float32, 0 but for heard tracks. chosen, heard: (n,) bool. traits: (TRAITS,)
    float32. user: whose example it is.
    """

    shares: FloatArray
    repeats: FloatArray
    chosen: NDArray[np.bool_]
    heard: NDArray[np.bool_]
    traits: FloatArray
    user: int


@dataclass(frozen=True)
class TrainedMixture:
    """The gates, and what a track chosen by a known and by a held-out listener costs, in nats; 0
    where none is held out."""

    gates: Gates
    train_loss: float
    validation_loss: float

    def metrics(self) -> dict[str, float | int]:
        """For the manifest."""
        losses: dict[str, float | int] = {"train_loss": round(self.train_loss, 6)}
        if self.validation_loss:
            losses["validation_loss"] = round(self.validation_loss, 6)
        return losses


class Mixture(nn.Module):
    """The parts and the readiness to repeat, from scaled traits; see ``Gates``."""

    def __init__(self, sources: int, counts: int, traits: int) -> None:
        super().__init__()
        self.shares = nn.Parameter(torch.zeros(sources, traits))
        self.repeats = nn.Parameter(torch.zeros(counts, traits))

    def forward(self, shares: Tensor, repeats: Tensor, traits: Tensor) -> tuple[Tensor, Tensor]:
        """(listeners, sources, tracks), (listeners, counts, tracks), (listeners, traits) ->
        (listeners, tracks) twice: shares in the mixture, and the factors that repeats put to them.
        """
        parts = torch.softmax(traits @ self.shares.T, 1)
        mixed = (parts[:, None] @ shares)[:, 0]
        readiness = ((traits @ self.repeats.T)[:, None] @ repeats)[:, 0]
        return mixed, readiness.clamp(-MOST_REPEAT, MOST_REPEAT).exp()

    def penalty(self) -> Tensor:
        """What the prior costs."""
        of_traits = PRIOR_OF_TRAITS * self.shares[:, 1:].square().sum()
        return (
            of_traits
            + PRIOR_OF_PARTS * self.shares[:, 0].square().sum()
            + (self.repeats.square().sum())
        )


@dataclass(frozen=True)
class _Group:
    """Examples as tensors over (listeners, ..., tracks), padded with tracks of no share."""

    shares: Tensor
    repeats: Tensor
    chosen: Tensor
    heard: Tensor
    traits: Tensor


def fit_mixture(examples: Sequence[Example], last: Gates | None = None) -> TrainedMixture:
    """The gates of all examples, and how well those of most would do for the rest. last: gates to
    begin with. They know the listeners, so that then none can be held out."""
    if last is not None:
        gates = _fit(examples, last)
        return TrainedMixture(gates, _cost(gates, examples), 0.0)
    users = np.unique([example.user for example in examples])
    held = set(users[::HELD_OUT].tolist()) if len(users) > 1 else set()
    known = [example for example in examples if example.user not in held]
    unknown = [example for example in examples if example.user in held]
    learnt = _fit(known, _even(examples))
    validation = _cost(learnt, unknown) if held else 0.0
    # Those that were held out change little, so this is a short way.
    gates = _fit(examples, learnt) if held else learnt
    return TrainedMixture(gates, _cost(gates, examples), validation)


def _even(examples: Sequence[Example]) -> Gates:
    """All sources alike for everybody."""
    traits = np.stack([example.traits for example in examples])
    first = examples[0]
    return Gates(
        centre=traits.mean(0),
        spread=np.maximum(traits.std(0), np.float32(1e-6)),
        shares=np.zeros((len(first.shares), traits.shape[1]), np.float32),
        repeats=np.zeros((len(first.repeats), traits.shape[1]), np.float32),
    )


def _fit(examples: Sequence[Example], start: Gates) -> Gates:
    network, groups = _network(start), _groups(examples, start)
    optimizer = torch.optim.LBFGS(
        network.parameters(),
        max_iter=ITERATIONS,
        tolerance_change=ENOUGH,
        history_size=15,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        optimizer.zero_grad()
        total = 0.0
        # Group by group, so that one group's sums are in memory at a time.
        for group in groups:
            part = _losses(network, group).sum() / len(examples)
            part.backward()
            total += part.item()
        prior = PRIOR / len(examples) * network.penalty()
        prior.backward()
        return total + prior.item()

    optimizer.step(closure)
    return replace(
        start,
        shares=network.shares.detach().numpy().copy(),
        repeats=network.repeats.detach().numpy().copy(),
    )


def _network(gates: Gates) -> Mixture:
    network = Mixture(len(gates.shares), len(gates.repeats), len(gates.centre))
    with torch.no_grad():
        network.shares.copy_(torch.from_numpy(gates.shares))
        network.repeats.copy_(torch.from_numpy(gates.repeats))
    return network


@torch.no_grad()
def _cost(gates: Gates, examples: Sequence[Example]) -> float:
    network = _network(gates)
    losses = [_losses(network, group) for group in _groups(examples, gates)]
    return torch.cat(losses).mean().item()


def _losses(network: Mixture, group: _Group) -> Tensor:
    """(listeners,) what the chosen tracks cost: the mean negative logarithm of their shares among
    all tracks of the example, and of the new ones' among the new, since both lists are asked for.
    """
    shares, factors = network(group.shares, group.repeats, group.traits)
    new = ~group.heard & (shares > 0)
    return 0.5 * (
        _surprise(shares * factors, group.chosen) + _surprise(shares * new, group.chosen & new)
    )


def _surprise(weights: Tensor, chosen: Tensor) -> Tensor:
    shares = weights / weights.sum(1, keepdim=True).clamp(min=1e-12)
    logs = torch.where(chosen, shares.clamp(min=1e-12), 1.0).log()
    return -logs.sum(1) / chosen.sum(1).clamp(min=1)


def _groups(examples: Sequence[Example], gates: Gates) -> list[_Group]:
    order = sorted(range(len(examples)), key=lambda place: len(examples[place].chosen))
    return [
        _group([examples[place] for place in order[start : start + GROUP]], gates)
        for start in range(0, len(order), GROUP)
    ]


def _group(examples: Sequence[Example], gates: Gates) -> _Group:
    longest = max(len(example.chosen) for example in examples)

    def padded(name: str) -> Tensor:
        first = getattr(examples[0], name)
        filled = np.zeros((len(examples), *first.shape[:-1], longest), first.dtype)
        for row, example in enumerate(examples):
            filled[row, ..., : len(example.chosen)] = getattr(example, name)
        return torch.from_numpy(filled)

    scaled = np.stack([gates.scaled(example.traits) for example in examples])
    return _Group(
        padded("shares"),
        padded("repeats"),
        padded("chosen"),
        padded("heard"),
        torch.from_numpy(scaled),
    )
