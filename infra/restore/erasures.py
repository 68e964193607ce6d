"""Who was erased since the moment that something is brought back from."""

from collections.abc import Iterable
from pathlib import Path

from infra.restore.stack import Stack
from segue.domain.errors import InvalidData
from segue.domain.times import SECOND

# What was erased so long before the moment counts as erased since: clocks differ, and a backup's
# moment is not the same for every item.
_MARGIN = 300 * SECOND


class Erasures:
    """Erased users, by the marks in the table of exposures, which last longer than any backup that
    the tables make themselves, and by a list of one's own."""

    def __init__(self, stack: Stack, listed: Iterable[str] = ()) -> None:
        self._stack = stack
        self._listed = frozenset(listed)

    def since(self, moment: int) -> frozenset[str]:
        """Users who were erased since then, in milliseconds; all of the list. One Scan of the
        table of exposures. Raises StoreUnavailable."""
        marks = self._stack.results.erased()
        return self._listed | {user for user, at in marks if at >= moment - _MARGIN}


def read_erased(file: Path) -> list[str]:
    """The user ids in a file, one a line. Raises InvalidData."""
    try:
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidData(f"the list of erased users {file} cannot be read: {error}") from None
