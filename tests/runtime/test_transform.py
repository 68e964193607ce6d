"""What SAM's own transform makes of the template's parameters."""

import json
import re
import subprocess
from collections.abc import Iterator
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


def transformed(sam: Path, template: Template, **parameters: str) -> dict[str, Any]:
    """The resources that CloudFormation is given, by logical id."""
    document = deepcopy({**template.document, "Transform": "AWS::Serverless-2016-10-31"})
    for resource in document["Resources"].values():
        # What `sam deploy` has uploaded by then.
        for code in {"CodeUri", "ContentUri"} & resource["Properties"].keys():
            resource["Properties"][code] = "s3://bucket/key"
    defaults = {name: it["Default"] for name, it in template.parameters().items()}
    given = {"document": document, "parameters": defaults | parameters}
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
    resources: dict[str, Any] = json.loads(ended.stdout)["Resources"]
    return resources


def security(sam: Path, template: Template, keys: str) -> dict[str, Any]:
    """Of each method and path of the API, what it demands."""
    body = transformed(sam, template, ApiKeys=keys)["Api"]["Properties"]["Body"]
    return {
        f"{method.upper()} {path}": [name for demand in it.get("security", []) for name in demand]
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
        expected = [] if route.startswith("OPTIONS") else ["AWS_IAM", *also]
        assert demands == expected, route


@pytest.mark.parametrize("stage", ["dev", "staging", "prod"])
def test_no_resource_waits_for_itself(sam: Path, template: Template, stage: str) -> None:
    resources = transformed(sam, template, Stage=stage)
    names = {"Stage": stage}
    conditions = template.document["Conditions"]
    true = {it for it in conditions if template.resolve({"Fn::If": [it, True, False]}, names)}
    waits_for = {
        name: {it for it in references(resource, true) if it in resources}
        for name, resource in resources.items()
        if "Condition" not in resource or resource["Condition"] in true
    }
    while waits_for:
        done = {name for name, others in waits_for.items() if not others & waits_for.keys()}
        assert done, f"these wait for each other: {sorted(waits_for)}"
        waits_for = {name: it for name, it in waits_for.items() if name not in done}


def references(part: Any, true: set[str]) -> Iterator[str]:
    """The names that a resource refers to, where these conditions are true."""
    match part:
        case {"Fn::If": [condition, then, otherwise]}:
            yield from references(then if condition in true else otherwise, true)
        case dict():
            yield from named(part)
            for value in part.values():
                yield from references(value, true)
        case list():
            for value in part:
                yield from references(value, true)


def named(part: dict[str, Any]) -> Iterator[str]:
    """The names that a map itself refers to."""
    match part:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]} | {"DependsOn": str(name)}:
            yield name
        case {"DependsOn": [*names]}:
            yield from names
        case {"Fn::Sub": str(text)} | {"Fn::Sub": [str(text), _]}:
            yield from (it.partition(".")[0] for it in re.findall(r"\$\{([^!}]+)\}", text))
