"""The outcomes of one arm, and the shares that users were allotted by."""

from collections.abc import Sequence
from dataclasses import dataclass

from segue.domain.errors import InvalidRequest
from segue.experiments.experiment import LEAST_SHARE

# Of one arm. Beyond it the products of counts that tests are made of overflow 64 bits.
MOST_USERS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Counts:
    """Settled outcomes of one arm: of ``users``, ``successes`` fully played a recommended track.

    Raises InvalidRequest where that cannot be.
    """

    successes: int
    users: int

    def __post_init__(self) -> None:
        if self.users > MOST_USERS:
            raise InvalidRequest(
                f"{self.users:,} users are more than the {MOST_USERS:,} that are counted exactly",
                field="counts",
            )
        if not 0 <= self.successes <= self.users:
            raise InvalidRequest(
                f"{self.successes}/{self.users} is not a count of successes out of users",
                field="counts",
            )

    @property
    def failures(self) -> int:
        """Users without a success."""
        return self.users - self.successes

    @property
    def rate(self) -> float | None:
        """Successes per user; None where there are no users."""
        return self.successes / self.users if self.users else None


def check_share(share: float) -> None:
    """Raises InvalidRequest unless both arms get some of the users."""
    if not LEAST_SHARE <= share <= 1 - LEAST_SHARE:
        raise InvalidRequest(
            f"share is {share}; it lies between {LEAST_SHARE:g} and 1 - {LEAST_SHARE:g}",
            field="share",
        )


def check_shares(shares: Sequence[float], arms: int) -> None:
    """Raises InvalidRequest unless two arms or more have a positive share each, summing to 1."""
    if arms < 2 or len(shares) != arms or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise InvalidRequest(
            f"shares are {list(shares)}; one positive number per arm, that sum to 1, is wanted",
            field="shares",
        )
