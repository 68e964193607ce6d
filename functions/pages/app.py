"""What people open in a browser: the explorer, and the API document."""

from aws_lambda_powertools.event_handler import Response

from segue.api.app import create_app, create_handler
from segue.api.http import json_response
from segue.api.openapi import document
from segue.api.pages.assets import asset_response

app = create_app()


@app.get("/")
def explorer() -> Response[str]:
    return asset_response("index.html", app.current_event)


@app.get("/assets/<file>")
def asset(file: str) -> Response[str]:
    return asset_response(file, app.current_event)


@app.get("/docs")
def docs() -> Response[str]:
    return asset_response("docs.html", app.current_event)


@app.get("/openapi.json")
def openapi() -> Response[str]:
    return json_response(document())


lambda_handler = create_handler(app)
