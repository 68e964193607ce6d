"""Data folders: what is read, what is put aside and why, and what a workspace holds then."""

import gzip
import io
import json
import zlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from segue.domain.errors import InvalidData
from training.data import check, connect, ingest, query, render
from training.data.sources import MAX_LINE, find_sources

Rows = list[dict[str, Any]]
Lines = list[bytes]

TRACK = {"id": "t1", "name": "One", "id_artist": "a1", "tempo": 90.5, "key": 7}
ARTIST = {"id": "a1", "name": "Somebody", "genres": ["funk", "rock"]}
USER = {"user_id": 101, "favourite_genres": ["funk"], "premium_user": True}
EVENT = {
    "session_id": 1,
    "timestamp": "2022-09-01T00:00:00",
    "user_id": 101,
    "track_id": "t1",
    "event_type": "play",
}
MIDNIGHT = 1_661_990_400_000
NOON = MIDNIGHT + 43_200_000


def lines(*rows: object) -> bytes:
    return b"".join(
        (row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows
    )


class Folder:
    """A data folder with one row in each file, and ways to change it."""

    def __init__(self, path: Path) -> None:
        self.path = path / "data"
        self.workspace = path / "workspace"
        self.quarantine = path / "quarantine.jsonl"
        self.path.mkdir()
        self.write("tracks", TRACK)
        self.write("artists", ARTIST)
        self.write("users", USER)
        self.write("sessions", EVENT)

    def write(self, table: str, *rows: object) -> None:
        (self.path / f"{table}.jsonl").write_bytes(lines(*rows))

    def replace(self, table: str, suffix: str, content: bytes) -> Path:
        """Give the table another form."""
        (self.path / f"{table}.jsonl").unlink()
        path = self.path / f"{table}{suffix}"
        path.write_bytes(content)
        return path

    def quarantined(self) -> Rows:
        check(self.path, quarantine=self.quarantine)
        return [json.loads(line) for line in self.quarantine.read_bytes().splitlines()]

    def reasons(self) -> list[tuple[str, int, list[str]]]:
        return [(row["file"], row["line"], row["reasons"]) for row in self.quarantined()]

    def table(self, name: str) -> Rows:
        ingest(self.path, self.workspace)
        rows: Rows = pq.read_table(self.workspace / f"{name}.parquet").to_pylist()
        return rows


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


class TestWorkspace:
    def test_events_come_in_the_order_of_users_and_time(self, folder: Folder) -> None:
        advert = EVENT | {
            "session_id": 2,
            "user_id": 100,
            "track_id": None,
            "event_type": "advertisment",
        }
        folder.write("sessions", EVENT | {"timestamp": NOON}, EVENT, advert)
        assert [tuple(row.values()) for row in folder.table("events")] == [
            ("100", "2", MIDNIGHT, "ADVERTISEMENT", None),
            ("101", "1", MIDNIGHT, "PLAY", "t1"),
            ("101", "1", NOON, "PLAY", "t1"),
        ]

    def test_users_keep_what_is_of_use(self, folder: Folder) -> None:
        folder.write("users", USER | {"name": "Anna", "city": "Gdynia"}, {"user_id": "102"})
        assert folder.table("users") == [
            {"user_id": "101", "favourite_genres": ["funk"], "premium": True, "attributes": None},
            {"user_id": "102", "favourite_genres": [], "premium": False, "attributes": None},
        ]

    def test_tracks_keep_every_column_and_learn_of_their_artists(self, folder: Folder) -> None:
        assert folder.table("tracks") == [
            TRACK | {"artist_name": "Somebody", "artist_genres": ["funk", "rock"]}
        ]

    def test_tracks_of_unknown_artists_keep_what_they_say_themselves(self, folder: Folder) -> None:
        folder.write(
            "tracks", {"id": 7, "id_artist": -1, "artist_genres": ["drama"], "cast": ["x"]}
        )
        assert folder.table("tracks") == [
            {
                "id": "7",
                "id_artist": None,
                "artist_genres": ["drama"],
                "cast": ["x"],
                "artist_name": None,
            }
        ]

    def test_views_and_queries_answer_from_a_workspace(self, folder: Folder) -> None:
        ingest(folder.path, folder.workspace)
        with connect(folder.workspace, threads=1) as connection:
            counts = [
                connection.execute(f"SELECT COUNT(*) FROM {view}").fetchall()
                for view in ("events", "plays", "users", "tracks")
            ]
            plays = query(connection, "plays.sql").to_pylist()
        assert counts == [[(1,)]] * 4
        assert [(play["track_id"], play["completed"]) for play in plays] == [("t1", True)]

    def test_paths_may_have_any_characters(self, tmp_path: Path) -> None:
        odd = tmp_path / "it's [a] *folder?"
        odd.mkdir()
        folder = Folder(odd)
        assert len(folder.table("events")) == 1
        with connect(folder.workspace) as connection:
            assert connection.execute("SELECT id FROM tracks").fetchall() == [("t1",)]

    def test_the_same_data_give_the_same_files(self, folder: Folder) -> None:
        folder.write("sessions", EVENT, EVENT | {"timestamp": NOON})
        first = folder.table("events"), folder.table("plays")
        folder.write("sessions", EVENT | {"timestamp": NOON}, EVENT)
        assert (folder.table("events"), folder.table("plays")) == first

    def test_a_summary_is_kept_with_the_files(self, folder: Folder) -> None:
        summary = ingest(folder.path, folder.workspace)
        kept = json.loads((folder.workspace / "summary.json").read_text())
        assert kept == json.loads(summary.to_json())
        assert (kept["events"], kept["completed_share"], kept["density"]) == (1, 1.0, 1.0)

    def test_nothing_but_the_results_is_left_behind(self, folder: Folder) -> None:
        ingest(folder.path, folder.workspace)
        assert sorted(path.name for path in folder.workspace.iterdir()) == [
            "events.parquet",
            "plays.parquet",
            "quarantine.jsonl",
            "summary.json",
            "tracks.parquet",
            "users.parquet",
        ]


class TestInterruptions:
    def test_a_failed_run_leaves_the_old_workspace(self, folder: Folder) -> None:
        ingest(folder.path, folder.workspace)
        before = {path.name: path.read_bytes() for path in folder.workspace.iterdir()}
        folder.write("sessions", {})
        with pytest.raises(InvalidData):
            ingest(folder.path, folder.workspace)
        assert {path.name: path.read_bytes() for path in folder.workspace.iterdir()} == before

    def test_what_a_killed_run_left_is_cleared_away(self, folder: Folder) -> None:
        rubbish = folder.workspace / ".partial" / "events.parquet"
        rubbish.parent.mkdir(parents=True)
        rubbish.write_bytes(b"half")
        ingest(folder.path, folder.workspace)
        assert not rubbish.parent.exists()

    def test_a_change_of_files_cut_short_is_noticed(
        self, folder: Folder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ingest(folder.path, folder.workspace)
        replace = Path.replace

        def fail_at_users(path: Path, target: Path) -> Path:
            if path.name == "users.parquet":
                raise KeyboardInterrupt
            return replace(path, target)

        monkeypatch.setattr(Path, "replace", fail_at_users)
        with pytest.raises(KeyboardInterrupt):
            ingest(folder.path, folder.workspace)
        with pytest.raises(InvalidData, match="no finished workspace"):
            connect(folder.workspace)

    def test_an_empty_folder_is_no_workspace(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidData, match="no finished workspace"):
            connect(tmp_path)


class TestFolders:
    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidData, match=r"nowhere is not a folder"):
            check(tmp_path / "nowhere")

    def test_a_folder_without_data_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidData, match="holds none of tracks, artists, users, sessions"):
            check(tmp_path)

    def test_a_table_in_two_forms_is_refused(self, folder: Folder) -> None:
        (folder.path / "users.jsonl.gz").write_bytes(gzip.compress(lines(USER)))
        with pytest.raises(InvalidData, match=r"users\.jsonl and users\.jsonl\.gz: keep one"):
            check(folder.path)

    @pytest.mark.parametrize("table", ["tracks", "sessions"])
    def test_training_needs_tracks_and_sessions(self, folder: Folder, table: str) -> None:
        (folder.path / f"{table}.jsonl").unlink()
        with pytest.raises(InvalidData, match=f"holds no {table}"):
            ingest(folder.path, folder.workspace)
        assert check(folder.path).files[table].file is None

    def test_an_import_needs_no_catalogue(self, folder: Folder) -> None:
        (folder.path / "tracks.jsonl").unlink()
        summary = ingest(folder.path, folder.workspace, needs=["sessions"])
        assert (summary.events, summary.tracks) == (1, 0)

    @pytest.mark.parametrize("table", ["artists", "users"])
    def test_training_goes_without_artists_and_users(self, folder: Folder, table: str) -> None:
        (folder.path / f"{table}.jsonl").unlink()
        assert ingest(folder.path, folder.workspace).events == 1

    def test_a_file_without_a_usable_row_is_refused_with_its_commonest_fault(
        self, folder: Folder
    ) -> None:
        folder.write("sessions", {**EVENT, "user_id": None}, {**EVENT, "user_id": None}, {})
        with pytest.raises(InvalidData, match=r"sessions\.jsonl: 3 rows, none usable; .*user_id"):
            ingest(folder.path, folder.workspace)

    def test_empty_files_are_said_to_be_empty(self, folder: Folder) -> None:
        for table in ("tracks", "artists", "users", "sessions"):
            folder.write(table)
        summary = check(folder.path)
        assert [file.read for file in summary.files.values()] == [0, 0, 0, 0]
        assert (summary.first_event, summary.plays, summary.density) == (None, 0, 0.0)
        with pytest.raises(InvalidData, match="0 rows, none usable"):
            ingest(folder.path, folder.workspace)

    def test_a_file_that_cannot_be_opened_is_named(
        self, folder: Folder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: Path, mode: str) -> io.BufferedReader:
            raise PermissionError(13, "Permission denied", str(path), mode)

        monkeypatch.setattr("training.data.sources.Path.open", refuse)
        with pytest.raises(InvalidData, match=r"artists\.jsonl: Permission denied"):
            list(find_sources(folder.path)["artists"].rows())


