"""Profiles from the workspace."""

import duckdb

from segue.domain.users import User


def read_users(connection: duckdb.DuckDBPyConnection) -> dict[str, User]:
    """Every profile, by user id."""
    rows = connection.execute(
        "SELECT user_id, favourite_genres, premium FROM users ORDER BY user_id"
    ).fetchall()
    return {
        user_id: User(user_id, tuple(genres or ()), bool(premium))
        for user_id, genres, premium in rows
    }
