"""Where what we run comes from: locked, hashed, pinned, audited, listed."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import audit, sbom
from infra.audit import FINE, UNKNOWN, VULNERABLE
from infra.locks import PYPI, parted

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
LISTS = [
    "infra/deployed/requirements.txt",
    "infra/requirements.txt",
    "layers/runtime/requirements.txt",
    "layers/stats/requirements.txt",
    "tests/checkov.txt",
    "tests/requirements.txt",
    "tests/runtime/requirements.txt",
    "tests/sam.txt",
    "tests/spark.txt",
    "training/peers/requirements.txt",
    "training/peers/sansa.txt",
    "training/requirements.txt",
    "training/torch-cpu.txt",
    "training/torch-pypi.txt",
]
FINDING = {"id": "PYSEC-1", "fix_versions": ["2.0", "1.9"]}
KNOWN = {"name": "numpy", "version": "1.0", "vulns": []}
SKIPPED = {"name": "scipy", "version": "1.0", "skip_reason": "Dependency not found on PyPI"}


def requirements(text: str) -> list[str]:
    """What a list says of each package."""
    return [it for it in re.split(r"\n(?=\S)", text.strip()) if not it.startswith("#")]


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


class TestLocks:
    @pytest.mark.parametrize("name", LISTS)
    def test_pin_the_bytes_of_every_package(self, name: str) -> None:
        for requirement in requirements(text_of(name)):
            assert re.match(r"[A-Za-z0-9._-]+==\S+", requirement), requirement
            assert "--hash=sha256:" in requirement, requirement

    @pytest.mark.parametrize("name", LISTS)
    def test_name_no_index(self, name: str) -> None:
        assert "index-url" not in text_of(name)
        assert "://" not in text_of(name)

    def test_are_those_that_are_made_of_what_is_asked_for(self) -> None:
        asked = {path.with_suffix(".txt") for path in ROOT.glob("*/*.in")}
        asked |= {path.with_suffix(".txt") for path in ROOT.glob("*/*/*.in")}
        made = {ROOT / name for name in LISTS} - {PYPI, PYPI.with_name("torch-cpu.txt")}
        assert {path for path in asked if ".venv" not in str(path)} == made

    def test_every_installation_of_a_list_demands_hashes(self) -> None:
        makefiles = ["Makefile", "layers/wheels.mk"]
        texts = [text_of(name) for name in makefiles] + [path.read_text() for path in WORKFLOWS]
        joined = "\n".join(texts).replace("\\\n", " ")
        commands = re.findall(r"(?:pip|PIP\)) .*--requirement.*", joined)
        assert commands
        for command in commands:
            assert "--require-hashes" in command or "$(HASHED)" in command, command
        assert "HASHED := $(INSTALL) --require-hashes" in joined
        for name in ("training/peers/environment.py", "tests/runtime/conftest.py"):
            assert '"--require-hashes"' in text_of(name)


class TestLockOfPyTorch:
    def test_is_apart_with_cudas_libraries(self) -> None:
        lock, torch = parted(
            "numpy==2.0 \\\n    --hash=sha256:aa\nnvidia-cublas==13 \\\n    --hash=sha256:bb\n"
            "torch==2.13.0 \\\n    --hash=sha256:cc\ntqdm==4 \\\n    --hash=sha256:dd\n"
        )
        assert [line.split("==")[0] for line in requirements(lock)] == ["numpy", "tqdm"]
        assert requirements(torch)[1] == "torch==2.13.0 \\\n    --hash=sha256:cc"

    def test_is_of_one_version_whichever_build(self) -> None:
        (asked,) = re.findall(r"(?m)^torch==(\S+)", text_of("training/requirements.in"))
        for build, suffix in (("cpu", "+cpu"), ("pypi", "")):
            assert f"torch=={asked}{suffix} \\\n" in text_of(f"training/torch-{build}.txt")
        for folder in ("training", "training/peers"):
            assert "\ntorch==" not in text_of(f"{folder}/requirements.txt")


class TestWorkflows:
    @pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
    def test_name_each_action_by_its_bytes_and_for_people(self, path: Path) -> None:
        uses = re.findall(r"uses: (\S+)(.*)$", path.read_text(), re.MULTILINE)
        for action, comment in uses:
            if not action.startswith("./"):
                assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), action
                assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action

    @pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
    def test_install_and_build_without_credentials(self, path: Path) -> None:
        """Nothing that a package brings along runs where there are credentials."""
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            steps = [f"{it.get('uses', '')} {it.get('run', '')}" for it in job.get("steps", [])]
            assumed = [place for place, it in enumerate(steps) if "aws-credentials" in it]
            for step in steps[assumed[0] :] if assumed else []:
                assert "pip" not in step
                assert "sam build" not in step
                assert "make" not in step

    def test_build_once_for_all_stages(self) -> None:
        jobs = yaml.safe_load(text_of(".github/workflows/deploy.yml"))["jobs"]
        assert "id-token" not in jobs["build"]["permissions"]
        digests = {jobs[stage]["with"]["digest"] for stage in ("staging", "prod")}
        assert digests == {"${{ needs.build.outputs.digest }}"}
        assert jobs["prod"]["needs"] == ["build", "staging"]
        stage = text_of(".github/workflows/stage.yml")
        assert "sam build" not in stage
        assert stage.index("sha256sum --check") < stage.index("tar --extract")

    def test_fetch_models_only_to_verify_them(self) -> None:
        job = yaml.safe_load(text_of(".github/workflows/deploy.yml"))["jobs"]["models"]
        steps = [f"{it.get('uses', '')} {it.get('run', '')}" for it in job["steps"]]
        (verified,) = (place for place, it in enumerate(steps) if "kms verify" in it)
        (handed_on,) = (place for place, it in enumerate(steps) if "upload-artifact" in it)
        assert verified < handed_on

    @pytest.mark.parametrize(("protected", "status"), [("True", 0), ("False", 1)])
    def test_refuse_a_production_that_can_be_deleted_by_mistake(
        self, tmp_path: Path, protected: str, status: int
    ) -> None:
        workflow = yaml.safe_load(text_of(".github/workflows/stage.yml"))
        (step,) = (it for it in workflow["jobs"]["deploy"]["steps"] if "can be deleted" in str(it))
        assert step["if"] == "inputs.stage == 'prod'"
        aws = tmp_path / "aws"
        aws.write_text(f"#!/bin/sh\necho {protected}\n")
        aws.chmod(0o755)
        path = f"{tmp_path}:/bin:/usr/bin"
        ended = subprocess.run(["bash", "-e", "-c", step["run"]], env={"PATH": path})
        assert ended.returncode == status

    def test_add_who_is_told_of_alarms_to_the_parameters_of_the_stage(self, tmp_path: Path) -> None:
        workflow = yaml.safe_load(text_of(".github/workflows/stage.yml"))
        steps = {it.get("name"): it for it in workflow["jobs"]["deploy"]["steps"]}
        config = tmp_path / "samconfig.toml"
        config.write_text(text_of("samconfig.toml"))
        variables = {"STAGE": "prod", "ALARM_EMAIL": "ops@example.org"}
        command = ["bash", "-c", steps["Say who is told of alarms"]["run"]]
        subprocess.run(command, cwd=tmp_path, env=os.environ | variables, check=True)

        def given(text: str, stage: str) -> list[str]:
            parameters = tomllib.loads(text)[stage]["deploy"]["parameters"]
            overrides: list[str] = parameters["parameter_overrides"]
            return overrides

        before = text_of("samconfig.toml")
        assert given(config.read_text(), "prod") == [
            *given(before, "prod"),
            "AlarmEmail=ops@example.org",
        ]
        assert given(config.read_text(), "staging") == given(before, "staging")


class TestAudit:
    def test_of_every_package_without_a_finding_is_fine(self) -> None:
        status, (line,) = audit.judge([KNOWN, KNOWN])
        assert (status, line) == (FINE, "2 packages audited: none has a known vulnerability")

    def test_names_what_is_vulnerable_and_what_mends_it(self) -> None:
        status, lines = audit.judge([KNOWN | {"vulns": [FINDING]}, SKIPPED])
        assert status == VULNERABLE
        assert lines == ["numpy 1.0: PYSEC-1, mended in 2.0 or 1.9"]

    def test_of_a_part_is_none(self) -> None:
        status, (line,) = audit.judge([KNOWN, SKIPPED])
        assert status == UNKNOWN
        assert line.startswith("NOT AUDITED: 1 of 2 packages")

    def test_of_nothing_is_none(self) -> None:
        status, (line,) = audit.judge([])
        assert status == UNKNOWN
        assert "no package" in line

    @pytest.mark.parametrize(
        ("printed", "status"),
        [
            (json.dumps({"dependencies": [KNOWN]}), FINE),
            (json.dumps({"dependencies": [SKIPPED]}), UNKNOWN),
            ("", UNKNOWN),
        ],
    )
    def test_reads_what_the_tool_prints(
        self, monkeypatch: pytest.MonkeyPatch, printed: str, status: int
    ) -> None:
        def answer(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
            assert "--require-hashes" in command
            return subprocess.CompletedProcess(command, 1, printed, "ConnectionError: no route\n")

        monkeypatch.setattr(subprocess, "run", answer)
        found, (line,) = audit.audit(audit.LISTS)
        assert found == status
        assert printed or "NOT AUDITED: pip-audit gave no answer: ConnectionError" in line

    @pytest.mark.parametrize(
        ("status", "passes"), [(FINE, True), (UNKNOWN, True), (VULNERABLE, False), (2, False)]
    )
    def test_may_be_impossible_on_a_machine_without_advisories(
        self, status: int, passes: bool
    ) -> None:
        """But not before a deployment: there the workflow runs ``make audit``."""
        line = text_of(".ci/run").strip().splitlines()[-1]
        command = line.replace(".venv/bin/python -m infra.audit", f"(exit {status})")
        assert command != line
        ended = subprocess.run(["bash", "-e", "-c", command], check=False)
        assert (ended.returncode == 0) is passes
        assert yaml.safe_load(text_of(".github/workflows/ci.yml"))["jobs"]["test"]["steps"][-1] == {
            "run": "make audit"
        }

    def test_is_of_all_that_the_layers_are_built_of(self) -> None:
        built = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("layers/*/*.txt")}
        assert set(audit.LISTS) == built


class TestComponents:
    @pytest.fixture
    def build(self, tmp_path: Path) -> Path:
        """What ``sam build`` leaves, in small."""
        package = tmp_path / "RuntimeLayer/python/typing_extensions-4.16.0.dist-info"
        package.mkdir(parents=True)
        (package / "METADATA").write_text("Name: typing_extensions\nVersion: 4.16.0\n")
        models = tmp_path / "ModelsLayer/bundle"
        models.mkdir(parents=True)
        (models / "manifest.json").write_text('{"version": "0123456789ab"}')
        return tmp_path

    def test_are_the_packages_and_the_models(self, build: Path) -> None:
        sbom.main(build, build / "sbom.json")
        listed = json.loads((build / "sbom.json").read_text())
        assert listed["bomFormat"] == "CycloneDX"
        found = {it["name"]: (it["type"], it["version"]) for it in listed["components"]}
        assert found == {
            "typing-extensions": ("library", "4.16.0"),
            "segue-bundle": ("machine-learning-model", "0123456789ab"),
        }
        (package,) = (it for it in listed["components"] if it["type"] == "library")
        assert package["purl"] == "pkg:pypi/typing-extensions@4.16.0"
        assert package["properties"] == [{"name": "segue:layer", "value": "RuntimeLayer"}]

    def test_of_nothing_that_was_built_are_refused(self, tmp_path: Path) -> None:
        command = [sys.executable, "infra/sbom.py", str(tmp_path), str(tmp_path / "sbom.json")]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == 1
        assert "run `sam build` first" in ended.stderr
