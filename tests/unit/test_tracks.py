"""Tracks: looked up, searched for, taken out of all lists; and lists that name them."""

from typing import Any

import pytest

from infra.benchmarks.adding import measure, row_like
from segue.domain.added import AddedTrack
from segue.domain.descriptions import TrackCard
from segue.models.bundle import Bundle
from tests.unit.conftest import Function, World

PREDICT = "/models/1/predict"
CARD = ("track_id", "title", "artist", "artist_id", "genres", "year", "explicit", "popularity")


@pytest.fixture
def listener(world: World) -> str:
    """Somebody who has played a few tracks."""
    world.join("429")
    world.play("429", world.tracks(0, 12))
    return "429"


def card(bundle: Bundle, track_id: str) -> TrackCard:
    (found,) = bundle.cards(bundle.catalogue.positions([track_id]))
    return found


def assert_is_card(row: dict[str, Any], expected: TrackCard) -> None:
    for name in CARD:
        value = getattr(expected, name)
        assert row[name] == (list(value) if isinstance(value, tuple) else value), name


class TestOneTrack:
    def test_has_the_names_that_the_data_give_it(self, predict: Function, world: World) -> None:
        track_id = world.tracks(3, 4)[0]
        status, _, body = predict.call("GET", f"/tracks/{track_id}")
        assert status == 200
        assert_is_card(body, card(world.bundle, track_id))
        assert body["available"] is True
        assert body["title"]
        assert 0 <= body["attributes"]["energy"] <= 1

    def test_that_nobody_knows_is_not_found(self, predict: Function) -> None:
        status, _, body = predict.call("GET", "/tracks/nothing")
        assert (status, body["title"]) == (404, "Unknown track")


class TestSearch:
    def test_finds_a_track_by_its_title_and_by_a_misspelt_one(
        self, predict: Function, world: World
    ) -> None:
        wanted = card(world.bundle, world.tracks(5, 6)[0])
        assert wanted.title
        longest = max(wanted.title.split(), key=len)
        misspelt = wanted.title.replace(longest, longest[:-2] + longest[-1])
        for query in (wanted.title, wanted.title.upper(), misspelt, wanted.track_id):
            body = predict.call("GET", "/tracks", query={"query": query, "limit": "50"})[2]
            assert wanted.track_id in [row["track_id"] for row in body["tracks"]], query

    def test_without_a_query_gives_the_most_popular(self, predict: Function, world: World) -> None:
        body = predict.call("GET", "/tracks", query={"limit": "7"})[2]
        popularity = [row["popularity"] for row in body["tracks"]]
        assert len(popularity) == 7
        assert popularity == sorted(popularity, reverse=True)
        assert popularity[0] == world.bundle.catalogue.popularity.max()

    def test_leaves_out_what_the_filter_is_not_true_of(self, predict: Function) -> None:
        query = {"filter": "year >= 2000 and not explicit", "limit": "100"}
        rows = predict.call("GET", "/tracks", query=query)[2]["tracks"]
        assert rows
        assert all(row["year"] >= 2000 and not row["explicit"] for row in rows)

    @pytest.mark.parametrize(
        ("expression", "position"),
        [("year = 1990", 5), ("yaer > 1990", 0), ("year >", 6), ("energy == 'much'", 7)],
    )
    def test_says_where_a_filter_goes_wrong(
        self, predict: Function, expression: str, position: int
    ) -> None:
        status, _, body = predict.call("GET", "/tracks", query={"filter": expression})
        assert (status, body["title"], body["field"]) == (422, "Invalid request", "filter")
        assert body["position"] == position


