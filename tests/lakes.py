"""Lakes for tests, of the layout that docs/data.md says."""

import json
from pathlib import Path

import duckdb

from segue.domain.times import DAY, format_time
from training.data.queries import create_view


def write_lake(workspace: Path, lake: Path) -> None:
    """Write the events of a workspace as a lake whose days are all complete."""
    connection = duckdb.connect()
    create_view(connection, "events", workspace / "events.parquet")
    day = "strftime(make_timestamp(time * 1000), '%Y-%m-%d') AS day"
    connection.execute(
        f"COPY (SELECT *, {day} FROM events) TO '{lake}/events' (FORMAT parquet, PARTITION_BY day)"
    )
    (lake / "days").mkdir()
    counts = dict(
        connection.sql(f"SELECT time // {DAY}, COUNT(*) FROM events GROUP BY 1").fetchall()
    )
    for number in range(min(counts), max(counts) + 1):
        name = format_time(number * DAY)[:10]
        files = [str(it.relative_to(lake)) for it in (lake / f"events/day={name}").glob("*")]
        content = {"day": name, "events": counts.get(number, 0), "files": files}
        (lake / f"days/{name}.json").write_text(json.dumps(content))
