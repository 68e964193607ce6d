"""GET /tracks/{track_id}/similar."""

from urllib.parse import quote

import numpy as np
import pytest

from segue.domain.errors import UnknownModel
from segue.models.bundle import LATENTS, Bundle, Manifest
from segue.ranking.space import track_vectors
from segue.services.similar import SimilarQuery, similar_tracks
from tests.unit.conftest import Function, World


def path(track_id: str) -> str:
    return f"/tracks/{quote(track_id, safe='')}/similar"


@pytest.fixture
def track(world: World) -> str:
    return world.tracks(17, 18)[0]


def test_the_nearest_come_first_and_never_the_track_itself(
    predict: Function, world: World, track: str
) -> None:
    status, _, tracks = predict.call("GET", path(track))
    latents = world.bundle.latents
    nearest = np.argsort(-(latents @ latents[17]), kind="stable")
    assert status == 200
    assert tracks == world.bundle.catalogue.track_ids(nearest[nearest != 17][:20])


@pytest.mark.parametrize("k", ["1", "100"])
def test_k_sets_how_many(predict: Function, track: str, k: str) -> None:
    assert len(predict.call("GET", path(track), query={"k": k})[2]) == int(k)


def test_explicit_false_leaves_out_explicit_tracks(
    predict: Function, world: World, track: str
) -> None:
    catalogue = world.bundle.catalogue
    explicit = set(catalogue.track_ids(np.flatnonzero(catalogue.explicit)))
    query = {"k": "100"}
    assert explicit & set(predict.call("GET", path(track), query=query)[2])
    assert predict.call("GET", path(track), query={**query, "explicit": "true"}) == predict.call(
        "GET", path(track), query=query
    )
    clean = predict.call("GET", path(track), query={**query, "explicit": "false"})[2]
    assert len(clean) == 100
    assert not explicit & set(clean)


@pytest.mark.parametrize("track_id", ["no such track", "a/b", "%", "ü", "x" * 300, "0\0"])
def test_an_unknown_track_is_not_found(predict: Function, track_id: str) -> None:
    status, _, body = predict.call("GET", path(track_id))
    assert (status, body["title"]) == (404, "Unknown track")
    assert body["detail"] == f"there is no track {track_id}"


@pytest.mark.parametrize(
    ("field", "value"),
    [("k", "0"), ("k", "101"), ("k", "ten"), ("k", ""), ("k", "1.5"), ("explicit", "maybe")],
)
def test_an_invalid_parameter_is_named(
    predict: Function, track: str, field: str, value: str
) -> None:
    status, _, body = predict.call("GET", path(track), query={field: value})
    assert (status, body["field"]) == (422, field)


def test_without_an_autoencoder_there_is_nothing_to_compare_by(bundle: Bundle, track: str) -> None:
    content = dict(bundle.manifest.content)
    content["files"] = {name: entry for name, entry in content["files"].items() if name != LATENTS}
    without = Bundle(bundle.path, Manifest(content))
    with pytest.raises(UnknownModel):
        similar_tracks(without, SimilarQuery(track, 5))
    # A diverse list does with the features then.
    assert track_vectors(without) is without.features
    assert track_vectors(bundle) is bundle.latents
