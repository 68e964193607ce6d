"""Are models that train on night after night as good as models that are trained in full?

``python -m infra.benchmarks.nightly --data DIR --until 2022-09-01``, of demo data: trains in full,
then each night goes on from the bundle of the night before, with one more day. Each training has
what there was by its cut-off: events before it, and tracks that were out. The bundle of the last
night, and one that was trained in full at the same cut-off, are asked for lists; these are judged
by the month that followed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import duckdb
import numpy as np
import typer

from infra.benchmarks.figures import Times, machine
from infra.cli.options import Json, read_time
from infra.cli.output import console, markdown_table, write_json
from infra.progress import Report, progress_bars, silent
from segue.domain.times import DAY, format_time
from segue.features.columns import date_of
from segue.features.schema import load_schema
from segue.models.bundle import Bundle
from segue.models.names import NAMES
from training.data import connect, ingest, open_data
from training.evaluation.answer import Roles, Row, difference_rows, mean_rows
from training.evaluation.own import Asked
from training.evaluation.results import Judge, Measures, Results, stack_draws
from training.protocol.lists import VIEWS
from training.protocol.split import Split
from training.protocol.temporal import prepare
from training.train import K, train

NIGHTLY, IN_FULL = "nightly", "in full"
MEASURES = "ndcg", "hit"
_HEADING = "model", "view", "nightly: nDCG@20 / hit@20", "in full", "difference in nDCG", "in hit"


@dataclass(frozen=True)
class Trained:
    """Bundles, one a seed, by what was trained; and what each training took."""

    nightly: list[Path] = field(default_factory=list)
    in_full: list[Path] = field(default_factory=list)
    night_times: Times = field(default_factory=Times)
    full_times: Times = field(default_factory=Times)


def main(
    data: Annotated[Path, typer.Option(metavar="DIR", help="What `segue data demo` has written.")],
    until: Annotated[
        int, typer.Option(parser=read_time, metavar="TIME", help="The cut-off of the last night.")
    ],
    nights: Annotated[int, typer.Option(min=1, help="How often training goes on.")] = 10,
    seed: Annotated[int, typer.Option(help="The same seed gives the same models.")] = 7,
    seeds: Annotated[int, typer.Option(min=1, help="So many, from that one on.")] = 1,
    json_file: Json = None,
) -> None:
    """Print how good both are, and what they take."""
    out = console(json_file)
    with progress_bars(out) as report:
        answer = measure(data, until, nights, range(seed, seed + seeds), report)
    out.print("\n".join(markdown_table(_HEADING, map(_cells, answer["rows"]))))
    for what, seconds in answer["cpu_seconds"].items():
        out.print(f"{what}: {np.median(seconds):.1f} s of CPU time, median of {len(seconds)}")
    write_json(json.dumps(answer | {"machine": machine()}, indent=2), json_file)


def measure(
    data: Path, until: int, nights: int, seeds: Sequence[int], report: Report = silent
) -> dict[str, Any]:
    """Both ways: how good they are as of ``until``, and the CPU seconds of every training."""
    trained, reading = Trained(), Times()
    with TemporaryDirectory(prefix="segue-") as name:
        folder = Path(name)
        days = [until - DAY * back for back in range(nights, -1, -1)]
        events = _events(data)
        for day in days:
            write_known(data, events, folder / f"{day}", day, day)
        for done, seed in enumerate(seeds, 1):
            train_both(folder, days, seed, trained, report)
            report("seeds", done, len(seeds))
        reading.take(partial(ingest, folder / f"{until}", folder / "workspace"))
        write_known(data, events, folder / "judged", until, None)
        rows = judge(folder / "judged", until, trained, seeds[0])
    return {
        "until": format_time(until),
        "nights": nights,
        "seeds": list(seeds),
        "rows": rows,
        "cpu_seconds": {
            "a night": _seconds(trained.night_times),
            "a training in full": _seconds(trained.full_times),
            "reading the data, in either": _seconds(reading),
        },
    }


def _events(data: Path) -> duckdb.DuckDBPyRelation:
    columns = {"timestamp": "VARCHAR", "user_id": "BIGINT", "session_id": "BIGINT"}
    columns |= {"track_id": "VARCHAR", "event_type": "VARCHAR"}
    rows = duckdb.read_json(
        str(data / "sessions.jsonl.gz"), format="newline_delimited", columns=columns
    )
    return duckdb.from_arrow(rows.to_arrow_table())


def write_known(
    data: Path, events: duckdb.DuckDBPyRelation, folder: Path, day: int, events_before: int | None
) -> None:
    """A data folder of the tracks that were out on a day, and the events before a moment; None: of
    all events."""
    folder.mkdir()
    today = format_time(day)[:10]
    with (data / "tracks.jsonl").open() as tracks, (folder / "tracks.jsonl").open("w") as out:
        out.writelines(line for line in tracks if date_of(json.loads(line)["release_date"]) < today)
    for name in ("artists.jsonl", "users.jsonl"):
        (folder / name).symlink_to((data / name).resolve())
    if events_before is not None:
        # Of one form, in which the order of texts is that of times.
        events = events.filter(f"timestamp < '{format_time(events_before)[:19]}'")
    events.write_parquet(str(folder / "sessions.parquet"))


def train_both(
    folder: Path, days: Sequence[int], seed: int, trained: Trained, report: Report
) -> None:
    """Night after night into one bundle, and in full into another."""
    nightly, in_full = folder / f"nightly-{seed}", folder / f"in-full-{seed}"

    def fit(day: int, out: Path, times: Times, last: Path | None = None) -> None:
        data = folder / f"{day}"
        times.take(partial(train, data, out, cutoff=day, seed=seed, last=last, progress=silent))

    fit(days[0], nightly, trained.full_times)
    for done, day in enumerate(days[1:], 1):
        fit(day, nightly, trained.night_times, nightly)
        report(f"nights, seed {seed}", done, len(days) - 1)
    fit(days[-1], in_full, trained.full_times)
    trained.nightly.append(nightly)
    trained.in_full.append(in_full)


def judge(data: Path, cutoff: int, trained: Trained, seed: int) -> list[Row]:
    """A row a model and view: means of both ways, and their difference with its interval."""
    with TemporaryDirectory(prefix="segue-") as workspace:
        opened = open_data(data, Path(workspace) / "w", split="temporal")
        with connect(Path(workspace) / "w") as connection:
            encoded, split = prepare(connection, load_schema(opened.schema), cutoff)
            judging = Judge(split, encoded.features)
            measures = {
                f"{name}, {way}": _measures(connection, split, judging, number, paths)
                for number, name in NAMES.items()
                for way, paths in ((NIGHTLY, trained.nightly), (IN_FULL, trained.in_full))
            }
    results = judging.results(encoded.catalogue.genres, measures)
    return _rows(Results([results], len(trained.nightly)), seed)


def _measures(
    connection: duckdb.DuckDBPyConnection,
    split: Split,
    judging: Judge,
    number: int,
    bundles: Sequence[Path],
) -> Measures:
    """Of the lists of one model, bundle by bundle."""
    asked = (Asked(connection, Bundle.open(path), split, K) for path in bundles)
    return stack_draws([judging.measures(NAMES[number], it.lists(number, silent)) for it in asked])


def _rows(results: Results, seed: int) -> list[Row]:
    means = {
        (row["model"], row["view"]): row for row in mean_rows(results, results.contenders, seed)
    }
    rows = []
    for name in NAMES.values():
        nightly, in_full = f"{name}, {NIGHTLY}", f"{name}, {IN_FULL}"
        told = difference_rows(results, Roles([nightly], [in_full], []), seed)
        for view in VIEWS:
            row: Row = {"model": name, "view": view}
            for way, contender in ((NIGHTLY, nightly), (IN_FULL, in_full)):
                row[way] = {measure: means[contender, view][measure] for measure in MEASURES}
            row["differences"] = {
                one["metric"]: {key: one[key] for key in ("mean", "low", "high")}
                for one in told
                if one["view"] == view and one["metric"] in MEASURES
            }
            rows.append(row)
    return rows


def _cells(row: Row) -> tuple[str, ...]:
    means = [f"{row[way]['ndcg']:.4f} / {row[way]['hit']:.3f}" for way in (NIGHTLY, IN_FULL)]
    differences = [row["differences"][measure] for measure in MEASURES]
    return (
        row["model"],
        f"`{row['view']}`",
        *means,
        *(f"{it['mean']:+.4f} [{it['low']:+.4f}, {it['high']:+.4f}]" for it in differences),
    )


def _seconds(times: Times) -> list[float]:
    return [round(milliseconds / 1_000, 1) for milliseconds in times.cpu]


if __name__ == "__main__":
    typer.run(main)
