"""Which bundle is served: the active one, or else the one before, and never none."""

import gc
import json
import os
import shutil
import subprocess
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.adapters import model_store
from segue.adapters.model_store import ActiveModelStore
from segue.domain.errors import BundleCorrupt, BundleError, BundleMissing, StoreUnavailable
from segue.models.bundle import MANIFEST, Bundle, manifest_bytes
from segue.models.popularity import Popularity
from segue.ports import Refused
from tests.variants import seal, variant

POLL = 30


@dataclass
class FolderBundles:
    """Bundles in folders, by version; ``during``: what happens while one is fetched."""

    folders: dict[str, Path]
    pointer: str | None = None
    fetched: list[str] = field(default_factory=list)
    during: Callable[[], object] = lambda: None
    down: bool = False

    def active(self) -> str | None:
        if self.down:
            raise StoreUnavailable("bundles: timed out")
        return self.pointer

    def fetch(self, version: str, folder: Path) -> None:
        self.fetched.append(version)
        if version not in self.folders:
            raise BundleMissing(f"there is no bundle {version} in the bucket")
        self.during()
        shutil.copytree(self.folders[version], folder, dirs_exist_ok=True)


@dataclass
class Shelf:
    """A store over the bundle it was deployed with and three more, and the time."""

    bundles: FolderBundles
    versions: list[str]
    own: Path
    scratch: Path
    time: float = 0.0
    told: list[Refused] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = self.another_store()

    def another_store(self) -> ActiveModelStore:
        return ActiveModelStore(self.bundles, self.own, POLL, self.told.append, lambda: self.time)

    def activate(self, version: str | None) -> Bundle:
        """Move the pointer; what is served once that is noticed."""
        self.bundles.pointer = version
        self.time += POLL
        return self.store.current()

    def files(self) -> list[str]:
        """The versions whose files lie in the temporary storage."""
        return sorted(file.parent.name for file in self.scratch.rglob(MANIFEST))


