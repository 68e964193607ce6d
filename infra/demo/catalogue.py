"""Artists and tracks: genres, audio features, release dates, and how appealing each track is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.demo import names
from infra.demo.genres import FAMILIES, GENRES, GENRES_PER_FAMILY, SOUND
from infra.demo.randomness import Bools, Floats, Ints, Rng, cumulate, draw, stream

TRACKS_PER_ARTIST = 8
SHARE_RELEASED_IN_2022 = 0.03
SHARE_WITH_YEAR_ONLY = 0.22
SHARE_WITH_MONTH_ONLY = 0.005
EARLIEST_YEAR = 1958
FIRST_DAY = np.datetime64("2022-01-01", "D")
LAST_RELEASE_DAY = 273

ID_ALPHABET = np.array(list("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))
ID_LENGTH = 22

# Spread of the standard scores at each level; together with the families' points about 1.
GENRE_SPREAD, ARTIST_SPREAD, TRACK_SPREAD = 0.35, 0.4, 0.5
APPEAL_SPREAD_ARTIST, APPEAL_SPREAD_TRACK = 0.8, 1.0
# How a track's own deviation in (feature) carries over to (other feature).
COUPLINGS = (
    ("energy", "loudness", 0.8),
    ("energy", "acousticness", -0.7),
    ("danceability", "valence", 0.4),
    ("loudness", "instrumentalness", -0.3),
)
KEY_WEIGHTS = np.array([12, 9, 11, 4, 9, 9, 7, 12, 6, 11, 6, 8], dtype=np.float64)


@dataclass(frozen=True)
class Artists:
    """Columns over artists; ``genres`` is a bool matrix (artists, genres)."""

    ids: list[str]
    names: list[str]
    families: Ints
    genres: Bools
    fame: Floats


@dataclass(frozen=True)
class Catalogue:
    """Columns over tracks, in order of release.

    ``release_day`` counts days from 2022-01-01 (negative before); ``appeal`` is how much a track
    is liked by everybody (positive); ``sound`` holds standard scores, shape (tracks, 8), computed
    from the written features. ``features`` are those of the file, by column name.
    """

    artists: Artists
    ids: list[str]
    names: list[str]
    artist: Ints
    release_day: Ints
    release_date: list[str]
    appeal: Floats
    features: dict[str, Floats | Ints]
    sound: Floats


def make_catalogue(seed: int, tracks: int) -> Catalogue:
    """Make ``tracks`` tracks and about an eighth as many artists."""
    rng = stream(seed, 1)
    artists = _make_artists(rng, max(2, tracks // TRACKS_PER_ARTIST))
    artist = draw(cumulate(artists.fame**0.6), rng.random(tracks))
    release_day = _release_days(rng, artist, len(artists.ids))
    order = np.argsort(release_day, kind="stable")
    artist, release_day = artist[order], release_day[order]
    spread = APPEAL_SPREAD_TRACK * rng.standard_normal(tracks)
    appeal = np.round(artists.fame[artist] * np.exp(spread), 6)
    features = _features(rng, artists, artist, appeal)
    return Catalogue(
        artists=artists,
        ids=_ids(rng, tracks),
        names=[names.track_name(n) for n in rng.random((tracks, 5))],
        artist=artist,
        release_day=release_day,
        release_date=_release_dates(rng, release_day),
        appeal=appeal,
        features=features,
        sound=_sound_space(features),
    )


def _make_artists(rng: Rng, count: int) -> Artists:
    shares = np.array([family.share for family in FAMILIES])
    families = draw(cumulate(shares), rng.random(count))
    return Artists(
        ids=_ids(rng, count),
        names=_artist_names(rng, count),
        families=families,
        genres=_artist_genres(rng, families),
        fame=_bounded(np.exp(APPEAL_SPREAD_ARTIST * rng.standard_normal(count)), 1e-6, 1e6, 6),
    )


def _ids(rng: Rng, count: int) -> list[str]:
    return ["".join(row) for row in ID_ALPHABET[rng.integers(0, 62, (count, ID_LENGTH))]]


def _artist_names(rng: Rng, count: int) -> list[str]:
    taken: dict[str, None] = {}
    while len(taken) < count:
        taken[names.artist_name(rng.random(5))] = None
    return list(taken)


def _artist_genres(rng: Rng, families: Ints) -> Bools:
    """One to four genres each: mostly of the artist's family, one in ten from anywhere."""
    genres = np.zeros((len(families), len(GENRES)), dtype=np.bool_)
    wanted = draw(cumulate(np.array([0.3, 0.4, 0.2, 0.1])), rng.random(len(families))) + 1
    for turn in range(4):
        within = rng.integers(0, GENRES_PER_FAMILY, len(families))
        anywhere = rng.integers(0, len(GENRES), len(families))
        stray = (rng.random(len(families)) < 0.1) & (turn > 0)
        chosen = np.where(stray, anywhere, families * GENRES_PER_FAMILY + within)
        rows = np.flatnonzero(wanted > turn)
        genres[rows, chosen[rows]] = True
    return genres


