"""Lists: what a contender recommends to each judged listener, in each of the two views."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from segue.features.encoder import FloatArray
from segue.models.ranked import Forbidden, best
from training.protocol.split import Split

# "any": every track counts. "new": what the listener ever started before the cut-off neither
# counts nor may be recommended.
VIEWS = ("any", "new")
NOTHING = -1

# By view: (judged, k) int32 positions of tracks, best first, NOTHING behind the last.
Lists = Mapping[str, NDArray[np.int32]]


def lists_of(split: Split, scores: Iterable[FloatArray], k: int) -> dict[str, NDArray[np.int32]]:
    """The lists that follow from scores, (tracks,) for each judged listener in turn."""
    lists = empty_lists(split, k)
    for row, (scored, heard) in enumerate(zip(scores, heard_masks(split), strict=True)):
        for view, forbidden in forbidden_by_view(heard):
            found = best(scored, k, forbidden).tracks
            lists[view][row, : len(found)] = found
    return lists


def empty_lists(split: Split, k: int) -> dict[str, NDArray[np.int32]]:
    """Lists with NOTHING on them, to be filled row by row."""
    return {view: np.full((len(split.judged), k), NOTHING, np.int32) for view in VIEWS}


def forbidden_by_view(heard: Forbidden) -> tuple[tuple[str, Forbidden | None], ...]:
    """What must not be on a listener's list in each view; heard: see ``heard_masks``."""
    return ("any", None), ("new", heard)


def heard_masks(split: Split) -> Iterator[Forbidden]:
    """(tracks,) which tracks each judged listener ever started."""
    starts = np.searchsorted(split.plays.user, split.judged, "left")
    ends = np.searchsorted(split.plays.user, split.judged, "right")
    for start, end in zip(starts, ends, strict=True):
        heard = np.zeros(split.tracks, np.bool_)
        heard[split.plays.track[start:end]] = True
        yield heard


def pairs_of(lists: NDArray[np.int32], tracks: int) -> NDArray[np.int64]:
    """(judged, k) ``row * tracks + track``, negative for NOTHING."""
    rows = np.arange(len(lists), dtype=np.int64)[:, None]
    return np.where(lists >= 0, rows * tracks + lists, NOTHING)


def check_lists(name: str, lists: Lists, split: Split, k: int) -> None:
    """Raises ValueError where a contender breaks the rules: that is a fault of its code."""
    for view in VIEWS:
        found = lists[view]
        if found.shape != (len(split.judged), k):
            raise ValueError(f"{name}, {view}: lists of shape {found.shape}")
        if found.size and not NOTHING <= found.min() <= found.max() < split.tracks:
            raise ValueError(f"{name}, {view}: a track that is not in the catalogue")
        if np.any((found[:, :-1] == NOTHING) & (found[:, 1:] != NOTHING)):
            raise ValueError(f"{name}, {view}: a gap in a list")
        pairs = pairs_of(found, split.tracks)
        pairs = pairs[pairs >= 0]
        if len(np.unique(pairs)) < len(pairs):
            raise ValueError(f"{name}, {view}: a track twice in one list")
        if view == "new" and np.isin(pairs, split.heard_pairs).any():
            raise ValueError(f"{name}, new: a track that the listener had heard")
