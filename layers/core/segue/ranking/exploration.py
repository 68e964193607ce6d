"""Exploration: a list drawn at random, good tracks more likely, with the odds of every draw."""

from random import Random

import numpy as np
from numpy.typing import NDArray

# Below, a draw can hardly differ from the best k, and the odds leave the range of a float.
_COLDEST = 1e-3

# Steps between 0 and 1; half of one is added, so that neither end is ever drawn.
_BITS = 52


def explore(
    ranked: NDArray[np.intp], k: int, temperature: float, random: Random
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Draw ``k`` of the tracks, given best first; the draw, and the propensity of each in it.

    One after the other, without putting back, a track is drawn with odds in proportion to
    ``rank^(-1 / temperature)`` (the model of Plackett and Luce). So only the order counts, as for
    every model, and at temperature 1 the odds are Zipf's law; towards 0 the list is the best k.
    A propensity is the probability of the track at its place, given those drawn before it: their
    product is the probability of the list. temperature: above 0.

    The draw is the k greatest of log odds plus Gumbel noise, which is the same thing in one step:
    Kool, van Hoof & Welling, "Stochastic beams and where to find them", ICML 2019.
    """
    log_odds = -np.log(np.arange(1, len(ranked) + 1)) / max(temperature, _COLDEST)
    uniform = [(random.getrandbits(_BITS) + 0.5) / 2**_BITS for _ in ranked]
    noise = -np.log(-np.log(uniform))
    order = np.argsort(-(log_odds + noise), kind="stable")
    drawn, rest = log_odds[order[:k]], log_odds[order[k:]]
    # What could be drawn at each place: those that never were, and those that were from there on.
    # Summed up from the end, because taking away from the whole would leave nothing but rounding.
    left = np.logaddexp.accumulate([np.logaddexp.reduce(rest), *drawn[::-1]])[:0:-1]
    return ranked[order[:k]], np.exp(drawn - left)
