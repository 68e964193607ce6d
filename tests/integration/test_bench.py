"""``segue bench``: every figure is there; how great it is depends on the machine."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.benchmarks import peers
from infra.benchmarks.sizes import measure_size
from infra.cli import app
from segue.models.bundle import MANIFEST, Bundle
from segue.models.names import NAMES

MODELS = [
    "model 0 (popularity)",
    "model 1 (autoencoder)",
    "model 2 (classifier)",
    "model 3 (hybrid)",
]
PEERS = [
    "implicit's recommend",
    "FAISS's IndexFlatIP",
    "products with all vectors, by NumPy",
    "products, filtered and sorted, as Gorse does",
]
WAYS = [
    "implicit's batch recommend",
    "ours, the same arrays",
    "implicit's batch recommend, from plays",
    *(f"{name}, {how}" for name in NAMES.values() for how in ("one by one", "in batches")),
]
# As many sessions for the original's way as do not take long.
ROWS = 20_000
HELD = "with 10 times the listeners and events in the tables"
FIGURES = [
    "cold start of a bare handler, CPU time",
    *[f"cold start, {model}, CPU time" for model in MODELS],
    "cold start of a bare handler, by the clock",
    *[f"cold start, {model}, by the clock" for model in MODELS],
    "1,000 events into the local database",
    *[f"served locally, one client, {model}" for model in MODELS],
    f"a request, by the clock, {HELD}",
    f"requests to the tables, {HELD}",
    *[f"{model}, 600 tracks" for model in MODELS],
    "model 3, explaining 20 tracks, 600 tracks",
    f"the original's way, {ROWS:,} events, 600 tracks",
    "model 1 beside the original's way",
    "model 2 beside the original's way",
    "classifier beside its plain network",
    *[f"{peer}, 600 tracks" for peer in PEERS],
    *[f"lists for everybody: {way}, 600 tracks" for way in WAYS],
    "explanations: the heard track named is that of the whole counterfactual",
    "explanations: correlation with the whole counterfactual",
    "memory, 600 tracks",
    "memory but for mapped files, 600 tracks",
    "model 1 (autoencoder), 3,000 tracks",
    "model 2 (classifier), 3,000 tracks",
    "model 3 (hybrid), 3,000 tracks",
    "model 3, explaining 20 tracks, 3,000 tracks",
    "requests for which it looked at every track",
    *[f"{peer}, 3,000 tracks" for peer in PEERS],
    "searching for a title, 3,000 tracks",
    "searching for a misspelt title, 3,000 tracks",
    "memory, 3,000 tracks",
    "memory but for mapped files, 3,000 tracks",
    "a report over 2,000 results",
    "a report over 2,000 results: objects read",
]


def test_measures_every_figure(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "ORIGINAL_ROWS", ROWS)
    answer = tmp_path / "figures.json"
    sizes = "--tracks 3000 --results 2000 --repeats 1"
    options = f"bench --bundle {bundle_path} {sizes} --json {answer}"
    result = CliRunner().invoke(app, options.split())
    assert result.exit_code == 0, result.output
    measured = json.loads(answer.read_text())
    figures = {figure["what"]: figure for figure in measured["figures"]}
    assert [what for what in figures if "unzipped" not in what] == FIGURES
    assert all(figure["median"] > 0 for figure in figures.values() if figure["unit"] != "%")
    assert figures[f"requests to the tables, {HELD}"]["median"] == 1
    assert figures["a report over 2,000 results: objects read"]["met"]
    assert {"python", "numpy", "onnxruntime", "boto3"} <= measured["versions"].keys()
    assert all(what in result.stdout for what in figures)


def test_the_size_is_of_what_was_built_and_nothing_where_nothing_was(
    bundle: Bundle, tmp_path: Path
) -> None:
    assert list(measure_size(bundle, tmp_path)) == []
    for folder in ("PredictFunction", "CoreLayer", "RuntimeLayer"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_bytes(bytes(1_000_000))
    (size,) = measure_size(bundle, tmp_path)
    served = (bundle.path / name for name in (MANIFEST, *bundle.manifest.files))
    models = sum(path.stat().st_size for path in served)
    assert size.median == pytest.approx(3 + models / 1e6)