class TestForms:
    @pytest.mark.parametrize(
        ("suffix", "pack"),
        [
            (".jsonl.gz", gzip.compress),
            (".jsonl.gz", lambda content: b"".join(map(gzip.compress, content.splitlines(True)))),
            (".jsonl", lambda content: content.replace(b"\n", b"\r\n")),
            (".jsonl", lambda content: content.replace(b"\n", b"\n\n \n")),
            (".jsonl", lambda content: content.rstrip(b"\n")),
            (".jsonl", lambda content: b"\xef\xbb\xbf" + content),
        ],
        ids=["gzip", "gzip members", "CRLF", "blank lines", "no last newline", "byte-order mark"],
    )
    def test_every_form_of_json_lines_reads_the_same(
        self, folder: Folder, suffix: str, pack: Callable[[bytes], bytes]
    ) -> None:
        folder.replace("sessions", suffix, pack(lines(EVENT, EVENT | {"timestamp": NOON})))
        assert [row["time"] for row in folder.table("events")] == [MIDNIGHT, NOON]
        assert folder.quarantined() == []

    @pytest.mark.parametrize(
        "timestamps",
        [
            pa.array(["2022-09-01T00:00:00", "2022-09-01T12:00:00"]),
            pa.array([MIDNIGHT, NOON]),
            pa.array([MIDNIGHT, NOON], pa.float64()),
            pa.array([datetime(2022, 9, 1), datetime(2022, 9, 1, 12)], pa.timestamp("ns")),  # noqa: DTZ001
            pa.array(
                [datetime(2022, 9, 1, tzinfo=UTC), datetime(2022, 9, 1, 12, tzinfo=UTC)],
                pa.timestamp("us", "Europe/Warsaw"),
            ),
        ],
        ids=["text", "milliseconds", "floats", "timestamps", "timestamps with a zone"],
    )
    def test_parquet_reads_the_same_however_it_holds_times(
        self, folder: Folder, timestamps: pa.Array
    ) -> None:
        table = {name: [value, value] for name, value in EVENT.items()} | {"timestamp": timestamps}
        path = folder.replace("sessions", ".parquet", b"")
        pq.write_table(pa.table(table), path)
        assert [row["time"] for row in folder.table("events")] == [MIDNIGHT, NOON]

    def test_numbers_that_became_floats_beside_a_gap_are_ids_again(self, folder: Folder) -> None:
        table = {name: [value, value] for name, value in EVENT.items()}
        ids = table | {"user_id": pa.array([101.0, None]), "session_id": pa.array([1.0, 2.0])}
        pq.write_table(pa.table(ids), folder.replace("sessions", ".parquet", b""))
        assert [row["user_id"] for row in folder.table("events")] == ["101"]
        folder.path.joinpath("sessions.parquet").unlink()
        folder.write("sessions", EVENT | {"user_id": 101.0}, EVENT | {"user_id": 101.5})
        assert [row["user_id"] for row in folder.table("events")] == ["101"]
        assert folder.reasons() == [("sessions.jsonl", 2, ["user_id not an id"])]

    def test_a_parquet_catalogue_keeps_its_columns(self, folder: Folder) -> None:
        tracks = pa.table({"id": ["t1"], "released": [date(2011, 1, 2)], "tags": [["a", "b"]]})
        pq.write_table(tracks, folder.replace("tracks", ".parquet", b""))
        row = folder.table("tracks")[0]
        assert (row["released"], row["tags"]) == ("2011-01-02", ["a", "b"])

    def test_a_row_of_parquet_is_put_aside_by_its_number(self, folder: Folder) -> None:
        table = {name: [value, value] for name, value in EVENT.items()} | {"user_id": [101, None]}
        pq.write_table(pa.table(table), folder.replace("sessions", ".parquet", b""))
        [row] = folder.quarantined()
        assert (row["file"], row["line"]) == ("sessions.parquet", 2)
        assert json.loads(row["record"]) == {**EVENT, "user_id": None}