class TestAvailability:
    @pytest.fixture
    def taken_out(self, events: Function, predict: Function, listener: str) -> str:
        """The first track that the listener was recommended, taken out since."""
        first = predict.call("POST", PREDICT, {"user_id": listener, "k": 5})[2][0]
        status, _, body = events.call("PUT", f"/tracks/{first}", {"available": False})
        assert (status, body["available"]) == (200, False)
        return str(first)

    def test_takes_a_track_out_of_every_list_from_the_next_request_on(
        self, predict: Function, ab_test: Function, world: World, listener: str, taken_out: str
    ) -> None:
        for model in ("0", "1", "2", "3"):
            body = {"user_id": listener, "k": 100}
            assert taken_out not in predict.call("POST", f"/models/{model}/predict", body)[2]
        other = world.tracks(40, 41)[0]
        assert taken_out not in predict.call("GET", f"/tracks/{other}/similar?", query={"k": "100"})
        found = predict.call("GET", "/tracks", query={"query": taken_out})[2]["tracks"]
        assert taken_out not in [row["track_id"] for row in found]
        shown = ab_test.call("GET", f"/users/{listener}/recommendations", query={"k": "100"})[2]
        assert taken_out not in shown["tracks"]

    def test_still_tells_what_the_track_is(self, predict: Function, taken_out: str) -> None:
        assert predict.call("GET", f"/tracks/{taken_out}")[2]["available"] is False

    def test_takes_it_out_of_a_list_that_was_shown_before(
        self, ab_test: Function, events: Function, listener: str
    ) -> None:
        path = f"/users/{listener}/recommendations"
        before = ab_test.call("GET", path)[2]
        events.call("PUT", f"/tracks/{before['tracks'][0]}", {"available": False})
        after = ab_test.call("GET", path)[2]
        assert after["group"] == before["group"]
        assert before["tracks"][0] not in after["tracks"]
        assert len(after["tracks"]) == len(before["tracks"])

    def test_puts_it_back(
        self, predict: Function, events: Function, listener: str, taken_out: str
    ) -> None:
        events.call("PUT", f"/tracks/{taken_out}", {"available": True})
        assert taken_out == predict.call("POST", PREDICT, {"user_id": listener, "k": 5})[2][0]

    def test_refuses_a_track_that_is_not_there(self, events: Function) -> None:
        status, _, body = events.call("PUT", "/tracks/nothing", {"available": False})
        assert (status, body["title"]) == (404, "Unknown track")


class TestNamesAndReasons:
    def test_every_list_has_them_where_they_are_asked_for(
        self, predict: Function, ab_test: Function, world: World, listener: str
    ) -> None:
        by_model = predict.call("POST", PREDICT, {"user_id": listener, "k": 5, "explain": True})[2]
        track = world.tracks(0, 1)[0]
        similar = predict.call("GET", f"/tracks/{track}/similar", query={"explain": "true"})[2]
        query = {"explain": "true", "k": "5"}
        live = ab_test.call("GET", f"/users/{listener}/recommendations", query=query)[2]["tracks"]
        for rows in (by_model, similar, live):
            assert rows
            for row in rows:
                assert_is_card(row, card(world.bundle, row["track_id"]))
                assert isinstance(row["score"], float | int)
                assert row["reason"] is None or row["reason"]["text"]
        assert any(row["reason"] for row in by_model)

    def test_a_live_list_is_the_same_with_and_without(
        self, ab_test: Function, listener: str
    ) -> None:
        path = f"/users/{listener}/recommendations"
        ids = ab_test.call("GET", path)[2]["tracks"]
        rows = ab_test.call("GET", path, query={"explain": "true"})[2]["tracks"]
        assert [row["track_id"] for row in rows] == ids

    def test_an_interleaved_list_is_explained_by_the_arms_that_made_it(
        self, ab_test: Function, listener: str
    ) -> None:
        arms = [{"group": "A", "model_id": 1}, {"group": "B", "model_id": 2}]
        ab_test.call("PUT", "/experiments/both", {"arms": arms, "mode": "interleave", "k": 8})
        query = {"experiment": "both", "explain": "true"}
        body = ab_test.call("GET", f"/users/{listener}/recommendations", query=query)[2]
        assert len(body["tracks"]) == 8
        assert all(row["title"] for row in body["tracks"])


class TestGenres:
    def test_come_with_their_number_of_tracks(self, predict: Function, world: World) -> None:
        rows = predict.call("GET", "/genres")[2]["genres"]
        genres = world.bundle.catalogue.genres
        assert {row["genre"]: row["tracks"] for row in rows} == {
            genre: len(tracks) for genre, tracks in genres.items()
        }
        assert [row["tracks"] for row in rows] == sorted(map(len, genres.values()), reverse=True)

    def test_that_the_catalogue_does_not_have_are_no_favourites(
        self, events: Function, world: World
    ) -> None:
        known = next(iter(world.bundle.catalogue.genres))
        body = {"favourite_genres": [known, known.upper() + "x"]}
        status, _, problem = events.call("PUT", "/users/429", body)
        assert (status, problem["field"]) == (422, "favourite_genres[1]")
        assert known in problem["detail"]
        assert events.call("GET", "/users/429")[0] == 404

    def test_that_are_like_none_are_to_be_looked_up(self, events: Function) -> None:
        body = {"favourite_genres": ["0123456789"]}
        assert "GET /genres" in events.call("PUT", "/users/429", body)[2]["detail"]


