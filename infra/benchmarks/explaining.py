"""Do the hybrid's explanations name the track without which the score would really fall most?"""

from collections.abc import Iterator, Sequence

import numpy as np

from infra.benchmarks.figures import Figure
from infra.benchmarks.listeners import MadeUp
from infra.benchmarks.serving import EXPLAINED, HYBRID
from segue.domain.plays import label_plays
from segue.features.encoder import FloatArray
from segue.features.listeners import history_of
from segue.models.bundle import Bundle
from segue.models.model import Listener
from segue.models.registry import load_model
from segue.ranking.lists import rank


def measure_explanations(bundle: Bundle, listeners: Sequence[MadeUp]) -> Iterator[Figure]:
    """Against the whole counterfactual: everything computed anew, the traits and all totals too, as
    if the track had never been played."""
    same, near = [], []
    for listener in listeners:
        quick, whole = _both(bundle, listener)
        same.append(100 * float((quick.argmax(0) == whole.argmax(0)).mean()))
        near.append(float(np.corrcoef(quick.ravel(), whole.ravel())[0, 1]))
    what = "explanations: the heard track named is that of the whole counterfactual"
    yield Figure.of(what, "%", same)
    yield Figure.of("explanations: correlation with the whole counterfactual", "", near)


def _both(bundle: Bundle, listener: MadeUp) -> tuple[FloatArray, FloatArray]:
    """What each heard track adds to each listed one, as explained and computed anew: two of (heard,
    EXPLAINED)."""
    catalogue, cutoff = bundle.catalogue, bundle.manifest.cutoff
    history = history_of(label_plays(listener.events), catalogue, cutoff)
    model, whole = load_model(HYBRID, bundle), Listener(listener.user, history)
    tracks = rank(model, whole, bundle, EXPLAINED).tracks
    found = model.contributions(whole, tracks)
    rest = [
        model.score(Listener(listener.user, history.only(history.tracks != track)))[tracks]
        for track in found.heard
    ]
    falls = np.log(model.score(whole)[tracks]) - np.log(np.maximum(rest, 1e-12))
    return found.amounts, falls.astype(np.float32)
