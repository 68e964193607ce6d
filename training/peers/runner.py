"""Runs peers over the splits of a folder, and writes their lists there.

The folder holds ``splits/<n>/now`` and, where settings can be chosen, ``splits/<n>/earlier``, as
``Split.save`` writes them. What comes of it: ``lists/<n>/<peer>.npz``, with the arrays ``any`` and
``new``, (judged, k) int32 positions of tracks, best first, -1 behind the last; ``chosen.json``,
split by split and peer by peer the settings; ``failures.json``, in the same order why a peer has no
lists. Lists that are there already are kept, so a run that was cut off goes on where it was.
"""

import itertools
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from training.peers.peer import Peer, Unsuitable
from training.peers.tuning import choose, default, fit_and_recommend, view_any
from training.protocol.split import load_split

CHOSEN, FAILURES = "chosen.json", "failures.json"


@dataclass(frozen=True)
class Step:
    """How far a peer is with a split; ``failed`` says why there will be no lists."""

    peer: str
    split: str
    done: int
    total: int
    failed: str = ""


Report = Callable[[Step], None]


def run(work: Path, peers: Sequence[type[Peer]], k: int, report: Report) -> None:
    """Write the lists of all these peers; one that fails is noted, and the others go on."""
    for peer in peers:
        for split in sorted((work / "splits").iterdir()):
            try:
                _run_one(work, split, peer, k, report)
            # Whatever a library throws is this peer's failure, and the reader is told.
            except Exception as error:  # noqa: BLE001
                reason = _reason(error)
                note_failure(work, split.name, peer.name, reason)
                report(Step(peer.name, split.name, total := _steps(peer), total, reason))


def note_failure(work: Path, split: str, peer: str, reason: str) -> None:
    """Put down why a peer has no lists for a split."""
    _note(work / FAILURES, split, peer, reason)


def lists_path(work: Path, split: str, peer: str) -> Path:
    """Where the lists of a peer for a split are."""
    return work / "lists" / split / f"{peer}.npz"


def done(work: Path, split: str, peer: str, k: int) -> bool:
    """Whether whole lists of that length are there."""
    try:
        # Opened here: NumPy leaves a file that it cannot read open.
        with (
            lists_path(work, split, peer).open("rb") as file,
            np.load(file, allow_pickle=False) as lists,
        ):
            return bool(lists["any"].shape[1] == lists["new"].shape[1] == k)
    except (OSError, ValueError, KeyError, BadZipFile):
        return False


def _run_one(work: Path, split: Path, peer: type[Peer], k: int, report: Report) -> None:
    total = _steps(peer)
    if not done(work, split.name, peer.name, k):
        counts = itertools.count(1)
        # Libraries warn of what no reader can mend; what matters is how good the lists are.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _write_lists(
                work,
                split,
                peer,
                k,
                lambda: report(Step(peer.name, split.name, next(counts), total)),
            )
    if peer.name in read_notes(work / FAILURES).get(split.name, {}):
        _note(work / FAILURES, split.name, peer.name, None)
    report(Step(peer.name, split.name, total, total))


def _steps(peer: type[Peer]) -> int:
    """One for each setting, and one for the split itself."""
    return len(peer.grid) + 1


def _write_lists(
    work: Path, split: Path, peer: type[Peer], k: int, step: Callable[[], None]
) -> None:
    choice = default(peer)
    if (split / "earlier").is_dir():
        choice = choose(peer, load_split(split / "earlier"), k, step)
    lists = fit_and_recommend(peer, choice.setting, load_split(split / "now"), k)
    _note(work / CHOSEN, split.name, peer.name, asdict(choice))
    path = lists_path(work, split.name, peer.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".partial")
    with draft.open("wb") as file:
        np.savez(file, any=view_any(lists, choice.repeats), new=lists.unheard)
    draft.replace(path)


def _reason(error: Exception) -> str:
    if isinstance(error, Unsuitable):
        return str(error)
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def _note(path: Path, split: str, peer: str, value: Any) -> None:
    """Set one entry of a JSON file, or with None take it out."""
    content = dict(read_notes(path))
    notes = {name: note for name, note in content.pop(split, {}).items() if name != peer}
    if value is not None:
        notes[peer] = value
    if notes:
        content[split] = notes
    draft = path.with_suffix(".partial")
    draft.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    draft.replace(path)


def read_notes(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """What ``chosen.json`` or ``failures.json`` says: split by split, peer by peer."""
    if not path.exists():
        return {}
    notes: Mapping[str, Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return notes
