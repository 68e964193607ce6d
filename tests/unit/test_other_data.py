"""Data beyond Pozytywka's: schemas and profiles of one's own, MovieLens, and given splits."""

import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from infra.cli import app
from segue.domain.errors import InvalidData
from segue.domain.users import Attribute, User, attributes_from_json, attributes_to_json, parse_user
from segue.features.encoder import fit_encoder
from segue.features.listeners import History, encode_listener, listener_width, user_columns
from segue.features.schema import POZYTYWKA, load_schema, parse_schema
from training.catalogue import Popularity, encode_catalogue
from training.data import (
    OpenedData,
    Summary,
    check,
    connect,
    convert_movielens,
    folder_schema,
    ingest,
    is_given,
    open_data,
    query,
    render,
)
from training.data.given import CUTOFF
from training.histories import read_plays
from training.plays import DAY
from training.users import read_users

Rows = list[dict[str, Any]]

OWN = """
[[user]]
name = "age"
kind = "numeric"
[[user]]
name = "premium"
kind = "numeric"
[[user]]
name = "moods"
kind = "multi_hot"
source = "moods_now"
size = 4
"""


def write(folder: Path, **files: str) -> Path:
    """Files by their names, a dot written as two underscores."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


def rows(workspace: Path, table: str) -> Rows:
    found: Rows = pq.read_table(workspace / f"{table}.parquet").to_pylist()
    return found


def quarantined(workspace: Path) -> list[tuple[str, int, list[str]]]:
    lines = (workspace / "quarantine.jsonl").read_text().splitlines()
    return [(row["file"], row["line"], row["reasons"]) for row in map(json.loads, lines)]


def drawn(summary: Summary) -> str:
    screen = io.StringIO()
    Console(file=screen, width=100).print(render(summary))
    return screen.getvalue()


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


class TestSchema:
    def test_a_folder_may_carry_its_own(self, tmp_path: Path) -> None:
        assert folder_schema(tmp_path) == POZYTYWKA
        write(tmp_path, schema__toml=OWN)
        assert folder_schema(tmp_path) == tmp_path / "schema.toml"

    def test_other_forms_of_data_have_one(self, tmp_path: Path) -> None:
        films = write(tmp_path / "films", a__inter="", a__item="", a__user="")
        lists = write(tmp_path / "lists", train__txt="", test__txt="")
        assert load_schema(folder_schema(films)).name == "movielens"
        assert load_schema(folder_schema(lists)).name == "plain"

    def test_the_further_columns_are_those_that_user_features_read(self) -> None:
        assert parse_schema(OWN).attributes == ("age", "moods_now")
        assert load_schema(POZYTYWKA).attributes == ()


class TestProfiles:
    def test_keep_the_named_columns_and_no_other(self) -> None:
        row = {"user_id": 1, "name": "Anna", "street": "Long 1", "age": 24, "city": "Gdynia"}
        assert parse_user(row, ["age", "weight"]) == User("1", attributes={"age": 24})
        assert parse_user(row) == User("1")

    @pytest.mark.parametrize("value", ["M", 24, -0.5, True, ["a", "b"], []])
    def test_keep_texts_numbers_truth_values_and_lists(self, value: object) -> None:
        assert parse_user({"user_id": 1, "x": value}, ["x"]).attributes == {"x": value}

    @pytest.mark.parametrize(
        "value", [None, float("nan"), float("inf"), 10**400, {"a": 1}, ["a", 1], [["a"]]]
    )
    def test_do_without_what_no_feature_can_read(self, value: object) -> None:
        assert parse_user({"user_id": 1, "x": value}, ["x"]) == User("1")

    def test_have_equal_hashes_where_they_are_equal(self) -> None:
        assert hash(User("1", attributes={"a": ["b"]})) == hash(User("1", attributes={"a": ["b"]}))

    def test_attributes_come_back_from_json_as_they_were(self) -> None:
        attributes: dict[str, Attribute] = {
            "text": "Łódź \ud800",
            "number": 0.1,
            "truth": True,
            "list": ["a"],
        }
        assert attributes_from_json(attributes_to_json(attributes)) == attributes
        assert attributes_to_json({}) is None
        assert attributes_from_json(None) == {}

    def test_columns_are_the_schemas_whatever_the_users_have(self) -> None:
        users = [User("1", ("funk",), premium=True), User("2", attributes={"age": 24, "more": 1})]
        assert user_columns(users, parse_schema(OWN)) == {
            "favourite_genres": [("funk",), ()],
            "premium": [True, False],
            "age": [None, 24],
            "moods_now": [None, None],
        }

    def test_become_features(self) -> None:
        schema = parse_schema(OWN)
        users = [
            User("1", attributes={"age": 20, "moods_now": ["calm"]}),
            User("2", premium=True, attributes={"age": 40, "moods_now": ["calm", "loud"]}),
            User("3"),
        ]
        encoder = fit_encoder(schema, {}, user_columns(users, schema))
        vectors = encoder.encode_users(user_columns([*users, User("new")], schema))
        assert vectors[:, 0].tolist() == [-1, 1, 0, 0]  # age
        assert vectors[:, 2:].tolist() == [[1, 0], [1, 1], [0, 0], [0, 0]]  # calm, loud


class TestFolderWithProfiles:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        users = [
            {"user_id": 1, "favourite_genres": ["funk"], "age": 24, "name": "Anna"},
            {"user_id": 2, "age": {"years": 7}, "moods_now": ["calm"]},
        ]
        event = {"session_id": 1, "timestamp": 0, "user_id": 1, "track_id": "a"}
        return write(
            tmp_path / "data",
            tracks__jsonl='{"id": "a"}',
            users__jsonl="\n".join(map(json.dumps, users)),
            sessions__jsonl=json.dumps(event | {"event_type": "PLAY"}),
        )

    def profiles(self, workspace: Path) -> Mapping[str, User]:
        with connect(workspace, threads=1) as connection:
            return read_users(connection)

    def test_keeps_what_its_own_schema_reads(self, folder: Path, tmp_path: Path) -> None:
        write(folder, schema__toml=OWN)
        summary = ingest(folder, tmp_path / "workspace")
        assert self.profiles(tmp_path / "workspace") == {
            "1": User("1", ("funk",), attributes={"age": 24}),
            "2": User("2", attributes={"moods_now": ["calm"]}),
        }
        assert summary.files["users"].warnings == {
            "age missing or unusable": 1,
            "moods_now missing or unusable": 1,
        }

    def test_keeps_what_another_schema_reads_where_one_is_named(
        self, folder: Path, tmp_path: Path
    ) -> None:
        schema = write(tmp_path / "other", schema__toml=OWN) / "schema.toml"
        ingest(folder, tmp_path / "workspace", schema=schema)
        assert self.profiles(tmp_path / "workspace")["1"].attributes == {"age": 24}

    def test_keeps_nothing_more_without_a_schema(self, folder: Path, tmp_path: Path) -> None:
        ingest(folder, tmp_path / "workspace")
        assert self.profiles(tmp_path / "workspace") == {"1": User("1", ("funk",)), "2": User("2")}

    def test_a_broken_schema_is_named(self, folder: Path, tmp_path: Path) -> None:
        write(folder, schema__toml="[[user]]\nkind = 'numeric'")
        with pytest.raises(InvalidData, match=r"schema\.toml: a \[\[user\]\] has no name"):
            ingest(folder, tmp_path / "workspace")


INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
ITEM = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
USER = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
T = 1_000_000_000


def films(folder: Path, *ratings: tuple[object, ...]) -> Path:
    lines = ("\t".join(map(str, rating)) + "\n" for rating in ratings)
    return write(
        folder,
        small__inter=INTER + "".join(lines),
        small__item=ITEM + "1\tA Film\t1995\tDrama War\n2\tNo One's\tunkonwn\tunknown\n3\tV\tV\t\n",
        small__user=USER + "7\t24\tM\twriter\t12345\n8\t\tF\tother\t\n",
    )


class TestMovieLens:
    @pytest.fixture
    def opened(self, tmp_path: Path) -> OpenedData:
        source = films(tmp_path / "films", (7, 1, 4, T), (7, 2, 3, T + 60), (8, 1, 5, T))
        return open_data(source, tmp_path / "workspace", split="temporal")

    def test_becomes_tracks_and_profiles(self, opened: OpenedData, tmp_path: Path) -> None:
        tracks = rows(tmp_path / "workspace", "tracks")
        assert [(t["id"], t["name"], t["release_year"], t["genres"]) for t in tracks] == [
            ("1", "A Film", 1995, ["Drama", "War"]),
            ("2", "No One's", None, []),
            ("3", "V", None, []),
        ]
        with connect(tmp_path / "workspace", threads=1) as connection:
            assert read_users(connection) == {
                "7": User("7", attributes={"age": 24, "gender": "M", "occupation": ["writer"]}),
                "8": User("8", attributes={"gender": "F", "occupation": ["other"]}),
            }
        assert opened.summary.folder == str(tmp_path / "films")
        assert opened.cutoff is None

    def test_its_schema_fits(self, opened: OpenedData, tmp_path: Path) -> None:
        with connect(tmp_path / "workspace", threads=1) as connection:
            encoded = encode_catalogue(
                connection, load_schema(opened.schema), Popularity(connection, T * 2000)
            )
        assert sorted(encoded.catalogue.genres) == ["Drama", "War"]
        assert (encoded.encoder.track_width, encoded.encoder.user_width) == (3, 5)

    def test_a_rating_of_four_is_a_completed_play(self, tmp_path: Path) -> None:
        stars = [(user, item, 1 + (3 * user + item) % 5) for user in range(9) for item in range(40)]
        # Everybody rates all within three seconds, as it happens there.
        ratings = [(*rated, T + place % 3) for place, rated in enumerate(stars)]
        open_data(films(tmp_path / "films", *ratings), tmp_path / "workspace", split="temporal")
        plays = rows(tmp_path / "workspace", "plays")
        found = {(int(p["user_id"]), int(p["track_id"])): p["completed"] for p in plays}
        assert found == {(user, item): rating >= 4 for user, item, rating in stars}

    def test_ratings_of_one_second_stay_in_order_however_many(self, tmp_path: Path) -> None:
        ratings = [(7, item, 1, T) for item in range(700)] + [(7, 700, 5, T + 1)]
        open_data(films(tmp_path / "films", *ratings), tmp_path / "workspace", split="temporal")
        plays = rows(tmp_path / "workspace", "plays")
        assert [int(play["track_id"]) for play in plays] == list(range(701))
        assert [play["completed"] for play in plays] == [False] * 700 + [True]

    def test_a_session_ends_with_half_an_hour_of_silence(self, tmp_path: Path) -> None:
        times = [0, 1_800, 3_601, 3_602]
        ratings = [(user, 1 + i, 4, T + t) for i, t in enumerate(times) for user in (7, 8)]
        open_data(films(tmp_path / "films", *ratings), tmp_path / "workspace", split="temporal")
        events = rows(tmp_path / "workspace", "events")
        assert [event["session_id"] for event in events] == list("11223344")

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            ((7, 1, "good", T), "event_type missing"),
            ((7, 1, "nan", T), "event_type missing"),
            ((7, 1, 4, "1997-09-20"), "event_type missing"),
            ((7, 1, 4, "-1"), "timestamp not a time (ISO 8601 text or epoch milliseconds)"),
            ((7, 1, 4, 1e300), "event_type missing"),
            ((7, 1, 4), "timestamp missing"),
            ((7,), "timestamp missing"),
            (("", 1, 4, T), "user_id not an id"),
            ((7, "x" * 65, 4, T), "track_id not an id"),
        ],
    )
    def test_a_row_that_cannot_be_used_is_put_aside(
        self, tmp_path: Path, row: tuple[object, ...], reason: str
    ) -> None:
        source = films(tmp_path / "films", (7, 1, 4, T), row)
        summary = open_data(source, tmp_path / "workspace", split="temporal").summary
        assert (summary.plays, summary.files["sessions"].quarantined) == (1, 1)
        assert reason in summary.files["sessions"].reasons

    def test_what_is_missing_is_named(self, tmp_path: Path) -> None:
        source = films(tmp_path / "films")
        write(source, small__user="user:token\n")
        with pytest.raises(InvalidData, match=r"small\.user: .* no column 'user_id'"):
            convert_movielens(source, tmp_path / "data")
        (source / "small.item").unlink()
        with pytest.raises(InvalidData, match=r"holds 0 files \*\.item"):
            convert_movielens(source, tmp_path / "data")
        assert [path.name for path in tmp_path.iterdir()] == ["films"]

    def test_the_same_data_give_the_same_bytes(self, tmp_path: Path) -> None:
        source = films(tmp_path / "films", (7, 1, 4, T), (8, 2, 1, T))
        for name in ("one", "two"):
            convert_movielens(source, tmp_path / name)
        one, two = (
            {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
            for name in ("one", "two")
        )
        assert one == two
        assert sorted(one) == [
            "schema.toml",
            "sessions.jsonl.gz",
            "tracks.jsonl.gz",
            "users.jsonl.gz",
        ]

    def test_has_no_given_split(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidData, match=r"no given split: .* neither train\.txt and"):
            open_data(films(tmp_path / "films"), tmp_path / "workspace", split="given")


class TestMovieLensCommand:
    @pytest.fixture
    def wheel(self, tmp_path: Path) -> Path:
        source = films(tmp_path / "films", (7, 1, 4, T), (8, 2, 1, T))
        path = tmp_path / "recbole.whl"
        with ZipFile(path, "w") as archive:
            for file in source.iterdir():
                inside = f"recbole/dataset_example/ml-100k/ml-100k{file.suffix}"
                archive.writestr(inside, file.read_bytes())
        return path

    @pytest.mark.parametrize("source", ["recbole.whl", "films"])
    def test_writes_a_data_folder(self, wheel: Path, tmp_path: Path, source: str) -> None:
        result = run("data", "movielens", tmp_path / "data", "--source", tmp_path / source)
        assert "2 ratings of 2 users, 3 films" in result.stdout
        summary = check(tmp_path / "data")
        assert summary.events_by_type == {"PLAY": 2, "SKIP": 1}

    def test_touches_nothing_that_is_there(self, wheel: Path) -> None:
        result = run("data", "movielens", wheel.parent, "--source", wheel)
        assert result.exit_code == 1
        assert "is not an empty folder" in result.stderr

    def test_says_in_one_line_what_a_source_lacks(self, wheel: Path, tmp_path: Path) -> None:
        with ZipFile(tmp_path / "other.whl", "w") as archive:
            archive.writestr("other/x", "")
        (tmp_path / "no.whl").write_text("no wheel")
        for source, words in (
            ("other.whl", "does not hold MovieLens-100k"),
            ("no.whl", "is no wheel"),
            ("nowhere.whl", "No such file"),
        ):
            result = run("data", "movielens", tmp_path / "data", "--source", tmp_path / source)
            assert result.exit_code == 1
            assert re.fullmatch(rf"segue: .*{words}.*\n", result.stderr)

    def test_says_in_one_line_that_nothing_could_be_downloaded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        result = run("data", "movielens", tmp_path / "data")
        assert result.exit_code == 1
        assert re.fullmatch(r"segue: pip could not download recbole.*--source\n", result.stderr)


Lists = Callable[..., Summary]


class TestGivenSplit:
    @pytest.fixture
    def read(self, tmp_path: Path) -> Lists:
        """Reads the two lists into a workspace."""

        def read(train: str, test: str, names: tuple[str, str] = ("train", "test")) -> Summary:
            files = {f"{name}__txt": text for name, text in zip(names, (train, test), strict=True)}
            folder = write(tmp_path / "data", **files)
            opened = open_data(folder, tmp_path / "workspace", split="given")
            assert opened.cutoff == CUTOFF
            assert load_schema(opened.schema).name == "plain"
            return opened.summary

        return read

    @pytest.fixture
    def workspace(self, tmp_path: Path) -> Path:
        return tmp_path / "workspace"

    def plays(self, workspace: Path) -> list[tuple[str, str, int]]:
        """User, item, and the time after the cut-off; all of them completed."""
        found = rows(workspace, "plays")
        assert all(play["completed"] and not play["liked"] for play in found)
        return [(play["user_id"], play["track_id"], play["time"] - CUTOFF) for play in found]

    @pytest.mark.parametrize(
        ("train", "test"),
        [
            ("0 10 11\n1 11\n2\n", "0 12\r\n"),
            ("0\t10\n0\t11\n1\t11\n", "0\t12\r\n"),
            ("0,10\n0, 11\n1,11", "0,12,1\n\n"),
            ("0\t10\t1\n0\t11\t0.3\n1\t11\t1.9", "0,12"),
        ],
    )
    def test_both_forms_say_who_played_what(
        self, read: Lists, workspace: Path, train: str, test: str
    ) -> None:
        summary = read(train, test)
        assert self.plays(workspace) == [
            ("0", "10", -1),
            ("0", "11", -1),
            ("0", "12", 0),
            ("1", "11", -1),
        ]
        assert rows(workspace, "tracks") == [{"id": "10"}, {"id": "11"}, {"id": "12"}]
        assert rows(workspace, "users") == []
        assert (summary.files["train"].kept, summary.files["test"].kept) == (3, 1)

    @pytest.mark.parametrize(
        ("count", "plays"),
        [("0.5", 1), ("1", 1), ("1.99", 1), ("2", 2), ("3.9", 2), ("8", 4), ("3.5e+05", 19)],
    )
    def test_a_count_is_as_many_plays_as_its_logarithm(
        self, read: Lists, workspace: Path, count: str, plays: int
    ) -> None:
        read(f"u\ta\t{count}", "u\tb\t1", names=("data1", "test1"))
        assert self.plays(workspace) == [("u", "a", -1)] * plays + [("u", "b", 0)]

    def test_events_are_those_that_the_plays_follow_from(
        self, read: Lists, workspace: Path
    ) -> None:
        read("u,a,9\nu,b,1\nv,a,2", "u,c,5")
        with connect(workspace, threads=1) as connection:
            assert query(connection, "plays.sql").to_pylist() == rows(workspace, "plays")

    def test_the_first_list_is_known_at_the_cutoff_and_the_second_comes_of_it(
        self, read: Lists, workspace: Path
    ) -> None:
        read("both 1 2\nearly 1", "both 2 3\nlate 1")
        with connect(workspace, threads=1) as connection:
            schema = load_schema(folder_schema(workspace.parent / "data"))
            encoded = encode_catalogue(connection, schema, Popularity(connection, CUTOFF))
            users, plays = read_plays(connection, encoded.catalogue)
        known, later = plays.known_at(CUTOFF), plays.completed_in(CUTOFF, CUTOFF + DAY)
        found = [
            list(zip(users[user].tolist(), encoded.catalogue.track_ids(track), strict=True))
            for user, track in ((known.user, known.track), later)
        ]
        assert found == [
            [("both", "1"), ("both", "2"), ("early", "1")],
            [("both", "2"), ("both", "3"), ("late", "1")],
        ]

    def test_a_repeated_pair_is_there_once_by_its_greatest_count(
        self, read: Lists, workspace: Path
    ) -> None:
        summary = read("u,a,1\nu,a,5\nu,a,2\nu,b", "u,a,1\nu,a,1")
        assert self.plays(workspace) == [("u", "a", -1)] * 3 + [("u", "b", -1), ("u", "a", 0)]
        assert (summary.files["train"].repeats, summary.files["test"].repeats) == (2, 1)
        assert (summary.plays, summary.played_pairs) == (5, 2)

    def test_items_repeated_in_a_line_are_there_once(self, read: Lists, workspace: Path) -> None:
        assert read("u a b a", "u c").files["train"].repeats == 1
        assert self.plays(workspace) == [("u", "a", -1), ("u", "b", -1), ("u", "c", 0)]

    def test_broken_lines_are_put_aside(self, read: Lists, workspace: Path) -> None:
        train = [
            "u\ta\t2",
            "u",
            "u\ta\t1\t5",
            "\tb\t1",
            "u\t" + "x" * 65,
            "u\t\tmany",
            "u\tb\t0",
            "u\tb\t-3",
            "u\tb\tinf",
        ]
        summary = read("\n".join(train), "u v w\n\nu " + "y" * 65)
        columns, count = "neither two nor three columns", "count not a number above zero"
        assert quarantined(workspace) == [
            ("train.txt", 2, [columns]),
            ("train.txt", 3, [columns]),
            ("train.txt", 4, ["user not an id"]),
            ("train.txt", 5, ["item not an id"]),
            ("train.txt", 6, ["item not an id", count]),
            ("train.txt", 7, [count]),
            ("train.txt", 8, [count]),
            ("train.txt", 9, [count]),
            ("test.txt", 3, ["item not an id"]),
        ]
        train_file, test_file = summary.files["train"], summary.files["test"]
        assert (train_file.read, train_file.kept, train_file.quarantined) == (9, 1, 8)
        assert (test_file.read, test_file.kept, test_file.quarantined) == (3, 2, 1)

    def test_bytes_that_are_no_text_are_put_aside(self, tmp_path: Path) -> None:
        write(tmp_path, test__txt="u b")
        (tmp_path / "train.txt").write_bytes(b"u a\nu \xff\n\xc2\xa0\n")
        open_data(tmp_path, tmp_path / "workspace", split="given")
        assert quarantined(tmp_path / "workspace") == [
            ("train.txt", 2, ["not UTF-8"]),
            ("train.txt", 3, ["user not an id"]),
        ]

    @pytest.mark.parametrize("train", ["", "\n", "u", "\t\n"])
    def test_lists_with_nothing_to_learn_from_are_refused(self, read: Lists, train: str) -> None:
        with pytest.raises(InvalidData, match=r"train\.txt: no usable pair"):
            read(train, "u a")

    def test_a_failed_run_leaves_the_old_workspace(self, read: Lists, workspace: Path) -> None:
        read("u a", "u b")
        before = {path.name: path.read_bytes() for path in workspace.iterdir()}
        with pytest.raises(InvalidData):
            read("", "u b")
        assert {path.name: path.read_bytes() for path in workspace.iterdir()} == before

    def test_has_no_times_to_split_by(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "data", train__txt="u a", test__txt="u b")
        assert is_given(folder)
        with pytest.raises(InvalidData, match="no times to split by"):
            open_data(folder, tmp_path / "workspace", split="temporal")

    def test_progress_ends_when_every_byte_is_read(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "data", train__txt="u a\n", test__txt="u b c\n")
        reports: list[tuple[int, int]] = []
        open_data(
            folder,
            tmp_path / "workspace",
            split="given",
            progress=lambda *report: reports.append(report),
        )
        assert reports[-1] == (10, 10)

    def test_models_cope_without_a_single_feature(self, read: Lists, workspace: Path) -> None:
        read("u 1 2\nv 1", "u 3")
        schema = load_schema(folder_schema(workspace.parent / "data"))
        with connect(workspace, threads=1) as connection:
            encoded = encode_catalogue(connection, schema, Popularity(connection, CUTOFF))
        assert encoded.features.shape == (3, 0)
        assert encoded.catalogue.popularity.tolist() == [1.0, 0.5, 0.0]
        profiles = encoded.encoder.encode_users(user_columns([User("u"), User("v")], schema))
        assert profiles.shape == (2, 0)
        played = np.array([0, 1], np.int32)
        heard = History(
            played, np.ones(2, np.bool_), np.zeros(2, np.bool_), np.zeros(2, np.float32)
        )
        vector = encode_listener(profiles[0], heard, encoded.features)
        assert len(vector) == listener_width(0, 0)
        assert np.isfinite(vector).all()


class TestCheck:
    def test_says_what_lists_hold(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "data", train__txt="u a b\nv a\n", test__txt="u\t c\t1\nx\n")
        summary = check(folder, quarantine=tmp_path / "quarantine.jsonl")
        text = drawn(summary)
        assert re.search(r"train\.txt\W+3\W+3\W+0\W+0", text)
        assert re.search(r"neither two nor three columns\W+1", text)
        assert "no artists" not in text
        assert len((tmp_path / "quarantine.jsonl").read_bytes().splitlines()) == 1

    def test_says_what_atomic_files_hold(self, tmp_path: Path) -> None:
        text = drawn(check(films(tmp_path / "films", (7, 1, 4, T), (7, 2, 1, T))))
        assert re.search(r"SKIP\W+1", text)
        assert "films" in text

    def test_the_command_reads_every_form(self, tmp_path: Path) -> None:
        write(tmp_path / "lists", train__txt="u a", test__txt="u b")
        films(tmp_path / "films", (7, 1, 4, T), (7, 2, 4, T))
        for name in ("lists", "films"):
            result = run("data", "check", tmp_path / name, "--json", "-")
            assert json.loads(result.stdout)["plays"] == 2
