"""The whole service on 127.0.0.1, from an empty folder to an API that answers."""

import io
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from rich.console import Console

from infra import template as templates
from infra.local import imported, maintenance, stack, workers
from infra.local.environment import (
    TEMPLATE,
    create_local_resources,
    local_settings,
    point_aws_at,
)
from infra.local.functions import Function
from infra.local.gateway import Gateway
from infra.local.protocol import Protocol
from infra.process import HOST, LocalStackError, interruptible, listen
from infra.progress import progress_bars
from segue.adapters.aws import dynamodb_client, s3_client
from segue.adapters.bundles import S3Bundles
from segue.adapters.dynamodb import DynamoUserStore
from segue.domain.errors import BundleMissing
from segue.domain.times import format_time
from segue.domain.users import json_id
from segue.models.bundle import Bundle

_MAINTENANCE = "MaintenanceFunction"


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What to serve, where its state is kept, and on which ports of 127.0.0.1."""

    bundle: Path
    state: Path
    data: Path | None = None
    port: int = 8000
    stack_port: int = 4566
    salvage: bool = False


def serve_until_stopped(options: ServeOptions, console: Console) -> None:
    """Serve until SIGINT or SIGTERM; then everything that was started has stopped, and is saved.

    Raises BundleError, InvalidData or LocalStackError, with nothing left running.
    """
    if options.port == options.stack_port:
        raise LocalStackError(f"--port and --stack-port are both {options.port}; choose two ports")
    with interruptible():
        try:
            with ExitStack() as running:
                _start(options, console, running)
        except KeyboardInterrupt:
            console.print("Stopped; everything is saved.")


def _start(options: ServeOptions, console: Console, running: ExitStack) -> None:
    bundle = _open_bundle(options.bundle)
    data = imported.fingerprint(options.data) if options.data else None
    running.enter_context(stack.locked(options.state))
    # Both ports before anything slow begins.
    listener = running.enter_context(listen(options.port, "--port"))
    tables = running.enter_context(listen(options.stack_port, "--stack-port"))
    endpoint = running.enter_context(
        stack.running(options.state, tables, salvage=options.salvage, report=console.print)
    )
    console.print(f"Tables and bucket  {endpoint}, kept in {options.state}")
    point_aws_at(endpoint)
    template = templates.load(TEMPLATE)
    names = create_local_resources(template)
    if options.data and data:
        _import(options.data, data, options.state, names, console)
    log = options.state / "functions.log"
    running.enter_context(_logged(log))
    loaded = _functions(template, names, endpoint, bundle)
    functions = running.enter_context(workers.running(loaded, log))
    console.print(f"Models             {_models(names, bundle)}, as of {_as_of(bundle)}")
    url, user = f"http://{HOST}:{options.port}", _example_user(names)
    console.print(
        _WHAT_TO_TRY.format(url=url, user=user, state=options.state, period=maintenance.PERIOD)
    )
    maintenance.keep_up(functions[_MAINTENANCE])
    running.callback(console.print, "Stopping ...")
    http_server(Gateway(template.routes(), functions)).run(sockets=[listener])


def _open_bundle(path: Path) -> Bundle:
    try:
        return Bundle.open(path)
    except BundleMissing as error:
        raise LocalStackError(f"{error}; `segue train` makes one") from None


def _import(
    data: Path,
    fingerprint: imported.Fingerprint,
    state: Path,
    names: dict[str, str],
    console: Console,
) -> None:
    noted = imported.last_import(state)
    if noted and noted["folder"] != fingerprint["folder"]:
        # Two folders may give one id to two people, whose histories must not become one.
        raise LocalStackError(
            f"{state} holds the data of {noted['folder']}; choose another folder with --state"
        )
    if noted == fingerprint:
        console.print(f"Data               {data}, imported before")
        return
    # Slow to import, and for the first start alone.
    from infra.importing import DynamoTarget, import_folder
    from infra.importing.target import patient_client

    target = DynamoTarget(patient_client(), names["SessionsTable"], names["UsersTable"])
    scratch = state / "import"
    shutil.rmtree(scratch, ignore_errors=True)  # what a kill left there
    scratch.mkdir()
    with progress_bars(console) as report:
        summary = import_folder(data, target, scratch=scratch, progress=report)
    imported.note_import(state, fingerprint)
    console.print(
        f"Data               {data}: {summary.events:,} events of {summary.users:,} users "
        f"imported; {summary.skipped_users:,} users were in place already"
    )


def _example_user(names: dict[str, str]) -> str:
    """A user to try: 429, whom the demo has, or whichever is found first; as JSON."""
    client, table = dynamodb_client(), names["UsersTable"]
    if DynamoUserStore(client, table).get("429"):
        return "429"
    found = client.scan(TableName=table, Limit=1)["Items"]
    return json.dumps(json_id(found[0]["user_id"]["S"] if found else "429"))


class _Log(io.TextIOBase):
    """A text file that passes over what it cannot write: a full disk must fail no request."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._file.write(text.encode())
        return len(text)


@contextmanager
def _logged(file: Path) -> Iterator[None]:
    """What this process logs goes to the file, beside what the functions print."""
    with file.open("ab", buffering=0) as opened:
        log = _Log(opened)
        logging.captureWarnings(True)
        logging.basicConfig(stream=log, level=logging.WARNING, force=True)
        yield


def _functions(
    template: templates.Template, names: dict[str, str], endpoint: str, bundle: Bundle
) -> list[Function]:
    # Here a function is called by its logical id.
    names = names | {function_id: function_id for function_id in template.functions()}
    settings = local_settings(endpoint) | {
        "BUNDLE_PATH": str(bundle.path.resolve()),
        "SEGUE_AS_OF": _as_of(bundle),
    }
    return [
        Function(
            function_id,
            template.handler(function_id),
            template.code_uri(function_id),
            template.environment(function_id, names) | settings,
            template.timeout(function_id),
            template.reserved_concurrency(function_id),
        )
        for function_id in template.functions()
    ]


def _models(names: dict[str, str], bundle: Bundle) -> str:
    """What is served: the bundle in the folder, or one that was activated in its stead."""
    active = S3Bundles(s3_client(), names["Bucket"]).active()
    if active in (None, bundle.version):
        return f"bundle {bundle.version}"
    return f"bundle {active}, which was activated in place of {bundle.version}"


def _as_of(bundle: Bundle) -> str:
    return format_time(bundle.manifest.cutoff)


def http_server(gateway: Gateway) -> uvicorn.Server:
    """The gateway, to be run on a listener."""
    config = uvicorn.Config(
        gateway,
        http=Protocol,
        # The gateway says itself that there is none; a library for it would say nothing.
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
    )
    return uvicorn.Server(config)


_WHAT_TO_TRY = """
{url} is ready: open it in a browser, or try:

  curl {url}/models/1/predict -d '{{"user_id": {user}}}'    # autoencoder
  curl {url}/models/2/predict -d '{{"user_id": {user}}}'    # classifier
  curl {url}/perform_ab_test  -d '{{"user_id": {user}}}'
  curl {url}/ab_test/results

Results are compacted every {period} seconds. But time stands still here: what an experiment has
shown is settled when you say so, by

  curl {url}/2015-03-31/functions/MaintenanceFunction/invocations -d '{{}}'

The functions' log is {state}/functions.log. Ctrl-C stops everything; nothing is lost.
"""
