"""Who sees which arm: a pure function of epoch and user, the same on every machine."""

from collections.abc import Sequence
from hashlib import sha256
from itertools import accumulate

from segue.experiments.epoch import Epoch
from segue.experiments.experiment import Arm, Experiment
from segue.experiments.layers import PARTS


def position(salt: str, user_id: str) -> float:
    """The user's place in [0, 1), uniform over users and independent from epoch to epoch.

    ``int(sha256("{salt}:{user}")[:8], big-endian) / 2**64``. Each epoch has a salt of its own, so
    a new one shuffles all users anew.
    """
    return int.from_bytes(_digest(salt, user_id)[:8], "big") / 2**64


def seed(salt: str, user_id: str) -> int:
    """What further chance about the user is drawn from; independent of their position."""
    return int.from_bytes(_digest(salt, user_id)[8:16], "big")


def takes_part(experiment: Experiment, user_id: str) -> bool:
    """Whether the user is one of those who are assigned to arms live.

    That has nothing to do with the arm, nor with the epoch: who takes part goes on doing so when
    the share grows.
    """
    layer = experiment.layer
    salt = f"traffic:{experiment.name}" if layer is None else f"layer:{layer}"
    part = int(position(salt, user_id) * PARTS)
    return any(start <= part < end for start, end in experiment.slots)


def assign(epoch: Epoch, user_id: str) -> Arm:
    """The user's arm by the arms' shares."""
    return choose(epoch, user_id, [arm.share for arm in epoch.experiment.arms])


def choose(epoch: Epoch, user_id: str, shares: Sequence[float]) -> Arm:
    """The user's arm. Arms own fixed, adjoining ranges of [0, 1), in their order.

    ``shares``: (arms,), summing to 1.
    """
    arms, place = epoch.experiment.arms, position(epoch.id.salt, user_id)
    # The last arm takes what rounding leaves between the shares' sum and 1.
    return next(
        (arm for arm, end in zip(arms, accumulate(shares), strict=True) if place < end), arms[-1]
    )


def _digest(salt: str, user_id: str) -> bytes:
    return sha256(f"{salt}:{user_id}".encode()).digest()
