"""SAM's own command line: it builds and deploys the template as it is."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import boto3

from infra.deployed.stack import ROOT
from infra.local.environment import REGION
from infra.process import LocalStackError

# As samconfig.toml calls the stack of its default stage.
STACK = "segue-dev"
TEMPLATE = "template.yaml"


def build(folder: Path, bundle: Path, log: Path) -> None:
    """Leave the functions and layers, with this bundle, and the template to deploy in the folder.

    Raises LocalStackError.
    """
    template = str(ROOT / TEMPLATE)
    arguments = ["build", "--template", template, "--build-dir", str(folder.absolute())]
    environment = {
        "AWS_DEFAULT_REGION": REGION,
        "PYTHON": sys.executable,
        "SEGUE_BUNDLE": str(bundle.absolute()),
    }
    _run(arguments, log, environment)


def deploy(folder: Path, parameters: Mapping[str, str], log: Path) -> dict[str, str]:
    """Deploy what was built there to where this process finds AWS; the outputs of the stack.

    Beside the parameters, everything is as samconfig.toml says. Raises LocalStackError.
    """
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    template = str(folder.absolute() / TEMPLATE)
    arguments = ["deploy", "--template-file", template, "--no-confirm-changeset"]
    # SAM looks this often, in seconds, whether the stack is there.
    environment = {"SAM_CLI_POLL_DELAY": "1"}
    _run([*arguments, "--parameter-overrides", *overrides], log, environment)
    (stack,) = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _run(arguments: list[str], log: Path, environment: dict[str, str]) -> None:
    config = ["--config-file", str(ROOT / "samconfig.toml")]
    with log.open("w") as output:
        ended = subprocess.run(  # noqa: S603  # nothing here comes from outside
            [_program(), *arguments, *config],
            cwd=ROOT,
            env=os.environ | {"SAM_CLI_TELEMETRY": "0"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    if ended.returncode:
        reason = log.read_text().rstrip().rpartition("\n")[2].removeprefix("Error: ")
        raise LocalStackError(f"`sam {arguments[0]}` failed, see {log}: {reason}")


def _program() -> str:
    """SAM in its own environment, or on the PATH."""
    own = ROOT / ".venv-sam" / "bin" / "sam"
    found = str(own) if own.is_file() else shutil.which("sam")
    if found is None:
        raise LocalStackError("no SAM on the PATH; `make .venv-sam/done` installs it for itself")
    return found
