"""Tracks that are added to a catalogue after it was trained."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class AddedTrack(NamedTuple):
    """A track, and its row of the catalogue: the columns that the feature schema reads."""

    track_id: str
    columns: Mapping[str, object]


class TrackChanges(NamedTuple):
    """What was said of tracks since the models were trained: which must not be recommended, and
    which there are beside those of the catalogue, in the order of their ids."""

    unavailable: frozenset[str] = frozenset()
    added: tuple[AddedTrack, ...] = ()


def ordered(tracks: Iterable[AddedTrack]) -> tuple[AddedTrack, ...]:
    """The tracks in the order of their ids' bytes, which is a catalogue's."""
    return tuple(sorted(tracks, key=lambda track: track.track_id.encode()))
