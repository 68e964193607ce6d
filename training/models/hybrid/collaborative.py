"""What all listeners do together, summed up for the hybrid: fitted at one moment, on its past."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from segue.domain.genres import TrackGenres
from segue.features.encoder import FloatArray
from segue.models.hybrid.statistics import (
    CONFIDENCE,
    WINDOWS,
    Followers,
    Neighbours,
    Patterns,
    Statistics,
)
from segue.models.hybrid.statistics import RIDGE as FACTOR_RIDGE
from training.catalogue import EncodedCatalogue
from training.models.products import vectors_of
from training.plays import Plays

# So many plays of a window are spread as those of the next longer one; those of the year evenly.
SMOOTHING = 50.0

# What is played together is told of so many tracks: those with the most listeners.
HEAD = 20_000

# Track to track: how much ridge, in mean squared entries; how far the weight of much-played tracks
# is taken back; and how many eigenvectors stand for the whole.
RIDGE = 100.0
DISCOUNT = 0.25
SPECTRUM = 256
# The broadest patterns of who plays what.
PATTERNS = 128
# Up to so many listeners or tracks, eigenvectors are exact; beyond, by subspace iteration.
EXACT = 3_000
ROUNDS = 4

# What is played within so many plays follows; so many followers are kept of each, and shares are
# of no fewer than so many.
REACH = 3
FOLLOWERS = 16
FEWEST = 5

# Implicit ALS; it starts near its end, from the broadest patterns.
FACTORS = 64
SWEEPS = 1
BATCH = 2_048


@dataclass(frozen=True)
class Tracks:
    """What is known of the tracks whoever plays them: artist and genres as in ``Statistics``, and
    released, (tracks,) bool, those that were out."""

    artist: NDArray[np.int32]
    genres: TrackGenres
    released: NDArray[np.bool_]

    @classmethod
    def of(cls, encoded: EncodedCatalogue) -> Self:
        """Those of the catalogue."""
        catalogue = encoded.catalogue
        return cls(catalogue.artists, TrackGenres.of(catalogue), encoded.released)


def fit_statistics(tracks: Tracks, past: Plays, full: NDArray[np.int64]) -> Statistics:
    """The statistics at a moment, by the plays that were known then: ``past`` of those who are
    learnt from, and full, (tracks, len(WINDOWS)), how often everybody fully played each track."""
    counts = _played(past, len(tracks.artist))
    head = _head(counts)
    counts = sp.csr_array(counts[:, head])
    logs = sp.csr_array((np.log1p(counts.data), counts.indices, counts.indptr), counts.shape)
    pairs = sp.csr_array((np.ones_like(counts.data), counts.indices, counts.indptr), counts.shape)
    basis, values, scale = broadest_patterns(pairs)
    start = basis[:, :FACTORS] * np.sqrt(values[:FACTORS]) / scale[:, None]
    artist = tracks.artist[past.track]
    known = artist >= 0
    artists = int(tracks.artist.max(initial=-1)) + 1
    # One more track than there are, which nobody has played.
    unplayed = np.zeros((1, len(WINDOWS)), np.int64)
    popular = popularity(np.append(full, unplayed, axis=0), np.append(tracks.released, False))
    return Statistics(
        popularity=popular[:-1],
        unplayed=popular[-1],
        head=head,
        neighbours=neighbours(logs),
        patterns=Patterns(vectors_of(basis * scale[:, None]), scale**-2),
        factors=vectors_of(factorise(pairs, start)),
        followers=followers_of(past.user, past.track, len(tracks.artist)),
        artist_followers=followers_of(past.user[known], artist[known], artists),
        artist=tracks.artist,
        genres=tracks.genres,
    )


def popularity(full: NDArray[np.int64], released: NDArray[np.bool_]) -> FloatArray:
    """(tracks, len(WINDOWS)) each track's share of the full plays of each window, smoothed by the
    next longer window, so that a quiet day says little.

    full: (tracks, len(WINDOWS)), the full plays. released: (tracks,) bool. A track that was not out
    is taken as one that nobody has played; it changes nothing for the others.
    """
    shares = np.full(len(released), 1 / max(int(released.sum()), 1))
    columns = []
    for plays in full.T[::-1]:
        shares = (plays + SMOOTHING * shares) / (plays.sum() + SMOOTHING)
        columns.append(shares)
    return np.stack(columns[::-1], 1).astype(np.float32)


def _played(past: Plays, tracks: int) -> sp.csr_array:
    """(users, tracks) how often each user with a past fully played each track."""
    users, owner = np.unique(past.user, return_inverse=True)
    done = past.completed
    ones = np.ones(done.sum(), np.float32)
    shape = len(users), tracks
    return sp.coo_array((ones, (owner[done], past.track[done])), shape).tocsr()


def _head(counts: sp.csr_array) -> NDArray[np.int32]:
    """The tracks with the most listeners; the later ones of equals give way."""
    audience = np.bincount(counts.indices, minlength=counts.shape[1])
    return np.sort(np.argsort(-audience, kind="stable")[:HEAD]).astype(np.int32)


def neighbours(played: sp.csr_array) -> Neighbours:
    """What a play of one track speaks for another: EASE (Steck, 2019) by way of its spectrum.

    played: (users, head), how much each user has played each track. EASE takes the weights ``B_ij =
    R_ij / (1 - R_jj)`` with ``R = G (G + l I)^-1``. G is the Gram matrix of the plays, so R is a
    filter ``s / (s + l)`` over G's eigenvalues s. The greatest of these stand for all. Each track's
    plays are first divided by the ``DISCOUNT``-th power of how many have played it.
    """
    scale = _audience(played) ** -DISCOUNT
    scaled = _scaled(played, scale)
    vectors, values = _spectrum(scaled, SPECTRUM)
    ridge = RIDGE * (scaled.data**2).mean() if len(scaled.data) else 1.0
    passed = vectors * np.sqrt(values / (values + ridge))
    itself = np.minimum((passed**2).sum(1), 1 - 1e-3)
    return Neighbours(
        vectors_of(passed * scale[:, None]), (1 / (scale**2 * (1 - itself))).astype(np.float32)
    )


def followers_of(owner: NDArray[np.integer], numbers: NDArray[np.integer], size: int) -> Followers:
    """What is played soon after each of ``size`` tracks or artists; owner, numbers: (plays,) in the
    order of (owner, time)."""
    found = [np.empty(0, np.int64)]
    for back in range(1, REACH + 1):
        first, then = numbers[:-back], numbers[back:]
        one_after_the_other = (owner[back:] == owner[:-back]) & (first != then)
        found.append((first.astype(np.int64) * size + then)[one_after_the_other])
    pairs, counts = np.unique(np.concatenate(found), return_counts=True)
    rows, followers = np.divmod(pairs, size)
    totals = np.maximum(np.bincount(rows, counts, size), FEWEST)
    order = np.lexsort((followers, -counts, rows))
    begins = np.searchsorted(rows, np.arange(size))
    kept = order[np.arange(len(order)) - begins[rows[order]] < FOLLOWERS]
    offsets = np.searchsorted(rows[kept], np.arange(size + 1))
    shares = counts[kept] / totals[rows[kept]]
    return Followers(
        offsets.astype(np.int32), followers[kept].astype(np.int32), shares.astype(np.float32)
    )


def broadest_patterns(played: sp.csr_array) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The leading eigenvectors (tracks, n) and eigenvalues (n,) of the tracks' Gram matrix, and
    what each track's plays were scaled by. The matrix is normalised: neither busy listeners nor
    much-played tracks weigh more than others. played: (users, tracks), of ones."""
    scale = _audience(played) ** -0.5
    busy = np.sqrt(np.maximum(np.diff(played.indptr), 1)).astype(np.float32)
    vectors, values = _spectrum(sp.csr_array(_scaled(played, scale) / busy[:, None]), PATTERNS)
    return vectors, values, scale


