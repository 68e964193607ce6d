"""``tests/suppressions.yaml``: what checkov is wrong about, and no more."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.stacks import checked, suppressed, suppressions

ROOT = Path(__file__).parents[2]


def test_each_is_of_resources_that_there_are_and_has_its_reason() -> None:
    resources = checked()["Resources"]
    for suppression in suppressions().values():
        assert suppression["reason"].endswith(".")
        assert [it for it in suppression["resources"] if it not in resources] == []


def test_checkov_finds_what_is_suppressed_and_nothing_else(tmp_path: Path) -> None:
    checkov = ROOT / ".venv-checkov/bin/checkov"
    if not checkov.is_file():
        pytest.skip("no checkov; `make .venv-checkov/done` installs it for itself")
    template = tmp_path / "template.json"
    template.write_text(json.dumps(checked()), encoding="utf-8")
    options = ["--framework=cloudformation", "--skip-download", "--output=json", "--file", template]
    ended = subprocess.run([checkov, *options], capture_output=True, text=True)
    failed = json.loads(ended.stdout)["results"]["failed_checks"]
    assert {(it["check_id"], it["resource"].rpartition(".")[2]) for it in failed} == {
        (check, name) for check, it in suppressions().items() for name in it["resources"]
    }


def test_a_resource_says_itself_what_is_suppressed_of_it() -> None:
    resources = suppressed()["Resources"]
    (skip,) = resources["DeadLetters"]["Metadata"]["checkov"]["skip"]
    assert (skip["id"], skip["comment"]) == ("CKV_AWS_27", suppressions()["CKV_AWS_27"]["reason"])
    # What else a resource says of itself stays.
    assert resources["PredictFunction"]["Metadata"]["BuildMethod"] == "makefile"
