"""What the tests of the statistics share: values of other libraries, and arms of any size."""

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from segue.statistics.asymptotic import Sample
from segue.statistics.counts import Counts

ORACLES: dict[str, Any] = json.loads(Path(__file__).with_name("ab_oracles.json").read_text())
MILLIONS = 10_000_000


def at_a_known_share(oracle: dict[str, Any]) -> dict[str, Any]:
    """The oracle's values by today's names: it has E at a share of 0.5, and another interval."""
    renamed = {"E": "E_at_share", "E_plus": "E_plus_at_share"}
    return {renamed.get(name, name): it for name, it in oracle.items() if name != "cs"}


def sample(users: int, mean: float, variance: float = 0.0) -> Sample:
    """One arm's values of a figure; ``variance`` is that with n - 1."""
    return Sample(users, users * mean, (users - 1) * variance + users * mean**2)


@st.composite
def arms(draw: st.DrawFn) -> Counts:
    """One arm's outcomes, up to ten million users, small ones often."""
    users = draw(st.integers(0, MILLIONS) | st.integers(0, 50))
    return Counts(draw(st.integers(0, users)), users)
