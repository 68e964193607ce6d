"""The results of an A/B test, a page at a time: as JSON, or as the original service's columns."""

import csv
from io import StringIO
from urllib.parse import urlencode

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from segue.api.negotiation import negotiate
from segue.api.responses import json_response, result_row
from segue.experiments.experiment import Experiment
from segue.experiments.manifest import user_hash
from segue.experiments.records import Record, RecordPage, position_of

COLUMNS = ("created_at", "user_id", "group", "model", "recomm_successful")
_FORMATS = {"json": "application/json", "csv": "text/csv"}
# Bytes of rows in one answer: Lambda lets 6 MB through, in which what is escaped counts twice.
_MOST_BYTES = 2_000_000
# A cell that begins with one of these, a spreadsheet may run as a formula; the last four are the
# full-width forms of the first.
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def results_response(
    experiment: Experiment, page: RecordPage, limit: int, event: APIGatewayProxyEvent
) -> Response[str]:
    """As the client prefers it. Of a CSV file, which has no place for it, ``Link`` has the rest."""
    if negotiate(event, _FORMATS) == "json":
        return _json(experiment, page)
    headers = {"Content-Disposition": 'attachment; filename="results.csv"'}
    if page.next:
        asked, following = (
            event.query_string_parameters or {},
            position_of(experiment.salt, page.next),
        )
        query = urlencode({**asked, "format": "csv", "limit": limit, "next": following})
        headers["Link"] = f'<?{query}>; rel="next"'
    return Response(200, "text/csv; charset=utf-8", _csv(page), headers)


def _json(experiment: Experiment, page: RecordPage) -> Response[str]:
    """Long lists of tracks make a page end early; the next one begins there."""
    rows: list[msgspec.Raw] = []
    following, size = page.next, 0
    for record in page.records:
        row = msgspec.json.encode(result_row(record))
        size += len(row)
        if rows and size > _MOST_BYTES:
            following = user_hash(page.records[len(rows) - 1].exposure.user_id)
            break
        rows.append(msgspec.Raw(row))
    position = following and position_of(experiment.salt, following)
    return json_response({"results": rows, "next": position})


def _csv(page: RecordPage) -> str:
    text = StringIO()
    rows = csv.DictWriter(text, COLUMNS, extrasaction="ignore")
    rows.writeheader()
    rows.writerows(map(_cells, page.records))
    return text.getvalue()


def _cells(record: Record) -> dict[str, object]:
    """What a spreadsheet would run is text behind an apostrophe (OWASP); numbers stay numbers."""
    row = result_row(record)
    return {
        name: f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
        for name, cell in row.items()
    }