class TestQuarantine:
    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b'{"user_id": 101', "not JSON"),
            (b'{"user_id": NaN}', "not JSON"),
            (b"[" * 10_000, "not JSON"),
            (b"[1, 2]", "not a JSON object"),
            (b"null", "not a JSON object"),
            (b'{"user_id": "\xff"}', "not UTF-8"),
            (b'{"user_id": "' + b"x" * MAX_LINE + b'"}', f"longer than {MAX_LINE} bytes"),
            (b"x" * (3 * MAX_LINE), f"longer than {MAX_LINE} bytes"),
        ],
        ids=["cut", "NaN", "deep", "list", "null", "latin-1", "long", "very long"],
    )
    def test_a_line_that_holds_no_record_is_put_aside(
        self, folder: Folder, line: bytes, reason: str
    ) -> None:
        folder.write("sessions", EVENT, line, EVENT | {"timestamp": NOON})
        assert folder.reasons() == [("sessions.jsonl", 2, [reason])]
        assert check(folder.path).events == 2

    def test_the_record_is_kept_as_it_came(self, folder: Folder) -> None:
        odd = b'{"user_id":  null, "b": "\xc3\xa9",\t"b": 1}'
        folder.write("sessions", EVENT, odd, b"caf\xe9")
        assert [row["record"] for row in folder.quarantined()] == [odd.decode(), r"caf\xe9"]

    def test_a_row_counts_once_and_under_each_of_its_reasons(self, folder: Folder) -> None:
        folder.write("sessions", EVENT, EVENT | {"user_id": None, "event_type": None})
        file = check(folder.path).files["sessions"]
        assert (file.read, file.kept, file.quarantined) == (2, 1, 1)
        assert file.reasons == {"user_id missing": 1, "event_type missing": 1}

    def test_artists_tracks_and_users_without_a_usable_id_are_put_aside(
        self, folder: Folder
    ) -> None:
        for table, row in (("tracks", TRACK), ("artists", ARTIST)):
            folder.write(table, row, row | {"id": -1}, row | {"id": None})
        folder.write("users", USER, USER | {"user_id": -1}, {"id": 102})
        assert [reasons[0] for _, _, reasons in folder.reasons()] == [
            "id not an id",
            "id missing",
            "id not an id",
            "id missing",
            "user_id not an id",
            "user_id missing",
        ]

    def test_of_rows_with_one_id_the_first_is_kept(self, folder: Folder) -> None:
        folder.write("tracks", TRACK, TRACK | {"name": "Two"})
        folder.write("artists", ARTIST, ARTIST | {"name": "Else"})
        folder.write("users", USER, USER | {"user_id": "101", "premium_user": False})
        assert folder.reasons() == [
            ("artists.jsonl", 2, ["id repeated"]),
            ("tracks.jsonl", 2, ["id repeated"]),
            ("users.jsonl", 2, ["user_id repeated"]),
        ]
        assert [(row["name"], row["artist_name"]) for row in folder.table("tracks")] == [
            ("One", "Somebody")
        ]
        assert folder.table("users")[0]["premium"] is True

    def test_a_session_of_two_users_is_nobodys(self, folder: Folder) -> None:
        mine, theirs = EVENT | {"timestamp": NOON}, EVENT | {"user_id": 102}
        folder.write("sessions", theirs, EVENT | {"session_id": 2}, mine)
        reason = ["session_id shared by several users"]
        assert folder.reasons() == [("sessions.jsonl", 1, reason), ("sessions.jsonl", 3, reason)]
        assert [json.loads(row["record"]) for row in folder.quarantined()] == [theirs, mine]
        assert [row["session_id"] for row in folder.table("events")] == ["2"]

    def test_exact_repeats_of_events_are_counted_and_kept_once(self, folder: Folder) -> None:
        folder.write("sessions", EVENT, EVENT | {"timestamp": MIDNIGHT}, EVENT | {"user_id": "101"})
        file = check(folder.path).files["sessions"]
        assert (file.read, file.kept, file.repeats, file.quarantined) == (3, 1, 2, 0)

    def test_plays_of_unknown_tracks_are_counted_and_kept(self, folder: Folder) -> None:
        folder.write("sessions", EVENT, EVENT | {"track_id": "t9", "timestamp": NOON})
        summary = check(folder.path)
        assert (summary.plays, summary.unknown_plays) == (2, 1)

    def test_without_a_catalogue_no_play_is_called_unknown(self, folder: Folder) -> None:
        (folder.path / "tracks.jsonl").unlink()
        assert check(folder.path).unknown_plays is None

    @settings(
        deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        rows=st.lists(
            st.sampled_from(
                [
                    lines(EVENT),
                    lines(EVENT | {"session_id": 2}),
                    lines(EVENT | {"session_id": 2, "user_id": 102}),
                    lines(EVENT | {"user_id": None}),
                    b"\n",
                    b"{\n",
                    b"\xff\n",
                ]
            ),
            max_size=12,
        )
    )
    def test_every_row_is_kept_or_a_repeat_or_in_quarantine(
        self, folder: Folder, rows: Lines
    ) -> None:
        (folder.path / "sessions.jsonl").write_bytes(b"".join(rows))
        quarantined = folder.quarantined()
        file = check(folder.path).files["sessions"]
        assert file.read == sum(row != b"\n" for row in rows)
        assert file.read == file.kept + file.repeats + file.quarantined
        assert file.quarantined == len(quarantined)
        for row in quarantined:
            source = rows[row["line"] - 1].rstrip(b"\n")
            assert row["record"] == source.decode("utf-8", "backslashreplace")


