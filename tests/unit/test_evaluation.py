"""``segue evaluate``, from a data folder to the answer; and models that see the future are caught.

Our real models are trained elsewhere in the tests; here others stand in for them.
"""

import io
import json
import re
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from infra.cli import app
from infra.cli.standings import show
from infra.demo.oracle import oracle_of
from segue.domain.times import DAY, parse_time
from segue.features.schema import load_schema
from training.catalogue import EncodedCatalogue
from training.data import open_data
from training.evaluation import evaluate as evaluating
from training.evaluation.altered import leaking
from training.evaluation.evaluate import evaluate
from training.evaluation.options import Options
from training.evaluation.own import Own
from training.evaluation.report import write_report
from training.protocol.lists import Lists, lists_of
from training.protocol.split import Split

CUTOFF = parse_time("2022-08-25T00:00:00Z")
COLD_ROW = {
    "model": "by sound",
    **{
        f"{of}{bound}": value
        for of in ("hit", "ndcg", "recall")
        for bound, value in (("", 0.25), ("_low", 0.2), ("_high", 0.3))
    },
    "percentile": 0.75,
    "in_lists": 0.001,
}
MEASURES = {"hit", "ndcg", "recall", "map", "coverage", "novelty", "diversity"}


def by_plays(split: Split, k: int) -> Lists:
    counts = np.bincount(split.plays.track, minlength=split.tracks).astype(np.float32)
    return lists_of(split, (counts for _ in split.judged), k)


def by_catalogue(split: Split, k: int) -> Lists:
    return lists_of(split, (split.popularity for _ in split.judged), k)


def stand_in(
    connection: duckdb.DuckDBPyConnection,
    split: Split,
    encoded: EncodedCatalogue,
    schema: Path,
    options: Options,
    *,
    vary: bool,
    **_: Any,
) -> Own:
    k = options.k
    varied = {"by plays": {0.0: by_plays(split, k), 1.0: by_catalogue(split, k)}} if vary else {}
    lists = {"by plays": by_plays(split, k), "by catalogue": by_catalogue(split, k)}
    return Own(lists, {}, varied)


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluating, "fit_and_recommend", stand_in)


@pytest.fixture(scope="module")
def answer(data_path: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluating, "fit_and_recommend", stand_in)
        cutoffs = [CUTOFF, CUTOFF - 14 * DAY]
        oracle = oracle_of(data_path)
        return evaluate(data_path, Options(cutoffs=cutoffs, k=10, oracle=oracle, check_leaks=True))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *(str(argument) for argument in arguments)])


