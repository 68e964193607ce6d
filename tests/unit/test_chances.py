"""Sets whose listeners draw from known pools, and how near to an oracle lists for them come."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from infra.progress import silent
from infra.simulations.ceiling import draw, table
from infra.simulations.chances import (
    Judged,
    K,
    judge,
    judge_world,
    luck,
    oracle_lists,
    redrawn,
    rows,
)
from infra.simulations.pools import CHART, DAYS, KINDS, START, Pools, write_world
from segue.domain.times import DAY, parse_time
from tests.unit.splits import split_of
from training.protocol.metrics import Floats

LISTENERS, TRACKS = 24, 1_500


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pools]:
    folder = tmp_path_factory.mktemp("pools") / "data"
    return folder, write_world(folder, 5, LISTENERS, TRACKS)


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_play_is_of_a_track_in_the_pool_of_the_listeners_kind(
    world: tuple[Path, Pools],
) -> None:
    folder, pools = world
    own = [set(tracks) for tracks in pools.tracks]
    events = records(folder / "sessions.jsonl")
    assert {event["user_id"] for event in events} == set(range(LISTENERS))
    for event in events:
        assert event["track_id"] in own[pools.kind[int(str(event["user_id"]))]]


def test_all_kinds_are_there_and_their_pools_are_of_the_size_that_is_said(
    world: tuple[Path, Pools],
) -> None:
    _, pools = world
    assert set(pools.kind) == set(range(len(KINDS)))
    chart, genre, anything = map(len, pools.tracks)
    assert chart == CHART
    assert anything / 10 <= genre < anything / 2


def test_events_lie_in_the_time_and_no_track_is_played_before_its_release(
    world: tuple[Path, Pools],
) -> None:
    folder, _ = world
    released = {
        track["id"]: str(track["release_date"]) for track in records(folder / "tracks.jsonl")
    }
    for event in records(folder / "sessions.jsonl"):
        # A session that starts on the last evening may run into the night.
        assert START <= parse_time(event["timestamp"]) < START + (DAYS + 1) * DAY
        assert released[event["track_id"]] < "2022"


def test_the_same_seed_makes_the_same_set(world: tuple[Path, Pools], tmp_path: Path) -> None:
    folder, _ = world
    write_world(tmp_path / "again", 5, LISTENERS, TRACKS)
    write_world(tmp_path / "other", 6, LISTENERS, TRACKS)
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()
        assert file.read_bytes() != (tmp_path / "other" / file.name).read_bytes()


def within(*pools: range) -> np.ndarray:
    masks = np.zeros((len(pools), 60), np.bool_)
    for mask, pool in zip(masks, pools, strict=True):
        mask[pool] = True
    return masks


SPLIT = split_of([[0, 1, 2], [50]], {0: [3, 4, 5], 1: [51]}, tracks=60)
POOLS = within(range(30), range(30, 60))


def test_a_future_has_as_many_tracks_as_the_real_one_all_from_the_pool() -> None:
    futures = list(redrawn(SPLIT, POOLS, 50, np.random.default_rng(1)))
    assert len({future.outcomes.tobytes() for future in futures}) > 1
    for future in futures:
        first, second = future.outcomes[:3], future.outcomes[3:]
        assert len(np.unique(first)) == 3
        assert first.max() < 30 <= second.min()
        assert len(second) == 1


def test_an_oracle_lists_tracks_of_the_pool_and_in_new_those_not_heard() -> None:
    lists = oracle_lists(SPLIT, POOLS, np.random.default_rng(1))
    assert lists["any"].shape == lists["new"].shape == (2, K)
    for view in ("any", "new"):
        assert lists[view][0].max() < 30 <= lists[view][1].min()
    assert not np.isin([0, 1, 2], lists["new"][0]).any()
    assert 50 not in lists["new"][1]


def test_over_many_futures_a_list_is_worth_its_share_of_the_pool() -> None:
    half = np.array([[*range(10), *range(40, 50)], [*range(30, 40), *range(10)]], np.int32)
    whole = np.array([range(20), range(30, 50)], np.int32)
    lists = {"half": {"any": half, "new": half}, "whole": {"any": whole, "new": whole}}
    values = judge(lists, SPLIT, POOLS, 4_000, np.random.default_rng(1))
    # One track drawn of the second listener's thirty: ten or twenty of them are on the list.
    assert np.nanmean(values["half"]["any"]["hit"][:, 1]) == pytest.approx(1 / 3, abs=0.03)
    assert np.nanmean(values["whole"]["any"]["hit"][:, 1]) == pytest.approx(2 / 3, abs=0.03)


def test_a_future_in_which_all_was_heard_does_not_count_in_new() -> None:
    heard = split_of([list(range(9))], {0: [3]}, tracks=60)
    lists = {"any list": dict.fromkeys(("any", "new"), np.arange(20, 40, dtype=np.int32)[None])}
    values = judge(lists, heard, within(range(10)), 400, np.random.default_rng(1))["any list"]
    assert not np.isnan(values["any"]["ndcg"]).any()
    assert np.isnan(values["new"]["ndcg"]).mean() == pytest.approx(0.9, abs=0.05)


def judged(values: Mapping[str, list[list[float]]]) -> Judged:
    """The same in both views and of both measures."""

    def of(found: list[list[float]]) -> dict[str, dict[str, Floats]]:
        return {view: dict.fromkeys(("ndcg", "hit"), np.array(found)) for view in ("any", "new")}

    return Judged(
        np.array([0, 1]), ["hybrid"], ["one", "two"], {name: of(v) for name, v in values.items()}
    )


OUTCOME = judged(
    {
        "hybrid": [[0.4, 0.2], [0.4, 0.2]],
        "one": [[0.8, 0.2], [0.0, 0.2]],
        "two": [[0.0, 0.2], [0.6, 0.2]],
        "oracle": [[0.4, 0.4], [0.4, 0.4]],
    }
)


def test_a_row_has_means_over_futures_and_listeners_and_against_the_oracle() -> None:
    row = next(row for row in rows([OUTCOME]) if (row.model, row.view) == ("hybrid", "any"))
    assert row.ndcg == pytest.approx(0.3)
    assert row.of_oracle == pytest.approx(0.75)
    assert row.by_kind["chart"] == pytest.approx((0.4, 0.4))
    assert row.by_kind["genre"] == pytest.approx((0.2, 0.2))
    assert np.isnan(row.by_kind["any track"]).all()


def test_a_single_future_is_told_against_the_oracles_luck_in_the_same() -> None:
    row = next(row for row in rows([OUTCOME]) if (row.model, row.view) == ("one", "new"))
    assert row.once == pytest.approx((0.25 + 0.05, 1.25 - 0.05))


def test_a_peer_that_failed_in_one_world_is_left_out() -> None:
    other = replace(OUTCOME, values={k: v for k, v in OUTCOME.values.items() if k != "two"})
    assert "two" not in {row.model for row in rows([OUTCOME, other])}
    assert luck([OUTCOME, other])[0].best_peer == pytest.approx(0.3 / 0.4)


def test_the_table_and_the_picture_show_every_contender(tmp_path: Path) -> None:
    found = rows([OUTCOME])
    heading, _, *lines = table(found, "new")
    assert [line.split()[1] for line in lines] == ["hybrid", "one", "two", "oracle"]
    assert "75.0%" in lines[0]
    assert heading.count("|") == lines[0].count("|")
    draw(found, ["hybrid"], tmp_path / "shares.png")
    assert (tmp_path / "shares.png").read_bytes().startswith(b"\x89PNG")


def test_by_one_future_the_best_peer_is_whichever_had_luck() -> None:
    found = luck([OUTCOME])[0]
    # 0.5 and then 0.4, by different peers, either of which is worth 0.3.
    assert found.best_peer == pytest.approx(0.45 / 0.4)
    assert found.enough == {"hybrid": 0.0, "oracle": 0.5}


def test_on_a_small_set_whoever_learns_beats_chance_and_nobody_the_oracle_by_much() -> None:
    found = judge_world(3, LISTENERS, TRACKS, 20, ["popularity", "random"], silent)
    assert {*found.ours, *found.peers, "oracle"} == set(found.values)
    by_model = {row.model: row.ndcg for row in rows([found]) if row.view == "any"}
    assert by_model["random"] < by_model["hybrid"] < 1.2 * by_model["oracle"]
