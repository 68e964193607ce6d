"""What SAM's own transform makes of the template's parameters."""

import json
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from infra.template import Template

# It lives beside the SAM CLI, in its environment.
TRANSFORM = """
import json, sys
from samtranslator.translator.transform import transform
class Policies:
    def load(self):
        return {}
given = json.load(sys.stdin)
print(json.dumps(transform(given["document"], given["parameters"], Policies())))
"""


def security(sam: Path, template: Template, keys: str) -> dict[str, Any]:
    """Of each method and path of the API, what it demands."""
    document = deepcopy({**template.document, "Transform": "AWS::Serverless-2016-10-31"})
    for resource in document["Resources"].values():
        # What `sam deploy` has uploaded by then.
        for code in {"CodeUri", "ContentUri"} & resource["Properties"].keys():
            resource["Properties"][code] = "s3://bucket/key"
    defaults = {name: it["Default"] for name, it in template.parameters().items()}
    given = {"document": document, "parameters": defaults | {"ApiKeys": keys}}
    python = sam.parent / "python"
    if not python.is_file():
        pytest.skip("the SAM CLI has no Python beside it")
    ended = subprocess.run(
        [str(python), "-c", TRANSFORM],
        input=json.dumps(given),
        env={"AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    body = json.loads(ended.stdout)["Resources"]["Api"]["Properties"]["Body"]
    return {
        f"{method.upper()} {path}": [name for demand in it["security"] for name in demand]
        for path, methods in body["paths"].items()
        for method, it in methods.items()
    }


@pytest.mark.parametrize(("keys", "also"), [("", []), ("required", ["api_key"])])
def test_every_route_demands_a_signature_and_a_key_where_keys_are_required(
    sam: Path, template: Template, keys: str, also: list[str]
) -> None:
    demanded = security(sam, template, keys)
    assert {f"{it.method} {it.path}" for it in template.routes()} <= demanded.keys()
    for route, demands in demanded.items():
        expected = ["NONE"] if route.startswith("OPTIONS") else ["AWS_IAM", *also]
        assert demands == expected, route
