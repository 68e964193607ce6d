"""Who sees which arm: a pure function of experiment, epoch and user, the same on every machine."""

from hashlib import sha256
from itertools import accumulate

from segue.experiments.experiment import Arm, Experiment


def position(experiment: str, epoch: int, user_id: str) -> float:
    """The user's place in [0, 1), uniform over users and independent from epoch to epoch.

    ``int(sha256("experiment:epoch:user")[:8], big-endian) / 2**64``. The epoch is the salt, so a
    new one shuffles all users anew.
    """
    digest = sha256(f"{experiment}:{epoch}:{user_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign(experiment: Experiment, user_id: str) -> Arm:
    """The user's arm. Arms own fixed, adjoining ranges of [0, 1), in their order."""
    place = position(experiment.name, experiment.epoch, user_id)
    bounds = accumulate(arm.share for arm in experiment.arms)
    # The last arm takes what rounding leaves between the shares' sum and 1.
    return next(
        (arm for arm, bound in zip(experiment.arms, bounds, strict=True) if place < bound),
        experiment.arms[-1],
    )
