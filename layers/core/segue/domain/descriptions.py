"""What people read of tracks: names, years, and the values that the models' inputs come from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.genres import TrackGenres
from segue.domain.labels import Label, Labels
from segue.domain.texts import Texts
from segue.domain.words import WordIndex

NO_YEAR = 0

Attribute = float | int | str | tuple[Label, ...] | None


@dataclass(frozen=True, slots=True)
class Descriptions:
    """The tracks' descriptions, by position.

    titles: of tracks; title_words: the same by their words. artist_names and artist_words: of
    artists, by their numbers. years: (tracks,) int16 of release, NO_YEAR where unknown. numbers:
    for each numeric column, (tracks,) float32, NaN where missing. labels: for each other column,
    what each track has of it; those in ``lists`` may be several.
    """

    titles: Texts
    title_words: WordIndex
    artist_names: Texts
    artist_words: WordIndex
    years: NDArray[np.int16]
    numbers: Mapping[str, NDArray[np.float32]]
    labels: Mapping[str, Labels[Label]]
    lists: frozenset[str] = frozenset()

    def attributes(self, track: int) -> dict[str, Attribute]:
        """The values of all columns for one track, by name; None where missing."""
        numbers = {name: _number(values[track]) for name, values in self.numbers.items()}
        return numbers | {name: self._labels(name, track) for name in self.labels}

    def _labels(self, name: str, track: int) -> Attribute:
        found = self.labels[name].of_track(track)
        return found if name in self.lists else next(iter(found), None)


@dataclass(frozen=True, slots=True)
class TrackCard:
    """A track as people see it in a list; None where the data say nothing of it.

    popularity: from 0 to 1, by the plays before the cut-off.
    """

    track_id: str
    title: str | None
    artist: str | None
    artist_id: str | None
    genres: tuple[str, ...]
    year: int | None
    explicit: bool
    popularity: float


def card_of(
    track: int, catalogue: Catalogue, genres: TrackGenres, descriptions: Descriptions
) -> TrackCard:
    """The card of the track at a position."""
    artist = int(catalogue.artists[track])
    year = int(descriptions.years[track])
    return TrackCard(
        track_id=catalogue.ids[track].decode(),
        title=descriptions.titles[track],
        artist=descriptions.artist_names[artist] if artist >= 0 else None,
        artist_id=catalogue.artist_ids[artist].decode() if artist >= 0 else None,
        genres=genres.of_track(track),
        year=None if year == NO_YEAR else year,
        explicit=bool(catalogue.explicit[track]),
        popularity=_shortest(catalogue.popularity[track]),
    )


def _number(value: np.float32) -> float | int | None:
    if np.isnan(value):
        return None
    number = _shortest(value)
    return int(number) if number.is_integer() else number


def _shortest(value: np.float32) -> float:
    """0.7, not 0.699999988079071."""
    return float(str(value))
