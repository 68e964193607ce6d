"""Contenders beside our models: chance, the truth where it is known, and the peers."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.domain.times import format_time
from training.catalogue import EncodedCatalogue
from training.evaluation.options import Options
from training.evaluation.results import CutoffResults, Judge
from training.protocol.lists import VIEWS, Lists, lists_of
from training.protocol.split import Split, load_split
from training.protocol.temporal import earlier_split

RANDOM = "random"
ORACLE = "oracle"
_FEATURES = "features.npy"


def draw_at_random(split: Split, k: int, seed: int) -> Mapping[str, NDArray[np.int32]]:
    """Whoever does no better than this has learnt nothing, and on data without sense must not."""
    random = np.random.default_rng((seed, int(split.cutoff)))
    return lists_of(split, (random.random(split.tracks, np.float32) for _ in split.judged), k)


class PeerRun:
    """The peers of an evaluation, run in processes of their own, and judged as ours are.

    work: the folder in which they work, cut-off by cut-off.
    """

    def __init__(self, work: Path, options: Options) -> None:
        self._work = work
        self._options = options

    def prepare(self, encoded: EncodedCatalogue, split: Split) -> None:
        """Write down what they are fitted on, and the earlier split that they are tuned on."""
        if not self._options.peers:
            return
        folder = self._folder(int(split.cutoff))
        split.save(folder / "now")
        earlier_split(split, self._options.seed).save(folder / "earlier")
        np.save(folder / _FEATURES, encoded.features)

    def judge(
        self, judged: Sequence[CutoffResults]
    ) -> tuple[list[CutoffResults], Mapping[str, Any]]:
        """The results with those of the peers; by peer what they chose, and why some failed."""
        if not self._options.peers:
            return list(judged), {}
        # Its libraries are needed by those alone who ask for peers.
        from training.peers.runner import CHOSEN, FAILURES

        self.run()
        return [self._with_peers(one) for one in judged], {
            "settings": self._notes(CHOSEN, judged),
            "failures": self._notes(FAILURES, judged),
        }

    def run(self) -> None:
        """Have all of them write their lists for every cut-off that was prepared."""
        from training.peers.environment import run_peers

        options = self._options
        run_peers(self._work, options.peers, options.k, options.progress)

    def lists(self, cutoff: int) -> dict[str, Lists]:
        """What each peer recommends at a cut-off; one that failed is left out."""
        from training.peers.runner import lists_path

        found: dict[str, Lists] = {}
        for name in self._options.peers:
            path = lists_path(self._work, self._folder(cutoff).name, name)
            if path.is_file():
                with np.load(path) as lists:
                    found[name] = {view: lists[view] for view in VIEWS}
        return found

    def _folder(self, cutoff: int) -> Path:
        # Of equal length, so that names sort as times do.
        return self._work / "splits" / f"{cutoff:015d}"

    def _with_peers(self, results: CutoffResults) -> CutoffResults:
        folder = self._folder(results.cutoff)
        judge = Judge(load_split(folder / "now"), np.load(folder / _FEATURES))
        measures = dict(results.measures)
        for name, lists in self.lists(results.cutoff).items():
            measures[peer_name(name, results.measures)] = judge.measures(name, lists)
        return replace(results, measures=measures)

    def _notes(self, name: str, judged: Sequence[CutoffResults]) -> dict[str, Any]:
        """By cut-off and peer."""
        path = self._work / name
        notes = json.loads(path.read_bytes()) if path.is_file() else {}
        times = {self._folder(one.cutoff).name: format_time(one.cutoff) for one in judged}
        return {times[folder]: of_peers for folder, of_peers in notes.items()}


def peer_names(*, long: bool) -> list[str]:
    """The peers there are, without chance, which is always judged as a reference.

    long: with those that need an interpreter of their own.
    """
    from training.peers.registry import LONG, SHORT

    return [name for name in (*SHORT, *(LONG if long else ())) if name != RANDOM]


def peer_name(name: str, taken: Collection[str]) -> str:
    """The peer's name in the answer, where one of ours may bear the same."""
    return f"{name} (peer)" if name in taken else name
