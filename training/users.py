"""Profiles from the workspace."""

from collections.abc import Iterable

import duckdb
import pyarrow as pa

from segue.domain.users import User, attributes_from_json


def read_users(
    connection: duckdb.DuckDBPyConnection, user_ids: Iterable[str] | None = None
) -> dict[str, User]:
    """Every profile, or those of the users that are named, by user id."""
    columns = "SELECT user_id, favourite_genres, premium, attributes FROM users"
    if user_ids is not None:
        connection.register("named", pa.table({"user_id": pa.array(user_ids, pa.string())}))
        columns += " SEMI JOIN named USING (user_id)"
    rows = connection.execute(f"{columns} ORDER BY user_id").fetchall()
    return {
        user_id: User(user_id, tuple(genres), premium, attributes_from_json(attributes))
        for user_id, genres, premium, attributes in rows
    }