class TestDamage:
    """What lies before the damage is read; the rest is one row in quarantine."""

    @pytest.fixture
    def packed(self, folder: Folder) -> bytes:
        many = [EVENT | {"timestamp": NOON + number * 7_919} for number in range(20_000)]
        (folder.path / "sessions.jsonl").unlink()
        return gzip.compress(lines(*many))

    @pytest.mark.parametrize("share", [0.5, 0.999])
    def test_a_gzip_file_cut_short(self, folder: Folder, packed: bytes, share: float) -> None:
        cut = packed[: int(len(packed) * share)]
        (folder.path / "sessions.jsonl.gz").write_bytes(cut)
        *whole, rest = zlib.decompressobj(31).decompress(cut).split(b"\n")
        [row] = folder.quarantined()
        assert (row["line"], row["reasons"]) == (len(whole) + 1, ["file damaged from here on"])
        assert row["record"] == rest.decode()
        assert ingest(folder.path, folder.workspace).events == len(whole)

    def test_a_gzip_file_with_flipped_bits(self, folder: Folder, packed: bytes) -> None:
        middle = len(packed) // 2
        broken = packed[:middle] + bytes(byte ^ 0xFF for byte in packed[middle:])
        (folder.path / "sessions.jsonl.gz").write_bytes(broken)
        file = check(folder.path).files["sessions"]
        assert file.reasons["file damaged from here on"] == 1
        assert file.kept > 1_000

    def test_a_file_that_is_only_called_gzip(self, folder: Folder) -> None:
        folder.replace("users", ".jsonl.gz", lines(USER))
        assert folder.reasons() == [("users.jsonl.gz", 1, ["file damaged from here on"])]

    def test_a_file_that_is_only_called_parquet(self, folder: Folder) -> None:
        folder.replace("users", ".parquet", lines(USER))
        assert folder.reasons() == [("users.parquet", 1, ["file damaged from here on"])]

    def test_a_parquet_file_with_a_hole(self, folder: Folder) -> None:
        many = [EVENT | {"timestamp": NOON + number} for number in range(5_000)]
        path = folder.replace("sessions", ".parquet", b"")
        pq.write_table(pa.Table.from_pylist(many), path, row_group_size=1_000)
        content = bytearray(path.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 4_000] = bytes(4_000)
        path.write_bytes(content)
        file = check(folder.path).files["sessions"]
        assert file.reasons["file damaged from here on"] == 1
        assert file.read == file.kept + file.quarantined


