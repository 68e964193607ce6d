"""The README's picture of a report, from its command."""

from pathlib import Path

import pytest

from infra.simulations import page


def test_the_same_seed_gives_the_same_page(tmp_path: Path) -> None:
    files = [tmp_path / "one.html", tmp_path / "other.html"]
    for file in files:
        page.main(file, listeners=300, seed=7)
    one, other = (file.read_text() for file in files)
    assert one == other
    assert "300" in one


@pytest.mark.parametrize("seed", [7])
def test_the_picture_shows_a_winner_beside_an_interval_without_0(tmp_path: Path, seed: int) -> None:
    page.main(tmp_path / "page.html", listeners=4_000, seed=seed)
    html = (tmp_path / "page.html").read_text()
    assert "Hybrid is better" in html
    assert "the true difference is +" in html
