"""A bundle that is extended by tracks is the one that training makes of data that has them."""

import json
import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.domain.added import AddedTrack
from segue.domain.insertion import Insertion
from segue.domain.texts import Texts
from segue.domain.users import User
from segue.domain.words import WordIndex
from segue.features.listeners import History
from segue.features.schema import load_schema
from segue.models.bundle import LATENTS, Bundle
from segue.models.model import Listener
from segue.models.registry import REGISTRY, load_model
from segue.ranking.filters import matching
from segue.ranking.search import search
from training.catalogue import read_columns
from training.data import connect, ingest
from training.train import train

# They come out after the cut-off, so that nothing that is fitted knows of them.
NEW = [
    {
        "id": f"{letter}New{number}",
        "name": f"Brand New Thing {number}",
        "id_artist": f"{letter}newcomer",
        "release_date": "2031-05-06",
        "explicit": number % 2,
        "energy": number / 12,
        "key": number,
        "tempo": None,
    }
    for number, letter in enumerate("0129AZaz~zzz")
]
KNOWN_ARTIST = {"id": "5New", "name": "By somebody known", "energy": 0.5}


@pytest.fixture(scope="module")
def folder(data_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data with the new tracks."""
    folder = tmp_path_factory.mktemp("extended") / "data"
    shutil.copytree(data_path, folder)
    first = json.loads((folder / "tracks.jsonl").read_text().splitlines()[0])
    known = {**first, **KNOWN_ARTIST, "release_date": "2031"}
    newcomers = sorted({str(track["id_artist"]) for track in NEW})
    artists = [
        {"id": artist, "name": f"Newcomer {artist}", "genres": ["polka", "new wave of polka"]}
        for artist in newcomers
    ]
    for name, rows in (("tracks", [*NEW, known]), ("artists", artists)):
        with (folder / f"{name}.jsonl").open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path, bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("extended") / "bundle"
    cutoff = Bundle.open(bundle_path).manifest.cutoff
    train(folder, out, cutoff=cutoff, progress=lambda *_: None)
    return Bundle.open(out)


@pytest.fixture(scope="module")
def added(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[AddedTrack, ...]:
    """The rows of the new tracks."""
    workspace = tmp_path_factory.mktemp("workspace")
    ingest(folder, workspace, schema=None)
    with connect(workspace) as connection:
        columns = read_columns(connection)
    new = {track["id"] for track in [*NEW, KNOWN_ARTIST]}
    rows = (
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    )
    return tuple(AddedTrack(str(row["id"]), row) for row in rows if row["id"] in new)


@pytest.fixture(scope="module")
def bundle(bundle_path: Path, added: Sequence[AddedTrack]) -> Bundle:
    return Bundle.open(bundle_path).extended(added)


def test_has_the_same_catalogue(bundle: Bundle, trained: Bundle) -> None:
    ours, theirs = bundle.catalogue, trained.catalogue
    assert len(ours) == len(Bundle.open(bundle.path).catalogue) + len(NEW) + 1
    for name in ("ids", "explicit", "popularity", "artists", "artist_ids"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    assert list(ours.genres) == list(theirs.genres)
    for name, tracks in ours.genres.items():
        assert np.array_equal(tracks, theirs.genres[name]), name


def test_says_the_same_of_every_track(bundle: Bundle, trained: Bundle) -> None:
    everything = np.arange(len(bundle.catalogue))
    assert bundle.cards(everything) == trained.cards(everything)
    for track in everything.tolist():
        assert bundle.descriptions.attributes(track) == trained.descriptions.attributes(track)


@pytest.mark.parametrize("text", ["brand new", "bramd thing", "newcomer", "by somebody", "0New0"])
def test_finds_the_same(bundle: Bundle, trained: Bundle, text: str) -> None:
    found = search(text, bundle, 20)
    assert len(found)
    assert np.array_equal(found, search(text, trained, 20))


@pytest.mark.parametrize(
    "text",
    ['genre == "polka"', "year > 2030 and not explicit", 'artist == "0newcomer"', "key == 3"],
)
def test_filters_the_same(bundle: Bundle, trained: Bundle, text: str) -> None:
    holds = matching(text, bundle)
    assert holds.any()
    assert np.array_equal(holds, matching(text, trained))


@pytest.mark.parametrize(
    "name",
    [
        "catalogue/features.npy",
        LATENTS,
        "autoencoder/prior.npy",
        "autoencoder/totals.npy",
        "classifier/factors.npy",
        "classifier/base.npy",
        "hybrid/popularity.npy",
        "hybrid/followers_offsets.npy",
        "hybrid/followers_numbers.npy",
        "hybrid/artist_followers_offsets.npy",
        "hybrid/artist_followers_numbers.npy",
    ],
)
def test_has_the_same_arrays(bundle: Bundle, trained: Bundle, name: str) -> None:
    """But for the last digits of half precision."""
    ours, theirs = bundle.array(name), trained.array(name)
    if name.endswith("totals.npy"):
        # Those of the others are as they were: a few more neighbours make no odds.
        new = bundle.catalogue.positions([track["id"] for track in NEW])
        ours, theirs = ours[new], theirs[new]
    assert ours.dtype == theirs.dtype
    assert np.allclose(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("model_id", REGISTRY)
def test_scores_the_same(bundle: Bundle, trained: Bundle, model_id: int) -> None:
    random = np.random.default_rng(7)
    for _ in range(10):
        size = int(random.integers(1, 40))
        tracks = np.sort(random.integers(0, len(bundle.catalogue), size)).astype(np.int32)
        completed = random.random(size) < 0.7
        age = np.sort(random.uniform(0, 60, size)).astype(np.float32)[::-1]
        history = History(tracks, completed, np.zeros(size, np.bool_), age)
        listener = Listener(User("one"), history)
        ours, theirs = (load_model(model_id, it).score(listener) for it in (bundle, trained))
        assert np.allclose(ours, theirs, rtol=0.03, atol=0.03)
        assert np.corrcoef(ours, theirs)[0, 1] > 0.999


class TestWhatIsAdded:
    def test_is_made_once(self, bundle_path: Path, added: Sequence[AddedTrack]) -> None:
        bundle = Bundle.open(bundle_path)
        assert bundle.extended(added) is bundle.extended(added)
        same = tuple(AddedTrack(track.track_id, dict(track.columns)) for track in added)
        assert bundle.extended(same) is bundle.extended(added)
        assert bundle.extended(added[1:]) is not bundle.extended(added)
        assert bundle.extended(()) is bundle

    def test_is_left_out_where_the_bundle_has_it(
        self, trained: Bundle, added: Sequence[AddedTrack]
    ) -> None:
        assert trained.extended(added) is trained

    def test_may_lack_all_but_its_id(self, bundle_path: Path) -> None:
        bundle = Bundle.open(bundle_path).extended((AddedTrack("bare", {}),))
        (position,) = bundle.catalogue.positions(["bare"])
        (card,) = bundle.cards(np.array([position]))
        assert (card.track_id, card.title, card.artist_id, card.genres) == ("bare", None, None, ())
        assert np.isfinite(bundle.features[position]).all()

    def test_may_have_an_id_longer_than_all_others(self, bundle_path: Path) -> None:
        long = "x" * 100
        bundle = Bundle.open(bundle_path).extended((AddedTrack(long, {"name": "Long"}),))
        assert bundle.catalogue.track_ids(bundle.catalogue.positions([long])) == [long]


Rows = st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=8)


@given(Rows, Rows, st.data())
def test_rows_go_to_their_places(old: Any, new: Any, data: st.DataObject) -> None:
    places = sorted(data.draw(st.integers(0, len(old))) for _ in new)
    whole = list(old)
    for row, place in reversed(list(zip(new, places, strict=True))):
        whole.insert(place, row)
    insertion = Insertion(np.array(places, np.intp))
    offsets, content = insertion.ragged(*flat(old), *flat(new))
    expected_offsets, expected = flat(whole)
    assert offsets.tolist() == expected_offsets.tolist()
    assert content.tolist() == expected.tolist()
    rows = insertion.rows(np.arange(len(old)), -1 - np.arange(len(new)))
    assert rows[insertion.new].tolist() == [-1 - number for number in range(len(new))]
    numbers = insertion.numbers(np.arange(-1, len(old), dtype=np.int32))
    assert numbers[0] == -1
    assert rows[numbers[1:]].tolist() == list(range(len(old)))


def flat(rows: Sequence[Sequence[int]]) -> tuple[Any, Any]:
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    return offsets, np.array([number for row in rows for number in row], np.int32)


@given(st.lists(st.text("ab c", max_size=8)), st.lists(st.text("ab c", max_size=8)), st.data())
def test_texts_and_their_words_go_to_their_places(
    old: list[str], new: list[str], data: st.DataObject
) -> None:
    places = sorted(data.draw(st.integers(0, len(old))) for _ in new)
    whole = list(old)
    for text, place in reversed(list(zip(new, places, strict=True))):
        whole.insert(place, text)
    insertion = Insertion(np.array(places, np.intp))
    texts = Texts.of(old).inserted(insertion, Texts.of(new))
    assert list(texts) == whole
    index, expected = (
        WordIndex.of(old).inserted(insertion, WordIndex.of(new)),
        WordIndex.of(whole),
    )
    for name in ("words", "starts", "numbers", "lengths"):
        assert np.array_equal(getattr(index, name), getattr(expected, name)), name


def test_the_schema_is_that_of_the_bundle(bundle: Bundle) -> None:
    assert bundle.schema == load_schema()


def test_a_bundle_is_freed_once_others_are_added(
    bundle_path: Path, added: Sequence[AddedTrack]
) -> None:
    bundle = Bundle.open(bundle_path)
    before = bundle.extended(added)
    load_model(1, before)
    freed = weakref.ref(before)
    del before
    bundle.extended(added[1:])
    assert freed() is None
