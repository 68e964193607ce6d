"""Experiments in S3, each with the epoch that runs, and those that ran.

::

    ab/{experiment}/experiment.json     the epoch that runs; changed by compare-and-swap
    ab/{experiment}/epochs/{n}.json     each one before it

An epoch is copied there before the next one takes its place. Whatever stops a change in between
leaves a copy of the epoch that goes on running.
"""

import msgspec

from segue.adapters.objects import JSON, Objects
from segue.domain.errors import StoreUnavailable
from segue.experiments.epoch import Epoch


class S3ExperimentStore:
    """Experiments as objects of one bucket. Everything raises StoreUnavailable."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def running(self, name: str) -> tuple[Epoch, str] | None:
        """One GetObject."""
        return self._read(_running_key(name))

    def all_running(self) -> list[tuple[Epoch, str]]:
        """One listing, and one GetObject an experiment."""
        names = (folder.split("/")[1] for folder in self._objects.folders("ab/"))
        # The dot is of a live side's archive: no experiment's name has one.
        found = (self.running(name) for name in names if "." not in name)
        return [each for each in found if each]

    def save(self, epoch: Epoch, replaces: str | None) -> bool:
        """One PutObject; where it replaces an epoch, also a GetObject and another PutObject."""
        name = epoch.experiment.name
        if replaces is not None and not self._keep(name, replaces):
            return False
        body = msgspec.json.encode(epoch)
        return self._objects.swap(_running_key(name), body, JSON, replaces) is not None

    def epoch(self, name: str, number: int) -> Epoch | None:
        """One GetObject, or two."""
        running = self.running(name)
        if running is None or running[0].number == number:
            return running[0] if running else None
        found = self._read(_past_key(name, number))
        return found[0] if found else None

    def _keep(self, name: str, tag: str) -> bool:
        """Copy the epoch that runs, of this version, to where it is found when it is over."""
        running = self.running(name)
        if running is None or running[1] != tag:
            return False
        epoch = running[0]
        self._objects.put(_past_key(name, epoch.number), msgspec.json.encode(epoch), JSON)
        return True

    def _read(self, key: str) -> tuple[Epoch, str] | None:
        found = self._objects.read(key)
        if found is None:
            return None
        body, tag = found
        try:
            return msgspec.json.decode(body, type=Epoch), tag
        except msgspec.DecodeError as error:
            raise StoreUnavailable(f"results: {key} cannot be read: {error}") from error


def _running_key(name: str) -> str:
    return f"ab/{name}/experiment.json"


def _past_key(name: str, number: int) -> str:
    return f"ab/{name}/epochs/{number}.json"
