"""Training that goes on from the last bundle: from its weights, by ids, and only where it may."""

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from infra.benchmarks.nightly import IN_FULL, NIGHTLY, measure
from segue.adapters.directory import rehearse
from segue.domain.errors import InvalidData
from segue.domain.times import DAY
from segue.features import schema as schemas
from segue.models.bundle import MANIFEST, Bundle, manifest_bytes
from segue.models.names import NAMES
from tests.unit.test_hybrid import examples
from training.card import CARD
from training.export import TRAINING
from training.models.autoencoder import AutoencoderState, _order
from training.models.hybrid.mixture import fit_mixture
from training.models.state import BEGINNING, State
from training.progress import Curve
from training.train import train

# In the order of ids it comes before every other track, so that all rows move.
NEW_TRACK, NEW_LISTENER = "0" * 22, 9_999


def quietly(*_: object) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def next_cutoff(bundle: Bundle) -> int:
    return bundle.manifest.cutoff + DAY


@pytest.fixture(scope="module")
def grown_data(data_path: Path, next_cutoff: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, and what came on the day after the cut-off: a new listener plays a new track."""
    folder = tmp_path_factory.mktemp("grown") / "data"
    shutil.copytree(data_path, folder)
    with (folder / "tracks.jsonl").open("r+") as tracks:
        track = json.loads(tracks.readline())
        tracks.seek(0, 2)
        print(json.dumps(track | {"id": NEW_TRACK, "release_date": "2022-09-01"}), file=tracks)
    play = {
        "session_id": 10**9,
        "timestamp": next_cutoff - 3_600_000,
        "user_id": NEW_LISTENER,
        "track_id": NEW_TRACK,
        "event_type": "PLAY",
    }
    with gzip.open(folder / "sessions.jsonl.gz", "at") as sessions:
        print(json.dumps(play), file=sessions)
    return folder


@pytest.fixture(scope="module")
def continued_path(
    grown_data: Path, bundle_path: Path, next_cutoff: int, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("continued") / "bundle"
    train(grown_data, out, cutoff=next_cutoff, last=bundle_path, progress=quietly)
    return out


@pytest.fixture(scope="module")
def continued(continued_path: Path) -> Bundle:
    return Bundle.open(continued_path)


@pytest.fixture
def copy(bundle_path: Path, tmp_path: Path) -> Path:
    """A copy of the last bundle that a test may spoil."""
    return Path(shutil.copytree(bundle_path, tmp_path / "copy"))


def test_every_model_of_a_continued_bundle_answers(bundle: Bundle, continued: Bundle) -> None:
    assert continued.manifest.models.keys() == bundle.manifest.models.keys()
    rehearse(continued)


def test_fewer_passes_are_made(bundle: Bundle, continued: Bundle) -> None:
    for number in (1, 2):
        epochs = continued.manifest.models[number]["metrics"]["epochs"]
        assert epochs < bundle.manifest.models[number]["metrics"]["epochs"]


def test_new_tracks_and_listeners_take_part(bundle: Bundle, continued: Bundle) -> None:
    before, after = bundle.catalogue, continued.catalogue
    assert after.positions([NEW_TRACK]).tolist() == [0]
    assert len(after) == len(before) + 1
    assert after.popularity[0] > 0, "the new listener's play counts"
    assert np.linalg.norm(continued.latents[0]) == pytest.approx(1, abs=1e-3)


def test_a_track_is_known_by_its_id_wherever_its_row_is(bundle: Bundle, continued: Bundle) -> None:
    """What lay near what still does, though every row has moved."""
    before = bundle.latents @ bundle.latents.T
    moved = continued.catalogue.positions([it.decode() for it in bundle.catalogue.ids])
    latents = continued.latents[moved]
    after = latents @ latents.T
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.98
    factors = [it.array("classifier/factors.npy") for it in (bundle, continued)]
    before, after = factors[0], factors[1][moved]
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9


def test_inputs_mean_what_they_meant_to_the_weights(bundle: Bundle, continued: Bundle) -> None:
    assert continued.encoder.to_json() == bundle.encoder.to_json()


def test_the_manifest_and_the_card_say_where_training_went_on_from(
    bundle: Bundle, continued: Bundle, next_cutoff: int, grown_data: Path, tmp_path: Path
) -> None:
    content = continued.manifest.content
    assert "continued" not in bundle.manifest.content
    assert content["continued"] == {"from": bundle.version, "times": 1}
    assert f"went on from bundle {bundle.version}" in (continued.path / CARD).read_text()
    again = train(
        grown_data,
        tmp_path / "again",
        cutoff=next_cutoff + DAY,
        last=continued.path,
        progress=quietly,
    )
    assert again["continued"] == {"from": continued.version, "times": 2}


def test_the_same_data_seed_and_bundle_give_the_same_bytes_in_the_bundles_own_place_too(
    grown_data: Path, copy: Path, next_cutoff: int, continued_path: Path
) -> None:
    train(grown_data, copy, cutoff=next_cutoff, last=copy, progress=quietly)
    same, first = (path / MANIFEST for path in (copy, continued_path))
    assert same.read_bytes() == first.read_bytes()


def test_a_training_that_stops_midway_leaves_the_last_bundle_as_it_was(
    grown_data: Path, copy: Path, bundle: Bundle, next_cutoff: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.train.write_descriptions", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(grown_data, copy, cutoff=next_cutoff, last=copy, progress=quietly)
    assert Bundle.open(copy).version == bundle.version
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_serving_does_not_miss_what_is_for_training(copy: Path, bundle: Bundle) -> None:
    """A layer and an upload hold the manifest and the files that it lists, and nothing else."""
    assert not any(name.startswith(TRAINING) for name in bundle.manifest.files)
    shutil.rmtree(copy / TRAINING)
    rehearse(Bundle.open(copy))


class TestRefusals:
    """Each says what is wrong with the bundle, and that one may train in full."""

    def refused(self, data: Path, last: Path, tmp_path: Path, message: str) -> None:
        with pytest.raises(InvalidData, match=f"{message}.*leave out --from to train in full"):
            train(data, tmp_path / "out", last=last, progress=quietly)
        assert not (tmp_path / "out").exists()

    def test_no_bundle(self, data_path: Path, tmp_path: Path) -> None:
        self.refused(data_path, tmp_path / "nowhere", tmp_path, "nowhere.*no bundle here")

    @pytest.mark.parametrize("name", ["autoencoder", "classifier"])
    def test_changed_weights(self, data_path: Path, copy: Path, tmp_path: Path, name: str) -> None:
        file = copy / TRAINING / f"{name}.npz"
        file.write_bytes(file.read_bytes()[:-1] + b"?")
        self.refused(data_path, copy, tmp_path, f"{name}.npz: its checksum")

    def test_weights_left_behind(self, data_path: Path, copy: Path, tmp_path: Path) -> None:
        """As in a bundle that comes from a layer or the bucket."""
        shutil.rmtree(copy / TRAINING)
        self.refused(data_path, copy, tmp_path, "autoencoder.npz: No such file")

    def test_a_bundle_without_weights(self, data_path: Path, copy: Path, tmp_path: Path) -> None:
        self.rewrite(copy, training_files={})
        self.refused(data_path, copy, tmp_path, "does not say where the training of the auto")

    def test_another_format(self, data_path: Path, copy: Path, tmp_path: Path) -> None:
        self.rewrite(copy, format=1)
        self.refused(data_path, copy, tmp_path, "format 1")

    def test_another_encoding(
        self, data_path: Path, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(schemas, "LAYOUT", schemas.LAYOUT + 1)
        self.refused(data_path, copy, tmp_path, "another feature schema or encoder")

    def test_another_schema(self, data_path: Path, copy: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(data_path, tmp_path / "data"))
        text = schemas.POZYTYWKA.read_text()
        (folder / "schema.toml").write_text(text.replace('name = "', 'name = "other ', 1))
        self.refused(folder, copy, tmp_path, "another feature schema than the data's")

    def test_an_earlier_cutoff(self, data_path: Path, copy: Path, tmp_path: Path) -> None:
        cutoff = Bundle.open(copy).manifest.cutoff - DAY
        with pytest.raises(
            InvalidData, match=r"2022-09-01.*2022-08-31.*leave out --from to train in full"
        ):
            train(data_path, tmp_path / "out", last=copy, cutoff=cutoff, progress=quietly)

    def rewrite(self, bundle: Path, **changed: object) -> None:
        content = json.loads((bundle / MANIFEST).read_text())
        del content["version"]
        (bundle / MANIFEST).write_bytes(manifest_bytes(content | changed))


def test_weights_that_no_epoch_makes_better_are_kept() -> None:
    network = torch.nn.Linear(1, 1)
    curve = Curve(patience=2)
    curve.begin(1.0, 1.0, network)
    begun = network.weight.item()
    torch.nn.init.constant_(network.weight, begun + 1)
    curve.add(0.9, 1.1, network)
    curve.restore(network)
    assert network.weight.item() == begun
    assert curve.metrics() == {"epochs": 1, "train_loss": 1.0, "validation_loss": 1.0}


def test_tracks_that_were_held_out_are_held_out_again() -> None:
    ids = np.array([b"d", b"a", b"e", b"c", b"b"])
    order, held = _order(ids, AutoencoderState({}, np.array([b"b", b"e", b"gone"])))
    assert set(ids[order[:held].numpy()]) == {b"b", b"e"}
    assert set(ids[order[held:].numpy()]) == {b"a", b"c", b"d"}


def test_the_fit_of_gates_ends_where_it_would_from_the_start() -> None:
    whole = examples()
    trained = fit_mixture(whole)
    again = fit_mixture(whole, fit_mixture(examples(by=0)).gates)
    assert again.train_loss == pytest.approx(trained.train_loss, abs=1e-2)
    assert again.gates.shares[:, 0].argmax() == trained.gates.shares[:, 0].argmax()
    assert set(again.metrics()) == {"train_loss"}, "nobody is held out"


def test_every_continuation_draws_anew() -> None:
    seeds = {replace(State(), continuations=times).seed(7) for times in range(20)}
    assert len(seeds) == 20
    assert BEGINNING.seed(7) == 7


def test_some_nights_later_the_models_are_hardly_other_than_trained_in_full(
    data_path: Path, bundle: Bundle
) -> None:
    """On few listeners; `python -m infra.benchmarks.nightly` says it of a thousand."""
    answer = measure(data_path, bundle.manifest.cutoff, 2, [7])
    assert [row["model"] for row in answer["rows"][::2]] == list(NAMES.values())
    for row in answer["rows"]:
        difference = row["differences"]["ndcg"]
        assert difference["mean"] == pytest.approx(
            row[NIGHTLY]["ndcg"] - row[IN_FULL]["ndcg"], abs=1e-4
        )
        assert abs(difference["mean"]) < 0.05
        assert row["model"] != "popularity" or difference["mean"] == 0, "counts are exact"
    assert [len(seconds) for seconds in answer["cpu_seconds"].values()] == [2, 2, 1]
