"""How costs grow: the sizes that are measured, and the picture of them."""

from pathlib import Path

from infra.benchmarks.growth import Point, draw, of_catalogue, of_results
from segue.models.bundle import Bundle


def test_every_catalogue_up_to_the_largest_is_asked(bundle: Bundle) -> None:
    points = list(of_catalogue(bundle, 7_000, 1, 7))
    assert [point.size for point in points if point.series == "hybrid"] == [600, 700, 7_000]
    models = {model["name"] for model in bundle.manifest.models.values()}
    assert {point.series for point in points} == {*models, "all vectors of 64, by NumPy"}


def test_results_grow_tenfold() -> None:
    read = [point.size for point in of_results(10_000, 7) if point.series == "read"]
    assert read == [1_000, 10_000]


def test_draws_a_picture(tmp_path: Path) -> None:
    points = [Point(panel, "one", size, size / 9) for panel in "abc" for size in (1, 10)]
    draw(points, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
