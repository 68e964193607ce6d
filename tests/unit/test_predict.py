"""POST /models/{model_id}/predict, GET /models, GET /health."""

import base64
import shutil
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np
import pytest

from segue.domain.errors import BundleMissing, StoreUnavailable
from segue.domain.times import format_time
from segue.models.autoencoder import Autoencoder
from segue.models.bundle import Bundle
from segue.models.popularity import Popularity
from segue.services.recommend import Recommender
from tests.unit.conftest import Function, LambdaContext, World

PREDICT = "/models/1/predict"


@pytest.fixture(autouse=True)
def listener(world: World) -> None:
    """User 429 heard ten tracks in two sessions of the last days."""
    world.join("429", "no such genre")
    world.play("429", world.tracks(0, 7), days=-3, session="1")
    world.play("429", world.tracks(7, 10), days=-1, session="2")


@pytest.mark.parametrize("model", [0, 1, 2])
def test_a_prediction_is_a_list_of_catalogue_tracks(
    predict: Function, world: World, model: int
) -> None:
    status, headers, tracks = predict.call("POST", f"/models/{model}/predict", {"user_id": 429})
    assert status == 200
    assert headers["X-Segue-Bundle"] == world.bundle.version
    assert set(tracks) <= set(world.tracks(0, len(world.bundle.catalogue)))
    assert len(set(tracks)) == len(tracks)


def test_the_list_is_as_long_as_the_users_sessions_on_average(predict: Function) -> None:
    _, _, tracks = predict.call("POST", PREDICT, {"user_id": 429})
    assert len(tracks) == 5  # (7 + 3) / 2


@pytest.mark.parametrize("k", [1, 37, 100])
def test_k_sets_the_length(predict: Function, k: int) -> None:
    _, _, tracks = predict.call("POST", PREDICT, {"user_id": 429, "k": k})
    assert len(tracks) == k


def test_a_number_and_its_text_name_the_same_user(predict: Function) -> None:
    number = predict.call("POST", PREDICT, {"user_id": 429})
    assert predict.call("POST", PREDICT, {"user_id": "429"})[2] == number[2]


@pytest.mark.parametrize("model", [1, 2])
def test_novelty_new_leaves_out_everything_ever_started(
    predict: Function, world: World, model: int
) -> None:
    world.play("429", world.tracks(10, 300), days=-90, session="long ago", skip=True)
    body = {"user_id": 429, "k": 100, "novelty": "new"}
    _, _, tracks = predict.call("POST", f"/models/{model}/predict", body)
    assert len(tracks) == 100
    assert not set(tracks) & set(world.tracks(0, 300))


def test_explicit_false_leaves_out_explicit_tracks(predict: Function, world: World) -> None:
    catalogue = world.bundle.catalogue
    explicit = set(catalogue.ids[catalogue.explicit].astype(str))
    body = {"user_id": 429, "k": 100}
    assert explicit & set(predict.call("POST", PREDICT, body)[2])
    assert not explicit & set(predict.call("POST", PREDICT, {**body, "explicit": False})[2])


def test_exclude_leaves_out_the_named_tracks_and_closes_the_gap(predict: Function) -> None:
    _, _, before = predict.call("POST", PREDICT, {"user_id": 429, "k": 10})
    body = {"user_id": 429, "k": 8, "exclude": [*before[:2], "no such track"]}
    assert predict.call("POST", PREDICT, body)[2] == before[2:]


def test_as_of_moves_the_window(predict: Function, world: World) -> None:
    world.play("429", world.tracks(300, 310), days=-100)
    then = format_time(world.cutoff - 99 * 86_400_000)
    now = predict.call("POST", PREDICT, {"user_id": 429, "k": 20})
    earlier = predict.call("POST", PREDICT, {"user_id": 429, "k": 20, "as_of": then})
    assert earlier[0] == 200
    assert earlier[2] != now[2]


def test_what_happens_after_as_of_changes_nothing(predict: Function, world: World) -> None:
    before = predict.call("POST", PREDICT, {"user_id": 429})
    world.play("429", world.tracks(300, 340), days=0.5)
    assert predict.call("POST", PREDICT, {"user_id": 429})[2] == before[2]


def test_a_user_without_plays_gets_the_popular_of_the_favourite_genres(
    predict: Function, world: World
) -> None:
    genre = max(world.bundle.catalogue.genres, key=lambda g: len(world.bundle.catalogue.genres[g]))
    world.join("7", genre)
    status, headers, tracks = predict.call("POST", PREDICT, {"user_id": 7})
    places = world.bundle.catalogue.positions(tracks)
    assert status == 200
    assert headers["X-Segue-Answered-By"] == "cold-start"
    assert set(places) <= set(world.bundle.catalogue.genres[genre])
    popularity = world.bundle.catalogue.popularity[places]
    assert popularity.tolist() == sorted(popularity, reverse=True)


