"""The measures of a list, against values worked out by hand and against plain definitions."""

from math import isnan, log2
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.unit.splits import split_of
from training.protocol.lists import check_lists, lists_of
from training.protocol.metrics import (
    Relevant,
    accuracy,
    diversity,
    gini,
    known,
    measure,
    play_percentile,
    relevant,
    self_information,
)

TRACKS = 12
WITHOUT_FEATURES = np.zeros((TRACKS, 0), np.float16)


def lists(*rows: list[int]) -> NDArray[np.int32]:
    return np.array(rows, np.int32)


def truth(*rows: list[int]) -> Relevant:
    pairs = [row * TRACKS + track for row, tracks in enumerate(rows) for track in sorted(tracks)]
    return Relevant(np.array(pairs, np.int64), np.array([len(tracks) for tracks in rows]))


def measures_of(found: list[int], wanted: list[int]) -> dict[str, float]:
    measured = accuracy(lists(found), truth(wanted), TRACKS)
    return {name: float(values[0]) for name, values in measured.items()}


def test_a_list_with_its_second_and_fourth_track_right() -> None:
    found = measures_of([7, 3, 9, 5], [3, 5, 11])
    gained = 1 / log2(3) + 1 / log2(5)
    ideal = 1 + 1 / log2(3) + 1 / log2(4)
    assert found["hit"] == 1
    assert found["ndcg"] == pytest.approx(gained / ideal)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["map"] == pytest.approx((1 / 2 + 2 / 4) / 3)


def test_the_best_list_has_room_for_k_tracks_alone() -> None:
    found = measures_of([1, 2], [1, 2, 3, 4])
    assert (found["ndcg"], found["map"], found["recall"]) == (1, 1, 0.5)


def test_a_list_with_nothing_right_is_worth_nothing() -> None:
    assert set(measures_of([1, 2, 3], [4]).values()) == {0.0}


def test_an_empty_place_is_no_track() -> None:
    """-1 must not count as the last track of the listener before."""
    measured = accuracy(lists([1, -1], [-1, -1]), truth([11], [1]), TRACKS)
    assert measured["hit"].tolist() == [0, 0]


@given(
    found=st.lists(st.integers(0, TRACKS - 1), min_size=1, max_size=8, unique=True),
    wanted=st.sets(st.integers(0, TRACKS - 1), min_size=1),
)
def test_accuracy_is_what_its_definition_says(found: list[int], wanted: set[int]) -> None:
    k = len(found)
    hits = [track in wanted for track in found]
    ideal = sum(1 / log2(rank + 1) for rank in range(1, min(k, len(wanted)) + 1))
    gained = sum(hit / log2(rank + 1) for rank, hit in enumerate(hits, 1))
    precision = [sum(hits[:rank]) / rank for rank in range(1, k + 1)]
    measured = measures_of(found, list(wanted))
    assert measured["hit"] == any(hits)
    assert measured["ndcg"] == pytest.approx(gained / ideal)
    assert measured["recall"] == pytest.approx(sum(hits) / len(wanted))
    average = sum(p for p, hit in zip(precision, hits, strict=True) if hit)
    assert measured["map"] == pytest.approx(average / min(k, len(wanted)))


@given(found=st.permutations(range(6)), wanted=st.sets(st.integers(0, 5), min_size=1))
def test_swapping_a_hit_forward_never_costs(found: list[int], wanted: set[int]) -> None:
    for place in range(1, len(found)):
        if found[place] in wanted and found[place - 1] not in wanted:
            better = [*found]
            better[place - 1], better[place] = found[place], found[place - 1]
            before, after = measures_of(found, list(wanted)), measures_of(better, list(wanted))
            assert after["ndcg"] > before["ndcg"]
            assert after["map"] > before["map"]


