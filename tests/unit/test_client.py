"""The Python client, against a service that is made up; both its forms do the same."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import segue_client
from segue_client import (
    Arm,
    AsyncClient,
    BearerToken,
    Boost,
    Call,
    Client,
    Event,
    Forbidden,
    InvalidAnswer,
    NoCredentials,
    NotFound,
    PreconditionFailed,
    Problem,
    Retry,
    SigV4,
    Unreachable,
    is_loopback,
    to_frame,
)
from segue_client.models import Recommendation
from tests.signatures import credential_of, is_signed

LOCAL = "http://127.0.0.1:8000"
ON_AWS = "https://abc123.execute-api.eu-west-1.amazonaws.com/prod"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
AT_ONCE = Retry(backoff=0)
HEALTHY = {"status": "ok", "bundle": "b1", "now": "2022-09-01T00:00:00.000Z"}
TRACK = {
    "track_id": "t1",
    "title": "Paper Lanterns",
    "artist": "Slow Harbour",
    "artist_id": "a1",
    "genres": ["indie rock"],
    "year": 2019,
    "explicit": False,
    "popularity": 0.41,
}

# What a client is asked in a test: a call of one of its methods.
Question = Callable[[Any], Any]


class FakeService:
    """Answers requests by the next of the given answers, or raises it, and notes the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Asking:
    """Asks a service by one of the two clients."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(
        self, service: FakeService, question: Question, url: str = LOCAL, **options: Any
    ) -> Any:
        transport = httpx.MockTransport(service)
        options = {"retry": AT_ONCE, "transport": transport, **options}
        if self.kind == "async":
            return asyncio.run(self._ask(question, AsyncClient(url, **options)))
        with Client(url, **options) as client:
            answer = question(client)
            return list(answer) if isinstance(answer, Iterator) else answer

    async def _ask(self, question: Question, client: AsyncClient) -> Any:
        async with client:
            answer = question(client)
            if inspect.isasyncgen(answer):
                return [row async for row in answer]
            return await answer


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Asking:
    return Asking(request.param)


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """AWS credentials, and nothing else of AWS's configuration."""
    for variable in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")


def ok(body: object, **options: Any) -> httpx.Response:
    return httpx.Response(200, json=body, **options)


