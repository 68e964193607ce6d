"""The demo data: its format, its story, and the truth behind it."""

import gzip
import json
import re
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.demo import Oracle, generate
from infra.demo.activity import STEADY_USER_IDS, Presence, assign_presence, session_starts
from infra.demo.genres import GENRES
from infra.demo.randomness import stream

ROOT = Path(__file__).parents[2]
LISTENERS, TRACKS = 30, 600
CUTOFF = datetime(2022, 9, 1, tzinfo=UTC)
CUTOFF_MS = int(CUTOFF.timestamp()) * 1_000
MONTH = timedelta(days=30)
FILES = ["artists.jsonl", "sessions.jsonl.gz", "tracks.jsonl", "truth.npz", "users.jsonl"]

Record = dict[str, Any]


@dataclass(frozen=True)
class Play:
    user_id: int
    track_id: str
    time: datetime
    skipped: bool


@dataclass(frozen=True)
class Demo:
    """A folder of demo data, read."""

    directory: Path
    tracks: dict[str, Record]
    artists: dict[str, Record]
    users: dict[int, Record]
    sessions: dict[int, list[Record]]

    @property
    def events(self) -> list[Record]:
        return [event for session in self.sessions.values() for event in session]

    def plays(self) -> list[Play]:
        plays: list[Play] = []
        for event in self.events:
            if event["event_type"] == "PLAY":
                plays.append(Play(event["user_id"], event["track_id"], when(event), False))
            elif event["event_type"] == "SKIP":
                last = plays[-1]
                plays[-1] = Play(last.user_id, last.track_id, last.time, True)
        return plays


def when(event: Record) -> datetime:
    return datetime.fromisoformat(event["timestamp"]).replace(tzinfo=UTC)


def read_lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def make(directory: Path, seed: int = 7) -> Path:
    generate(directory, seed=seed, listeners=LISTENERS, tracks=TRACKS)
    return directory


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    directory = make(tmp_path_factory.mktemp("demo") / "data")
    sessions: dict[int, list[Record]] = defaultdict(list)
    for line in gzip.decompress((directory / "sessions.jsonl.gz").read_bytes()).splitlines():
        event = json.loads(line)
        sessions[event["session_id"]].append(event)
    return Demo(
        directory,
        {track["id"]: track for track in read_lines(directory / "tracks.jsonl")},
        {artist["id"]: artist for artist in read_lines(directory / "artists.jsonl")},
        {user["user_id"]: user for user in read_lines(directory / "users.jsonl")},
        dict(sessions),
    )


@pytest.fixture(scope="module")
def oracle(demo: Demo) -> Oracle:
    return Oracle(demo.directory)


@pytest.fixture(scope="module")
def busiest(demo: Demo) -> int:
    """The listener with the most plays."""
    return Counter(play.user_id for play in demo.plays()).most_common(1)[0][0]


