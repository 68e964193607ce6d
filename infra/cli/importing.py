"""``segue import``: users and events into the tables, here or on AWS."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.options import Json
from infra.cli.output import console, write_json
from segue.domain.errors import InvalidData

if TYPE_CHECKING:
    from rich.console import Console

    from infra.importing import ImportSummary, SqlSource, Target
    from infra.progress import Report


def import_data(
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A data folder to import.")
    ] = None,
    sql: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A query that returns the columns of sessions."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="SEGUE_DATABASE_URL",
            help="The database of --sql, as SQLAlchemy writes it: postgresql://..., sqlite:///...",
        ),
    ] = None,
    users_sql: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A query that returns the columns of users."),
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The feature schema that the models are trained with, where it is neither the "
            "folder's own nor Pozytywka's: it names the further columns of users to keep.",
        ),
    ] = None,
    sessions_table: Annotated[
        str | None, typer.Option(envvar="SESSIONS_TABLE", help="The table of sessions.")
    ] = None,
    users_table: Annotated[
        str | None, typer.Option(envvar="USERS_TABLE", help="The table of users.")
    ] = None,
    endpoint_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="A local stack that runs, such as http://127.0.0.1:4566; else AWS."
        ),
    ] = None,
    json_file: Json = None,
) -> None:
    """Bring users and events into the tables. Safe to repeat; resumes where it was stopped.

    A user who was erased comes back if the source still has them: take them out of it first.
    """
    from infra.progress import progress_bars

    source = _source(data, sql, url, users_sql)
    target = _target(sessions_table, users_table, endpoint_url)
    terminal = console(json_file)
    with progress_bars(terminal) as report:
        summary = _run(source, target, schema, report)
    _describe(summary, terminal)
    write_json(summary.to_json(), json_file)


def _source(
    data: Path | None, sql: Path | None, url: str | None, users_sql: Path | None
) -> "Path | SqlSource":
    from infra.importing import SqlSource

    if data and not (sql or users_sql):
        return data
    if sql and url and not data:
        return SqlSource(url, sql, users_sql)
    raise InvalidData("say what to import: either --data DIR, or --sql FILE and --url URL")


def _target(
    sessions_table: str | None, users_table: str | None, endpoint_url: str | None
) -> "Target":
    from infra.importing import DynamoTarget
    from infra.importing.target import patient_client
    from infra.local.environment import TEMPLATE, create_local_resources, point_aws_at
    from infra.template import load

    if endpoint_url:
        point_aws_at(endpoint_url)
        local = create_local_resources(load(TEMPLATE))
        sessions_table, users_table = local["SessionsTable"], local["UsersTable"]
    if not (sessions_table and users_table):
        raise InvalidData(
            "say where to import: --sessions-table and --users-table (the stack's outputs), or "
            "--endpoint-url of a local stack"
        )
    return DynamoTarget(patient_client(), sessions_table, users_table)


def _run(
    source: "Path | SqlSource", target: "Target", schema: Path | None, report: "Report"
) -> "ImportSummary":
    from infra.importing import import_folder, import_sql
    from segue.features.schema import POZYTYWKA

    if isinstance(source, Path):
        return import_folder(source, target, schema=schema, progress=report)
    return import_sql(source, target, schema=schema or POZYTYWKA, progress=report)


def _describe(summary: "ImportSummary", terminal: "Console") -> None:
    terminal.print(
        f"{summary.events:,} events in {summary.sessions:,} sessions of {summary.users:,} users "
        f"imported; {summary.skipped_users:,} users were in place already"
    )
    for file in summary.data.files.values():
        if file.quarantined:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in file.reasons.items())
            terminal.print(
                f"{file.file}: {file.quarantined:,} of {file.read:,} rows not usable: {reasons}"
            )