class TestCalls:
    def test_a_prediction_says_who_answered(self, ask: Asking) -> None:
        headers = {"X-Segue-Answered-By": "hybrid", "X-Segue-Bundle": "b1"}
        service = FakeService(ok(["t1", "t2"], headers=headers))
        found = ask(service, lambda it: it.predict(3, 429, k=2, boosts=[Boost("year > 2000", 2)]))
        assert (found.track_ids, found.answered_by, found.bundle) == (["t1", "t2"], "hybrid", "b1")
        assert found.explained == []
        (request,) = service.requests
        assert (request.method, str(request.url)) == ("POST", f"{LOCAL}/models/3/predict")
        body = b'{"user_id":429,"k":2,"boosts":[{"where":"year > 2000","factor":2}]}'
        assert request.content == body

    def test_explained_tracks_have_names_and_reasons(self, ask: Asking) -> None:
        reason = {"kind": "artist", "share": 0.6, "text": "more by Slow Harbour", "artist_id": "a1"}
        service = FakeService(ok([TRACK | {"score": 0.8, "reason": reason}]))
        found = ask(service, lambda it: it.similar_tracks("t0", explain=True))
        assert found.track_ids == ["t1"]
        (track,) = found.explained
        assert (track.title, track.reason.text) == ("Paper Lanterns", "more by Slow Harbour")
        assert (track.reason.artist_id, track.reason.genre) == ("a1", None)

    def test_ids_and_filters_are_encoded(self, ask: Asking) -> None:
        service = FakeService(ok({"tracks": []}), ok(TRACK | {"available": True, "attributes": {}}))
        rock = 'genre == "indie rock" and year >= 1990'
        ask(service, lambda it: it.search_tracks("paper lan", filter=rock, explicit=False))
        ask(service, lambda it: it.track("a/b c?"))
        search, track = service.requests
        assert dict(search.url.params) == {
            "query": "paper lan",
            "filter": rock,
            "explicit": "false",
        }
        assert track.url.raw_path == b"/tracks/a%2Fb%20c%3F"

    def test_times_may_be_datetimes(self, ask: Asking) -> None:
        service = FakeService(ok([]), ok({"events": [], "next": None}))
        noon = datetime(2022, 9, 1, 12, tzinfo=UTC)
        ask(service, lambda it: it.predict(1, "u", as_of=noon))
        ask(service, lambda it: it.events("u", from_=noon, to=1662033600000))
        predict, events = service.requests
        assert b'"as_of":"2022-09-01T12:00:00Z"' in predict.content
        asked = {"from": "2022-09-01T12:00:00+00:00", "to": "1662033600000"}
        assert dict(events.url.params) == asked

    def test_events_are_sent_as_objects_or_as_they_are(self, ask: Asking) -> None:
        receipt = {
            "accepted": 2,
            "repeated": 0,
            "not_yet_counted": 0,
            "waiting": [],
            "rejected": 0,
            "rejections": [],
        }
        service = FakeService(ok(receipt))
        play = Event(1, datetime(2022, 9, 1, tzinfo=UTC), "t1", "PLAY")
        plain = {"session_id": 1, "timestamp": 0, "track_id": "t1", "event_type": "LIKE"}
        assert ask(service, lambda it: it.add_events(429, [play, plain])).accepted == 2
        sent = (
            b'{"events":[{"session_id":1,"timestamp":"2022-09-01T00:00:00Z","track_id":"t1",'
            b'"event_type":"PLAY"},{"session_id":1,"timestamp":0,"track_id":"t1",'
            b'"event_type":"LIKE"}]}'
        )
        assert service.requests[0].content == sent

    def test_a_test_whose_window_has_not_passed_says_when_it_will(self, ask: Asking) -> None:
        pending = {"status": "pending", "settles_at": "2022-10-01T00:00:00.000Z"}
        service = FakeService(
            ok({"Successful recommendation": 1}), httpx.Response(202, json=pending)
        )
        done, waits = (ask(service, lambda it: it.perform_test(429)) for _ in range(2))
        assert (done.successful, done.settles_at) == (1, None)
        assert (waits.successful, waits.settles_at) == (None, datetime(2022, 10, 1, tzinfo=UTC))

    def test_an_erasure_answers_nothing(self, ask: Asking) -> None:
        service = FakeService(httpx.Response(204))
        assert ask(service, lambda it: it.erase_user("u")) is None
        assert service.requests[0].method == "DELETE"

    def test_the_report_comes_as_data_or_as_a_page(self, ask: Asking) -> None:
        service = FakeService(ok({"arms": []}), httpx.Response(200, html="<!doctype html>"))
        assert ask(service, lambda it: it.report(live=True)) == {"arms": []}
        assert ask(service, lambda it: it.report_page()) == "<!doctype html>"
        asked = [dict(request.url.params) for request in service.requests]
        assert asked == [{"live": "true", "format": "json"}, {"format": "html"}]

    def test_a_base_path_and_fields_to_come_do_no_harm(self, ask: Asking) -> None:
        service = FakeService(ok(HEALTHY | {"mood": "fine"}))
        assert ask(service, lambda it: it.health(), url=f"{LOCAL}/dev/").bundle == "b1"
        assert str(service.requests[0].url) == f"{LOCAL}/dev/health"


class TestPages:
    def test_all_events_are_those_of_every_page(self, ask: Asking) -> None:
        event = {
            "session_id": 1,
            "timestamp": "2022-08-03T18:09:55.000Z",
            "user_id": 429,
            "track_id": "t1",
            "event_type": "PLAY",
        }
        service = FakeService(
            ok({"events": [event, event], "next": "there"}), ok({"events": [event], "next": None})
        )
        found = ask(service, lambda it: it.all_events(429, to=5))
        assert [it.track_id for it in found] == ["t1"] * 3
        asked = [dict(request.url.params) for request in service.requests]
        assert asked == [{"to": "5"}, {"to": "5", "next": "there"}]

    def test_a_page_of_results_may_be_empty_though_others_follow(self, ask: Asking) -> None:
        service = FakeService(ok({"results": [], "next": "n"}), ok({"results": [], "next": None}))
        assert ask(service, lambda it: it.all_results(experiment="spring", live=True)) == []
        assert service.requests[1].url.params["experiment"] == "spring"


