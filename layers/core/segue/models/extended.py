"""A bundle with tracks that were added after it was trained.

They are what training makes of tracks that nobody has played: the bundle's own encoder and networks
say where they lie, and whatever follows from plays is as it is without any. Nothing else changes,
so that everything that reads a bundle reads this one, too.
"""

import gc
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.domain.added import AddedTrack
from segue.domain.catalogue import Catalogue
from segue.domain.descriptions import Descriptions
from segue.domain.insertion import Insertion
from segue.domain.labels import Label
from segue.domain.texts import Texts
from segue.domain.words import WordIndex
from segue.features.columns import ARTIST_NAME, NAME, flag_of, labels_in, text_of, year_of
from segue.features.encoder import Encoder, FloatArray, labels_of, numbers_of
from segue.features.schema import ARTIST, Feature, Schema
from segue.models.autoencoder import UNPLAYED, neighbourhood_totals
from segue.models.bundle import LATENTS, Bundle


class LastExtended:
    """A bundle as it was last extended."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._last: tuple[Sequence[AddedTrack], Bundle] = (), bundle

    def by(self, added: Sequence[AddedTrack]) -> Bundle:
        """Made anew where other tracks are added than last time."""
        last, extended = self._last
        if last is not added:
            if last != added:
                extended = self._extended(added)
            self._last = added, extended
        return extended

    def _extended(self, added: Sequence[AddedTrack]) -> Bundle:
        # A bundle and its models refer to each other, so that nothing else frees the last ones.
        self._last = (), self._bundle
        gc.collect()
        positions = self._bundle.catalogue.positions([track.track_id for track in added])
        new = [track for track, place in zip(added, positions, strict=True) if place < 0]
        return ExtendedBundle(self._bundle, new) if new else self._bundle


class ExtendedBundle(Bundle):
    """``added``: in the order of their ids' bytes, none of them in the bundle."""

    def __init__(self, bundle: Bundle, added: Sequence[AddedTrack]) -> None:
        super().__init__(bundle.path, bundle.manifest)
        # The files are the same.
        self._mapped, self._verified = bundle._mapped, bundle._verified
        self._bundle = bundle
        self._added = added
        self._ids = np.array([track.track_id.encode() for track in added], np.bytes_)
        self._tracks = Insertion.between(bundle.catalogue.ids, self._ids)
        artists = {text.encode() for text in map(text_of, self._column(ARTIST)) if text is not None}
        known = bundle.catalogue.artist_ids
        self._new_artists = np.array(sorted(artists - set(known.tolist())), np.bytes_)
        self._artists = Insertion.between(known, self._new_artists)

    @cached_property
    def schema(self) -> Schema:
        return self._bundle.schema

    @cached_property
    def encoder(self) -> Encoder:
        return self._bundle.encoder

    @cached_property
    def catalogue(self) -> Catalogue:
        old, tracks = self._bundle.catalogue, self._tracks
        artist_ids = self._artists.rows(old.artist_ids, self._new_artists)
        numbers = {artist: number for number, artist in enumerate(artist_ids.tolist())}
        artists = [numbers.get((text_of(it) or "").encode(), -1) for it in self._column(ARTIST)]
        return Catalogue(
            ids=tracks.rows(old.ids, self._ids),
            explicit=tracks.rows(old.explicit, [*map(flag_of, self._column(self.schema.explicit))]),
            popularity=tracks.rows(old.popularity, 0),
            artists=tracks.rows(self._artists.numbers(old.artists), artists),
            genres=self._genres(),
            artist_ids=artist_ids,
        )

    @cached_property
    def descriptions(self) -> Descriptions:
        old, tracks, artists = self._bundle.descriptions, self._tracks, self._artists
        titles, names = Texts.of(map(text_of, self._column(NAME))), Texts.of(self._artist_names())
        described = {feature.name: feature for feature in self.schema.described}
        return Descriptions(
            titles=old.titles.inserted(tracks, titles),
            title_words=old.title_words.inserted(tracks, WordIndex.of(titles)),
            artist_names=old.artist_names.inserted(artists, names),
            artist_words=old.artist_words.inserted(artists, WordIndex.of(names)),
            years=tracks.rows(old.years, [*map(year_of, self._column(self.schema.released))]),
            numbers={
                name: tracks.rows(numbers, self._numbers_of(described[name]))
                for name, numbers in old.numbers.items()
            },
            labels={
                name: labels.inserted(tracks, self._labels_of(described[name]))
                for name, labels in old.labels.items()
            },
            lists=old.lists,
        )

    def array(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            self._arrays[name] = self._extended(name, self._bundle.array(name))
        return self._arrays[name]

    def precomputed(self, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:  # noqa: ARG002
        """Made anew: what the bundle holds is without the new tracks."""
        return make()

    def _extended(self, name: str, old: NDArray[Any]) -> NDArray[Any]:
        """The array over all tracks, or all artists; ``old``: that of the bundle itself."""
        if name in _OF_TRACKS:
            return self._tracks.rows(old, _OF_TRACKS[name](self))
        match name.removeprefix("hybrid/"):
            case "head.npy" | "followers_numbers.npy":
                return self._tracks.numbers(old)
            case "artist_followers_numbers.npy":
                return self._artists.numbers(old)
            # Nothing has followed what nobody has played.
            case "followers_offsets.npy":
                return self._tracks.rows(old, old[self._tracks.places])
            case "artist_followers_offsets.npy":
                return self._artists.rows(old, old[self._artists.places])
        return old

    @cached_property
    def _new_features(self) -> NDArray[np.float16]:
        columns = {feature.source: self._column(feature.source) for feature in self.schema.track}
        return self.encoder.encode_tracks(columns).astype(np.float16)

    def _new_latents(self) -> FloatArray:
        (latents,) = self._run("autoencoder/encoder.onnx")
        return latents

    def _new_totals(self) -> FloatArray:
        latents, prior = self.array(LATENTS), self.array("autoencoder/prior.npy")
        return neighbourhood_totals(latents, prior, self._tracks.new)

    @cached_property
    def _classified(self) -> Sequence[FloatArray]:
        return self._run("classifier/unplayed.onnx")

    def _run(self, network: str) -> Sequence[FloatArray]:
        """What a network makes of the new tracks' features, rounded as they are stored."""
        outputs: Sequence[FloatArray] = self.session(network).run(
            None, {"features": self._new_features.astype(np.float32)}
        )
        return outputs

    def _column(self, name: str) -> list[object]:
        """(new,) a column of the new tracks' rows; None where it is missing."""
        return [track.columns.get(name) for track in self._added]

    def _numbers_of(self, feature: Feature) -> NDArray[np.float64]:
        return numbers_of(feature, self._column(feature.source))

    def _labels_of(self, feature: Feature) -> list[Sequence[Label]]:
        columns = self._column(feature.source)
        return [[*dict.fromkeys(labels_of(feature, value))] for value in columns]

    def _artist_names(self) -> list[str | None]:
        """(new artists,) the first name that a track gives each of them."""
        names: dict[str | None, str] = {}
        for artist, name in zip(self._column(ARTIST), self._column(ARTIST_NAME), strict=True):
            if isinstance(name, str):
                names.setdefault(text_of(artist), name)
        return [names.get(artist.decode()) for artist in self._new_artists.tolist()]

    def _genres(self) -> dict[str, NDArray[np.int32]]:
        """By genre, the positions of old and new tracks."""
        old = self._bundle.catalogue.genres
        genres = {name: [self._tracks.numbers(tracks)] for name, tracks in old.items()}
        for position, value in zip(self._tracks.new, self._column(self.schema.genres), strict=True):
            for genre in labels_in(value):
                genres.setdefault(genre, []).append(np.array([position], np.int32))
        return {name: np.sort(np.concatenate(genres[name])) for name in sorted(genres)}


# What the new tracks have, by the arrays over all tracks. Nobody has played them.
_OF_TRACKS: dict[str, Callable[[ExtendedBundle], ArrayLike]] = {
    "catalogue/features.npy": lambda bundle: bundle._new_features,
    LATENTS: ExtendedBundle._new_latents,
    "autoencoder/prior.npy": lambda _: UNPLAYED,
    "autoencoder/totals.npy": ExtendedBundle._new_totals,
    "classifier/factors.npy": lambda bundle: bundle._classified[0],
    "classifier/base.npy": lambda bundle: bundle._classified[1],
    "hybrid/popularity.npy": lambda bundle: bundle.array("hybrid/unplayed.npy"),
}
