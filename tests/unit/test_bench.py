"""What ``segue bench`` measures with: figures, a large catalogue, listeners."""

from pathlib import Path

import numpy as np

from infra.benchmarks.catalogue import write_large_bundle
from infra.benchmarks.figures import Figure, Times
from infra.benchmarks.listeners import PLAYS, make_listeners
from infra.benchmarks.peers import faiss_search, flat_scan, implicit_recommend, vectors
from segue.domain.events import EventType
from segue.models.bundle import Bundle
from segue.ranking.explanations import Reason, reason_text


def test_a_target_is_the_most_that_the_median_should_be() -> None:
    assert Figure.of("it", "ms", [1, 2, 9], target=2).met is True
    assert Figure.of("it", "ms", [1, 3, 4], target=2).met is False
    assert Figure.of("it", "ms", [1]).met is None


def test_times_are_told_of_the_processor_and_of_the_clock() -> None:
    figure = Figure.of_times("it", Times(cpu=[1, 2, 3], wall=[2, 3, 7]))
    assert (figure.median, figure.wall) == (2, 3)
    assert figure.cells()[1:3] == ("2.00 (1.20-2.80) ms", "3.00 ms")


def test_thousands_are_told_without_decimals() -> None:
    figure = Figure.of("it", "users a second", [1_234.5, 20_000.4])
    assert figure.cells()[1] == "10,617 (3,111-18,124) users a second"


def test_the_large_catalogue_is_the_trained_one_and_a_tail(bundle: Bundle, tmp_path: Path) -> None:
    write_large_bundle(tmp_path / "large", bundle, 3_000, 7)
    large = Bundle.open(tmp_path / "large")
    assert len(large.catalogue) == 3_000
    assert np.all(large.catalogue.ids[:-1] < large.catalogue.ids[1:])
    head, trained = (it.array("hybrid/head.npy") for it in (large, bundle))
    assert np.array_equal(large.catalogue.artists[head], bundle.catalogue.artists[trained])
    genres = [
        tuple(map(it.track_genres.of_track, own)) for it, own in ((large, head), (bundle, trained))
    ]
    assert genres[0] == genres[1]
    shares = large.array("hybrid/popularity.npy")
    assert np.allclose(shares.sum(0), 1, atol=1e-4)
    assert shares.min() > 0


def test_explanations_over_the_large_catalogue_name_the_artist(
    bundle: Bundle, tmp_path: Path
) -> None:
    write_large_bundle(tmp_path / "large", bundle, 3_000, 7)
    large = Bundle.open(tmp_path / "large")
    for number, artist_id in enumerate(large.catalogue.artist_ids.tolist()):
        reason = Reason("artist", 1.0, artist_id=artist_id.decode())
        text = reason_text(reason, large.catalogue, large.descriptions)
        assert text == f"more by {large.descriptions.artist_names[number]}, whom you play"


def test_other_libraries_find_the_tracks_of_the_greatest_products(bundle: Bundle) -> None:
    tracks = vectors(600, 7)
    (listener,) = make_listeners(bundle, 1, 7)
    _, (by_faiss,) = faiss_search(tracks)(listener)
    by_implicit, _ = implicit_recommend(tracks)(listener)
    assert [*by_faiss] == [*by_implicit] == [*flat_scan(tracks)(listener)]


def test_listeners_play_a_month_of_the_catalogue(bundle: Bundle) -> None:
    one, again = (make_listeners(bundle, 2, 7) for _ in range(2))
    assert one == again
    for listener in one:
        plays = [event for event in listener.events if event.type is EventType.PLAY]
        assert len(plays) == PLAYS
        assert all(event.time < bundle.manifest.cutoff for event in listener.events)
        assert np.all(bundle.catalogue.positions([event.track_id or "" for event in plays]) >= 0)
