"""Team draft: one list of two arms' recommendations, so that each listener compares the two.

Radlinski, Kurup & Joachims (CIKM 2008). In every round both arms, in an order that a coin decides,
pick their best track that is not on the list yet; an arm is credited with what is played of its
picks. Since each arm is as likely to pick first in any round, equal arms earn equal credit.
"""

from collections.abc import Mapping, Sequence
from random import Random

Pick = tuple[str, str]


def team_draft(lists: Mapping[str, Sequence[str]], length: int, random: Random) -> list[Pick]:
    """Track and group of each pick, in the list's order: at most ``length``, without repeats.

    ``lists``: two groups' tracks, best first. A group with nothing left passes.
    """
    one, other = lists
    picks: list[Pick] = []
    taken: set[str] = set()
    while len(picks) < length:
        before = len(picks)
        for group in (one, other) if random.random() < 0.5 else (other, one):
            track = next((track for track in lists[group] if track not in taken), None)
            if track is not None and len(picks) < length:
                picks.append((track, group))
                taken.add(track)
        if len(picks) == before:
            break
    return picks