def test_users_are_found_by_the_beginning_of_their_id(events: Function, world: World) -> None:
    for user_id in ("429", "42", "1429"):
        world.join(user_id)
    body = events.call("GET", "/users", query={"query": "42"})[2]
    assert [row["user_id"] for row in body["users"]] == [42, 429]
    assert len(events.call("GET", "/users", query={"limit": "1"})[2]["users"]) == 1
    assert events.call("GET", "/users", query={"limit": "0"})[2]["field"] == "limit"


@pytest.mark.parametrize("typed", ["anna-x7", "anna-71", "annak-7", "annq-7", "anna-"])
def test_a_user_is_found_though_a_letter_of_the_id_is_wrong(
    events: Function, world: World, typed: str
) -> None:
    for user_id in ("anna-7", "anton", "bert"):
        world.join(user_id)
    rows = events.call("GET", "/users", query={"query": typed})[2]["users"]
    assert [row["user_id"] for row in rows] == ["anna-7"]


@pytest.mark.parametrize("typed", ["an", "bx", "carl", "anna-999"])
def test_a_user_whose_id_is_another_is_not_found(
    events: Function, world: World, typed: str
) -> None:
    world.join("bert-7")
    world.join("anna-7")
    rows = events.call("GET", "/users", query={"query": typed})[2]["users"]
    assert [row["user_id"] for row in rows] == (["anna-7"] if typed == "an" else [])


