"""GET /ab_test/results as CSV, and how a form of an answer is agreed on."""

import csv
import json
from collections.abc import Mapping
from io import StringIO

import pytest
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from segue.api.experiments import COLUMNS, results_response
from segue.api.http import negotiate
from segue.domain.errors import InvalidRequest
from segue.experiments.records import Exposure, Record, RecordPage

NEXT = "here"
OFFERED = {"json": "application/json", "html": "text/html"}
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
RECORDS = (
    Record(Exposure("429", "A", "autoencoder", "b", ("t",), 0, 1_662_000_000_000), True, 9),
    Record(Exposure('Łucja "L", ', "B", "classifier", "b", (), 0, 5, "failed"), False, 9),
)


def request(
    query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> APIGatewayProxyEvent:
    return APIGatewayProxyEvent({"queryStringParameters": query, "headers": headers})


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "json"),
        ("*/*", "json"),
        ("application/json", "json"),
        ("text/html", "html"),
        ("Text/HTML", "html"),
        ("text/*", "html"),
        (BROWSER, "html"),
        ("text/html;q=0.5, application/json", "json"),
        ("application/json;q=0.1, */*", "html"),
        ("text/html, application/json", "json"),
        ("text/html;level=1;q=0.9, application/json;q=0.5", "html"),
        ("text/html;q=high, application/json;q=0.5", "json"),
        ("image/png", "json"),
        ("", "json"),
    ],
)
def test_the_form_that_the_client_prefers_is_chosen(accept: str | None, expected: str) -> None:
    headers = {} if accept is None else {"accept": accept}
    assert negotiate(request(headers=headers), OFFERED) == expected


def test_a_named_format_counts_more_than_what_is_accepted() -> None:
    assert negotiate(request({"format": "json"}, {"Accept": BROWSER}), OFFERED) == "json"


def test_a_format_that_is_not_offered_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="one of json, html") as refused:
        negotiate(request({"format": "xml"}), OFFERED)
    assert refused.value.field == "format"


def as_csv(page: RecordPage) -> Response[str]:
    return results_response(page, 50, request({"format": "csv"}))


def test_csv_has_the_columns_of_the_original_service() -> None:
    answer = as_csv(RecordPage(RECORDS, None))
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.body is not None
    header, *rows = csv.reader(StringIO(answer.body, newline=""))
    assert tuple(header) == COLUMNS
    assert rows == [
        ["2022-09-01T02:40:00.000Z", "429", "A", "autoencoder", "1"],
        ["1970-01-01T00:00:00.005Z", 'Łucja "L", ', "B", "classifier", "0"],
    ]


@pytest.mark.parametrize("first", "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
def test_csv_holds_no_cell_that_a_spreadsheet_would_run(first: str) -> None:
    user_id = f"{first}cmd|' /C calc'!A0"
    record = Record(Exposure(user_id, "-1", "autoencoder", "b", (), 0, 5), False, 9)
    answer = as_csv(RecordPage((record, RECORDS[0]), None))
    _, row, plain = csv.reader(StringIO(answer.body, newline=""))
    assert row[1:] == [f"'{user_id}", "'-1", "autoencoder", "0"]
    assert plain[1] == "429"


def test_csv_links_to_the_next_page_while_there_is_one() -> None:
    assert "Link" not in as_csv(RecordPage(RECORDS, None)).headers
    link = as_csv(RecordPage(RECORDS, NEXT)).headers["Link"]
    assert link == f'<?format=csv&limit=50&next={NEXT}>; rel="next"'


def test_csv_without_results_is_its_header() -> None:
    assert as_csv(RecordPage((), None)).body == ",".join(COLUMNS) + "\r\n"


def test_json_goes_on_where_the_records_do() -> None:
    answer = results_response(RecordPage(RECORDS, NEXT), 2, request())
    body = json.loads(answer.body or "")
    assert len(body["results"]) == 2
    assert body["next"] == NEXT