def test_a_user_without_a_profile_but_with_plays_is_known(predict: Function, world: World) -> None:
    world.play("8", world.tracks(5, 9))
    assert predict.call("POST", PREDICT, {"user_id": 8})[0] == 200


def test_a_user_whose_plays_are_all_long_ago_starts_cold(predict: Function, world: World) -> None:
    world.play("8", world.tracks(5, 9), days=-200)
    status, headers, _ = predict.call("POST", PREDICT, {"user_id": 8})
    assert status == 200
    assert headers["X-Segue-Answered-By"] == "cold-start"


def test_model_0_recommends_the_most_popular(predict: Function, world: World) -> None:
    catalogue = world.bundle.catalogue
    _, _, tracks = predict.call("POST", "/models/0/predict", {"user_id": 429, "k": 20})
    popularity = catalogue.popularity[catalogue.positions(tracks)]
    assert popularity.tolist() == np.sort(catalogue.popularity)[::-1][:20].tolist()


def test_a_model_sees_as_many_days_as_it_asks_for(
    predict: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.play("8", world.tracks(5, 14), days=-20)
    for days, origin in ((30, "popularity"), (19, "cold-start"), (200, "popularity")):
        monkeypatch.setattr(Popularity, "history_days", days)
        _, headers, tracks = predict.call("POST", "/models/0/predict", {"user_id": 8})
        assert headers["X-Segue-Answered-By"] == origin
        assert len(tracks) == 9, "the length of the list follows the last 30 days all the same"


def test_sessions_before_the_last_30_days_do_not_decide_the_length(
    predict: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Popularity, "history_days", 400)
    world.play("429", world.tracks(10, 50), days=-100, session="long ago")
    _, _, tracks = predict.call("POST", "/models/0/predict", {"user_id": 429})
    assert len(tracks) == 5


def test_diversity_0_changes_nothing_and_1_does(predict: Function) -> None:
    body = {"user_id": 429, "k": 20}
    _, _, plain = predict.call("POST", PREDICT, body)
    assert predict.call("POST", PREDICT, {**body, "diversity": 0})[2] == plain
    diverse = predict.call("POST", PREDICT, {**body, "diversity": 1})[2]
    assert diverse != plain
    assert len(set(diverse)) == 20
    assert predict.call("POST", PREDICT, {**body, "diversity": 1})[2] == diverse


def test_a_diverse_list_of_a_cold_start_has_all_the_favourite_genres(
    predict: Function, world: World
) -> None:
    genres = sorted(world.bundle.catalogue.genres.items(), key=lambda item: -len(item[1]))[:2]
    world.join("7", *(name for name, _ in genres))
    _, _, tracks = predict.call("POST", PREDICT, {"user_id": 7, "k": 10, "diversity": 1})
    places = world.bundle.catalogue.positions(tracks)
    for _, members in genres:
        assert np.isin(places, members).sum() >= 4


@pytest.mark.parametrize("model", [0, 1, 2])
def test_explain_gives_each_track_its_score_and_reason(
    predict: Function, world: World, model: int
) -> None:
    body = {"user_id": 429, "k": 20}
    path = f"/models/{model}/predict"
    _, _, rows = predict.call("POST", path, {**body, "explain": True})
    assert [row["track_id"] for row in rows] == predict.call("POST", path, body)[2]
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    for row in rows:
        if row["reason"] is not None:
            assert 0 < row["reason"]["share"] <= 1
        if row["reason"] and row["reason"]["kind"] == "track":
            assert row["reason"].keys() == {"kind", "share", "text", "track_id"}
            assert row["reason"]["track_id"] in world.tracks(0, 10)


def test_a_cold_start_is_explained_by_the_favourite_genre(predict: Function, world: World) -> None:
    genre = next(iter(world.bundle.catalogue.genres))
    world.join("7", genre)
    _, _, rows = predict.call("POST", PREDICT, {"user_id": 7, "k": 1, "explain": True})
    reason = rows[0]["reason"]
    assert (reason["kind"], reason["genre"]) == ("favourite_genre", genre)
    assert genre in reason["text"]


def test_a_model_that_cannot_explain_itself_has_failed(
    predict: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Autoencoder, "contributions", broken)
    status, _, body = predict.call("POST", PREDICT, {"user_id": 429, "explain": True})
    assert (status, body["title"]) == (500, "A model failed")
    assert "secret" not in str(body)


def test_where_nothing_is_left_the_list_is_empty_explained_or_not(
    predict: Function, world: World
) -> None:
    world.play("429", world.tracks(0, 600), days=-90, session="everything")
    for further in ({}, {"explain": True}, {"diversity": 1}, {"exploration": 1, "explain": True}):
        body = {"user_id": 429, "novelty": "new", **further}
        assert predict.call("POST", PREDICT, body)[::2] == (200, [])


class TestExploration:
    BODY: ClassVar = {"user_id": 429, "k": 10, "exploration": 1}

    @pytest.fixture
    def exploring(
        self, predict: Function, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> Function:
        recommender = Recommender(
            world.sessions,
            world.users,
            world.models,
            world.track_store,
            world.clock,
            world.cutoff,
            Random(7),
        )
        monkeypatch.setattr(predict.module, "recommender", recommender)
        return predict

    def test_draws_another_list_each_time(self, exploring: Function) -> None:
        lists = {tuple(exploring.call("POST", PREDICT, self.BODY)[2]) for _ in range(5)}
        assert len(lists) == 5

    def test_draws_from_chance_that_no_snapshot_repeats(self, predict: Function) -> None:
        lists = {tuple(predict.call("POST", PREDICT, self.BODY)[2]) for _ in range(5)}
        assert len(lists) == 5

    def test_answers_the_propensities_beside_the_reasons(self, exploring: Function) -> None:
        _, _, rows = exploring.call("POST", PREDICT, {**self.BODY, "explain": True})
        assert len(rows) == 10
        for row in rows:
            assert 0 < row["propensity"] < 1

    def test_logs_what_was_drawn_with_which_odds_and_not_for_whom(
        self, exploring: Function, caplog: pytest.LogCaptureFixture
    ) -> None:
        _, _, tracks = exploring.call("POST", PREDICT, self.BODY)
        (entry,) = (vars(r) for r in caplog.records if r.message == "explored")
        assert entry["tracks"] == tuple(tracks)
        assert len(entry["propensities"]) == 10
        assert entry["model"] == "autoencoder"
        assert "user_id" not in entry

    def test_is_off_by_default(self, predict: Function, caplog: pytest.LogCaptureFixture) -> None:
        lists = {tuple(predict.call("POST", PREDICT, {"user_id": 429})[2]) for _ in range(5)}
        assert len(lists) == 1
        assert caplog.records == []

    def test_goes_with_diversity_and_keeps_to_the_filters(
        self, exploring: Function, world: World
    ) -> None:
        body = {**self.BODY, "diversity": 0.5, "novelty": "new"}
        _, _, tracks = exploring.call("POST", PREDICT, body)
        assert len(set(tracks)) == 10
        assert not set(tracks) & set(world.tracks(0, 10))


def test_a_user_of_whom_nothing_is_known_is_not_found(predict: Function) -> None:
    status, headers, body = predict.call("POST", PREDICT, {"user_id": 999_999})
    assert status == 404
    assert headers["Content-Type"] == "application/problem+json"
    assert body == {
        "type": "urn:segue:problem:unknown-user",
        "title": "Unknown user",
        "status": 404,
        "detail": "there is no user 999999",
        "request_id": "request-1",
    }


@pytest.mark.parametrize(
    "model",
    [
        "9",
        "99999999999999999999",
        "autoencoder",
        "1.0",
        "-1",
        "+1",
        "01",
        "%31",
        "%D9%A1",
        "\u0661",
    ],
)
def test_an_unknown_model_is_not_found(predict: Function, model: str) -> None:
    status, _, body = predict.call("POST", f"/models/{model}/predict", {"user_id": 429})
    assert status == 404
    assert body["title"] == "Unknown model"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user_id", None),
        ("user_id", ""),
        ("user_id", -1),
        ("user_id", 1.5),
        ("user_id", True),
        ("user_id", "x" * 65),
        ("user_id", 2**70),
        ("k", 0),
        ("k", 101),
        ("k", "ten"),
        ("as_of", "yesterday"),
        ("as_of", "9999-99-99"),
        ("as_of", -5),
        ("as_of", 10**30),
        ("novelty", "old"),
        ("explicit", "no"),
        ("exclude", "a track"),
        ("exclude", ["x"] * 1_001),
        ("exclude", [5]),
        ("diversity", -0.1),
        ("diversity", 1.1),
        ("diversity", "some"),
        ("exploration", 2),
        ("exploration", True),
        ("explain", "yes"),
        ("shuffle", True),
    ],
)
def test_an_invalid_field_is_named(predict: Function, field: str, value: Any) -> None:
    status, _, body = predict.call("POST", PREDICT, {"user_id": 429} | {field: value})
    assert status == 422
    assert body["field"].split("[")[0] == field
    assert body["detail"].startswith(field)


