"""How fast a table's items come back: ``python -m infra.benchmarks.restoring``.

Made-up sessions are put into a local stack, backed up, lost and brought back. On AWS the table
takes as much as is sent, so what bounds the copy is this machine's processor. The seconds are
mostly those of the stand-in.
"""

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from infra.cli.options import Json
from infra.cli.output import console, write_json
from infra.local import stack
from infra.local.environment import TEMPLATE, create_local_resources, point_aws_at
from infra.process import listen
from infra.restore.erasures import Erasures
from infra.restore.items import restore_items
from infra.restore.names import TableName
from infra.restore.stack import local_stack
from infra.template import load
from segue.domain.events import Event, EventType
from segue.domain.times import DAY

_NOW = 1_662_000_000_000
_SESSIONS, _EVENTS = 20, 15


def measure(users: int) -> dict[str, float]:
    """Bring back the sessions of so many users, all of which were lost; each is looked up twice."""
    with (
        TemporaryDirectory() as folder,
        listen(0, "--stack-port") as listener,
        stack.running(Path(folder), listener) as url,
    ):
        point_aws_at(url)
        create_local_resources(load(TEMPLATE))
        found = local_stack(url)
        for user in range(users):
            found.sessions.put(_history(str(user)))
        client, name = found.dynamodb, found.table(TableName.SESSIONS)
        backup = client.create_backup(TableName=name, BackupName="before")
        for user in range(users):
            found.sessions.delete(str(user))
        elapsed, used = time.perf_counter(), time.process_time()
        arn = backup["BackupDetails"]["BackupArn"]
        restored = restore_items(found, TableName.SESSIONS, arn, Erasures(found))
        used, elapsed = time.process_time() - used, time.perf_counter() - elapsed
    return {
        "items": restored.written,
        "seconds": elapsed,
        "items_a_second_of_cpu": restored.written / used,
    }


def _history(user: str) -> list[Event]:
    return [
        Event(user, f"s{session}", _NOW + session * DAY + place, EventType.PLAY, f"{place:022}")
        for session in range(_SESSIONS)
        for place in range(_EVENTS)
    ]


def main(
    users: Annotated[int, typer.Option(min=1, help="Each of 20 sessions of 15 events.")] = 500,
    json_file: Json = None,
) -> None:
    """Measure how fast a table's items come back."""
    measured: Any = measure(users)
    console(json_file).print(
        f"{measured['items']:,} items in {measured['seconds']:.0f} s; "
        f"{measured['items_a_second_of_cpu']:,.0f} a second of processor time"
    )
    write_json(json.dumps(measured), json_file)


if __name__ == "__main__":
    typer.run(main)
