"""The hybrid as a model: the tracks that a listener's next full play most likely is of."""

from dataclasses import fields
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray
from segue.features.listeners import History
from segue.models.bundle import Bundle
from segue.models.hybrid.gates import Gates, repeats, traits
from segue.models.hybrid.sources import COMMON, Votes, votes_for, votes_of
from segue.models.hybrid.statistics import Followers, Neighbours, Patterns, Statistics
from segue.models.hybrid.summary import Summary, summarise
from segue.models.model import Contributions, Listener, Model
from segue.models.ranked import Forbidden, Ranked, best
from segue.models.vectors import Vectors

# So many of the tracks that count most are tried out in an explanation.
MAX_EXPLAINED = 16
# What a track is left with where nothing speaks for it, so that there is a logarithm.
_LEAST = 1e-12


class _Mixture(NamedTuple):
    """How the sources are mixed for one listener. own: (n,) what the shares of the tracks of their
    summary are multiplied by."""

    parts: FloatArray
    own: FloatArray


class _Asked(NamedTuple):
    """What a listener's list and its reasons both follow from."""

    listener: Listener
    own: Summary
    mixture: _Mixture
    votes: Votes


class Hybrid(Model):
    """Scores a track by its share in a mixture of sources; see ``sources``.

    A share is the chance that the listener's next full play is of that track. How much of each
    source a listener gets follows from their traits; a track that they have heard gets more or less
    by how readily such listeners repeat. ``training/models/hybrid/mixture.py`` fits both.
    """

    history_days: ClassVar[int] = 365

    def __init__(self, bundle: Bundle) -> None:
        self._statistics = bundle.derived(read_statistics)
        self._gates = read_gates(bundle)
        self._latest: _Asked | None = None

    def score(self, listener: Listener) -> FloatArray:
        own = summarise(listener.history)
        votes = votes_of(self._statistics, own, all_tracks=True)
        shares = np.empty(len(self._statistics), np.float32)
        shares[votes.tracks] = _shares(votes, self._mixture(listener.history, own))[0]
        return shares

    def best(self, listener: Listener, k: int, forbidden: Forbidden | None = None) -> Ranked:
        """As if all tracks were scored; but most of the tail is not, as long as none of it can get
        among the best."""
        asked = self._asked(listener)
        mixture, votes = asked.mixture, asked.votes
        found = best(_shares(votes, mixture)[0], k, forbidden, votes.tracks)
        complete = len(votes.tracks) == len(self._statistics)
        bar = found.scores[-1] if len(found.scores) == k else -np.inf
        if complete or (votes.weights(mixture.parts) * votes.most).sum() < bar:
            return found
        votes = votes_of(self._statistics, asked.own, all_tracks=True, forbidden=forbidden)
        return best(_shares(votes, mixture)[0], k, forbidden, votes.tracks)

    def contributions(self, listener: Listener, tracks: NDArray[np.intp]) -> Contributions:
        """How far the logarithm of each track's share would fall without the plays of a heard
        track, the listener being taken for the same kind of listener; and how far without what is
        the same for everybody."""
        asked = self._asked(listener)
        own, mixture, totals = asked.own, asked.mixture, asked.votes.totals
        heard = np.argsort(-(own.taste + (own.plays > 0)), kind="stable")[:MAX_EXPLAINED]
        # The listener as they are comes first, then one for each track that they might not know.
        kept = np.ones((len(heard) + 1, len(own)), np.float32)
        kept[np.arange(len(heard)) + 1, heard] = 0
        listed, places = np.unique(tracks, return_inverse=True)
        votes = votes_for(self._statistics, own, kept, listed, totals)
        logs = np.log(np.maximum(_shares(votes, mixture, kept), _LEAST))[:, places]
        personal = mixture.parts.copy()
        personal[: len(COMMON)] = 0
        alone = _shares(votes, _Mixture(personal, mixture.own), kept)[0, places]
        return Contributions(
            own.tracks[heard].astype(np.int32),
            logs[0] - logs[1:],
            {"popularity": logs[0] - np.log(np.maximum(alone, _LEAST))},
        )

    def _asked(self, listener: Listener) -> _Asked:
        """Kept until another listener is asked about: reasons are asked for right after a list."""
        if self._latest is None or self._latest.listener is not listener:
            own = summarise(listener.history)
            mixture = self._mixture(listener.history, own)
            self._latest = _Asked(listener, own, mixture, votes_of(self._statistics, own))
        return self._latest

    def _mixture(self, history: History, own: Summary) -> _Mixture:
        scaled = self._gates.scaled(traits(self._statistics, history, own))
        return _Mixture(self._gates.parts(scaled), self._gates.readiness(scaled, repeats(own)))


def _shares(votes: Votes, mixture: _Mixture, kept: FloatArray | None = None) -> FloatArray:
    """(v, n) of the tracks voted for; kept as in ``votes_for``, None for all."""
    shares = np.zeros_like(votes.votes[:, 0])
    # Not a matrix product: in that, the last digit of a sum depends on how many others there are.
    for place, weights in enumerate(votes.weights(mixture.parts).T):
        if weights.any():
            shares += weights[:, None] * votes.votes[:, place]
    factors = mixture.own[votes.heard]
    shares[:, votes.places] *= factors if kept is None else factors ** kept[:, votes.heard]
    return shares


def read_gates(bundle: Bundle) -> Gates:
    """What was learnt. Raises BundleCorrupt."""
    return Gates(
        **{one.name: bundle.array(f"hybrid/gates/{one.name}.npy") for one in fields(Gates)}
    )


def read_statistics(bundle: Bundle) -> Statistics:
    """What the sources are computed from. Raises BundleCorrupt."""
    network = bundle.session("hybrid/products.onnx")

    def vectors(name: str) -> Vectors:
        numbers, scale = (bundle.array(f"hybrid/{name}{part}.npy") for part in ("", "_scale"))
        return Vectors(numbers, scale, network)

    return Statistics(
        popularity=bundle.array("hybrid/popularity.npy"),
        unplayed=bundle.array("hybrid/unplayed.npy"),
        head=bundle.array("hybrid/head.npy"),
        neighbours=Neighbours(vectors("neighbours"), bundle.array("hybrid/neighbours_gain.npy")),
        patterns=Patterns(vectors("patterns"), bundle.array("hybrid/patterns_gain.npy")),
        factors=vectors("factors"),
        followers=read_followers(bundle, "followers"),
        artist_followers=read_followers(bundle, "artist_followers"),
        artist=bundle.catalogue.artists,
        genres=bundle.track_genres,
        precomputed=bundle.precomputed,
    )


def read_followers(bundle: Bundle, name: str) -> Followers:
    """What follows tracks ("followers") or artists ("artist_followers"). Raises BundleCorrupt."""
    arrays = (bundle.array(f"hybrid/{name}_{field}.npy") for field in Followers._fields)
    return Followers(*arrays)
