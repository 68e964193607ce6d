"""What a search for tracks costs: CPU time of one core, warm."""

from collections.abc import Iterator
from functools import partial

from infra.benchmarks.figures import Figure, Times
from infra.benchmarks.serving import size
from infra.demo.randomness import Rng, stream
from segue.models.bundle import Bundle
from segue.ranking.search import search

QUERIES, LIMIT = 20, 20
# CPU milliseconds over a million tracks.
TYPED_TARGET, MISSPELT_TARGET = 10.0, 30.0


def measure_search(bundle: Bundle, repeats: int, seed: int) -> Iterator[Figure]:
    """Titles as they are, but for the end of the last word; and with two letters swapped."""
    random = stream(seed)
    titles = list(bundle.descriptions.titles)
    drawn = [titles[track] for track in random.integers(0, len(titles), QUERIES)]
    for what, queries, target in (
        ("a title", [title[:-1] for title in drawn], TYPED_TARGET),
        ("a misspelt title", [_misspell(title, random) for title in drawn], MISSPELT_TARGET),
    ):
        times = Times()
        for query in queries * repeats:
            times.take(partial(search, query, bundle, LIMIT))
        yield Figure.of_times(f"searching for {what}, {size(bundle)}", times, target=target)


def _misspell(title: str, random: Rng) -> str:
    """Swap two letters of the longest word."""
    word = max(title.split(), key=len)
    place = int(random.integers(1, max(len(word) - 1, 2)))
    wrong = word[:place] + word[place : place + 2][::-1] + word[place + 2 :]
    return title.replace(word, wrong, 1)
