"""Whether tracks that lie near each other are alike: in figures, and for somebody to read."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from segue.domain.catalogue import Catalogue
from segue.domain.genres import TrackGenres
from segue.features.encoder import FloatArray
from segue.models.ranked import best

Row = dict[str, Any]

NEAREST = 10
# So many tracks are looked at, drawn at random, and so many are shown.
_DRAWN = 1_000
_SHOWN = 8
_BLOCK = 100


def likeness_rows(catalogue: Catalogue, latents: Mapping[str, FloatArray], seed: int) -> list[Row]:
    """For each latent space, which share of a track's ten nearest is by its artist, and which has
    one of its genres; and which share of all other tracks does. None where tracks have no such
    thing; no row where they have neither."""
    drawn = np.random.default_rng(seed).permutation(len(catalogue))
    alike = {"artist": _one_hot(catalogue.artists), "genre": _genre_matrix(catalogue)}
    alike = {what: labels for what, labels in alike.items() if labels.nnz}
    rows = []
    for name, space in latents.items() if alike else ():
        row: Row = {"model": name, "artist": None, "genre": None}
        for what, labels in alike.items():
            row[what], row[f"{what}_by_chance"] = _shares(drawn, space, labels)
        rows.append(row)
    return rows


def in_words(row: Row) -> str:
    """A row as a sentence."""
    told = [
        f"{row[what]:.0%} share {words} ({row[f'{what}_by_chance']:.2%} of all tracks do)"
        for what, words in {"artist": "its artist", "genre": "a genre"}.items()
        if row[what] is not None
    ]
    return f"Of the ten tracks nearest to one by the {row['model']}, {' and '.join(told)}."


def _one_hot(artists: NDArray[np.int32]) -> sparse.csr_array:
    known = np.flatnonzero(artists >= 0)
    shape = (len(artists), int(artists.max(initial=0)) + 1)
    ones = np.ones(len(known), np.float32)
    return sparse.csr_array((ones, (known, artists[known])), shape)


def _genre_matrix(catalogue: Catalogue) -> sparse.csr_array:
    members = list(catalogue.genres.values())
    tracks = np.concatenate([np.empty(0, np.int32), *members])
    genres = np.repeat(np.arange(len(members)), [len(m) for m in members])
    ones = np.ones(len(tracks), np.float32)
    return sparse.csr_array((ones, (tracks, genres)), (len(catalogue), max(len(members), 1)))


def _shares(
    drawn: NDArray[np.int64], space: FloatArray, labels: sparse.csr_array
) -> tuple[float, float]:
    """Among the nearest, and among all, of the drawn tracks that have a label."""
    drawn = drawn[np.diff(labels.indptr)[drawn] > 0][:_DRAWN]
    near, everywhere = [], []
    for start in range(0, len(drawn), _BLOCK):
        block = drawn[start : start + _BLOCK]
        shared = (labels[block] @ labels.T).toarray() > 0
        for track, same, cosines in zip(block, shared, space[block] @ space.T, strict=True):
            near.append(same[_nearest(cosines, track)].mean())
            everywhere.append((same.sum() - 1) / max(len(same) - 1, 1))
    return round(float(np.mean(near)), 5), round(float(np.mean(everywhere)), 5)


def _nearest(cosines: FloatArray, track: int) -> NDArray[np.intp]:
    itself = np.arange(len(cosines)) == track
    return best(cosines, NEAREST, itself).tracks


def examples(
    connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, space: FloatArray
) -> list[Row]:
    """The most played track of each of the most common genres, and the ten that lie nearest."""
    shown = list(dict.fromkeys(_typical(catalogue)))
    near = [_nearest(space @ space[track], track) for track in shown]
    wanted = np.unique(np.concatenate([np.array(shown, np.intp), *near]))
    said = dict(zip(wanted.tolist(), _said(connection, catalogue, wanted), strict=True))
    return [
        {"track": said[track], "nearest": [said[other] for other in others.tolist()]}
        for track, others in zip(shown, near, strict=True)
    ]


def _typical(catalogue: Catalogue) -> Iterator[int]:
    common = sorted(catalogue.genres.items(), key=lambda item: (-len(item[1]), item[0]))
    for _, tracks in common[:_SHOWN]:
        yield int(tracks[np.argmax(catalogue.popularity[tracks])])


def _said(
    connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, tracks: NDArray[np.intp]
) -> Iterator[Row]:
    """What there is to read of each track."""
    genres, ids = TrackGenres.of(catalogue), catalogue.track_ids(tracks)
    names = _column(connection, "name", ids)
    artists = _column(connection, "artist_name", ids)
    for track, track_id in zip(tracks, ids, strict=True):
        yield {
            "id": track_id,
            "name": names.get(track_id) or track_id,
            "artist": artists.get(track_id),
            "genres": list(genres.of_track(int(track))),
        }


def _column(
    connection: duckdb.DuckDBPyConnection, name: str, ids: Sequence[str]
) -> Mapping[str, str | None]:
    if name not in connection.sql("SELECT * FROM tracks LIMIT 0").columns:
        return {}
    rows = connection.execute(
        f'SELECT id, "{name}" FROM tracks WHERE id IN (SELECT UNNEST($1))',  # noqa: S608
        [list(ids)],
    )
    return dict(rows.fetchall())
