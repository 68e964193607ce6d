"""Simulated listeners: what they did before, and what they make of a list of tracks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from infra.demo import Oracle, Taste
from infra.demo.activity import GAP_MS, Presence, session_starts
from infra.demo.genres import GENRES
from infra.demo.history import LIKE_BEFORE_SKIP, NO_TRACK, Performer
from infra.demo.randomness import Floats, Rng, stream
from infra.demo.taste import (
    DAY_MS,
    END_MS,
    MATCH_ARTIST,
    MATCH_GENRE,
    MATCH_SOUND,
    START_MS,
    like_chances,
    match,
    skip_chances,
)
from infra.demo.truth import TRUTH_FILE
from segue.domain.errors import InvalidData
from segue.domain.times import SECOND, format_time

# Of a listener's past, in days: enough for every model to go by, and not too much to send.
PAST_DAYS = 14
# Whoever has looked at a track looks at the next one with this probability.
PATIENCE = 0.7
# So far apart in time, in milliseconds, are the tracks of a list, and what happens to one of them.
_TRACK, _LIKES_AFTER, _SKIPS_AFTER = 300 * SECOND, 60 * SECOND, 90 * SECOND
# And so far apart are the answers to two lists.
_VISIT = DAY_MS // 4
_BEST_MATCH = MATCH_GENRE + MATCH_ARTIST + MATCH_SOUND
_PAST, _ANSWER = 1, 2

# An event as the API takes it.
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listener:
    """One with a known taste.

    ``past``: events before the moment of the recommendation. Of every track of the truth, each
    (tracks,): ``start``, P(it is started, once looked at), ``finish``, P(it is then heard to its
    end), ``like``, P(it is then liked).
    """

    genres: list[str]
    past: list[Record]
    start: Floats
    finish: Floats
    like: Floats

    def success_chance(self, tracks: Sequence[int]) -> float:
        """P(at least one of the list's tracks, given by their places, is heard to its end)."""
        chance = 0.0
        for track in reversed(tracks):
            heard = float(self.start[track] * self.finish[track])
            chance = heard + (1 - heard) * PATIENCE * chance
        return chance

    def answer(self, tracks: Sequence[int], random: Rng) -> list["Heard"]:
        """What the listener plays of the list: from the top, until patience or the list ends."""
        heard = []
        for place, track in enumerate(tracks):
            looks, starts, finishes, likes = random.random(4)
            if place and looks >= PATIENCE:
                break
            if starts < self.start[track]:
                finished = bool(finishes < self.finish[track])
                eager = self.like[track] * (1.0 if finished else LIKE_BEFORE_SKIP)
                heard.append(Heard(place, track, finished, bool(likes < eager)))
        return heard


@dataclass(frozen=True, slots=True)
class Heard:
    """A track that was started: its place in the list, its place in the truth, what came of it."""

    place: int
    track: int
    finished: bool
    liked: bool


class Crowd:
    """Listeners for as long as anyone asks for more: each number and seed gives one, always it."""

    def __init__(self, data: Path, seed: int, moment: int) -> None:
        """``moment``: when they are shown something, in milliseconds since 1970 UTC.

        Raises InvalidData for a folder without the truth of its listeners, and for a moment
        that is not in their year.
        """
        if not (data / TRUTH_FILE).is_file():
            raise InvalidData(
                f"{data} has no {TRUTH_FILE}: only of demo data is it known what listeners like"
            )
        if not START_MS <= moment < END_MS:
            raise InvalidData(
                f"the models' cut-off is {format_time(moment)}; the demo's listeners live from "
                f"{format_time(START_MS)} to {format_time(END_MS)}"
            )
        self._oracle = Oracle(data)
        self._seed = seed
        self.moment = moment
        self._places = {track: place for place, track in enumerate(self._oracle.track_ids)}

    def listener(self, number: int) -> Listener:
        """One with the taste of one of the demo's listeners and a past of their own."""
        random = stream(self._seed, number, _PAST)
        user_ids = self._oracle.user_ids
        taste = self._oracle.taste(user_ids[int(random.integers(len(user_ids)))])
        matches = match(self._oracle.world, taste)
        return Listener(
            genres=[GENRES[genre] for genre in taste.genres.tolist()],
            past=self._past(taste, random),
            start=np.clip(matches / _BEST_MATCH, 0, 1),
            finish=1 - skip_chances(taste, matches),
            like=like_chances(taste, matches),
        )

    def chance_of(self, number: int, visit: int = 0) -> Rng:
        """What the listener's answer to a list is drawn from, at each visit anew."""
        return stream(self._seed, number, _ANSWER + visit)

    def places(self, tracks: Sequence[str]) -> list[int]:
        """Where the truth has these tracks. Raises InvalidData for one that it has not."""
        unknown = next((track for track in tracks if track not in self._places), None)
        if unknown is not None:
            raise InvalidData(
                f"the service recommends {unknown!r}, which the demo data does not have; it has "
                "to serve models that were trained on this data"
            )
        return [self._places[track] for track in tracks]

    def events(
        self, answer: Sequence[Heard], visit: int = 0, source: str | None = None
    ) -> list[Record]:
        """What is sent of it: a session of its own, right after the recommendation.

        ``visit``: of several answers, the how manieth; they come one after the other. ``source``:
        the ``recommendation_id`` of the list, if the listener names it.
        """
        named = {"recommendation_id": source} if source else {}
        session, begun = f"answer-{visit}", self.moment + visit * _VISIT
        return [
            record | named for heard in answer for record in self._events_of(heard, session, begun)
        ]

    def _events_of(self, heard: Heard, session: str, begun: int) -> Iterator[Record]:
        played = begun + heard.place * _TRACK
        track = self._oracle.track_ids[heard.track]
        yield _record(session, played, "PLAY", track)
        if heard.liked:
            yield _record(session, played + _LIKES_AFTER, "LIKE", track)
        if not heard.finished:
            yield _record(session, played + _SKIPS_AFTER, "SKIP", track)

    def _past(self, taste: Taste, random: Rng) -> list[Record]:
        starts = session_starts(random, Presence.STEADY)
        first, last = self.moment - PAST_DAYS * DAY_MS, self.moment - GAP_MS
        starts = starts[(starts >= first) & (starts < last)]
        ids = self._oracle.track_ids
        # How long a track is matters to nobody here.
        performer = Performer(self._oracle.world, taste, [_TRACK] * len(ids), premium=True)
        return [
            _record(str(entry.session), entry.time_ms, entry.kind.name, ids[entry.track])
            for entry in performer.perform(random, starts).entries
            if entry.track != NO_TRACK
        ]


def _record(session: str, time: int, kind: str, track: str) -> Record:
    return {
        "session_id": session,
        "timestamp": format_time(time),
        "event_type": kind,
        "track_id": track,
    }


def batches(records: Sequence[Record], size: int) -> Iterator[Sequence[Record]]:
    """The records in their order, at most ``size`` at a time."""
    edges = [*range(0, len(records), size), len(records)]
    return (records[start:end] for start, end in pairwise(edges))
