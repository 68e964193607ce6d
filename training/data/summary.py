"""What a data folder holds, what could not be used, and why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What became of one file's rows: ``read == kept + repeats + quarantined``.

    ``file`` is None where the folder has no such file. ``reasons`` counts faults: a row with
    several faults counts once in ``quarantined`` and under each of its reasons. ``warnings`` counts
    values that were read as null in rows that were kept (``"tempo null"``, ``"key out of type"``).
    """

    file: str | None
    read: int
    kept: int
    repeats: int
    quarantined: int
    reasons: Mapping[str, int]
    warnings: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole folder. Times and lengths are milliseconds; times are since 1970 UTC.

    ``files`` is keyed by ``tracks``, ``artists``, ``users`` and ``sessions``, or by ``train`` and
    ``test`` where the data are two lists of interactions; ``listeners`` are the users with at least
    one event, ``users`` those with a profile. ``unknown_plays`` counts plays of tracks that are not
    in the catalogue, and is None where the folder has no catalogue. ``played_pairs`` counts the
    different (listener, track) pairs among the plays.
    """

    folder: str
    files: Mapping[str, FileSummary]
    tracks: int
    artists: int
    users: int
    listeners: int
    sessions: int
    events_by_type: Mapping[str, int]
    first_event: int | None
    last_event: int | None
    plays: int
    completed_plays: int
    liked_plays: int
    unknown_plays: int | None
    played_pairs: int
    longest_session_ms: int
    longest_session_events: int

    @property
    def events(self) -> int:
        """Events that were kept."""
        return sum(self.events_by_type.values())

    @property
    def completed_share(self) -> float:
        """Share of the plays that were played to the end; 0 where there is no play."""
        return _share(self.completed_plays, self.plays)

    @property
    def liked_share(self) -> float:
        """Share of the plays whose track was liked in their session; 0 where there is no play."""
        return _share(self.liked_plays, self.plays)

    @property
    def density(self) -> float:
        """Share of all (listener, catalogue track) pairs that were played at least once.

        Plays of unknown tracks count too, so it is an upper bound where there are any.
        """
        return _share(self.played_pairs, self.listeners * self.tracks)

    def to_json(self) -> str:
        """Everything above, derived figures included, as one JSON object."""
        derived = {
            "events": self.events,
            "completed_share": self.completed_share,
            "liked_share": self.liked_share,
            "density": self.density,
        }
        return msgspec.json.format(msgspec.json.encode(asdict(self) | derived), indent=2).decode()


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
