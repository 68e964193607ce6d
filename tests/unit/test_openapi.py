"""The OpenAPI document: made from the routes, and told by the template, the README and Postman."""

import json
import re
from typing import Any

import msgspec
import pytest

from infra.template import load
from segue.api.openapi import document
from segue.api.problems import PROBLEM_TYPES
from segue.api.routes import ROUTES, Route
from tests.unit.conftest import ROOT, Function

TEMPLATE = load(ROOT / "template.yaml")
ROUTE = pytest.mark.parametrize("route", ROUTES, ids=lambda it: f"{it.method} {it.path}")


def operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = document()["paths"][route.path][route.method.lower()]
    return found


def test_it_has_the_routes_of_the_template_and_no_others() -> None:
    templates = {(route.method, route.path) for route in TEMPLATE.routes()}
    assert {(route.method, route.path) for route in ROUTES} == templates
    described = {
        (method.upper(), path)
        for path, methods in document()["paths"].items()
        for method in methods
    }
    assert described == templates


def test_the_readme_lists_every_route() -> None:
    """A row names a path, or several of one kind, after the methods that they all take."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    api = text[text.index("## The API") : text.index("## The models")]
    listed = set()
    for row in re.findall(r"^\| (`(?:GET|POST|PUT|DELETE)[^|]*) \|", api, re.MULTILINE):
        path = re.findall(r"(/[^\s`?]*)", row)
        listed |= {
            (method, it) for it in path for method in re.findall(r"GET|POST|PUT|DELETE", row)
        }
    assert {(route.method, route.path) for route in ROUTES} <= listed


def test_the_readme_explains_every_field_of_predict() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    fields = set(document()["components"]["schemas"]["PredictBody"]["properties"]) - {"user_id"}
    assert fields <= set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [operation(route)["operationId"] for route in ROUTES]
    assert len(set(names)) == len(names)


@ROUTE
def test_every_parameter_and_field_is_explained(route: Route) -> None:
    for parameter in operation(route)["parameters"]:
        said = parameter.get("description") or parameter["schema"].get("description")
        shown = parameter["schema"].get("examples") or parameter["schema"].get("enum")
        assert said or shown, parameter["name"]


@ROUTE
def test_the_examples_are_what_the_schemas_describe(route: Route) -> None:
    if route.body:
        msgspec.convert(msgspec.to_builtins(route.example), route.body)
    for answer in route.answers.values():
        if answer.example is not None:
            msgspec.convert(msgspec.to_builtins(answer.example), answer.body)


@ROUTE
def test_an_answer_that_has_json_has_an_example(route: Route) -> None:
    for status, answer in route.answers.items():
        content = operation(route)["responses"][str(status)].get("content", {})
        # The reports and this document are too long to be told by one.
        long = ("report", "overview", "openapi")
        if "application/json" in content and route.operation not in long:
            assert "example" in content["application/json"], answer


def test_every_type_of_problem_is_some_routes() -> None:
    listed = {
        uri
        for methods in document()["paths"].values()
        for it in methods.values()
        for response in it["responses"].values()
        for content in response.get("content", {}).values()
        for part in content.get("schema", {}).get("allOf", ())
        for uri in part.get("properties", {}).get("type", {}).get("enum", ())
    }
    # What the local gateway answers before any route is found; and what listeners are answered
    # who come with a token, at an API of their own.
    elsewhere = {"method-not-allowed", "unknown-function", "function-failed", "access-denied"}
    assert {it.uri for it in PROBLEM_TYPES} - listed == {
        f"urn:segue:problem:{name}" for name in elsewhere
    }


def test_it_names_no_address_but_its_own() -> None:
    assert document()["servers"] == [{"url": "."}]
    assert "http" not in json.dumps({**document(), "info": {}}).replace("https://json-schema", "")


def test_the_service_answers_it(pages: Function) -> None:
    status, headers, body = pages.call("GET", "/openapi.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert body == json.loads(json.dumps(document()))
    assert body["openapi"].startswith("3.1")
