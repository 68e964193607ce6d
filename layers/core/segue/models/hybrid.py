"""Model 3: a mixture of everything that a listener's next play may come from."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import Encoder, FloatArray
from segue.features.listeners import History
from segue.models.bundle import Bundle
from segue.models.model import Contributions, Listener
from segue.models.sources import COMMON, Statistics, repeats, sources, summarise, traits

# So many of the tracks that count most are tried out in an explanation.
MAX_EXPLAINED = 16
# Neither a trait nor what it does to a repeat may run away.
MOST_DEVIATIONS = 3.0
MOST_REPEAT = 8.0


@dataclass(frozen=True)
class Gates:
    """How much of each source a listener gets, and how readily they repeat.

    centre, spread: (TRAITS,) of the traits it was fitted on. shares: (len(SOURCES), TRAITS), from
    scaled traits to the logits of the sources. repeats: (REPEATS, TRAITS), from scaled traits to
    what each count adds to the logarithm of a heard track's share.
    """

    centre: FloatArray
    spread: FloatArray
    shares: FloatArray
    repeats: FloatArray

    def scaled(self, traits: FloatArray) -> FloatArray:
        """(TRAITS,) the traits in deviations from the mean; the first stays 1."""
        deviations = (traits - self.centre) / self.spread
        scaled: FloatArray = np.clip(deviations, -MOST_DEVIATIONS, MOST_DEVIATIONS)
        scaled[0] = 1
        return scaled


class Hybrid:
    """Scores a track by the logarithm of its share in a mixture of sources; see ``sources``.

    A share is the chance that the listener's next full play is of that track. How much of each
    source a listener gets follows from their traits; a track that they have heard gets more or less
    by how readily such listeners repeat. ``training/models/hybrid/mixture.py`` fits both.
    """

    history_days: ClassVar[int] = 365

    def __init__(self, bundle: Bundle) -> None:
        self._statistics = read_statistics(bundle)
        self._gates = read_gates(bundle)

    def score(self, listener: Listener) -> FloatArray:
        return self._score(listener.history)

    def contributions(self, listener: Listener, tracks: NDArray[np.intp]) -> Contributions:
        """How far the logarithm of each track's share would fall without the plays of a heard
        track, and how far without what is the same for everybody."""
        history = listener.history
        whole = self._score(history)[tracks]
        heard = _strongest(history)
        amounts = [whole - self._without(history, track)[tracks] for track in heard]
        alone = self._score(history, personal_only=True)[tracks]
        return Contributions(
            heard,
            np.array(amounts, np.float32).reshape(len(heard), len(tracks)),
            {"popularity": whole - alone},
        )

    def _without(self, history: History, track: np.int32) -> FloatArray:
        rest = history.only(history.tracks != track)
        return self._score(rest) if len(rest) else np.log(self._statistics.recent)

    def _score(self, history: History, *, personal_only: bool = False) -> FloatArray:
        scaled = self._gates.scaled(traits(self._statistics, history))
        logits = self._gates.shares @ scaled
        parts = np.exp(logits - logits.max())
        parts /= parts.sum()
        if personal_only:
            parts[: len(COMMON)] = 0
        shares = parts @ sources(self._statistics, history)
        own = summarise(history)
        readiness = np.clip(
            repeats(own) @ (self._gates.repeats @ scaled), -MOST_REPEAT, MOST_REPEAT
        )
        shares[own.tracks] *= np.exp(readiness)
        # Whatever is left out of the mixture, no logarithm is taken of nothing.
        scores: FloatArray = np.log(np.maximum(shares, np.float32(1e-12)))
        return scores


def read_gates(bundle: Bundle) -> Gates:
    """What was learnt. Raises BundleCorrupt."""
    names = ("centre", "spread", "shares", "repeats")
    return Gates(**{name: bundle.array(f"hybrid/gates/{name}.npy") for name in names})


def read_statistics(bundle: Bundle) -> Statistics:
    """What the sources are computed from. Raises BundleCorrupt."""
    return Statistics(
        popularity=bundle.array("hybrid/popularity.npy"),
        rows=bundle.array("hybrid/rows.npy"),
        neighbours=bundle.array("hybrid/neighbours.npy"),
        weights=bundle.array("hybrid/weights.npy").astype(np.float32),
        factors=bundle.array("hybrid/factors.npy").astype(np.float32),
        basis=bundle.array("hybrid/basis.npy").astype(np.float32),
        audience=bundle.array("hybrid/audience.npy"),
        artist=bundle.catalogue.artists,
        genres=bundle.features[:, genre_columns(bundle.encoder)].astype(np.float32),
    )


def genre_columns(encoder: Encoder) -> NDArray[np.bool_]:
    """(track_width,) which inputs are genres, or other labels of which a track has several."""
    kept = [np.full(one.width, one.feature.kind == "multi_hot") for one in encoder.track]
    return np.concatenate([np.empty(0, np.bool_), *kept])


def _strongest(history: History) -> NDArray[np.int32]:
    own = summarise(history)
    order = np.argsort(-(own.taste + (own.plays > 0)), kind="stable")[:MAX_EXPLAINED]
    return own.tracks[order].astype(np.int32)