def test_in_the_view_of_new_tracks_those_ever_started_do_not_count() -> None:
    split = split_of([[1, 2], [3]], {0: [2, 5], 1: [3]}, tracks=TRACKS)
    found = relevant(split)
    assert found["any"].counts.tolist() == [2, 1]
    assert found["any"].pairs.tolist() == [2, 5, TRACKS + 3]
    assert found["new"].counts.tolist() == [1, 0]
    assert found["new"].pairs.tolist() == [5]


def test_who_has_nothing_relevant_in_a_view_is_not_judged_in_it() -> None:
    split = split_of([[1, 2], [3]], {0: [2, 5], 1: [3]}, tracks=TRACKS)
    row = lists([5, 4], [6, 7])
    measured = measure({"any": row, "new": row}, relevant(split), known(split, WITHOUT_FEATURES))
    assert measured["new"]["hit"][0] == 1
    assert all(isnan(measured["new"][name][1]) for name in ("hit", "novelty", "popularity"))
    assert measured["any"]["hit"].tolist() == [1, 0]
    assert measured["any"]["coverage"] == 4 / TRACKS
    assert measured["new"]["coverage"] == 2 / TRACKS


def test_novelty_counts_listeners_and_not_plays() -> None:
    split = split_of([[1, 1, 1, 2], [2], [2]], {}, tracks=4)
    bits = self_information(split)
    assert bits.tolist() == [2.0, 1.0, 0.0, 2.0]


def test_the_average_play_has_a_percentile_of_one_half() -> None:
    split = split_of([[0, 0, 0, 1, 2, 2], [0, 3]], {}, tracks=6)
    percentile = play_percentile(split.plays, split.tracks)
    assert percentile[split.plays.track].mean() == pytest.approx(0.5)
    assert percentile[4] == percentile[5] == 0
    assert percentile[0] > percentile[2] > percentile[1] == percentile[3]


def test_diversity_is_the_mean_distance_of_the_pairs() -> None:
    features = np.array([[1, 0], [0, 1], [-1, 0], [0, 0]], np.float32)
    found = diversity(lists([0, 1, -1], [0, 2, -1], [0, 1, 2], [0, 3, -1], [0, -1, -1]), features)
    assert found[:4].tolist() == pytest.approx([1, 2, 1 + 1 / 3, 1])
    assert isnan(found[4])


def test_without_features_nothing_tells_how_diverse_a_list_is() -> None:
    assert np.isnan(diversity(lists([0, 1]), np.zeros((2, 0), np.float32))).all()


@pytest.mark.parametrize(
    ("shown", "expected"), [([3, 3, 3, 3], 0), ([0, 0, 0, 8], 3 / 4), ([0, 0, 4, 4], 1 / 2)]
)
def test_gini_says_how_unevenly_places_fall(shown: list[int], expected: float) -> None:
    assert gini(np.array(shown)) == pytest.approx(expected)


def test_lists_follow_the_scores_and_leave_out_what_was_heard() -> None:
    split = split_of([[3], [0, 1]], {0: [1], 1: [2]}, tracks=4)
    scores = [np.array(row, np.float32) for row in ([1, 2, 3, 4], [4, 3, -np.inf, 1])]
    found = lists_of(split, scores, 3)
    assert found["any"].tolist() == [[3, 2, 1], [0, 1, 3]]
    assert found["new"].tolist() == [[2, 1, 0], [3, -1, -1]]


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        ({"any": [[0, 0]]}, "twice"),
        ({"any": [[-1, 0]]}, "gap"),
        ({"any": [[0, 9]]}, "catalogue"),
        ({"any": [[0]]}, "shape"),
        ({"new": [[3, 1]]}, "heard"),
    ],
)
def test_lists_that_break_the_rules_are_refused(broken: dict[str, Any], word: str) -> None:
    split = split_of([[3]], {0: [1]}, tracks=4)
    rows = {"any": [[0, 1]], "new": [[0, 1]]} | broken
    found = {view: np.array(row, np.int32) for view, row in rows.items()}
    with pytest.raises(ValueError, match=f"someone.*{word}"):
        check_lists("someone", found, split, 2)
