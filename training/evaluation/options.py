"""What an evaluation is asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segue.domain.catalogue import Catalogue
from training.progress import Progress
from training.protocol.lists import Lists
from training.protocol.split import Split

# From a split, the catalogue of its tracks, and k, to lists.
Contender = Callable[[Split, Catalogue, int], Lists]


def silent(phase: str, done: int, total: int) -> None:
    """No progress."""


@dataclass(frozen=True)
class Options:
    """What is judged, how, and who is told how far it is.

    split: by cut-offs in time, or the one that the data came with.
    cutoffs: milliseconds since 1970 UTC; none: every week that the data allows, or the one of the
    given split.
    k: length of the lists.
    peers: names of ``training.peers``.
    oracle: a contender that knows the truth.
    ablations: judge the autoencoder without artist, without genres and without both, too.
    cold: at the last cut-off, judge ours on tracks that are held out of all plays before it.
    check_leaks: fit our models once more at the last cut-off, with garbage for what came after it.
    seed: the same seed gives the same answer.
    seeds: train our models so many times at each cut-off, with ``seed`` and those that follow it;
    figures are means over them, and intervals hold how much they differ, see ``results``. All else
    is of the first seed: peers, references, curves, tradeoff, likeness, leaks and cold.
    evaluations: a Parquet file to write what was measured of each listener into.
    progress: called as the work goes on.
    """

    split: Literal["temporal", "given"] = "temporal"
    cutoffs: Sequence[int] = ()
    k: int = 20
    peers: Sequence[str] = ()
    oracle: Contender | None = None
    ablations: bool = False
    cold: bool = False
    check_leaks: bool = False
    seed: int = 7
    seeds: int = 1
    evaluations: Path | None = None
    progress: Progress = silent
