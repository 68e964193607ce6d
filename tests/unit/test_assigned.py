"""``segue report --from``: experiments whose users others assigned."""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from infra.assigned import judge
from infra.cli import app
from segue.api.report.page import page
from segue.domain.errors import InvalidData
from segue.domain.times import DAY, format_time, parse_time
from segue.experiments.epoch import Epoch
from segue.experiments.experiment import Arm, Experiment
from segue.experiments.records import Exposure, Record
from segue.experiments.tally import Tally
from segue.reporting.document import document

ROOT = Path(__file__).parents[2]
START = parse_time("2024-03-01T12:00:00Z")
HEADER = "user,arm,time,outcome"

# User, arm, day of the exposure, and whether it was a success.
Row = tuple[str, str, float, int]


def day(number: float) -> str:
    return format_time(START + int(number * DAY))


def table(rows: Iterable[Row]) -> str:
    return "\n".join(
        [HEADER, *(f"{user},{arm},{day(when)},{outcome}" for user, arm, when, outcome in rows), ""]
    )


def counts(report: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Successes and users of each arm, the control first."""
    return {arm["group"]: (arm["successes"], arm["users"]) for arm in report["arms"]}


def notes(report: dict[str, Any]) -> str:
    return "\n".join(report["notes"])


class Folder:
    """Writes tables, and judges them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.quarantine = path / "aside" / "quarantine.jsonl"

    def write(self, name: str, text: str) -> Path:
        (self.path / name).write_text(text, encoding="utf-8")
        return self.path / name

    def judge(self, exposures: str, outcomes: str | None = None, **options: Any) -> dict[str, Any]:
        successes = None if outcomes is None else self.write("outcomes.csv", outcomes)
        file = self.write("exposures.csv", exposures)
        return judge(file, successes, quarantine=self.quarantine, **options)

    def put_aside(self) -> list[tuple[int, list[str]]]:
        lines = self.quarantine.read_text().splitlines()
        return [(row["line"], row["reasons"]) for row in map(json.loads, lines)]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def arm_of(group: str, successes: int, users: int) -> list[Row]:
    """So many users of one arm, 50 a day."""
    return [(f"{group}{n}", group, n // 50, int(n < successes)) for n in range(users)]


class TestTheReport:
    def test_is_the_one_that_an_own_experiment_of_the_same_counts_has(self, folder: Folder) -> None:
        rows = [*arm_of("control", 30, 100), *arm_of("new", 70, 110)]
        found = folder.judge(table(rows))
        records = [
            Record(Exposure(user, arm, "", "", (), 0, 0), bool(outcome), START + int(when * DAY))
            for user, arm, when, outcome in rows
        ]
        own = Experiment("spring", (Arm("control", 0, 0.5), Arm("new", 3, 0.5)))
        expected = document(Epoch(own, "bundle"), Tally.of(records))
        assert found["verdicts"][0]["decision"] == "new is better"
        for part in ("verdicts", "comparisons", "course", "densities", "sample_ratio", "power"):
            assert found[part] == expected[part], part

    def test_says_nothing_that_only_segue_could_know(self, folder: Folder) -> None:
        found = folder.judge(table([*arm_of("control", 3, 9), *arm_of("<new>", 5, 9)]))
        assert found["guardrails"] == []
        assert {arm["model_id"] for arm in found["arms"]} == {None}
        shown = re.sub("<style>.*</style>", "", page(found))
        for word in ("model", "Bundle", "Attempt", "played", "Guardrails", "popularity", "None"):
            assert word not in shown, word
        assert "&lt;new&gt;" in shown
        assert "<new>" not in shown
        assert "Arms are taken to have been allotted equal shares" in shown

    def test_withholds_the_decision_where_users_are_lost(self, folder: Folder) -> None:
        rows = table([*arm_of("control", 30, 100), *arm_of("new", 70, 300)])
        assert folder.judge(rows)["verdicts"][0]["decision"] == "decision withheld"
        shares = {"control": 0.25, "new": 0.75}
        assert folder.judge(rows, shares=shares)["sample_ratio"]["off"] is False

    @given(
        st.lists(
            st.tuples(
                st.sampled_from("uvwxyz"),
                st.sampled_from(["a", "b"]),
                st.integers(0, 9),
                st.integers(0, 1),
            ),
            max_size=20,
        ),
        st.data(),
    )
    @settings(deadline=None, max_examples=10)
    def test_is_the_same_in_whichever_order_the_rows_are(
        self, rows: list[Row], data: st.DataObject
    ) -> None:
        rows = [*rows, ("first", "a", 0, 1), ("second", "b", 9, 0)]
        shuffled = data.draw(st.permutations(rows))
        with TemporaryDirectory() as name:
            one, other = (
                Folder(Path(name)).judge(table(order), window_days=3) for order in (rows, shuffled)
            )
        assert one == other


class TestUsers:
    def test_count_once_with_the_first_exposure_and_any_success(self, folder: Folder) -> None:
        rows: list[Row] = [("u", "a", 5, 0), ("u", "a", 1, 1), ("u", "a", 9, 0), ("v", "b", 0, 0)]
        found = folder.judge(table(rows))
        assert counts(found) == {"a": (1, 1), "b": (0, 1)}
        assert found["experiment"]["last_settled"][:10] == "2024-03-02"

    def test_in_several_arms_are_left_out_and_counted(self, folder: Folder) -> None:
        rows = [*arm_of("a", 50, 150), *arm_of("b", 50, 150), ("a7", "b", 1, 1)]
        found = folder.judge(table(rows))
        assert counts(found) == {"a": (49, 149), "b": (50, 150)}
        assert "seen in several arms: 1 user (0.3%)." in notes(found)
        assert "more than a few" not in notes(found)
        found = folder.judge(table([*rows, ("b7", "a", 1, 1), ("b8", "a", 1, 1)]))
        assert "seen in several arms: 3 users (1.0%)." in notes(found)
        assert "Find out which before you act" in notes(found)

    def test_whose_window_has_not_passed_are_not_judged_yet(self, folder: Folder) -> None:
        rows: list[Row] = [
            ("u", "a", 0, 1),
            ("v", "b", 3, 1),
            ("w", "b", 3.1, 1),
            ("x", "a", 10, 0),
        ]
        found = folder.judge(table(rows), window_days=7)
        assert counts(found) == {"a": (1, 1), "b": (1, 1)}
        assert [arm["assigned"] for arm in found["arms"]] == [2, 2]
        assert found["experiment"]["window_days"] == 7
        assert "had not passed for 2 users" in notes(found)

    def test_all_count_where_outcomes_are_final(self, folder: Folder) -> None:
        found = folder.judge(table([("u", "a", 0, 1), ("v", "b", 300, 0)]))
        assert counts(found) == {"a": (1, 1), "b": (0, 1)}
        assert found["experiment"]["window_days"] is None
        assert "Each outcome is taken as final" in notes(found)


class TestOutcomesInATableOfTheirOwn:
    EXPOSURES = "\n".join(
        ["user_id,timestamp,experiment_id,variation_id"]
        + [f"{user},{day(1)},button,{arm}" for user, arm in ("a0", "b0", "c0", "d1", "e1")]
    )

    @pytest.mark.parametrize(("when", "success"), [(0.99, 0), (1, 1), (4, 1), (7.99, 1), (8, 0)])
    def test_count_from_the_first_exposure_to_the_end_of_the_window(
        self, folder: Folder, when: float, success: int
    ) -> None:
        outcomes = f"user_id,timestamp\na,{day(when)}\nsomebody,{day(30)}\n"
        found = folder.judge(self.EXPOSURES, outcomes, window_days=7)
        assert counts(found) == {"0": (success, 3), "1": (0, 2)}
        assert f"2 outcomes, {success} of them within the window" in notes(found)
        assert found["experiment"]["name"] == "button"

    def test_need_a_window(self, folder: Folder) -> None:
        with pytest.raises(InvalidData, match=r"how long after the first exposure.*--window-days"):
            folder.judge(self.EXPOSURES, "user_id,timestamp\n")

    def test_may_say_that_they_are_none(self, folder: Folder) -> None:
        outcomes = f"user,time,success\na,{day(1)},false\nd,{day(2)},true\nx,{day(9)},1\n"
        found = folder.judge(self.EXPOSURES, outcomes, window_days=7)
        assert counts(found) == {"0": (0, 3), "1": (1, 2)}

    def test_leave_no_doubt_which_ones_count(self, folder: Folder) -> None:
        exposures = table([("u", "a", 0, 1), ("v", "b", 0, 1)])
        with pytest.raises(InvalidData, match="outcomes of its own, in column 'outcome'"):
            folder.judge(exposures, f"user,time\nu,{day(1)}\n", window_days=7)
        with pytest.raises(InvalidData, match=r"no column for the outcome; .* with --outcomes"):
            folder.judge(self.EXPOSURES)


class TestRows:
    def test_that_cannot_be_used_are_put_aside_with_line_and_reasons(self, folder: Folder) -> None:
        good = table([("u", "a", 0, 1), ("v", "b", 0, 0)])
        found = folder.judge(f"{good},a,yesterday,2\nw,,{day(1)},\nx,a\ny,b,{day(2)},1\n")
        assert counts(found) == {"a": (1, 1), "b": (1, 2)}
        time = "time not a time (ISO 8601, or seconds or milliseconds since 1970)"
        assert folder.put_aside() == [
            (4, ["user missing", time, "outcome not 0 or 1"]),
            (5, ["arm missing", "outcome missing"]),
            (6, ["2 columns, not the 4 of the first line"]),
        ]
        assert "3 of 6 rows could not be used" in notes(found)
        assert str(folder.quarantine) in notes(found)

    def test_that_can_all_be_used_leave_no_file(self, folder: Folder) -> None:
        folder.judge(table([("u", "a", 0, 1), ("v", "b", 0, 0)]))
        assert not folder.quarantine.exists()

    @pytest.mark.parametrize(
        "time",
        ["2024-03-01T12:00:00Z", "2024-03-01 12:00:00 UTC", "2024-03-01 12:00:00", "1709294400"],
    )
    def test_have_times_as_warehouses_write_them(self, folder: Folder, time: str) -> None:
        found = folder.judge(f"{HEADER}\nu,a,{time},1\nv,b,{time},0\n")
        assert found["experiment"]["first_settled"] == format_time(START)

    @pytest.mark.parametrize(
        ("outcome", "success"), [("1", 1), ("true", 1), ("TRUE", 1), ("0", 0), ("False", 0)]
    )
    def test_have_outcomes_of_several_spellings(
        self, folder: Folder, outcome: str, success: int
    ) -> None:
        found = folder.judge(f"{HEADER}\nu,a,{day(0)},{outcome}\nv,b,{day(0)},0\n")
        assert counts(found)["a"] == (success, 1)

    def test_may_be_json_lines(self, tmp_path: Path) -> None:
        lines = [
            {"timestamp": day(0), "treatmentKey": "__t1__", "entityId": 7, "converted": True},
            {"timestamp": day(0), "treatmentKey": "__c__", "entityId": "8", "converted": False},
        ]
        file = tmp_path / "1_x.jsonl"
        file.write_text("\n".join(map(json.dumps, lines)))
        found = judge(file, quarantine=tmp_path / "aside")
        assert counts(found) == {"__c__": (0, 1), "__t1__": (1, 1)}
        assert found["experiment"]["name"] == "1_x"

    def test_may_be_parquet(self, tmp_path: Path) -> None:
        """With numbers that a gap has made floats, and times of any column's name."""
        columns = {
            "USER_ID": [1.0, 2.0, None],
            "variation_id": [0, 1, 1],
            "time": pa.array([START * 1_000] * 3, pa.timestamp("us")),
            "converted": [True, False, True],
        }
        pq.write_table(pa.table(columns), tmp_path / "a.parquet")
        found = judge(tmp_path / "a.parquet", quarantine=tmp_path / "aside")
        assert counts(found) == {"0": (1, 1), "1": (0, 1)}
        assert found["experiment"]["first_settled"] == format_time(START)
        assert "1 of 3 rows could not be used: USER_ID missing (1)" in notes(found)


class TestColumns:
    def test_may_be_called_anything(self, folder: Folder) -> None:
        columns = {"user": "who", "arm": "version", "outcome": "bought"}
        rows = f"who,version,bought,time,user\nu,a,1,{day(0)},x\nv,b,0,{day(0)},x\n"
        assert counts(folder.judge(rows, columns=columns)) == {"a": (1, 1), "b": (0, 1)}

    def test_of_one_table_need_not_be_those_of_the_other(self, folder: Folder) -> None:
        exposures = f"device,variant,time\nu,a,{day(0)}\nv,b,{day(0)}\n"
        outcomes = f"user_id,at\nu,{day(1)}\nx,{day(9)}\n"
        columns = {"user": "device", "time": "at"}
        found = folder.judge(exposures, outcomes, columns=columns, window_days=7)
        assert counts(found) == {"a": (1, 1), "b": (0, 1)}

    @pytest.mark.parametrize(
        ("columns", "words"),
        [
            ({}, "no column for the arm, nor for the time; its columns are user, when, outcome: "),
            ({"arm": "wen"}, "no column 'wen', nor for the arm, nor for the time"),
            ({"when": "time"}, "'when' is none of the fields user, arm, time, outcome, experiment"),
        ],
    )
    def test_that_are_missing_are_named_beside_those_there(
        self, folder: Folder, columns: dict[str, str], words: str
    ) -> None:
        with pytest.raises(InvalidData, match=words):
            folder.judge("user,when,outcome\nu,1,1\n", columns=columns)


class TestArms:
    @pytest.mark.parametrize(
        ("arms", "control", "why"),
        [
            ("new control", "control", "by its name"),
            ("B A", "A", "by its name"),
            ("1 0 2", "0", "by its name"),
            ("__t1__ __c__", "__c__", "by its name"),
            ("red blue", "blue", "the first by name"),
        ],
    )
    def test_one_is_the_control_and_it_is_said_why(
        self, folder: Folder, arms: str, control: str, why: str
    ) -> None:
        found = folder.judge(table((f"u{arm}", arm, 0, 1) for arm in arms.split()))
        assert found["verdicts"][0]["control"] == control
        assert f"The control is {control}, {why}" in notes(found)

    def test_another_control_may_be_named(self, folder: Folder) -> None:
        rows = table([("u", "control", 0, 1), ("v", "new", 0, 1)])
        found = folder.judge(rows, control="new")
        assert found["verdicts"][0]["control"] == "new"
        assert "The control is" not in notes(found)
        with pytest.raises(InvalidData, match="no arm old; it has control, new"):
            folder.judge(rows, control="old")

    def test_without_a_share_are_left_out_and_counted(self, folder: Folder) -> None:
        rows = [*arm_of("a", 3, 9), *arm_of("b", 5, 9), ("a1", "override", 0, 1)]
        found = folder.judge(table(rows), shares={"a": 0.5, "b": 0.5})
        assert counts(found) == {"a": (3, 9), "b": (5, 9)}
        assert "does not name are left out: override (1)." in notes(found)

    @pytest.mark.parametrize(
        ("shares", "words"),
        [
            ({"a": 0.5, "c": 0.5}, "no arm c; it has a, b"),
            ({"a": 0.5, "b": 0.4}, "must sum to 1"),
            ({"a": 1.5, "b": -0.5}, "must be above 0"),
            ({"a": 1.0}, "1 arm, a; there must be 2 to 8"),
        ],
    )
    def test_have_shares_that_make_sense(
        self, folder: Folder, shares: dict[str, float], words: str
    ) -> None:
        with pytest.raises(InvalidData, match=words):
            folder.judge(table([("u", "a", 0, 1), ("v", "b", 0, 1)]), shares=shares)

    def test_are_as_many_as_can_be_compared(self, folder: Folder) -> None:
        with pytest.raises(InvalidData, match=r"12 arms, a0, .*, \.\.\.; there must be 2 to 8"):
            folder.judge(table((f"u{n}", f"a{n}", 0, 1) for n in range(12)))
        with pytest.raises(InvalidData, match="no row that can be used"):
            folder.judge(f"{HEADER}\nu,a,never,1\n")


class TestExperiments:
    ROWS = "\n".join(
        ["user,arm,time,outcome,experiment_id"]
        + [f"{name}{arm},{arm},{day(0)},1,{name}" for name in ("one", "two") for arm in "ab"]
    )

    def test_of_several_one_is_named(self, folder: Folder) -> None:
        found = folder.judge(self.ROWS, experiment="two")
        assert found["experiment"]["name"] == "two"
        assert counts(found) == {"a": (1, 1), "b": (1, 1)}

    def test_those_there_are_named_where_none_or_another_is(self, folder: Folder) -> None:
        with pytest.raises(InvalidData, match="several experiments, one, two: name one with --exp"):
            folder.judge(self.ROWS)
        with pytest.raises(InvalidData, match="no experiment 'three'; it has one, two"):
            folder.judge(self.ROWS, experiment="three")

    def test_without_a_name_is_called_as_one_says(self, folder: Folder) -> None:
        rows = table([("u", "a", 0, 1), ("v", "b", 0, 1)])
        assert folder.judge(rows)["experiment"]["name"] == "exposures"
        assert folder.judge(rows, experiment="spring")["experiment"]["name"] == "spring"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


class TestTheCommand:
    def test_prints_the_verdict_then_what_was_made_of_the_tables(self, folder: Folder) -> None:
        rows = [*arm_of("control", 30, 100), *arm_of("new", 70, 110)]
        file = folder.write("spring.csv", table(rows))
        result = run("report", "--from", file, "--shares", "control=0.5,new=0.5")
        assert result.exit_code == 0, result.stderr
        lines = result.stdout.splitlines()
        assert lines[0].startswith("new is better: the evidence is ")
        assert lines[1] == "The control is control, by its name; --control names another."
        new = next(line for line in lines if line.startswith(" new "))
        assert new.split()[1:5] == ["50%", "110", "70", "0.636"]
        assert lines[-1].startswith(
            "spring, assigned elsewhere, fixed: 210 users, exposed 2024-03-01"
        )

    def test_saves_the_page_and_the_report(self, folder: Folder) -> None:
        file = folder.write("spring.csv", table([*arm_of("a", 3, 9), *arm_of("b", 5, 9)]))
        html, answer = folder.path / "a.html", folder.path / "a.json"
        assert run("report", "--from", file, "--html", html, "--json", answer).exit_code == 0
        report = json.loads(answer.read_text())
        assert counts(report) == {"a": (3, 9), "b": (5, 9)}
        assert html.read_text(encoding="utf-8") == page(report)

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--shares", "a=1"],
            ["--outcomes", "a.csv"],
            ["--from", "a.csv", "--live"],
            ["--from", "a.csv", "--shares", "a=half"],
            ["--from", "a.csv", "--columns", "user"],
        ],
    )
    def test_refuses_options_that_mean_nothing(self, arguments: Sequence[str]) -> None:
        assert run("report", *arguments).exit_code == 2

    def test_says_in_one_line_what_cannot_be_judged(self, tmp_path: Path) -> None:
        result = run("report", "--from", tmp_path / "nowhere.csv")
        assert result.exit_code == 1
        assert re.fullmatch(r"segue: .*nowhere\.csv'?\n", result.stderr)


DOCUMENTED = re.findall(
    r"```sh\n(segue report --from[^`]*)```\n\n```text\n(.*?)```",
    (ROOT / "docs/experiments.md").read_text("utf-8"),
    re.DOTALL,
)


@pytest.mark.parametrize(("command", "answer"), DOCUMENTED)
def test_the_documented_commands_answer_what_is_documented(
    command: str, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(command.replace("\\\n", " "))
    assert program == "segue"
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    printed = [line.rstrip() for line in result.stdout.splitlines()]
    assert [line for line in printed if line] == [
        line.rstrip() for line in answer.splitlines() if line
    ]
    assert (tmp_path / "page.html").exists() == ("--html" in arguments)


def test_both_services_are_documented() -> None:
    assert len(DOCUMENTED) == 2
