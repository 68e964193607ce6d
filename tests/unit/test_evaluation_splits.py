"""Splits: the cut-offs there are, and what is known at one."""

from collections.abc import Iterator

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from segue.domain.errors import InvalidData
from segue.domain.events import Event, EventType
from segue.domain.times import DAY
from segue.features.schema import parse_schema
from tests.unit.splits import split_of
from training.catalogue import EncodedCatalogue, Popularity, encode_catalogue
from training.data.queries import read_sql
from training.protocol.listeners import KINDS, chart_share, genre_entropy, kinds
from training.protocol.split import Split, load_split
from training.protocol.temporal import (
    check_cutoffs,
    earlier_split,
    prepare,
    split_at,
    temporal_cutoffs,
    weekly_cutoffs,
)

PLAY, SKIP, LIKE = EventType.PLAY, EventType.SKIP, EventType.LIKE
CUTOFF = 100 * DAY
SCHEMA = parse_schema(
    """
    [roles]
    genres = "artist_genres"
    [[track]]
    name = "tempo"
    kind = "numeric"
    [[track]]
    name = "genres"
    kind = "multi_hot"
    source = "artist_genres"
    size = 4
    [[user]]
    name = "premium"
    kind = "numeric"
    """
)
EVENTS = pa.schema(
    [
        ("user_id", "string"),
        ("session_id", "string"),
        ("time", "int64"),
        ("type", "string"),
        ("track_id", "string"),
    ]
)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """Tracks a to e and a profile of one user; no events yet."""
    with duckdb.connect(config={"threads": 1}) as connection:
        tracks = [
            {"id": track, "tempo": tempo, "popularity": popularity, "artist_genres": ["g"]}
            for track, tempo, popularity in zip("abcde", range(5), [5, None, 3, 2, 1], strict=True)
        ]
        connection.register("tracks", pa.Table.from_pylist(tracks))
        connection.execute(
            "CREATE TABLE users AS SELECT 'u2' AS user_id, CAST([] AS VARCHAR[]) AS"
            " favourite_genres, true AS premium, '{}' AS attributes"
        )
        yield connection


def load(connection: duckdb.DuckDBPyConnection, *events: tuple[str, int, EventType, str]) -> None:
    """(user, time, type, track); a user has one session."""
    rows = [Event(user, user, time, kind, track) for user, time, kind, track in events]
    table = pa.Table.from_pylist(
        [dict(zip(EVENTS.names, row.identity, strict=True)) for row in rows], EVENTS
    )
    connection.register("events", table)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE plays AS {read_sql('plays.sql')}")


def encode(connection: duckdb.DuckDBPyConnection) -> EncodedCatalogue:
    return encode_catalogue(connection, SCHEMA, Popularity(connection, CUTOFF))


def split_now(connection: duckdb.DuckDBPyConnection) -> Split:
    return split_at(connection, encode(connection), CUTOFF)