class TestProblems:
    def test_says_what_the_service_says(self, ask: Asking) -> None:
        body = {
            "type": "urn:segue:problem:invalid-request",
            "title": "Invalid request",
            "status": 422,
            "detail": "filter: no such name",
            "request_id": "r1",
            "field": "filter",
            "position": 7,
        }
        with pytest.raises(Problem, match="422 filter: no such name") as raised:
            ask(
                FakeService(httpx.Response(422, json=body)), lambda it: it.search_tracks(filter="x")
            )
        assert {name: getattr(raised.value, name) for name in body} == body

    @pytest.mark.parametrize(
        ("status", "kind"), [(403, Forbidden), (404, NotFound), (412, PreconditionFailed)]
    )
    def test_has_a_kind_where_callers_tell_it_apart(
        self, ask: Asking, status: int, kind: type[Problem]
    ) -> None:
        body = {"title": "No", "status": status, "detail": "there is none", "request_id": "r"}
        arms = [Arm("A", 0, 0.5), Arm("B", 3, 0.5)]
        with pytest.raises(kind, match="there is none"):
            ask(
                FakeService(httpx.Response(status, json=body)),
                lambda it: it.save_experiment("spring", arms, if_match='"1"'),
            )

    @pytest.mark.parametrize("body", [b'{"message":"Forbidden"}', b"<html>", b"\xff", b"[1]"])
    def test_makes_the_best_of_what_is_no_problem(self, ask: Asking, body: bytes) -> None:
        with pytest.raises(Forbidden, match="403 Forbidden"):
            ask(FakeService(httpx.Response(403, content=body)), lambda it: it.health())

    @pytest.mark.parametrize("body", [b"<html>", b'{"status": "ok"}', b"\xff"])
    def test_tells_another_server_from_the_service(self, ask: Asking, body: bytes) -> None:
        with pytest.raises(InvalidAnswer, match="health answers what is not Segue's"):
            ask(FakeService(httpx.Response(200, content=body)), lambda it: it.health())

    @pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "/dev", ""])
    def test_refuses_what_is_no_address(self, url: str) -> None:
        with pytest.raises(ValueError, match="no address"):
            Client(url)


class TestRetries:
    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_asks_again_while_the_service_is_busy(self, ask: Asking, status: int) -> None:
        service = FakeService(httpx.Response(status), httpx.ReadTimeout("slow"), ok(HEALTHY))
        assert ask(service, lambda it: it.health()).status == "ok"
        assert len(service.requests) == 3

    def test_sends_the_same_again(self, ask: Asking) -> None:
        service = FakeService(httpx.ConnectError("refused"), ok(["t1"]))
        ask(service, lambda it: it.predict(1, 429))
        first, second = service.requests
        assert first.content == second.content == b'{"user_id":429}'

    @pytest.mark.parametrize("status", [400, 403, 404, 409, 412, 413, 422])
    def test_takes_a_refusal_as_it_is(self, ask: Asking, status: int) -> None:
        service = FakeService(httpx.Response(status))
        with pytest.raises(Problem):
            ask(service, lambda it: it.health())
        assert len(service.requests) == 1

    def test_gives_up_with_the_last_answer(self, ask: Asking) -> None:
        service = FakeService(*(httpx.Response(503, json={"detail": f"{n}"}) for n in range(3)))
        with pytest.raises(Problem, match="503 2"):
            ask(service, lambda it: it.health(), retry=Retry(attempts=3, backoff=0))

    def test_says_why_no_answer_came(self, ask: Asking) -> None:
        service = FakeService(httpx.ConnectError("Connection refused"))
        with pytest.raises(Unreachable, match=r"no answer from http.*/health: Connection"):
            ask(service, lambda it: it.health(), retry=Retry(attempts=1))

    def test_pauses_grow_up_to_a_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("random.uniform", lambda low, high: high)
        retry = Retry(attempts=6, backoff=1, longest=5)
        busy = httpx.Response(503)
        pauses = [retry.pause(attempt, busy) for attempt in range(1, 7)]
        assert pauses == [1, 2, 4, 5, 5, None]

    @pytest.mark.parametrize(
        ("value", "pause"), [("0", 0), ("7", 7), ("Thu, 01 Sep 2022 00:00:00 GMT", 0)]
    )
    def test_waits_as_long_as_the_service_says(self, value: str, pause: float) -> None:
        assert Retry().pause(1, httpx.Response(429, headers={"Retry-After": value})) == pause

    def test_does_not_wait_for_what_takes_too_long(self) -> None:
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        for value in ("3600", tomorrow):
            assert Retry().pause(1, httpx.Response(503, headers={"Retry-After": value})) is None

    def test_a_retry_after_that_says_nothing_is_none(self) -> None:
        busy = httpx.Response(503, headers={"Retry-After": "soon"})
        assert Retry(backoff=0).pause(1, busy) == 0


