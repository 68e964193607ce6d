"""The feature schema and the one encoder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.domain.errors import InvalidData
from segue.features.encoder import Encoder, fit_encoder
from segue.features.schema import Schema, load_schema, parse_schema, schema_of

SMALL = """
name = "small"
[roles]
genres = "labels"
[[track]]
name = "length"
kind = "numeric"
[[track]]
name = "year"
kind = "numeric"
source = "released"
read = "year"
[[track]]
name = "key"
kind = "categorical"
values = [0, 1, 2]
[[track]]
name = "genres"
kind = "multi_hot"
source = "labels"
size = 2
[[user]]
name = "premium"
kind = "numeric"
"""

TRACKS: dict[str, list[Any]] = {
    "length": [100, 200, 300, None],
    "released": ["2001-05-01", "2003", "2002-07", None],
    "key": [0, 2, 7, None],
    "labels": [["rock", "pop"], ["pop"], ["pop", "jazz", "rock"], None],
}


@pytest.fixture
def encoder() -> Encoder:
    return fit_encoder(parse_schema(SMALL), TRACKS, {"premium": [True, False]})


def test_the_inputs_stand_in_the_order_of_the_schema(encoder: Encoder) -> None:
    matrix = encoder.encode_tracks(TRACKS)
    assert matrix.shape == (4, 1 + 1 + 3 + 2) == (4, encoder.track_width)
    assert matrix[0, 2:].tolist() == [1, 0, 0, 1, 1]  # key 0; pop, rock
    assert matrix[1, 2:].tolist() == [0, 0, 1, 1, 0]  # key 2; pop


def test_numbers_are_standardised_and_missing_ones_are_the_mean(encoder: Encoder) -> None:
    lengths = encoder.encode_tracks(TRACKS)[:, 0]
    assert lengths[:3].mean() == pytest.approx(0, abs=1e-6)
    assert lengths[:3].std() == pytest.approx(1, abs=1e-6)
    assert lengths[3] == 0


def test_a_year_is_read_from_dates_of_every_precision(encoder: Encoder) -> None:
    years = encoder.encode_tracks(TRACKS)[:, 1]
    assert years[0] < years[2] < years[1]
    assert years[2] == years[3] == 0


def test_values_that_were_never_seen_are_no_error(encoder: Encoder) -> None:
    odd = {"length": ["x"], "released": [5], "key": [-1], "labels": [["polka", 3]]}
    assert encoder.encode_tracks(odd)[0, [0, 2, 3, 4, 5, 6]].tolist() == [0, 0, 0, 0, 0, 0]


def test_the_vocabulary_is_the_most_frequent_labels_and_ties_fall_to_the_alphabet() -> None:
    columns = TRACKS | {"labels": [["b"], ["c"], ["a"], ["c"]]}
    encoder = fit_encoder(parse_schema(SMALL), columns, {"premium": []})
    assert encoder.track[3].labels == ("a", "c")


@given(st.lists(st.floats() | st.none() | st.integers() | st.text(), min_size=1, max_size=20))
def test_whatever_the_data_holds_inputs_are_finite_and_bounded(values: list[Any]) -> None:
    columns = {"length": values, "released": values, "key": values, "labels": values}
    matrix = fit_encoder(parse_schema(SMALL), columns, {"premium": []}).encode_tracks(columns)
    assert np.isfinite(matrix).all()
    assert np.abs(matrix).max() <= 5


def test_what_was_fitted_survives_the_way_through_json(encoder: Encoder) -> None:
    state = json.loads(json.dumps(encoder.to_json()))
    again = Encoder.from_json(encoder.schema, state)
    assert np.array_equal(again.encode_tracks(TRACKS), encoder.encode_tracks(TRACKS))


@pytest.mark.parametrize("schema", [parse_schema(SMALL), load_schema()])
def test_a_schema_survives_the_way_through_json(schema: Schema) -> None:
    again = schema_of(json.loads(json.dumps(schema.to_json())))
    assert again == schema
    assert again.hash == schema.hash


def test_a_fitted_state_of_another_schema_is_refused(encoder: Encoder) -> None:
    with pytest.raises(InvalidData, match="another feature schema"):
        Encoder.from_json(load_schema(), encoder.to_json())  # type: ignore[arg-type]


def test_a_missing_column_is_named(encoder: Encoder) -> None:
    with pytest.raises(InvalidData, match="'released'"):
        encoder.encode_tracks({"length": [1]})


def test_the_default_schema_holds_the_audio_features_and_the_key() -> None:
    schema = load_schema()
    audio = [feature for feature in schema.track if feature.kind in ("numeric", "categorical")]
    assert sum(len(feature.values) or 1 for feature in audio) == 25


def test_the_hash_changes_with_everything_that_changes_an_inputs_meaning() -> None:
    variants = [
        SMALL,
        SMALL.replace("size = 2", "size = 3"),
        SMALL.replace("[0, 1, 2]", "[0, 2, 1]"),
        SMALL.replace('source = "labels"', 'source = "tags"'),
        SMALL.replace('"length"', '"duration"'),
    ]
    assert len({parse_schema(text).hash for text in variants}) == len(variants)
    assert parse_schema(SMALL + "# a comment\n").hash == parse_schema(SMALL).hash


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('kind = "categorical"', 'kind = "ordinal"', "key: kind must be one of"),
        ("values = [0, 1, 2]", "", "key: values go with kind categorical"),
        ("size = 2", "", "genres: a size of at least 1"),
        ('read = "year"', 'read = "month"', "year: read must be one of"),
        ('name = "length"', "", "has no name"),
        ('name = "length"', 'name = "key"', "twice"),
        ("size = 2", "sizes = 2", "unknown key 'sizes'"),
        ("[roles]", "[rolls]", "unknown key 'rolls'"),
        ("[[track]]", "[[track", "not TOML"),
        ('genres = "labels"', "genres = 5", "not a table of column names"),
        ("[0, 1, 2]", "[0, 0]", "key: values go with"),
        ("[0, 1, 2]", "[[0]]", "key: values go with"),
        ("size = 2", "size = true", "genres: a size of at least 1"),
    ],
)
def test_a_faulty_schema_says_what_is_wrong(old: str, new: str, complaint: str) -> None:
    with pytest.raises(InvalidData, match=complaint.replace("[", r"\[")):
        parse_schema(SMALL.replace(old, new, 1))


def test_a_schema_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=r"none\.toml: No such file"):
        load_schema(tmp_path / "none.toml")


def test_a_schema_without_features_encodes_nothing() -> None:
    encoder = Encoder(Schema("empty", (), ()), (), ())
    assert encoder.encode_tracks({"id": ["a", "b"]}).shape == (2, 0)


def test_a_hashed_label_has_its_own_point_and_a_missing_one_none() -> None:
    schema = parse_schema(
        """
        [[track]]
        name = "artist"
        kind = "hashed"
        size = 64
        """
    )
    labels = [*(f"artist {number}" for number in range(200)), "artist 7", None]
    encoder = fit_encoder(schema, {"artist": labels}, {})
    points = encoder.encode_tracks({"artist": labels})
    assert points.shape == (202, encoder.track_width) == (202, 64)
    assert np.array_equal(points[7], points[200])
    cosines = points[:200] @ points[:200].T
    assert np.allclose(np.diag(cosines), 1)
    assert np.abs(cosines - np.eye(200)).max() < 0.7, "told apart"
    assert not points[201].any()
    unseen = encoder.encode_tracks({"artist": ["nobody knew"]})
    assert np.linalg.norm(unseen) == pytest.approx(1)
