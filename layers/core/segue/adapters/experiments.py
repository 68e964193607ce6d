"""Experiments in S3, each as it stands, and as it stood after every change; and layers.

::

    ab/{experiment}/experiment.json                   as it stands; changed by compare-and-swap
    ab/{experiment}/versions/{epoch}-{change}.json    each version before that
    ab/.layers/{layer}.json                           changed by compare-and-swap

A version is copied there before the next one takes its place. Whatever stops a change in between
leaves a copy of the version that stays.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from segue.adapters.objects import JSON, Objects
from segue.experiments.epoch import Epoch
from segue.experiments.layers import Layer

# No experiment's name has a dot.
_LAYERS = "ab/.layers/"
_MOST_VERSIONS = 100
_AT_ONCE = 32

T = TypeVar("T")


class S3ExperimentStore:
    """Experiments as objects of one bucket. Everything raises StoreUnavailable."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def running(self, name: str) -> tuple[Epoch, str] | None:
        """One GetObject."""
        return self._objects.read_as(_running_key(name), Epoch)

    def all_running(self) -> list[tuple[Epoch, str]]:
        """One listing, and one GetObject an experiment."""
        folders = (folder.split("/")[1] for folder in self._objects.folders("ab/"))
        # The dot is of a live side's archive, or of the layers.
        return self._all([_running_key(name) for name in folders if "." not in name], Epoch)

    def all_epochs(self) -> list[Epoch]:
        """A listing, one more for each that had several epochs, and one GetObject an epoch."""
        running = [epoch for epoch, _ in self.all_running()]
        past = [key for epoch in running for key in self._past_keys(epoch)]
        return running + [epoch for epoch, _ in self._all(past, Epoch)]

    def save(self, epoch: Epoch, replaces: str | None) -> bool:
        """One PutObject; where it replaces a version, also a GetObject and another PutObject."""
        name = epoch.experiment.name
        if replaces is not None and not self._keep(name, replaces):
            return False
        body = msgspec.json.encode(epoch)
        return self._objects.swap(_running_key(name), body, JSON, replaces) is not None

    def epoch(self, name: str, number: int) -> Epoch | None:
        """One GetObject, or two and one listing."""
        running = self.running(name)
        if running is None or running[0].number == number:
            return running[0] if running else None
        past = self._keys(f"{_versions(name)}{number:06}-")
        found = self._objects.read_as(past[-1], Epoch) if past else None
        return found[0] if found else None

    def versions(self, name: str) -> list[Epoch]:
        """One listing, and up to a hundred GetObjects."""
        running = self.running(name)
        past = self._all(self._keys(_versions(name))[-_MOST_VERSIONS:], Epoch)
        return [*(epoch for epoch, _ in past), running[0]] if running else []

    def layers(self) -> list[tuple[Layer, str]]:
        """One listing, and one GetObject a layer."""
        return self._all(self._keys(_LAYERS), Layer)

    def layer(self, name: str) -> tuple[Layer, str] | None:
        """One GetObject."""
        return self._objects.read_as(f"{_LAYERS}{name}.json", Layer)

    def save_layer(self, layer: Layer, replaces: str | None) -> bool:
        """One PutObject."""
        body = msgspec.json.encode(layer)
        return self._objects.swap(f"{_LAYERS}{layer.name}.json", body, JSON, replaces) is not None

    def _keep(self, name: str, tag: str) -> bool:
        """Copy the version that bears this tag to where it is found when it is no more."""
        running = self.running(name)
        if running is None or running[1] != tag:
            return False
        epoch = running[0]
        key = f"{_versions(name)}{epoch.number:06}-{epoch.change.number:06}.json"
        self._objects.put(key, msgspec.json.encode(epoch), JSON)
        return True

    def _past_keys(self, running: Epoch) -> list[str]:
        """Of each epoch before this one, the latest version."""
        if running.number == 1:
            return []
        prefix = _versions(running.experiment.name)
        latest = {key.removeprefix(prefix)[:6]: key for key in self._keys(prefix)}
        latest.pop(f"{running.number:06}", None)
        return list(latest.values())

    def _keys(self, prefix: str) -> list[str]:
        return [entry.key for entry in self._objects.all_listed(prefix)]

    def _all(self, keys: Sequence[str], kind: type[T]) -> list[tuple[T, str]]:
        """What there is of these, with the tags of their versions."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = pool.map(lambda key: self._objects.read_as(key, kind), keys)
            return [each for each in found if each]


def _running_key(name: str) -> str:
    return f"ab/{name}/experiment.json"


def _versions(name: str) -> str:
    return f"ab/{name}/versions/"
