"""Search: what was typed is found, whatever the case, the accents and a slip of the finger."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.domain.words import ABSENT, PREFIX, WHOLE, WIDTH, WordIndex, prefix_distances, words_of
from segue.models.bundle import Bundle
from segue.ranking.search import LEAST_OF_ID, MAX_WORDS, search
from tests.unit.test_filters import BUNDLE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Paper Lanterns (Live)", ["paper", "lanterns", "live"]),
        ("Łódź, żółw & STRASSE/Straße", ["lodz", "zolw", "strasse"]),
        ("Don\u2019t don't stop", ["dont", "stop"]),
        ("Bye Bye Bye", ["bye"]),
        ("№ 5 ﬁne", ["no", "5", "fine"]),
        ("Ночь ночи", ["ночь", "ночи"]),
        ("?! \0", []),
    ],
)
def test_a_text_is_its_different_words_without_case_accents_and_signs(
    text: str, words: list[str]
) -> None:
    assert words_of(text) == words


letters = st.text("abc", min_size=1, max_size=9)


def plain_distance(wanted: str, word: str) -> int:
    """Optimal string alignment to the nearest beginning, from its definition."""
    rows = len(wanted) + 1
    table = [[i + j if i * j == 0 else 0 for j in range(len(word) + 1)] for i in range(rows)]
    for i in range(1, rows):
        for j in range(1, len(word) + 1):
            table[i][j] = min(
                table[i - 1][j] + 1,
                table[i][j - 1] + 1,
                table[i - 1][j - 1] + (wanted[i - 1] != word[j - 1]),
            )
            swapped = wanted[i - 2 : i] == word[j - 2 : j][::-1] and min(i, j) > 1
            if swapped:
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return min(table[-1])


@given(st.lists(letters, min_size=1, max_size=20), letters, st.integers(1, 3))
def test_distances_are_those_of_the_textbook_as_far_as_they_matter(
    words: list[str], wanted: str, most: int
) -> None:
    found = prefix_distances(np.array(words, f"S{WIDTH}"), wanted.encode(), most)
    expected = [plain_distance(wanted, word) for word in words]
    assert [min(it, most + 1) for it in found.tolist()] == [min(it, most + 1) for it in expected]


texts = st.lists(st.lists(letters, max_size=4).map(" ".join), max_size=12)


@given(texts, letters)
def test_a_word_fits_whole_or_as_a_beginning_or_not_at_all(names: list[str], word: str) -> None:
    index = WordIndex.of(names)

    def fit(name: str) -> int:
        own = words_of(name)
        if word in own:
            return WHOLE
        return PREFIX if any(it.startswith(word) for it in own) else ABSENT

    assert index.fits(word, mistakes=False).tolist() == [fit(name) for name in names]
    assert index.lengths.tolist() == [len(words_of(name)) for name in names]
    forgiving = index.fits(word, mistakes=True)
    assert np.all(forgiving <= index.fits(word, mistakes=False))


def test_very_long_words_are_told_apart_by_their_beginnings() -> None:
    index = WordIndex.of(["a" * 99, "a" * 30 + "b", "a"])
    assert index.fits("a" * 99, mistakes=False).tolist() == [WHOLE, WHOLE, ABSENT]
    assert index.fits("aa", mistakes=False).tolist() == [PREFIX, PREFIX, ABSENT]


def found(text: str, limit: int = 6, forbidden: Sequence[int] = ()) -> list[int]:
    mask = np.isin(np.arange(6), forbidden) if forbidden else None
    return search(text, BUNDLE, limit, mask).tolist()


# Titles and artists are those of test_filters; the later a track, the more popular it is.


@pytest.mark.parametrize(
    ("text", "tracks"),
    [
        ("paper", [1, 0]),
        ("PAPER LANTERNS", [0]),
        ("pap lan", [0]),
        ("harbour", [1, 0]),
        ("paper harb", [1, 0]),
        ("lodz", [2]),
        ("łódź", [2]),
        ("cma", [4]),
        ("its live", [4]),
        ("lantrens", [0]),
        ("laterns", [0]),
        ("harbor slow", [1, 0]),
        ("zzzzzz", []),
        ("paper zzzzzz", []),
        ("t3", [3]),
        ("?!", []),
        ("\ud800", []),
        ("", [5, 4, 3, 2, 1, 0]),
        ("  ", [5, 4, 3, 2, 1, 0]),
    ],
)
def test_finds_titles_artists_and_ids(text: str, tracks: list[int]) -> None:
    assert found(text) == tracks


def test_no_more_than_asked_for_and_none_that_is_forbidden() -> None:
    assert found("", 2) == [5, 4]
    assert found("", 2, forbidden=[5]) == [4, 3]
    assert found("paper", 1) == [1]
    assert found("paper", forbidden=[1]) == [0]


def test_more_words_than_any_title_has_are_not_all_looked_at() -> None:
    assert found(" ".join(["paper"] + [f"zzzz{n}" for n in range(500)])) == []
    assert found("paper " * 500) == [1, 0]
    assert MAX_WORDS == 12


def test_every_track_of_a_bundle_is_found_by_its_own_title_artist_and_id(bundle: Bundle) -> None:
    for position in range(0, len(bundle.catalogue), 37):
        (card,) = bundle.cards(np.array([position]))
        assert position in search(f"{card.title} {card.artist}", bundle, 20)
        assert search(card.track_id, bundle, 20)[0] == position
        assert position in search(card.track_id[: LEAST_OF_ID + 2], bundle, 20)


def test_a_title_as_it_was_typed_comes_before_more_popular_ones_that_begin_so(
    bundle: Bundle,
) -> None:
    titles = [(card.title or "") for card in bundle.cards(np.arange(len(bundle.catalogue)))]
    longer = next(t for t in titles for other in titles if t != other and t.startswith(f"{other} "))
    shorter = next(t for t in titles if longer.startswith(f"{t} "))
    (first, *_), everything = search(shorter, bundle, 50), search(shorter, bundle, 50)
    assert words_of(titles[first]) == words_of(shorter)
    assert titles.index(longer) in everything
