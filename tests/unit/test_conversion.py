"""Your data in: from what other services export to recommendations."""

import gzip
import json
import re
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from infra.cli import app
from segue.domain.errors import InvalidData, UnknownModel
from segue.domain.events import Event, EventType
from segue.domain.times import SECOND, format_time, parse_time
from segue.models.bundle import Bundle
from segue.models.registry import model_name
from tests.unit.conftest import World, load_function
from training.data import Conversion, connect, convert, ingest
from training.data.exports import FIELDS

ROOT = Path(__file__).parents[2]
DAY = "2024-03-01T"
MINUTE = 60 * SECOND
Rows = list[dict[str, Any]]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def rows(folder: Path, table: str) -> Rows:
    found: Rows = pq.read_table(folder / f"{table}.parquet").to_pylist()
    return found


def events(folder: Path) -> list[tuple[str, str, str]]:
    """Type, time of the day and track, in the order of the file."""
    return [
        (row["event_type"], format_time(row["timestamp"])[11:23], row["track_id"])
        for row in rows(folder, "sessions")
    ]


def put_aside(folder: Path) -> list[tuple[str, int, list[str]]]:
    lines = (folder / "quarantine.jsonl").read_text().splitlines()
    return [(row["file"], row["line"], row["reasons"]) for row in map(json.loads, lines)]


def streamed(ts: str, seconds: float, track: str | None = "a", **more: object) -> dict[str, Any]:
    """An entry of Spotify's extended streaming history."""
    return {
        "ts": f"{DAY}{ts}Z",
        "ms_played": int(seconds * SECOND),
        "master_metadata_track_name": track and track.upper(),
        "master_metadata_album_artist_name": "An Artist",
        "master_metadata_album_album_name": "An Album",
        "spotify_track_uri": track and f"spotify:track:{track}",
        "reason_end": "trackdone",
        "skipped": False,
    } | more


def listen(minute: int, track: str = "Song", **more: object) -> dict[str, Any]:
    """A listen of ListenBrainz."""
    return {
        "listened_at": parse_time(f"{DAY}12:00:00Z") // SECOND + 60 * minute,
        "track_metadata": {"artist_name": "An Artist", "track_name": track, "additional_info": {}},
    } | more


Spotify = Callable[..., Conversion]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def spotify(tmp_path: Path, out: Path) -> Spotify:
    """Converts entries, anew each time."""

    def convert_entries(*entries: object) -> Conversion:
        folder = tmp_path / "export"
        folder.mkdir(exist_ok=True)
        (folder / "Streaming_History_Audio_2024_0.json").write_text(json.dumps(entries))
        shutil.rmtree(out, ignore_errors=True)
        return convert(folder, out)

    return convert_entries