class TestAnswer:
    def test_has_a_row_for_each_contender_and_view(self, answer: dict[str, Any]) -> None:
        assert answer["k"] == 10
        assert answer["cutoffs"] == ["2022-08-11T00:00:00.000Z", "2022-08-25T00:00:00.000Z"]
        names = ["by plays", "by catalogue", "random", "oracle"]
        found = [(row["model"], row["view"]) for row in answer["rows"]]
        assert found == [(name, view) for view in ("any", "new") for name in names]
        for row in answer["rows"]:
            assert row.keys() >= MEASURES
            assert row["ndcg_low"] <= row["ndcg"] <= row["ndcg_high"]
            assert 0 < row["users"] <= row["evaluations"] <= 2 * row["users"]

    def test_ranks_chance_below_popularity_and_that_below_the_truth(
        self, answer: dict[str, Any]
    ) -> None:
        ndcg = {row["model"]: row["ndcg"] for row in answer["rows"] if row["view"] == "any"}
        assert ndcg["random"] < ndcg["by plays"] < ndcg["oracle"]
        shares = {row["model"]: row["share_of_oracle"] for row in answer["rows"]}
        assert shares["oracle"] == 1

    def test_compares_each_of_ours_with_each_other_contender(self, answer: dict[str, Any]) -> None:
        found = {
            (row["model"], row["peer"]): row
            for row in answer["differences"]
            if (row["view"], row["metric"]) == ("any", "ndcg")
        }
        assert len(found) == 4
        rows = {row["model"]: row for row in answer["rows"] if row["view"] == "any"}
        for (model, peer), row in found.items():
            between = rows[model]["ndcg"] - rows[peer]["ndcg"]
            assert row["mean"] == pytest.approx(between, abs=2e-5)
        assert found["by plays", "random"]["low"] > 0

    def test_groups_hold_every_evaluation_once(self, answer: dict[str, Any]) -> None:
        whole = {(row["model"], row["view"]): row["evaluations"] for row in answer["rows"]}
        for table in ("by_activity", "by_kind"):
            parts = dict.fromkeys(whole, 0)
            for row in answer[table]:
                parts[row["model"], row["view"]] += row["evaluations"]
            assert parts == whole

    def test_finds_no_leak_where_there_is_none(self, answer: dict[str, Any]) -> None:
        assert answer["leaks"] == []

    def test_is_the_same_on_every_run(self, answer: dict[str, Any], data_path: Path) -> None:
        cutoffs = [CUTOFF - 14 * DAY, CUTOFF]
        oracle = oracle_of(data_path)
        again = evaluate(data_path, Options(cutoffs=cutoffs, k=10, oracle=oracle, check_leaks=True))
        assert json.dumps(again) == json.dumps(answer)

    def test_becomes_a_page_that_needs_nothing_else(
        self, answer: dict[str, Any], tmp_path: Path
    ) -> None:
        page = write_report(answer, tmp_path / "report").read_text()
        for name in ("by plays", "by catalogue", "oracle"):
            assert name in page
        assert "src=" not in page
        assert 'href="http' not in page
        assert "url(http" not in page
        assert page.count("<caption") == page.count("<table") == page.count('tabindex="0"')
        kinds = {path.suffix for path in (tmp_path / "report").iterdir()}
        assert kinds == {".html", ".svg", ".png"}

    @pytest.mark.parametrize(
        ("low", "mean", "high", "verdict", "said"),
        [
            (0.01, 0.02, 0.03, "better", "<b>by plays wins</b>: it is ahead of the best peer"),
            (
                -0.03,
                -0.02,
                -0.01,
                "worse",
                "<b>EASE wins</b>: the best of ours, by plays, is behind",
            ),
            (
                -0.01,
                0.02,
                0.05,
                "open",
                "<b>nobody wins for sure</b>: by plays is ahead of the best",
            ),
            (
                -0.05,
                -0.02,
                0.01,
                "open",
                "<b>nobody wins for sure</b>: by plays is behind the best",
            ),
        ],
    )
    def test_the_page_begins_with_who_won_and_whether_that_is_sure(
        self,
        answer: dict[str, Any],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        low: float,
        mean: float,
        high: float,
        verdict: str,
        said: str,
    ) -> None:
        peer = {"model": "EASE", "view": "any", "ndcg": 0.2}
        measured = {"model": "by plays", "peer": "EASE", "view": "any", "metric": "ndcg"}
        row = measured | {"low": low, "mean": mean, "high": high, "verdict": verdict}
        rows = [answer["rows"][0] | peer, *answer["rows"]]
        told = answer | {"rows": rows, "peers": ["EASE"], "best_peers": [row]}
        # Drawing takes longer than all else, and is tested above.
        monkeypatch.setattr("training.evaluation.report.page.pictures", lambda _: ())
        page = write_report(told, tmp_path).read_text()
        first, second = re.findall('<p class="lead">(.*?)</p>', page)
        assert said in first
        assert "by 10.0%" in first
        assert "There is no peer to compare it with" in second

    def test_tells_of_cold_tracks_and_of_neighbours_where_they_were_looked_at(
        self, answer: dict[str, Any], tmp_path: Path
    ) -> None:
        assert (answer["cold"], answer["likeness"], answer["examples"]) == (None, [], [])
        track = {"id": "1", "name": "Paper <Moon>", "artist": "The Tides", "genres": ["folk"]}
        shares = {"artist": 0.5, "artist_by_chance": 0.01, "genre": None}
        whole = answer | {
            "cold": {"tracks": 30, "all": 600, "rows": [COLD_ROW]},
            "likeness": [{"model": "by sound", **shares}],
            "examples": [{"track": track, "nearest": [track | {"name": "Near", "artist": None}]}],
        }
        sentence = "nearest to one by the by sound, 50% share its artist (1.00% of all tracks do)."
        page = write_report(whole, tmp_path / "report").read_text()
        for said in ("30 of 600 tracks", "Paper &lt;Moon&gt; - The Tides", "<li>Near", sentence):
            assert said in page
        terminal = Console(file=io.StringIO(), width=200)
        show(whole, terminal)
        assert isinstance(terminal.file, io.StringIO)
        printed = terminal.file.getvalue()
        for said in ("30 of 600 tracks", "0.250 [.200 .300]", sentence):
            assert said in printed


