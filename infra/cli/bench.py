"""``segue bench``: what requests and training cost on this machine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.options import Json
from infra.cli.output import console, write_json

if TYPE_CHECKING:
    from infra.benchmarks.figures import Figure

_SEED = 7


def bench(
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Train on this folder; else on demo data, made anew."),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(metavar="BUNDLE", help="Train nothing: take this bundle.")
    ] = None,
    tracks: Annotated[
        int, typer.Option(min=1, help="How many tracks the large, made-up catalogue has.")
    ] = 1_000_000,
    results: Annotated[
        int, typer.Option(min=1_000, help="How many results are archived for the report.")
    ] = 1_000_000,
    repeats: Annotated[int, typer.Option(min=1, help="Requests of each listener.")] = 10,
    json_file: Json = None,
) -> None:
    """Measure what requests, memory and training cost, beside what they should."""
    from tempfile import TemporaryDirectory

    from infra.benchmarks.figures import machine, table
    from infra.benchmarks.sizes import BUILD

    out = console(json_file)
    described = machine() | {"seed": _SEED}
    with TemporaryDirectory(prefix="segue-") as folder:
        figures = list(_figures(Path(folder), data, bundle, tracks, results, repeats))
    for line in table(figures):
        out.print(line)
    if not BUILD.is_dir():
        out.print(f"The unzipped size was not measured: `sam build` makes {BUILD}.")
    answer = described | {"figures": [figure.to_json() for figure in figures]}
    write_json(json.dumps(answer, indent=2), json_file)


def _figures(
    folder: Path,
    data: Path | None,
    bundle: Path | None,
    tracks: int,
    results: int,
    repeats: int,
) -> Iterator["Figure"]:
    from infra.benchmarks.archive import measure_report
    from infra.benchmarks.batch import measure_lists
    from infra.benchmarks.catalogue import write_large_bundle
    from infra.benchmarks.cold_start import measure_cold_starts
    from infra.benchmarks.explaining import measure_explanations
    from infra.benchmarks.listeners import make_listeners
    from infra.benchmarks.local import measure_local
    from infra.benchmarks.local_world import local_world
    from infra.benchmarks.peers import measure_original, measure_peers
    from infra.benchmarks.searching import measure_search
    from infra.benchmarks.serving import (
        LARGE_MEMORY_TARGET,
        LISTENERS,
        measure_large,
        measure_memory,
        measure_models,
    )
    from infra.benchmarks.sizes import measure_size
    from infra.benchmarks.training import measure_training
    from infra.demo import generate
    from segue.models.bundle import Bundle

    if bundle is None:
        if data is None:
            data = folder / "data"
            generate(data)
        bundle = folder / "bundle"
        yield from measure_training(data, bundle)
    trained = Bundle.open(bundle)
    with local_world(trained, _SEED) as world:
        yield from measure_cold_starts(world, repeats)
        yield from measure_local(world, repeats, _SEED)
    yield from measure_size(trained)
    yield from measure_models(trained, repeats, _SEED)
    yield from measure_original(trained, _SEED)
    yield from measure_peers(trained, repeats, _SEED)
    yield from measure_lists(trained, repeats, _SEED)
    yield from measure_explanations(trained, make_listeners(trained, LISTENERS, _SEED))
    yield from measure_memory(trained, _SEED)
    write_large_bundle(folder / "large", trained, tracks, _SEED)
    large = Bundle.open(folder / "large")
    yield from measure_large(large, repeats, _SEED)
    yield from measure_peers(large, repeats, _SEED)
    yield from measure_search(large, repeats, _SEED)
    yield from measure_memory(large, _SEED, LARGE_MEMORY_TARGET)
    yield from measure_report(results, repeats, _SEED)