class TestCutoffs:
    def test_are_weekly_midnights_with_thirty_days_on_either_side(self) -> None:
        found = weekly_cutoffs(DAY // 2, 76 * DAY)
        assert found == [31 * DAY, 38 * DAY, 45 * DAY]

    def test_begin_at_the_first_usable_midnight(self) -> None:
        assert weekly_cutoffs(0, 60 * DAY) == [30 * DAY]
        assert weekly_cutoffs(1, 60 * DAY) == []
        assert weekly_cutoffs(1, 61 * DAY) == [31 * DAY]

    def test_of_data_that_is_too_short_are_refused(
        self, connection: duckdb.DuckDBPyConnection
    ) -> None:
        load(connection, ("u1", 0, PLAY, "a"), ("u1", 40 * DAY, PLAY, "a"))
        with pytest.raises(InvalidData, match=r"span 40\.0 days"):
            temporal_cutoffs(connection)

    @pytest.mark.parametrize("cutoff", [10, 21])
    def test_with_nothing_on_one_side_are_refused(
        self, connection: duckdb.DuckDBPyConnection, cutoff: int
    ) -> None:
        load(connection, ("u1", 10, PLAY, "a"), ("u1", 20, PLAY, "a"))
        assert check_cutoffs(connection, [20, 11, 20]) == [11, 20]
        with pytest.raises(InvalidData, match="both sides"):
            check_cutoffs(connection, [cutoff])


class TestSplit:
    def test_knows_the_plays_before_the_cutoff_by_user_time_and_track(
        self, connection: duckdb.DuckDBPyConnection
    ) -> None:
        load(
            connection,
            ("u2", CUTOFF - 50 * DAY, PLAY, "c"),
            ("u1", CUTOFF - 1, PLAY, "b"),
            ("u1", CUTOFF - 1, PLAY, "a"),
            ("u1", CUTOFF - 2, PLAY, "e"),
            ("u3", CUTOFF, PLAY, "a"),
            ("u1", CUTOFF - 9, PLAY, "of no catalogue"),
        )
        split = split_now(connection)
        assert split.users.tolist() == [b"u1", b"u2"]
        assert split.plays.user.tolist() == [0, 0, 0, 1]
        assert split.plays.track.tolist() == [4, 0, 1, 2]

    def test_does_not_know_a_skip_or_a_like_of_later(
        self, connection: duckdb.DuckDBPyConnection
    ) -> None:
        load(
            connection,
            ("u1", CUTOFF - 2, PLAY, "a"),
            ("u1", CUTOFF, SKIP, "a"),
            ("u1", CUTOFF, LIKE, "a"),
            ("u2", CUTOFF - 2, PLAY, "a"),
            ("u2", CUTOFF - 1, SKIP, "a"),
            ("u2", CUTOFF - 1, LIKE, "a"),
        )
        split = split_now(connection)
        assert split.plays.completed.tolist() == [True, False]
        assert split.plays.liked.tolist() == [False, True]

    def test_judges_those_who_played_before_and_fully_played_after(
        self, connection: duckdb.DuckDBPyConnection
    ) -> None:
        load(
            connection,
            ("only before", CUTOFF - 1, PLAY, "a"),
            ("only after", CUTOFF, PLAY, "a"),
            ("skipper", CUTOFF - 1, PLAY, "a"),
            ("skipper", CUTOFF, PLAY, "b"),
            ("skipper", CUTOFF + 1, SKIP, "b"),
            ("too late", CUTOFF - 1, PLAY, "a"),
            ("too late", CUTOFF + 30 * DAY, PLAY, "b"),
            ("both", CUTOFF - 1, PLAY, "a"),
            ("both", CUTOFF, PLAY, "d"),
            ("both", CUTOFF + 30 * DAY - 1, PLAY, "b"),
            ("both", CUTOFF + 5, PLAY, "d"),
            ("both", CUTOFF + 6, PLAY, "of no catalogue"),
        )
        split = split_now(connection)
        assert split.users[split.judged].tolist() == [b"both"]
        assert split.offsets.tolist() == [0, 2]
        assert split.outcomes.tolist() == [1, 3]

    def test_has_the_features_without_genres_and_what_the_catalogue_says_of_popularity(
        self, connection: duckdb.DuckDBPyConnection
    ) -> None:
        load(connection, ("u1", CUTOFF - 1, PLAY, "a"), ("u2", CUTOFF - 1, PLAY, "a"))
        split = split_now(connection)
        assert split.features.shape == (5, 1)
        assert split.popularity[[0, 2, 3, 4]].tolist() == [5, 3, 2, 1]
        assert np.isnan(split.popularity[1])
        assert split.profiles.shape == (2, 1)
        assert split.profiles[1, 0] >= split.profiles[0, 0]

    def test_has_the_artist_and_the_genres_of_each_track(
        self, connection: duckdb.DuckDBPyConnection
    ) -> None:
        tracks = [
            {"id": "a", "tempo": 1, "id_artist": "y", "artist_genres": ["rock", "folk"]},
            {"id": "b", "tempo": 2, "id_artist": None, "artist_genres": None},
            {"id": "c", "tempo": 3, "id_artist": "x", "artist_genres": ["rock"]},
        ]
        connection.register("tracks", pa.Table.from_pylist(tracks))
        load(connection, ("u1", CUTOFF - 1, PLAY, "a"), ("u1", CUTOFF, PLAY, "b"))
        split = split_now(connection)
        assert split.artists.tolist() == [1, -1, 0]
        assert split.genres.tolist() == [[0, 0], [0, 1], [2, 1]]

    def test_comes_back_from_disk_as_it_was(
        self, connection: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        load(connection, ("u1", CUTOFF - 1, PLAY, "a"), ("u1", CUTOFF, PLAY, "b"))
        split = split_now(connection)
        split.save(folder := tmp_path_factory.mktemp("split") / "now")
        again = load_split(folder)
        assert again.plays.track.tolist() == split.plays.track.tolist()
        assert again.outcomes.tolist() == [1]
        assert int(again.cutoff) == CUTOFF

    def test_without_anybody_to_judge_is_refused(
        self, connection: duckdb.DuckDBPyConnection
    ) -> None:
        load(connection, ("u1", CUTOFF - 1, PLAY, "a"), ("u2", CUTOFF, PLAY, "a"))
        with pytest.raises(InvalidData, match=r"nobody .* 1970-04-11"):
            prepare(connection, SCHEMA, CUTOFF)


class TestEarlierSplit:
    def test_takes_thirty_days_where_thirty_more_lie_before(
        self, connection: duckdb.DuckDBPyConnection
    ) -> None:
        load(
            connection,
            ("u1", CUTOFF - 60 * DAY, PLAY, "a"),
            ("u1", CUTOFF - 30 * DAY, PLAY, "b"),
            ("u1", CUTOFF - 1, PLAY, "c"),
            ("u1", CUTOFF, PLAY, "d"),
        )
        split = split_now(connection)
        earlier = earlier_split(split, seed=1)
        assert int(earlier.cutoff) == CUTOFF - 30 * DAY
        assert earlier.plays.track.tolist() == [0]
        assert earlier.outcomes.tolist() == [1, 2]
        assert split.plays.track.tolist() == [0, 1, 2]

    def test_takes_the_last_quarter_of_less(self, connection: duckdb.DuckDBPyConnection) -> None:
        load(
            connection,
            ("u1", CUTOFF - 40 * DAY, PLAY, "a"),
            ("u1", CUTOFF - 10 * DAY, PLAY, "b"),
            ("u2", CUTOFF - 9 * DAY, PLAY, "b"),
            ("u1", CUTOFF, PLAY, "d"),
        )
        earlier = earlier_split(split_now(connection), seed=1)
        assert int(earlier.cutoff) == CUTOFF - 10 * DAY
        assert earlier.plays.track.tolist() == [0]
        assert earlier.judged.tolist() == [0]
        assert earlier.outcomes.tolist() == [1]

    def test_knows_no_more_than_its_own_cutoff_allows(
        self, connection: duckdb.DuckDBPyConnection
    ) -> None:
        at = CUTOFF - 30 * DAY
        load(
            connection,
            ("u1", at - 31 * DAY, PLAY, "a"),
            ("u1", at, SKIP, "a"),
            ("u2", at, PLAY, "b"),
        )
        split = split_now(connection)
        earlier = earlier_split(split, seed=1)
        assert split.plays.completed.tolist() == [False, True]
        assert earlier.plays.completed.tolist() == [True]

    def test_holds_out_a_fifth_of_the_tracks_where_all_plays_bear_one_time(self) -> None:
        heard = [list(range(10)) * 2, [1, 2], []]
        split = split_of(heard, {}, tracks=10, same_time=True)
        earlier = earlier_split(split, seed=1)
        assert earlier.judged.tolist() == [0]
        assert len(earlier.outcomes) == 2
        kept = earlier.plays.track[earlier.plays.user == 0]
        assert not set(kept.tolist()) & set(earlier.outcomes.tolist())
        assert len(kept) == 16
        assert earlier.plays.track[earlier.plays.user == 1].tolist() == [1, 2]
        again = earlier_split(split, seed=1)
        assert again.outcomes.tolist() == earlier.outcomes.tolist()


class TestKinds:
    def test_are_told_by_what_was_played(self) -> None:
        """Tracks 0 to 99 are the charts and of genre a; the rest are of genres a, b and c."""
        charts, rest = list(range(100)), list(range(100, 160))
        crowd = [charts] * 15
        split = split_of(
            [charts, rest[:30] + rest[30:], [100, 101, 102] * 10, [100, 150] * 3, *crowd],
            {user: [0] for user in range(4)},
            tracks=160,
        )
        genres = {
            "a": np.array(charts, np.int32),
            "b": np.array(rest[:30], np.int32),
            "c": np.array(rest[30:], np.int32),
        }
        found = [KINDS[place] for place in kinds(split, genres)]
        assert found == ["chart", "rest", "genre", "few plays"]

    def test_the_entropy_of_all_plays_together_is_one(self) -> None:
        split = split_of([[0, 1], [0, 0], []], {}, tracks=2)
        genres = {"a": np.array([0], np.int32), "b": np.array([1], np.int32)}
        entropy = genre_entropy(split, genres)
        whole = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
        assert entropy[:2].tolist() == pytest.approx([1 / whole, 0])
        assert np.isnan(entropy[2])

    def test_without_genres_nobody_is_a_listener_of_genres(self) -> None:
        split = split_of([list(range(200))], {0: [1]}, tracks=200)
        assert KINDS[kinds(split, {})[0]] == "rest"
        assert chart_share(split).tolist() == [0.5]
