"""Filters and the best k."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segue.features.encoder import FloatArray
from segue.ranking.filters import forbid, top

scores = arrays(
    np.float32,
    st.integers(0, 50),
    elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0]),
)


@given(scores, st.integers(0, 60))
def test_top_is_the_head_of_the_stable_order(values: FloatArray, k: int) -> None:
    allowed = [place for place in range(len(values)) if values[place] > -np.inf]
    expected = sorted(allowed, key=lambda place: (-values[place], place))[:k]
    assert top(values, k).tolist() == expected


def test_forbidden_tracks_are_never_in_the_list_and_the_scores_stay_as_they_were() -> None:
    values = np.array([3, 2, 1, 0], np.float32)
    mask = np.array([False, True, False, False])
    assert top(forbid(values, [np.array([0]), mask]), 4).tolist() == [2, 3]
    assert values.tolist() == [3, 2, 1, 0]
