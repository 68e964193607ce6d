"""Listeners: who they are, how active they are, and what they truly like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.demo import names
from infra.demo.catalogue import Catalogue
from infra.demo.genres import GENRES, GENRES_PER_FAMILY
from infra.demo.randomness import Floats, Ints, Rng, cumulate, draw, draw_distinct, stream
from infra.demo.taste import WHOLE, Source, Taste, has_any

FIRST_USER_ID = 101
# Typical weights of the sources; each listener's own deviate by the spread, on a log scale.
TYPICAL_WEIGHTS = {
    Source.CHART: 0.25,
    Source.GENRE: 0.17,
    Source.ARTIST: 0.18,
    Source.SOUND: 0.18,
    Source.REPEAT: 0.10,
    Source.CHANCE: 0.12,
}
WEIGHT_SPREAD = 0.6
FAVOURITE_GENRES, GENRE_WEIGHTS = 3, (0.5, 0.3, 0.2)
SHARE_OF_TRUE_GENRES_IN_PROFILE = 0.8
FAVOURITE_ARTISTS, ARTIST_DECAY = 14, 0.88
# Circles: groups of artists that the same people love, across genres. No file names them, so only
# what people play together shows them.
ARTISTS_PER_CIRCLE = 60
FROM_CIRCLE, FROM_GENRES, FROM_ANYWHERE = 40.0, 8.0, 0.2
SHARE_WITH_TWO_POINTS = 0.6
# Drawn towards the middle of sound space, or a taste for an outlier would be one for a few tracks.
TOWARDS_THE_USUAL, POINT_NOISE = 0.8, 0.2
SHARE_PREMIUM = 0.25


@dataclass(frozen=True)
class Profile:
    """What the users file says of a listener, but for the premium flag's later changes."""

    user_id: int
    name: str
    city: str
    street: str
    favourite_genres: list[str]
    premium_at_start: bool


@dataclass(frozen=True)
class Listener:
    """A profile and the truth behind it."""

    profile: Profile
    taste: Taste


def make_listeners(seed: int, count: int, catalogue: Catalogue) -> list[Listener]:
    """Make listeners with the ids 101, 102, ..., each from a random stream of its own."""
    circles = _circles(stream(seed, 3), len(catalogue.artists.ids))
    user_ids = range(FIRST_USER_ID, FIRST_USER_ID + count)
    return [_make_listener(stream(seed, 4, i), i, catalogue, circles) for i in user_ids]


def _circles(rng: Rng, artists: int) -> Ints:
    """The circle of each artist, whatever its genres."""
    return draw(cumulate(np.ones(max(2, artists // ARTISTS_PER_CIRCLE))), rng.random(artists))


def _make_listener(rng: Rng, user_id: int, catalogue: Catalogue, circles: Ints) -> Listener:
    genres = _true_genres(rng, catalogue)
    person = rng.random(7)
    profile = Profile(
        user_id=user_id,
        name=names.listener_name(person[:3]),
        city=names.city(person[3]),
        street=names.street(person[4:]),
        favourite_genres=[GENRES[g] for g in _claimed_genres(rng, genres)],
        premium_at_start=bool(rng.random() < SHARE_PREMIUM),
    )
    return Listener(profile, _make_taste(rng, catalogue, circles, genres))


def _true_genres(rng: Rng, catalogue: Catalogue) -> Ints:
    """Two of one family and one from anywhere, families by how much music they have."""
    home = int(catalogue.artists.families[rng.integers(len(catalogue.artists.families))])
    genres: dict[int, None] = {}
    while len(genres) < FAVOURITE_GENRES:
        at_home = len(genres) < FAVOURITE_GENRES - 1
        within = home * GENRES_PER_FAMILY + int(rng.integers(GENRES_PER_FAMILY))
        genres[within if at_home else int(rng.integers(len(GENRES)))] = None
    return np.array(list(genres), dtype=np.int64)


def _claimed_genres(rng: Rng, genres: Ints) -> list[int]:
    """What the profile says: the true genres in random order, some replaced by chance."""
    claimed: dict[int, None] = {}
    for genre in genres[np.argsort(rng.random(len(genres)))].tolist():
        honest = rng.random() < SHARE_OF_TRUE_GENRES_IN_PROFILE and genre not in claimed
        while len(claimed) < FAVOURITE_GENRES:
            other = genre if honest else int(rng.integers(len(GENRES)))
            if other not in claimed:
                claimed[other] = None
                break
    return list(claimed)


def _make_taste(rng: Rng, catalogue: Catalogue, circles: Ints, genres: Ints) -> Taste:
    decay = ARTIST_DECAY ** np.arange(FAVOURITE_ARTISTS)
    artists = _favourite_artists(rng, catalogue, circles, genres)
    points = _audio_points(rng, catalogue, genres)
    first_share = round(0.5 + 0.3 * float(rng.random()), 3) if len(points) > 1 else 1.0
    return Taste(
        weights=_weights(rng),
        genres=genres,
        genre_weights=np.array(GENRE_WEIGHTS),
        artists=artists,
        artist_weights=np.round(decay / decay.sum(), 6)[: len(artists)],
        points=points,
        point_weights=np.array([first_share, 1 - first_share])[: len(points)],
        memory_days=round(14 * float(np.exp(0.5 * rng.standard_normal())) + 6, 2),
        skip_habit=round(0.8 * float(rng.standard_normal()), 4),
        like_habit=round(0.7 * float(rng.standard_normal()), 4),
    )


def _weights(rng: Rng) -> Ints:
    typical = np.array([TYPICAL_WEIGHTS[source] for source in Source])
    raw = typical * np.exp(WEIGHT_SPREAD * rng.standard_normal(len(typical)))
    weights: Ints = np.floor(np.round(WHOLE * raw / raw.sum(), 6)).astype(np.int64)
    weights[Source.CHANCE] += WHOLE - weights.sum()
    return weights


def _favourite_artists(rng: Rng, catalogue: Catalogue, circles: Ints, genres: Ints) -> Ints:
    artists = catalogue.artists
    circle = circles[rng.integers(len(circles))]
    in_genres = has_any(artists.genres, genres)
    pull = FROM_CIRCLE * (circles == circle) + FROM_GENRES * in_genres + FROM_ANYWHERE
    return draw_distinct(rng, pull * artists.fame, FAVOURITE_ARTISTS)


def _audio_points(rng: Rng, catalogue: Catalogue, genres: Ints) -> Floats:
    """One or two points of sound space, the first near a track of a favourite genre."""
    in_genres = has_any(catalogue.artists.genres, genres)[catalogue.artist]
    at_home = draw(cumulate(in_genres.astype(np.float64)), rng.random(1))
    anywhere = rng.integers(0, len(catalogue.ids), 1)
    count = 2 if rng.random() < SHARE_WITH_TWO_POINTS else 1
    chosen = np.concatenate([at_home, anywhere])[:count]
    noise = POINT_NOISE * rng.standard_normal((count, catalogue.sound.shape[1]))
    points = TOWARDS_THE_USUAL * catalogue.sound[chosen] + noise
    return np.asarray(np.round(points, 3), dtype=np.float64)
