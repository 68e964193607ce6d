"""Tracks that come out after the cut-off: nothing that is fitted may know of them."""

import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from segue.domain.times import parse_time
from segue.features.schema import load_schema
from training.catalogue import EncodedCatalogue, Popularity, encode_catalogue
from training.counts import count_at
from training.data import connect, ingest
from training.models.autoencoder import TrainedAutoencoder, train_autoencoder
from training.models.classifier import TrainedClassifier, train_classifier
from training.models.fit import make_deterministic
from training.models.hybrid.collaborative import popularity

CUTOFF = parse_time("2022-09-01T00:00:00Z")
FUTURE = 25


def quietly(*_: object) -> None:
    """No progress."""


def extend(folder: Path, tracks: list[Mapping[str, Any]]) -> None:
    """Add tracks that are like the first of the file but for what is given."""
    (path,) = folder.glob("tracks.jsonl*")
    lines = path.read_text().splitlines()
    first = json.loads(lines[0])
    lines += [json.dumps({**first, "id": f"new{n}", **track}) for n, track in enumerate(tracks)]
    path.write_text("\n".join(lines) + "\n")


def encode(folder: Path, workspace: Path) -> EncodedCatalogue:
    ingest(folder, workspace)
    with connect(workspace) as connection:
        return encode_catalogue(connection, load_schema(), Popularity(connection, CUTOFF))


@pytest.fixture
def copy(data_path: Path, tmp_path: Path) -> Path:
    shutil.copytree(data_path, tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("date", "out"),
    [
        ("2022-08-31", True),
        ("2022-09-01", False),
        ("2022-08", True),
        ("2022-09", False),
        ("2021", True),
        ("2022", False),
        ("2022-08-31T23:00:00Z", True),
        ("next summer", True),
        (None, True),
    ],
)
def test_a_track_is_out_once_all_of_its_date_has_passed(
    copy: Path, tmp_path: Path, date: object, out: bool
) -> None:
    """Of 2022 alone nobody knows whether it is before September; of no date, nothing is known."""
    extend(copy, [{"release_date": date}])
    encoded = encode(copy, tmp_path / "workspace")
    assert encoded.released[encoded.catalogue.positions(["new0"])] == [out]


def test_a_track_that_was_played_was_out_whatever_its_date_says(
    data_path: Path, tmp_path: Path
) -> None:
    encoded = encode(data_path, tmp_path / "workspace")
    with connect(tmp_path / "workspace") as connection:
        rows = connection.execute("SELECT DISTINCT track_id FROM plays WHERE time < $1", [CUTOFF])
        played = encoded.catalogue.positions([track for (track,) in rows.fetchall()])
    assert encoded.released[played].all()


def test_the_past_holds_the_released_tracks_alone(copy: Path, tmp_path: Path) -> None:
    extend(copy, [{"release_date": "2030"}, {"release_date": "1980"}])
    encoded = encode(copy, tmp_path / "workspace")
    past = encoded.past
    assert past.released.all()
    assert past.past is past
    assert encoded.past is past, "one for all models"
    gone = set(encoded.catalogue.ids.tolist()) - set(past.catalogue.ids.tolist())
    assert b"new0" in gone
    assert b"new1" not in gone
    for genre, tracks in past.catalogue.genres.items():
        before = encoded.catalogue.ids[encoded.catalogue.genres[genre]].tolist()
        assert past.catalogue.ids[tracks].tolist() == [one for one in before if one not in gone]


def weights(network: torch.nn.Module) -> dict[str, NDArray[Any]]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


def fit(folder: Path, workspace: Path) -> tuple[Any, TrainedAutoencoder, TrainedClassifier]:
    encoded = encode(folder, workspace)
    device = torch.device("cpu")
    with connect(workspace) as connection:
        make_deterministic(7)
        counted = partial(count_at, connection, encoded.catalogue)
        autoencoder = train_autoencoder(counted(CUTOFF), encoded, device, quietly)
        classifier = train_classifier(connection, counted, encoded, CUTOFF, device, quietly)
    return encoded.encoder.to_json(), autoencoder, classifier


def test_what_comes_out_after_the_cutoff_changes_nothing_that_is_fitted(
    copy: Path, data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: tracks of the future that are louder than anything, of a genre of their own."""
    monkeypatch.setattr("training.models.autoencoder.EPOCHS", 2)
    monkeypatch.setattr("training.models.classifier.EPOCHS", 1)
    strange = {"release_date": "2022-09-15", "loudness": 60.0, "tempo": 900.0, "id_artist": "them"}
    extend(copy, [strange] * FUTURE)
    with (copy / "artists.jsonl").open("a") as file:
        file.write(json.dumps({"id": "them", "name": "Them", "genres": ["a genre to come"]}) + "\n")
    encoder, autoencoder, classifier = fit(data_path, tmp_path / "without")
    also_encoder, also_autoencoder, also_classifier = fit(copy, tmp_path / "with")
    assert also_encoder == encoder
    for one, other in (
        (autoencoder.space, also_autoencoder.space),
        (classifier.network, also_classifier.network),
    ):
        expected, found = weights(one), weights(other)
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert len(also_classifier.trends) == len(classifier.trends) + FUTURE
    # Nobody has played them, and they are no likelier for their number.
    assert torch.equal(also_classifier.trends.amin(0), classifier.trends.amin(0))


def shares(folder: Path, workspace: Path) -> tuple[NDArray[np.bytes_], NDArray[np.float32]]:
    """Ids, and how popular each track is at the cut-off."""
    encoded = encode(folder, workspace)
    with connect(workspace) as connection:
        counts = count_at(connection, encoded.catalogue, CUTOFF)
    return encoded.catalogue.ids, popularity(counts.full, encoded.released)


def test_what_comes_out_later_does_not_change_how_popular_tracks_are(
    copy: Path, data_path: Path, tmp_path: Path
) -> None:
    extend(copy, [{"release_date": "2022-09-15", "loudness": 60.0, "tempo": 900.0}] * FUTURE)
    ids, expected = shares(data_path, tmp_path / "without")
    also_ids, found = shares(copy, tmp_path / "with")
    assert len(also_ids) == len(ids) + FUTURE
    assert np.array_equal(found[np.isin(also_ids, ids)], expected)
