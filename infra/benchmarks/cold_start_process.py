"""One cold start: ``python -m infra.benchmarks.cold_start_process HANDLER < EVENT``.

HANDLER is the file of a function. Prints, as JSON, what its first answer took and brought along.
Imports as little as can be, since what is imported here is no part of what is measured.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_CONTEXT = SimpleNamespace(
    function_name="predict",
    memory_limit_in_mb=1769,
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:predict",
    aws_request_id="cold-start",
)


def main(handler: str, event: Any) -> dict[str, Any]:
    """``cpu_ms``: CPU time of this process until the answer; ``answered``: when that was there, on
    the machine's monotonic clock, in seconds. The rest is what there is in the process then."""
    spec = spec_from_file_location("app", handler)
    assert spec
    assert spec.loader
    app = module_from_spec(spec)
    spec.loader.exec_module(app)
    answer = app.lambda_handler(event, _CONTEXT)
    measured = {"cpu_ms": 1_000 * time.process_time(), "answered": time.monotonic()}
    return measured | {
        "status": answer["statusCode"],
        "modules": sorted(sys.modules),
        "packages": sorted(set(_packages())),
        "mapped_arrays": len(list(_mapped_arrays())),
        **_instances(),
    }


def _packages() -> Iterator[str]:
    """Of what is imported, what was installed."""
    for name, module in sys.modules.items():
        if f"{os.sep}site-packages{os.sep}" in (getattr(module, "__file__", None) or ""):
            yield name.partition(".")[0]


def _mapped_arrays() -> Iterator[str]:
    """The files of arrays that are mapped into this process, as often as they are."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        if line.endswith(".npy"):
            yield line.split(maxsplit=5)[5]


def _instances() -> dict[str, Any]:
    """How many networks are ready to run, and which services there are clients of."""
    from botocore.client import BaseClient
    from onnxruntime import InferenceSession

    there = [it for it in gc.get_objects() if issubclass(type(it), BaseClient | InferenceSession)]
    clients = [it for it in there if isinstance(it, BaseClient)]
    return {
        "networks": len(there) - len(clients),
        "clients": sorted(it.meta.service_model.service_name for it in clients),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], json.load(sys.stdin))), file=sys.__stderr__)
