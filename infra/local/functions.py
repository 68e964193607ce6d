"""The Lambda functions, run in this process: the very handlers that Lambda calls."""

import asyncio
import importlib.util
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.local.proxy_event import ACCOUNT_ID

# All functions share it: the library that routes a request keeps it in its classes, which on Lambda
# each function has to itself, and here all of them share.
_ONE_AT_A_TIME = ThreadPoolExecutor(max_workers=1, thread_name_prefix="functions")

Handler = Callable[[dict[str, Any], "LambdaContext"], Any]


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
        """What is left of the function's timeout, which here is for its handler to keep."""
        left = self.timeout_seconds - (time.monotonic() - self._started)
        return max(0, int(left * 1000))


class LocalFunction:
    """One function: like an instance of Lambda's, it answers one call at a time.

    ``environment`` is put in place while the code is imported, which is when it reads it.
    ``timeout`` is in seconds.
    """

    def __init__(
        self,
        name: str,
        handler: str,
        code: Path,
        environment: Mapping[str, str],
        timeout: float = 25,
    ) -> None:
        self.name = name
        self._timeout = timeout
        module, _, self._attribute = handler.rpartition(".")
        self._file = code / f"{module}.py"
        self._environment = environment
        self._handler: Handler | None = None

    def load(self) -> None:
        """Import the function's code, its cold start. Raises what the import raises."""
        _ONE_AT_A_TIME.submit(self._load).result()

    async def invoke(self, event: dict[str, Any], request_id: str) -> Any:
        """The handler's answer. Raises what the handler raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_ONE_AT_A_TIME, self._call, event, request_id)

    def _call(self, event: dict[str, Any], request_id: str) -> Any:
        handler = self._handler or self._load()
        return handler(event, LambdaContext(self.name, request_id, self._timeout))

    def _load(self) -> Handler:
        os.environ.update(self._environment)
        # A name of its own: every function's module is called "app".
        spec = importlib.util.spec_from_file_location(f"function_{self.name}", self._file)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._handler = getattr(module, self._attribute)
        return self._handler