class TestColumns:
    def column(self, folder: Folder, *values: object) -> tuple[list[object], dict[str, int]]:
        """What becomes of a column of the catalogue with these values."""
        folder.write("tracks", *({"id": number, "x": value} for number, value in enumerate(values)))
        kept = [row["x"] for row in folder.table("tracks")]
        warnings = check(folder.path).files["tracks"].warnings
        return kept, {name: count for name, count in warnings.items() if name.startswith("x ")}

    @pytest.mark.parametrize(
        ("values", "kept", "warnings"),
        [
            ((1, 2), [1, 2], {}),
            ((1, 2.5), [1.0, 2.5], {}),
            ((1, None), [1, None], {"x missing": 1}),
            ((1, 2, "3"), [1, 2, None], {"x of another type": 1}),
            (("a", "b", 3), ["a", "b", None], {"x of another type": 1}),
            ((True, False, 1), [True, False, None], {"x of another type": 1}),
            ((["a"], [], "b"), [["a"], [], None], {"x of another type": 1}),
            ((1, 2**63), [1, None], {"x of another type": 1}),
            (({"a": 1}, [1]), [None, None], {"x of another type": 2}),
            ((None, None), [None, None], {"x missing": 2}),
            ((1, 2, 0.5, "a", "b"), [1.0, 2.0, 0.5, None, None], {"x of another type": 2}),
        ],
    )
    def test_a_column_has_the_type_of_most_of_its_values(
        self,
        folder: Folder,
        values: tuple[object, ...],
        kept: list[object],
        warnings: dict[str, int],
    ) -> None:
        assert self.column(folder, *values) == (kept, warnings)

    def test_numbers_that_are_none_are_missing(self, folder: Folder) -> None:
        tracks = pa.table({"id": ["a", "b", "c"], "x": [0.5, float("nan"), float("inf")]})
        pq.write_table(tracks, folder.replace("tracks", ".parquet", b""))
        assert [row["x"] for row in folder.table("tracks")] == [0.5, None, None]
        assert check(folder.path).files["tracks"].warnings["x of another type"] == 2

    def test_a_column_may_begin_late(self, folder: Folder) -> None:
        folder.write("tracks", {"id": 1}, {"id": 2, "x": 0.5})
        assert [row["x"] for row in folder.table("tracks")] == [None, 0.5]


