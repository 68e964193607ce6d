"""The Lambda functions: the very handlers that Lambda calls, and what Lambda tells them."""

import importlib.util
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.local.proxy_event import ACCOUNT_ID

logger = logging.getLogger("segue.functions")


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """What Lambda tells a handler about its invocation."""

    function_name: str
    aws_request_id: str
    timeout_seconds: float
    function_version: str = "$LATEST"
    memory_limit_in_mb: int = 1769
    log_stream_name: str = "local"
    identity: None = None
    client_context: None = None
    _started: float = field(default_factory=time.monotonic)

    @property
    def invoked_function_arn(self) -> str:
        region = os.environ.get("AWS_REGION", "us-east-1")
        return f"arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{self.function_name}"

    @property
    def log_group_name(self) -> str:
        return f"/aws/lambda/{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """What is left of the function's timeout."""
        left = self.timeout_seconds - (time.monotonic() - self._started)
        return max(0, int(left * 1000))


Handler = Callable[[Any, LambdaContext], Any]


@dataclass(frozen=True, slots=True)
class Function:
    """One function: its ``handler`` (``module.function``) in the folder ``code``.

    ``environment`` is put in place while the code is imported, which is when it reads it.
    ``timeout`` is in seconds, ``reserved`` the concurrency that is reserved for it, 0 for none.
    """

    name: str
    handler: str
    code: Path
    environment: Mapping[str, str]
    timeout: float = 25
    reserved: int = 0

    def load(self) -> Handler:
        """Import the code, its cold start. Raises what the import raises."""
        os.environ.update(self.environment)
        module_name, _, attribute = self.handler.rpartition(".")
        # A name of its own: every function's module is called "app".
        spec = importlib.util.spec_from_file_location(
            f"function_{self.name}", self.code / f"{module_name}.py"
        )
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        handler: Handler = getattr(module, attribute)
        return handler


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call ended with: JSON, which tells of an error where it ``failed``."""

    payload: bytes
    failed: bool = False


# From an event, which is JSON, and the request's id.
Invoke = Callable[[bytes, str], "Future[Answer]"]


def handle(handler: Handler, event: bytes, context: LambdaContext) -> Answer:
    """Call the handler, as Lambda does: what it raises is an answer, too."""
    try:
        return Answer(json.dumps(handler(json.loads(event), context)).encode())
    except Exception as error:
        logger.exception("%s failed; request %s", context.function_name, context.aws_request_id)
        return failure(type(error).__name__, str(error))


def failure(error_type: str, message: str) -> Answer:
    """The answer to a call that failed."""
    error = {"errorMessage": message, "errorType": error_type}
    return Answer(json.dumps(error).encode(), failed=True)
