"""What all listeners do together, summed up for the hybrid: fitted at one moment, on its past."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from segue.features.encoder import FloatArray
from segue.models.hybrid import genre_columns
from segue.models.sources import CONFIDENCE, WINDOWS, Statistics
from segue.models.sources import RIDGE as FACTOR_RIDGE
from training.catalogue import EncodedCatalogue
from training.past import Past

# So many plays of a window are spread as those of the next longer one; those of the year evenly.
SMOOTHING = 50.0

# Track to track: how much ridge, in mean squared entries, and how far the weight of much-played
# tracks is taken back. Each track keeps so many neighbours (fewest, most), and between these as
# many as come to so many in all, which keeps the bundle small. The spectrum is whole up to so many
# listeners or tracks, and so wide beyond.
RIDGE = 100.0
DISCOUNT = 0.25
NEIGHBOURS = (64, 256)
ALL_NEIGHBOURS = 600_000
WHOLE = 3_000
SPECTRUM = 512
BLOCK = 1_000
# The broadest patterns of who plays what.
PATTERNS = 128

# Implicit ALS.
FACTORS = 64
SWEEPS = 6
BATCH = 2_048


@dataclass(frozen=True)
class Tracks:
    """What is known of the tracks whoever plays them: artist and genres as in ``Statistics``, and
    released, (tracks,) bool, those that were out."""

    artist: NDArray[np.int32]
    genres: FloatArray
    released: NDArray[np.bool_]

    @classmethod
    def of(cls, encoded: EncodedCatalogue) -> Self:
        """Those of the catalogue."""
        genres = encoded.features[:, genre_columns(encoded.encoder)].astype(np.float32)
        return cls(encoded.catalogue.artists, genres, encoded.released)


def fit_statistics(
    tracks: Tracks, past: Past, heard: NDArray[np.integer] | None = None
) -> Statistics:
    """The statistics at the moment of ``past``, for any listener, or for those alone who have
    ``heard`` no other tracks than these: finding the neighbours of all takes most of the time."""
    played = _played(past, len(tracks.artist))
    supported = _supported(played)
    asked = supported if heard is None else np.intersect1d(supported, heard)
    rows, neighbours, weights = track_to_track(played, supported, asked)
    basis, audience = spectral_basis(_binary(played))
    return Statistics(
        popularity=popularity(past, tracks.released),
        rows=rows,
        neighbours=neighbours,
        weights=_rounded(weights),
        factors=_rounded(factorise(_binary(played), supported)),
        basis=_rounded(basis),
        audience=audience,
        artist=tracks.artist,
        genres=tracks.genres,
    )


def _rounded(values: FloatArray) -> FloatArray:
    """As the bundle holds them, in half precision."""
    return values.astype(np.float16).astype(np.float32)


def popularity(past: Past, released: NDArray[np.bool_]) -> FloatArray:
    """(tracks, len(WINDOWS)) each track's share of the full plays of each window, smoothed by the
    next longer window, so that a quiet day says little.

    released: (tracks,) bool. A track that was not out is taken as one that nobody has played; it
    changes nothing for the others.
    """
    shares = np.full(len(released), 1 / max(int(released.sum()), 1))
    columns = []
    for days in reversed(WINDOWS):
        done = past.completed & (past.age <= days)
        plays = np.bincount(past.tracks[done], minlength=len(released))
        shares = (plays + SMOOTHING * shares) / (plays.sum() + SMOOTHING)
        columns.append(shares)
    return np.stack(columns[::-1], 1).astype(np.float32)


def _played(past: Past, tracks: int) -> sp.csr_array:
    """(users, tracks): the logarithm of how often each user fully played each track, and 1 more."""
    done = past.completed
    counts = sp.coo_array(
        (np.ones(done.sum(), np.float32), (past.owner[done], past.tracks[done])),
        (len(past.users), tracks),
    ).tocsr()
    counts.data = np.log1p(counts.data)
    return counts


def _binary(played: sp.csr_array) -> sp.csr_array:
    return sp.csr_array((np.ones_like(played.data), played.indices, played.indptr), played.shape)


def _supported(played: sp.csr_array) -> NDArray[np.intp]:
    """The tracks of which several listeners can say something, or one where no track has more."""
    audience = np.bincount(played.indices, minlength=played.shape[1])
    return np.flatnonzero(audience >= min(2, max(int(audience.max(initial=0)), 1)))


def track_to_track(
    played: sp.csr_array, supported: NDArray[np.intp], asked: NDArray[np.intp]
) -> tuple[NDArray[np.int32], NDArray[np.int32], FloatArray]:
    """rows, neighbours and weights of ``Statistics`` for the tracks that are asked for, among the
    supported ones (both ascending): EASE (Steck, 2019) by way of its spectrum.

    EASE takes the weights ``B_ij = R_ij / (1 - R_jj)`` with ``R = G (G + l I)^-1`` and G the Gram
    matrix of the plays, so R is a filter ``s / (s + l)`` over G's eigenvalues s. Where there are
    too many listeners and tracks to find all of these, the rest of G passes with the weight that
    the last eigenvalue found would have: the linear part of GF-CF (Shen et al., 2021). Each
    track's plays are first divided by the ``DISCOUNT``-th power of how many have played it.
    """
    rows = np.full(played.shape[1], -1, np.int32)
    if not len(asked):
        return rows, np.zeros((0, 1), np.int32), np.zeros((0, 1), np.float32)
    rows[asked] = np.arange(len(asked))
    scaled = sp.csr_array(played[:, supported])
    audience = np.bincount(scaled.indices, minlength=len(supported))
    scale = audience.astype(np.float32) ** -DISCOUNT
    scaled.data = scaled.data * scale[scaled.indices]
    kept = int(np.clip(ALL_NEIGHBOURS // len(supported), *NEIGHBOURS))
    kept = min(kept, len(supported) - 1) or 1
    neighbours = np.zeros((len(asked), kept), np.int32)
    weights = np.zeros((len(asked), kept), np.float32)
    places = np.searchsorted(supported, asked)
    for start, block in _filtered(scaled, places):
        votes = block * scale[places[start : start + len(block)], None] / scale
        nearest = np.argpartition(-np.abs(votes), kept - 1)[:, :kept]
        neighbours[start : start + len(block)] = supported[nearest]
        weights[start : start + len(block)] = np.take_along_axis(votes, nearest, 1)
    return rows, neighbours, weights


def _filtered(plays: sp.csr_array, places: NDArray[np.intp]) -> Iterator[tuple[int, FloatArray]]:
    """EASE's weights, those rows of them that stand at these places; some at a time, with the
    number of the first."""
    ridge = np.float32(RIDGE * (plays.data**2).mean())
    vectors, values = _spectrum(plays, SPECTRUM)
    rest = 1 / (values[-1] + ridge) if len(values) < min(plays.shape) else np.float32(0)
    passed = values / (values + ridge) - rest * values
    totals = np.asarray(plays.multiply(plays).sum(0)).ravel()
    own = (vectors**2) @ passed + rest * totals
    columns = plays.tocsc()
    for start in range(0, len(places), BLOCK):
        chosen = places[start : start + BLOCK]
        block = vectors[chosen] * passed @ vectors.T
        if rest:
            block += rest * (columns[:, chosen].T @ plays).toarray()
        block /= np.maximum(1 - own, 1e-3)
        block[np.arange(len(block)), chosen] = 0
        yield start, block


def spectral_basis(played: sp.csr_array) -> tuple[FloatArray, FloatArray]:
    """basis and audience of ``Statistics``: the leading eigenvectors of the tracks' normalised Gram
    matrix, in which neither busy listeners nor much-played tracks weigh more than others."""
    audience = np.sqrt(np.maximum(np.bincount(played.indices, minlength=played.shape[1]), 1))
    busy = np.repeat(np.sqrt(np.maximum(np.diff(played.indptr), 1)), np.diff(played.indptr))
    plays = sp.csr_array(
        (
            (played.data / busy / audience[played.indices]).astype(np.float32),
            played.indices,
            played.indptr,
        ),
        played.shape,
    )
    vectors, _ = _spectrum(plays, PATTERNS)
    return np.ascontiguousarray(vectors[:, :PATTERNS]), audience.astype(np.float32)


def _spectrum(plays: sp.csr_array, most: int) -> tuple[FloatArray, FloatArray]:
    """Eigenvectors (tracks, n) and eigenvalues (n,), greatest first, of the tracks' Gram matrix:
    all but those near 0 where there are at most ``WHOLE`` listeners or tracks, else ``most``."""
    listeners, tracks = plays.shape
    if min(listeners, tracks) > WHOLE:
        gram = LinearOperator((tracks, tracks), lambda x: plays.T @ (plays @ x), dtype=np.float32)
        # Seeded twice over: ARPACK draws again where values repeat.
        random = np.random.default_rng(0)
        values, found = eigsh(gram, most, v0=random.standard_normal(tracks), rng=random)
        return _descending(values, found)
    if tracks <= listeners:
        values, found = np.linalg.eigh((plays.T @ plays).toarray())
        return _descending(values, found)
    values, found = np.linalg.eigh((plays @ plays.T).toarray())
    kept = values > 1e-4 * values.max()
    values, found = values[kept][::-1], found[:, kept][:, ::-1]
    return np.asarray((plays.T @ found) / np.sqrt(values), np.float32), values


def _descending(
    values: NDArray[np.floating], vectors: NDArray[np.floating]
) -> tuple[FloatArray, FloatArray]:
    values = np.maximum(values[::-1], 0)
    return vectors[:, ::-1].astype(np.float32), values.astype(np.float32)


def factorise(played: sp.csr_array, supported: NDArray[np.intp]) -> FloatArray:
    """(tracks, FACTORS) of implicit ALS (Hu, Koren and Volinsky, 2008), 0 but for the supported;
    those of the users are thrown away, since a request folds its listener in."""
    random = np.random.default_rng(0)
    plays = sp.csr_array(played[:, supported])
    tracks = (random.standard_normal((len(supported), FACTORS)) / FACTORS).astype(np.float32)
    by_track = sp.csr_array(plays.T)
    for _ in range(SWEEPS):
        tracks = _solve(by_track, _solve(plays, tracks))
    factors = np.zeros((played.shape[1], FACTORS), np.float32)
    factors[supported] = tracks
    return factors


def _solve(played: sp.csr_array, factors: FloatArray) -> FloatArray:
    """One side's factors, (rows, FACTORS), given the other's."""
    solved = np.zeros((played.shape[0], FACTORS), np.float32)
    gram = factors.T @ factors + FACTOR_RIDGE * np.eye(FACTORS, dtype=np.float32)
    active = np.flatnonzero(np.diff(played.indptr))
    for start in range(0, len(active), BATCH):
        chosen = active[start : start + BATCH]
        systems = np.repeat(gram[None], len(chosen), 0)
        targets = np.zeros((len(chosen), FACTORS, 1), np.float32)
        for place, row in enumerate(chosen):
            own = factors[played.indices[played.indptr[row] : played.indptr[row + 1]]]
            systems[place] += CONFIDENCE * own.T @ own
            targets[place, :, 0] = (1 + CONFIDENCE) * own.sum(0)
        solved[chosen] = np.linalg.solve(systems, targets)[:, :, 0]
    return solved
