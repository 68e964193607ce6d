"""The importer: all that is usable arrives once, however often it is begun or killed."""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infra.importing import ImportSummary, SqlSource, import_folder, import_sql
from segue.domain.errors import InvalidData, StoreUnavailable
from segue.domain.events import Event, EventType
from segue.domain.users import User

AGES = '[[user]]\nname = "age"\nkind = "numeric"\n'
START = 1_660_000_000_000
# The columns of the database's events, as the importer wants them.
ALL = (
    "session AS session_id, at AS timestamp, listener AS user_id, "
    "track AS track_id, kind AS event_type"
)


@dataclass
class MemoryTarget:
    """Tables in memory, which fail for good after so many writes."""

    writes_left: int = 1_000_000
    events: set[Event] = field(default_factory=set)
    users: dict[str, User] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)

    def imported(self) -> Mapping[str, str]:
        return dict(self.digests)

    def put_events(self, events: Iterable[Event]) -> None:
        written = set(events)
        self._write(event.user_id for event in written)
        self.events |= written

    def put_users(self, users: Mapping[User, str]) -> None:
        self._write(user.user_id for user in users)
        self.users |= {user.user_id: user for user in users}
        self.digests |= {user.user_id: digest for user, digest in users.items()}

    def _write(self, user_ids: Iterable[str]) -> None:
        if self.writes_left == 0:
            raise StoreUnavailable("Sessions: the connection was lost")
        self.writes_left -= 1
        self.written |= set(user_ids)


def event(user: object, number: int, kind: str = "PLAY", track: str | None = "t") -> dict[str, Any]:
    return {
        "session_id": f"s{user}",
        "timestamp": START + 1000 * number,
        "user_id": user,
        "track_id": track,
        "event_type": kind,
    }


def user(user_id: int, *genres: str) -> dict[str, Any]:
    return {"user_id": user_id, "favourite_genres": list(genres), "premium_user": False}


def write_folder(
    folder: Path, events: list[dict[str, Any]], users: list[dict[str, Any]] | None = None
) -> Path:
    folder.mkdir(exist_ok=True)
    for name, records in (("sessions", events), ("users", users or [])):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines)
    return folder


def events() -> list[dict[str, Any]]:
    """Three events each of sixty users, and one of user 161."""
    three_each = [event(number, place) for number in range(100, 160) for place in range(3)]
    return [*three_each, event(161, 0)]


