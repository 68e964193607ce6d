"""The files of the pages, and Swagger UI's, which Powertools brings; nothing else can be had."""

from gzip import decompress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from aws_lambda_powertools import event_handler
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from segue.domain.errors import UnknownRoute

FOLDER = Path(__file__).parent / "explorer"
# Of Powertools, which every function has in its layer.
SWAGGER = Path(event_handler.__file__).parent / "openapi" / "swagger_ui"

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Nothing from elsewhere, nothing inline, and no page of another site may frame this one.
_SAFE = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Asset(NamedTuple):
    """One file: what it is, what is in it, and a tag that changes with its content."""

    content_type: str
    text: str
    tag: str


def asset_response(name: str, event: APIGatewayProxyEvent) -> Response[str]:
    """The file, or 304 where the browser has it. Raises UnknownRoute where there is no such file.

    A browser asks again each time whether it has changed, so that its files are of one release.
    """
    if name not in _ASSETS:
        raise UnknownRoute(f"there is no file {name}")
    asset = _ASSETS[name]
    headers = {**_SAFE, "ETag": asset.tag, "Cache-Control": "no-cache"}
    if asset.tag in (event.headers.get("If-None-Match") or ""):
        return Response(304, headers=headers)
    return Response(200, asset.content_type, asset.text, headers)


def read_assets() -> dict[str, Asset]:
    """All files by their names."""
    assets = {}
    for file in (*FOLDER.iterdir(), *SWAGGER.glob("swagger-ui*.min.*")):
        content = file.read_bytes()
        # In the layer it is compressed.
        if file.suffix == ".gz":
            file, content = file.with_suffix(""), decompress(content)
        tag = f'"{sha256(content).hexdigest()[:32]}"'
        assets[file.name] = Asset(_TYPES[file.suffix], content.decode(), tag)
    return assets


# Read when the function starts: a name that is not among them is never looked for on the disk.
_ASSETS = read_assets()
