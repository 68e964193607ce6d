"""From the template to an API that answers: built, deployed, and filled with data."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from infra.deployed import sam, stack
from infra.importing import DynamoTarget, import_folder
from infra.importing.target import patient_client
from infra.local.environment import point_aws_at
from infra.process import interruptible
from infra.progress import progress_bars
from segue.adapters.aws import dynamodb_client
from segue.domain.times import format_time
from segue.domain.users import json_id
from segue.models.bundle import Bundle


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """What to deploy, and where: its port of 127.0.0.1, and the folder of its build and logs.

    ``build`` names what an earlier ``sam build`` left; None builds anew. Where the deployed stack
    is, is written to ``json_file``, once it is complete.
    """

    bundle: Path
    state: Path
    data: Path | None = None
    port: int = 4567
    build: Path | None = None
    json_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Deployed:
    """A stack: the address of its API, the emulator's, and CloudFormation's outputs."""

    url: str
    endpoint: str
    outputs: dict[str, str]


def serve_until_stopped(options: DeployOptions, console: Console) -> None:
    """Deploy, and let it answer until SIGINT or SIGTERM; then nothing of it is left.

    Raises BundleError, InvalidData or LocalStackError, with nothing left running.
    """
    with interruptible():
        try:
            _serve(options, console)
        except KeyboardInterrupt:
            console.print("Stopped; what it held is gone.")


def _serve(options: DeployOptions, console: Console) -> None:
    stack.check_platform()
    bundle = Bundle.open(options.bundle)
    options.state.mkdir(parents=True, exist_ok=True)
    with stack.running(options.state / "emulator.log", options.port) as emulator:
        point_aws_at(emulator.endpoint)
        deployed = _deploy(options, bundle, emulator.endpoint, console)
        if options.data:
            _import(options.data, deployed, console)
        if options.json_file:
            options.json_file.write_text(json.dumps(asdict(deployed), indent=2) + "\n")
        user = _example_user(deployed.outputs["UsersTable"])
        console.print(_WHAT_TO_TRY.format(user=user, stack=sam.STACK, **asdict(deployed)))
        emulator.wait()


def _deploy(options: DeployOptions, bundle: Bundle, endpoint: str, console: Console) -> Deployed:
    folder = options.build
    if folder is None:
        folder = options.state / "build"
        console.print(f"sam build          into {folder}")
        sam.build(folder, bundle.path, options.state / "build.log")
    console.print(f"sam deploy         {sam.STACK}, onto {endpoint}")
    parameters = {"Stage": "dev", "AsOf": format_time(bundle.manifest.cutoff)}
    outputs = sam.deploy(folder, parameters, options.state / "deploy.log")
    return Deployed(_api_url(outputs["ApiUrl"], endpoint), endpoint, outputs)


def _api_url(on_aws: str, endpoint: str) -> str:
    """Where the API of https://ID.execute-api.REGION.amazonaws.com/STAGE answers here."""
    address = urlsplit(on_aws)
    return f"{endpoint}/_aws/execute-api/{address.netloc.partition('.')[0]}{address.path}"


def _import(data: Path, deployed: Deployed, console: Console) -> None:
    outputs = deployed.outputs
    target = DynamoTarget(patient_client(), outputs["SessionsTable"], outputs["UsersTable"])
    with progress_bars(console) as report:
        summary = import_folder(data, target, progress=report)
    console.print(
        f"Data               {summary.events:,} events of {summary.users:,} users imported"
    )


def _example_user(table: str) -> str:
    """Whichever user is found first, as JSON."""
    found = dynamodb_client().scan(TableName=table, Limit=1)["Items"]
    return json.dumps(json_id(found[0]["user_id"]["S"] if found else "429"))


_WHAT_TO_TRY = """
The stack is deployed. Try:

  .venv/bin/segue open --url {url}    # the explorer, in the browser
  curl {url}/models/1/predict -d '{{"user_id": {user}}}'    # autoencoder
  curl {url}/models/2/predict -d '{{"user_id": {user}}}'    # classifier
  curl {url}/perform_ab_test  -d '{{"user_id": {user}}}'
  curl {url}/ab_test/results
  aws --endpoint-url {endpoint} cloudformation describe-stack-resources --stack-name {stack}

Ctrl-C stops it.
"""