class TestSpotify:
    def test_a_play_begins_its_length_before_its_end(self, spotify: Spotify, out: Path) -> None:
        spotify(streamed("12:03:00", 180))
        assert events(out) == [("PLAY", "12:00:00.000", "a")]

    @pytest.mark.parametrize(
        ("how", "full"),
        [
            ({}, True),
            ({"reason_end": "fwdbtn", "skipped": True}, False),
            ({"reason_end": "logout"}, False),
            ({"reason_end": "unknown"}, True),
            ({"reason_end": None, "skipped": None}, True),
            ({"reason_end": None, "skipped": True}, False),
            ({"reason_end": "none", "ms_played": 29_000}, False),
            ({"ms_played": 20_000}, True),
        ],
    )
    def test_tells_plays_to_the_end_from_those_broken_off(
        self, spotify: Spotify, how: Mapping[str, object], full: bool
    ) -> None:
        assert spotify(streamed("12:03:00", 100) | how).skips == (not full)

    def test_a_skip_is_where_the_play_ended(self, spotify: Spotify, out: Path) -> None:
        spotify(streamed("12:00:10", 10, reason_end="fwdbtn"), streamed("12:03:10", 180, "b"))
        assert events(out) == [
            ("PLAY", "12:00:00.000", "a"),
            ("SKIP", "12:00:10.000", "a"),
            ("PLAY", "12:00:10.000", "b"),
        ]

    def test_a_skip_belongs_to_its_play_however_the_times_lie(
        self, spotify: Spotify, tmp_path: Path, out: Path
    ) -> None:
        """Lengths of nothing, one second for all, and ends beyond the next beginning."""
        entries = [
            streamed("12:00:00", 0, "a", reason_end="fwdbtn"),
            streamed("12:00:00", 0, "b", reason_end="fwdbtn"),
            streamed("12:00:00", 0, "c"),
            streamed("12:05:00", 300, "d", reason_end="fwdbtn"),
            streamed("12:03:30", 180, "e"),
        ]
        assert spotify(*entries).plays == 5
        ingest(out, tmp_path / "workspace")
        plays = pq.read_table(tmp_path / "workspace" / "plays.parquet").to_pylist()
        completed = {play["track_id"]: play["completed"] for play in plays}
        assert completed == {"a": False, "b": False, "c": True, "d": False, "e": True}

    def test_what_is_no_track_is_put_aside(self, spotify: Spotify, out: Path) -> None:
        podcast = streamed("12:00:00", 900, None, episode_name="Tides")
        spotify(podcast, streamed("12:00:00", 9))
        reason = "no track: a podcast, an audiobook or a video"
        assert put_aside(out) == [("Streaming_History_Audio_2024_0.json", 1, [reason])]

    def test_rows_that_cannot_be_used_are_put_aside_with_every_reason(
        self, spotify: Spotify, out: Path
    ) -> None:
        bad = streamed("12:00:00", 1) | {"ts": "yesterday", "ms_played": None, "username": "x" * 65}
        found = spotify(bad, 5, streamed("12:00:00", 9))
        assert [reasons for _, _, reasons in put_aside(out)] == [
            [
                "ms_played not a number of milliseconds",
                "ts not a time (ISO 8601, or seconds or milliseconds since 1970)",
                "the listener's name is not an id",
            ],
            ["not a JSON object"],
        ]
        assert (found.read, found.plays) == (3, 1)

    def test_repeats_count_once(self, spotify: Spotify) -> None:
        one = streamed("12:00:00", 9)
        found = spotify(one, one, streamed("12:00:00", 9, "b"))
        assert (found.plays, found.repeats) == (2, 1)

    def test_a_file_that_breaks_off_gives_what_lies_before(
        self, spotify: Spotify, tmp_path: Path, out: Path
    ) -> None:
        spotify(*(streamed(f"12:0{minute}:00", 9) for minute in range(5)))
        file = next((tmp_path / "export").iterdir())
        file.write_text(file.read_text()[:-30])
        shutil.rmtree(out)
        assert convert(tmp_path / "export", out).plays == 4
        assert put_aside(out) == [(file.name, 5, ["file damaged from here on"])]

    def test_a_track_is_as_long_as_it_is_when_played_to_the_end(
        self, spotify: Spotify, out: Path
    ) -> None:
        spotify(streamed("12:00:00", 200), streamed("12:10:00", 9, reason_end="fwdbtn"))
        (track,) = rows(out, "tracks")
        assert track == {
            "id": "a",
            "name": "A",
            "id_artist": track["id_artist"],
            "album": "An Album",
            "duration_ms": 200_000,
        }
        (artist,) = rows(out, "artists")
        assert artist == {"id": track["id_artist"], "name": "An Artist", "genres": []}

    def test_whose_it_is(self, tmp_path: Path) -> None:
        for name in ("anna", "ben"):
            folder = tmp_path / "exports" / name / "Spotify Extended Streaming History"
            folder.mkdir(parents=True)
            (folder / "endsong_0.json").write_text(json.dumps([streamed("12:00:00", 9)]))
        for options, users in (
            ({"by_folder": True}, ["anna", "ben"]),
            ({"user": "us"}, ["us"]),
            ({}, ["me"]),
        ):
            out = tmp_path / str(users)
            convert(tmp_path / "exports", out, **options)  # type: ignore[arg-type]
            assert [row["user_id"] for row in rows(out, "users")] == users
        shutil.copy(folder / "endsong_0.json", tmp_path / "exports")
        with pytest.raises(InvalidData, match=r"endsong_0\.json is in no listener's folder"):
            convert(tmp_path / "exports", tmp_path / "astray", by_folder=True)
        one = tmp_path / "exports" / "anna" / "endsong_1.json"
        one.write_text(json.dumps([streamed("12:00:00", 9, username="own name")]))
        convert(one, tmp_path / "one")
        assert rows(tmp_path / "one", "users") == [{"user_id": "own name"}]


