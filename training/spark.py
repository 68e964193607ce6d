"""Labels and counts the plays of a lake with Spark, by the SQL files that DuckDB runs elsewhere.

A job file for EMR Serverless, or for ``spark-submit`` anywhere::

    spark-submit training/spark.py --lake s3://bucket/lake --out s3://bucket/lake

It writes ``plays`` and ``weeks`` there, folders of Parquet files of the columns that docs/tables.md
says, times in milliseconds since 1970 UTC. It needs Python 3.9 and PySpark alone: nothing of Segue
is installed where it runs, so the SQL files come from a folder, which may be on S3, too.
"""

import argparse
from datetime import date
from pathlib import Path

from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

# In this order: each file may read what those before it have answered.
FILES = ("plays", "weeks")
_SQL = Path(__file__).parent / "data" / "sql"
_DAYS = "day DATE, files ARRAY<STRING>"


def run(spark: SparkSession, lake: str, out: str, sql: str) -> None:
    """Run FILES of the folder ``sql`` over the complete days of a lake. What was in the folders of
    ``out`` before is replaced.

    Exits with one line where a day is missing between the first and the last complete one.
    """
    events = spark.read.parquet(*(f"{lake}/{file}" for file in complete_files(spark, lake)))
    # An event that came late may stand in two files.
    columns = events.select("user_id", "session_id", "time", "type", "track_id")
    columns.distinct().createOrReplaceTempView("events")
    for name in FILES:
        spark.sql(read_sql(spark, sql, name)).write.mode("overwrite").parquet(f"{out}/{name}")
        spark.read.parquet(f"{out}/{name}").createOrReplaceTempView(name)


def complete_files(spark: SparkSession, lake: str) -> list[str]:
    """The files of all days of a lake that its ``days`` say are complete."""
    try:
        rows = spark.read.schema(_DAYS).json(f"{lake}/days").collect()
    except AnalysisException:
        raise SystemExit(f"{lake}/days does not exist: no day is complete") from None
    days = {row.day: row.files for row in rows}
    first, last = min(days), max(days)
    for number in range(first.toordinal(), last.toordinal()):
        if date.fromordinal(number) not in days:
            raise SystemExit(f"{lake}: day {date.fromordinal(number)} is not complete: export it")
    return [file for day in sorted(days) for file in days[day]]


def read_sql(spark: SparkSession, sql: str, name: str) -> str:
    """The text of a file."""
    return str(spark.read.text(f"{sql}/{name}.sql", wholetext=True).collect()[0].value)


def main() -> None:
    """Read the command line, and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lake", required=True, help="where events/ and days/ are")
    parser.add_argument("--out", required=True, help="where plays/ and weeks/ go")
    parser.add_argument("--sql", default=_SQL.as_uri(), help="the folder of the SQL files")
    given = parser.parse_args()
    spark = SparkSession.builder.appName("Segue: plays and weeks").getOrCreate()
    run(spark, given.lake, given.out, given.sql)
    spark.stop()


if __name__ == "__main__":
    main()
