"""The best k."""

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segue.features.encoder import FloatArray
from segue.models.ranked import best

scores = arrays(
    np.float32,
    st.integers(0, 50),
    elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0]),
)


@given(scores, st.integers(0, 60))
def test_the_best_are_the_head_of_the_stable_order(values: FloatArray, k: int) -> None:
    allowed = [place for place in range(len(values)) if values[place] > -np.inf]
    expected = sorted(allowed, key=lambda place: (-values[place], place))[:k]
    ranked = best(values, k)
    assert ranked.tracks.tolist() == expected
    assert ranked.scores.tolist() == values[expected].tolist()


@given(st.randoms(use_true_random=False), st.integers(1, 5), st.integers(1, 2_000))
def test_the_best_of_many_are_found_wherever_they_are(random: Random, k: int, tracks: int) -> None:
    values = np.array([random.choice((-np.inf, 0.0, random.random())) for _ in range(tracks)])
    values = values.astype(np.float32)
    expected = [it for it in np.argsort(-values, kind="stable")[:k] if values[it] > -np.inf]
    assert best(values, k).tracks.tolist() == expected


def test_forbidden_tracks_are_never_in_the_list_and_the_scores_stay_as_they_were() -> None:
    values = np.array([3, 2, 1, 0], np.float32)
    mask = np.array([True, True, False, False])
    assert best(values, 4, mask).tracks.tolist() == [2, 3]
    assert values.tolist() == [3, 2, 1, 0]


@given(scores, st.integers(0, 60), st.randoms(use_true_random=False))
def test_scores_of_some_tracks_in_any_order_rank_these(
    values: FloatArray, k: int, random: Random
) -> None:
    order = np.array(random.sample(range(len(values)), len(values)), np.int32)
    mask = np.arange(2 * len(values) + 1) % 3 == 0
    positions = np.arange(len(values)) * 2
    shuffled = best(values[order], k, mask, positions[order])
    plain = best(np.where(mask[positions], -np.inf, values).astype(np.float32), k)
    assert shuffled.tracks.tolist() == (plain.tracks * 2).tolist()