class TestFolder:
    def test_same_seed_gives_same_bytes(self, demo: Demo, tmp_path: Path) -> None:
        again = make(tmp_path / "again")
        assert sorted(path.name for path in again.iterdir()) == FILES
        for name in FILES:
            assert (again / name).read_bytes() == (demo.directory / name).read_bytes(), name

    def test_another_seed_gives_other_data(self, demo: Demo, tmp_path: Path) -> None:
        other = make(tmp_path / "other", seed=8)
        for name in FILES:
            assert (other / name).read_bytes() != (demo.directory / name).read_bytes(), name

    def test_the_summary_counts_what_was_written(self, demo: Demo, tmp_path: Path) -> None:
        phases: list[tuple[str, int, int]] = []
        summary = generate(
            tmp_path / "data",
            listeners=LISTENERS,
            tracks=TRACKS,
            progress=lambda *report: phases.append(report),
        )
        assert summary.events == len(demo.events)
        assert summary.plays == len(demo.plays())
        assert summary.sessions == len(demo.sessions)
        assert (summary.listeners, summary.tracks) == (LISTENERS, TRACKS)
        assert phases[-1] == ("history", LISTENERS, LISTENERS)

    def test_a_failed_run_leaves_nothing(self, tmp_path: Path) -> None:
        def fail_half_way(phase: str, done: int, total: int) -> None:
            if phase == "history" and done == total // 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            generate(tmp_path / "data", listeners=LISTENERS, tracks=TRACKS, progress=fail_half_way)
        assert list(tmp_path.iterdir()) == []

    def test_a_killed_run_leaves_no_folder_of_that_name(self, tmp_path: Path) -> None:
        program = (
            "import os, pathlib, signal, sys; from infra.demo import generate\n"
            "def report(phase, done, total):\n"
            "    if phase == 'history' and done == total // 2:\n"
            "        os.kill(os.getpid(), signal.SIGKILL)\n"
            "generate(pathlib.Path(sys.argv[1]), listeners=30, tracks=600, progress=report)\n"
        )
        target = tmp_path / "data"
        done = subprocess.run([sys.executable, "-c", program, str(target)], cwd=ROOT, check=False)
        assert done.returncode == -signal.SIGKILL
        assert not target.exists()

    def test_what_is_there_already_is_never_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(FileExistsError):
            make(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_an_empty_folder_is_filled(self, tmp_path: Path) -> None:
        assert sorted(path.name for path in make(tmp_path).iterdir()) == FILES

    @pytest.mark.parametrize(("listeners", "tracks"), [(1, 600), (30, 10)])
    def test_too_little_is_refused(self, tmp_path: Path, listeners: int, tracks: int) -> None:
        with pytest.raises(ValueError, match="at least"):
            generate(tmp_path / "data", listeners=listeners, tracks=tracks)


FEATURE_RANGES = {
    "popularity": (0, 100),
    "duration_ms": (45_000, 900_000),
    "explicit": (0, 1),
    "danceability": (0, 1),
    "energy": (0, 1),
    "key": (0, 11),
    "loudness": (-60, 1),
    "speechiness": (0, 1),
    "acousticness": (0, 1),
    "instrumentalness": (0, 1),
    "liveness": (0, 1),
    "valence": (0, 1),
    "tempo": (40, 250),
}


class TestCatalogue:
    def test_tracks_have_all_fields_within_range(self, demo: Demo) -> None:
        assert len(demo.tracks) == TRACKS
        for track in demo.tracks.values():
            assert set(track) == {"id", "name", "id_artist", "release_date", *FEATURE_RANGES}
            assert re.fullmatch(r"[0-9A-Za-z]{22}", track["id"])
            assert track["name"]
            assert track["id_artist"] in demo.artists
            for field, (low, high) in FEATURE_RANGES.items():
                assert low <= track[field] <= high, field

    def test_release_dates_are_full_or_name_month_or_year_only(self, demo: Demo) -> None:
        lengths = Counter(len(track["release_date"]) for track in demo.tracks.values())
        assert set(lengths) <= {4, 7, 10}
        assert lengths[10] > lengths[4] > 0

    def test_some_tracks_come_out_during_the_year(self, demo: Demo) -> None:
        dates = [track["release_date"] for track in demo.tracks.values()]
        fresh = [text for text in dates if text.startswith("2022")]
        assert 0.01 < len(fresh) / len(dates) < 0.06
        assert max(dates) > "2022-09-01"

    def test_features_hang_together(self, demo: Demo) -> None:
        def column(field: str) -> list[float]:
            return [track[field] for track in demo.tracks.values()]

        energy = column("energy")
        assert np.corrcoef(energy, column("loudness"))[0, 1] > 0.6
        assert np.corrcoef(energy, column("acousticness"))[0, 1] < -0.5

    def test_artists_have_one_to_four_known_genres(self, demo: Demo) -> None:
        for artist in demo.artists.values():
            assert set(artist) == {"id", "name", "genres"}
            assert 1 <= len(artist["genres"]) <= 4
            assert set(artist["genres"]) <= set(GENRES)
        assert len({artist["name"] for artist in demo.artists.values()}) == len(demo.artists)

    def test_the_order_of_tracks_tells_nothing_of_their_release(self, demo: Demo) -> None:
        years = [int(track["release_date"][:4]) for track in demo.tracks.values()]
        assert abs(np.corrcoef(years, range(TRACKS))[0, 1]) < 0.15


class TestListeners:
    def test_ids_count_up_from_101(self, demo: Demo) -> None:
        assert list(demo.users) == list(range(101, 101 + LISTENERS))

    def test_profiles_are_well_formed(self, demo: Demo) -> None:
        for user in demo.users.values():
            assert user["name"]
            assert user["city"]
            assert user["street"]
            assert len(set(user["favourite_genres"])) == 3
            assert set(user["favourite_genres"]) <= set(GENRES)
            assert isinstance(user["premium_user"], bool)

    def test_profiles_name_mostly_but_not_always_the_true_genres(
        self, demo: Demo, oracle: Oracle
    ) -> None:
        hits = [
            genre in {GENRES[true] for true in oracle.taste(user_id).genres}
            for user_id, user in demo.users.items()
            for genre in user["favourite_genres"]
        ]
        assert 0.6 < np.mean(hits) < 1

    def test_a_silent_and_an_early_gone_listener_are_among_them(self, demo: Demo) -> None:
        last = dict.fromkeys(demo.users, "")
        for event in demo.events:
            last[event["user_id"]] = max(last[event["user_id"]], event["timestamp"])
        assert "" in last.values()
        assert any("" < time < "2022-08-01" for time in last.values())

    @pytest.mark.parametrize("user_id", STEADY_USER_IDS)
    def test_steady_listeners_have_sessions_in_august_and_september(self, user_id: int) -> None:
        presence = assign_presence(seed=7, count=1000)[user_id - 101]
        assert presence is Presence.STEADY
        starts = session_starts(stream(7, 7, user_id), presence)
        months = Counter(starts.astype("datetime64[ms]").astype("datetime64[M]").astype(str))
        assert months["2022-08"] >= 8
        assert months["2022-09"] >= 8


class TestEvents:
    def test_events_are_well_formed(self, demo: Demo) -> None:
        fields = {"timestamp", "user_id", "track_id", "event_type", "session_id"}
        for event in demo.events:
            assert set(event) == fields
            assert event["user_id"] in demo.users
            if event["event_type"] in ("ADVERTISEMENT", "BUY_PREMIUM"):
                assert event["track_id"] is None
            else:
                assert event["event_type"] in ("PLAY", "SKIP", "LIKE")
                assert event["track_id"] in demo.tracks

    def test_history_lies_between_january_and_october(self, demo: Demo) -> None:
        times = [when(event) for event in demo.events]
        assert min(times) >= datetime(2022, 1, 1, tzinfo=UTC)
        assert datetime(2022, 10, 1, tzinfo=UTC) < max(times) < datetime(2022, 10, 2, tzinfo=UTC)

    def test_a_session_is_ordered_and_belongs_to_one_listener(self, demo: Demo) -> None:
        for session in demo.sessions.values():
            times = [when(event) for event in session]
            assert times == sorted(times)
            assert len({event["user_id"] for event in session}) == 1
            assert session[0]["event_type"] == "PLAY"

    def test_sessions_of_a_listener_do_not_overlap(self, demo: Demo) -> None:
        ends: dict[int, datetime] = {}
        for session in demo.sessions.values():
            user_id = session[0]["user_id"]
            assert when(session[0]) > ends.get(user_id, datetime.min.replace(tzinfo=UTC))
            ends[user_id] = when(session[-1])

    def test_skips_and_likes_belong_to_the_play_before(self, demo: Demo) -> None:
        for session in demo.sessions.values():
            playing: str | None = None
            for event in session:
                if event["event_type"] == "PLAY":
                    playing = event["track_id"]
                elif event["event_type"] in ("SKIP", "LIKE"):
                    assert event["track_id"] == playing
                if event["event_type"] in ("SKIP", "ADVERTISEMENT"):
                    playing = None

    def test_the_next_play_follows_a_skip_at_once_and_a_finished_track_at_its_end(
        self, demo: Demo
    ) -> None:
        for session in demo.sessions.values():
            no_adverts = all(event["track_id"] for event in session)
            plays = [event for event in session if event["event_type"] == "PLAY"]
            skips = {when(event) for event in session if event["event_type"] == "SKIP"}
            for play, following in pairwise(plays):
                length = timedelta(milliseconds=demo.tracks[play["track_id"]]["duration_ms"])
                finished = when(following) == when(play) + length
                assert finished or when(following) in skips or not no_adverts

    def test_no_track_is_played_before_its_release(self, demo: Demo) -> None:
        for play in demo.plays():
            text = demo.tracks[play.track_id]["release_date"]
            released = date.fromisoformat(text + "-01-01"[: 10 - len(text)])
            assert released <= play.time.date()

    def test_adverts_reach_free_listeners_only_and_buying_ends_them(self, demo: Demo) -> None:
        kinds: dict[int, list[str]] = defaultdict(list)
        for event in demo.events:
            kinds[event["user_id"]].append(event["event_type"])
        for user_id, user in demo.users.items():
            seen = kinds[user_id]
            bought = seen.count("BUY_PREMIUM")
            assert bought <= 1
            if bought:
                assert user["premium_user"]
                assert "ADVERTISEMENT" not in seen[seen.index("BUY_PREMIUM") :]
            elif user["premium_user"]:
                assert "ADVERTISEMENT" not in seen


class TestTruth:
    def test_weights_sum_to_one(self, oracle: Oracle) -> None:
        for user_id in oracle.user_ids:
            taste = oracle.taste(user_id)
            assert taste.weights.sum() == 10_000
            assert (taste.weights >= 0).all()
            for weights in (taste.genre_weights, taste.artist_weights, taste.point_weights):
                assert weights.sum() == pytest.approx(1, abs=1e-5)

    def test_scores_are_a_distribution_over_released_tracks(
        self, demo: Demo, oracle: Oracle, busiest: int
    ) -> None:
        scores = oracle.scores(busiest, CUTOFF_MS)
        assert scores.shape == (TRACKS,)
        assert scores.sum() == pytest.approx(1)
        assert (scores >= 0).all()
        for track_id, score in zip(oracle.track_ids, scores, strict=True):
            if demo.tracks[track_id]["release_date"] > "2022-09-01":
                assert score == 0

    def test_scores_know_nothing_of_what_comes_after(self, oracle: Oracle, busiest: int) -> None:
        past = oracle.heard(busiest).before(CUTOFF_MS)
        known = oracle.scores(busiest, CUTOFF_MS)
        assert np.array_equal(known, oracle.scores(busiest, CUTOFF_MS, history=past))

    def test_more_history_moves_the_scores(self, oracle: Oracle, busiest: int) -> None:
        nothing = oracle.heard(busiest).before(0)
        assert not np.array_equal(
            oracle.scores(busiest, CUTOFF_MS), oracle.scores(busiest, CUTOFF_MS, history=nothing)
        )

    def test_the_truth_holds_the_plays_of_the_sessions(
        self, demo: Demo, oracle: Oracle, busiest: int
    ) -> None:
        played = [play.track_id for play in demo.plays() if play.user_id == busiest]
        assert [oracle.track_ids[i] for i in oracle.heard(busiest).tracks] == played

    def test_finish_chances_are_calibrated(self, demo: Demo, oracle: Oracle) -> None:
        index = {track_id: i for i, track_id in enumerate(oracle.track_ids)}
        chances = {user_id: oracle.finish_chances(user_id) for user_id in oracle.user_ids}
        pairs = [
            (chances[play.user_id][index[play.track_id]], not play.skipped) for play in demo.plays()
        ]
        expected, finished = np.array(pairs, dtype=np.float64).T
        for low in np.arange(0, 1, 0.25):
            part = (expected >= low) & (expected < low + 0.25)
            if part.sum() > 500:
                assert finished[part].mean() == pytest.approx(expected[part].mean(), abs=0.04)

    def test_like_chances_grow_with_finish_chances(self, oracle: Oracle, busiest: int) -> None:
        order = np.argsort(oracle.finish_chances(busiest))
        assert (np.diff(oracle.like_chances(busiest)[order]) >= -1e-12).all()

    def test_the_oracle_beats_popularity_clearly(self, demo: Demo, oracle: Oracle) -> None:
        index = {track_id: i for i, track_id in enumerate(oracle.track_ids)}
        finished: dict[int, set[int]] = defaultdict(set)
        popularity = np.zeros(TRACKS)
        for play in demo.plays():
            if CUTOFF - MONTH <= play.time < CUTOFF:
                popularity[index[play.track_id]] += 1
            elif CUTOFF <= play.time < CUTOFF + MONTH and not play.skipped:
                finished[play.user_id].add(index[play.track_id])
        by_truth = [ndcg(oracle.scores(u, CUTOFF_MS), wanted) for u, wanted in finished.items()]
        by_popularity = [ndcg(popularity, wanted) for wanted in finished.values()]
        assert np.mean(by_truth) > 1.4 * np.mean(by_popularity)


def ndcg(scores: np.ndarray, wanted: set[int], k: int = 20) -> float:
    discounts = 1 / np.log2(np.arange(k) + 2)
    best = np.argsort(-scores, kind="stable")[:k].tolist()
    gained = sum(discounts[rank] for rank, track in enumerate(best) if track in wanted)
    return float(gained / discounts[: len(wanted)].sum())
