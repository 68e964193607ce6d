"""Model 3: the best of content, history and what all listeners do together."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from segue.domain.errors import BundleCorrupt
from segue.features.encoder import Encoder, FloatArray
from segue.features.listeners import History
from segue.models.bundle import Bundle
from segue.models.model import Contributions, Listener
from segue.models.signals import STANDING, Collective, signals, taste, traits

# So many of the tracks that count most are tried out in an explanation.
MAX_EXPLAINED = 16


class Hybrid:
    """A mixture of a few ways to choose a track, each by its own weighing of the signals.

    How likely a listener is to choose in which way follows from their traits. What was learnt, and
    how, stands in ``training/hybrid.py``.
    """

    history_days: ClassVar[int] = 365

    def __init__(self, bundle: Bundle) -> None:
        self._collective = read_collective(bundle)
        self._network = bundle.session("hybrid/mixture.onnx")

    def score(self, listener: Listener) -> FloatArray:
        return self._choose(signals(self._collective, listener.history), listener.history)

    def contributions(self, listener: Listener, tracks: NDArray[np.intp]) -> Contributions:
        """How far each track's log-probability would fall without the plays of a heard track, and
        how far if all tracks stood alike with everybody."""
        history = listener.history
        whole = self.score(listener)[tracks]
        heard = _strongest(history)
        amounts = [whole - self._without(history, track)[tracks] for track in heard]
        levelled = signals(self._collective, history)
        levelled[:, : len(STANDING)] = 0
        popularity = whole - self._choose(levelled, history)[tracks]
        return Contributions(
            heard, np.array(amounts, np.float32).reshape(len(heard), len(tracks)),
            {"popularity": popularity},
        )  # fmt: skip

    def _without(self, history: History, track: np.int32) -> FloatArray:
        rest = history.only(history.tracks != track)
        if not len(rest):
            return np.zeros(len(self._collective), np.float32)
        return self._choose(signals(self._collective, rest), rest)

    def _choose(self, rows: FloatArray, history: History) -> FloatArray:
        feeds = {"signals": rows, "traits": traits(self._collective, history)}
        scores: FloatArray = self._network.run(["scores"], feeds)[0]
        return scores


def read_collective(bundle: Bundle) -> Collective:
    """The collective part of a bundle. Raises BundleCorrupt."""
    constants = bundle.json("hybrid/constants.json")
    try:
        confidence, ridge = float(constants["confidence"]), float(constants["ridge"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleCorrupt(f"{bundle.path}/hybrid/constants.json: {error!r}") from error
    return Collective(
        standing=bundle.array("hybrid/standing.npy"),
        rows=bundle.array("hybrid/rows.npy"),
        neighbours=bundle.array("hybrid/neighbours.npy"),
        weights=bundle.array("hybrid/weights.npy").astype(np.float32),
        factors=bundle.array("hybrid/factors.npy").astype(np.float32),
        waves=bundle.array("hybrid/waves.npy").astype(np.float32),
        reach=bundle.array("hybrid/reach.npy"),
        confidence=confidence,
        ridge=ridge,
        artist=bundle.catalogue.artists,
        genres=bundle.features[:, genre_columns(bundle.encoder)].astype(np.float32),
        latents=bundle.latents,
    )


def genre_columns(encoder: Encoder) -> NDArray[np.bool_]:
    """(track_width,) which inputs are genres, or other labels of which a track has several."""
    kept = [np.full(one.width, one.feature.kind == "multi_hot") for one in encoder.track]
    return np.concatenate([np.empty(0, np.bool_), *kept])


def _strongest(history: History) -> NDArray[np.int32]:
    own = taste(history)
    order = np.argsort(-(own.slow + own.intensity), kind="stable")[:MAX_EXPLAINED]
    return own.tracks[order].astype(np.int32)
