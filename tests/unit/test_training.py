"""Training: deterministic, honest about time, and the same numbers in PyTorch as in the answers."""

import gzip
import json
import re
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest
import torch

from segue.domain.errors import InvalidData
from segue.domain.times import DAY, parse_time
from segue.features.listeners import History
from segue.models.autoencoder import interests
from segue.models.bundle import MANIFEST, Bundle
from tests.bundles import tiny_bundle
from tests.plain import TasteDensity
from tests.unit.splits import split_of
from training.card import CARD, model_card
from training.catalogue import Popularity
from training.models.networks import LATENT
from training.train import sample_listeners, train


def quietly(*_: object) -> None:
    """No progress."""


def history(*tracks: int, age: float = 1.0) -> History:
    size = len(tracks)
    return History(
        np.array(tracks, np.int32),
        np.ones(size, np.bool_),
        np.zeros(size, np.bool_),
        np.full(size, age, np.float32),
    )


def test_two_runs_with_one_seed_give_the_same_bytes(data_path: Path, bundle_path: Path) -> None:
    again = bundle_path.parent / "again"
    train(data_path, again, progress=quietly)
    assert (again / MANIFEST).read_bytes() == (bundle_path / MANIFEST).read_bytes()


def test_nothing_after_the_cutoff_changes_what_was_trained(
    data_path: Path, bundle_path: Path, tmp_path: Path
) -> None:
    """The future may be judged by, never learned from: without it, the networks are the same."""
    shutil.copytree(data_path, tmp_path / "past")
    sessions = tmp_path / "past" / "sessions.jsonl.gz"
    cutoff = Bundle.open(bundle_path).manifest.cutoff
    with gzip.open(sessions, "rt") as file:
        past = [line for line in file if parse_time(json.loads(line)["timestamp"]) < cutoff]
    with gzip.open(sessions, "wt") as file:
        file.writelines(past)
    train(tmp_path / "past", tmp_path / "bundle", cutoff=cutoff, progress=quietly)
    with_future = Bundle.open(bundle_path).manifest.files
    without = Bundle.open(tmp_path / "bundle").manifest.files
    # The card says what the data are, and how good the lists turned out to be.
    learnt = with_future.keys() - {CARD}
    assert without.keys() - {CARD} == learnt
    assert all(without[name] == with_future[name] for name in learnt)


def test_the_latent_space_is_what_the_exported_encoder_makes_of_the_features(
    bundle: Bundle,
) -> None:
    features = bundle.features.astype(np.float32)
    (latents,) = bundle.session("autoencoder/encoder.onnx").run(None, {"features": features})
    assert np.allclose(latents, bundle.latents, atol=1e-3)
    assert np.allclose(np.linalg.norm(latents, axis=1), 1, atol=1e-4)


def test_a_track_is_never_its_own_neighbour() -> None:
    latents = torch.nn.functional.normalize(torch.randn(50, LATENT), dim=1)
    scores = TasteDensity()(latents, torch.ones(50), torch.tensor([7]), torch.tensor([1.0]))
    assert scores[7] == float("-inf")
    nearest = (latents @ latents[7]).argsort(descending=True)[1]
    assert scores.argmax() == nearest


def test_several_interests_each_get_their_neighbours() -> None:
    """Two clusters far apart: the list takes from both, and nothing from what lies between."""
    torch.manual_seed(0)
    centres = torch.eye(LATENT)[:2]
    between = centres.mean(0, keepdim=True).repeat(10, 1)
    clusters = torch.cat([centres[0].repeat(10, 1), centres[1].repeat(10, 1), between])
    latents = torch.nn.functional.normalize(clusters + 0.01 * torch.randn(30, LATENT), dim=1)
    scores = TasteDensity()(
        latents, torch.ones(30), torch.tensor([0, 10]), torch.tensor([0.5, 0.5])
    )
    best = scores.argsort(descending=True)[:18].tolist()
    assert set(best) == set(range(20)) - {0, 10}


def test_interests_are_the_strongest_tracks_and_their_weights_add_up_to_one() -> None:
    tracks, weights = interests(history(*range(100), 5, 5, 5))
    assert len(tracks) == len(weights) == 32
    assert tracks[0] == 5
    assert weights.sum() == pytest.approx(1)


def test_a_listener_who_enjoyed_nothing_is_taken_by_what_they_started() -> None:
    skipped = History(
        np.array([4, 9], np.int32), np.zeros(2, np.bool_), np.zeros(2, np.bool_), np.ones(2, "f4")
    )
    assert interests(skipped)[0].tolist() == [4, 9]


def test_the_default_cutoff_is_the_midnight_thirty_days_before_the_end(bundle: Bundle) -> None:
    assert bundle.manifest.cutoff == parse_time("2022-09-01T00:00:00Z")
    assert bundle.manifest.cutoff % DAY == 0


def test_the_manifest_says_what_was_trained_on_and_how_it_went(bundle: Bundle) -> None:
    content = bundle.manifest.content
    assert content["data"]["tracks"] == len(bundle.catalogue)
    metrics = {model["name"]: set(model["metrics"]) for model in content["models"]}
    assert all({"hit@20", "ndcg@20"} <= names for names in metrics.values())
    for name in ("autoencoder", "classifier"):
        assert {"train_loss", "validation_loss"} <= metrics[name]


