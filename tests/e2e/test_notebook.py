"""docs/day.ipynb runs, on a small data set, with a service that it starts itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.process import free_port
from tests.e2e.conftest import ENVIRONMENT, ROOT

# It trains, evaluates and simulates.
PATIENCE = 600

pytestmark = pytest.mark.local


def test_every_cell_runs(tmp_path: Path) -> None:
    settings = {
        "SEGUE_DAY_LISTENERS": "40",
        "SEGUE_DAY_TRACKS": "600",
        "SEGUE_DAY_PORTS": f"{free_port()} {free_port()}",
    }
    out = tmp_path / "day.ipynb"
    ended = subprocess.run(
        [sys.executable, "-m", "tests.notebook", "docs/day.ipynb", str(out)],
        cwd=ROOT,
        env=ENVIRONMENT | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert ended.returncode == 0, ended.stderr
    cells = json.loads(out.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    # A command that fails does not stop a notebook.
    lines = [line for output in outputs for line in output.get("text", ())]
    assert not [line for line in lines if line.startswith("segue: ")]
    assert any(line.startswith("records.parquet: 40 records") for line in lines)
