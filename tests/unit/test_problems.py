"""Problems: one family of types, and the page that lists it."""

import json
import re

import pytest

from segue.api.problems import PROBLEM_TYPES, problem
from segue.domain import errors
from tests.unit.conftest import ROOT

# Roots of a branch, and what only offline work ends in.
ELSEWHERE = {errors.SegueError, errors.NotFound, errors.InvalidRecord, errors.InvalidData}
SERVED = {it for it in vars(errors).values() if isinstance(it, type) and issubclass(it, Exception)}


def test_the_page_lists_every_type_and_no_other() -> None:
    page = (ROOT / "docs" / "problems.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", page, flags=re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert {(f"urn:segue:problem:{name}", int(status)) for name, status in listed} == {
        (kind.uri, kind.status) for kind in PROBLEM_TYPES
    }


@pytest.mark.parametrize("kind", sorted(SERVED - ELSEWHERE, key=str))
def test_every_error_that_a_request_ends_in_has_a_type(kind: type[errors.SegueError]) -> None:
    error = kind("why")
    answer = problem(error, "request-1")
    body = json.loads(answer.body or "")
    field = getattr(error, "field", "")
    assert body["detail"].removeprefix(f"{field}: ") == str(error)
    assert body["status"] == answer.status_code
    assert body["title"] != "Internal error"
    assert body["type"] in {it.uri for it in PROBLEM_TYPES}


def test_an_error_that_nobody_foresaw_tells_nothing() -> None:
    body = json.loads(problem(ValueError("secret"), "request-1").body or "")
    assert body == {
        "type": "urn:segue:problem:internal-error",
        "title": "Internal error",
        "status": 500,
        "detail": "something went wrong here",
        "request_id": "request-1",
    }


def test_no_two_types_share_a_name() -> None:
    assert len({kind.uri for kind in PROBLEM_TYPES}) == len(PROBLEM_TYPES)
