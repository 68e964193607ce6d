"""Why the local stack cannot run; the message is for the person at the terminal."""

from segue.domain.errors import SegueError


class LocalStackError(SegueError):
    """The local stack cannot start: a port or the state folder is taken, or a part of it fails."""


class StateDamaged(LocalStackError):
    """A file of the state folder is not what was written to it. Nothing has been changed."""
