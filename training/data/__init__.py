"""Reads listening data into a workspace of Parquet files, and asks questions of it in SQL.

The flow::

    folder                     tracks, artists, users, sessions: .jsonl, .jsonl.gz or .parquet
      |  sources, intake       stream rows; every row that cannot be used is put aside, with reasons
      |  catalogue, listening  join artists to tracks; drop repeated events, sort, label the plays
      v
    workspace                  events, plays, users, tracks (.parquet);
      |                        quarantine.jsonl, summary.json
      |  queries               sql/*.sql, the same text that Spark runs on many machines
      v
    training, evaluation, import

``ingest`` fills a workspace. So does ``open_data``, with other forms of data, too: MovieLens in
RecBole's atomic files (``movielens``), and lists of who played what with a given split (``given``).
``check`` only says what a folder holds, ``render`` draws what any of them answers. ``convert``
makes a folder of what other services export (``exports``). ``connect`` opens a workspace, and
``query`` runs a file of ``sql/``::

    ingest(Path("data"), Path("workspace"))
    with connect(Path("workspace")) as connection:
        plays = query(connection, "plays.sql")

What was known of the plays at a moment, ``known.sql`` says while they are read, and
``training.plays`` of those that are in memory: models ask for many moments.
"""

from training.data.conversion import Conversion, convert
from training.data.forms import folder_schema, is_given
from training.data.ingest import ingest
from training.data.intake import Progress
from training.data.movielens import MovieLens, convert_movielens
from training.data.opening import OpenedData, check, open_data
from training.data.queries import connect, query
from training.data.render import render, render_quarantine
from training.data.summary import FileSummary, Summary

__all__ = [
    "Conversion",
    "FileSummary",
    "MovieLens",
    "OpenedData",
    "Progress",
    "Summary",
    "check",
    "connect",
    "convert",
    "convert_movielens",
    "folder_schema",
    "ingest",
    "is_given",
    "open_data",
    "query",
    "render",
    "render_quarantine",
]
