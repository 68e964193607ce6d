"""Settings, read from the environment once at cold start."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segue.domain.times import parse_time


@dataclass(frozen=True, slots=True)
class Settings:
    """Where everything is. The template sets these for a function, ``segue serve`` on a laptop.

    ``as_of`` (``SEGUE_AS_OF``) stands in for "now" where a request names no time, so that a
    demonstration on past data recommends as of that past; empty in production. ``bundle_poll``
    (``BUNDLE_POLL_SECONDS``): so long may it take until another active bundle is noticed.
    ``bundle_key`` (``BUNDLE_KEY``): the key of KMS that must have signed it; empty: none need have.
    """

    sessions_table: str
    users_table: str
    tracks_table: str
    exposures_table: str
    bucket: str
    bundle: Path
    bundle_poll: float
    bundle_key: str
    as_of: int | None

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings. Raises KeyError naming the variable that is not set."""
        env = os.environ if env is None else env
        as_of = env.get("SEGUE_AS_OF")
        return cls(
            sessions_table=env["SESSIONS_TABLE"],
            users_table=env["USERS_TABLE"],
            tracks_table=env["TRACKS_TABLE"],
            exposures_table=env["EXPOSURES_TABLE"],
            bucket=env["BUCKET"],
            bundle=Path(env.get("BUNDLE_PATH", "/opt/bundle")),
            bundle_poll=float(env.get("BUNDLE_POLL_SECONDS", "30")),
            bundle_key=env.get("BUNDLE_KEY", ""),
            as_of=parse_time(as_of) if as_of else None,
        )