class TestAdded:
    """A track that the models were not trained with."""

    @pytest.fixture
    def twin(self, events: Function, world: World) -> str:
        """A new track, in all but its name like one of the catalogue."""
        status, _, body = events.call("PUT", "/tracks/twin", {"track": row(world, 3)})
        assert (status, body["available"], body["title"]) == (200, True, "The Twin")
        return "twin"

    def test_is_described_and_found_from_the_next_request_on(
        self, predict: Function, world: World, twin: str
    ) -> None:
        body = predict.call("GET", f"/tracks/{twin}")[2]
        original = predict.call("GET", f"/tracks/{world.tracks(3, 4)[0]}")[2]
        same = ("artist_id", "artist", "genres", "year", "explicit", "attributes")
        assert {name: body[name] for name in same} == {name: original[name] for name in same}
        assert body["popularity"] == 0
        for query in ({"query": "twin"}, {"filter": 'title == "The Twin"'}):
            found = predict.call("GET", "/tracks", query=query)[2]["tracks"]
            assert found[0]["track_id"] == twin

    def test_is_recommended_to_whom_likes_such_tracks_with_a_reason(
        self, predict: Function, world: World, twin: str
    ) -> None:
        original = world.tracks(3, 4)[0]
        world.join("fan")
        world.play("fan", [original])
        body = {"user_id": "fan", "k": 20, "explain": True}
        recommended = {it["track_id"]: it for it in predict.call("POST", PREDICT, body)[2]}
        assert recommended[twin]["reason"]["track_id"] == original

    @pytest.mark.parametrize("model", ["0", "1", "2", "3"])
    def test_is_on_the_list_of_every_model_where_the_filter_wants_it(
        self, predict: Function, listener: str, twin: str, model: str
    ) -> None:
        body = {"user_id": listener, "k": 3, "filter": 'title == "The Twin"', "explain": True}
        answer = predict.call("POST", f"/models/{model}/predict", body)[2]
        assert [track["track_id"] for track in answer] == [twin]

    def test_is_similar_to_what_sounds_alike(
        self, predict: Function, world: World, twin: str
    ) -> None:
        original = world.tracks(3, 4)[0]
        for one, other in ((original, twin), (twin, original)):
            assert predict.call("GET", f"/tracks/{one}/similar", query={"k": "1"})[2] == [other]

    def test_counts_once_it_is_played(
        self, events: Function, predict: Function, world: World, twin: str
    ) -> None:
        event = {"session_id": "s", "event_type": "PLAY", "track_id": twin}
        record = {**event, "timestamp": "2022-08-30T12:00:00Z"}
        receipt = events.call("POST", "/users/new/events", {"events": [record]})[2]
        assert (receipt["accepted"], receipt["waiting"]) == (1, [])
        body = {"user_id": "new", "k": 1, "explain": True}
        first = predict.call("POST", PREDICT, body)[2][0]
        assert first["track_id"] == world.tracks(3, 4)[0]
        assert first["reason"]["track_id"] == twin

    def test_is_on_no_list_where_it_is_not_to_be(
        self, events: Function, predict: Function, listener: str, world: World
    ) -> None:
        body = {"track": row(world, 3), "available": False}
        assert events.call("PUT", "/tracks/twin", body)[2]["available"] is False
        body = {"user_id": listener, "k": 100, "filter": 'title == "The Twin"'}
        assert predict.call("POST", PREDICT, body)[2] == []
        assert predict.call("GET", "/tracks/twin")[2]["available"] is False

    def test_is_described_anew_where_it_is_sent_again(
        self, events: Function, predict: Function, twin: str
    ) -> None:
        events.call("PUT", f"/tracks/{twin}", {"track": {"name": "Another", "energy": 0.25}})
        body = predict.call("GET", f"/tracks/{twin}")[2]
        energy = body["attributes"]["energy"]
        assert (body["title"], body["artist"], energy) == ("Another", None, 0.25)

    def test_may_bring_an_artist_and_a_genre_that_nobody_knew(
        self, events: Function, predict: Function
    ) -> None:
        track = {"id_artist": "new", "artist_name": "Newcomer", "artist_genres": ["new polka"]}
        events.call("PUT", "/tracks/polka", {"track": track})
        genres = predict.call("GET", "/genres")[2]["genres"]
        assert {"genre": "new polka", "tracks": 1} in genres
        found = predict.call("GET", "/tracks", query={"query": "newcomer"})[2]["tracks"]
        assert [track["track_id"] for track in found] == ["polka"]
        profile = {"favourite_genres": ["new polka"], "premium_user": False}
        assert events.call("PUT", "/users/new", profile)[0] == 200

    def test_is_the_bundles_own_once_the_models_were_trained_with_it(
        self, predict: Function, world: World
    ) -> None:
        trained = world.tracks(3, 4)[0]
        before = predict.call("GET", f"/tracks/{trained}")[2]
        world.track_store.add(AddedTrack(trained, {"name": "As it was added"}))
        assert predict.call("GET", f"/tracks/{trained}")[2] == before

    @pytest.mark.parametrize(
        ("track", "field", "reason"),
        [
            ({"enrgy": 0.5}, "track.enrgy", "there is no such column"),
            ({"energy": "much"}, "track.energy", "must be a number"),
            ({"key": 12}, "track.key", "must be one of 0, 1"),
            ({"explicit": "no"}, "track.explicit", "must be true or false"),
            ({"release_date": "soon"}, "track.release_date", "must be a date"),
            ({"artist_genres": "polka"}, "track.artist_genres", "must be a list of"),
            ({"id_artist": 5}, "track.id_artist", "must be a text"),
            ({"name": "x" * 257}, "track", ""),
        ],
    )
    def test_is_refused_for_a_column_that_is_not_read_so(
        self, events: Function, predict: Function, track: Any, field: str, reason: str
    ) -> None:
        status, _, body = events.call("PUT", "/tracks/twin", {"track": track})
        assert (status, body["field"].split("[")[0]) == (422, field)
        assert reason in body["detail"]
        assert predict.call("GET", "/tracks/twin")[0] == 404

    def test_cannot_take_the_place_of_one_that_the_models_know(
        self, events: Function, world: World
    ) -> None:
        path = f"/tracks/{world.tracks(3, 4)[0]}"
        status, _, body = events.call("PUT", path, {"track": {"name": "Mine"}})
        assert (status, body["field"]) == (422, "track")
        assert "trained with this track" in body["detail"]

    def test_is_one_too_many_after_a_thousand(
        self, events: Function, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("segue.services.tracks.MAX_ADDED", 2)
        known = world.tracks(0, 1)[0]
        world.track_store.add(AddedTrack(known, {}))
        for name in ("a", "b", "a"):
            assert events.call("PUT", f"/tracks/{name}", {"track": {}})[0] == 200
        status, _, body = events.call("PUT", "/tracks/c", {"track": {}})
        assert (status, body["field"]) == (422, "track")
        assert "2 tracks were added since the models were trained" in body["detail"]

    @pytest.mark.parametrize("track_id", ["x" * 257, "a%00", "a%0A"])
    def test_needs_an_id_that_events_may_name(self, events: Function, track_id: str) -> None:
        status, _, body = events.call("PUT", f"/tracks/{track_id}", {"track": {}})
        assert (status, body["field"]) == (422, "track_id")

    @pytest.mark.parametrize("model", [0, 1, 2, 3])
    def test_costs_what_can_be_measured(self, world: World, model: int) -> None:
        assert all(time > 0 for time in measure(world.bundle, 2, model, seed=7))

    def test_is_not_meant_by_an_empty_body(self, events: Function) -> None:
        status, _, body = events.call("PUT", "/tracks/twin", {})
        assert (status, body["field"]) == (422, "available")


def row(world: World, place: int) -> dict[str, Any]:
    """The row of a new track that is like one of the catalogue."""
    return {**row_like(world.bundle, place), "name": "The Twin"}
