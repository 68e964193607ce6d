"""The list: from a model and a listener to the tracks that are recommended, best first."""

from collections.abc import Sequence
from functools import partial

from segue.features.encoder import FloatArray
from segue.models.bundle import Bundle
from segue.models.cold_start import cold_start_scores
from segue.models.model import Listener, Model
from segue.models.ranked import Forbidden, Ranked, best
from segue.ranking.boosts import Factors, best_boosted
from segue.ranking.diversity import pool_size, rerank
from segue.ranking.genres import listener_mix
from segue.ranking.space import track_vectors


def rank(
    model: Model,
    listener: Listener,
    bundle: Bundle,
    k: int,
    *,
    forbidden: Forbidden | None = None,
    factors: Factors | None = None,
    diversity: float = 0.0,
    pool: int | None = None,
) -> Ranked:
    """A list of ``k`` tracks; fewer where fewer are allowed. The service and the evaluation call
    this; beside it, ``rank_each`` alone makes lists.

    forbidden: (tracks,) True for those that must not be on it. factors: what each track's score is
    multiplied by before anything else. diversity: 0 by score alone, to 1, as diverse as ``rerank``
    makes it of the ``pool`` best tracks (None: ``pool_size(k)``). Who has played nothing gets the
    cold start.
    """
    candidates = k if diversity == 0 else pool or pool_size(k)
    ask = partial(_best, model, listener, bundle)
    if factors is None:
        found = ask(candidates, forbidden)
    else:
        logarithmic = model.logarithmic and len(listener.history) > 0
        found = best_boosted(ask, candidates, forbidden, factors, logarithmic=logarithmic)
    if diversity == 0:
        return found
    genres = bundle.track_genres
    mix = listener_mix(listener, genres)
    return rerank(found, k, diversity, vectors=track_vectors(bundle), genres=genres, mix=mix)


def rank_each(
    model: Model,
    listeners: Sequence[Listener],
    bundle: Bundle,
    k: int,
    *,
    forbidden: Forbidden | None = None,
) -> list[Ranked]:
    """For each listener the list that ``rank`` makes, where the model can, with one product of
    matrices for all of them."""
    played = [listener for listener in listeners if len(listener.history)]
    lists = iter(model.best_of_each(played, k, forbidden) if played else ())
    return [
        next(lists) if len(listener.history) else _best(model, listener, bundle, k, forbidden)
        for listener in listeners
    ]


def all_scores(model: Model, listener: Listener, bundle: Bundle) -> FloatArray:
    """(tracks,) what the list goes by."""
    if len(listener.history) == 0:
        return cold_start_scores(listener.user, bundle.catalogue)
    return model.score(listener)


def _best(
    model: Model, listener: Listener, bundle: Bundle, k: int, forbidden: Forbidden | None
) -> Ranked:
    if len(listener.history) == 0:
        return best(all_scores(model, listener, bundle), k, forbidden)
    return model.best(listener, k, forbidden)
