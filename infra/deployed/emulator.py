"""The child process that is AWS for the deployed stack: ``python emulator.py DESCRIPTOR``.

Runs under the functions' own Python, in an environment of its own, and so imports of the project
only what needs nothing else. The descriptor is that of a socket which listens already. It lives as
long as its standard input stays open, and so never outlives its parent.

The emulator is MiniStack. What of Lambda and CloudFormation it lacks is added here.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack import app  # type: ignore[import-untyped]
from ministack.core import lambda_runtime  # type: ignore[import-untyped]
from ministack.services import lambda_svc  # type: ignore[import-untyped]
from ministack.services.cloudformation import (  # type: ignore[import-untyped]
    changesets,
    engine,
    provisioners,
)

sys.path.append(str(Path(__file__).parents[2]))
from infra.loops import expand

# Of these there is nothing to emulate: no request of the API's meets them. They get a name, and
# that is all. Any other type that the emulator lacks fails the deployment, and so comes to notice.
NAMES_ONLY = (
    "AWS::Glue::Database",
    "AWS::Glue::Table",
)

Variables = dict[str, str]


class FunctionProcess(lambda_runtime.Worker):  # type: ignore[misc]
    """A function's process, with an /opt as on Lambda and an endpoint to find the stores at."""

    def __init__(self, name: str, config: Mapping[str, Any], code: bytes) -> None:
        folder = opt(tuple(layer["Arn"] for layer in config.get("Layers", ())))
        variables = config.get("Environment", {}).get("Variables", {})
        environment = {"Variables": on_this_machine(variables, folder)}
        super().__init__(name, {**config, "Environment": environment, "Layers": []}, code)

    def invoke(self, event: dict[str, Any], request_id: str) -> dict[str, Any]:
        """The answer, with an empty text for an absent body: the gateway here fails without."""
        answer: dict[str, Any] = super().invoke(event, request_id)
        result = answer.get("result")
        if isinstance(result, dict) and result.get("body", "") is None:
            result["body"] = ""
        return answer


@cache
def opt(layers: tuple[str, ...]) -> str:
    """A folder of the layers, laid one over the other; the emulator would keep each apart."""
    folder = tempfile.mkdtemp(prefix="opt-")
    for layer in layers:
        with ZipFile(BytesIO(lambda_svc._resolve_layer_zip(layer))) as archive:
            archive.extractall(folder)
    return folder


def on_this_machine(variables: Variables, folder: str) -> Variables:
    """A function's variables with their paths in /opt, and AWS itself, found on this machine."""
    found = {
        name: f"{folder}/{value[5:]}" if value.startswith("/opt/") else value
        for name, value in variables.items()
    }
    return found | {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}",
        "_LAMBDA_LAYERS_DIRS": folder,
    }


def name_only(logical_id: str, _properties: Mapping[str, Any], stack: str) -> tuple[str, Variables]:
    """A resource's name and attributes, without a resource."""
    return f"{stack}-{logical_id}".lower(), {}


def parse_template(body: str) -> dict[str, Any]:
    """The template without loops, which CloudFormation knows and the emulator does not."""
    template: dict[str, Any] = expand(parse_with_loops(body))
    return template


parse_with_loops = engine._parse_template


def main(descriptor: int) -> None:
    """Answer on the socket until standard input ends; then every function's process has ended."""
    lambda_runtime.Worker = FunctionProcess
    engine._parse_template = changesets._parse_template = parse_template
    for resource_type in NAMES_ONLY:
        handlers = {"create": name_only, "delete": lambda *_: None}
        provisioners._RESOURCE_HANDLERS[resource_type] = handlers
    config = Config()
    config.bind = [f"fd://{descriptor}"]
    with tempfile.TemporaryDirectory(prefix="segue-deployed-") as scratch:
        # For code and layers here, and in the functions for what they write themselves.
        tempfile.tempdir = os.environ["TMPDIR"] = scratch
        asyncio.run(serve(app.app, config, shutdown_trigger=end_of_input))
        lambda_runtime.reset()


async def end_of_input() -> None:
    """Wait for the parent to go."""
    while await asyncio.to_thread(os.read, 0, 1024):
        pass


if __name__ == "__main__":
    main(int(sys.argv[1]))
