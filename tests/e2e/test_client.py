"""The Python client asks a running service everything there is, and understands the answers."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

from segue_client import Arm, AsyncClient, Client, Event, NotFound, Problem
from tests.e2e.conftest import Service

# One of the data's, and one of these tests' own.
LISTENER, USER = 102, "client-1"


@pytest.fixture
def client(served: Service) -> Iterator[Client]:
    with Client(served.url) as client:
        yield client


def test_predicts_with_names_and_reasons(client: Client) -> None:
    found = client.predict(3, LISTENER, k=5, explain=True)
    assert len(found.explained) == len(found.track_ids) == 5
    assert found.answered_by == "hybrid"
    assert found.bundle == client.health().bundle == client.models().version
    plain = client.predict(3, LISTENER, k=5)
    assert (plain.track_ids, plain.explained) == (found.track_ids, [])


def test_filters_boosts_and_searches(client: Client) -> None:
    genre = client.genres().genres[0].genre
    found = client.search_tracks(filter=f'genre == "{genre}"', limit=3)
    assert found.tracks
    assert all(genre in track.genres for track in found.tracks)
    with pytest.raises(Problem) as raised:
        client.search_tracks(filter="year >")
    assert (raised.value.status, raised.value.field) == (422, "filter")
    assert raised.value.position is not None


def test_says_all_of_a_track_and_what_is_like_it(client: Client) -> None:
    (track, *_) = client.search_tracks().tracks
    details = client.track(track.track_id)
    assert (details.title, details.available) == (track.title, True)
    alike = client.similar_tracks(track.track_id, k=3, explain=True)
    assert len(alike.explained) == 3
    with pytest.raises(NotFound):
        client.track("no such track")


def test_events_come_in_and_out_again_page_by_page(client: Client) -> None:
    (track, *_) = client.search_tracks(limit=1).tracks
    now = client.health().now
    sent = [
        Event("s", now - timedelta(minutes=minute), track.track_id, "PLAY")
        for minute in range(7, 0, -1)
    ]
    client.save_profile(USER, favourite_genres=track.genres[:1])
    assert client.add_events(USER, sent).accepted + client.add_events(USER, sent).repeated >= 7
    assert [event.timestamp for event in client.all_events(USER)] == [it.timestamp for it in sent]
    first = client.events(USER, limit=3)
    assert len(first.events) == 3
    assert client.events(USER, next=first.next).events[0].timestamp == sent[3].timestamp
    assert client.export_user(USER).profile == client.profile(USER)
    client.erase_user(USER)
    with pytest.raises(NotFound):
        client.profile(USER)


def test_experiments_are_made_shown_and_reported(client: Client) -> None:
    arms = [Arm("control", 0, 0.5), Arm("treatment", 3, 0.5)]
    made = client.save_experiment("client", arms, window_days=1, k=10)
    assert made in client.experiments().experiments
    again = client.save_experiment("client", arms, window_days=1, k=10, if_match=made.etag)
    assert again.arms == arms
    shown = client.recommend(LISTENER, experiment="client", explain=True)
    assert shown.group in {"control", "treatment"}
    assert len(shown.explained) == 10
    assert {arm["group"] for arm in client.report(experiment="client")["arms"]} == {
        "control",
        "treatment",
    }
    assert client.report_page(experiment="client").startswith("<!")


def test_a_users_test_is_in_the_results(client: Client) -> None:
    outcome = client.perform_test(LISTENER)
    results = {result.user_id: result.recomm_successful for result in client.all_results()}
    assert results[LISTENER] == outcome.successful


def test_the_same_is_to_be_had_asynchronously(served: Service) -> None:
    async def ask() -> None:
        async with AsyncClient(served.url) as client:
            health, models = await asyncio.gather(client.health(), client.models())
            assert health.bundle == models.version
            assert LISTENER in [it.user_id for it in (await client.search_users("10")).users]
            events = [event async for event in client.all_events(LISTENER)]
            assert events == (await client.events(LISTENER)).events
            assert (await client.openapi())["openapi"].startswith("3.1")

    asyncio.run(ask())
