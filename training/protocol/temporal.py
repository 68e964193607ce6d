"""The cut-offs that a workspace allows, and the split at each."""

from collections.abc import Sequence
from dataclasses import replace

import duckdb
import numpy as np
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.errors import InvalidData
from segue.domain.times import DAY, format_time
from segue.features.schema import Schema
from training.catalogue import EncodedCatalogue, Popularity, encode_catalogue
from training.histories import read_plays, read_profiles
from training.protocol.split import Split

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
    everybody, plays = read_plays(connection, encoded.catalogue)
    known = plays.known_at(cutoff)
    active, user = np.unique(known.user, return_inverse=True)
    later, tracks = plays.completed_in(cutoff, cutoff + SPAN)
    judged = np.isin(later, active)
    users = everybody[active].tolist()
    return _with_outcomes(
        Split(
            cutoff=np.array(cutoff, np.int64),
            users=np.array([user_id.encode() for user_id in users], np.bytes_),
            plays=replace(known, user=user.astype(np.int32)),
            features=_plain_features(encoded),
            popularity=_popularity(connection, encoded.catalogue),
            artists=encoded.catalogue.artists,
            genres=_genres(encoded.catalogue),
            profiles=read_profiles(connection, encoded.encoder, users),
            judged=np.empty(0, np.int32),
            offsets=np.zeros(1, np.int64),
            outcomes=np.empty(0, np.int32),
        ),
        np.searchsorted(active, later[judged]),
        tracks[judged],
    )


def earlier_split(split: Split, seed: int) -> Split:
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
    past = replace(split, cutoff=np.array(earlier, np.int64), plays=split.plays.known_at(earlier))
    return _with_outcomes(past, *split.plays.completed_in(earlier, cutoff))


def _held_out(split: Split, random: np.random.Generator) -> Split:
    pairs = split.plays.user.astype(np.int64) * split.tracks + split.plays.track
    unique, of_play = np.unique(pairs, return_inverse=True)
    owner = unique // split.tracks
    order = np.lexsort((random.random(len(unique)), owner))
    rank = np.arange(len(unique)) - np.searchsorted(owner, owner)
    held = np.zeros(len(unique), np.bool_)
    held[order] = rank < np.floor(_HELD_OUT * np.bincount(owner)[owner] + 0.5)
    out = held[of_play]
    past = replace(split, plays=split.plays.only(~out))
    chosen = out & split.plays.completed
    return _with_outcomes(past, split.plays.user[chosen], split.plays.track[chosen])


def _with_outcomes(split: Split, users: NDArray[np.integer], tracks: NDArray[np.int32]) -> Split:
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
