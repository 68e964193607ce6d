"""The parameters of each route: what is not among them is refused, and named."""

import pytest
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from segue.api.routes import ROUTES as TABLE
from segue.api.routes import check_parameters
from segue.domain.errors import MalformedRequest
from tests.unit.conftest import Function

ROUTES = [(route.method, route.path) for route in TABLE]
PARAMETERS = {(route.method, route.path): route.parameters for route in TABLE if route.query}


def check(method: str, path: str, **query: list[str]) -> None:
    check_parameters(
        APIGatewayProxyEvent(
            {
                "httpMethod": method,
                "resource": path,
                "queryStringParameters": {name: values[-1] for name, values in query.items()},
                "multiValueQueryStringParameters": query,
            }
        )
    )


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_route_takes_a_parameter_that_it_does_not_know(method: str, path: str) -> None:
    with pytest.raises(MalformedRequest, match="no such parameter") as refused:
        check(method, path, number=["1"], page=["2"])
    assert refused.value.field == "number"
    assert "page" in str(refused.value)


@pytest.mark.parametrize(("method", "path"), PARAMETERS)
def test_a_route_takes_each_of_its_parameters_once(method: str, path: str) -> None:
    for name in PARAMETERS[method, path]:
        check(method, path, **{name: ["x"]})
        with pytest.raises(MalformedRequest, match="once") as refused:
            check(method, path, **{name: ["x", "x"]})
        assert refused.value.field == name


def test_a_value_that_is_no_text_is_refused() -> None:
    with pytest.raises(MalformedRequest, match="UTF-8") as refused:
        check("GET", "/ab_test/results", experiment=["a\ufffd"])
    assert refused.value.field == "experiment"


def test_whoever_signs_in_the_query_string_may_call() -> None:
    names = ("Algorithm", "Credential", "Date", "Expires", "Security-Token", "Signature")
    check("GET", "/models", **{f"X-Amz-{it}": ["0"] for it in (*names, "SignedHeaders")})
    with pytest.raises(MalformedRequest, match="no such parameter"):
        check("GET", "/models", **{"X-Amz-Anything": ["0"]})


def test_a_refusal_is_answered_before_anything_is_done(ab_test: Function) -> None:
    ab_test.call("GET", "/experiments")
    status, _, body = ab_test.call("DELETE", "/ab_test/results", query={"name": "default"})
    assert (status, body["title"], body["field"]) == (400, "Malformed request", "name")
    (experiment,) = ab_test.call("GET", "/experiments")[2]["experiments"]
    assert experiment["epoch"] == 1
