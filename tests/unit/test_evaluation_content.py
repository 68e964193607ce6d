"""What the evaluation says of the autoencoder's content: what its inputs bring, how tracks that
nobody has played fare, and whether what lies near is alike."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.memory import (
    FixedClock,
    MemoryModelStore,
    MemorySessionStore,
    MemoryTrackStore,
    MemoryUserStore,
)
from segue.domain.catalogue import Catalogue
from segue.domain.events import parse_event
from segue.domain.times import parse_time
from segue.features.schema import POZYTYWKA, load_schema, parse_schema
from segue.models.bundle import Bundle
from segue.models.hybrid.sources import SOURCES
from segue.services.recommend import Query, Recommender
from tests.unit.test_peers import make_split
from training.catalogue import EncodedCatalogue, Popularity, encode_catalogue
from training.data import connect, open_data
from training.evaluation import altered
from training.evaluation.ablations import ablations, fit_ablations
from training.evaluation.altered import ColdJudge, hold_out, judge_cold, only
from training.evaluation.likeness import NEAREST, examples, in_words, likeness_rows
from training.evaluation.options import Options, silent
from training.evaluation.own import Asked, first_of_each
from training.protocol.lists import VIEWS, check_lists, heard_masks
from training.protocol.temporal import prepare
from training.users import read_users

CUTOFF = parse_time("2022-08-25T00:00:00Z")
K = 5


@pytest.fixture(scope="module")
def workspace(data_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("content") / "workspace"
    open_data(data_path, folder, split="temporal")
    return folder


@pytest.fixture(scope="module")
def encoded(workspace: Path) -> EncodedCatalogue:
    with connect(workspace) as connection:
        return encode_catalogue(connection, load_schema(), Popularity(connection, CUTOFF))


class TestAblations:
    def test_each_variant_lacks_what_its_name_says_and_nothing_else(
        self, encoded: EncodedCatalogue
    ) -> None:
        kinds = np.repeat(
            [one.feature.kind for one in encoded.encoder.track],
            [one.width for one in encoded.encoder.track],
        )
        artist, genres = kinds == "hashed", kinds == "multi_hot"
        missing = {
            "autoencoder (no artist)": artist,
            "autoencoder (no genres)": genres,
            "autoencoder (audio only)": artist | genres,
        }
        variants = ablations(encoded)
        assert list(variants) == list(missing)
        for name, gone in missing.items():
            assert not variants[name].features[:, gone].any()
            assert np.array_equal(variants[name].features[:, ~gone], encoded.features[:, ~gone])

    def test_nothing_is_left_out_that_is_not_there_and_something_is_left(
        self, workspace: Path
    ) -> None:
        genres = '[[track]]\nname = "artist_genres"\nkind = "multi_hot"\nsize = 8\n'
        energy = '[[track]]\nname = "energy"\nkind = "numeric"\n'
        names = []
        for text in (energy, genres, energy + genres):
            with connect(workspace) as connection:
                popularity = Popularity(connection, CUTOFF)
                plain = encode_catalogue(connection, parse_schema(text), popularity)
            names.append(list(ablations(plain)))
        assert names == [[], [], ["autoencoder (no genres)"]]

    def test_variants_are_trained_and_asked_each_on_its_own(
        self, workspace: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("training.models.autoencoder.EPOCHS", 1)
        with connect(workspace) as connection:
            encoded, split = prepare(connection, load_schema(), CUTOFF)
            found = fit_ablations(connection, split, encoded, POZYTYWKA, Options(k=K, seed=1))
        assert list(found.lists) == list(found.latents) == list(ablations(encoded))
        lists = [one["any"] for one in found.lists.values()]
        assert all(one.shape == (len(split.judged), K) for one in lists)
        assert not np.array_equal(lists[0], lists[1])


class TestSources:
    def test_a_list_of_one_holds_the_tracks_of_which_it_has_most(self) -> None:
        shares = np.array([[0.1, 0.4, 0, 0.3, 0.2], [0, 0, 1, 0, 0]], np.float32)
        heard = np.array([False, True, False, False, True])

        many, one = first_of_each(shares, np.arange(5), heard, 3)
        assert {view: it.tolist() for view, it in many.items()} == {"any": [1, 3, 4], "new": [3, 0]}
        assert {view: it.tolist() for view, it in one.items()} == {"any": [2], "new": [2]}

    def test_all_of_the_hybrid_are_asked_for_every_judged_listener(
        self, workspace: Path, bundle: Bundle
    ) -> None:
        with connect(workspace) as connection:
            _, split = prepare(connection, load_schema(), CUTOFF)
            found = Asked(connection, bundle, split, K).sources(silent)
        assert tuple(found) == SOURCES
        for name, lists in found.items():
            check_lists(name, lists, split, K)
        charts = found["charts"]["any"]
        assert (charts == charts[0]).all()
        heard = list(heard_masks(split))
        for mask, own in zip(heard, found["own plays"]["any"], strict=True):
            assert mask[own[own >= 0]].all()


def test_the_evaluation_asks_for_what_the_service_answers(
    workspace: Path, bundle: Bundle, data_path: Path
) -> None:
    with gzip.open(data_path / "sessions.jsonl.gz", "rt") as rows:
        sessions = MemorySessionStore()
        sessions.put(parse_event(json.loads(row)) for row in rows)
    with connect(workspace) as connection:
        _, split = prepare(connection, load_schema(), CUTOFF)
        users, asked = read_users(connection), Asked(connection, bundle, split, K)
        lists = {number: asked.lists(number, silent) for number in asked.models}
    service = Recommender(
        sessions,
        MemoryUserStore(dict(users)),
        MemoryModelStore(bundle),
        MemoryTrackStore(),
        FixedClock(CUTOFF),
    )
    for row, position in enumerate(split.judged[:15].tolist()):
        user_id = split.users[position].decode()
        for number in asked.models:
            for view in VIEWS:
                served = service.recommend(Query(user_id, number, k=K, novelty=view)).tracks
                expected = bundle.catalogue.track_ids(lists[number][view][row])
                assert list(served) == expected, (user_id, number, view)


class TestCold:
    def test_held_out_tracks_have_no_past_and_keep_their_future(
        self, workspace: Path, tmp_path: Path
    ) -> None:
        held = hold_out(workspace, tmp_path / "other", CUTOFF, seed=1)
        counts = "SELECT COUNT(*) FILTER (WHERE time < $2), COUNT(*) FILTER (WHERE time >= $2)"
        of_held = f"{counts} FROM events WHERE track_id IN (SELECT UNNEST($1))"
        of_others = f"{counts} FROM events WHERE NOT track_id IN (SELECT UNNEST($1))"
        with connect(workspace) as before, connect(tmp_path / "other") as after:
            (played,) = before.execute(
                "SELECT COUNT(DISTINCT track_id) FROM events WHERE time < $1", [CUTOFF]
            ).fetchall()[0]
            assert len(held) == round(played / 10)
            past, future = before.execute(of_held, [held, CUTOFF]).fetchall()[0]
            assert past > 0 < future
            assert after.execute(of_held, [held, CUTOFF]).fetchall() == [(0, future)]
            rest = [one.execute(of_others, [held, CUTOFF]).fetchall() for one in (before, after)]
            assert rest[0] == rest[1]

    def test_only_those_who_then_played_a_held_out_track_are_judged_by_it(self) -> None:
        split = make_split(
            [(0, 0, 5), (1, 0, 5), (2, 0, 5)], later=[(0, 1), (0, 4), (1, 2), (2, 4), (2, 5)]
        )
        cold_split = only(split, np.array([0, 0, 0, 0, 1, 1], np.bool_))
        assert cold_split.judged.tolist() == [0, 2]
        assert cold_split.offsets.tolist() == [0, 1, 3]
        assert cold_split.outcomes.tolist() == [4, 4, 5]

    def test_accuracy_rank_and_share_by_hand(self) -> None:
        held = np.array([0, 0, 0, 0, 1, 1], np.bool_)
        split = only(make_split([(0, 0, 5), (1, 0, 5)], later=[(0, 4), (1, 5)]), held)
        judge = ColdJudge(split, held, split.features, 2)
        # Track 4 is the best of the two held out; of all six it is third, and 5 is last.
        judge.add("one", iter([np.array([9, 8, 1, 2, 7, 0], np.float32)] * 2))
        (row,) = judge.rows({}, seed=1)
        assert (row["model"], row["users"], row["hit"], row["recall"]) == ("one", 2, 1, 1)
        assert row["ndcg"] == pytest.approx((1 + 1 / np.log2(3)) / 2, abs=1e-5)
        assert row["percentile"] == pytest.approx((3 / 5 + 0) / 2)
        assert row["in_lists"] == 0

    @pytest.mark.parametrize("ablated_too", [False, True])
    def test_all_models_are_asked_for_tracks_that_nobody_has_played(
        self,
        workspace: Path,
        bundle: Bundle,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        *,
        ablated_too: bool,
    ) -> None:
        @contextmanager
        def trained(*_: Any, **__: Any) -> Iterator[tuple[Bundle, None]]:
            yield bundle, None

        monkeypatch.setattr(altered, "fit_bundle", trained)
        monkeypatch.setattr("training.models.autoencoder.EPOCHS", 1)
        options = Options(k=K, seed=1, ablations=ablated_too)
        told = judge_cold(workspace, tmp_path / "other", POZYTYWKA, CUTOFF, options)
        assert 0 < told["tracks"] < told["all"] == len(bundle.catalogue)
        variants = [f"autoencoder ({w})" for w in ("no artist", "no genres", "audio only")]
        names = ["popularity", "autoencoder", "classifier", "hybrid"]
        expected = [*names, *(variants if ablated_too else ()), "random"]
        assert [row["model"] for row in told["rows"]] == expected
        for row in told["rows"]:
            assert row["ndcg_low"] <= row["ndcg"] <= row["ndcg_high"]
            assert 0 <= row["percentile"] <= 1


class TestLikeness:
    def space(self, catalogue: Catalogue) -> NDArray[np.float32]:
        """Tracks of one artist in one place, and all artists at right angles."""
        return np.eye(int(catalogue.artists.max()) + 1, dtype=np.float32)[catalogue.artists]

    def test_neighbours_are_by_the_artist_where_the_space_knows_nothing_else(
        self, encoded: EncodedCatalogue
    ) -> None:
        catalogue = encoded.catalogue
        noise = np.random.default_rng(1).normal(size=(len(catalogue), 8)).astype(np.float32)
        spaces = {"artists": self.space(catalogue), "noise": noise}
        by_artist, by_chance = likeness_rows(catalogue, spaces, seed=1)
        assert by_artist["artist"] > 0.5
        assert by_artist["genre"] > by_artist["genre_by_chance"]
        for what in ("artist", "genre"):
            assert by_chance[what] == pytest.approx(by_chance[f"{what}_by_chance"], abs=0.03)
        assert in_words(by_artist).startswith("Of the ten tracks nearest to one by the artists, ")

    def test_where_tracks_have_neither_artist_nor_genre_there_is_nothing_to_say(self) -> None:
        bare = Catalogue(
            ids=np.array([b"a", b"b"]),
            explicit=np.zeros(2, np.bool_),
            popularity=np.zeros(2, np.float32),
            artists=np.full(2, -1, np.int32),
            genres={},
        )
        assert likeness_rows(bare, {"any": np.eye(2, dtype=np.float32)}, seed=1) == []

    def test_examples_are_read_by_name_and_never_hold_the_track_itself(
        self, workspace: Path, encoded: EncodedCatalogue
    ) -> None:
        catalogue = encoded.catalogue
        with connect(workspace) as connection:
            shown = examples(connection, catalogue, self.space(catalogue))
            (name, artist) = connection.execute(
                "SELECT name, artist_name FROM tracks WHERE id = $1", [shown[0]["track"]["id"]]
            ).fetchall()[0]
        assert (shown[0]["track"]["name"], shown[0]["track"]["artist"]) == (name, artist)
        for example in shown:
            ids = [track["id"] for track in example["nearest"]]
            assert len(set(ids)) == NEAREST
            assert example["track"]["id"] not in ids
            assert example["nearest"][0]["artist"] == example["track"]["artist"]
        assert len({tuple(example["track"]["genres"]) for example in shown}) > 1
