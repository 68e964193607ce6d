"""Filters: an expression means what it means in Python, or is refused with the place at fault."""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.domain.catalogue import Catalogue
from segue.domain.descriptions import Descriptions
from segue.domain.errors import InvalidFilter
from segue.domain.expressions import MAX_DEPTH
from segue.domain.genres import TrackGenres
from segue.domain.labels import Label, Labels
from segue.domain.limits import MAX_EXPRESSION_LENGTH
from segue.domain.texts import Texts
from segue.domain.words import WordIndex
from segue.features.schema import parse_schema
from segue.models.bundle import Bundle
from segue.ranking.evaluation import KEPT
from segue.ranking.filters import matching

SCHEMA = """
[roles]
genres = "styles"
[[track]]
name = "energy"
kind = "numeric"
[[track]]
name = "key"
kind = "categorical"
values = [0, 5, 11]
[[track]]
name = "mode"
kind = "categorical"
values = ["minor", "Major"]
[[track]]
name = "moods"
kind = "multi_hot"
size = 3
[[track]]
name = "styles"
kind = "multi_hot"
size = 3
"""
# A track has each of these, None or () where it is missing.
TITLES = ["Paper Lanterns", "paper boats", "Łódź", None, 'It\'s "Live"', "Nine \\ Ten"]
ARTISTS = [0, 0, 1, -1, 2, 1]
ARTIST_IDS, ARTIST_NAMES = ["a1", "a2", "A3"], ["Slow Harbour", None, "Ćma"]
GENRES = [("indie rock", "Folk"), ("Folk",), (), ("jazz",), ("jazz", "indie rock"), ()]
YEARS = [1999, None, 2004, 1999, None, 2022]
ENERGY = [0.7, 0.1, None, 0.0, -3.5, None]
KEYS = [0, 5, None, 11, 0, 5]
MODES = ["minor", None, "Major", "Major", "minor", None]
MOODS = [("calm",), (), ("calm", "blue"), (), ("Blue Mood",), ("blue",)]
EXPLICIT = [True, False, False, True, False, True]


def labels_of(values: Sequence[Any]) -> Labels[Label]:
    lists = [value if isinstance(value, tuple) else (value,) for value in values]
    kept = [[label for label in labels if label is not None] for labels in lists]
    names = sorted({label for labels in kept for label in labels})
    offsets = np.cumsum([0, *map(len, kept)], dtype=np.int32)
    numbers = [names.index(label) for labels in kept for label in labels]
    return Labels(tuple(names), offsets, np.array(numbers, np.int32))


class Described(Bundle):
    """A bundle of the tracks above, and nothing else."""

    def __init__(self) -> None:
        self._derived = {}
        names = sorted({genre for own in GENRES for genre in own})
        members = {n: [t for t, own in enumerate(GENRES) if n in own] for n in names}
        self.catalogue = Catalogue(
            ids=np.array([f"t{track}" for track in range(6)], np.bytes_),
            explicit=np.array(EXPLICIT),
            popularity=np.linspace(0, 1, 6, dtype=np.float32),
            artists=np.array(ARTISTS, np.int32),
            genres={name: np.array(own, np.int32) for name, own in members.items()},
            artist_ids=np.array(ARTIST_IDS, np.bytes_),
        )
        self.track_genres = TrackGenres.of(self.catalogue)
        self.schema = parse_schema(SCHEMA)
        self.descriptions = Descriptions(
            titles=Texts.of(TITLES),
            title_words=WordIndex.of(TITLES),
            artist_names=Texts.of(ARTIST_NAMES),
            artist_words=WordIndex.of(ARTIST_NAMES),
            years=np.array([year or 0 for year in YEARS], np.int16),
            numbers={"energy": np.array([np.nan if e is None else e for e in ENERGY], np.float32)},
            labels={"key": labels_of(KEYS), "mode": labels_of(MODES), "moods": labels_of(MOODS)},
            lists=frozenset({"moods"}),
        )


