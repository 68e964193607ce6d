"""A typed client of the track recommender Segue.

>>> from segue_client import Client
>>> with Client("http://127.0.0.1:8000") as segue:
...     segue.predict(3, 429, k=10).track_ids
"""

from segue_client.auth import BearerToken, SigV4
from segue_client.client import AsyncClient, Client, is_loopback
from segue_client.errors import (
    ApiError,
    Forbidden,
    InvalidAnswer,
    NoCredentials,
    NotFound,
    PreconditionFailed,
    Problem,
    Unreachable,
)
from segue_client.frames import to_frame
from segue_client.models import Arm, Boost, Event, Guardrail
from segue_client.operations import Call
from segue_client.retries import Retry

__all__ = [
    "ApiError",
    "Arm",
    "AsyncClient",
    "BearerToken",
    "Boost",
    "Call",
    "Client",
    "Event",
    "Forbidden",
    "Guardrail",
    "InvalidAnswer",
    "NoCredentials",
    "NotFound",
    "PreconditionFailed",
    "Problem",
    "Retry",
    "SigV4",
    "Unreachable",
    "is_loopback",
    "to_frame",
]
