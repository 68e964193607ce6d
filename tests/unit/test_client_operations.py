"""The Python client has all of the API, by the same names, and reads all that it answers."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from segue.api.openapi import document
from segue_client import AsyncClient, Client, operations

DOCUMENT = document()
# Beside a method for every operation.
HELPERS = {"all_events", "all_results", "report_page", "send"}


def operations_of(document: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Name, method, path and description of every operation that answers JSON, or nothing."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answers = answers_of(operation)
            if any("application/json" in it.get("content", {}) or it == {} for it in answers):
                name = re.sub("([A-Z])", r"_\1", operation["operationId"]).lower()
                yield name, method.upper(), path, operation


def answers_of(operation: dict[str, Any]) -> list[dict[str, Any]]:
    """What is answered with a status of success; without a body, nothing."""
    responses = operation["responses"]
    return [
        {key: it for key, it in responses[status].items() if key == "content"}
        for status in responses
        if status.startswith("2")
    ]


OPERATIONS = {name: rest for name, *rest in operations_of(DOCUMENT)}


def keyword(name: str) -> str:
    """What the client calls a parameter, a header or a field of the body."""
    return {"from": "from_"}.get(name, name.lower().replace("-", "_"))


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_each_client_has_a_method_of_every_operation(client: type) -> None:
    public = {name for name in vars(client) if not name.startswith("_")}
    assert public - HELPERS - {"close", "aclose"} == set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_method_sends_all_that_its_operation_takes(name: str) -> None:
    method, path, operation = OPERATIONS[name]
    taken: dict[str, list[str]] = {"path": [], "query": [], "header": []}
    for parameter in operation["parameters"]:
        taken[parameter["in"]].append(parameter["name"])
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = list(resolve(schema["schema"], DOCUMENT)["properties"]) if schema else []
    # Which format is asked for, the client decides by itself.
    names = [*taken["path"], *taken["query"], *taken["header"], *body]
    arguments = {keyword(it): "x" for it in names if it != "format"}

    call = getattr(operations, name)(**arguments)

    assert (call.method, call.path) == (method, re.sub(r"{\w+}", "x", path))
    assert sorted(call.query) == sorted(taken["query"])
    assert sorted(call.headers) == sorted(taken["header"])
    assert sorted(call.body or {}) == sorted(body)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_method_reads_all_that_its_operation_answers(name: str) -> None:
    _, _, operation = OPERATIONS[name]
    kind = call_of(name).kind
    if kind is None:
        assert answers_of(operation) == [{}]
        return
    own = msgspec.json.schema(kind)
    answered = [it["content"]["application/json"]["schema"] for it in answers_of(operation)]
    for schema in answered:
        assert reads(own, schema, own)
    names = set().union(*(fields_of(schema, DOCUMENT) for schema in answered))
    assert fields_of(own, own) <= names, "fields that are answered no longer"


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_method_reads_the_examples(name: str) -> None:
    _, _, operation = OPERATIONS[name]
    for answer in answers_of(operation):
        content = answer.get("content", {}).get("application/json", {})
        if "example" in content:
            response = httpx.Response(200, json=content["example"])
            assert call_of(name).read(response) is not None


def call_of(name: str) -> operations.Call[Any]:
    """A call of the operation, with no more than it needs."""
    _, path, operation = OPERATIONS[name]
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    needed = re.findall(r"{(\w+)}", path)
    needed += resolve(schema["schema"], DOCUMENT)["required"] if schema else []
    call: operations.Call[Any] = getattr(operations, name)(**{keyword(it): "x" for it in needed})
    return call


def resolve(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for."""
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def reads(own: dict[str, Any], answered: dict[str, Any], root: dict[str, Any]) -> bool:
    """Whether the client's schema, a part of ``root``, holds all that the service's describes."""
    own, answered = resolve(own, root), resolve(answered, DOCUMENT)
    if "anyOf" in answered:
        return all(reads(own, it, root) for it in answered["anyOf"])
    if "anyOf" in own:
        return any(reads(it, answered, root) for it in own["anyOf"])
    kind = kind_of(answered)
    if not kind_of(own):
        return True
    if kind == "object":
        return kind_of(own) == kind and reads_object(own, answered, root)
    if kind == "array":
        return kind_of(own) == kind and reads(own["items"], answered["items"], root)
    return kind == kind_of(own) or (kind, kind_of(own)) == ("integer", "number")


def reads_object(own: dict[str, Any], answered: dict[str, Any], root: dict[str, Any]) -> bool:
    values = answered.get("additionalProperties")
    if "properties" not in answered:
        return not isinstance(values, dict) or reads(own["additionalProperties"], values, root)
    fields: dict[str, Any] = own["properties"]
    return set(own["required"]) <= set(answered["required"]) and all(
        name in fields and reads(fields[name], it, root)
        for name, it in answered["properties"].items()
    )


def kind_of(schema: dict[str, Any]) -> str:
    """Its JSON type; empty for one that holds anything."""
    values = schema.get("enum", ())
    if values:
        return {str: "string", int: "integer"}[type(values[0])]
    return str(schema.get("type", ""))


def fields_of(schema: Any, root: dict[str, Any]) -> set[str]:
    """The names of the fields of all objects that are in it."""
    if isinstance(schema, list):
        return set().union(*(fields_of(it, root) for it in schema))
    if not isinstance(schema, dict):
        return set()
    schema = {key: it for key, it in resolve(schema, root).items() if key != "$defs"}
    below = set().union(*(fields_of(it, root) for it in schema.values()))
    return set(schema.get("properties", ())) | below
