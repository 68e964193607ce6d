"""What does it cost that tracks are added: the first request afterwards, and those that follow?

``python -m infra.benchmarks.adding --bundle DIR``: tracks like those of the bundle are added while
it is in use, and every model is then asked for lists.
"""

from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from threadpoolctl import threadpool_limits

from infra.benchmarks.figures import Times
from infra.benchmarks.listeners import make_listeners, recommender
from infra.cli.output import markdown_table
from infra.memory import MemoryTrackStore
from segue.domain.added import AddedTrack
from segue.features.schema import ARTIST
from segue.models.bundle import Bundle
from segue.models.names import NAMES
from segue.services.recommend import Query
from segue.services.tracks import MAX_ADDED

LISTENERS = 12
NUMBERS = (0, 1, 100, MAX_ADDED)
_HEADING = "tracks added", "model", "first request, ms of CPU", "each further request"


def main(
    bundle: Annotated[Path, typer.Option(metavar="DIR", help="What `segue train` has written.")],
    seed: Annotated[int, typer.Option(help="What the listeners are drawn by.")] = 7,
) -> None:
    """Print a table. The database's time is not in it."""
    rows = []
    with threadpool_limits(1):
        for number, (model, name) in product(NUMBERS, NAMES.items()):
            first, further = measure(Bundle.open(bundle), number, model, seed)
            rows.append((f"{number:,}", name, f"{first:.1f}", f"{further:.2f}"))
    typer.echo("\n".join(markdown_table(_HEADING, rows)))


def measure(bundle: Bundle, number: int, model: int, seed: int) -> tuple[float, float]:
    """Milliseconds of CPU time of the first request after so many tracks were added, and the median
    of one request of each listener after that. The model was in use before."""
    listeners = make_listeners(bundle, LISTENERS, seed)
    tracks = MemoryTrackStore()
    service = recommender(bundle, listeners, tracks)
    queries = [Query(one.user.user_id, model) for one in listeners]
    for query in queries:
        service.recommend(query)
    for place in range(number):
        tracks.add(AddedTrack(f"added-{place}", row_like(bundle, place)))
    first, further = Times(), Times()
    first.take(partial(service.recommend, queries[0]))
    for query in queries:
        further.take(partial(service.recommend, query))
    return first.cpu[0], float(np.median(further.cpu))


def row_like(bundle: Bundle, position: int) -> dict[str, object]:
    """A row of the catalogue that says of a new track what is known of one of the bundle."""
    schema, (card,) = bundle.schema, bundle.cards(np.array([position]))
    values = bundle.descriptions.attributes(position)
    row: dict[str, object] = {it.source: values[it.name] for it in schema.described}
    if schema.released:
        row[schema.released] = str(card.year or "") or None
    known = {schema.genres: card.genres, schema.explicit: card.explicit, ARTIST: card.artist_id}
    row |= {column: value for column, value in known.items() if column}
    return {column: [*it] if isinstance(it, tuple) else it for column, it in row.items()}


if __name__ == "__main__":
    typer.run(main)
