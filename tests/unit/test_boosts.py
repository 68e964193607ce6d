"""Boosts: the list is that of scoring every track and multiplying."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segue.api.recommendations import MAX_BOOSTS
from segue.domain.errors import InvalidFilter
from segue.domain.users import User
from segue.features.encoder import FloatArray
from segue.features.listeners import History, history_of
from segue.models.bundle import Bundle
from segue.models.cold_start import cold_start_scores
from segue.models.model import Listener
from segue.models.ranked import best
from segue.models.registry import REGISTRY, load_model
from segue.ranking.boosts import best_boosted, factors_of
from segue.ranking.filters import matching
from segue.ranking.lists import rank
from tests.unit.test_filters import BUNDLE

SIZE = len(BUNDLE.catalogue)
EXPRESSIONS = ["explicit", "year == 1999", 'genre == "jazz"', 'title == "łódź"', "energy < 9"]
scores = arrays(
    np.float32, SIZE, elements=st.sampled_from([-np.inf, 0, 1e-30, 0.25, 1, 1.5, 3, 1e9])
)
factors = st.floats(0.01, 100, exclude_min=True)
boosts = st.lists(st.tuples(st.sampled_from(EXPRESSIONS), factors), max_size=MAX_BOOSTS)
masks = st.none() | arrays(np.bool_, SIZE)


def multiplied(values: FloatArray, wanted: list[tuple[str, float]]) -> np.ndarray:
    product = np.ones(SIZE)
    for where, factor in wanted:
        product[matching(where, BUNDLE)] *= factor
    return values * product


@given(scores, boosts, masks, st.integers(1, SIZE + 1))
def test_the_best_are_those_of_multiplying_every_score(
    values: FloatArray,
    wanted: list[tuple[str, float]],
    forbidden: np.ndarray | None,
    k: int,
) -> None:
    factors = factors_of(wanted, BUNDLE)
    expected = best(multiplied(values, wanted), k, forbidden)
    if factors is None:
        assert wanted == []
        return
    found = best_boosted(partial(best, values), k, forbidden, factors, logarithmic=False)
    assert found.tracks.tolist() == expected.tracks.tolist()
    assert found.scores == pytest.approx(expected.scores, rel=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.floats(1, 100), st.floats(0, 3))
def test_a_long_catalogue_is_looked_at_as_far_as_it_takes(
    seed: int, k: int, factor: float, steepness: float
) -> None:
    random = np.random.default_rng(seed)
    values = (random.permutation(np.arange(1, 5_001)) ** -steepness).astype(np.float32)
    factors = np.where(random.random(5_000) < 0.01, factor, 1.0)
    forbidden = random.random(5_000) < 0.3
    found = best_boosted(partial(best, values), k, forbidden, factors, logarithmic=False)
    expected = best(values * factors, k, forbidden)
    assert found.tracks.tolist() == expected.tracks.tolist()


@given(scores, boosts, st.integers(1, SIZE))
def test_of_logarithms_the_order_is_that_of_multiplying_what_they_stand_for(
    values: FloatArray, wanted: list[tuple[str, float]], k: int
) -> None:
    factors = factors_of(wanted, BUNDLE)
    if factors is None:
        return
    positive = np.where(values > 0, values, 0).astype(np.float32)
    with np.errstate(divide="ignore"):
        logarithms = np.log(positive, dtype=np.float32)
        expected = np.log(multiplied(positive, wanted))
    found = best_boosted(partial(best, logarithms), k, None, factors, logarithmic=True)
    assert len(found.tracks) == min(k, int((positive > 0).sum()))
    assert found.scores == pytest.approx(np.sort(expected)[::-1][: len(found.tracks)], abs=1e-4)
    assert found.scores == pytest.approx(expected[found.tracks], abs=1e-4)


def test_a_boost_that_cannot_be_read_is_named() -> None:
    with pytest.raises(InvalidFilter) as caught:
        factors_of([("explicit", 2.0), ("year =", 3.0)], BUNDLE)
    assert (caught.value.field, caught.value.position) == ("boosts[1].where", 5)


def heard(bundle: Bundle, user: User) -> Listener:
    tracks = np.array([3, 3, 17, 40, 41, 99], np.int32)
    flags = np.ones(6, np.bool_)
    return Listener(user, History(tracks, flags, ~flags, np.arange(6, 0, -1).astype(np.float32)))


def silent(bundle: Bundle, user: User) -> Listener:
    return Listener(user, history_of([], bundle.catalogue, 0))


@pytest.mark.parametrize("model_id", REGISTRY)
@pytest.mark.parametrize("played", [True, False])
def test_every_model_and_the_cold_start_rank_as_if_all_tracks_were_scored_and_boosted(
    bundle: Bundle, model_id: int, played: bool
) -> None:
    model = load_model(model_id, bundle)
    genres = tuple(bundle.catalogue.genres)[:2]
    user = User("1", genres)
    listener = (heard if played else silent)(bundle, user)
    wanted = [("energy > 0.7", 3.0), (f'genre == "{genres[0]}"', 8.5), ("explicit", 0.2)]
    factors = factors_of(wanted, bundle)
    assert factors is not None
    ranked = rank(model, listener, bundle, 50, factors=factors)
    scores = model.score(listener) if played else cold_start_scores(user, bundle.catalogue)
    boosted = scores + np.log(factors) if model.logarithmic and played else scores * factors
    expected = best(boosted.astype(np.float32), 50)
    assert ranked.scores == pytest.approx(expected.scores, rel=1e-4, abs=1e-7)
    assert len(set(ranked.tracks.tolist()) & set(expected.tracks.tolist())) >= 49
    plain = rank(model, listener, bundle, 50)
    assert plain.tracks.tolist() != ranked.tracks.tolist()


@pytest.mark.parametrize("model_id", REGISTRY)
def test_a_greater_factor_never_moves_a_track_down(bundle: Bundle, model_id: int) -> None:
    model, listener = load_model(model_id, bundle), heard(bundle, User("1"))
    track = int(rank(model, listener, bundle, 100).tracks[70])
    where = f'id == "{bundle.catalogue.ids[track].decode()}"'

    def place(factor: float) -> int:
        ranked = rank(model, listener, bundle, 600, factors=factors_of([(where, factor)], bundle))
        return ranked.tracks.tolist().index(track)

    places = [place(factor) for factor in (0.01, 0.5, 1, 2, 100)]
    assert places == sorted(places, reverse=True)
    assert places[2] == 70
    assert places[0] > 70 > places[-1]