class TestAuth:
    def test_the_checker_of_these_tests_agrees_with_aws(self) -> None:
        # "get-vanilla" of AWS's test suite for Signature Version 4.
        headers = {
            "Host": "example.amazonaws.com",
            "X-Amz-Date": "20150830T123600Z",
            "Authorization": "AWS4-HMAC-SHA256 "
            "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
            "SignedHeaders=host;x-amz-date, "
            "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        }
        assert is_signed("GET", "https://example.amazonaws.com/", headers, b"", SECRET)
        assert not is_signed("GET", "https://example.amazonaws.com/x", headers, b"", SECRET)

    @pytest.mark.usefixtures("credentials")
    @pytest.mark.parametrize(
        "question",
        [
            lambda it: it.search_tracks("paper lan+", filter='"live" in title and energy > 0.5'),
            lambda it: it.events("ümläut/ id", from_="2022-09-01"),
            lambda it: it.predict(3, 429, k=20),
            lambda it: it.erase_user(429),
            # As a browser's form may have it.
            lambda it: it.send(Call("GET", "/tracks?query=paper+(lan*)&limit", None)),
        ],
    )
    def test_signs_as_api_gateway_checks_it(self, ask: Asking, question: Question) -> None:
        service = FakeService(httpx.Response(404))
        with pytest.raises(NotFound):
            ask(service, question, url=ON_AWS, auth=SigV4())
        (request,) = service.requests
        assert request.headers["X-Amz-Security-Token"] == "token"
        assert credential_of(request.headers) == ("AKIDEXAMPLE", "eu-west-1", "execute-api")
        url, body = str(request.url), request.content
        assert is_signed(request.method, url, request.headers, body, SECRET)
        assert not is_signed(request.method, url, request.headers, body + b" ", SECRET)

    @pytest.mark.usefixtures("credentials")
    def test_sends_the_clients_key_given_or_of_the_environment_and_else_none(
        self, ask: Asking, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service = FakeService(ok(HEALTHY), ok(HEALTHY), ok(HEALTHY))
        ask(service, lambda it: it.health(), url=ON_AWS, auth=SigV4())
        monkeypatch.setenv("SEGUE_API_KEY", "environment's")
        ask(service, lambda it: it.health(), url=ON_AWS, auth=SigV4())
        ask(service, lambda it: it.health(), url=ON_AWS, auth=SigV4(api_key="given"))
        sent = [request.headers.get("X-Api-Key") for request in service.requests]
        assert sent == [None, "environment's", "given"]

    @pytest.mark.usefixtures("credentials")
    def test_signs_every_attempt_anew(self, ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
        auth = SigV4()
        service = FakeService(httpx.Response(503), httpx.Response(503), ok(HEALTHY))
        ask(service, lambda it: it.health(), url=ON_AWS, auth=auth)
        for request in service.requests:
            assert len(request.headers.get_list("Authorization")) == 1
            assert is_signed("GET", str(request.url), request.headers, b"", SECRET)

    @pytest.mark.usefixtures("credentials")
    def test_uses_credentials_that_were_refreshed(
        self, ask: Asking, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from botocore.credentials import Credentials, ReadOnlyCredentials

        keys = iter(["AKIDFIRST", "AKIDSECOND"])
        monkeypatch.setattr(
            Credentials,
            "get_frozen_credentials",
            lambda _: ReadOnlyCredentials(next(keys), SECRET, None),
        )
        service = FakeService(httpx.Response(503), ok(HEALTHY))
        ask(service, lambda it: it.health(), url=ON_AWS, auth=SigV4())
        signers = [credential_of(request.headers)[0] for request in service.requests]
        assert signers == ["AKIDFIRST", "AKIDSECOND"]

    @pytest.mark.usefixtures("credentials")
    def test_a_domain_of_ones_own_needs_a_region(self, ask: Asking) -> None:
        service = FakeService(ok(HEALTHY))
        with pytest.raises(NoCredentials, match="give SigV4 a region"):
            ask(service, lambda it: it.health(), url="https://music.example.org", auth=SigV4())
        auth = SigV4(region="eu-west-3")
        ask(service, lambda it: it.health(), url="https://music.example.org", auth=auth)
        assert credential_of(service.requests[0].headers)[1] == "eu-west-3"

    @pytest.mark.usefixtures("credentials")
    def test_says_which_credentials_are_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(NoCredentials, match="nobody"):
            SigV4(profile="nobody")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(NoCredentials, match="no AWS credentials"):
            SigV4()

    def test_sends_a_token_that_may_change(self, ask: Asking) -> None:
        tokens = iter(["first", "second"])
        service = FakeService(httpx.Response(503), ok(HEALTHY), ok(HEALTHY))
        ask(service, lambda it: it.health(), auth=BearerToken(lambda: next(tokens)))
        ask(service, lambda it: it.health(), auth=BearerToken("third"))
        sent = [request.headers["Authorization"] for request in service.requests]
        assert sent == ["Bearer first", "Bearer second", "Bearer third"]

    def test_sends_nothing_of_the_kind_to_this_machine(self, ask: Asking) -> None:
        service = FakeService(ok(HEALTHY))
        ask(service, lambda it: it.health())
        assert "Authorization" not in service.requests[0].headers

    @pytest.mark.parametrize(
        ("host", "loopback"),
        [
            ("127.0.0.1:8000", True),
            ("[::1]:8000", True),
            ("api.localhost", True),
            ("10.0.0.1", False),
            ("127.0.0.1.example.org", False),
        ],
    )
    def test_knows_this_machine(self, host: str, loopback: bool) -> None:
        assert is_loopback(f"http://{host}/dev") is loopback


class TestFrames:
    def test_a_row_is_an_object_and_a_column_a_field(self) -> None:
        reason = {"kind": "sound", "share": 1.0, "text": "it sounds alike"}
        service = FakeService(ok([TRACK | {"score": 0.8, "reason": reason}]))
        found = Asking("sync")(service, lambda it: it.predict(1, 429, explain=True))
        frame = to_frame(found.explained)
        assert list(frame["title"]) == ["Paper Lanterns"]
        assert frame["reason"][0] == reason

    def test_times_stay_times(self) -> None:
        noon = datetime(2022, 9, 1, 12, tzinfo=UTC)
        frame = to_frame([Event(1, noon, "t1", "PLAY"), Event(1, noon, None, "BUY_PREMIUM")])
        assert list(frame.columns) == ["session_id", "timestamp", "track_id", "event_type"]
        assert frame["timestamp"][0] == noon


class TestHelp:
    def test_everything_public_is_explained(self) -> None:
        for name in segue_client.__all__:
            assert inspect.getdoc(getattr(segue_client, name)), name

    @pytest.mark.parametrize("client", [Client, AsyncClient])
    def test_a_method_shows_what_it_takes_and_answers(self, client: Any) -> None:
        shown = inspect.signature(client.recommend)
        assert list(shown.parameters) == [
            "self",
            "user_id",
            "experiment",
            "k",
            "explain",
            "max_age",
        ]
        assert shown.return_annotation is Recommendation
        assert "by the arm" in inspect.getdoc(client.recommend)
