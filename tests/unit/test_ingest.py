"""POST and GET /users/{user_id}/events, PUT and GET /users/{user_id}."""

import json
from typing import Any

import pytest

from segue.domain.errors import BundleMissing
from segue.domain.events import Event, EventType
from segue.domain.times import DAY, format_time
from segue.domain.users import User
from segue.services.ingest import CLOCK_SKEW, Ingest
from tests.unit.conftest import Function, World

EVENTS = "/users/429/events"
START = 1_660_000_000_000


def event(number: int, **changes: object) -> dict[str, object]:
    return {
        "session_id": "s",
        "timestamp": START + number,
        "event_type": "PLAY",
        "track_id": f"t{number}",
    } | changes


def send(function: Function, *records: object) -> tuple[int, Any]:
    status, _, body = function.call("POST", EVENTS, {"events": list(records)})
    return status, body


def listed(function: Function, path: str = EVENTS, **query: str) -> list[dict[str, Any]]:
    status, _, body = function.call("GET", path, query=query)
    assert status == 200
    found: list[dict[str, Any]] = body["events"]
    return found


class TestSending:
    def test_stores_events_and_counts_them(self, events: Function, world: World) -> None:
        (track,) = world.tracks(0, 1)
        records = event(1, track_id=track), event(2, event_type="skip", track_id=track)
        status, body = send(events, *records)
        assert status == 200
        assert body == {
            "accepted": 2,
            "repeated": 0,
            "not_yet_counted": 0,
            "waiting": [],
            "rejected": 0,
            "rejections": [],
        }
        assert set(world.sessions.stored.values()) == {
            Event("429", "s", START + 1, EventType.PLAY, track),
            Event("429", "s", START + 2, EventType.SKIP, track),
        }

    def test_repeats_are_harmless_and_counted(self, events: Function, world: World) -> None:
        send(events, event(1))
        _, body = send(events, event(1), event(2), event(2))
        assert (body["accepted"], body["repeated"]) == (1, 2)
        assert len(world.sessions.stored) == 2

    def test_each_record_stands_alone(self, events: Function, world: World) -> None:
        records: list[object] = [
            event(1, event_type="DANCE", session_id=None),
            event(2),
            "x",
            None,
            [],
        ]
        status, body = send(events, *records, event(3, user_id=430), event(4, user_id=429))
        assert status == 200
        assert (body["accepted"], body["rejected"]) == (2, 5)
        assert body["rejections"] == [
            {"index": 0, "reasons": ["session_id missing", "event_type unknown"]},
            {"index": 2, "reasons": ["not an object"]},
            {"index": 3, "reasons": ["not an object"]},
            {"index": 4, "reasons": ["not an object"]},
            {"index": 5, "reasons": ["user_id is not 429"]},
        ]
        assert {stored.user_id for stored in world.sessions.stored.values()} == {"429"}

    def test_rejects_what_has_not_happened_yet(self, events: Function, world: World) -> None:
        late = world.clock.time + CLOCK_SKEW + 1
        body = send(
            events, event(1, timestamp=late), event(2, timestamp="9999-01-01T00:00:00Z"), event(3)
        )[1]
        assert body["accepted"] == 1
        reason = f"timestamp is after now, {format_time(world.clock.time)}"
        assert body["rejections"] == [{"index": it, "reasons": [reason]} for it in (0, 1)]
        assert len(world.sessions.stored) == 1

    def test_says_which_no_recommendation_sees_yet(
        self, events: Function, predict: Function, world: World
    ) -> None:
        heard, (before,) = world.tracks(0, 9), world.tracks(9, 10)
        records = [
            event(0, timestamp=world.cutoff + place, track_id=track)
            for place, track in enumerate(heard)
        ]
        body = send(events, event(1, track_id=before), *records)[1]
        assert (body["accepted"], body["not_yet_counted"]) == (10, 9)
        reason = f"timestamp is not before now, {format_time(world.cutoff)}"
        assert body["waiting"] == [{"index": it, "reasons": [reason]} for it in range(1, 10)]
        assert send(events, *records)[1]["not_yet_counted"] == 9, "though they are repeated"
        asked = {"user_id": 429, "k": 100, "novelty": "new"}
        assert set(heard) & set(predict.call("POST", "/models/0/predict", asked)[2])

    def test_of_a_clock_that_is_somewhat_fast_counts_when_the_time_has_come(
        self, events: Function, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            events.module,
            "ingest",
            Ingest(
                world.sessions,
                world.users,
                world.clock,
                world.catalogue,
                world.extended_catalogue,
            ),
        )
        (track,) = world.tracks(0, 1)
        moments = (world.clock.time + it for it in (-1, 0, CLOCK_SKEW))
        body = send(events, *(event(0, timestamp=it, track_id=track) for it in moments))[1]
        assert (body["accepted"], body["not_yet_counted"]) == (3, 2)

    def test_says_of_which_the_catalogue_has_no_track(self, events: Function, world: World) -> None:
        records = [
            event(1, track_id="tomorrow"),
            {"event_type": "DANCE"},
            event(2, track_id=world.tracks(0, 1)[0]),
            event(3, track_id="tomorrow", event_type="SKIP", timestamp=world.cutoff),
            event(4, track_id=None, event_type="ADVERTISEMENT"),
        ]
        body = send(events, *records)[1]
        assert (body["accepted"], body["not_yet_counted"], body["rejected"]) == (4, 2, 1)
        absent = "track tomorrow is not in the catalogue"
        later = f"timestamp is not before now, {format_time(world.cutoff)}"
        assert body["waiting"] == [
            {"index": 0, "reasons": [absent]},
            {"index": 3, "reasons": [later, absent]},
        ]
        assert send(events, *records)[1]["waiting"] == body["waiting"], "though they are repeated"

    def test_are_taken_while_no_models_are_served(
        self, events: Function, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def current(**_: object) -> None:
            raise BundleMissing("there is no bundle")

        monkeypatch.setattr(world.models, "current", current)
        body = send(events, event(1))[1]
        assert (body["accepted"], body["not_yet_counted"]) == (1, 1)
        reason = "no catalogue is served: there is no bundle"
        assert body["waiting"] == [{"index": 0, "reasons": [reason]}]

    def test_takes_500_at_once_and_no_more(self, events: Function) -> None:
        assert send(events, *map(event, range(500)))[1]["accepted"] == 500
        status, body = send(events, *map(event, range(501)))
        assert (status, body["field"]) == (422, "events")

    @pytest.mark.parametrize("body", ["", "[]", "{}", '{"events": {}}', '{"events": [], "x": 1}'])
    def test_refuses_what_is_no_batch(self, events: Function, body: str) -> None:
        assert events.call("POST", EVENTS, body)[0] in {400, 422}

    @pytest.mark.parametrize("user", ["x" * 65, "%20" * 65])
    def test_refuses_what_is_no_user_id(self, events: Function, user: str) -> None:
        status, _, body = events.call("POST", f"/users/{user}/events", {"events": []})
        assert (status, body["field"]) == (422, "user_id")

    def test_reads_the_users_id_as_the_path_encodes_it(
        self, events: Function, world: World
    ) -> None:
        events.call("POST", "/users/u%C5%BCytkownik%2F1/events", {"events": [event(1)]})
        assert {stored.user_id for stored in world.sessions.stored.values()} == {"użytkownik/1"}

    @pytest.mark.parametrize("user", ["%FF", "%C5", "a%ED%A0%80"])
    def test_refuses_a_path_that_is_no_text(
        self, events: Function, world: World, user: str
    ) -> None:
        status, _, body = events.call("POST", f"/users/{user}/events", {"events": [event(1)]})
        assert (status, body["title"], body["field"]) == (400, "Malformed request", "user_id")
        assert not world.sessions.stored

    def test_refuses_a_body_that_may_have_been_no_text(
        self, events: Function, world: World
    ) -> None:
        """Of what is handed over as text, a gateway may have replaced bytes that are not UTF-8."""
        body = json.dumps({"events": [event(1, session_id="\ufffd")]}, ensure_ascii=False)
        status, _, problem = events.call("POST", EVENTS, body)
        assert (status, problem["title"]) == (400, "Malformed request")
        assert "U+FFFD" in problem["detail"]
        assert not world.sessions.stored

    def test_takes_a_replacement_character_that_is_meant(
        self, events: Function, world: World
    ) -> None:
        escaped = json.dumps({"events": [event(1, session_id="\ufffd")]})
        assert events.call("POST", EVENTS, escaped)[2]["accepted"] == 1
        raw = json.dumps({"events": [event(2, session_id="\ufffd")]}, ensure_ascii=False).encode()
        assert events.call("POST", "/users/%EF%BF%BD/events", raw)[2]["accepted"] == 1
        assert {it.user_id for it in world.sessions.stored.values()} == {"429", "\ufffd"}

    def test_refuses_a_body_that_is_no_text(self, events: Function, world: World) -> None:
        status, _, problem = events.call("POST", EVENTS, b'{"events": ["\xff"]}')
        assert (status, problem["detail"]) == (400, "the body is not UTF-8 text")

    @pytest.mark.parametrize(
        "around",
        ["%s", '{"events": [%s]}', '{"events": %s}', '{"x": %s}', '{"events": [], "x": %s}'],
    )
    @pytest.mark.parametrize("levels", [101, 971, 1_000, 100_000])
    def test_refuses_a_body_that_is_nested_too_deeply(
        self, events: Function, around: str, levels: int
    ) -> None:
        """Whatever else is wrong with it."""
        for nested in ("[" * levels + "]" * levels, '{"a":' * levels + "1" + "}" * levels):
            status, _, problem = events.call("POST", EVENTS, around % nested)
            assert (status, problem["title"]) == (400, "Malformed request")
            assert "nested too deeply" in problem["detail"]

    @pytest.mark.parametrize("levels", [1, 96, 97])
    def test_rejects_a_time_that_is_nested(self, events: Function, levels: int) -> None:
        nested = '{"a":' * levels + "1" + "}" * levels
        body = f'{{"events": [{{"session_id": 1, "timestamp": {nested}}}]}}'
        assert events.call("POST", EVENTS, body)[2]["rejected"] == 1

    def test_takes_brackets_in_texts_for_texts(self, events: Function) -> None:
        record = event(1, track_id='\\"' + "[{" * 30, x='"' * 150 + "[" * 150)
        assert send(events, record)[1]["accepted"] == 1

    def test_is_seen_by_the_next_recommendation(
        self, events: Function, predict: Function, world: World
    ) -> None:
        heard = world.tracks(0, 9)
        records = [
            event(0, timestamp=world.cutoff - DAY + place, track_id=track)
            for place, track in enumerate(heard)
        ]
        send(events, *records)
        body = {"user_id": 429, "novelty": "new"}
        status, headers, tracks = predict.call("POST", "/models/1/predict", body)
        assert (status, headers["X-Segue-Answered-By"]) == (200, "autoencoder")
        assert len(tracks) == 9, "as many as the session had"
        assert not set(heard) & set(tracks)


class TestListing:
    def test_is_in_time_order_and_fit_to_be_sent_again(self, events: Function) -> None:
        send(events, event(3), event(1), event(2, event_type="ADVERTISEMENT", track_id=None))
        rows = listed(events)
        assert [row["timestamp"][-4:] for row in rows] == ["001Z", "002Z", "003Z"]
        assert rows[0]["user_id"] == 429
        assert send(events, *rows)[1]["repeated"] == 3

    def test_keeps_to_the_window(self, events: Function) -> None:
        send(events, *map(event, range(10)))
        rows = listed(events, **{"from": str(START + 3), "to": "2022-08-08T23:06:40.006Z"})
        assert [row["track_id"] for row in rows] == ["t3", "t4", "t5"]

    def test_pages_hold_every_event_once(self, events: Function) -> None:
        # All at the same moment: the order has to tell them apart all the same.
        send(events, *(event(0, track_id=f"t{number}") for number in range(10)))
        tracks, query = [], {"limit": "4"}
        for expected in (4, 4, 2):
            _, _, body = events.call("GET", EVENTS, query=query)
            assert len(body["events"]) == expected
            tracks += [row["track_id"] for row in body["events"]]
            query["next"] = body["next"] or ""
        assert body["next"] is None
        assert sorted(tracks) == [f"t{number}" for number in range(10)]

    def test_of_a_profile_alone_is_empty_and_of_nobody_not_found(
        self, events: Function, world: World
    ) -> None:
        world.join("7", "rock")
        assert listed(events, "/users/7/events") == []
        status, _, body = events.call("GET", "/users/8/events")
        assert (status, body["title"]) == (404, "Unknown user")

    @pytest.mark.parametrize(
        ("field", "value"), [("from", "yesterday"), ("to", "9" * 19), ("limit", "0")]
    )
    def test_names_an_invalid_field(self, events: Function, field: str, value: str) -> None:
        status, _, body = events.call("GET", EVENTS, query={field: value})
        assert (status, body["field"]) == (422, field)

    @pytest.mark.parametrize("what", ["events", "export"])
    def test_refuses_a_window_that_ends_before_it_begins(
        self, events: Function, world: World, what: str
    ) -> None:
        world.join("429")
        window = {"from": "2022-08-02", "to": "2022-08-01"}
        status, _, body = events.call("GET", f"/users/429/{what}", query=window)
        assert (status, body["field"]) == (422, "from")
        window["from"] = window["to"]
        assert listed(events, f"/users/429/{what}", **window) == []

    def test_goes_on_while_events_come_in(self, events: Function) -> None:
        send(events, *(event(number) for number in range(0, 20, 2)))
        first = events.call("GET", EVENTS, query={"limit": "4"})[2]
        send(events, *(event(number) for number in range(1, 20, 2)))
        rest = listed(events, next=first["next"])
        assert [row["track_id"] for row in rest] == [f"t{number}" for number in range(7, 20)]

    @pytest.mark.parametrize("what", ["events", "export"])
    @pytest.mark.parametrize("token", ["", "x", "é", "\ud800", "0" * 32, "W1tb" * 30_000])
    def test_refuses_a_position_that_no_page_gave(
        self, events: Function, world: World, what: str, token: str
    ) -> None:
        world.join("429")
        refuses_position(events, f"/users/429/{what}", token)
        send(events, *map(event, range(3)))
        refuses_position(events, f"/users/429/{what}", token)

    @pytest.mark.parametrize("what", ["events", "export"])
    def test_refuses_a_position_of_another_list(self, events: Function, what: str) -> None:
        """Of another user or window, though the same event is there."""
        for user in ("429", "430"):
            records = {"events": [event(number) for number in range(5)]}
            events.call("POST", f"/users/{user}/events", records)
        token = events.call("GET", f"/users/429/{what}", query={"limit": "2"})[2]["next"]
        refuses_position(events, f"/users/430/{what}", token)
        refuses_position(events, f"/users/429/{what}", token, **{"from": str(START)})
        refuses_position(events, f"/users/429/{what}", token, to=str(START + 9))


def refuses_position(function: Function, path: str, token: str, **query: str) -> None:
    status, _, body = function.call("GET", path, query={"next": token, **query})
    assert (status, body["title"], body["field"]) == (400, "Malformed request", "next")


class TestProfile:
    def test_comes_back(self, events: Function, world: World) -> None:
        profile = {
            "favourite_genres": sorted(world.catalogue().genres)[:2],
            "premium_user": True,
            "attributes": {"age": 24, "weight": 70.5, "new": True, "city": "Łódź", "moods": ["x"]},
        }
        assert events.call("PUT", "/users/429", profile)[::2] == (200, {"user_id": 429} | profile)
        assert events.call("GET", "/users/429")[::2] == (200, {"user_id": 429} | profile)

    def test_keeps_the_attributes_where_none_are_sent(self, events: Function, world: World) -> None:
        world.users.put(User("429", ("pop",), attributes={"age": 24}))
        genre = min(world.catalogue().genres)
        events.call("PUT", "/users/429", {"favourite_genres": [genre]})
        assert world.users.get("429") == User("429", (genre,), attributes={"age": 24})
        events.call("PUT", "/users/429", {"attributes": {}})
        assert world.users.get("429") == User("429")

    def test_of_nobody_is_not_found(self, events: Function) -> None:
        assert events.call("GET", "/users/429")[0] == 404

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("favourite_genres", "rock"),
            ("favourite_genres", [1]),
            ("premium_user", 1),
            ("attributes", {"age": None}),
            ("attributes", {"age": 1e16}),
            ("attributes", {"age": {"years": 1}}),
            ("attributes", {"x" * 257: 1}),
            ("name", "Anna"),
        ],
    )
    def test_names_an_invalid_field(self, events: Function, field: str, value: object) -> None:
        status, _, body = events.call("PUT", "/users/429", {field: value})
        assert status == 422
        assert body["field"].startswith(field)
        assert "$" not in body["detail"]
