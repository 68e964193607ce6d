"""Contenders beside our models and the peers: the bounds between which all others lie."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from training.evaluation.lists import Lists, lists_of
from training.evaluation.split import Split

RANDOM = "random"
ORACLE = "oracle"

# From a split, the catalogue of its tracks, and k, to lists.
Contender = Callable[[Split, Catalogue, int], Lists]


def draw_at_random(split: Split, k: int, seed: int) -> Mapping[str, NDArray[np.int32]]:
    """Whoever does no better than this has learnt nothing, and on data without sense must not."""
    random = np.random.default_rng((seed, int(split.cutoff)))
    return lists_of(split, (random.random(split.tracks, np.float32) for _ in split.judged), k)