@pytest.mark.parametrize("body", ['{"user_id": "\ufffd"}', '{"user_id": "\\ud800"}'])
def test_a_body_that_cannot_be_read_is_malformed(predict: Function, body: str) -> None:
    status, _, problem = predict.call("POST", PREDICT, body)
    assert (status, problem["title"]) == (400, "Malformed request")


def test_a_missing_field_is_named(predict: Function) -> None:
    status, _, body = predict.call("POST", PREDICT, {})
    assert (status, body["field"]) == (422, "user_id")


@pytest.mark.parametrize("body", ["", "{", "null", "[]", '"429"', '{"user_id": 429,}', "\x00"])
def test_a_body_that_is_no_json_object_is_refused(predict: Function, body: str) -> None:
    status, _, answer = predict.call("POST", PREDICT, body)
    assert status in {400, 422}
    assert answer["title"] in {"Malformed request", "Invalid request"}


def test_an_absent_body_is_refused(predict: Function) -> None:
    assert predict.call("POST", PREDICT, None)[0] == 400


def test_a_body_beyond_the_limit_is_too_large(predict: Function) -> None:
    body = {"user_id": 429, "exclude": ["x" * 200_000]}
    assert predict.call("POST", PREDICT, body)[0] == 413


def test_a_base64_body_that_is_not_text_is_refused(
    predict: Function, context: LambdaContext
) -> None:
    event = {
        "path": PREDICT,
        "httpMethod": "POST",
        "requestContext": {"requestId": "r"},
        "body": base64.b64encode(b"\xff\xfe").decode(),
        "isBase64Encoded": True,
    }
    assert predict.module.lambda_handler(event, context)["statusCode"] == 400


