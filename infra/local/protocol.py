"""HTTP as the local stack speaks it: what cannot be read as HTTP is refused as a problem, too."""

from http import HTTPStatus
from uuid import uuid4

import h11
import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol

from segue.api.problems import problem_body

_RULES = (
    "The request line is ASCII, headers are 64 KiB at most, a body is as long as Content-Length or "
    "its chunks say, and TLS is not spoken here."
)


class Protocol(H11Protocol):
    """uvicorn's own, but for the answer to bytes that no application is asked about."""

    def send_400_response(self, msg: str) -> None:
        """Refuse, with what uvicorn says of it, and hang up."""
        status, title = HTTPStatus.BAD_REQUEST, "Malformed request"
        body = msgspec.json.encode(problem_body(status, title, f"{msg} {_RULES}", str(uuid4())))
        headers = [
            ("content-type", "application/problem+json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        start = h11.Response(status_code=status, headers=headers, reason=status.phrase.encode())
        for event in (start, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
