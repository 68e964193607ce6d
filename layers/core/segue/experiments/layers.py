"""Layers: experiments that share no user, and users who are in no experiment.

A layer divides all users into a million parts, by a hash of the layer's name and the user's id.
Each experiment of the layer owns some of the parts, and nobody owns those of the holdout.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from segue.domain.errors import InvalidRequest

PARTS = 1_000_000
# Ranges of parts, [start, end) each.
Slots = tuple[tuple[int, int], ...]
ALL: Slots = ((0, PARTS),)


@dataclass(frozen=True, slots=True)
class Layer:
    """``holdout``: the share of users who are in no experiment. ``taken``: each experiment's parts.

    Those of an experiment are kept for it until it is archived, also where it uses fewer.
    """

    name: str
    holdout: float = 0.0
    taken: Mapping[str, Slots] = field(default_factory=dict)

    @property
    def free(self) -> float:
        """The share of users that experiments may still take."""
        return size(self._free(self.holdout)) / PARTS

    def granting(self, experiment: str, traffic: float) -> "Layer":
        """With this share of users for the experiment, or what it has where that is more.

        What it had stays its own. Raises InvalidRequest where there is no room.
        """
        own = self.taken.get(experiment, ())
        missing = parts_of(traffic) - size(own)
        if missing <= 0:
            return self
        free = self._free(self.holdout)
        if size(free) < missing:
            raise InvalidRequest(
                f"{traffic:g} of the users are not to be had: of layer {self.name!r}, "
                f"{size(free) / PARTS:g} are free, and the experiment has {size(own) / PARTS:g}",
                field="traffic",
            )
        # From the other end than the holdout, which so has room to grow.
        return replace(self, taken={**self.taken, experiment: (*own, *_last(free, missing))})

    def without(self, experiment: str) -> "Layer":
        """With the experiment's parts free again."""
        return replace(self, taken={it: own for it, own in self.taken.items() if it != experiment})

    def holding_out(self, share: float) -> "Layer":
        """With another holdout. Raises InvalidRequest where experiments have its users."""
        wanted = ((0, parts_of(share)),)
        busy = size(wanted) - size(_outside(wanted, self._taken()))
        if busy:
            raise InvalidRequest(
                f"{busy / PARTS:g} of the users are in experiments of the layer already",
                field="holdout",
            )
        return replace(self, holdout=share)

    def _free(self, holdout: float) -> Slots:
        return tuple(_outside(((parts_of(holdout), PARTS),), self._taken()))

    def _taken(self) -> Slots:
        return tuple(slot for slots in self.taken.values() for slot in slots)


def parts_of(share: float) -> int:
    """How many parts a share of all users is."""
    return round(share * PARTS)


def first(slots: Slots, count: int) -> Slots:
    """The first so many parts of these."""
    found = []
    for start, end in slots:
        if count > 0:
            found.append((start, min(end, start + count)))
            count -= end - start
    return tuple(found)


def _last(slots: Slots, count: int) -> Slots:
    mirrored = first(tuple((-end, -start) for start, end in reversed(slots)), count)
    return tuple((-end, -start) for start, end in mirrored)


def _outside(slots: Slots, taken: Slots) -> Iterator[tuple[int, int]]:
    for start, end in slots:
        place = start
        for begun, over in sorted(taken):
            if place < min(begun, end):
                yield place, min(begun, end)
            place = max(place, over)
        if place < end:
            yield place, end


def size(slots: Iterable[tuple[int, int]]) -> int:
    """How many parts these are."""
    return sum(end - start for start, end in slots)
