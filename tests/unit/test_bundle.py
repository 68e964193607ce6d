"""The bundle: what is served is what was trained, byte by byte, or nothing at all."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.benchmarks.catalogue import write_large_bundle
from segue.domain.errors import BundleCorrupt, BundleMissing
from segue.domain.genres import TrackGenres
from segue.features import schema
from segue.models.bundle import MANIFEST, Bundle, manifest_bytes
from segue.models.hybrid.model import read_statistics
from segue.models.hybrid.statistics import STORED
from segue.models.registry import load_model


@pytest.fixture
def copy(bundle_path: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that a test may spoil."""
    return Path(shutil.copytree(bundle_path, tmp_path / "copy"))


def served_files(path: Path) -> list[str]:
    return sorted(Bundle.open(path).manifest.files)


def flip(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


def test_the_manifest_lists_every_file_but_the_plots(bundle_path: Path) -> None:
    found = {p.relative_to(bundle_path).as_posix() for p in bundle_path.rglob("*") if p.is_file()}
    plots = {"plots/losses.png", "plots/sessions.png"}
    training = {"training/autoencoder.npz", "training/classifier.npz"}
    assert Bundle.open(bundle_path).manifest.content["training_files"].keys() == training
    assert found == {*served_files(bundle_path), MANIFEST, *plots, *training}


def test_one_changed_byte_in_any_file_is_refused_and_the_file_is_named(copy: Path) -> None:
    for name in served_files(copy):
        file = copy / name
        for place in (0, file.stat().st_size // 2, -1):
            flip(file, place)
            with pytest.raises(BundleCorrupt, match=name):
                Bundle.open(copy)
            flip(file, place)
    Bundle.open(copy)


def test_a_changed_file_of_a_model_is_refused_when_that_model_is_asked(copy: Path) -> None:
    flip(copy / "hybrid/neighbours.npy", -1)
    bundle = Bundle.mapped(copy)
    load_model(1, bundle)
    for _ in range(2):
        with pytest.raises(BundleCorrupt, match=r"hybrid/neighbours\.npy: its checksum"):
            load_model(3, bundle)
    with pytest.raises(BundleCorrupt, match=r"hybrid/neighbours\.npy"):
        bundle.verify()


def test_what_takes_the_place_of_an_opened_bundle_is_not_read(copy: Path, bundle: Bundle) -> None:
    opened = Bundle.mapped(copy)
    for name in served_files(copy):
        (copy / name).unlink()
        (copy / name).write_bytes(b"of another bundle")
    assert (opened.array("hybrid/factors.npy") == bundle.array("hybrid/factors.npy")).all()
    opened.verify()


def test_one_changed_byte_in_the_manifest_is_refused(copy: Path) -> None:
    file = copy / MANIFEST
    for place in range(0, file.stat().st_size, 97):
        flip(file, place)
        with pytest.raises(BundleCorrupt, match=MANIFEST):
            Bundle.open(copy)
        flip(file, place)
    Bundle.open(copy)


@pytest.mark.parametrize("name", ["autoencoder/latents.npy", "classifier/head.onnx", "schema.json"])
def test_a_missing_or_cut_file_is_refused(copy: Path, name: str) -> None:
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[:-1])
    with pytest.raises(BundleCorrupt, match=name):
        Bundle.open(copy)
    (copy / name).unlink()
    with pytest.raises(BundleCorrupt, match=name):
        Bundle.open(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": "x"}'])
def test_what_is_no_manifest_is_refused(copy: Path, text: str) -> None:
    (copy / MANIFEST).write_text(text)
    with pytest.raises(BundleCorrupt):
        Bundle.open(copy)


class Unaided(Bundle):
    """Makes what a bundle holds beforehand."""

    def precomputed(self, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        assert name in self.manifest.files
        return make()


@pytest.fixture(scope="module", params=["all tracks in the head", "most tracks in the tail"])
def any_bundle(
    request: pytest.FixtureRequest, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    if request.param == "all tracks in the head":
        return bundle.path
    large = tmp_path_factory.mktemp("large") / "bundle"
    write_large_bundle(large, bundle, 3_000, 7)
    return large


class TestWhatIsPrecomputed:
    @pytest.mark.parametrize("name", STORED)
    def test_is_what_the_hybrid_would_make_of_the_rest(self, any_bundle: Path, name: str) -> None:
        stored, made = (
            getattr(read_statistics(kind.open(any_bundle)), name) for kind in (Bundle, Unaided)
        )
        assert (stored.dtype, stored.shape) == (made.dtype, made.shape)
        assert stored.tobytes() == made.tobytes()

    def test_is_the_genres_of_each_track(self, any_bundle: Path) -> None:
        opened = Bundle.open(any_bundle)
        stored, made = opened.track_genres, TrackGenres.of(opened.catalogue)
        assert stored.names == made.names
        for one, other in ((stored.offsets, made.offsets), (stored.numbers, made.numbers)):
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)

    def test_is_mapped(self, any_bundle: Path) -> None:
        opened = Bundle.open(any_bundle)
        statistics, genres = read_statistics(opened), opened.track_genres
        arrays = [getattr(statistics, name) for name in STORED]
        assert not any(array.flags.owndata for array in (*arrays, genres.offsets, genres.numbers))


def test_where_no_bundle_is_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(BundleMissing, match="no bundle here"):
        Bundle.open(tmp_path)


def test_a_bundle_of_another_format_is_refused(copy: Path) -> None:
    content = json.loads((copy / MANIFEST).read_text())
    del content["version"]
    (copy / MANIFEST).write_bytes(manifest_bytes(content | {"format": 99}))
    with pytest.raises(BundleCorrupt, match="format 99"):
        Bundle.open(copy)


def test_a_bundle_of_another_encoder_is_refused(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "LAYOUT", 2)
    with pytest.raises(BundleCorrupt, match="another feature schema or encoder"):
        Bundle.open(bundle_path)


def test_a_network_that_cannot_be_loaded_is_named(copy: Path) -> None:
    opened = Bundle.open(copy)
    (copy / "classifier/head.onnx").write_bytes(b"not a network")
    with pytest.raises(BundleCorrupt, match=r"head\.onnx"):
        load_model(2, opened)
