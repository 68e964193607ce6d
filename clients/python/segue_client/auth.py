"""How requests prove who sends them. Locally they need not: on 127.0.0.1 the service is open."""

import os
import re
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode

import httpx

from segue_client.errors import NoCredentials

if TYPE_CHECKING:
    from botocore.credentials import Credentials

_REGION = re.compile(r"[a-z0-9]+\.execute-api\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
# Of an attempt before; each is signed for its own moment.
_OF_A_SIGNATURE = ("Authorization", "X-Amz-Date", "X-Amz-Security-Token")


class BearerToken(httpx.Auth):
    """Sends a token in ``Authorization``, as listeners do at the API that is theirs.

    ``token``: the token, or a function that is asked for it before every request.
    """

    def __init__(self, token: str | Callable[[], str]) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the token."""
        token = self._token if isinstance(self._token, str) else self._token()
        request.headers["Authorization"] = f"Bearer {token}"
        yield request


class SigV4(httpx.Auth):
    """Signs requests as API Gateway wants them (AWS Signature Version 4).

    Credentials are those of the environment or of ``profile``, found as every AWS tool finds them,
    and refreshed before they expire. ``region``: where the API is; by default the region that its
    address names, or else the configured one. ``api_key``: what counts this client's calls, where
    the stack wants one; by default that of the environment, SEGUE_API_KEY. Needs the extra ``aws``.
    Raises NoCredentials.
    """

    requires_request_body = True

    def __init__(
        self, region: str | None = None, profile: str | None = None, api_key: str | None = None
    ) -> None:
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session

        session = Session(profile=profile)
        try:
            credentials = session.get_credentials()
            self._configured: str | None = session.get_config_variable("region")
        except BotoCoreError as error:
            raise NoCredentials(f"the AWS configuration is not usable: {error}") from None
        if credentials is None:
            raise NoCredentials(
                "there are no AWS credentials to sign requests by; set AWS_PROFILE, or log in "
                "as for the AWS command line"
            )
        self._credentials: Credentials = credentials
        self._region = region
        self._api_key = api_key or os.environ.get("SEGUE_API_KEY")

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the signature."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        for name in _OF_A_SIGNATURE:
            request.headers.pop(name, None)
        request.url = request.url.copy_with(query=_encoded(request.url.query))
        kept = {"Host": request.headers["Host"]}
        if content_type := request.headers.get("Content-Type"):
            kept["Content-Type"] = content_type
        unsigned = AWSRequest(
            method=request.method, url=str(request.url), data=request.content, headers=kept
        )
        try:
            credentials = self._credentials.get_frozen_credentials()
        except BotoCoreError as error:
            raise NoCredentials(f"the AWS credentials cannot be refreshed: {error}") from None
        region = self._region_of(request.url.host)
        SigV4Auth(credentials, "execute-api", region).add_auth(unsigned)
        for name in _OF_A_SIGNATURE:
            if name in unsigned.headers:
                request.headers[name] = unsigned.headers[name]
        if self._api_key:
            request.headers["X-Api-Key"] = self._api_key
        yield request

    def _region_of(self, host: str) -> str:
        named = _REGION.fullmatch(host)
        region = self._region or (named[1] if named else self._configured)
        if region is None:
            raise NoCredentials(f"{host} does not name its AWS region; give SigV4 a region")
        return region


def _encoded(query: bytes) -> bytes | None:
    """The query string as AWS encodes it before it checks a signature: a blank is ``%20``."""
    given = parse_qsl(query.decode("ascii"), keep_blank_values=True)
    return urlencode(given, quote_via=quote).encode() or None