def _audience(played: sp.csr_array) -> FloatArray:
    """(tracks,) how many have played each, at least 1."""
    audience = np.bincount(played.indices, minlength=played.shape[1])
    return np.maximum(audience, 1).astype(np.float32)


def _scaled(played: sp.csr_array, scale: FloatArray) -> sp.csr_array:
    data = played.data * scale[played.indices]
    return sp.csr_array((data, played.indices, played.indptr), played.shape)


def _spectrum(plays: sp.csr_array, most: int) -> tuple[FloatArray, FloatArray]:
    """Eigenvectors (tracks, n) and eigenvalues (n,), greatest first, of the tracks' Gram matrix: at
    most so many, and none near 0."""
    small = min(plays.shape)
    if small > EXACT:
        values, vectors = _iterated(plays, most)
    else:
        by_listener = plays.shape[0] < plays.shape[1]
        gram = (plays @ plays.T if by_listener else plays.T @ plays).toarray()
        which = max(small - most, 0), small - 1
        values, vectors = scipy.linalg.eigh(gram, subset_by_index=which)
        if by_listener:
            vectors = plays.T @ vectors / np.sqrt(np.maximum(values, 1e-12))
    kept = values > 1e-4 * values.max(initial=0)
    return (
        np.ascontiguousarray(vectors[:, kept][:, ::-1], np.float32),
        values[kept][::-1].astype(np.float32),
    )


def _iterated(plays: sp.csr_array, most: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The same by subspace iteration from a random start (Halko, Martinsson & Tropp, 2011), the
    smallest first."""
    random = np.random.default_rng(0)
    basis = random.standard_normal((plays.shape[1], most + most // 4)).astype(np.float32)
    by_track = sp.csr_array(plays.T)
    for _ in range(ROUNDS):
        basis, _ = np.linalg.qr(by_track @ (plays @ basis))
    seen = plays @ basis
    values, turned = np.linalg.eigh(seen.T @ seen)
    return values[-most:], basis @ turned[:, -most:]


def factorise(played: sp.csr_array, start: FloatArray) -> FloatArray:
    """(tracks, d) of implicit ALS (Hu, Koren and Volinsky, 2008), from such a start; those of the
    users are thrown away, since a request folds its listener in. played: (users, tracks), of ones.
    """
    by_track = sp.csr_array(played.T)
    tracks = start
    for _ in range(SWEEPS):
        tracks = _solve(by_track, _solve(played, tracks))
    return tracks


def _solve(played: sp.csr_array, factors: FloatArray) -> FloatArray:
    """One side's factors, (rows, d), given the other's."""
    width = factors.shape[1]
    solved = np.zeros((played.shape[0], width), np.float32)
    gram = factors.T @ factors + FACTOR_RIDGE * np.eye(width, dtype=np.float32)
    active = np.flatnonzero(np.diff(played.indptr))
    for begin in range(0, len(active), BATCH):
        chosen = active[begin : begin + BATCH]
        systems = np.repeat(gram[None], len(chosen), 0)
        targets = np.zeros((len(chosen), width, 1), np.float32)
        for place, row in enumerate(chosen):
            own = factors[played.indices[played.indptr[row] : played.indptr[row + 1]]]
            systems[place] += CONFIDENCE * own.T @ own
            targets[place, :, 0] = (1 + CONFIDENCE) * own.sum(0)
        solved[chosen] = np.linalg.solve(systems, targets)[:, :, 0]
    return solved