class TestSessions:
    def test_end_with_half_an_hour_of_silence_after_a_play(
        self, spotify: Spotify, out: Path
    ) -> None:
        spotify(
            streamed("12:00:00", 60),
            streamed("13:10:00", 2400, "b"),
            streamed("13:43:00", 180, "c"),
            streamed("14:29:40", 1000, "d"),
        )
        sessions = {row["track_id"]: row["session_id"] for row in rows(out, "sessions")}
        assert sessions["a"] == sessions["b"] == sessions["c"] == sessions["d"]
        spotify(
            streamed("12:00:00", 60), streamed("12:30:01", 1, "b"), streamed("13:00:03", 1, "c")
        )
        sessions = {row["track_id"]: row["session_id"] for row in rows(out, "sessions")}
        assert sessions["a"] == sessions["b"] != sessions["c"]

    def test_keep_their_events_in_a_later_and_longer_export(
        self, spotify: Spotify, out: Path
    ) -> None:
        """An import of it adds what is new, and repeats nothing."""
        entries = [streamed(f"12:00:0{n}", n, "ab"[n % 2], reason_end="x") for n in range(9)]
        spotify(*entries)
        before = rows(out, "sessions")
        spotify(
            streamed("09:00:00", 9), streamed("09:00:00", 9, "b"), *entries, streamed("18:00:00", 9)
        )
        after = rows(out, "sessions")
        assert [row for row in before if row not in after] == []

    def test_the_same_export_gives_the_same_bytes(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            convert(ROOT / "docs/examples/lastfm", tmp_path / name)
        one, two = (
            {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
            for name in ("one", "two")
        )
        assert one == two
        tables = {f"{table}.parquet" for table in ("tracks", "artists", "users", "sessions")}
        assert set(one) == {*tables, "schema.toml", "quarantine.jsonl"}


class TestListenBrainz:
    def listens(self) -> Rows:
        mapped = {"recording_mbid": "mapped", "artist_mbids": ["artist", "other"]}
        about = listen(0)["track_metadata"]
        sent = {"recording_mbid": "sent", "duration": 200, "tags": ["folk", "indie"]}
        return [
            listen(0, track_metadata=about | {"mbid_mapping": mapped, "additional_info": sent}),
            listen(5, track_metadata=about | {"additional_info": sent, "release_name": "LP"}),
            listen(10),
        ]

    def write(self, path: Path, form: str) -> None:
        listens = self.listens()
        lines = "\n".join(map(json.dumps, listens))
        page = {"payload": {"count": 3, "user_id": "me", "listens": listens}}
        text = {
            "array": json.dumps(listens, indent=1),
            "lines": lines,
            "packed": lines,
            "page": json.dumps(page),
            "pretty page": json.dumps(page, indent=2),
            "submission": json.dumps({"listen_type": "import", "payload": listens}),
        }[form]
        path.write_bytes(gzip.compress(text.encode()) if form == "packed" else text.encode())

    @pytest.mark.parametrize(
        "form", ["array", "lines", "packed", "page", "pretty page", "submission"]
    )
    def test_comes_in_many_forms(self, tmp_path: Path, out: Path, form: str) -> None:
        source = tmp_path / ("listens.jsonl.gz" if form == "packed" else "listens.json")
        self.write(source, form)
        found = convert(source, out)
        assert (found.read, found.plays, found.skips) == (3, 3, 0)
        assert [(time, track) for _, time, track in events(out)][:2] == [
            ("12:00:00.000", "mapped"),
            ("12:05:00.000", "sent"),
        ]
        assert rows(out, "users") == [{"user_id": "me"}]
        tracks = {track["id"]: track for track in rows(out, "tracks")}
        assert tracks["sent"]["album"] == "LP"
        assert tracks["sent"]["duration_ms"] == 200_000
        assert tracks["mapped"]["id_artist"] == "artist"
        artists = {artist["id"]: artist for artist in rows(out, "artists")}
        assert artists["artist"]["genres"] == ["folk", "indie"]

    def test_a_page_with_anything_in_it_is_read(self, tmp_path: Path, out: Path) -> None:
        about = {"artist_name": ["A"], "track_name": 5, "additional_info": None}
        odd = [
            5,
            None,
            {},
            listen(0, listened_at=True),
            listen(0, listened_at=10**30),
            listen(0, track_metadata=about),
            listen(0, track_metadata=None, user_name=["x"]),
            listen(0),
        ]
        page = {"payload": {"user_id": "me", "listens": odd}}
        (tmp_path / "page.json").write_text(json.dumps(page))
        found = convert(tmp_path / "page.json", out)
        assert (found.read, found.plays, len(put_aside(out))) == (8, 1, 7)

    def test_holds_many_listeners(self, tmp_path: Path, out: Path) -> None:
        """As the dumps do, which name listeners by numbers, and the time in another way."""
        dumped = listen(0, timestamp=1_700_000_000, user_id=7)
        del dumped["listened_at"]
        lines = [listen(0, user_name="anna"), dumped]
        (tmp_path / "1.listens").write_text("\n".join(map(json.dumps, lines)))
        convert(tmp_path / "1.listens", out)
        assert [row["user_id"] for row in rows(out, "users")] == ["7", "anna"]

    def test_a_broken_line_costs_itself_alone(self, tmp_path: Path, out: Path) -> None:
        (tmp_path / "a.jsonl").write_text(
            f'{json.dumps(listen(0))}\n{{"track_metadata"\n\n{json.dumps(listen(5))}\n'
        )
        now_playing = {"track_metadata": listen(0)["track_metadata"]}
        (tmp_path / "b.json").write_text(json.dumps([now_playing]))
        assert convert(tmp_path, out).plays == 2
        assert put_aside(out) == [
            ("a.jsonl", 2, ["not JSON"]),
            ("b.json", 1, ["listened_at missing"]),
        ]


class TestLastfm:
    def convert(self, tmp_path: Path, *lines: str) -> Conversion:
        (tmp_path / "plays.tsv").write_text("\n".join(lines), newline="\r\n")
        (tmp_path / "userid-profile.tsv").write_text("#id\tgender\tage\tcountry\tregistered\n")
        return convert(tmp_path, tmp_path / "out")

    def test_ids_follow_from_names_where_there_are_none(self, tmp_path: Path, out: Path) -> None:
        found = self.convert(
            tmp_path,
            f'u1\t{DAY}12:00:00Z\tartist\tThe "Band\tsong\tHey',
            f"u2\t{DAY}12:00:00Z\t\tThe Band\t\tHey  Now",
            f"u2\t{DAY}12:01:00Z\t\tTHE BAND\t\they now",
            f"u2\t{DAY}12:02:00Z\t\tThe Other\t\tHey Now",
        )
        tracks = [track for _, _, track in events(out)]
        assert tracks[0] == "song"
        assert tracks[1] == tracks[2] == "a4c7ad689e8c8890424cf373e140b374"
        assert tracks[3] not in tracks[:3]
        assert found.not_read == ("userid-profile.tsv",)

    def test_broken_lines_are_put_aside(self, tmp_path: Path, out: Path) -> None:
        good = f"u1\t{DAY}12:00:00Z\ta\tA\tt\tT"
        self.convert(tmp_path, good, "u1\tx", f"\t{DAY}1\ta\tA\tt\tT", f"u1\t{DAY}12:00Z\ta\tA\t\t")
        time = "time not a time (ISO 8601, or seconds or milliseconds since 1970)"
        assert put_aside(out) == [
            ("plays.tsv", 2, ["2 columns, not 6"]),
            ("plays.tsv", 3, [time, "the listener's name is not an id"]),
            ("plays.tsv", 4, ["no track: neither an id nor a name"]),
        ]


class TestTables:
    def convert(self, tmp_path: Path, text: str, **columns: str) -> Conversion:
        (tmp_path / "plays.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        return convert(tmp_path / "plays.csv", tmp_path / "out", columns=columns)

    def test_columns_may_be_called_anything(self, tmp_path: Path, out: Path) -> None:
        self.convert(
            tmp_path,
            f'who;when;what;genres\nanna;{DAY}12:00:00Z;"Hey; ""Now""\nAgain";folk | indie\n',
            user="who",
            time="when",
            track="what",
        )
        assert [track["name"] for track in rows(out, "tracks")] == ['Hey; "Now"\nAgain']
        assert rows(out, "users") == [{"user_id": "anna"}]

    @pytest.mark.parametrize(
        "time",
        [
            "2024-03-01T12:00:00Z",
            "2024-03-01 13:00:00+01:00",
            "1709294400",
            "1709294400000",
            "1709294400.0",
        ],
    )
    def test_times_are_text_or_seconds_or_milliseconds(
        self, tmp_path: Path, out: Path, time: str
    ) -> None:
        self.convert(tmp_path, f"time,track_id\n{time},a\n")
        assert events(out) == [("PLAY", "12:00:00.000", "a")]

    @pytest.mark.parametrize(
        ("skipped", "played", "duration", "full"),
        [
            ("true", "", "", False),
            ("0", "1000", "200000", True),
            ("", "179000", "200000", False),
            ("", "180000", "200000", True),
            ("", "29999", "", False),
            ("", "30000", "", True),
            ("", "", "200000", True),
        ],
    )
    def test_tell_plays_to_the_end_from_those_broken_off(
        self, tmp_path: Path, skipped: str, played: str, duration: str, full: bool
    ) -> None:
        header = "time,track_id,skipped,played_ms,duration_ms"
        found = self.convert(tmp_path, f"{header}\n1,a,{skipped},{played},{duration}\n")
        assert found.skips == (not full)

    def test_broken_rows_are_put_aside(self, tmp_path: Path, out: Path) -> None:
        self.convert(tmp_path, "time,track\n1,a\n2\n3,b,c\n4,\udcff\n,d\n5,e\n")
        assert put_aside(out) == [
            ("plays.csv", 3, ["1 columns, not the 2 of the first line"]),
            ("plays.csv", 4, ["3 columns, not the 2 of the first line"]),
            ("plays.csv", 5, ["not UTF-8"]),
            ("plays.csv", 6, ["time missing"]),
        ]

    def test_may_be_parquet(self, tmp_path: Path, out: Path) -> None:
        moments = pa.array([parse_time(f"{DAY}12:00:00Z")], pa.timestamp("ms"))
        table = pa.table({"at": moments, "track_id": [7], "genres": [["folk"]], "artist": ["A"]})
        pq.write_table(table, tmp_path / "plays.parquet")
        convert(tmp_path, out, columns={"time": "at"})
        assert events(out) == [("PLAY", "12:00:00.000", "7")]
        assert rows(out, "artists")[0]["genres"] == ["folk"]

    @pytest.mark.parametrize(
        ("columns", "words"),
        [
            ({}, "no column for the time; its columns are when, track: .* --columns time="),
            ({"time": "wen"}, "no column 'wen', nor for the time"),
            ({"when": "time"}, f"'when' is none of the fields {', '.join(FIELDS)}"),
        ],
    )
    def test_what_is_missing_is_named(
        self, tmp_path: Path, columns: dict[str, str], words: str
    ) -> None:
        with pytest.raises(InvalidData, match=words):
            self.convert(tmp_path, "when,track\n1,a\n", **columns)

    def test_an_export_needs_no_columns(self, tmp_path: Path, out: Path) -> None:
        with pytest.raises(InvalidData, match="leave out --columns"):
            convert(ROOT / "docs/examples/spotify", out, columns={"time": "ts"})


class TestWhatCannotBeRead:
    """One line says what there is, and what to do."""

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            (
                "a.json",
                '[{"ts": "x", "ms_played": 1}]',
                "Spotify's extended streaming history; conv",
            ),
            (
                "a.jsonl",
                '{"track_metadata": {}}',
                r"listens of ListenBrainz; convert it: segue conv",
            ),
            ("a.tsv", "u\t2009-01-01\ta\tb\tc\td", "Last.fm's table of plays; convert it"),
            (
                "sessions.csv",
                "a,b",
                r"tables \(CSV or Parquet\); convert it: segue convert .*/data",
            ),
            ("a.json", '[{"endTime": "x", "msPlayed": 1}]', "ask Spotify for the extended"),
            (
                "my_spotify_data.zip",
                "PK",
                "there is my_spotify_data.zip; unpack the .zip file first",
            ),
            ("holiday.jpg", "", r"there is holiday.jpg; docs/data.md says"),
        ],
    )
    def test_as_data(self, tmp_path: Path, name: str, content: str, words: str) -> None:
        folder = tmp_path / "data"
        folder.mkdir()
        (folder / name).write_text(content)
        for command in (["train", "--data"], ["data", "check"]):
            result = run(*command, folder)
            assert result.exit_code == 1
            assert re.fullmatch(rf"segue: .*holds none of tracks, .*{words}.*\n", result.stderr)
        result = run("train", "--data", folder / name)
        assert re.fullmatch(r"segue: .* is not a folder; .*\n", result.stderr)

    def test_tables_without_what_was_heard(self, tmp_path: Path) -> None:
        (tmp_path / "tracks.jsonl").write_text('{"id": "a"}')
        with pytest.raises(InvalidData, match=r"holds no sessions .*; there is tracks\.jsonl"):
            ingest(tmp_path, tmp_path / "workspace")

    def test_as_an_export(self, tmp_path: Path, out: Path) -> None:
        assert "neither a file nor a folder" in run("convert", tmp_path / "nowhere", out).stderr
        assert "there is no file in it" in run("convert", tmp_path, out).stderr
        (tmp_path / "a.json").write_text(json.dumps([streamed("12:00:00", 9, None)]))
        result = run("convert", tmp_path, out)
        assert "1 rows, no play in any; most often: no track: a podcast" in result.stderr
        (tmp_path / "b.jsonl").write_text(json.dumps(listen(0)))
        assert "convert one after the other" in run("convert", tmp_path, out).stderr
        assert not out.exists()
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine").touch()
        assert "not an empty folder" in run("convert", tmp_path / "b.jsonl", out).stderr


def test_check_shows_the_first_rows_put_aside_and_where_all_are(tmp_path: Path) -> None:
    row = {"session_id": 1, "timestamp": 1, "user_id": 1, "track_id": "a", "event_type": "PLAY"}
    lines = [row, *(row | {"user_id": None, "note": f"number {n}"} for n in range(7))]
    (tmp_path / "sessions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    file = tmp_path / "aside.jsonl"
    text = run("data", "check", tmp_path, "--quarantine", file).stdout
    assert f"7 rows put aside, into {file}" in text
    assert "sessions.jsonl, line 2: user_id missing" in text
    assert '"user_id": null, "track_id": "a"' in text
    assert "line 7" not in text
    assert len(file.read_bytes().splitlines()) == 7


def commands(document: str) -> list[list[list[str]]]:
    """The commands of each example of a document that goes as far as an answer."""
    blocks = re.findall(r"```sh\n(.*?)```", document, re.DOTALL)
    return [
        [shlex.split(line, comments=True) for line in block.splitlines()]
        for block in blocks
        if "curl" in block
    ]


EXAMPLES = commands((ROOT / "docs/data.md").read_text("utf-8"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: Path(example[0][2]).name)
def test_the_documented_commands_lead_to_recommendations(
    example: Sequence[Sequence[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the last two, which are asked of the function itself: no port is opened here."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    *first, serve, curl = example
    for program, *arguments in first:
        assert program == "segue"
        result = run(*arguments)
        assert result.exit_code == 0, result.stderr
        assert "Note:" not in result.stdout, "the example is enough for every model"
    assert serve[:6] == ["segue", "serve", "--data", "my-data", "--bundle", "my-models"]
    asked = json.loads(curl[3])
    for model in (0, 1, 2, 3):
        answer = recommendations(
            Path("my-data"), Path("my-models"), asked | {"k": 5}, model, monkeypatch
        )
        known = {track["id"] for track in rows(Path("my-data"), "tracks")}
        assert len(set(answer) & known) == len(answer) == 5


def recommendations(
    data: Path, bundle: Path, asked: dict[str, Any], model: int, patch: pytest.MonkeyPatch
) -> list[str]:
    """What POST /models/{model_id}/predict answers as of the cut-off."""
    world = World(Bundle.open(bundle))
    ingest(data, Path("workspace"))
    with connect(Path("workspace"), threads=1) as connection:
        found = connection.execute("SELECT * FROM events WHERE user_id = $1", [asked["user_id"]])
        for user, session, time, kind, track in found.fetchall():
            world.sessions.put([Event(user, session, time, EventType(kind), track)])
    predict = load_function("predict", patch)
    patch.setattr(predict.module, "recommender", world.recommender)
    as_of = {"as_of": world.cutoff}
    status, _, answer = predict.call("POST", f"/models/{model}/predict", asked | as_of)
    assert status == 200, answer
    return list(answer)


def test_the_rows_of_the_readme_train_and_recommend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    (example,) = re.findall(r"## Your data\n.*?```json\n(.*?)```", readme, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    tables = ("tracks", "artists", "users", "sessions")
    for table, row in zip(tables, example.splitlines(), strict=True):
        Path(f"data/{table}.jsonl").write_text(row)
    result = run("train", "--data", "data", "--out", "bundle")
    assert result.exit_code == 0, result.stderr
    assert "cut-off 2022-08-04T00:00:00.000Z" in result.stdout
    notes = [line for line in result.stdout.splitlines() if line.startswith("Note: ")]
    assert len(notes) == 2
    assert "models 1 (autoencoder) and 2 (classifier) are left out" in notes[0]
    assert "model 3 (hybrid) count alike" in notes[1]
    assert "No two tracks differ" in Path("bundle/card.md").read_text()
    for model in (0, 3):
        asked = {"user_id": "101", "k": 5}
        answer = recommendations(Path("data"), Path("bundle"), asked, model, monkeypatch)
        assert answer == ["t1"]
    with pytest.raises(UnknownModel, match=r"no model 1; there are 0 \(popularity\), 3 \(hybrid\)"):
        model_name(1, Bundle.open(Path("bundle")))


def test_features_can_be_joined_as_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = (ROOT / "docs/data.md").read_text("utf-8")
    (join,) = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    (feature,) = re.findall(r"```toml\n(.*?)```", document, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    convert(ROOT / "docs/examples/spotify", Path("my-data"))
    ids = [track["id"] for track in rows(Path("my-data"), "tracks")]
    lines = [f"{track},0.{n}" for n, track in enumerate(ids[1:])]
    Path("features.csv").write_text("\n".join(["id,energy", *lines]))
    exec(join, {})
    Path("my-data/tracks.parquet").unlink()
    with Path("my-data/schema.toml").open("a") as schema:
        schema.write(feature)
    summary = ingest(Path("my-data"), Path("workspace"))
    assert summary.files["tracks"].warnings["energy missing"] == 1
    assert summary.tracks == len(ids)
