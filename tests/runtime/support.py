"""What the tests of the real runtime share."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue.adapters.archive import S3Archive
from segue.adapters.dynamodb import DynamoUserStore
from segue.adapters.experiments import S3ExperimentStore
from segue.adapters.exposures import DynamoResultStore
from segue.adapters.sessions import DynamoSessionStore
from tests.runtime.emulator import Function, RunningFunction

ROOT = Path(__file__).parents[2]

Deploy = Callable[[str], Function]
Start = Callable[[Function], RunningFunction]


@dataclass(frozen=True, slots=True)
class Stack:
    """Where the functions find tables and bucket, and the same stores for a test to fill."""

    settings: Mapping[str, str]
    names: Mapping[str, str]
    sessions: DynamoSessionStore
    users: DynamoUserStore
    experiments: S3ExperimentStore
    results: DynamoResultStore
    archive: S3Archive


def sample(name: str) -> dict[str, Any]:
    """The sample event of that name, as ``sam local invoke`` takes it."""
    event: dict[str, Any] = json.loads((ROOT / f"infra/events/{name}.json").read_bytes())
    return event


def request(name: str, **body: object) -> dict[str, Any]:
    """The sample event with another body."""
    return {**sample(name), "body": json.dumps(body)}


def sam_build(
    sam: Path, folder: Path, bundle: Path, *resources: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """``sam build`` with this bundle, of one resource where one is named."""
    template = ("--template", str(ROOT / "template.yaml"))
    return subprocess.run(
        [str(sam), "build", *resources, *template, "--build-dir", str(folder)],
        env={
            **os.environ,
            "AWS_DEFAULT_REGION": "us-east-1",
            "PYTHON": sys.executable,
            "SAM_CLI_TELEMETRY": "0",
            "SEGUE_BUNDLE": str(bundle),
            **variables,
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
