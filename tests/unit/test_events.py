"""Rows of sessions and users: what is read, and every reason why one is not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.domain.errors import InvalidRecord
from segue.domain.events import Event, EventType, parse_event, parse_id
from segue.domain.limits import MAX_ID_LENGTH
from segue.domain.users import User, json_id, parse_user

ROW = {
    "session_id": 124,
    "timestamp": "2022-09-01T00:00:00",
    "user_id": 101,
    "track_id": "7aTrackOfMadeUpData00",
    "event_type": "PLAY",
}
NO_TIME = "not a time (ISO 8601 text or epoch milliseconds)"
NO_YEAR = "not between the years 1970 and 9999"
TEXTS = st.text("aT:-0²é ", max_size=10)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=3,
)


def reasons(**changes: object) -> tuple[str, ...]:
    with pytest.raises(InvalidRecord) as fault:
        parse_event(ROW | changes)
    return fault.value.reasons


class TestEvents:
    def test_a_row_becomes_an_event_with_ids_as_text(self) -> None:
        expected = Event("101", "124", 1_661_990_400_000, EventType.PLAY, "7aTrackOfMadeUpData00")
        assert parse_event(ROW) == expected

    def test_both_forms_of_time_mean_the_same(self) -> None:
        assert parse_event(ROW | {"timestamp": 1_661_990_400_000}) == parse_event(ROW)

    @pytest.mark.parametrize(
        ("spelling", "kind"),
        [
            ("PLAY", EventType.PLAY),
            ("play", EventType.PLAY),
            ("Skip", EventType.SKIP),
            ("like", EventType.LIKE),
            ("ADVERTISEMENT", EventType.ADVERTISEMENT),
            ("advertisement", EventType.ADVERTISEMENT),
            ("advertisment", EventType.ADVERTISEMENT),
            ("ADVERTISMENT", EventType.ADVERTISEMENT),
            ("buy_premium", EventType.BUY_PREMIUM),
        ],
    )
    def test_types_are_read_in_any_case_and_both_spellings(
        self, spelling: str, kind: EventType
    ) -> None:
        assert parse_event(ROW | {"event_type": spelling}).type is kind

    @pytest.mark.parametrize("kind", ["ADVERTISEMENT", "BUY_PREMIUM"])
    def test_what_concerns_no_track_needs_none(self, kind: str) -> None:
        event = parse_event(ROW | {"event_type": kind, "track_id": None})
        assert event.track_id is None

    @pytest.mark.parametrize("kind", ["PLAY", "SKIP", "LIKE"])
    def test_what_concerns_a_track_needs_one(self, kind: str) -> None:
        assert reasons(event_type=kind, track_id=None) == ("track_id missing",)

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"user_id": None}, "user_id missing"),
            ({"user_id": -1}, "user_id not an id"),
            ({"session_id": None}, "session_id missing"),
            ({"session_id": ""}, "session_id not an id"),
            ({"event_type": None}, "event_type missing"),
            ({"event_type": "PAUSE"}, "event_type unknown"),
            ({"event_type": 3}, "event_type unknown"),
            ({"timestamp": None}, "timestamp missing"),
            ({"timestamp": "soon"}, f"timestamp {NO_TIME}"),
            ({"timestamp": [{}]}, f"timestamp {NO_TIME}"),
            ({"timestamp": -1}, f"timestamp {NO_YEAR}"),
            ({"timestamp": "0001-01-01"}, f"timestamp {NO_YEAR}"),
            ({"timestamp": "1969-12-31"}, f"timestamp {NO_YEAR}"),
            ({"timestamp": "9999-12-31T23:59:59-14:00"}, f"timestamp {NO_YEAR}"),
            ({"track_id": []}, "track_id not an id"),
        ],
    )
    def test_each_fault_has_its_reason(self, changes: dict[str, Any], reason: str) -> None:
        assert reasons(**changes) == (reason,)

    def test_every_fault_is_named_and_not_just_the_first(self) -> None:
        with pytest.raises(InvalidRecord) as fault:
            parse_event({"event_type": "SKIP"})
        assert fault.value.reasons == (
            "user_id missing",
            "session_id missing",
            "timestamp missing",
            "track_id missing",
        )

    def test_a_row_without_a_type_is_not_blamed_for_its_track(self) -> None:
        assert reasons(event_type=None, track_id=None) == ("event_type missing",)

    @given(st.dictionaries(st.sampled_from([*ROW, "other"]), JSON_VALUES))
    def test_any_row_is_either_an_event_or_refused_with_a_reason(
        self, changes: dict[str, Any]
    ) -> None:
        try:
            event = parse_event(ROW | changes)
        except InvalidRecord as fault:
            reasons = fault.reasons
        else:
            reasons = ()
            assert event.user_id
            assert event.session_id
            assert event.time >= 0
        faulty = {reason.split()[0] for reason in reasons}
        assert faulty <= {"user_id", "session_id", "event_type", "timestamp", "track_id"}
        assert faulty <= set(changes), "an unchanged field is never at fault"


class TestIds:
    @pytest.mark.parametrize(
        ("value", "text"),
        [("a", "a"), (0, "0"), (429, "429"), ("429", "429"), ("é", "é"), ("x" * 64, "x" * 64)],
    )
    def test_texts_and_whole_numbers_are_ids(self, value: object, text: str) -> None:
        assert parse_id(value) == text

    @pytest.mark.parametrize(
        "value",
        [
            None,
            "",
            -1,
            True,
            1.0,
            b"a",
            ["a"],
            "x" * (MAX_ID_LENGTH + 1),
            10**MAX_ID_LENGTH,
            10**5_000,
            "half a pair \ud800",
        ],
        ids=lambda value: f"{type(value).__name__}",
    )
    def test_anything_else_is_not(self, value: object) -> None:
        assert parse_id(value) is None

    @given(st.integers(0, 10**MAX_ID_LENGTH - 1))
    def test_a_number_comes_back_as_the_number_it_was(self, number: int) -> None:
        text = parse_id(number)
        assert text is not None
        assert json_id(text) == number

    @given(st.text("0123456789²٣a-", min_size=1))
    def test_an_answer_names_the_user_as_the_request_did(self, text: str) -> None:
        assert str(json_id(text)) == text


class TestUsers:
    def test_a_row_becomes_a_profile(self) -> None:
        row = {"user_id": 101, "favourite_genres": ["funk", "rock"], "premium_user": True}
        assert parse_user(row) == User("101", ("funk", "rock"), premium=True)

    def test_what_is_null_is_not_given(self) -> None:
        row = {"user_id": 101, "favourite_genres": None, "premium_user": None}
        assert parse_user(row) == parse_user({"user_id": 101}) == User("101")

    def test_another_id_in_the_row_does_not_matter(self) -> None:
        assert parse_user({"user_id": 101, "id": -1}) == User("101")

    @pytest.mark.parametrize(
        ("field", "value", "reason"),
        [
            ("user_id", None, "user_id missing"),
            ("user_id", -1, "user_id not an id"),
            ("favourite_genres", "rock", "favourite_genres not a list of texts"),
            ("favourite_genres", "", "favourite_genres not a list of texts"),
            ("favourite_genres", False, "favourite_genres not a list of texts"),
            ("favourite_genres", ["rock", None], "favourite_genres not a list of texts"),
            ("premium_user", "yes", "premium_user neither true nor false"),
            ("premium_user", "", "premium_user neither true nor false"),
            ("premium_user", 2, "premium_user neither true nor false"),
            ("premium_user", [], "premium_user neither true nor false"),
        ],
    )
    def test_each_fault_has_its_reason(self, field: str, value: object, reason: str) -> None:
        with pytest.raises(InvalidRecord) as fault:
            parse_user({"user_id": 101, field: value})
        assert fault.value.reasons == (reason,)
