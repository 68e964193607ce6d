"""Lists for everybody: those that each user would be given, and nobody's twice."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from infra.memory import MemoryLists, MemorySessionStore
from segue.adapters.lists import encode
from segue.api.lists import parse_shard
from segue.domain.errors import InvalidRequest, UnknownModel
from segue.domain.events import Event
from segue.domain.times import Window, parse_time
from segue.domain.users import User
from segue.features.listeners import History
from segue.models.bundle import Bundle
from segue.models.model import Listener
from segue.models.names import NAMES
from segue.models.registry import load_model
from segue.ports import Shard, UserList
from segue.ranking.lists import rank, rank_each
from segue.services.batch import TOGETHER, Batch
from segue.services.recommend import Query
from tests.bundles import TRACKS
from tests.unit.conftest import LambdaContext, World, load_function
from tests.unit.steps import Killed

K = 20
SHARDS = 3
# What rounding makes of one score.
ROUNDING = 1e-6


def assert_same(
    tracks: Sequence[object],
    scores: Sequence[float],
    other_tracks: Sequence[object],
    other_scores: Sequence[float],
) -> None:
    """Place by place the same score, and the same track but where two score alike."""
    np.testing.assert_allclose(scores, other_scores, rtol=1e-5, atol=1e-7)
    assert len(tracks) == len(other_tracks)
    for place, (one, other) in enumerate(zip(tracks, other_tracks, strict=True)):
        if one != other:
            assert scores[place] == pytest.approx(other_scores[place], rel=ROUNDING)


@st.composite
def histories(draw: st.DrawFn) -> History:
    size = draw(st.integers(0, 12))
    ages = st.floats(0, 29, width=16)
    return History(
        draw(arrays(np.int32, size, elements=st.integers(0, TRACKS - 1))),
        draw(arrays(np.bool_, size)),
        draw(arrays(np.bool_, size)),
        np.sort(draw(arrays(np.float32, size, elements=ages)))[::-1],
    )


@given(own=st.lists(histories(), max_size=6), k=st.integers(1, 40), hidden=st.booleans())
@pytest.mark.parametrize("model_id", NAMES)
def test_listeners_who_are_ranked_together_are_ranked_as_if_each_were_alone(
    bundle: Bundle, model_id: int, own: list[History], k: int, hidden: bool
) -> None:
    model = load_model(model_id, bundle)
    forbidden = np.arange(TRACKS) % 3 == 0 if hidden else None
    listeners = [Listener(User(str(place)), history) for place, history in enumerate(own)]
    together = rank_each(model, listeners, bundle, k, forbidden=forbidden)
    assert len(together) == len(listeners)
    for listener, ranked in zip(listeners, together, strict=True):
        alone = rank(model, listener, bundle, k, forbidden=forbidden)
        assert_same(
            ranked.tracks.tolist(),
            ranked.scores.tolist(),
            alone.tracks.tolist(),
            alone.scores.tolist(),
        )


@dataclass
class Mortal(MemorySessionStore):
    """Kills whoever reads the events of the user ``deadly``."""

    deadly: str = ""

    def events(self, user_id: str, window: Window, *, fresh: bool = True) -> list[Event]:
        if user_id == self.deadly:
            raise Killed
        return super().events(user_id, window, fresh=fresh)


@pytest.fixture
def listening(world: World) -> World:
    """More listeners than are ranked together, who played something, nothing, or long ago."""
    for number in range(3 * TOGETHER):
        world.join(str(number))
        days = -1 - number % 40
        world.play(str(number), world.tracks(number, number + number % 7), days=days)
    return world


def shards(world: World, model_id: int = 2) -> list[Shard]:
    first = Shard("run", model_id, K, world.cutoff, 0, SHARDS)
    return [replace(first, number=number) for number in range(SHARDS)]


def batch(world: World, lists: MemoryLists, **changed: MemorySessionStore) -> Batch:
    sessions = changed.get("sessions", world.sessions)
    return Batch(sessions, world.users, world.models, world.track_store, lists)


def made(lists: MemoryLists) -> list[UserList]:
    return [*chain.from_iterable(lists.done.values())]


class TestBatch:
    @pytest.mark.parametrize("model_id", NAMES)
    def test_everybody_has_the_list_that_a_request_would_answer(
        self, listening: World, model_id: int
    ) -> None:
        lists = MemoryLists()
        listening.track_store.set_available(listening.tracks(0, 1)[0], available=False)
        number = sum(batch(listening, lists).run(it) for it in shards(listening, model_id))
        assert number == len(listening.users.users)
        assert Counter(it.user_id for it in made(lists)) == Counter([*listening.users.users])
        for listed in made(lists):
            answer = listening.recommender.recommend(Query(listed.user_id, model_id, K))
            assert_same(listed.tracks, listed.scores, answer.tracks, answer.scores)
            assert (listed.model, listed.bundle, listed.as_of) == (
                answer.model,
                answer.bundle,
                answer.as_of,
            )

    def test_whoever_is_killed_loses_nothing_and_leaves_nobody_with_two_lists(
        self, listening: World
    ) -> None:
        whole, disturbed = MemoryLists(), MemoryLists()
        for shard in shards(listening):
            batch(listening, whole).run(shard)
            deadly = made(whole)[-1].user_id
            mortal = Mortal(listening.sessions.stored, deadly=deadly)
            with pytest.raises(Killed):
                batch(listening, disturbed, sessions=mortal).run(shard)
            assert not disturbed.has(shard)
            batch(listening, disturbed).run(shard)
        assert disturbed == whole

    def test_what_is_done_is_not_done_again(self, listening: World) -> None:
        lists = MemoryLists()
        for shard in shards(listening):
            batch(listening, lists).run(shard)
        before = made(lists)
        listening.play("0", listening.tracks(0, 9))
        assert [batch(listening, lists).run(it) for it in shards(listening)] == [0] * SHARDS
        assert made(lists) == before

    def test_a_demonstrations_moment_stands_in_for_that_of_the_run(self, listening: World) -> None:
        lists, shard = MemoryLists(), replace(shards(listening)[0], as_of=listening.clock.now())
        past = Batch(
            listening.sessions,
            listening.users,
            listening.models,
            listening.track_store,
            lists,
            listening.cutoff,
        )
        past.run(shard)
        assert {it.as_of for it in made(lists)} == {listening.cutoff}

    def test_a_model_that_there_is_not_leaves_nothing_behind(self, listening: World) -> None:
        lists = MemoryLists()
        with pytest.raises(UnknownModel, match="there is no model 9"):
            batch(listening, lists).run(shards(listening, 9)[0])
        assert not made(lists)


class TestFunction:
    """functions/batch, as the state machine calls it."""

    EVENT: ClassVar[dict[str, Any]] = {
        "run": "2022-10-02",
        "model": 0,
        "k": 3,
        "as_of": "2022-10-02T00:00:00Z",
        "shard": 0,
        "shards": 1,
    }

    def test_makes_the_lists_of_a_shard_once(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.join("429")
        lists, module = MemoryLists(), load_function("batch", monkeypatch).module
        monkeypatch.setattr(module, "batch", batch(world, lists))
        called = [module.lambda_handler(self.EVENT, LambdaContext()) for _ in range(2)]
        assert called == [{"lists": 1}, {"lists": 0}]
        as_of = parse_time(self.EVENT["as_of"])
        assert [*lists.done] == [Shard("2022-10-02", 0, 3, as_of, 0, 1)]

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({"shard": 1}, "shard"),
            ({"shard": -1}, "shard"),
            ({"shards": 0}, "shards"),
            ({"k": 101}, "k"),
            ({"model": "hybrid"}, "model"),
            ({"as_of": "yesterday"}, "as_of"),
            ({"run": "a/b"}, "run"),
            ({"color": "red"}, "color"),
        ],
    )
    def test_refuses_what_cannot_be_a_shard(self, wrong: dict[str, Any], field: str) -> None:
        with pytest.raises(InvalidRequest) as refused:
            parse_shard(self.EVENT | wrong)
        assert refused.value.field == field


ids = st.text(min_size=1, max_size=9)
user_lists = st.lists(
    st.integers(0, 5).flatmap(
        lambda size: st.builds(
            UserList,
            ids,
            st.lists(ids, min_size=size, max_size=size),
            st.lists(st.floats(-9, 9, width=32), min_size=size, max_size=size),
            st.sampled_from(sorted(NAMES.values())),
            st.just("0123456789ab"),
            st.integers(0, 253_402_300_799_999),
        )
    ),
    max_size=9,
)


class TestFiles:
    @given(user_lists)
    def test_another_library_reads_every_list(self, lists: list[UserList]) -> None:
        body, rows = encode(iter(lists))
        table = pyarrow.parquet.read_table(BytesIO(body))
        assert rows == table.num_rows == len(lists)
        as_of = table["as_of"].cast("int64").to_pylist()
        columns = [table[it].to_pylist() for it in table.column_names[:-1]]
        assert [UserList(*row) for row in zip(*columns, as_of, strict=True)] == lists

    def test_sql_finds_the_tracks_of_a_user(self, tmp_path: Path) -> None:
        lists = [
            UserList("429", ["a", "b"], [2.0, 0.5], "hybrid", "0123456789ab", 0),
            UserList("430", [], [], "hybrid", "0123456789ab", 0),
        ]
        (tmp_path / "00000-of-00001.parquet").write_bytes(encode(lists)[0])
        with duckdb.connect() as connection:
            found = connection.execute(
                "SELECT user_id, UNNEST(tracks), UNNEST(scores) FROM read_parquet(?)",
                [f"{tmp_path}/*.parquet"],
            ).fetchall()
        assert found == [("429", "a", 2.0), ("429", "b", 0.5)]
