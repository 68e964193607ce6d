"""What the tables are called."""

from enum import StrEnum


class TableName(StrEnum):
    """What a table holds, as the command line calls it."""

    SESSIONS = "sessions"
    USERS = "users"
    TRACKS = "tracks"
    EXPOSURES = "exposures"

    @property
    def logical_id(self) -> str:
        """The table's, in the template."""
        return f"{self.capitalize()}Table"
