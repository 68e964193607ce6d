"""Listeners who draw every play evenly from a pool of tracks, so that all there is to know of them
is the pool."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infra.demo.catalogue import Catalogue, make_catalogue
from infra.demo.generate import write_catalogue, write_lines
from infra.demo.genres import GENRES
from infra.demo.randomness import Ints, Rng, stream
from segue.domain.times import DAY, format_time, parse_time

# A third of the listeners each: the most popular tracks of the catalogue; those of a few genres,
# the same for all of these listeners; any track.
KINDS = ("chart", "genre", "any track")
CHART = 100
GENRE_SHARE = 0.1

START = parse_time("2022-01-01")
DAYS = 75
CUTOFF = START + 45 * DAY
# About so many plays of a listener in all the time, and in a session.
PLAYS, PLAYS_A_SESSION = 260, 9
# Milliseconds.
LISTENED, SKIPPED, GAP = 200_000, 45_000, 1_000
LIKED = 0.05


@dataclass(frozen=True)
class Pools:
    """kind: (listeners,) places in KINDS. tracks: of each kind, the ids in the pool."""

    kind: Ints
    tracks: tuple[list[str], ...]


def write_world(folder: Path, seed: int, listeners: int, tracks: int) -> Pools:
    """Write a folder of data, drawn by the seed; the truth behind it. Listener n has the id n."""
    random = stream(seed, 20)
    catalogue = make_catalogue(seed, tracks)
    folder.mkdir()
    write_catalogue(folder, catalogue, seed)
    # What was out before anybody played.
    released = np.flatnonzero(catalogue.release_day < 0)
    genres, pool = _genre_pool(random, catalogue, released)
    pools = (_chart(catalogue, released), pool, released)
    kind = random.integers(0, len(KINDS), listeners)
    write_lines(
        folder / "users.jsonl", (_user(n, kind[n], genres, random) for n in range(listeners))
    )
    events = (
        event for n in range(listeners) for event in _events(n, pools[kind[n]], catalogue, random)
    )
    write_lines(folder / "sessions.jsonl", events)
    return Pools(kind, tuple([catalogue.ids[track] for track in pool] for pool in pools))


def _chart(catalogue: Catalogue, released: Ints) -> Ints:
    popularity = catalogue.features["popularity"][released]
    return released[np.argsort(-popularity, kind="stable")[:CHART]]


def _genre_pool(random: Rng, catalogue: Catalogue, released: Ints) -> tuple[Ints, Ints]:
    """Genres, and their tracks: as many genres as it takes to fill the share of the catalogue."""
    order = random.permutation(len(GENRES))
    for number in range(1, len(order) + 1):
        artists = np.asarray(catalogue.artists.genres[:, order[:number]].max(1), np.bool_)
        pool = released[artists[catalogue.artist[released]]]
        if len(pool) >= GENRE_SHARE * len(released):
            break
    return order[:number], pool


def _user(number: int, kind: int, genres: Ints, random: Rng) -> dict[str, object]:
    """Genre listeners name theirs; what the others name says nothing."""
    liked = genres if KINDS[kind] == "genre" else random.permutation(len(GENRES))
    return {
        "user_id": number,
        "favourite_genres": [GENRES[genre] for genre in liked[:3]],
        "premium_user": False,
    }


def _events(
    listener: int, pool: Ints, catalogue: Catalogue, random: Rng
) -> Iterator[dict[str, object]]:
    """In sessions spread evenly over the time. How often they skip is the listener's own habit."""
    skips = random.beta(2, 3)
    left = random.poisson(random.gamma(3, PLAYS / 3))
    session = 0
    while left > 0:
        session += 1
        length = min(left, 1 + random.poisson(PLAYS_A_SESSION - 1))
        left -= length
        time = START + int(random.random() * DAYS * DAY)
        about = {"user_id": listener, "session_id": listener * 10_000 + session}
        for track in pool[random.integers(0, len(pool), length)]:
            played = about | {"track_id": catalogue.ids[track]}
            yield played | {"timestamp": format_time(time), "event_type": "PLAY"}
            skipped = random.random() < skips
            time += SKIPPED if skipped else LISTENED
            if skipped:
                yield played | {"timestamp": format_time(time), "event_type": "SKIP"}
            elif random.random() < LIKED:
                yield played | {"timestamp": format_time(time), "event_type": "LIKE"}
            time += GAP