def _release_days(rng: Rng, artist: Ints, artists: int) -> Ints:
    """Days from 2022-01-01. An artist has a debut, and most music is recent."""
    debut = EARLIEST_YEAR + np.floor(62 * rng.random(artists) ** 0.6)
    career = np.floor((2022 - debut[artist]) * rng.random(len(artist)) ** 1.5)
    year = np.minimum(debut[artist] + career, 2021).astype(np.int64)
    starts = (year - 1970).astype("datetime64[Y]").astype("datetime64[D]")
    days = (starts - FIRST_DAY).astype(np.int64) + rng.integers(0, 365, len(artist))
    fresh = rng.random(len(artist)) < SHARE_RELEASED_IN_2022
    return np.where(fresh, rng.integers(0, LAST_RELEASE_DAY + 1, len(artist)), days)


def _release_dates(rng: Rng, release_day: Ints) -> list[str]:
    """Dates as text; some of the older ones name only the year, a few only year and month."""
    dates = np.datetime_as_string(FIRST_DAY + release_day, unit="D")
    vague = np.where(release_day < 0, rng.random(len(dates)), 1.0)
    lengths = np.where(vague < SHARE_WITH_YEAR_ONLY, 4, 10)
    month_only = vague > 1 - SHARE_WITH_MONTH_ONLY
    lengths = np.where(month_only & (release_day < 0), 7, lengths)
    return [str(date)[:length] for date, length in zip(dates, lengths.tolist(), strict=True)]


def _features(rng: Rng, artists: Artists, artist: Ints, appeal: Floats) -> dict[str, Floats | Ints]:
    scores = dict(zip(SOUND, _sound_scores(rng, artists, artist), strict=True))
    count = len(artist)
    explicit = np.array([family.explicit for family in FAMILIES])[artists.families[artist]]
    popularity = 27 + 9 * np.log(appeal) + 9 * rng.standard_normal(count)
    duration = 213_000 * np.exp(0.3 * rng.standard_normal(count))
    quick = 0.5 * np.exp(0.7 * rng.standard_normal(count) - 1.3)
    return {
        "popularity": np.clip(np.rint(popularity), 0, 100).astype(np.int64),
        "duration_ms": np.clip(np.rint(duration), 45_000, 900_000).astype(np.int64),
        "explicit": (rng.random(count) < explicit).astype(np.int64),
        "danceability": _bounded(0.57 + 0.155 * scores["danceability"], 0.05, 0.985, 3),
        "energy": _bounded(_logistic(0.25 + 1.2 * scores["energy"]), 0.002, 0.999, 3),
        "key": draw(cumulate(KEY_WEIGHTS), rng.random(count)),
        "loudness": _bounded(-9.2 + 3.6 * scores["loudness"], -42.0, 0.5, 3),
        "speechiness": _bounded(0.022 + np.exp(-3.3 + scores["speechiness"]), 0.023, 0.96, 4),
        "acousticness": _bounded(_logistic(-0.7 + 2.0 * scores["acousticness"]), 0.0, 0.996, 5),
        "instrumentalness": _bounded(
            _logistic(-6.5 + 3.2 * scores["instrumentalness"]), 0.0, 0.98, 6
        ),
        "liveness": _bounded(0.05 + quick, 0.02, 0.98, 3),
        "valence": _bounded(_logistic(0.1 + 1.1 * scores["valence"]), 0.02, 0.985, 3),
        "tempo": _bounded(119 + 26 * scores["tempo"], 48.0, 218.0, 3),
    }


def _sound_scores(rng: Rng, artists: Artists, artist: Ints) -> list[Floats]:
    """One column per axis of SOUND: genre centroid, artist's offset and the track's own."""
    centroids = np.repeat([family.sound for family in FAMILIES], GENRES_PER_FAMILY, axis=0)
    centroids = centroids + GENRE_SPREAD * rng.standard_normal(centroids.shape)
    offsets = ARTIST_SPREAD * rng.standard_normal((len(artists.ids), len(SOUND)))
    own = dict(zip(SOUND, rng.standard_normal((len(SOUND), len(artist))), strict=True))
    for source, target, strength in COUPLINGS:
        own[target] = strength * own[source] + (1 - strength**2) ** 0.5 * own[target]
    shares = artists.genres / artists.genres.sum(axis=1, keepdims=True)
    columns = []
    for axis, feature in enumerate(SOUND):
        base = (shares * centroids[:, axis]).sum(axis=1) + offsets[:, axis]
        columns.append(base[artist] + TRACK_SPREAD * own[feature])
    return columns


def _logistic(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)), dtype=np.float64)


def _bounded(values: Floats, low: float, high: float, digits: int) -> Floats:
    return np.asarray(np.round(np.clip(values, low, high), digits), dtype=np.float64)


def _sound_space(features: dict[str, Floats | Ints]) -> Floats:
    """Standard scores of the written features, the skewed ones on a log scale, rounded."""
    columns = []
    for feature in SOUND:
        values = features[feature].astype(np.float64)
        if feature in ("speechiness", "instrumentalness"):
            values = np.log(values + 0.002)
        columns.append((values - values.mean()) / values.std())
    return np.round(np.stack(columns, axis=1), 3)
