"""A peer's settings, chosen on a split that lies wholly before the one it is reported on."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from training.peers.lists import Lists, ndcg, outcomes, recommend
from training.peers.peer import SEED, IntArray, Peer, Setting
from training.protocol.split import Split

# So many users tell settings apart well enough, however many there are.
_USERS = 1_000


@dataclass(frozen=True)
class Choice:
    """A setting; whether view ``any`` may repeat; the earlier split's mean nDCG over the views.

    The nDCG is None where the default was taken, there being nothing to choose by.
    """

    setting: Setting
    repeats: bool
    ndcg: float | None = None


def default(peer: type[Peer]) -> Choice:
    """What is taken where no earlier split says what is best."""
    return Choice(peer.grid[0], peer.repeats[0])


def choose(peer: type[Peer], earlier: Split, k: int, step: Callable[[], None]) -> Choice:
    """The best of the grid; of equals the first. ``step`` is called after each setting."""
    if len(peer.grid) * len(peer.repeats) == 1 or not len(earlier.judged):
        return default(peer)
    earlier = _some_users(earlier)
    played, new = outcomes(earlier)
    choices = []
    candidate = peer()
    for setting in peer.grid:
        candidate.fit(earlier, **setting)
        lists = recommend(candidate, earlier, k)
        on_new = ndcg(lists.unheard, new)
        for repeats in peer.repeats:
            on_any = ndcg(view_any(lists, repeats), played)
            choices.append(Choice(setting, repeats, float(np.nanmean([on_any, on_new]))))
        step()
    return max(choices, key=lambda choice: choice.ndcg or 0.0)


def _some_users(split: Split) -> Split:
    """The split with at most so many of the judged users, drawn at random."""
    judged = len(split.judged)
    if judged <= _USERS:
        return split
    drawn = np.sort(np.random.default_rng(SEED).choice(judged, _USERS, replace=False))
    counts = np.diff(split.offsets)
    kept = np.repeat(np.isin(np.arange(judged), drawn), counts)
    return replace(
        split,
        judged=split.judged[drawn],
        offsets=np.concatenate([[0], np.cumsum(counts[drawn])]),
        outcomes=split.outcomes[kept],
    )


def fit_and_recommend(peer: type[Peer], setting: Setting, split: Split, k: int) -> Lists:
    """The lists of a peer that is fitted on the split with this setting."""
    fitted = peer()
    fitted.fit(split, **setting)
    return recommend(fitted, split, k)


def view_any(lists: Lists, repeats: bool) -> IntArray:
    """The lists of view ``any``."""
    return lists.everything if repeats else lists.unheard