BUNDLE = Described()


def tracks(text: str) -> list[int]:
    return np.flatnonzero(matching(text, BUNDLE)).tolist()


def refusal(text: str) -> tuple[int, str]:
    with pytest.raises(InvalidFilter) as caught:
        matching(text, BUNDLE)
    return caught.value.position, str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('genre == "folk"', [0, 1]),
        ('genre in ("jazz", "FOLK")', [0, 1, 3, 4]),
        ('genre != "jazz"', [0, 1, 2, 5]),
        ('genre not in ["jazz", "folk"]', [2, 5]),
        ('"folk" in genre', [0, 1]),
        ('styles == "Folk"', [0, 1]),
        ("genre in ()", []),
        ('artist == "slow harbour"', [0, 1]),
        ('artist == "a2"', [2, 5]),
        ('artist == "a3"', []),
        ('artist != "Slow Harbour"', [2, 4, 5]),
        ('"harbour" in artist', [0, 1]),
        ('"paper" in title', [0, 1]),
        ('"paper" not in title', [2, 4, 5]),
        ('title == "łódź"', [2]),
        (r'title == "it\'s \"live\""', [4]),
        (r"title == 'nine \\ ten'", [5]),
        ('id in ("t1", "t5", "T2", "x")', [1, 5]),
        ('"5" in id', [5]),
        ("year >= 2000", [2, 5]),
        ("2000 <= year", [2, 5]),
        ("1990 <= year < 2004", [0, 3]),
        ("year != 1999", [2, 5]),
        ("not year == 1999", [1, 2, 4, 5]),
        ("energy == 0.7", [0]),
        ("energy > 0.1", [0]),
        ("energy < -3", [4]),
        ("energy < 1e999", [0, 1, 3, 4]),
        ("explicit", [0, 3, 5]),
        ("not explicit", [1, 2, 4]),
        ("explicit == false", [1, 2, 4]),
        ("explicit == 1", [0, 3, 5]),
        ("popularity >= 0.8", [4, 5]),
        ("key in (0, 5)", [0, 1, 4, 5]),
        ("key != 5", [0, 3, 4]),
        ('mode == "major"', [2, 3]),
        ('moods == "blue"', [2, 5]),
        ('moods != "calm"', [1, 3, 4, 5]),
        ('year == 1999 or genre == "jazz" and explicit', [0, 3]),
        ('(year == 1999 or genre == "jazz") and explicit', [0, 3]),
        ("not (explicit or year > 2000)", [1, 4]),
        ("not not explicit", [0, 3, 5]),
        ("  explicit\n and\tyear>0 ", [0, 3, 5]),
    ],
)
def test_an_expression_holds_for_the_tracks_that_it_describes(
    text: str, expected: list[int]
) -> None:
    assert tracks(text) == expected


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("", 0, "is empty"),
        ("   ", 0, "is empty"),
        ("year = 1990", 5, 'write "=="'),
        ("year == 1990 && explicit", 13, 'write "and"'),
        ("!explicit", 0, 'write "not"'),
        ("enrgy > 0.5", 0, "did you mean energy"),
        ("explicit and xyz == 1", 13, "there are artist, energy, explicit"),
        ('year > "x"', 5, "year is a number: compare it with numbers"),
        ("year == true", 5, "year is a number"),
        ("title == 5", 6, "title is a text"),
        ('title < "a"', 6, "title is a text"),
        ('explicit == "yes"', 9, "explicit is true or false"),
        ("explicit > 0", 9, "explicit is true or false"),
        ('genre > "a"', 6, "genre is a label"),
        ("genre == 5", 6, "genre has texts for labels"),
        ('key == "5"', 4, "key has numbers for labels"),
        ('"minor" in mode', 8, "mode is a label"),
        ('"19" in year', 5, "year is a number"),
        ("year", 0, "has year alone"),
        ("1990", 0, "not compared with any attribute"),
        ('"a" == "b"', 4, "not one attribute and a value"),
        ("year == popularity", 5, "not one attribute and a value"),
        ('genre in "rock"', 9, "write it in brackets"),
        ('year == (1990, "x")', 8, "has '(' where"),
        ('genre in ("rock"', 16, 'ends where "," or ")"'),
        ("(year > 1", 9, "ends where"),
        ("year > 1)", 8, "has ')' where"),
        ("year >", 6, "ends where an attribute, a number or a text"),
        ("explicit year", 9, "has 'year' where"),
        ("not", 3, "ends where"),
        ("explicit not year", 13, "has 'year' where"),
        ('title == "live', 9, "is not closed"),
        ("łódź and title == 'x", 18, "is not closed"),
        ('len("x") == 1', 0, "calls a function"),
        ('__import__("os") == 1', 0, "calls a function"),
        ("title.upper == 'X'", 5, "means nothing here"),
        ("lambda: 1", 6, "means nothing here"),
        ("energy * 2 > 1", 7, "means nothing here"),
        ("1990 < 2000 < year", 5, "not one attribute and a value"),
        ("title == '\ud800'", 10, "half a character"),
        ("(" * 500, MAX_DEPTH, "nested more than"),
        ("not " * 200 + "explicit", 4 * MAX_DEPTH, "nested more than"),
        (" " * (MAX_EXPRESSION_LENGTH + 1), MAX_EXPRESSION_LENGTH, "more than 1,000 characters"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place_and_what_is_possible(
    text: str, position: int, says: str
) -> None:
    found, message = refusal(text)
    assert says in message
    assert found == position


@given(st.text(max_size=60) | st.lists(
    st.sampled_from([
        "year", "genre", "title", "explicit", "nothing", "and", "or", "not", "in", "(", ")", "[",
        ",", "==", "!=", "<", "=", "1", "-2.5", '"a"', "'", "lambda", "\\", "{", "\0",
    ])
).map(" ".join))  # fmt: skip
def test_arbitrary_text_is_refused_or_holds_for_some_tracks(text: str) -> None:
    found: np.ndarray | InvalidFilter
    try:
        found = matching(text, BUNDLE)
    except InvalidFilter as error:
        found = error
    if isinstance(found, InvalidFilter):
        assert 0 <= found.position <= len(text)
    else:
        assert found.shape == (len(BUNDLE.catalogue),)


def test_an_error_names_the_field_of_the_request_and_the_expression_is_read_once() -> None:
    with pytest.raises(InvalidFilter) as caught:
        matching("year =", BUNDLE, field="boosts[0].where")
    assert caught.value.field == "boosts[0].where"
    assert matching("year > 7", BUNDLE) is matching("year > 7", BUNDLE)
    kept = matching("year > 8", BUNDLE)
    for number in range(KEPT):
        matching(f"year > {100 + number}", BUNDLE)
    assert matching("year > 8", BUNDLE) is not kept
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = True


# A plain interpreter: Python's own reading of the expression, track by track.

# An artist is equal to the name and to the id.
NAMED = [(*filter(None, [name]), own) for name, own in zip(ARTIST_NAMES, ARTIST_IDS, strict=True)]
PLAIN = [
    {
        "title": title, "artist": NAMED[artist] if artist >= 0 else None, "genre": genres,
        "year": year, "energy": energy, "key": key, "mode": mode, "moods": moods, "explicit": flag,
    }
    for title, artist, genres, year, energy, key, mode, moods, flag in zip(
        TITLES, ARTISTS, GENRES, YEARS, ENERGY, KEYS, MODES, MOODS, EXPLICIT, strict=True
    )
]  # fmt: skip
OPERATORS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


class Several(tuple[str, ...]):
    """What is equal to each of its parts."""

    def __eq__(self, other: object) -> bool:
        return other in tuple(self)

    def __ne__(self, other: object) -> bool:
        return other not in tuple(self)

    __hash__ = None  # type: ignore[assignment]


def plain_value(value: object) -> Any:
    if isinstance(value, tuple):
        return Several(text.casefold() for text in value)
    if isinstance(value, float | int) and not isinstance(value, bool):
        return np.float32(value)
    return value.casefold() if isinstance(value, str) else value


def holds(node: ast.expr, track: Mapping[str, Any]) -> Any:  # noqa: C901
    match node:
        case ast.BoolOp(ast.And(), parts):
            return all(holds(part, track) for part in parts)
        case ast.BoolOp(ast.Or(), parts):
            return any(holds(part, track) for part in parts)
        case ast.UnaryOp(ast.Not(), part):
            return not holds(part, track)
        case ast.UnaryOp(ast.USub(), ast.Constant(value)):
            return plain_value(-value)  # type: ignore[operator]
        case ast.Compare(left, operators, others):
            values = [holds(one, track) for one in (left, *others)]
            return all(
                a is not None and b is not None and bool(OPERATORS[type(how)](a, b))
                for a, how, b in zip(values, operators, values[1:], strict=False)
            )
        case ast.Name(name):
            return plain_value(track[name])
        case ast.Constant(value):
            return plain_value(value)
        case ast.Tuple(parts):
            return [holds(part, track) for part in parts]
    raise AssertionError(ast.dump(node))


def listed(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=3).map(
        lambda them: "(" + "".join(f"{v}, " for v in them) + ")"
    )


def compared(
    names: Sequence[str], values: Sequence[object], operators: Sequence[str]
) -> st.SearchStrategy[str]:
    name, value = st.sampled_from(names), st.sampled_from(values).map(repr)
    sides = st.tuples(name, st.sampled_from(operators), value) | st.tuples(
        value, st.sampled_from(operators), name
    )
    among = st.tuples(name, st.sampled_from(["in", "not in"]), listed(value))
    return (sides | among).map(" ".join)


EQUALS, ORDERS = ["==", "!="], ["<", "<=", ">", ">="]
numbers = [1999, 2000, 2004, 0.7, 0.1, 0, -3.5, 1e10]
texts = ["paper lanterns", "Paper Boats", "łódź", 'it\'s "live"', "Slow Harbour", "ćma", ""]
chains = st.tuples(st.sampled_from(numbers), st.sampled_from(ORDERS), st.sampled_from(ORDERS)).map(
    lambda it: f"{it[0]} {it[1]} year {it[2]} 2005"
)
comparisons = st.one_of(
    compared(["year", "energy"], numbers, EQUALS + ORDERS),
    compared(["title", "artist"], texts, EQUALS),
    compared(["genre", "moods"], ["folk", "Jazz", "indie rock", "blue", "polka"], EQUALS),
    compared(["key"], [0, 5, 11, 3], EQUALS),
    compared(["mode"], ["minor", "MAJOR", "other"], EQUALS),
    st.sampled_from(["paper", "a", "live", "zz"]).map(lambda part: f'"{part}" in title'),
    st.sampled_from(["paper", "a", "live", "zz"]).map(lambda part: f'"{part}" not in title'),
    st.sampled_from(["jazz", "folk", "a"]).map(lambda part: f'"{part}" in genre'),
    st.just("explicit"),
    chains,
)
expressions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(" and ".join),
        st.lists(inner, min_size=2, max_size=3).map(" or ".join),
        inner.map("not {}".format),
        inner.map("({})".format),
    ),
    max_leaves=6,
)


@given(expressions)
def test_every_expression_holds_where_a_plain_interpreter_says_so(text: str) -> None:
    tree = ast.parse(text, mode="eval").body
    expected = [place for place, track in enumerate(PLAIN) if holds(tree, track)]
    assert tracks(text) == expected
