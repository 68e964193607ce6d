"""A large made-up catalogue: the tracks of a trained bundle, and a long tail of made-up ones."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.demo.randomness import Floats, Ints, Rng, stream
from segue.domain.catalogue import Catalogue
from segue.domain.descriptions import Descriptions
from segue.domain.genres import TrackGenres
from segue.domain.labels import Label, Labels
from segue.domain.ragged import entries
from segue.domain.texts import Texts
from segue.domain.words import WordIndex
from segue.features.encoder import FloatArray
from segue.models.bundle import LATENTS, SCHEMA_TEXT, Bundle
from segue.models.hybrid.model import read_followers, read_gates, read_statistics
from segue.models.hybrid.statistics import WINDOWS, Followers, Statistics, made
from training.catalogue import EncodedCatalogue
from training.export import BundleWriter, write_catalogue, write_descriptions
from training.models.hybrid.export import write_hybrid
from training.models.hybrid.train import TrainedHybrid

_POPULARITY, _HEAD = "hybrid/popularity.npy", "hybrid/head.npy"
_PRIOR = "autoencoder/prior.npy"

# At most the prior of a track that was played once in the last month.
_HARDLY_PLAYED = np.sqrt(2) + 1e-6

# Audiences follow Zipf's law, but for the first few tracks, which are about equally popular.
_FLATTENED = 10
# The share of the tail that is by artists of the head; the other artists have so many tracks.
_BY_ARTISTS_OF_HEAD = 0.2
_TRACKS_PER_ARTIST = 10
# Days that the oldest tracks of the tail have been out. What came out lately was played lately.
_OLDEST = 2_000
# Different words beside those of the old titles.
_WORDS = 300_000
# Ids are numbers of 19 digits, so that they are sorted as numbers and as bytes.
_FIRST_ID, _LARGEST_STEP = 10**18, 2**40


@dataclass(frozen=True)
class _Tail:
    """The made-up tracks. like: (tail,) a track of the head that each takes after. artists: (tail,)
    numbers. shares: (tail, len(WINDOWS)) of all full plays of each window."""

    like: Ints
    artists: NDArray[np.int32]
    shares: Floats


def write_large_bundle(out: Path, trained: Bundle, tracks: int, seed: int) -> None:
    """A bundle of all models at ``out``, with so many tracks in the catalogue.

    Its head is the trained bundle's, with everything that was learnt of it. Of the tail the hybrid
    knows popularity, artists and genres, as of any track outside the head. To the autoencoder and
    the classifier each of its tracks is as far from the one that it takes after as two tracks of
    one artist are from each other.
    """
    random = stream(seed)
    old_head = trained.array(_HEAD)
    new_head = np.sort(random.choice(tracks, len(old_head), replace=False)).astype(np.int32)
    tail = _tail(trained, tracks - len(old_head), random)
    with BundleWriter(out) as writer:
        catalogue = _write_catalogue(writer, trained, new_head, tail, random)
        statistics = _statistics(trained, catalogue, new_head, tail)
        write_hybrid(writer, TrainedHybrid(read_gates(trained), {}, statistics))
        _write_tracks_of_models(writer, trained, new_head, tail, random)
        manifest = trained.manifest
        models = [{"id": it, "name": model["name"]} for it, model in manifest.models.items()]
        content = {name: manifest.content[name] for name in ("schema_hash", "cutoff")}
        writer.seal(content | {"models": models, "seed": seed})
        writer.place()


def _tail(trained: Bundle, size: int, random: Rng) -> _Tail:
    head = trained.array(_HEAD)
    like = random.integers(0, len(head), size)
    artists = trained.catalogue.artists[head[like]]
    others = random.random(size) >= _BY_ARTISTS_OF_HEAD
    number = max(others.sum() // _TRACKS_PER_ARTIST, 1)
    artists[others] = len(trained.catalogue.artist_ids) + random.integers(0, number, others.sum())
    return _Tail(like, artists, _tail_shares(len(head), size, random))


def _tail_shares(head: int, size: int, random: Rng) -> Floats:
    """(size, len(WINDOWS)); by the Zipf law that the head begins."""
    appeal = 1 / (np.arange(head + size) + _FLATTENED)
    of_year = random.permutation(appeal[head:]) / appeal.sum()
    year = WINDOWS[-1]
    out = random.uniform(1, _OLDEST, size)[:, None]
    days = np.array(WINDOWS)
    # A track's plays of the year fell evenly on the days that it was out.
    shares: Floats = of_year[:, None] * np.minimum(days, out) / np.minimum(year, out) * year / days
    return shares


def _write_catalogue(
    writer: BundleWriter, trained: Bundle, new_head: NDArray[np.int32], tail: _Tail, random: Rng
) -> Catalogue:
    old, old_head = trained.catalogue, trained.array(_HEAD)
    outside = _outside(new_head, len(tail.like))
    # For every new track the old one that it is, or takes after.
    origin = np.empty(len(new_head) + len(outside), np.int32)
    origin[new_head], origin[outside] = old_head, old_head[tail.like]
    popularity, artists = old.popularity[origin], old.artists[origin]
    popularity[outside] = tail.shares[:, -1] / tail.shares[:, -1].max() * popularity.min()
    artists[outside] = tail.artists
    steps = random.integers(1, _LARGEST_STEP, len(origin))
    catalogue = Catalogue(
        ids=_ids(np.cumsum(steps)),
        explicit=old.explicit[origin],
        popularity=popularity,
        artists=artists,
        genres={name: _members(own, origin, len(old)) for name, own in old.genres.items()},
        artist_ids=_ids(np.arange(artists.max() + 1)),
    )
    released = np.ones(len(origin), np.bool_)
    encoded = EncodedCatalogue(catalogue, trained.encoder, trained.features[origin], released)
    write_catalogue(writer, encoded, (trained.path / SCHEMA_TEXT).read_text(encoding="utf-8"))
    write_descriptions(writer, _describe(trained, catalogue, origin, random))
    return catalogue


def _ids(numbers: Ints) -> NDArray[np.bytes_]:
    """An id for each of these ascending numbers, in their order."""
    return (_FIRST_ID + numbers).astype(f"S{len(str(_FIRST_ID))}")


def _describe(
    trained: Bundle, catalogue: Catalogue, origin: NDArray[np.int32], random: Rng
) -> Descriptions:
    """As the old tracks are described, but that every title has one more, made-up word."""
    old = trained.descriptions
    words = _made_up_words(_WORDS, random)
    # Zipf's law, as in any language.
    places = np.minimum(random.zipf(1.2, len(origin)) - 1, _WORDS - 1)
    places = np.where(
        random.random(len(origin)) < 0.5, places, random.integers(0, _WORDS, len(origin))
    )
    old_titles, old_artists = list(old.titles), list(old.artist_names) or [""]
    titles = Texts.of(f"{old_titles[o]} {words[w]}" for o, w in zip(origin, places, strict=True))
    artists = Texts.of(
        f"{old_artists[number % len(old_artists)]} {words[-1 - number % _WORDS]}"
        for number in range(len(catalogue.artist_ids))
    )
    return Descriptions(
        titles=titles,
        title_words=WordIndex.of(titles),
        artist_names=artists,
        artist_words=WordIndex.of(artists),
        years=old.years[origin],
        numbers={name: values[origin] for name, values in old.numbers.items()},
        labels={name: _labels_of(labels, origin) for name, labels in old.labels.items()},
    )


def _made_up_words(number: int, random: Rng) -> list[str]:
    """Different words of two to five syllables; the same number gives the same word."""
    syllables = [a + b for a in "bcdfghklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er")]
    drawn = random.integers(0, len(syllables), (2 * number, 5))
    lengths = random.integers(2, 6, 2 * number)
    words = ("".join(syllables[i] for i in row[:n]) for row, n in zip(drawn, lengths, strict=True))
    return list(dict.fromkeys(words))[:number]


def _labels_of(labels: Labels[Label], tracks: NDArray[np.int32]) -> Labels[Label]:
    rows, places = entries(labels.offsets, tracks)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(tracks)))])
    return Labels(labels.names, offsets.astype(np.int32), labels.numbers[places])


def _members(old: NDArray[np.int32], origin: NDArray[np.int32], tracks: int) -> NDArray[np.int32]:
    """The new tracks of a genre, from its old ones; tracks: how many old ones there are."""
    is_of = np.zeros(tracks, np.bool_)
    is_of[old] = True
    return np.flatnonzero(is_of[origin]).astype(np.int32)


def _statistics(
    trained: Bundle, catalogue: Catalogue, new_head: NDArray[np.int32], tail: _Tail
) -> Statistics:
    """The trained ones; what has a row for each track or artist has more of them."""
    popularity = np.empty((len(new_head) + len(tail.like), len(WINDOWS)), np.float32)
    # What is left for the head.
    popularity[new_head] = trained.array(_POPULARITY)[trained.array(_HEAD)]
    popularity[new_head] *= (1 - tail.shares.sum(0)) / popularity[new_head].sum(0)
    popularity[_outside(new_head, len(tail.like))] = tail.shares
    artists = read_followers(trained, "artist_followers")
    none = np.full(max(tail.artists.max() + 2 - len(artists.offsets), 0), artists.offsets[-1])
    offsets = np.concatenate([artists.offsets, none])
    return replace(
        read_statistics(trained),
        popularity=popularity,
        head=new_head,
        followers=_renumbered(trained, new_head, len(popularity)),
        artist_followers=artists._replace(offsets=offsets),
        artist=catalogue.artists,
        genres=TrackGenres.of(catalogue),
        precomputed=made,
    )


def _write_tracks_of_models(
    writer: BundleWriter, trained: Bundle, new_head: NDArray[np.int32], tail: _Tail, random: Rng
) -> None:
    """What the autoencoder and the classifier have of each track, and their networks."""
    old_head = trained.array(_HEAD)
    outside = _outside(new_head, len(tail.like))
    like = old_head[tail.like]
    one, other = _of_one_artist(trained.catalogue.artists, len(like), random)
    # A track that is hardly played, whose popularity each has.
    prior = trained.array(_PRIOR)
    hardly = random.choice(np.flatnonzero(prior <= _HARDLY_PLAYED), len(like))

    def write(name: str, of_tail: NDArray[Any]) -> None:
        old = trained.array(name)
        new = np.empty((len(new_head) + len(like), *old.shape[1:]), old.dtype)
        new[new_head], new[outside] = old[old_head], of_tail
        writer.array(name, new)

    def shifted(places: FloatArray) -> FloatArray:
        """Of the tail, from those of the old tracks."""
        moved: FloatArray = places[like] + (places[one] - places[other])
        return moved

    latents = shifted(trained.latents)
    write(LATENTS, latents / np.linalg.norm(latents, axis=1, keepdims=True))
    write(_PRIOR, prior[hardly])
    write("autoencoder/totals.npy", trained.array("autoencoder/totals.npy")[like])
    unplayed = trained.session("classifier/unplayed.onnx")
    factors, _ = unplayed.run(None, {"features": trained.features.astype(np.float32)})
    write("classifier/factors.npy", shifted(factors))
    write("classifier/base.npy", trained.array("classifier/base.npy")[hardly])
    for name in trained.manifest.files:
        if name.startswith(("autoencoder/", "classifier/")) and name.endswith(".onnx"):
            writer.bytes(name, (trained.path / name).read_bytes())


def _of_one_artist(artists: NDArray[np.int32], size: int, random: Rng) -> tuple[Ints, Ints]:
    """Two of (size,): tracks, and for each another one of its artist, or the same where there is
    none."""
    order = np.argsort(artists, kind="stable")
    places = random.integers(1, len(order), size)
    one, other = order[places], order[places - 1]
    return one, np.where(artists[one] == artists[other], other, one)


def _renumbered(trained: Bundle, new_head: NDArray[np.int32], tracks: int) -> Followers:
    """What follows the head's tracks, as far as it is of the head, in their new places."""
    old, old_head = read_followers(trained, "followers"), trained.array(_HEAD)
    new = np.full(len(old.offsets), -1, np.int32)
    new[old_head] = new_head
    rows, places = entries(old.offsets, old_head)
    known = new[old.numbers[places]] >= 0
    rows, places = rows[known], places[known]
    lengths = np.zeros(tracks + 1, np.int32)
    lengths[1 + new_head] = np.bincount(rows, minlength=len(new_head))
    return Followers(
        np.cumsum(lengths, dtype=np.int32), new[old.numbers[places]], old.shares[places]
    )


def _outside(head: NDArray[np.int32], size: int) -> NDArray[np.intp]:
    """(size,) the positions outside the head, ascending."""
    outside = np.ones(len(head) + size, np.bool_)
    outside[head] = False
    return np.flatnonzero(outside)
