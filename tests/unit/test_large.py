"""The made-up set that the models' time and memory are measured on, and how they do on one."""

import json
from pathlib import Path

import numpy as np

from infra.benchmarks.large import listeners, main, write
from infra.progress import silent
from segue.features.schema import load_schema
from training.data import connect, open_data
from training.evaluation.options import Options
from training.evaluation.own import Asked, fit_bundle
from training.evaluation.results import Judge
from training.protocol.lists import Lists
from training.protocol.metrics import Floats
from training.protocol.temporal import prepare


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_the_same_seed_makes_the_same_listeners() -> None:
    one, again, other = (list(listeners(30, 200, seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_listeners_have_different_tracks_of_the_catalogue() -> None:
    for tracks in listeners(50, 120, 3):
        assert len(np.unique(tracks)) == len(tracks)
        assert tracks.min() >= 0
        assert tracks.max() < 120


def test_much_played_tracks_are_few() -> None:
    audience = np.bincount(np.concatenate(list(listeners(400, 2_000, 5))), minlength=2_000)
    assert np.sort(audience)[-200:].sum() > 0.3 * audience.sum()


def test_every_listener_is_trained_on_and_judged_by_different_tracks(tmp_path: Path) -> None:
    pairs = write(tmp_path, 40, 300, 7, silent)
    lists = [
        {user: set(tracks) for user, *tracks in map(str.split, lines(tmp_path / name))}
        for name in ("train.txt", "test.txt")
    ]
    assert [len(one) for one in lists] == [40, 40]
    assert all(lists[0][user] and not lists[0][user] & lists[1][user] for user in lists[1])
    assert pairs == sum(len(tracks) for one in lists for tracks in one.values())


def test_the_set_is_measured_and_kept_for_an_evaluation(tmp_path: Path) -> None:
    figures, kept = tmp_path / "figures.json", tmp_path / "kept"
    main(60, 100, median=20, asked=10, keep=kept, json_file=figures)
    found = json.loads(figures.read_text())
    assert found["pairs"] > 60 * 10
    assert 0 < found["ndcg"] <= 1
    assert [len(lines(kept / name)) for name in ("train.txt", "test.txt")] == [60, 60]


def test_the_hybrid_is_no_worse_than_any_of_its_sources(tmp_path: Path) -> None:
    """On listeners without times, who keep to a few clusters of tracks."""
    write(tmp_path, 600, 800, 7, silent)
    opened = open_data(tmp_path, tmp_path / "workspace", split="given")
    assert opened.cutoff is not None
    with connect(tmp_path / "workspace") as connection:
        encoded, split = prepare(connection, load_schema(opened.schema), opened.cutoff)
        judge = Judge(split, encoded.features)

        def ndcg(name: str, lists: Lists) -> Floats:
            return judge.measures(name, lists)["new"]["ndcg"]

        with fit_bundle(connection, encoded, opened.schema, opened.cutoff, Options()) as (
            bundle,
            _,
        ):
            asked = Asked(connection, bundle, split, 20)
            hybrid = ndcg("hybrid", asked.lists(3, silent))
            for name, lists in asked.sources(silent).items():
                assert np.nanmean(hybrid) >= np.nanmean(ndcg(name, lists)), name