@pytest.fixture(scope="module")
def folders(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("variants")
    return [variant(bundle_path, root / str(seed), seed).path for seed in range(3)]


@pytest.fixture
def shelf(
    bundle: Bundle, folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Shelf:
    monkeypatch.setattr(model_store, "gettempdir", lambda: str(tmp_path))
    named = {Bundle.open(folder).version: folder for folder in folders}
    return Shelf(FolderBundles(named), list(named), bundle.path, tmp_path)


@pytest.fixture
def copy(bundle_path: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may spoil."""
    return Path(shutil.copytree(bundle_path, tmp_path / "copy"))


class TestWithoutPointer:
    def test_what_was_deployed_is_served(self, shelf: Shelf, bundle: Bundle) -> None:
        assert shelf.store.current().version == bundle.version
        assert shelf.store.refused() is None
        assert not shelf.files()

    def test_every_request_tries_again_until_there_is_a_bundle(
        self, shelf: Shelf, bundle_path: Path, tmp_path: Path
    ) -> None:
        shelf.own = tmp_path / "later"
        store = shelf.another_store()
        with pytest.raises(BundleMissing):
            store.current()
        shutil.copytree(bundle_path, shelf.own)
        opened = store.current()
        (shelf.own / MANIFEST).unlink()
        shelf.time += POLL
        assert store.current() is opened, "what is served already goes on being served"

    def test_a_bundle_that_is_replaced_while_it_is_read_is_refused(
        self, shelf: Shelf, copy: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def replaced_meanwhile(*arguments: object, **named: Any) -> mmap:
            seal_unchecked(copy, seed=99)
            return mmap(*arguments, **named)

        monkeypatch.setattr("segue.models.bundle.mmap", replaced_meanwhile)
        shelf.own = copy
        with pytest.raises(BundleCorrupt, match="replaced while it was being read"):
            shelf.another_store().current()


class TestPointer:
    def test_is_followed_when_it_is_time_to_look(self, shelf: Shelf, bundle: Bundle) -> None:
        shelf.store.current()
        shelf.bundles.pointer = shelf.versions[0]
        shelf.time += POLL - 1
        assert shelf.store.current().version == bundle.version
        shelf.time += 1
        assert shelf.store.current().version == shelf.versions[0]

    def test_is_followed_at_once_where_that_matters(self, shelf: Shelf) -> None:
        shelf.store.current()
        shelf.bundles.pointer = shelf.versions[0]
        assert shelf.store.current(fresh=True).version == shelf.versions[0]

    def test_is_followed_at_the_cold_start(self, shelf: Shelf) -> None:
        shelf.bundles.pointer = shelf.versions[0]
        assert shelf.store.current().version == shelf.versions[0]

    def test_to_what_was_deployed_fetches_nothing(self, shelf: Shelf, bundle: Bundle) -> None:
        assert shelf.activate(bundle.version).version == bundle.version
        assert not shelf.bundles.fetched

    def test_back_to_the_one_before_fetches_nothing(self, shelf: Shelf, bundle: Bundle) -> None:
        shelf.store.current()
        first = shelf.activate(shelf.versions[0])
        assert shelf.activate(None).version == bundle.version
        assert shelf.activate(shelf.versions[0]) is first
        second = shelf.activate(shelf.versions[1])
        assert shelf.activate(shelf.versions[0]) is first
        assert shelf.activate(shelf.versions[1]) is second
        assert shelf.bundles.fetched == shelf.versions[:2]

    def test_the_one_before_answers_while_the_next_one_arrives(
        self, shelf: Shelf, bundle: Bundle
    ) -> None:
        seen = []
        shelf.store.current()
        with ThreadPoolExecutor(1) as another:
            shelf.bundles.during = lambda: seen.append(another.submit(shelf.store.current).result())
            assert shelf.activate(shelf.versions[0]).version == shelf.versions[0]
        assert [served.version for served in seen] == [bundle.version]

    def test_many_first_requests_at_once_fetch_it_once(self, shelf: Shelf) -> None:
        shelf.bundles.pointer = shelf.versions[0]
        with ThreadPoolExecutor(8) as threads:
            served = list(threads.map(lambda _: shelf.store.current(), range(32)))
        assert len({id(each) for each in served}) == 1
        assert shelf.bundles.fetched == [shelf.versions[0]]


def without_a_file(folder: Path) -> None:
    (folder / "encoder.json").unlink()


def with_a_changed_file(folder: Path) -> None:
    (folder / "encoder.json").write_bytes(b"{}")


def with_another_schema(folder: Path) -> None:
    seal_unchecked(folder, schema_hash="another")


def of_another_format(folder: Path) -> None:
    seal_unchecked(folder, format=99)


def with_an_unknown_model(folder: Path) -> None:
    seal_unchecked(folder, models=[{"id": 99, "name": "oracle"}])


def with_a_network_that_cannot_be_loaded(folder: Path) -> None:
    (folder / "classifier/head.onnx").write_bytes(b"not a network")
    seal(folder)


def with_a_network_that_cannot_run(folder: Path) -> None:
    shutil.copy(folder / "autoencoder/density.onnx", folder / "classifier/head.onnx")
    seal(folder)


def with_scores_that_are_none(folder: Path) -> None:
    file = folder / "catalogue/popularity.npy"
    np.save(file, np.full_like(np.load(file), np.nan))
    seal(folder)


def seal_unchecked(folder: Path, **changes: object) -> None:
    content = json.loads((folder / MANIFEST).read_bytes())
    del content["version"]
    (folder / MANIFEST).write_bytes(manifest_bytes(content | changes))


class TestWhatCannotBeServed:
    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (without_a_file, "encoder.json"),
            (with_a_changed_file, "encoder.json"),
            (with_another_schema, "another feature schema"),
            (of_another_format, "format 99"),
            (with_an_unknown_model, "no model 99"),
            (with_a_network_that_cannot_be_loaded, r"head\.onnx"),
            (with_a_network_that_cannot_run, "model 2"),
            (with_scores_that_are_none, "model 0"),
        ],
    )
    def test_never_takes_the_place_of_what_is(
        self, shelf: Shelf, bundle: Bundle, copy: Path, spoil: Callable[[Path], None], reason: str
    ) -> None:
        shelf.store.current()
        spoil(copy)
        version = json.loads((copy / MANIFEST).read_bytes())["version"]
        if version == bundle.version:  # what was deployed is not looked for in the bucket
            version = "0123456789ab"
        shelf.bundles.folders[version] = copy
        assert shelf.activate(version).version == bundle.version
        refused = shelf.store.refused()
        assert refused
        assert refused.version == version
        assert reason.replace("\\", "") in refused.reason
        assert shelf.told == [refused]
        assert shelf.activate(shelf.versions[0]).version == shelf.versions[0]
        assert shelf.store.refused() is None

    @pytest.mark.parametrize("version", ["0123456789ab", "../../etc", ""])
    def test_is_also_what_is_not_there(self, shelf: Shelf, bundle: Bundle, version: str) -> None:
        shelf.store.current()
        assert shelf.activate(version).version == bundle.version
        assert shelf.told[0].version == version

    def test_is_not_fetched_again_and_again_but_told(self, shelf: Shelf) -> None:
        shelf.store.current()
        for _ in range(3):
            shelf.activate("0123456789ab")
        assert shelf.bundles.fetched == ["0123456789ab"]
        assert len(shelf.told) == 3

    def test_is_tried_again_later(self, shelf: Shelf, folders: list[Path]) -> None:
        shelf.store.current()
        version = shelf.versions[0]
        del shelf.bundles.folders[version]
        shelf.activate(version)
        shelf.bundles.folders[version] = folders[0]
        shelf.time += 3_600
        assert shelf.store.current().version == version

    def test_is_tried_at_the_next_look_where_the_bucket_did_not_answer(self, shelf: Shelf) -> None:
        shelf.store.current()
        shelf.bundles.during = unavailable
        shelf.activate(shelf.versions[0])
        assert shelf.told == [Refused(shelf.versions[0], "bundles: timed out")]
        shelf.bundles.during = lambda: None
        shelf.time += POLL
        assert shelf.store.current().version == shelf.versions[0]

    def test_a_full_temporary_storage_is_a_reason(self, shelf: Shelf, bundle: Bundle) -> None:
        def full() -> None:
            raise OSError(28, "No space left on device")

        shelf.store.current()
        shelf.bundles.during = full
        assert shelf.activate(shelf.versions[0]).version == bundle.version
        assert "No space left" in shelf.told[0].reason

    def test_without_the_bucket_what_is_served_goes_on(self, shelf: Shelf, bundle: Bundle) -> None:
        shelf.activate(shelf.versions[0])
        shelf.bundles.down = True
        assert shelf.activate(None).version == shelf.versions[0]
        assert shelf.store.refused() == Refused(None, "bundles: timed out")
        assert shelf.another_store().current().version == bundle.version, "and a cold start does"


def unavailable() -> None:
    raise StoreUnavailable("bundles: timed out")


class TestOtherVersions:
    def test_are_to_be_had_beside_the_active_one(self, shelf: Shelf, bundle: Bundle) -> None:
        served = shelf.store.current()
        first = shelf.store.bundle(shelf.versions[0])
        assert first.version == shelf.versions[0]
        assert shelf.store.bundle(shelf.versions[0]) is first
        assert shelf.store.bundle(bundle.version) is served is shelf.store.current()
        assert shelf.bundles.fetched == [shelf.versions[0]]

    def test_an_epoch_keeps_its_bundle_when_another_one_becomes_active(self, shelf: Shelf) -> None:
        first = shelf.activate(shelf.versions[0])
        shelf.activate(shelf.versions[1])
        assert shelf.store.bundle(shelf.versions[0]) is first

    def test_one_that_is_nowhere_is_said_to_be(self, shelf: Shelf) -> None:
        for _ in range(2):
            with pytest.raises(BundleMissing, match="no bundle 0123456789ab"):
                shelf.store.bundle("0123456789ab")
        assert shelf.bundles.fetched == ["0123456789ab"]
        assert not shelf.told, "what is served is what should be"

    def test_at_most_two_are_held_and_their_files(self, shelf: Shelf) -> None:
        seen = [weakref.ref(shelf.activate(version)) for version in shelf.versions]
        gc.collect()
        assert [each() is not None for each in seen] == [False, True, True]
        assert shelf.files() == sorted(shelf.versions[1:])
        shelf.store.bundle(shelf.versions[0])
        assert shelf.store.current().version == shelf.versions[2]
        assert shelf.files() == sorted([shelf.versions[0], shelf.versions[2]])

    def test_one_that_a_request_still_uses_keeps_its_files(self, shelf: Shelf) -> None:
        used = shelf.activate(shelf.versions[0])
        shelf.activate(shelf.versions[1])
        shelf.activate(shelf.versions[2])
        assert len(used.features) == len(used.catalogue)

    def test_what_cannot_be_loaded_leaves_no_files(
        self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("out of memory")

        monkeypatch.setattr(Popularity, "__init__", broken)
        with pytest.raises(BundleError, match="out of memory"):
            shelf.store.bundle(shelf.versions[0])
        gc.collect()
        assert not shelf.files()


def test_what_a_killed_process_left_in_the_temporary_storage_is_removed(
    shelf: Shelf, tmp_path: Path
) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left, used = (tmp_path / f"segue-bundles-{process}-x" for process in (gone.pid, os.getppid()))
    left.mkdir()
    used.mkdir()
    shelf.activate(shelf.versions[0])
    assert not left.exists()
    assert used.exists()


def test_nothing_stays_behind_when_a_store_is_gone(shelf: Shelf) -> None:
    shelf.activate(shelf.versions[0])
    shelf.store = shelf.another_store()
    gc.collect()
    assert not list(shelf.scratch.glob("segue-bundles-*"))
