"""The API as an OpenAPI 3.1 document, made from the table of routes and the types that it names."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

import msgspec

import segue
from segue.api.problems import INTERNAL, ProblemBody, ProblemType, problem_type
from segue.api.routes import ERRORS, ROUTES, Answer, Route
from segue.domain.errors import UnknownRoute

_REFERENCE = "#/components/schemas/{name}"
_PROBLEM = "application/problem+json"
# What a segment of a path stands for.
_SEGMENTS = {
    "model_id": {"type": "integer", "minimum": 0, "description": "As GET /models lists them"},
    "user_id": {"type": "string", "minLength": 1, "maxLength": 256, "examples": ["429"]},
    "track_id": {"type": "string", "minLength": 1, "examples": ["0ofHAoxe9vBkTCp2UQIavz"]},
    "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$", "examples": ["default"]},
    "file": {"type": "string", "examples": ["explorer.js"]},
}
# What API Gateway answers by itself, before any function is called.
_BY_GATEWAY = {
    401: "On AWS, at the listeners' API: no token, or not a valid one",
    403: "On AWS: not signed, not allowed, or another listener's than the token's",
    429: "On AWS: more requests than the stage lets through",
}


@cache
def document() -> dict[str, Any]:
    """The whole document. Paths are relative to its own address, so it holds on every stage."""
    schemas = _Schemas()
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for route in ROUTES:
        paths[route.path][route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Segue",
            "summary": "Music recommendations, and A/B tests that tell which model is better",
            "version": segue.__version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "."}],
        "security": [{}, {"sigv4": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "sigv4": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "AWS Signature Version 4, of service execute-api. None locally",
                }
            },
        },
    }


class _Schemas:
    """JSON Schemas of the types that the routes name, each made once and referred to by name."""

    def __init__(self) -> None:
        types = {it for route in ROUTES for it in _types(route)} | {ProblemBody}
        ordered = sorted(types, key=str)
        schemas, self.components = msgspec.json.schema_components(ordered, ref_template=_REFERENCE)
        self._schemas = dict(zip(ordered, schemas, strict=True))
        for component in self.components.values():
            if "description" in component:
                component["description"] = _prose(component["description"])

    def __getitem__(self, kind: Any) -> dict[str, Any]:
        schema: dict[str, Any] = self._schemas[kind]
        return schema

    def fields(self, kind: Any) -> dict[str, Any]:
        """The schemas of an object's fields, by name."""
        found: dict[str, Any] = self.components[kind.__name__]["properties"]
        return found

    def required(self, kind: Any) -> set[str]:
        """The names of an object's fields that have to be there."""
        return set(self.components[kind.__name__].get("required", ()))


def _types(route: Route) -> Iterator[Any]:
    answers = [answer.body for answer in route.answers.values()]
    yield from (it for it in (route.query, route.body, *answers) if it is not None)


def _operation(route: Route, schemas: _Schemas) -> dict[str, Any]:
    operation = {
        "operationId": route.operation,
        "summary": route.summary,
        "tags": [re.match(r"/(\w*)", route.path)[1] or "explorer"],  # type: ignore[index]
        "parameters": list(_parameters(route, schemas)),
        "responses": {str(status): it for status, it in sorted(_responses(route, schemas))},
    }
    if route.body:
        content: dict[str, Any] = {"schema": schemas[route.body]}
        if route.example:
            content["example"] = msgspec.to_builtins(route.example)
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation


def _parameters(route: Route, schemas: _Schemas) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", route.path):
        yield {"name": name, "in": "path", "required": True, "schema": _SEGMENTS[name]}
    if route.query:
        for name, schema in schemas.fields(route.query).items():
            yield {
                "name": name,
                "in": "query",
                "required": name in schemas.required(route.query),
                "schema": _without_null(schema),
            }
    for name, meaning in route.headers.items():
        yield {"name": name, "in": "header", "description": meaning, "schema": {"type": "string"}}


def _responses(route: Route, schemas: _Schemas) -> Iterator[tuple[int, dict[str, Any]]]:
    for status, answer in route.answers.items():
        yield status, _response(answer, schemas)
    problems: dict[int, set[ProblemType]] = defaultdict(set)
    # A gateway may hand a path over decoded; with a line feed in it, it is no route any more.
    paths = (UnknownRoute,) if "{" in route.path else ()
    for kind in (INTERNAL, *map(problem_type, (*ERRORS, *paths, *route.errors))):
        problems[kind.status].add(kind)
    # What a browser is shown as a page, it is also refused as a page.
    offered = {media_type for answer in route.answers.values() for media_type in answer.media_types}
    pages = offered & {"text/html"} if "application/json" in offered else set()
    for status, kinds in problems.items():
        yield status, _problem(kinds, schemas, pages)
    for status, meaning in _BY_GATEWAY.items():
        yield status, {"description": meaning, "content": {_PROBLEM: {}}}


def _response(answer: Answer, schemas: _Schemas) -> dict[str, Any]:
    response: dict[str, Any] = {"description": answer.says}
    if answer.headers:
        response["headers"] = {
            name: {"description": meaning, "schema": {"type": "string"}}
            for name, meaning in answer.headers.items()
        }
    content: dict[str, Any] = {}
    for media_type in answer.media_types:
        content[media_type] = {"schema": {"type": "string"}}
        if media_type == "application/json":
            content[media_type] = {"schema": schemas[answer.body]}
            if answer.example is not None:
                content[media_type]["example"] = msgspec.to_builtins(answer.example)
    return response | ({"content": content} if content else {})


def _problem(kinds: set[ProblemType], schemas: _Schemas, pages: Collection[str]) -> dict[str, Any]:
    """One status: which types of problem it stands for, and an example of the first.

    ``pages``: media types in which people are told the same.
    """
    ordered = sorted(kinds, key=lambda kind: kind.title)
    first = ordered[0]
    schema = {
        "allOf": [
            schemas[ProblemBody],
            {"properties": {"type": {"enum": [kind.uri for kind in ordered]}}},
        ]
    }
    example = {
        "type": first.uri,
        "title": first.title,
        "status": first.status,
        "detail": "what is wrong, and what to do about it",
        "request_id": "7c9f9a2e-5a0b-4c55-9f0e-3d1f7b1f6f0a",
    }
    return {
        "description": "; ".join(kind.title for kind in ordered),
        "content": {_PROBLEM: {"schema": schema, "example": example}}
        | {media_type: {"schema": {"type": "string"}} for media_type in pages},
    }


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """In a query string there is no null: a parameter is left out."""
    kinds = [it for it in schema.get("anyOf", ()) if it != {"type": "null"}]
    return kinds[0] if len(kinds) == 1 else schema


def _prose(docstring: str) -> str:
    """A docstring as Markdown: its lines joined, its literals in single back-quotes."""
    return re.sub(r"[ \t]*\n[ \t]+", " ", docstring).replace("``", "`")
