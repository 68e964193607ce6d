"""Tables for analysts: A/B records and evaluations as files, everything as DataFrames."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from infra.cli import app
from segue.domain.errors import InvalidData
from segue.domain.times import DAY, parse_time
from segue.experiments.epoch import EpochId, Side
from segue.experiments.experiment import DEFAULT_NAME
from segue.experiments.records import Exposure, Record
from segue_client import Problem
from tests.unit.conftest import Function, World
from tests.unit.test_evaluation import by_catalogue, by_plays
from training import frames, tables
from training.data import connect, ingest
from training.evaluation import evaluate as evaluating
from training.evaluation.answer import Roles
from training.evaluation.evaluate import evaluate
from training.evaluation.evaluations import write_evaluations
from training.evaluation.options import Options
from training.evaluation.own import Own
from training.evaluation.results import CutoffResults, Results, bootstrap
from training.protocol.metrics import PER_LISTENER
from training.tables import EVALUATIONS, RECORDS, Column

ROOT = Path(__file__).parents[2]
CUTOFF = parse_time("2022-08-25T00:00:00Z")
Answers = Callable[[str, dict[str, str]], Any]


class FakeService:
    """Answers by a function of path and query; it notes what it was asked."""

    def __init__(self, answer: Answers) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, str]]] = []

    def call(self, method: str, path: str, body: Any = None) -> Any:
        assert (method, body) == ("GET", None)
        parts = urlsplit(path)
        self.asked.append((parts.path, dict(parse_qsl(parts.query))))
        return self.answer(*self.asked[-1])


def serve(monkeypatch: pytest.MonkeyPatch, answer: Answers) -> FakeService:
    """Let every service from now on answer so."""
    service = FakeService(answer)
    monkeypatch.setattr("infra.service.Service", lambda url: service)
    return service


def export(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["results", "export", *map(str, arguments)])


def row(user: int | str = 429, **changes: Any) -> dict[str, Any]:
    """A record as the API answers it."""
    return {
        "created_at": "2022-09-01T00:00:00.250Z",
        "user_id": user,
        "group": "A",
        "model": "hybrid",
        "recomm_successful": 1,
        "tracks": ["t1", "t2"],
        "as_of": "2022-09-01T00:00:00.000Z",
        "settled_at": "2022-10-01T00:00:00.000Z",
        "bundle": "b1",
        "error": None,
        "credits": None,
        "propensities": None,
        "later": [],
        "positions": [],
    } | changes


def paged(*pages: list[dict[str, Any]]) -> Answers:
    """A service with these pages of records."""

    def answer(path: str, query: dict[str, str]) -> Any:
        if path == "/ab_test/report":
            return {"experiment": {"users": sum(map(len, pages))}}
        place = int(query.get("next", 0))
        following = str(place + 1) if place + 1 < len(pages) else None
        return {"results": pages[place], "next": following}

    return answer


class TestExport:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "records.parquet"

    def test_writes_a_row_a_record_over_all_pages(
        self, monkeypatch: pytest.MonkeyPatch, file: Path
    ) -> None:
        service = serve(monkeypatch, paged([row(1), row(2)], [], [row("łucja")]))
        result = export(file, "--experiment", "spring", "--live")
        assert result.exit_code == 0, result.stderr
        assert result.stdout.splitlines()[-1] == f"{file}: 3 records"
        assert frames.records(file)["user_id"].tolist() == ["1", "2", "łucja"]
        side = {"experiment": "spring", "live": "true"}
        assert service.asked == [
            ("/ab_test/report", side),
            *(("/ab_test/results", side | page) for page in ({}, {"next": "1"}, {"next": "2"})),
        ]

    def test_gives_each_column_its_type(self, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
        interleaved = row(credits={"A": 2, "B": 0}, propensities={"A": 0.25, "B": 0.75})
        serve(monkeypatch, paged([row(error="ModelFailed", tracks=[]), interleaved]))
        assert export(file).exit_code == 0
        failed, second = frames.records(file).to_dict("records")
        assert failed["created_at"] == pd.Timestamp("2022-09-01 00:00:00.250", tz="UTC")
        assert (failed["error"], list(failed["tracks"]), failed["credits"]) == (
            "ModelFailed", [], None,
        )  # fmt: skip
        assert (second["recomm_successful"], list(second["tracks"])) == (1, ["t1", "t2"])
        assert (second["credits"], second["propensities"]) == (
            {"A": 2, "B": 0}, {"A": 0.25, "B": 0.75},
        )  # fmt: skip

    def test_has_the_lists_that_were_shown_later(
        self, monkeypatch: pytest.MonkeyPatch, file: Path
    ) -> None:
        later = [{"shown_at": "2022-09-02T00:00:00.000Z", "tracks": ["t3"]}]
        serve(monkeypatch, paged([row(later=later, positions=[1, 2])]))
        assert export(file).exit_code == 0
        ((_, found),) = frames.records(file).iterrows()
        ((shown_at, tracks),) = (it.values() for it in found["later"])
        assert (pd.Timestamp(shown_at), list(tracks)) == (
            pd.Timestamp("2022-09-02", tz="UTC"),
            ["t3"],
        )
        assert list(found["positions"]) == [1, 2]
        assert pq.read_schema(file) == RECORDS

    def test_json_lines_hold_what_the_api_answers(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        rows = [row(1), row("Łucja\n"), row(3, credits={"A": 1})]
        serve(monkeypatch, paged(rows[:1], rows[1:]))
        assert export(tmp_path / "records.jsonl").exit_code == 0
        lines = (tmp_path / "records.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line) for line in lines] == rows

    def test_an_experiment_without_records_is_a_table_without_rows(
        self, monkeypatch: pytest.MonkeyPatch, file: Path
    ) -> None:
        serve(monkeypatch, paged([]))
        assert export(file).exit_code == 0
        assert frames.records(file).columns.tolist() == RECORDS.names
        assert len(frames.records(file)) == 0

    def test_holds_as_many_records_as_a_batch_at_once(
        self, monkeypatch: pytest.MonkeyPatch, file: Path
    ) -> None:
        monkeypatch.setattr("training.data.parquet.BATCH", 4)
        serve(monkeypatch, paged(*([row(page), row(page)] for page in range(7))))
        assert export(file).exit_code == 0
        written = pq.ParquetFile(file).metadata
        groups = (written.row_group(place) for place in range(written.num_row_groups))
        assert [group.num_rows for group in groups] == [4, 4, 4, 2]

    def test_a_stop_half_way_leaves_the_file_as_it_was(
        self, monkeypatch: pytest.MonkeyPatch, file: Path
    ) -> None:
        file.write_text("of yesterday")
        whole = paged([row(1)], [row(2)])

        def cleared(path: str, query: dict[str, str]) -> Any:
            if "next" in query:
                raise Problem(400, detail="next: not a position")
            return whole(path, query)

        serve(monkeypatch, cleared)
        result = export(file)
        assert result.exit_code == 1
        assert result.stderr == "segue: 400 next: not a position\n"
        assert [path.name for path in file.parent.iterdir()] == [file.name]
        assert file.read_text() == "of yesterday"

    @pytest.mark.parametrize(
        "changes",
        [
            {"created_at": "yesterday"},
            {"tracks": 5},
            {"recomm_successful": "yes"},
            {"credits": ["A"]},
            {"propensities": {"A": "much"}},
        ],
    )
    def test_refuses_what_is_no_record(
        self, monkeypatch: pytest.MonkeyPatch, file: Path, changes: dict[str, Any]
    ) -> None:
        serve(monkeypatch, paged([row(1), row(**changes)]))
        self.assert_refused(export(file), file)

    @pytest.mark.parametrize("answer", [None, [], {}, {"results": [{}]}, {"experiment": {}}])
    def test_tells_another_service_from_this(
        self, monkeypatch: pytest.MonkeyPatch, file: Path, answer: Any
    ) -> None:
        serve(monkeypatch, lambda *_: answer)
        self.assert_refused(export(file), file)

    def assert_refused(self, result: Result, file: Path) -> None:
        assert result.exit_code == 1
        (line,) = result.stderr.splitlines()
        assert line.startswith("segue: the service answers what are no records")
        assert list(file.parent.iterdir()) == []

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("records.csv", "must end in .parquet or .jsonl"),
            ("parquet", "must end in .parquet or .jsonl"),
            ("nowhere/records.parquet", "there is no folder"),
            ("folder.parquet", "is a folder"),
        ],
    )
    def test_names_a_file_that_cannot_be_written_before_it_asks_for_anything(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, said: str
    ) -> None:
        (tmp_path / "folder.parquet").mkdir()
        service = serve(monkeypatch, paged([row()]))
        result = export(tmp_path / name)
        assert result.exit_code == 1
        (line,) = result.stderr.splitlines()
        assert str(tmp_path / name) in line
        assert said in line
        assert service.asked == []

    def test_takes_what_the_function_really_answers(
        self, monkeypatch: pytest.MonkeyPatch, world: World, ab_test: Function, file: Path
    ) -> None:
        epoch = EpochId(DEFAULT_NAME, 1, Side.REPLAY)
        for user, credit in (("429", {}), ("430", {"A": 1, "B": 0})):
            exposure = Exposure(user, "A", "hybrid", "b", ("t1",), 0, 1_662_000_000_000)
            world.results.add(epoch, Record(exposure, True, 31 * DAY, credit))

        def answer(path: str, query: dict[str, str]) -> Any:
            if path == "/ab_test/report":
                return {"experiment": {"users": 2}}
            status, _, body = ab_test.call("GET", path, query={**query, "limit": "1"})
            assert status == 200
            assert all(row.keys() == set(RECORDS.names) for row in body["results"])
            return body

        serve(monkeypatch, answer)
        result = export(file)
        assert result.exit_code == 0, result.stderr
        found = frames.records(file).set_index("user_id").sort_index()
        assert found["credits"].tolist() == [None, {"A": 1, "B": 0}]
        assert found["created_at"].tolist() == [pd.Timestamp("2022-09-01 02:40", tz="UTC")] * 2


SEED = 8


@pytest.fixture(scope="module")
def judged(
    data_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], pd.DataFrame]:
    def trained(
        connection: Any, split: Any, encoded: Any, schema: Any, options: Options, **_: Any
    ) -> Own:
        lists = [by_plays(split, options.k), by_catalogue(split, options.k)]
        return Own({"drawn": lists[options.seed % 2], "by plays": lists[0]}, {})

    file = tmp_path_factory.mktemp("evaluations") / "evaluations.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluating, "fit_and_recommend", trained)
        cutoffs = [CUTOFF - 14 * DAY, CUTOFF]
        options = Options(
            cutoffs=cutoffs, k=10, seed=SEED, seeds=2, evaluations=file,
        )  # fmt: skip
        return evaluate(data_path, options), frames.evaluations(file)


class TestEvaluations:
    """Of a stand-in that ranks otherwise by each seed, one that does not, and chance."""

    def test_their_means_are_those_reported(
        self, judged: tuple[dict[str, Any], pd.DataFrame]
    ) -> None:
        answer, evaluations = judged
        means = evaluations.groupby(["model", "view"])[list(PER_LISTENER)].mean()
        assert len(answer["rows"]) == len(means) == 6
        for reported in answer["rows"]:
            mine = means.loc[reported["model"], reported["view"]]
            for measure in PER_LISTENER:
                assert reported[measure] == pytest.approx(mine[measure], abs=5e-6)
            chosen = evaluations[
                (evaluations["model"] == reported["model"])
                & (evaluations["view"] == reported["view"])
            ]
            assert reported["users"] == chosen["user_id"].nunique()
            assert reported["evaluations"] == len(chosen.drop_duplicates(["user_id", "cutoff"]))

    def test_their_intervals_and_differences_are_those_reported(
        self, judged: tuple[dict[str, Any], pd.DataFrame]
    ) -> None:
        answer, evaluations = judged
        any_track = evaluations[evaluations["view"] == "any"]
        wide = any_track.pivot(
            index=["cutoff", "user_id"], columns=["model", "seed"], values="ndcg"
        )
        values = np.stack(
            [wide.xs(seed, axis=1, level="seed").to_numpy() for seed in (SEED, SEED + 1)]
        )
        names = wide.columns.get_level_values("model").unique().tolist()
        listeners = wide.index.get_level_values("user_id").factorize(sort=True)[0]
        told = bootstrap(values, listeners, SEED)
        reported = {r["model"]: r for r in answer["rows"] if r["view"] == "any"}
        for place, name in enumerate(names):
            low, high = reported[name]["ndcg_low"], reported[name]["ndcg_high"]
            assert (told.low[place], told.high[place]) == pytest.approx((low, high), abs=5e-6)
        drawn, chance = (wide[name].to_numpy() for name in ("drawn", "random"))
        (difference,) = (
            it
            for it in answer["differences"]
            if (it["model"], it["peer"], it["view"], it["metric"])
            == ("drawn", "random", "any", "ndcg")
        )
        assert difference["mean"] == pytest.approx((drawn - chance).mean(), abs=5e-6)

    def test_their_kinds_and_plays_make_the_groups_reported(
        self, judged: tuple[dict[str, Any], pd.DataFrame]
    ) -> None:
        answer, evaluations = judged
        means = evaluations.groupby(["model", "view", "kind"])["hit"].mean()
        assert len(means) == len(answer["by_kind"])
        for reported in answer["by_kind"]:
            mine = means[reported["model"], reported["view"], reported["kind"]]
            assert reported["hit"] == pytest.approx(mine, abs=5e-6)
        least = min(int(group["plays"].split(" ")[0]) for group in answer["by_activity"])
        assert evaluations["plays"].min() == least

    def test_name_each_contender_with_its_role(
        self, judged: tuple[dict[str, Any], pd.DataFrame]
    ) -> None:
        _, evaluations = judged
        roles = dict(zip(evaluations["model"], evaluations["role"], strict=True))
        assert roles == {"drawn": "ours", "by plays": "ours", "random": "reference"}
        keys = ["user_id", "model", "view", "cutoff", "seed"]
        assert not evaluations.duplicated(keys).any()
        assert evaluations["hit"].notna().all()

    def test_leave_out_whom_nobody_judged_and_a_peer_where_it_failed(self, tmp_path: Path) -> None:
        def results(cutoff: int, *names: str) -> CutoffResults:
            # Of two listeners, the second heard nothing new; no list has two tracks.
            values = {"any": np.array([1.0, 0.5]), "new": np.array([1.0, np.nan])}
            measures = {
                view: dict.fromkeys(PER_LISTENER, one) | {"diversity": np.full(2, np.nan)}
                for view, one in values.items()
            }
            return CutoffResults(
                cutoff=cutoff,
                listeners=np.array([b"a", "łucja".encode()]),
                plays=np.array([3, 30]),
                kinds=np.array([3, 0]),
                measures=dict.fromkeys(names, measures),
                alone={},
                played=values,
            )

        both = Results([results(0, "hybrid", "EASE"), results(DAY, "hybrid")])
        file = tmp_path / "evaluations.parquet"
        write_evaluations(both, Roles(["hybrid"], ["EASE"], []), SEED, file)
        found = frames.evaluations(file)
        keys = found[["role", "view", "user_id", "kind", "seed"]].itertuples(index=False, name=None)
        few, chart = ("a", "few plays", SEED), ("łucja", "chart", SEED)
        assert list(keys) == [
            *[("ours", "any", *one) for one in (few, chart, few, chart)],
            *[("ours", "new", *few)] * 2,
            *[("peer", "any", *one) for one in (few, chart)],
            ("peer", "new", *few),
        ]
        assert found["cutoff"].dt.day.tolist() == [1, 1, 2, 2, 1, 2, 1, 1, 1]
        assert found["diversity"].isna().all()

    def test_a_file_that_cannot_be_written_is_named_before_anything_is_read(
        self, tmp_path: Path
    ) -> None:
        out = tmp_path / "evaluations.csv"
        result = CliRunner().invoke(
            app, ["evaluate", "--data", "nowhere", "--evaluations", str(out)]
        )
        assert result.exit_code == 1
        assert f"{out}: the file's name must end in .parquet" in result.stderr


@pytest.fixture(scope="module")
def connection(
    data_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[duckdb.DuckDBPyConnection]:
    workspace = tmp_path_factory.mktemp("frames")
    ingest(data_path, workspace)
    with connect(workspace) as connection:
        yield connection


class TestFrames:
    def test_plays_are_labelled(self, connection: duckdb.DuckDBPyConnection) -> None:
        plays = frames.plays(connection)
        asked = "SELECT COUNT(*), SUM(completed::INT), epoch_ms(MIN(time)) FROM plays"
        ((count, completed, first),) = connection.sql(asked).fetchall()
        assert (len(plays), plays["completed"].sum()) == (count, completed)
        assert plays["time"].min() == pd.Timestamp(first, tz="UTC")
        assert (plays["completed"] == plays["skipped_at"].isna()).all()
        assert (plays["liked"] == plays["liked_at"].notna()).all()

    def test_weeks_count_the_plays_of_each_track(
        self, connection: duckdb.DuckDBPyConnection
    ) -> None:
        plays, weeks = frames.plays(connection), frames.weeks(connection)
        days = plays[Column.TIME].dt.floor("D")
        monday = (days - pd.to_timedelta(days.dt.day_of_week, unit="D")).rename(Column.WEEK)
        counted = plays.groupby([Column.TRACK_ID, monday]).agg(
            plays=("time", "size"),
            full_plays=("completed", "sum"),
            liked_plays=("liked", "sum"),
            listeners=("user_id", "nunique"),
        )
        found = weeks.set_index([Column.TRACK_ID, Column.WEEK])
        pd.testing.assert_frame_equal(found, counted, check_index_type=False)

    def test_tracks_join_with_plays(self, connection: duckdb.DuckDBPyConnection) -> None:
        plays, tracks = frames.plays(connection), frames.tracks(connection)
        both = plays.merge(tracks, on=Column.TRACK_ID, validate="many_to_one")
        assert len(both) == len(plays)
        assert both[[Column.ARTIST_NAME, "name", "danceability"]].notna().all(axis=None)

    def test_users_are_the_profiles(self, connection: duckdb.DuckDBPyConnection) -> None:
        users = frames.users(connection)
        assert users["user_id"].tolist() == [str(user) for user in range(101, 141)]
        assert {len(genres) for genres in users["favourite_genres"]} <= set(range(1, 6))

    def test_users_have_what_the_schema_reads_of_them(self, tmp_path: Path) -> None:
        schema = (ROOT / "training/schemas/movielens.toml").read_text(encoding="utf-8")
        users = [
            {"user_id": 1, "age": 30, "gender": "F", "premium": 2},
            {"user_id": 2, "age": None, "gender": "M"},
        ]
        data = _folder(tmp_path, users=users, tracks=[{"id": "t"}])
        (data / "schema.toml").write_text(schema)
        ingest(data, tmp_path / "workspace")
        with connect(tmp_path / "workspace") as connection:
            found = frames.users(connection)
        assert found.columns.tolist() == ["user_id", "favourite_genres", "premium", "age", "gender"]
        assert found["age"].tolist() == [30, pytest.approx(np.nan, nan_ok=True)]
        assert found["gender"].tolist() == ["F", "M"]

    def test_a_column_of_the_data_whose_name_is_taken_is_kept(self, tmp_path: Path) -> None:
        data = _folder(tmp_path, users=[], tracks=[{"id": "t", "track_id": 7, "id_artist": "a"}])
        ingest(data, tmp_path / "workspace")
        with connect(tmp_path / "workspace") as connection:
            (found,) = frames.tracks(connection).to_dict("records")
        assert (found["track_id"], found["track_id_"], found["artist_id"]) == ("t", 7, "a")

    @pytest.mark.parametrize("read", [frames.evaluations, frames.records])
    def test_name_a_file_that_is_no_such_table(
        self, read: Callable[[Path], pd.DataFrame], tmp_path: Path
    ) -> None:
        (tmp_path / "text.parquet").write_text("no table")
        pd.DataFrame({"user_id": ["1"]}).to_parquet(tmp_path / "other.parquet")
        for name in ("nowhere.parquet", "text.parquet", "other.parquet"):
            with pytest.raises(InvalidData, match=re.escape(str(tmp_path / name))):
                read(tmp_path / name)


def _folder(folder: Path, **tables: list[dict[str, Any]]) -> Path:
    """A data folder of these tables, and one session."""
    event = {"session_id": 1, "timestamp": 0, "user_id": 1, "track_id": "t", "event_type": "PLAY"}
    for name, rows in (tables | {"sessions": [event]}).items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text)
    return folder


class TestDocument:
    """docs/tables.md names every column with its dtype."""

    def documented(self, table: str) -> dict[str, str]:
        text = (ROOT / "docs/tables.md").read_text(encoding="utf-8")
        section = text.split(f"\n## {table}\n")[1].split("\n## ")[0]
        return dict(re.findall(r"^\| `(\w+)` \| `([^`]+)`", section, re.MULTILINE))

    def test_lists_the_columns_of_what_is_read_from_data(
        self, data_path: Path, tmp_path: Path
    ) -> None:
        ingest(data_path, tmp_path)
        with connect(tmp_path) as connection:
            for read in (frames.plays, frames.weeks, frames.tracks, frames.users):
                documented = self.documented(read.__name__)
                found = read(connection)[list(documented)]
                assert found.dtypes.map(str).to_dict() == documented
                fixed = getattr(tables, read.__name__.upper())
                assert list(documented) == fixed.names

    @pytest.mark.parametrize(
        ("table", "schema"), [("evaluations", EVALUATIONS), ("records", RECORDS)]
    )
    def test_lists_the_columns_of_what_is_read_from_a_file(self, table: str, schema: Any) -> None:
        dtypes = schema.empty_table().to_pandas().dtypes
        assert dtypes.map(str).to_dict() == self.documented(table)
        assert list(self.documented(table)) == schema.names