class TestSeeds:
    """A stand-in that ranks by plays with its first seed, and by the catalogue with the next."""

    @pytest.fixture
    def rows(
        self, data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> dict[str, dict[str, Any]]:
        def trained(
            connection: duckdb.DuckDBPyConnection,
            split: Split,
            encoded: EncodedCatalogue,
            schema: Path,
            options: Options,
            **_: Any,
        ) -> Own:
            seed = options.seed
            lists = [by_plays(split, options.k), by_catalogue(split, options.k)]
            return Own({"even": lists[seed % 2], "odd": lists[seed % 2 - 1], "both": lists[0]}, {})

        monkeypatch.setattr(evaluating, "fit_and_recommend", trained)
        answer = evaluate(data_path, Options(cutoffs=[CUTOFF], k=10, seed=8, seeds=2))
        assert (answer["seed"], answer["seeds"]) == (8, 2)
        page = write_report(answer, tmp_path).read_text()
        assert "seeds 8 to 9" in page
        assert "resamples listeners and seeds" in page
        self.differences = {
            row["model"]: row
            for row in answer["differences"]
            if (row["view"], row["metric"]) == ("any", "ndcg")
        }
        return {row["model"]: row for row in answer["rows"] if row["view"] == "any"}

    def test_are_averaged(self, rows: dict[str, dict[str, Any]]) -> None:
        assert rows["even"]["ndcg"] == rows["odd"]["ndcg"] != rows["both"]["ndcg"]
        assert rows["even"]["coverage"] == rows["odd"]["coverage"]
        assert rows["even"]["evaluations"] == rows["random"]["evaluations"]

    def test_that_differ_make_intervals_wider(self, rows: dict[str, dict[str, Any]]) -> None:
        widths = {name: row["ndcg_high"] - row["ndcg_low"] for name, row in rows.items()}
        assert widths["even"] > widths["both"]
        assert self.differences["even"]["low"] < rows["even"]["ndcg"] - rows["random"]["ndcg"]


class TestSources:
    """A stand-in for the hybrid that ranks by plays, out of two sources."""

    @pytest.fixture
    def told(
        self, data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> dict[str, Any]:
        def trained(
            connection: duckdb.DuckDBPyConnection,
            split: Split,
            encoded: EncodedCatalogue,
            schema: Path,
            options: Options,
            *,
            apart: bool,
            **_: Any,
        ) -> Own:
            plays, catalogue = by_plays(split, options.k), by_catalogue(split, options.k)
            hybrid = plays if options.seed == 7 else catalogue
            nothing = {view: np.full_like(lists, -1) for view, lists in plays.items()}
            sources = {"catalogue <all>": catalogue, "nothing": nothing} if apart else {}
            return Own({"hybrid": hybrid}, {}, sources=sources)

        monkeypatch.setattr(evaluating, "fit_and_recommend", trained)
        return evaluate(data_path, Options(cutoffs=[CUTOFF, CUTOFF - 14 * DAY], k=10, seeds=2))

    def test_are_measured_each_alone_in_both_views(self, told: dict[str, Any]) -> None:
        found = {(row["source"], row["view"]): row["ndcg"] for row in told["sources"]}
        assert list(found) == [
            (name, view) for view in ("any", "new") for name in ("catalogue <all>", "nothing")
        ]
        assert found["nothing", "any"] == found["nothing", "new"] == 0
        assert told["ours"] == ["hybrid"]
        assert told["peers"] == []

    def test_the_best_is_compared_with_the_first_seed_of_the_hybrid(
        self, told: dict[str, Any], answer: dict[str, Any]
    ) -> None:
        rows = {(row["model"], row["view"]): row["ndcg"] for row in answer["rows"]}
        for row in told["best_sources"]:
            assert row["source"] == "catalogue <all>"
            assert row["ndcg"] == rows["by catalogue", row["view"]]
            assert row["hybrid"] == rows["by plays", row["view"]]
            assert row["mean"] == pytest.approx(row["hybrid"] - row["ndcg"], abs=2e-5)
            assert row["low"] <= row["mean"] <= row["high"]
            assert row["verdict"] in ("better", "worse", "open")

    def test_are_told_at_the_terminal_and_on_the_page(
        self, told: dict[str, Any], tmp_path: Path
    ) -> None:
        terminal = Console(file=io.StringIO(), width=200)
        show(told, terminal)
        assert isinstance(terminal.file, io.StringIO)
        said = "the hybrid's best single source in view 'new' is catalogue <all>: nDCG ."
        assert said in terminal.file.getvalue()
        page = write_report(told, tmp_path / "report").read_text()
        assert "its best single source, catalogue &lt;all&gt;, in nDCG" in page
        assert page.count('<th scope="row">nothing</th><td>0.000</td><td>0.000</td></tr>') == 1


class TestCommand:
    def test_writes_json_and_says_who_is_best(self, data_path: Path, tmp_path: Path) -> None:
        out = tmp_path / "answer.json"
        result = run("--data", data_path, "--cutoff", "2022-08-25", "--k", "5", "--json", out)
        assert result.exit_code == 0
        read = json.loads(out.read_text())
        assert (read["k"], read["cutoffs"]) == (5, ["2022-08-25T00:00:00.000Z"])
        assert "by catalogue" in result.stdout
        assert "of oracle" in result.stdout

    def test_names_a_cutoff_with_nothing_around_it(self, data_path: Path) -> None:
        result = run("--data", data_path, "--cutoff", "2035-01-01")
        assert result.exit_code == 1
        assert "2035-01-01" in result.stderr

    def test_names_a_folder_without_a_given_split(self, data_path: Path) -> None:
        result = run("--data", data_path, "--split", "given")
        assert result.exit_code == 1
        assert str(data_path) in result.stderr


def test_lists_that_change_with_the_future_are_caught(data_path: Path, tmp_path: Path) -> None:
    """Ways to peek: into the outcomes, into later plays, and at what became of earlier ones."""
    opened = open_data(data_path, tmp_path / "workspace", split="temporal")

    def peeking(
        connection: duckdb.DuckDBPyConnection, split: Split, encoded: EncodedCatalogue
    ) -> dict[str, Lists]:
        def counted(where: str) -> Lists:
            sql = f"SELECT track_id, COUNT(*) FROM plays WHERE {where} GROUP BY track_id"
            counts = dict(connection.execute(sql, {"cutoff": int(split.cutoff)}).fetchall())
            ids = encoded.catalogue.ids.astype(str).tolist()
            scores = np.array([counts.get(track, 0) for track in ids], np.float32)
            return lists_of(split, (scores for _ in split.judged), 20)

        outcomes = np.bincount(split.outcomes, minlength=split.tracks).astype(np.float32)
        return {
            "honest": by_plays(split, 20),
            "known then": counted("time < $cutoff"),
            "outcomes": lists_of(split, (outcomes for _ in split.judged), 20),
            "later plays": counted("time < $cutoff + 86400000"),
            "later skips": counted("time < $cutoff AND completed"),
            "later likes": counted("time < $cutoff AND liked"),
        }

    schema = load_schema(opened.schema)
    found = leaking(tmp_path / "workspace", tmp_path / "other", schema, CUTOFF, peeking, seed=1)
    assert found == ["outcomes", "later plays", "later skips", "later likes"]