def users() -> list[dict[str, Any]]:
    """Those sixty and user 160, who has no events; of user 161 there is no profile."""
    return [user(number, "rock") for number in range(100, 161)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data", events(), users())


def numbers(summary: ImportSummary) -> tuple[int, int, int, int]:
    return summary.users, summary.sessions, summary.events, summary.skipped_users


class TestFolder:
    def test_arrives_whole(self, folder: Path) -> None:
        target = MemoryTarget()
        summary = import_folder(folder, target)
        assert numbers(summary) == (62, 61, 181, 0)
        assert len(target.events) == 181
        assert Event("100", "s100", START, EventType.PLAY, "t") in target.events
        assert target.users["160"] == User("160", ("rock",))
        assert target.users["161"] == User("161")

    def test_a_repeat_writes_nothing(self, folder: Path) -> None:
        target = MemoryTarget()
        import_folder(folder, target)
        target.writes_left = 0
        assert numbers(import_folder(folder, target)) == (0, 0, 0, 62)

    @pytest.mark.parametrize("writes", range(6))
    def test_goes_on_where_it_was_stopped(self, folder: Path, writes: int) -> None:
        target = MemoryTarget(writes_left=writes)
        with pytest.raises(StoreUnavailable):
            import_folder(folder, target)
        in_place = len(target.users)
        target.writes_left = 1_000_000
        summary = import_folder(folder, target)
        assert summary.skipped_users == in_place
        assert summary.users == 62 - in_place
        assert len(target.events) == 181
        assert len(target.users) == 62

    @pytest.mark.parametrize("writes", range(6))
    def test_writes_a_user_only_after_all_their_events(self, folder: Path, writes: int) -> None:
        target = MemoryTarget(writes_left=writes)
        with pytest.raises(StoreUnavailable):
            import_folder(folder, target)
        with_events = {written.user_id for written in target.events}
        assert set(target.users) - {"160"} <= with_events

    def test_renews_only_the_users_whose_data_changed(self, folder: Path) -> None:
        target = MemoryTarget()
        import_folder(folder, target)
        target.written.clear()
        changed = [user(105, "jazz") if row["user_id"] == 105 else row for row in users()]
        write_folder(folder, [*events(), event(110, 9)], changed)
        assert numbers(import_folder(folder, target)) == (2, 2, 7, 60)
        assert target.written == {"105", "110"}
        assert target.users["105"] == User("105", ("jazz",))

    def test_the_order_of_rows_does_not_matter(self, folder: Path) -> None:
        target = MemoryTarget()
        import_folder(folder, target)
        lines = (folder / "sessions.jsonl").read_text().splitlines()
        (folder / "sessions.jsonl").write_text("\n".join(reversed(lines)))
        assert import_folder(folder, target).users == 0

    def test_counts_what_cannot_be_used(self, tmp_path: Path) -> None:
        rows = [event(1, 0), event(None, 1), event(1, 2, "DANCE"), event(1, 0)]
        summary = import_folder(write_folder(tmp_path / "data", rows), MemoryTarget())
        sessions = summary.data.files["sessions"]
        assert summary.events == 1
        assert sessions.quarantined == 2
        assert sessions.repeats == 1
        assert sum(sessions.reasons.values()) == 2

    def test_profiles_have_the_attributes_that_the_folders_schema_reads(self, folder: Path) -> None:
        (folder / "schema.toml").write_text(AGES)
        write_folder(folder, events(), [user(100, "rock") | {"age": 24, "name": "Anna"}, user(101)])
        target = MemoryTarget()
        import_folder(folder, target)
        assert target.users["100"] == User("100", ("rock",), attributes={"age": 24})
        assert target.users["101"] == User("101")

    def test_a_changed_attribute_is_written_again(self, folder: Path) -> None:
        (folder / "schema.toml").write_text(AGES)
        target = MemoryTarget()
        for age in (24, 24, 25):
            write_folder(folder, events(), [user(100) | {"age": age}, user(101) | {"age": 7}])
            target.written.clear()
            import_folder(folder, target)
        assert target.written == {"100"}
        assert target.users["100"].attributes == {"age": 25}

    def test_another_schema_than_the_folders_can_be_named(
        self, folder: Path, tmp_path: Path
    ) -> None:
        schema = tmp_path / "own.toml"
        schema.write_text(AGES)
        write_folder(folder, events(), [user(100) | {"age": 24}])
        target = MemoryTarget()
        import_folder(folder, target, schema=schema)
        assert target.users["100"].attributes == {"age": 24}

    def test_writes_its_summary_as_json(self, folder: Path) -> None:
        summary = json.loads(import_folder(folder, MemoryTarget()).to_json())
        assert summary["events"] == 181
        assert summary["data"]["files"]["sessions"]["kept"] == 181

    def test_reports_how_far_it_is(self, folder: Path) -> None:
        reports: list[tuple[str, int, int]] = []
        import_folder(folder, MemoryTarget(), progress=lambda *report: reports.append(report))
        assert ("writing events", 0, 181) in reports
        assert ("writing events", 181, 181) in reports

    def test_leaves_nothing_on_disk(self, folder: Path, tmp_path: Path) -> None:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        import_folder(folder, MemoryTarget(), scratch=scratch)
        assert list(scratch.iterdir()) == []


class TestSql:
    @pytest.fixture(autouse=True)
    def no_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("infra.importing.sql._PAUSE_SECONDS", 0)

    @pytest.fixture
    def database(self, tmp_path: Path) -> Path:
        path = tmp_path / "listening.db"
        connection = sqlite3.connect(path)
        connection.executescript(
            f"""
            CREATE TABLE e (session INTEGER, at, listener INTEGER, track TEXT, kind TEXT);
            INSERT INTO e VALUES
                (1, {START}, 429, 'a', 'play'),
                (1, '2022-08-09T12:00:00', 429, NULL, 'advertisment'),
                (1, '2022-08-09T12:00:01Z', 429, 'b', 'Like'),
                (2, {START}, NULL, 'a', 'play');
            CREATE TABLE u (id INTEGER, genres TEXT, premium INTEGER);
            INSERT INTO u VALUES (429, '["rock", "jazz"]', 1);
            """
        )
        connection.close()
        return path

    @pytest.fixture
    def source(self, database: Path, tmp_path: Path) -> SqlSource:
        sessions, users = tmp_path / "sessions.sql", tmp_path / "users.sql"
        sessions.write_text(f"-- 100 % of it, at 12:00\nSELECT {ALL} FROM e WHERE kind LIKE '%';\n")
        users.write_text(
            "SELECT id AS user_id, genres AS favourite_genres, premium AS premium_user FROM u"
        )
        return SqlSource(f"sqlite:///{database}", sessions, users)

    def test_arrives_whole(self, source: SqlSource) -> None:
        target = MemoryTarget()
        summary = import_sql(source, target)
        assert numbers(summary) == (1, 1, 3, 0)
        assert summary.data.files["sessions"].quarantined == 1
        assert {found.type for found in target.events} == {
            EventType.PLAY,
            EventType.ADVERTISEMENT,
            EventType.LIKE,
        }
        assert target.users == {"429": User("429", ("rock", "jazz"), premium=True)}

    def test_a_repeat_writes_nothing(self, source: SqlSource) -> None:
        target = MemoryTarget()
        import_sql(source, target)
        assert numbers(import_sql(source, target)) == (0, 0, 0, 1)

    def test_attributes_of_users_come_from_their_query(
        self, source: SqlSource, tmp_path: Path
    ) -> None:
        schema = tmp_path / "schema.toml"
        schema.write_text(AGES + '[[user]]\nname = "moods"\nkind = "multi_hot"\nsize = 2\n')
        assert source.users
        query = source.users.read_text()
        source.users.write_text(
            query.replace("SELECT", """SELECT 24 AS age, '["calm"]' AS moods,""")
        )
        target = MemoryTarget()
        import_sql(source, target, schema=schema)
        assert target.users["429"].attributes == {"age": 24, "moods": ["calm"]}
        source.users.write_text(query)
        with pytest.raises(InvalidData, match="returns no column age, moods"):
            import_sql(source, target, schema=schema)

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("SELEC 1", "syntax error"),
            ("SELECT * FROM nowhere", "nowhere"),
            ("SELECT listener AS user_id FROM e", "event_type"),
            (f"SELECT {ALL} FROM e WHERE FALSE", "returns no row"),
            ("CREATE TABLE x (y)", "does not return rows"),
            ("SELECT 1 WHERE FALSE", "session_id"),
        ],
    )
    def test_says_in_one_line_what_is_wrong_with_a_query(
        self, source: SqlSource, query: str, words: str
    ) -> None:
        source.sessions.write_text(query)
        with pytest.raises((InvalidData, StoreUnavailable), match=words) as caught:
            import_sql(source, MemoryTarget())
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "url", ["nonsense", "nosuch://database", "sqlite:////no/such/folder/x"]
    )
    def test_says_in_one_line_what_is_wrong_with_a_url(self, source: SqlSource, url: str) -> None:
        with pytest.raises((InvalidData, StoreUnavailable)) as caught:
            import_sql(SqlSource(url, source.sessions), MemoryTarget())
        assert "\n" not in str(caught.value)

    def test_names_a_query_file_that_is_not_there(self, source: SqlSource, tmp_path: Path) -> None:
        with pytest.raises(InvalidData, match=r"nowhere\.sql"):
            import_sql(SqlSource(source.url, tmp_path / "nowhere.sql"), MemoryTarget())
