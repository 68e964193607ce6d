"""``segue bench``: every figure is there; how great it is depends on the machine."""

import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from infra.benchmarks.catalogue import write_large_bundle
from infra.benchmarks.figures import Figure
from infra.benchmarks.listeners import PLAYS, make_listeners
from infra.cli import app
from segue.domain.events import EventType
from segue.models.bundle import Bundle

FIGURES = [
    "model 0 (popularity), 600 tracks",
    "model 1 (autoencoder), 600 tracks",
    "model 2 (classifier), 600 tracks",
    "model 3 (hybrid), 600 tracks",
    "model 3, explaining 20 tracks, 600 tracks",
    "explanations: the heard track named is that of the whole counterfactual",
    "explanations: correlation with the whole counterfactual",
    "memory, 600 tracks",
    "memory but for mapped files, 600 tracks",
    "model 3 (hybrid), 3,000 tracks",
    "requests for which it looked at every track",
    "searching for a title, 3,000 tracks",
    "searching for a misspelt title, 3,000 tracks",
    "memory, 3,000 tracks",
    "memory but for mapped files, 3,000 tracks",
]


def test_measures_requests_and_memory(bundle_path: Path, tmp_path: Path) -> None:
    answer = tmp_path / "figures.json"
    options = f"bench --bundle {bundle_path} --tracks 3000 --repeats 2 --json {answer}"
    result = CliRunner().invoke(app, options.split())
    assert result.exit_code == 0, result.output
    measured = json.loads(answer.read_text())
    assert [figure["what"] for figure in measured["figures"]] == FIGURES
    assert all(figure["median"] > 0 for figure in measured["figures"] if figure["unit"] != "%")
    assert measured["versions"].keys() == {"python", "numpy", "onnxruntime"}
    assert len(result.stdout.splitlines()) == 2 + len(FIGURES)


def test_a_target_is_the_most_that_the_median_should_be() -> None:
    assert Figure.of("it", "ms", [1, 2, 9], target=2).met is True
    assert Figure.of("it", "ms", [1, 3, 4], target=2).met is False
    assert Figure.of("it", "ms", [1]).met is None


def test_the_large_catalogue_is_the_trained_one_and_a_tail(bundle: Bundle, tmp_path: Path) -> None:
    write_large_bundle(tmp_path / "large", bundle, 3_000, 7)
    large = Bundle.open(tmp_path / "large")
    assert len(large.catalogue) == 3_000
    assert np.all(large.catalogue.ids[:-1] < large.catalogue.ids[1:])
    head, trained = (it.array("hybrid/head.npy") for it in (large, bundle))
    assert np.array_equal(large.catalogue.artists[head], bundle.catalogue.artists[trained])
    genres = [
        tuple(map(it.track_genres.of_track, own)) for it, own in ((large, head), (bundle, trained))
    ]
    assert genres[0] == genres[1]
    shares = large.array("hybrid/popularity.npy")
    assert np.allclose(shares.sum(0), 1, atol=1e-4)
    assert shares.min() > 0


def test_listeners_play_a_month_of_the_catalogue(bundle: Bundle) -> None:
    one, again = (make_listeners(bundle, 2, 7) for _ in range(2))
    assert one == again
    for listener in one:
        plays = [event for event in listener.events if event.type is EventType.PLAY]
        assert len(plays) == PLAYS
        assert all(event.time < bundle.manifest.cutoff for event in listener.events)
        assert np.all(bundle.catalogue.positions([event.track_id or "" for event in plays]) >= 0)
