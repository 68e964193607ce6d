"""Training in blocks of listeners, and on some of them, and what it takes as listening grows."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from infra.benchmarks.fit import measure, points
from infra.benchmarks.growth import draw
from infra.benchmarks.listening import write_listening
from infra.progress import silent
from segue.domain.catalogue import Catalogue
from segue.domain.times import Window
from segue.features.schema import load_schema
from segue.models.bundle import SCHEMA_TEXT, Bundle
from segue.models.hybrid.model import read_statistics
from segue.models.hybrid.statistics import MONTH
from tests.counting import counts_of
from training.card import CARD
from training.catalogue import Popularity, encode_catalogue
from training.data import connect, ingest
from training.data.queries import ALL_TIME, TABLES, draw_listeners
from training.histories import read_plays
from training.models.classifier import TrainedClassifier, train_classifier
from training.models.hybrid.collaborative import popularity
from training.models.hybrid.train import DAYS
from training.plays import Plays
from training.train import train


def read(workspace: Path) -> tuple[list[str], Plays]:
    ids = sorted(
        it.encode() for it in pq.read_table(workspace / "tracks.parquet")["id"].to_pylist()
    )
    nothing = np.zeros(len(ids), np.float32)
    catalogue = Catalogue(
        np.array(ids), nothing > 0, nothing, artists=np.full(len(ids), -1, np.int32), genres={}
    )
    with connect(workspace) as connection:
        users, plays = read_plays(connection, catalogue)
    return users.tolist(), plays


def test_a_folder_reads_the_same_in_one_block_and_in_many(
    data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ingest(data_path, tmp_path / "whole")
    users, plays = read(tmp_path / "whole")
    monkeypatch.setattr("training.data.queries.BLOCK", 500)
    assert ingest(data_path, tmp_path / "blocks") == whole
    for table in TABLES:
        one, other = (
            pq.read_table(tmp_path / it / f"{table}.parquet") for it in ("whole", "blocks")
        )
        assert one.equals(other), table
    users_again, plays_again = read(tmp_path / "blocks")
    assert users_again == users
    for name in ("user", "track", "time", "skipped_at", "liked_at"):
        assert np.array_equal(getattr(plays, name), getattr(plays_again, name)), name


def test_listeners_are_drawn_up_to_a_bound(data_path: Path, tmp_path: Path) -> None:
    ingest(data_path, tmp_path)
    with connect(tmp_path) as connection:
        (plays,) = connection.execute("SELECT COUNT(*) FROM plays").fetchall()[0]
        drawn: list[set[str]] = []
        for most in (plays // 4, plays // 2, plays):
            left_out = draw_listeners(connection, ALL_TIME, most)
            assert left_out == (most < plays)
            (own,) = connection.execute(
                "SELECT COUNT(*) FROM plays SEMI JOIN drawn USING (user_id)"
            ).fetchall()[0]
            assert own <= most
            rows = connection.execute("SELECT user_id FROM drawn").fetchall()
            drawn.append({user_id for (user_id,) in rows})
        assert drawn[0] < drawn[1] < drawn[2]
        assert not draw_listeners(connection, Window(0, 1), 0), "nobody played so long ago"


def test_a_bundle_says_how_many_listeners_its_models_were_fitted_on(
    data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.train.PLAYS", 3_000)
    content = train(data_path, tmp_path / "bundle", progress=silent)
    (note,) = (note for note in content["notes"] if "were drawn from" in note)
    assert note.startswith("the models were fitted on ")
    assert note[1:] in (tmp_path / "bundle" / CARD).read_text()


def test_tracks_are_popular_by_everybody_even_where_listeners_are_drawn(
    data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[TrainedClassifier] = []

    def keeping(*arguments: Any) -> TrainedClassifier | None:
        trained = train_classifier(*arguments)
        kept.extend([trained] if trained else [])
        return trained

    monkeypatch.setattr("training.train.PLAYS", 3_000)
    monkeypatch.setattr("training.models.fit.train_classifier", keeping)
    train(data_path, tmp_path / "bundle", progress=silent)
    bundle = Bundle.open(tmp_path / "bundle")
    cutoff = bundle.manifest.cutoff
    ingest(data_path, tmp_path / "workspace")
    with connect(tmp_path / "workspace") as connection:
        schema = load_schema(tmp_path / "bundle" / SCHEMA_TEXT)
        encoded = encode_catalogue(connection, schema, Popularity(connection, cutoff))
        users, plays = read_plays(connection, encoded.catalogue)
        draw_listeners(connection, Window.before(cutoff, DAYS), 3_000)
        rows = connection.execute("SELECT user_id FROM drawn").fetchall()
    statistics = read_statistics(bundle)
    month = plays.known_at(cutoff, 30)
    of_drawn = np.isin(users[month.user], [user_id for (user_id,) in rows])
    of_others = np.setdiff1d(month.track[month.completed], month.track[of_drawn])
    assert len(of_others)
    assert (statistics.popularity[of_others, MONTH] > statistics.unplayed[MONTH]).all()
    # The last of the trends is no count, but the share of plays that were full.
    assert (kept[0].trends[of_others, :-1] > kept[0].unplayed[:-1]).all()
    everybody = counts_of(plays, len(encoded.catalogue), cutoff)
    assert np.array_equal(statistics.popularity, popularity(everybody.full, encoded.released))


def test_the_same_seed_makes_the_same_log_in_the_order_of_time(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        write_listening(tmp_path / name, 5_000, seed, silent)
    one, again, other = (
        pq.read_table(tmp_path / name / "sessions.parquet") for name in ("one", "again", "other")
    )
    assert one.sort_by("session_id").num_rows == pytest.approx(5_000, rel=0.3)
    assert one.equals(again)
    assert not one.equals(other)
    assert (np.diff(one["timestamp"].to_numpy()) >= 0).all()


def test_fitting_is_measured_once_and_drawn(tmp_path: Path) -> None:
    fit = measure(tmp_path, 10_000, 7, silent)
    assert fit.events == pq.read_metadata(tmp_path / "10000" / "sessions.parquet").num_rows
    assert fit.listeners == 100
    assert min(fit.minutes, fit.cpu_minutes, fit.gigabytes, fit.ndcg) > 0
    assert measure(tmp_path, 10_000, 7, silent) == fit
    draw(list(points([fit])), tmp_path / "fit.png")
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")
