"""What people read of tracks: as the data have it, or nothing."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.domain.labels import Labels
from segue.domain.texts import Texts
from segue.features.schema import parse_schema
from segue.models.bundle import Bundle
from segue.ranking.filters import matching
from segue.ranking.search import search
from training.catalogue import Popularity, encode_catalogue
from training.data import connect, ingest
from training.descriptions import describe_tracks
from training.export import BundleWriter, write_catalogue, write_descriptions

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.none() | texts))
def test_texts_come_back_as_they_were(given_texts: list[str | None]) -> None:
    packed = Texts.of(given_texts)
    expected = [(text or "").replace("\n", " ") for text in given_texts]
    assert [packed[number] for number in range(len(packed))] == [text or None for text in expected]
    assert list(packed) == expected
    assert packed.casefolded() == [text.casefold() for text in expected]


@given(st.lists(st.lists(st.integers(0, 4), unique=True)), st.sets(st.integers(0, 4)))
def test_labels_tell_which_tracks_have_any_of_some(
    of_tracks: list[list[int]], wanted: set[int]
) -> None:
    offsets = np.cumsum([0, *map(len, of_tracks)], dtype=np.int32)
    labels = Labels(
        tuple("abcde"), offsets, np.array([number for own in of_tracks for number in own], np.int32)
    )
    assert labels.any_of(wanted).tolist() == [bool(wanted & set(own)) for own in of_tracks]
    assert labels.labelled().tolist() == [bool(own) for own in of_tracks]
    assert [labels.of_track(track) for track in range(len(of_tracks))] == [
        tuple("abcde"[number] for number in own) for own in of_tracks
    ]


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    path = folder / f"{name}.jsonl"
    with path.open() if path.exists() else gzip.open(f"{path}.gz", "rt") as file:
        return [json.loads(line) for line in file]


def test_every_track_of_a_bundle_is_described_as_the_data_have_it(
    bundle: Bundle, data_path: Path
) -> None:
    artists = {artist["id"]: artist for artist in read(data_path, "artists")}
    tracks = {track["id"]: track for track in read(data_path, "tracks")}
    for card in bundle.cards(np.arange(len(bundle.catalogue))):
        track = tracks[card.track_id]
        artist = artists[track["id_artist"]]
        assert (card.title, card.artist, card.artist_id) == (
            track["name"],
            artist["name"],
            artist["id"],
        )
        assert set(card.genres) == set(artist["genres"])
        assert (card.year, card.explicit) == (
            int(track["release_date"][:4]),
            bool(track["explicit"]),
        )
        assert 0 <= card.popularity <= 1


def test_its_attributes_are_the_values_before_they_are_encoded(
    bundle: Bundle, data_path: Path
) -> None:
    tracks = {track["id"]: track for track in read(data_path, "tracks")}
    for position in range(20):
        track = tracks[bundle.catalogue.ids[position].decode()]
        attributes = bundle.descriptions.attributes(position)
        assert attributes.pop("release_year") == int(track["release_date"][:4])
        assert attributes == {name: track[name] for name in attributes}
        assert {"energy", "tempo", "key", "duration_ms"} <= attributes.keys()


SCHEMA = """
[roles]
genres = "styles"
released = "out"
[[track]]
name = "pace"
kind = "numeric"
[[track]]
name = "styles"
kind = "multi_hot"
size = 2
[[track]]
name = "mode"
kind = "categorical"
values = ["minor", "major"]
[[track]]
name = "label"
kind = "hashed"
size = 2
[[track]]
name = "moods"
kind = "multi_hot"
size = 1
"""


def describe(folder: Path, tracks: list[Mapping[str, Any]], schema: str) -> Bundle:
    """A bundle of these tracks' catalogue alone."""
    folder.mkdir()
    (folder / "tracks.jsonl").write_text("\n".join(map(json.dumps, tracks)))
    (folder / "users.jsonl").write_text('{"user_id": 1}')
    play = {"session_id": 1, "timestamp": 0, "user_id": 1, "track_id": "a", "event_type": "PLAY"}
    (folder / "sessions.jsonl").write_text(json.dumps(play))
    (folder / "schema.toml").write_text(schema)
    ingest(folder, folder / "workspace")
    features = parse_schema(schema)
    with connect(folder / "workspace") as connection, BundleWriter(folder / "bundle") as writer:
        encoded = encode_catalogue(connection, features, Popularity(connection, 10**12))
        write_catalogue(writer, encoded, schema)
        write_descriptions(writer, describe_tracks(connection, features, encoded.catalogue))
        content = {"schema_hash": features.hash, "cutoff": "2001-09-09T01:46:40Z", "models": []}
        writer.seal(content)
        writer.place()
    return Bundle.open(folder / "bundle")


def test_columns_of_any_kind_are_kept_and_what_is_missing_is_null(tmp_path: Path) -> None:
    full = {
        "id": "b", "pace": 0.7, "styles": ["polka", "jazz"], "out": "1999-05", "mode": "Dorian",
        "label": "Moon", "moods": ["calm", "blue"],
    }  # fmt: skip
    bundle = describe(tmp_path / "data", [full, {"id": "a"}], SCHEMA)
    bare, rich = bundle.cards(np.arange(2))
    assert (rich.genres, rich.year, rich.title, rich.artist) == (
        ("jazz", "polka"),
        1999,
        None,
        None,
    )
    assert (bare.genres, bare.year, bare.artist_id) == ((), None, None)
    attributes = {"pace": 0.7, "mode": "Dorian", "label": "Moon", "moods": ("calm", "blue")}
    assert bundle.descriptions.attributes(1) == attributes
    nothing = {"pace": None, "mode": None, "label": None, "moods": ()}
    assert bundle.descriptions.attributes(0) == nothing


def test_data_without_names_or_columns_have_cards_all_the_same(tmp_path: Path) -> None:
    bundle = describe(tmp_path / "data", [{"id": "a"}, {"id": "b"}], 'name = "plain"')
    (card,) = bundle.cards(np.array([1]))
    assert (card.track_id, card.title, card.year, card.genres) == ("b", None, None, ())
    assert bundle.descriptions.attributes(1) == {}
    assert search("b", bundle, 5).tolist() == [1]
    assert search("nothing of this kind", bundle, 5).tolist() == []
    assert np.flatnonzero(matching('title != "x" or artist != "x" or year > 0', bundle)).size == 0


def test_nothing_of_the_descriptions_is_read_by_a_prediction(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infra.benchmarks.listeners import make_listeners, recommender
    from segue.services.recommend import Query

    bundle = Bundle.open(bundle_path)
    service = recommender(bundle, make_listeners(bundle, 1, 7))
    for model_id in bundle.manifest.models:
        service.recommend(Query("0", model_id, explicit=False, diversity=0.5))
    assert "descriptions" not in vars(bundle)
