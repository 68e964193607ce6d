"""Profiles from the workspace."""

import duckdb

from segue.domain.users import User, attributes_from_json


def read_users(connection: duckdb.DuckDBPyConnection) -> dict[str, User]:
    """Every profile, by user id."""
    rows = connection.execute(
        "SELECT user_id, favourite_genres, premium, attributes FROM users ORDER BY user_id"
    ).fetchall()
    return {
        user_id: User(user_id, tuple(genres), premium, attributes_from_json(attributes))
        for user_id, genres, premium, attributes in rows
    }
