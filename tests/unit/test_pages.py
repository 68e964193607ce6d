"""functions/pages: the explorer's files, each with its type, its tag and what a browser may do."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from segue.api.pages import assets
from tests.runtime.support import sample
from tests.unit.conftest import LambdaContext, load_function

FOLDER = assets.FOLDER
FILES = sorted(file.name for file in FOLDER.iterdir())


@pytest.fixture
def get(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Status, headers and text of what is at a path."""
    handler = load_function("pages", monkeypatch).module.lambda_handler

    def ask(path: str, **headers: str) -> tuple[int, dict[str, str], str]:
        event = sample("explorer") | {"path": path, "headers": headers}
        answer = handler(event, LambdaContext())
        given = {name: values[0] for name, values in answer["multiValueHeaders"].items()}
        return answer["statusCode"], given, answer["body"]

    return ask


def test_the_root_is_the_page_itself(get: Any) -> None:
    status, headers, text = get("/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert text == (FOLDER / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_given_as_what_it_is(get: Any, name: str) -> None:
    status, headers, text = get(f"/assets/{name}")
    assert status == 200
    kinds = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg"}
    assert headers["Content-Type"].startswith(kinds[name.rpartition(".")[2]])
    assert text == (FOLDER / name).read_text(encoding="utf-8")


def test_swagger_ui_is_the_same_where_the_layer_has_compressed_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = assets.read_assets()
    assert {"swagger-ui-bundle.min.js", "swagger-ui.min.css"} <= plain.keys()
    for file in assets.SWAGGER.glob("swagger-ui*.min.*"):
        (tmp_path / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    monkeypatch.setattr(assets, "SWAGGER", tmp_path)
    assert assets.read_assets() == plain


@pytest.mark.parametrize("path", ["/", "/assets/app.js"])
def test_nothing_inline_and_nothing_from_elsewhere_may_run(get: Any, path: str) -> None:
    _, headers, _ = get(path)
    policy = dict(it.split(" ", 1) for it in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_a_browser_that_has_the_file_is_not_sent_it_again(get: Any) -> None:
    _, headers, _ = get("/assets/style.css")
    assert headers["Cache-Control"] == "no-cache"
    status, repeated, text = get("/assets/style.css", **{"If-None-Match": headers["ETag"]})
    assert (status, text or "") == (304, "")
    assert repeated["ETag"] == headers["ETag"]
    assert get("/assets/style.css", **{"If-None-Match": '"another"'})[0] == 200


@pytest.mark.parametrize("name", ["app.py", "..%2Fassets.py", "__init__.py", "nothing"])
def test_no_other_file_can_be_had(get: Any, name: str) -> None:
    status, headers, text = get(f"/assets/{name}")
    assert status == 404
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(text)["title"] == "Unknown route"


def test_every_address_in_the_page_is_relative_and_leads_to_a_file_or_a_page() -> None:
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    addresses = set(re.findall(r'(?:href|src)="([^"#][^"]*)"', page))
    assert {it for it in addresses if it.startswith(("/", "http"))} == set()
    assert {it for it in addresses if it.startswith("assets/")} <= {f"assets/{it}" for it in FILES}
    assert {it for it in addresses if not it.startswith("assets/")} == {"ab_test/report", "docs"}


def test_what_the_api_says_is_never_parsed_as_html() -> None:
    for file in FOLDER.glob("*.js"):
        code = file.read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", code
        )


def test_all_files_together_are_light() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 100_000