class TestSummary:
    def test_it_says_what_was_heard(self, folder: Folder) -> None:
        def at(minute: int, kind: str, track: str | None = "t1", session: int = 1) -> object:
            changes = {"timestamp": NOON + minute * 60_000, "event_type": kind}
            return EVENT | changes | {"track_id": track, "session_id": session}

        folder.write("tracks", TRACK, TRACK | {"id": "t2"})
        folder.write(
            "sessions",
            at(0, "PLAY"),
            at(1, "SKIP"),
            at(2, "PLAY", "t2"),
            at(3, "LIKE", "t2"),
            at(4, "ADVERTISMENT", None),
            at(9, "PLAY", session=2),
        )
        summary = check(folder.path)
        assert summary.events_by_type == {"PLAY": 3, "ADVERTISEMENT": 1, "LIKE": 1, "SKIP": 1}
        assert (summary.users, summary.listeners, summary.sessions) == (1, 1, 2)
        assert (summary.tracks, summary.artists, summary.plays) == (2, 1, 3)
        assert summary.completed_share == pytest.approx(2 / 3)
        assert summary.liked_share == pytest.approx(1 / 3)
        assert (summary.first_event, summary.last_event) == (NOON, NOON + 9 * 60_000)
        assert (summary.longest_session_ms, summary.longest_session_events) == (4 * 60_000, 5)
        assert (summary.played_pairs, summary.density) == (2, 1.0)

    def test_progress_ends_when_every_byte_is_read(self, folder: Folder) -> None:
        steps: list[tuple[int, int]] = []
        check(folder.path, progress=lambda used, total: steps.append((used, total)))
        total = sum(path.stat().st_size for path in folder.path.iterdir())
        assert steps == sorted(steps)
        assert steps[-1] == (total, total)

    def test_it_is_drawn_with_its_faults(self, folder: Folder) -> None:
        folder.write("sessions", EVENT, EVENT | {"user_id": None})
        folder.write("tracks", TRACK | {"tempo": None})
        (folder.path / "users.jsonl").unlink()
        console = Console(file=io.StringIO(), width=100)
        console.print(render(check(folder.path)))
        text = console.file.getvalue()  # type: ignore[attr-defined]
        for part in ("user_id missing", "tempo missing", "no users", "2022-09-01T00:00:00.000Z"):
            assert part in text

    def test_a_clean_folder_is_drawn_without_faults(self, folder: Folder) -> None:
        console = Console(file=io.StringIO(), width=100)
        console.print(render(check(folder.path)))
        assert "Not used" not in console.file.getvalue()  # type: ignore[attr-defined]