def test_the_card_tells_a_newcomer_what_the_bundle_is(bundle: Bundle) -> None:
    card = (bundle.path / CARD).read_text()
    content = bundle.manifest.content
    assert CARD in bundle.manifest.files, "checked as every file is"
    for section in ("does", "saw", "good they were", "is for", "is not for", "of people"):
        assert re.search(f"^## What .*{section}|^## How {section}", card, re.MULTILINE)
    for model in content["models"]:
        assert f"**{model['id']} {model['name']}**: " in card
        assert f"| {model['name']} | {model['metrics']['listeners']} | " in card
        assert str(model["metrics"]["ndcg@20"]) in card
    for feature in (*bundle.schema.track, *bundle.schema.user):
        assert feature.name in card
    assert content["cutoff"] in card
    assert f"{content['data']['plays_before_cutoff']:,} plays by " in card


def test_the_card_says_how_much_was_learnt_by_heart(bundle: Bundle) -> None:
    card = (bundle.path / CARD).read_text()
    for model in bundle.manifest.content["models"]:
        if "validation_loss" in (metrics := model["metrics"]):
            train, validation = metrics["train_loss"], metrics["validation_loss"]
            row = f"| {model['name']} | {train} | {validation} | {round(validation - train, 6)} |"
            assert row in card


def test_a_card_without_a_month_to_judge_by_says_so(bundle: Bundle) -> None:
    content = bundle.manifest.content
    unjudged = [{**model, "metrics": {}} for model in content["models"]]
    card = model_card(content, unjudged, bundle.encoder)
    assert "no list could be judged" in card
    assert "@20" not in card


def test_exported_networks_hold_no_path_of_the_machine(bundle_path: Path) -> None:
    for file in bundle_path.rglob("*.onnx"):
        assert b"/training/" not in file.read_bytes()


def test_a_cutoff_before_everything_is_refused(data_path: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="before the cut-off"):
        train(data_path, tmp_path / "out", cutoff=DAY, progress=quietly)
    assert not list(tmp_path.iterdir())


def test_a_cutoff_long_after_all_listening_is_refused(
    data_path: Path, bundle: Bundle, tmp_path: Path
) -> None:
    """So it is where a clock was wrong, and the last event lies years after the others."""
    late = bundle.manifest.cutoff + 200 * DAY
    with pytest.raises(InvalidData, match="if a stray event lies far after all others, name a"):
        train(data_path, tmp_path / "out", cutoff=late, progress=quietly)


def test_what_days_of_listening_cannot_teach_is_left_out_and_said(
    data_path: Path, tmp_path: Path
) -> None:
    first = parse_time(Bundle.open(tiny_bundle(tmp_path)).manifest.content["data"]["first_event"])
    out = tmp_path / "few"
    content = train(data_path, out, cutoff=first + 3 * DAY, progress=quietly)
    assert [model["id"] for model in content["models"]] == [0, 1, 3]
    assert any("model 2 (classifier) is left out" in note for note in content["notes"])
    assert "model 2 (classifier) is left out" in (out / CARD).read_text()
    assert "notes" not in Bundle.open(tmp_path / "bundle").manifest.content


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_refused(data_path: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="no CUDA device"):
        train(data_path, tmp_path / "out", device="cuda", progress=quietly)


def test_a_failed_run_leaves_the_old_bundle_alone(
    data_path: Path, bundle_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "bundle").symlink_to(bundle_path, target_is_directory=True)
    with pytest.raises(InvalidData):
        train(data_path, tmp_path / "bundle", cutoff=DAY, progress=quietly)
    assert Bundle.open(tmp_path / "bundle").version == Bundle.open(bundle_path).version
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_folder_that_is_no_bundle_is_never_overwritten(data_path: Path, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(InvalidData, match="something else than a bundle"):
        train(data_path, tmp_path, progress=quietly)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_skip_after_the_cutoff_takes_no_play_away_from_before_it() -> None:
    """What is popular as of the cut-off is told by what was known then."""
    connection = duckdb.connect()
    connection.execute(
        """
        CREATE TABLE plays AS SELECT * FROM (VALUES
            ('skipped later', 95, 105), ('skipped before', 95, 98), ('played later', 105, NULL)
        ) AS plays(track_id, time, skipped_at)
        """
    )
    ranks = Popularity(connection, cutoff=100).ranks(
        ["skipped later", "skipped before", "played later"]
    )
    assert ranks.tolist() == [1, 0, 0]


def test_a_sample_of_listeners_keeps_what_came_of_each() -> None:
    outcomes = {user: [user % 7, 7 + user % 3] for user in range(1, 30)}
    everybody = split_of([[0]] * 30, outcomes, tracks=10)
    split = sample_listeners(everybody, 5, seed=7)
    assert len(set(split.judged.tolist())) == 5
    assert list(split.judged) == sorted(split.judged)
    for row, user in enumerate(split.judged.tolist()):
        start, end = split.offsets[row : row + 2]
        assert split.outcomes[start:end].tolist() == outcomes[user]
    assert sample_listeners(everybody, 100, seed=7).judged.tolist() == list(outcomes)
