"""Peers: each does what its formula says, all obey the protocol, none sees what came of a split."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.domain.errors import InvalidData
from training.peers import environment
from training.peers.closed_form import Ease, EaseLogCounts, GraphFilter
from training.peers.environment import peers_python, run_peers
from training.peers.factors import Als, Bpr
from training.peers.lists import ndcg, outcomes, recommend
from training.peers.matrix import full_plays
from training.peers.neighbours import BM25Neighbours, CosineNeighbours, UserNeighbours
from training.peers.original import OriginalAutoencoder, OriginalClassifier
from training.peers.peer import FloatArray, IntArray, Peer, Setting, Unsuitable
from training.peers.registry import LONG, PEERS, SHORT
from training.peers.runner import CHOSEN, FAILURES, Step, lists_path, read_notes, run
from training.peers.simple import (
    ArtistTracks,
    CataloguePopularity,
    MonthPopularity,
    OwnHistory,
    OwnPlays,
    Popularity,
    Random,
    RecentPopularity,
)
from training.peers.tuning import _some_users, choose
from training.plays import DAY, NEVER, Plays
from training.protocol.split import Split

CUTOFF = 100 * DAY
USERS, TRACKS, K = 24, 30, 5

ROOT = Path(__file__).parents[2]


def make_split(
    plays: Sequence[tuple[int, int, float]],
    *,
    skipped: Sequence[tuple[int, int, float]] = (),
    liked: Sequence[tuple[int, int, float]] = (),
    later: Sequence[tuple[int, int]] = (),
    users: int = 3,
    tracks: int = 6,
) -> Split:
    """A split of plays (user, track, days before the cut-off) and of what came of it."""
    rows = sorted((user, -days, track) for user, track, days in {*plays, *skipped, *liked})
    events = [(user, track, -days) for user, days, track in rows]
    came = sorted(set(later))
    judged, counts = np.unique([user for user, _ in came], return_counts=True)
    return Split(
        cutoff=np.array(CUTOFF),
        users=np.array([b"user %04d" % user for user in range(users)]),
        plays=Plays(
            user=np.array([user for user, _, _ in events], np.int32),
            track=np.array([track for _, track, _ in events], np.int32),
            time=np.array([CUTOFF - int(days * DAY) for _, _, days in events], np.int64),
            skipped_at=np.array([0 if event in skipped else NEVER for event in events], np.int64),
            liked_at=np.array([0 if event in liked else NEVER for event in events], np.int64),
        ),
        features=np.random.default_rng(1).normal(size=(tracks, 8)).astype(np.float16),
        popularity=np.arange(tracks, dtype=np.float32),
        artists=np.arange(tracks, dtype=np.int32) // 3,
        genres=np.stack([np.arange(tracks), np.arange(tracks) % 2], axis=1).astype(np.int32),
        profiles=np.eye(users, 4, dtype=np.float32),
        judged=judged.astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        outcomes=np.array([track for _, track in came], np.int32),
    )


@pytest.fixture
def crowd() -> Split:
    """Two halves of users, each with its own half of the tracks, before and after the cut-off."""
    random = np.random.default_rng(3)
    half = TRACKS // 2
    drawn = [
        (user, int(track) + half * (user % 2), float(random.uniform(0, 90)))
        for user in range(USERS)
        for track in random.integers(0, half, 12)
    ]
    later = [
        (user, int(track) + half * (user % 2))
        for user in range(USERS)
        for track in random.integers(0, half, 6)
    ]
    return make_split(drawn, liked=drawn[::5], later=later, users=USERS, tracks=TRACKS)


def scores(peer: Peer, split: Split, **setting: Any) -> FloatArray:
    peer.fit(split, **setting)
    return peer.scores(np.arange(len(split.users), dtype=np.int32))


SPLIT = make_split(
    [(0, 0, 50), (0, 1, 40), (0, 0, 3), (1, 0, 2), (1, 2, 45), (2, 1, 9), (2, 2, 60), (2, 3, 60)],
    skipped=[(1, 4, 1)],
)


# What was fully played: two plays of track 0 by user 0 count as one where weights are binary.
PLAYED = np.array([[1, 1, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0]], np.float64)


def test_the_matrix_counts_what_was_fully_played() -> None:
    counts = PLAYED.copy()
    counts[0, 0] = 2
    assert np.array_equal(full_plays(SPLIT).toarray(), counts)
    assert full_plays(SPLIT, days=30).toarray().nonzero()[1].tolist() == [0, 0, 1]


def test_popularity_ranks_by_listeners_or_by_plays() -> None:
    assert scores(Popularity(), SPLIT, count="listeners")[0].tolist() == [2, 2, 2, 1, 0, 0]
    assert scores(Popularity(), SPLIT, count="plays")[1].tolist() == [3, 2, 2, 1, 0, 0]


def test_recent_popularity_forgets_what_is_older() -> None:
    month = scores(MonthPopularity(), SPLIT, **MonthPopularity.grid[1])
    assert month[0].tolist() == [2, 1, 0, 0, 0, 0]
    recent = scores(RecentPopularity(), SPLIT, days=3, count="plays")
    assert recent[0].tolist() == [2, 0, 0, 0, 0, 0]
    assert {setting["days"] for setting in RecentPopularity.grid} == {1, 3, 7, 14, 30}


def test_catalogue_popularity_puts_last_what_it_knows_nothing_of() -> None:
    said = np.array([3, np.nan, 9, 0, 1, 2], np.float32)
    ranking = scores(CataloguePopularity(), replace(SPLIT, popularity=said))[0]
    assert np.argsort(-ranking).tolist() == [2, 0, 5, 4, 3, 1]
    with pytest.raises(Unsuitable, match="popularity"):
        CataloguePopularity().fit(replace(SPLIT, popularity=np.full_like(said, np.nan)))


def test_own_history_is_the_latest_first_and_then_what_is_popular() -> None:
    found = scores(OwnHistory(), SPLIT, plays="completed")
    assert np.argsort(-found[0])[:2].tolist() == [0, 1]
    assert not found[0, 2:].any()
    assert not found[1, 4]
    assert scores(OwnHistory(), SPLIT, plays="started")[1].argmax() == 4
    judged = replace(SPLIT, judged=np.array([0], np.int32))
    peer = OwnHistory()
    peer.fit(judged, plays="completed")
    assert recommend(peer, judged, 6).everything.tolist() == [[0, 1, 2, 3, 4, 5]]


def test_own_plays_are_forgotten_by_half_and_joined_by_what_is_popular() -> None:
    found = scores(OwnPlays(), SPLIT, half_life=10.0, days=30, weight=0.3)
    first, second = 2**-5.0 + 2**-0.3, 2**-4.0
    own = np.array([first, second, 0, 0, 0, 0]) / (first + second)
    popular = 0.3 * np.array([2, 1, 0, 0, 0, 0]) / 3
    assert np.allclose(found[0], own + popular, atol=1e-6)
    assert found.sum(axis=1) == pytest.approx(1.3, abs=1e-5)
    lasting = scores(OwnPlays(), SPLIT, half_life=None, days=None, weight=0.1)
    ever = 0.1 * np.array([3, 2, 2, 1, 0, 0]) / 8
    assert np.allclose(lasting[0], np.array([2, 1, 0, 0, 0, 0]) / 3 + ever, atol=1e-6)


def test_own_plays_without_recent_ones_of_anybody_are_all_there_is() -> None:
    found = scores(OwnPlays(), make_split([(0, 1, 9)], users=2), half_life=7, days=3, weight=1.0)
    assert found.tolist() == [[0, 1, 0, 0, 0, 0], [0] * 6]


def test_tracks_of_the_artists_played_come_by_popularity() -> None:
    """Tracks 0 to 2 are of one artist, 3 to 4 of another, and 5 of none."""
    artists = np.array([0, 0, 0, 1, 1, -1], np.int32)
    found = scores(ArtistTracks(), replace(SPLIT, artists=artists), half_life=None, days=None)
    first = np.array([3, 2, 2, 0, 0, 0]) / 7
    assert np.allclose(found[0], first, atol=1e-6)
    assert np.allclose(found[2], first * 2 / 3 + np.array([0, 0, 0, 1, 0, 0]) / 3, atol=1e-6)
    with pytest.raises(Unsuitable, match="artist"):
        ArtistTracks().fit(
            replace(SPLIT, artists=np.full(6, -1, np.int32)), half_life=None, days=None
        )


def test_random_draws_do_not_depend_on_who_else_is_asked(crowd: Split) -> None:
    peer = Random()
    together = scores(peer, crowd)
    assert np.array_equal(peer.scores(np.array([5], np.int32))[0], together[5])
    assert not np.array_equal(together[5], together[6])


@pytest.mark.parametrize(("users", "tracks"), [(40, 90), (90, 40), (40, 40)])
@pytest.mark.parametrize("peer", [Ease, EaseLogCounts])
def test_ease_is_the_closed_form_whether_users_or_tracks_are_fewer(
    monkeypatch: pytest.MonkeyPatch, peer: type[Ease], users: int, tracks: int
) -> None:
    random = np.random.default_rng(5)
    drawn = zip(random.integers(0, users, 900), random.integers(0, tracks - 2, 900), strict=True)
    # The last user played one track and nothing else, and nobody played the last two.
    plays = [(int(user), int(track), 1.0 + n) for n, (user, track) in enumerate(drawn)]
    split = make_split([*plays, (users, 0, 9.0)], users=users + 1, tracks=tracks)
    counts = full_plays(split).toarray().astype(np.float64)
    depth = 0 if peer is Ease else 1
    played = np.where(counts > 0, 1 + depth * np.log(np.maximum(counts, 1)), 0)
    monkeypatch.setattr("training.peers.closed_form._CELLS", 7 * users)
    # A peer that was fitted with another setting and on another split does the same.
    found = peer()
    found.fit(SPLIT, l2=3.0)
    for l2 in (200.0, 2.0):
        inverse = np.linalg.inv(played.T @ played + l2 * np.eye(tracks))
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        assert np.allclose(scores(found, split, l2=l2), played @ weights, atol=1e-4)
    assert abs(found.scores(np.array([users], np.int32))[0, 0]) < 1e-5
    assert not found.scores(np.arange(users, dtype=np.int32))[:, -2:].any()


@pytest.mark.parametrize("k", [1, 2])
def test_gf_cf_is_the_dense_formula(k: int) -> None:
    users = np.sqrt(PLAYED.sum(1))[:, None]
    tracks = np.sqrt(np.maximum(PLAYED.sum(0), 1))
    normal = PLAYED / users / tracks
    vectors = np.linalg.svd(normal)[2][:k].T
    low_pass = (vectors @ vectors.T) / tracks[:, None] * tracks
    expected = PLAYED @ (normal.T @ normal + 0.3 * low_pass)
    assert np.allclose(
        scores(GraphFilter(), SPLIT, k=k, alpha=0.3, weight="binary"), expected, atol=1e-5
    )


def test_gf_cf_does_the_same_after_another_setting_and_another_split(crowd: Split) -> None:
    peer, setting = GraphFilter(), {"k": 4, "alpha": 1.0, "weight": "log"}
    scores(peer, SPLIT, **setting)
    scores(peer, crowd, k=2, alpha=0.1, weight="log")
    assert np.array_equal(scores(peer, crowd, **setting), scores(GraphFilter(), crowd, **setting))


def test_cosine_neighbours_by_hand() -> None:
    lengths = np.sqrt(np.maximum(PLAYED.sum(0), 1))
    cosines = PLAYED.T @ PLAYED / np.outer(lengths, lengths)
    found = scores(CosineNeighbours(), SPLIT, neighbours=6, weight="binary")
    assert np.allclose(found, PLAYED @ cosines, atol=1e-6)
    # Each track's only neighbour is itself.
    alone = scores(CosineNeighbours(), SPLIT, neighbours=1, weight="binary")
    assert np.allclose(alone, PLAYED, atol=1e-6)


def test_user_neighbours_by_hand() -> None:
    lengths = np.sqrt(PLAYED.sum(1))
    cosines = PLAYED @ PLAYED.T / np.outer(lengths, lengths)
    found = scores(UserNeighbours(), SPLIT, neighbours=3, weight="binary")
    assert np.allclose(found, cosines @ PLAYED, atol=1e-6)
    # Each user's only neighbour is the user.
    alone = scores(UserNeighbours(), SPLIT, neighbours=1, weight="binary")
    assert np.allclose(alone, PLAYED, atol=1e-6)


def test_bm25_neighbours_are_those_of_the_library(crowd: Split) -> None:
    from implicit.nearest_neighbours import bm25_weight
    from scipy import sparse

    counts = full_plays(crowd)
    counts.data = 1 + np.log(counts.data)
    columns = sparse.csr_matrix(bm25_weight(sparse.csr_matrix(counts.T), 1.2, 0.75)).toarray()
    expected = (full_plays(crowd).toarray() > 0) @ (columns @ columns.T)
    found = scores(BM25Neighbours(), crowd, neighbours=TRACKS, k1=1.2, b=0.75)
    assert np.allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("peer", "setting"),
    [
        (Als, {"factors": 4, "alpha": 10.0, "l2": 1.0, "weight": "log"}),
        (Bpr, {"factors": 4, "learning_rate": 0.05, "l2": 0.01, "iterations": 100}),
    ],
)
def test_factorisation_tells_the_halves_apart(
    crowd: Split, peer: type[Peer], setting: Setting
) -> None:
    found = scores(peer(), crowd, **setting)
    first = found[:, : TRACKS // 2].mean(1) - found[:, TRACKS // 2 :].mean(1)
    assert (first[::2] > 0).all()
    assert (first[1::2] < 0).all()
    assert np.array_equal(found, scores(peer(), crowd, **setting))


def test_the_original_autoencoder_recommends_what_was_just_liked_first() -> None:
    split = make_split(
        [(0, 1, 5), (1, 2, 4), (2, 5, 50)], liked=[(0, 3, 2), (0, 0, 40)], users=3, tracks=6
    )
    found = scores(OriginalAutoencoder(), split, epochs=1)
    assert found[0].argmax() == 3
    assert found[0, 3] == 0
    assert np.isfinite(found[0]).all()
    # Nothing liked: what was fully played; nothing of either in the month: all alike.
    assert found[1].argmax() == 2
    assert len(set(found[2].tolist())) == 1


def test_the_original_classifier_never_changes_its_answer(crowd: Split) -> None:
    profiles = np.zeros((USERS, 1), np.float32)
    profiles[1::2] = 1
    found = scores(OriginalClassifier(), replace(crowd, profiles=profiles), order="play", epochs=60)
    assert (found[::2] == found[0]).all()
    assert found[0].argmax() < TRACKS // 2 <= found[1].argmax()


@pytest.mark.parametrize("peer", [OriginalAutoencoder, OriginalClassifier])
def test_the_original_needs_features(peer: type[Peer]) -> None:
    for width in (0, 3):
        bare = replace(SPLIT, features=np.zeros((6, width), np.float16))
        with pytest.raises(Unsuitable, match="features"):
            peer().fit(bare, **peer.grid[0])


@pytest.mark.parametrize("name", SHORT)
def test_no_peer_puts_a_heard_track_among_the_new(name: str, crowd: Split) -> None:
    peer = PEERS[name]()
    peer.fit(crowd, **peer.grid[0])
    lists = recommend(peer, crowd, TRACKS)
    for user, row in zip(crowd.judged, lists.unheard, strict=True):
        heard = crowd.plays.track[crowd.plays.user == user]
        named = row[row >= 0]
        assert not np.isin(named, heard).any()
        assert len(np.unique(named)) == len(named)
        assert (row[len(named) :] == -1).all()
        assert len(named) == TRACKS - len(np.unique(heard))


@pytest.mark.parametrize("name", SHORT)
def test_peers_bear_a_user_who_played_nothing_to_the_end(name: str) -> None:
    split = make_split(
        [(0, 0, 5), (0, 1, 4), (1, 0, 3)], skipped=[(2, 1, 1)], later=[(2, 0)], users=3, tracks=6
    )
    peer = PEERS[name]()
    peer.fit(split, **peer.grid[0])
    assert recommend(peer, split, 3).everything.shape == (1, 3)


def test_of_equal_scores_the_more_played_track_comes_first() -> None:
    split = make_split([(0, 4, 5), (1, 4, 5), (1, 2, 5)], later=[(0, 2)])

    class Indifferent(Random):
        def scores(self, users: IntArray) -> FloatArray:
            return np.zeros((len(users), 6), np.float32)

    peer = Indifferent()
    peer.fit(split)
    lists = recommend(peer, split, 4)
    assert lists.everything.tolist() == [[4, 2, 0, 1]]
    assert lists.unheard.tolist() == [[2, 0, 1, 3]]


def test_lists_do_not_depend_on_how_many_users_are_scored_at_a_time(
    crowd: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = Ease()
    peer.fit(crowd, **Ease.grid[0])
    at_once = recommend(peer, crowd, K)
    monkeypatch.setattr("training.peers.lists._CELLS", 5 * TRACKS)
    monkeypatch.setattr("training.peers.neighbours._CELLS", 7 * TRACKS)
    by_five = recommend(peer, crowd, K)
    assert np.array_equal(at_once.everything, by_five.everything)
    assert np.array_equal(at_once.unheard, by_five.unheard)


def test_a_fit_that_diverged_is_refused(crowd: Split) -> None:
    class Diverged(Random):
        def scores(self, users: IntArray) -> FloatArray:
            return np.full((len(users), TRACKS), np.nan, np.float32)

    peer = Diverged()
    peer.fit(crowd)
    with pytest.raises(ValueError, match="diverged"):
        recommend(peer, crowd, K)


def test_ndcg_by_hand() -> None:
    split = make_split([(0, 1, 5), (1, 0, 5)], later=[(0, 1), (0, 2), (1, 0)])
    played, new = outcomes(split)
    lists = np.array([[3, 2, 1], [5, 4, -1]], np.int32)
    ideal = 1 + 1 / np.log2(3)
    assert ndcg(lists, played) == pytest.approx((1 / np.log2(3) + 0.5) / ideal / 2)
    # User 1 played nothing new, so user 0 alone is judged, by track 2.
    assert ndcg(lists, new) == pytest.approx(1 / np.log2(3))
    assert np.isnan(ndcg(lists[:0], played[:0]))


class Shift(Peer):
    """Recommends the tracks from a place on: its best setting is known."""

    name = "shift"
    grid = ({"start": 4}, {"start": 2}, {"start": 0})
    repeats = (True, False)

    def fit(self, split: Split, *, start: int) -> None:
        self._row = np.roll(np.arange(split.tracks, 0, -1, dtype=np.float32), start)

    def scores(self, users: IntArray) -> FloatArray:
        return np.tile(self._row, (len(users), 1))


class Broken(Shift):
    """Fails on every split."""

    name = "broken"

    def fit(self, split: Split, *, start: int) -> None:
        raise RuntimeError("no wheel\nand no more")


EARLIER = make_split([(0, 2, 5), (1, 2, 5), (2, 0, 5)], later=[(0, 3), (1, 3), (2, 3)])


def test_the_setting_that_was_better_earlier_is_chosen() -> None:
    steps: list[None] = []
    choice = choose(Shift, EARLIER, 2, lambda: steps.append(None))
    assert (choice.setting, choice.repeats) == ({"start": 2}, False)
    assert len(steps) == 3
    again = make_split([(0, 2, 5), (1, 2, 5)], later=[(0, 2), (1, 2)])
    assert choose(Shift, again, 2, lambda: None).repeats


def test_settings_are_chosen_by_some_users_where_there_are_many(
    monkeypatch: pytest.MonkeyPatch, crowd: Split
) -> None:
    monkeypatch.setattr("training.peers.tuning._USERS", 5)
    some = _some_users(crowd)
    assert len(some.judged) == 5
    every = outcomes(crowd)[0].toarray()
    assert np.array_equal(outcomes(some)[0].toarray(), every[np.isin(crowd.judged, some.judged)])


def test_with_nobody_to_judge_by_the_default_is_taken() -> None:
    choice = choose(Shift, make_split([(0, 2, 5)]), 2, lambda: None)
    assert (choice.setting, choice.repeats, choice.ndcg) == ({"start": 4}, True, None)


def quietly(*_: object) -> None:
    """No progress."""


@pytest.fixture
def work(tmp_path: Path, crowd: Split) -> Path:
    """A folder with two splits: the second without an earlier one."""
    for name in ("a", "b"):
        crowd.save(tmp_path / "splits" / name / "now")
    make_split(
        [(user, track, 40.0) for user in range(USERS) for track in range(user % 5, 12, 3)],
        later=[(user, (user * 7) % TRACKS) for user in range(USERS)],
        users=USERS,
        tracks=TRACKS,
    ).save(tmp_path / "splits" / "a" / "earlier")
    return tmp_path


def test_the_lists_of_a_split_do_not_depend_on_what_came_of_it(
    work: Path, crowd: Split, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    garbage = np.sort(np.random.default_rng(9).integers(0, TRACKS, len(crowd.outcomes)))
    replace(crowd, outcomes=garbage.astype(np.int32)).save(other / "splits" / "a" / "now")
    (other / "splits" / "a" / "earlier").symlink_to(work / "splits" / "a" / "earlier")
    peers = [Popularity, CosineNeighbours, Ease, GraphFilter, Als]
    for folder in (work, other):
        run(folder, peers, K, quietly)
        assert not (folder / FAILURES).exists()
    assert read_notes(other / CHOSEN)["a"] == read_notes(work / CHOSEN)["a"]
    for peer in peers:
        with (
            np.load(lists_path(work, "a", peer.name)) as one,
            np.load(lists_path(other, "a", peer.name)) as two,
        ):
            assert np.array_equal(one["any"], two["any"])
            assert np.array_equal(one["new"], two["new"])


def test_one_peer_that_fails_does_not_stop_the_others(work: Path) -> None:
    run(work, [Broken, Shift], K, quietly)
    reason = "RuntimeError: no wheel"
    assert read_notes(work / FAILURES) == {"a": {"broken": reason}, "b": {"broken": reason}}
    assert read_notes(work / CHOSEN)["b"] == {
        "shift": {"setting": {"start": 4}, "repeats": True, "ndcg": None}
    }
    for split in ("a", "b"):
        with np.load(lists_path(work, split, "shift")) as lists:
            assert lists["any"].shape == lists["new"].shape == (USERS, K)
            assert lists["any"].dtype == np.int32


def test_a_run_goes_on_where_it_was(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(work, [Shift], K, quietly)
    torn, whole = lists_path(work, "a", "shift"), lists_path(work, "b", "shift")
    before = torn.read_bytes()
    torn.write_bytes(before[:100])
    monkeypatch.setattr(Shift, "fit", Broken.fit)
    run(work, [Shift], K, quietly)
    assert list(read_notes(work / FAILURES)) == ["a"]
    assert whole.exists()
    monkeypatch.undo()
    run(work, [Shift], K, quietly)
    assert not read_notes(work / FAILURES)
    with np.load(torn) as lists:
        assert lists["any"].shape == (USERS, K)
    run(work, [Shift], K + 1, quietly)
    with np.load(whole) as lists:
        assert lists["any"].shape == (USERS, K + 1)


def test_progress_is_told_step_by_step(work: Path) -> None:
    steps: list[Step] = []
    run(work, [Shift, Broken], K, steps.append)
    shift = [Step("shift", "a", done, 4) for done in range(1, 5)] + [Step("shift", "b", 4, 4)]
    failed = [Step("broken", split, 4, 4, "RuntimeError: no wheel") for split in ("a", "b")]
    assert steps == shift + failed


def test_peers_run_in_processes_of_their_own(work: Path) -> None:
    shares: list[tuple[str, int, int]] = []
    failures = run_peers(
        work, ["random", "catalogue-popularity"], K, lambda *step: shares.append(step)
    )
    assert not failures
    assert lists_path(work, "b", "random").exists()
    assert shares[-1] == ("catalogue-popularity", 200, 200)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9"),
        ("raise SystemExit(3)", "ended with status 3"),
        # A library that takes a signal for a wish to end may say that all went well.
        ("raise SystemExit(0)", "ended with status 0"),
    ],
)
def test_a_process_that_ends_too_early_fails_alone(
    work: Path, monkeypatch: pytest.MonkeyPatch, end: str, reason: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(environment, "_START", end)
        failures = run_peers(work, ["random"], K, quietly)
    assert failures["a"]["random"] == failures["b"]["random"] == f"{reason}; see random.log"
    assert not run_peers(work, ["random"], K, quietly)


@pytest.mark.parametrize(
    ("has_cpu_build", "lists"),
    [
        (True, ["requirements.txt", "torch-cpu.txt", "sansa.txt"]),
        (False, ["requirements.txt", "torch-cpu.txt", "torch-pypi.txt", "sansa.txt"]),
    ],
)
def test_an_environment_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_cpu_build: bool, lists: list[str]
) -> None:
    commands: list[list[str]] = []

    def pretend(command: list[Any], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append([str(part) for part in command])
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()
        failed = not has_cpu_build and commands[-1][-1].endswith("torch-cpu.txt")
        return subprocess.CompletedProcess(command, int(failed), "", "")

    home, wanted = tmp_path / "venv", tmp_path / "requirements.txt"
    python = home / "bin" / "python"
    wanted.write_text("numpy==1\n")
    monkeypatch.setattr(subprocess, "run", pretend)
    assert peers_python(home, wanted) == peers_python(home, wanted) == python
    assert commands.pop(0)[2] == "venv"
    assert all("--require-hashes" in command for command in commands)
    assert [Path(command[-1]).name for command in commands] == lists
    commands.clear()
    wanted.write_text("numpy==2\n")
    peers_python(home, wanted)
    assert commands, "another list makes another environment"


def test_an_environment_is_made_without_sansa_where_that_cannot_be_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("numpy==1\n")

    def no_compiler(command: list[Any], **_: Any) -> subprocess.CompletedProcess[str]:
        (tmp_path / "venv").mkdir(exist_ok=True)
        failed = str(command[-1]).endswith("sansa.txt")
        return subprocess.CompletedProcess(command, int(failed), "", "")

    monkeypatch.setattr(subprocess, "run", no_compiler)
    assert peers_python(tmp_path / "venv", wanted).is_relative_to(tmp_path / "venv")


def test_sansa_says_what_it_lacks() -> None:
    with pytest.raises(Unsuitable, match="SuiteSparse"):
        PEERS["sansa"]().fit(make_split([(0, 1, 2)]), **PEERS["sansa"].grid[0])


def test_an_environment_that_cannot_be_made_says_why_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "\nERROR: No matching distribution found for rectools==0.19.0\nmore of it\n"

    def fail(command: list[Any], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, int("pip" in command), "", said)

    wanted = tmp_path / "requirements.txt"
    wanted.write_text("rectools==0.19.0\n")
    monkeypatch.setattr(subprocess, "run", fail)
    for _ in range(2):
        with pytest.raises(InvalidData, match=r"Python 3.*No matching distribution") as caught:
            peers_python(tmp_path / "venv", wanted)
        assert "\n" not in str(caught.value)


def test_the_peers_import_nothing_of_segue_and_no_heavy_library() -> None:
    """What the environment of the long form lacks, or what would slow every process down."""
    code = (
        "import sys, json, training.peers.__main__; "
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    absent = {
        "segue",
        "duckdb",
        "onnxruntime",
        "torch",
        "implicit",
        "rectools",
        "lightfm",
        "sansa",
        "pandas",
    }
    assert not absent & set(json.loads(found.stdout))
    assert set(LONG) == set(PEERS) - set(SHORT)
