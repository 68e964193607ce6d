"""Plays, weeks, tracks, users, evaluations and A/B records as pandas DataFrames, for analysts.

The first four are read from a workspace, the others from a file that a command has written::

    ingest(Path("data"), Path("workspace"))
    with connect(Path("workspace")) as connection:
        plays = frames.plays(connection)
        tracks = frames.tracks(connection)
    both = plays.merge(tracks, on=Column.TRACK_ID)

Times are of dtype ``datetime64[ms, UTC]``, texts of ``str``; a missing time is ``NaT``, a missing
number or text ``nan``. All columns are in docs/tables.md, their names in ``training.tables``.
"""

from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from segue.domain.errors import InvalidData
from segue.domain.users import attributes_from_json
from training.data import query
from training.data.parquet import DAMAGE
from training.tables import EVALUATIONS, PLAYS, RECORDS, TRACKS, USERS, WEEKS, Column

# As other tables call them; what the data call so themselves gets an underscore behind it.
_RENAMED = {
    "id": Column.TRACK_ID,
    "id_artist": Column.ARTIST_ID,
    Column.TRACK_ID: f"{Column.TRACK_ID}_",
    Column.ARTIST_ID: f"{Column.ARTIST_ID}_",
}


def plays(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Read every play, labelled as fully played or not.

    Parameters
    ----------
    connection
        A workspace, as ``training.data.connect`` opens it.

    Returns
    -------
    DataFrame
        One row a play, in the order of (user, time, track, session): ``user_id``, ``session_id``,
        ``track_id`` (str), ``time`` (datetime64[ms, UTC]), ``completed``, ``liked`` (bool),
        ``skipped_at``, ``liked_at`` (datetime64[ms, UTC], NaT where that has not happened).

    Notes
    -----
    ``completed`` and ``liked`` say what is known at the end of the data. As of an earlier moment,
    a play was not skipped whose ``skipped_at`` is that moment or later; ``liked_at`` likewise.
    """
    table = connection.sql(
        "SELECT * FROM plays ORDER BY user_id, time, track_id, session_id"
    ).to_arrow_table()
    return _frame(table.select(PLAYS.names).cast(PLAYS))


def weeks(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Read how much each track was played in each week.

    Parameters
    ----------
    connection
        A workspace, as ``training.data.connect`` opens it.

    Returns
    -------
    DataFrame
        One row a track and week in which it was played, in this order: ``track_id`` (str),
        ``week`` (datetime64[ms, UTC], the Monday that it begins on), ``plays``, ``full_plays``,
        ``liked_plays``, ``listeners`` (int64).
    """
    return _frame(query(connection, "weeks.sql").cast(WEEKS))


def tracks(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Read the catalogue.

    Parameters
    ----------
    connection
        A workspace, as ``training.data.connect`` opens it.

    Returns
    -------
    DataFrame
        One row a track, in the order of their ids: ``track_id``, ``artist_id``, ``artist_name``
        (str), ``artist_genres`` (object: an array of str, or None), and every other column of the
        data under its own name: str, float64, int64, bool or object. An int64 or a bool with
        missing values is float64 or object.
    """
    table = connection.sql("SELECT * FROM tracks ORDER BY id").to_arrow_table()
    table = table.rename_columns([_RENAMED.get(name, name) for name in table.column_names])
    for field in TRACKS:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    others = [name for name in table.column_names if name not in TRACKS.names]
    return _frame(table.select([*TRACKS.names, *others]))


def users(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Read the profiles of the users who have one.

    Parameters
    ----------
    connection
        A workspace, as ``training.data.connect`` opens it.

    Returns
    -------
    DataFrame
        One row a user, in the order of their ids: ``user_id`` (str), ``favourite_genres`` (object:
        an array of str), ``premium`` (bool), and a column for everything else that the feature
        schema reads of users.
    """
    table = connection.sql("SELECT * FROM users ORDER BY user_id").to_arrow_table()
    attributes = [attributes_from_json(text) for text in table["attributes"].to_pylist()]
    return _frame(table.select(USERS.names).cast(USERS)).join(
        pd.DataFrame(attributes), suffixes=("", "_")
    )


def evaluations(path: Path) -> pd.DataFrame:
    """Read how each listener was served, as ``segue evaluate --evaluations`` has written it.

    Parameters
    ----------
    path
        The Parquet file.

    Returns
    -------
    DataFrame
        One row a listener, model or peer, view, cut-off and seed: ``cutoff`` (datetime64[ms, UTC]),
        ``user_id``, ``model``, ``role``, ``view`` (str), ``seed``, ``plays`` (int64), ``kind``
        (str), and the measures ``hit``, ``ndcg``, ``recall``, ``map``, ``novelty``, ``diversity``,
        ``popularity``, ``played_popularity`` (float64, nan where a list is too short for one).

    Raises
    ------
    InvalidData
        The file is missing, or is no such table.
    """
    return _frame(_read(path, EVALUATIONS))


def records(path: Path) -> pd.DataFrame:
    """Read the records of an A/B test, as ``segue results export`` has written them.

    Parameters
    ----------
    path
        The Parquet file.

    Returns
    -------
    DataFrame
        One row a user: ``created_at`` (datetime64[ms, UTC]), ``user_id``, ``group``, ``model``
        (str), ``recomm_successful`` (int8: 0 or 1), ``tracks`` (object: an array of str, best
        first), ``as_of``, ``settled_at`` (datetime64[ms, UTC]), ``bundle``, ``error`` (str, nan
        where nothing failed), ``credits``, ``propensities`` (object: a dict by group, or None),
        ``later`` (object: an array of dicts, one for each further list, with ``shown_at`` and
        ``tracks``), ``positions`` (object: an array of int, from 1 on).

    Raises
    ------
    InvalidData
        The file is missing, or is no such table.
    """
    return _frame(_read(path, RECORDS))


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        table = pq.read_table(path)
        return table.select(schema.names).cast(schema)
    except (*DAMAGE, KeyError, ValueError) as error:
        columns = ", ".join(schema.names)
        raise InvalidData(f"{path}: no Parquet file of {columns} ({error})") from None


def _frame(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas(maps_as_pydicts="strict")
