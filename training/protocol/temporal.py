"""The cut-offs that a workspace allows, and the split at each."""

from collections.abc import Sequence
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.errors import InvalidData
from segue.domain.times import DAY, format_time
from segue.domain.users import User
from segue.features.encoder import Encoder
from segue.features.listeners import user_columns
from segue.features.schema import Schema
from training.catalogue import EncodedCatalogue, Popularity, encode_catalogue
from training.data import query, set_cutoffs
from training.protocol.split import Plays, Split
from training.users import read_users

# So much data must lie on either side of a cut-off. An earlier split takes the same stretch as the
# real one where the data allows.
SPAN = 30 * DAY
WEEK = 7 * DAY
# Where all plays bear one time, so much of what each listener played is held out instead.
_HELD_OUT = 0.2


def weekly_cutoffs(first_event: int, last_event: int) -> list[int]:
    """The midnights (UTC) a week apart with 30 days of events before and after; may be none."""
    first = -(-(first_event + SPAN) // DAY) * DAY
    return list(range(first, last_event - SPAN + 1, WEEK))


def temporal_cutoffs(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """The weekly cut-offs of a workspace. Raises InvalidData where its events are too short."""
    first, last = connection.execute("SELECT MIN(time), MAX(time) FROM events").fetchall()[0]
    cutoffs = [] if first is None else weekly_cutoffs(first, last)
    if not cutoffs:
        span = 0 if first is None else (last - first) / DAY
        raise InvalidData(
            f"the events span {span:.1f} days, and weekly cut-offs need 30 before and 30 after: "
            "name a --cutoff yourself"
        )
    return cutoffs


def check_cutoffs(connection: duckdb.DuckDBPyConnection, cutoffs: Sequence[int]) -> list[int]:
    """The same, sorted. Raises InvalidData naming one that has nothing before or after it."""
    first, last = connection.execute("SELECT MIN(time), MAX(time) FROM plays").fetchall()[0]
    for cutoff in cutoffs:
        if first is None or not first < cutoff <= last:
            raise InvalidData(
                f"nothing was played on both sides of the cut-off {format_time(cutoff)}"
            )
    return sorted(set(cutoffs))


def prepare(
    connection: duckdb.DuckDBPyConnection, schema: Schema, cutoff: int
) -> tuple[EncodedCatalogue, Split]:
    """What all contenders start from. Raises InvalidData where there is nobody to judge."""
    encoded = encode_catalogue(connection, schema, Popularity(connection, cutoff))
    split = split_at(connection, encoded, cutoff)
    if not len(split.judged):
        raise InvalidData(
            "nobody with a play before the cut-off fully played anything in the 30 days from it "
            f"on: {format_time(cutoff)}"
        )
    return encoded, split


def split_at(
    connection: duckdb.DuckDBPyConnection, encoded: EncodedCatalogue, cutoff: int
) -> Split:
    """The split at a cut-off; ``encoded`` is fitted at it. Its positions are the catalogue's."""
    set_cutoffs(connection, [cutoff])
    history = _history(connection, encoded.catalogue)
    named = history.column("user_id").combine_chunks().dictionary_encode()
    # The rows are in the order of the ids' bytes, so the dictionary is, too.
    users = _ids(named.dictionary.to_pylist())
    rows = query(connection, "outcomes.sql")
    places, tracks = _users(rows, users), _tracks(rows, encoded.catalogue)
    known = (places >= 0) & (tracks >= 0)
    return _with_outcomes(
        Split(
            cutoff=np.array(cutoff, np.int64),
            users=users,
            plays=_plays(history, named.indices.to_numpy().astype(np.int32)),
            features=_plain_features(encoded),
            popularity=_popularity(connection, encoded.catalogue),
            artists=encoded.catalogue.artists,
            genres=_genres(encoded.catalogue),
            profiles=_profiles(connection, encoded.encoder, named.dictionary.to_pylist()),
            judged=np.empty(0, np.int32),
            offsets=np.zeros(1, np.int64),
            outcomes=np.empty(0, np.int32),
        ),
        places[known],
        tracks[known],
    )


def earlier_split(
    connection: duckdb.DuckDBPyConnection, encoded: EncodedCatalogue, split: Split, seed: int
) -> Split:
    """A split wholly before the cut-off of ``split``, with the same positions: to choose settings.

    It cuts 30 days earlier where 30 days of plays lie before that, else at the last quarter of the
    time that there is; its outcomes end at the real cut-off. Where all plays bear one time, a fifth
    of each listener's tracks is held out at random.
    """
    times = split.plays.time
    if not len(times) or times.min() == times.max():
        return _held_out(split, np.random.default_rng(seed))
    cutoff, first = int(split.cutoff), int(times.min())
    enough = cutoff - 2 * SPAN >= first
    earlier = cutoff - (SPAN if enough else (cutoff - first) // 4)
    set_cutoffs(connection, [earlier])
    history = _history(connection, encoded.catalogue)
    past = replace(
        split,
        cutoff=np.array(earlier, np.int64),
        plays=_plays(history, _users(history, split.users)),
    )
    after = (times >= earlier) & split.plays.completed
    return _with_outcomes(past, split.plays.user[after], split.plays.track[after])


def _held_out(split: Split, random: np.random.Generator) -> Split:
    pairs = split.plays.user.astype(np.int64) * split.tracks + split.plays.track
    unique, of_play = np.unique(pairs, return_inverse=True)
    owner = unique // split.tracks
    order = np.lexsort((random.random(len(unique)), owner))
    rank = np.arange(len(unique)) - np.searchsorted(owner, owner)
    held = np.zeros(len(unique), np.bool_)
    held[order] = rank < np.floor(_HELD_OUT * np.bincount(owner)[owner] + 0.5)
    out = held[of_play]
    past = replace(split, plays=_select(split.plays, ~out))
    chosen = out & split.plays.completed
    return _with_outcomes(past, split.plays.user[chosen], split.plays.track[chosen])


def _with_outcomes(split: Split, users: NDArray[np.int32], tracks: NDArray[np.int32]) -> Split:
    """The split with these (user, track) pairs as what came of it, of those who played before."""
    active = np.bincount(split.plays.user, minlength=len(split.users)) > 0
    kept = active[users]
    pairs = np.unique(users[kept].astype(np.int64) * split.tracks + tracks[kept])
    judged, counts = np.unique(pairs // max(split.tracks, 1), return_counts=True)
    return replace(
        split,
        judged=judged.astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        outcomes=(pairs % max(split.tracks, 1)).astype(np.int32),
    )


def _history(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> pa.Table:
    """The plays before the one cut-off that is set, with the track's ``position``."""
    rows = query(connection, "history.sql")
    positions = _tracks(rows, catalogue)
    return rows.append_column("position", pa.array(positions)).filter(pa.array(positions >= 0))


def _plays(history: pa.Table, users: NDArray[np.int32]) -> Plays:
    return Plays(
        user=users,
        track=history.column("position").to_numpy(),
        time=history.column("time").to_numpy(),
        completed=history.column("completed").to_numpy(),
        liked=history.column("liked").to_numpy(),
    )


def _select(plays: Plays, mask: NDArray[np.bool_]) -> Plays:
    return Plays(
        plays.user[mask],
        plays.track[mask],
        plays.time[mask],
        plays.completed[mask],
        plays.liked[mask],
    )


def _tracks(rows: pa.Table, catalogue: Catalogue) -> NDArray[np.int32]:
    """(rows,) positions in the catalogue, -1 for an unknown track."""
    named = rows.column("track_id").combine_chunks().dictionary_encode()
    places = catalogue.positions(named.dictionary.to_pylist())
    return places[named.indices.to_numpy()] if len(rows) else np.empty(0, np.int32)


def _users(rows: pa.Table, users: NDArray[np.bytes_]) -> NDArray[np.int32]:
    """(rows,) positions among the users, -1 for a stranger."""
    if not len(rows) or not len(users):
        return np.full(len(rows), -1, np.int32)
    named = rows.column("user_id").combine_chunks().dictionary_encode()
    wanted = _ids(named.dictionary.to_pylist())
    places = np.minimum(np.searchsorted(users, wanted), len(users) - 1)
    found = np.where(users[places] == wanted, places, -1).astype(np.int32)
    places_of_rows: NDArray[np.int32] = found[named.indices.to_numpy()]
    return places_of_rows


def _ids(texts: list[str]) -> NDArray[np.bytes_]:
    return np.array([text.encode() for text in texts], np.bytes_)


def _plain_features(encoded: EncodedCatalogue) -> NDArray[np.float16]:
    kept = [np.full(one.width, one.feature.kind != "multi_hot") for one in encoded.encoder.track]
    return encoded.features[:, np.concatenate([np.empty(0, np.bool_), *kept])]


def _popularity(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> NDArray[np.float32]:
    """(tracks,) the catalogue's own column ``popularity``, NaN where it has none."""
    found = np.full(len(catalogue), np.nan, np.float32)
    table = connection.sql("SELECT * FROM tracks").to_arrow_table()
    if "popularity" in table.column_names:
        values = table.column("popularity").to_pylist()
        numbers = [v if isinstance(v, int | float) else np.nan for v in values]
        found[catalogue.positions(table.column("id").to_pylist())] = numbers
    return found


def _genres(catalogue: Catalogue) -> NDArray[np.int32]:
    pairs = [
        np.stack([tracks, np.full_like(tracks, genre)], axis=1)
        for genre, tracks in enumerate(catalogue.genres.values())
    ]
    return np.concatenate([np.empty((0, 2), np.int32), *pairs])


def _profiles(
    connection: duckdb.DuckDBPyConnection, encoder: Encoder, user_ids: list[str]
) -> NDArray[np.float32]:
    known = read_users(connection)
    users = [known.get(user_id, User(user_id)) for user_id in user_ids]
    return encoder.encode_users(user_columns(users, encoder.schema))