def test_an_unknown_route_is_a_problem_too(predict: Function) -> None:
    status, _, body = predict.call("GET", "/models/1/predictions")
    assert status == 404
    assert body["title"] == "Unknown route"


def test_models_tell_what_is_served(predict: Function, world: World) -> None:
    status, _, body = predict.call("GET", "/models")
    assert status == 200
    assert body["version"] == world.bundle.version
    assert [(model["id"], model["name"]) for model in body["models"]] == [
        (0, "popularity"),
        (1, "autoencoder"),
        (2, "classifier"),
        (3, "hybrid"),
    ]


def test_health_is_ok_when_predictions_can_be_had(predict: Function, world: World) -> None:
    assert predict.call("GET", "/health")[::2] == (
        200,
        {"status": "ok", "bundle": world.bundle.version, "now": format_time(world.cutoff)},
    )


def test_without_models_health_and_predictions_say_why(
    predict: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise BundleMissing("/opt/bundle: no bundle here")

    monkeypatch.setattr(world.models, "current", missing)
    for method, path in (("GET", "/health"), ("POST", PREDICT), ("GET", "/models")):
        status, _, body = predict.call(method, path, {"user_id": 429})
        assert status == 503
        assert "no bundle here" in body["detail"]


@pytest.mark.parametrize(
    ("file", "refused"),
    [
        ("hybrid/factors.npy", {"user_id": 429}),
        ("descriptions/titles.npy", {"user_id": 429, "explain": True}),
    ],
)
def test_what_needs_a_damaged_file_is_refused_and_health_says_why(
    predict: Function, world: World, tmp_path: Path, file: str, refused: dict[str, Any]
) -> None:
    damaged = Path(shutil.copytree(world.bundle.path, tmp_path / "damaged"))
    content = (damaged / file).read_bytes()
    (damaged / file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    world.models.active = Bundle.mapped(damaged)
    assert predict.call("POST", PREDICT, {"user_id": 429})[0] == 200
    for method, path in (("POST", "/models/3/predict"), ("GET", "/health")):
        status, _, body = predict.call(method, path, refused)
        assert status == 503
        assert f"{file}: its checksum is not the manifest's" in body["detail"]


def test_a_store_that_does_not_answer_is_503(
    predict: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(*_: object) -> None:
        raise StoreUnavailable("Sessions: ProvisionedThroughputExceededException")

    monkeypatch.setattr(world.sessions, "events", throttled)
    assert predict.call("POST", PREDICT, {"user_id": 429})[0] == 503


def test_an_unforeseen_error_tells_the_caller_nothing(
    predict: Function, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(world.sessions, "events", broken)
    status, _, body = predict.call("POST", PREDICT, {"user_id": 429})
    assert status == 500
    assert "secret" not in str(body)
