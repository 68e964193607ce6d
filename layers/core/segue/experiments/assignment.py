"""Who sees which arm: a pure function of experiment, epoch and user, the same on every machine."""

from collections.abc import Sequence
from hashlib import sha256
from itertools import accumulate

from segue.experiments.experiment import Arm, Experiment


def position(experiment: str, epoch: int, user_id: str) -> float:
    """The user's place in [0, 1), uniform over users and independent from epoch to epoch.

    ``int(sha256("experiment:epoch:user")[:8], big-endian) / 2**64``. The epoch is the salt, so a
    new one shuffles all users anew.
    """
    return int.from_bytes(_digest(experiment, epoch, user_id)[:8], "big") / 2**64


def seed(experiment: str, epoch: int, user_id: str) -> int:
    """What further chance about the user is drawn from; independent of their position."""
    return int.from_bytes(_digest(experiment, epoch, user_id)[8:16], "big")


def assign(experiment: Experiment, user_id: str) -> Arm:
    """The user's arm by the arms' shares."""
    return choose(experiment, user_id, [arm.share for arm in experiment.arms])


def choose(experiment: Experiment, user_id: str, shares: Sequence[float]) -> Arm:
    """The user's arm. Arms own fixed, adjoining ranges of [0, 1), in their order.

    ``shares``: (arms,), summing to 1.
    """
    place = position(experiment.name, experiment.epoch, user_id)
    # The last arm takes what rounding leaves between the shares' sum and 1.
    return next(
        (arm for arm, end in zip(experiment.arms, accumulate(shares), strict=True) if place < end),
        experiment.arms[-1],
    )


def _digest(experiment: str, epoch: int, user_id: str) -> bytes:
    return sha256(f"{experiment}:{epoch}:{user_id}".encode()).digest()
