"""The command line: one clear line for what is wrong, and a page that lists all there is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import segue
from infra.cli import app

ROOT = Path(__file__).parents[2]
WRITE_PAGE = ("-m", "typer", "infra.cli", "utils", "docs", "--name", "segue", "--title", "Commands")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def assert_one_line(result: Result, *words: str) -> None:
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("segue: ")
    for word in words:
        assert word in line


def test_says_its_version() -> None:
    assert run("--version").stdout.strip() == segue.__version__


def test_refuses_unknown_settings() -> None:
    result = run("serve", "--bundel", "x")
    assert result.exit_code == 2
    assert "--bundel" in result.stderr


def test_imports_nothing_heavy_for_its_help() -> None:
    script = (
        "import sys; from infra.cli import app\n"
        "try: app(['--help'])\n"
        "finally: assert not {'torch', 'duckdb', 'boto3', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=ROOT)


def test_every_command_and_option_is_documented() -> None:
    page = subprocess.run(
        [sys.executable, *WRITE_PAGE],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    ).stdout
    documented = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    assert documented.strip() == page.strip(), "write the page anew: see infra/cli/__init__.py"


class TestData:
    def test_demo_writes_a_folder_that_check_reads(self, tmp_path: Path) -> None:
        folder = tmp_path / "demo"
        written = run("data", "demo", folder, "--listeners", "20", "--tracks", "600", "--json", "-")
        assert written.exit_code == 0
        read = run("data", "check", folder, "--json", tmp_path / "summary.json")
        assert read.exit_code == 0
        summary = json.loads((tmp_path / "summary.json").read_text())
        assert summary["users"] == json.loads(written.stdout)["listeners"] == 20

    def test_demo_refuses_a_folder_that_holds_something(self, tmp_path: Path) -> None:
        (tmp_path / "mine").touch()
        assert_one_line(run("data", "demo", tmp_path), str(tmp_path))

    def test_check_names_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        assert_one_line(run("data", "check", tmp_path / "nowhere"), "nowhere")


class TestTrain:
    def test_names_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        result = run("train", "--data", tmp_path / "nowhere", "--out", tmp_path / "bundle")
        assert_one_line(result, "nowhere")

    def test_refuses_a_cutoff_that_is_no_time(self, tmp_path: Path) -> None:
        result = run("train", "--data", tmp_path, "--cutoff", "yesterday")
        assert result.exit_code == 2
        assert "yesterday" in result.stderr


class TestImport:
    @pytest.mark.parametrize(
        "arguments",
        [[], ["--data", "x", "--sql", "y"], ["--sql", "y"], ["--data", "x", "--users-sql", "y"]],
    )
    def test_wants_one_source(self, arguments: list[str]) -> None:
        assert_one_line(run("import", *arguments), "--data", "--sql", "--url")

    def test_wants_a_target(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SESSIONS_TABLE", raising=False)
        assert_one_line(run("import", "--data", "x"), "--sessions-table", "--endpoint-url")


class TestServe:
    def test_names_a_bundle_that_is_not_there(self, tmp_path: Path) -> None:
        result = run("serve", "--bundle", tmp_path / "nowhere", "--state", tmp_path / "state")
        assert_one_line(result, "nowhere")

    def test_names_a_data_folder_that_cannot_be_read(
        self, tmp_path: Path, bundle_path: Path
    ) -> None:
        options = f"--bundle {bundle_path} --data {tmp_path}/nowhere --state {tmp_path}/state"
        assert_one_line(run("serve", *options.split()), "nowhere")
