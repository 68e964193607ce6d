"""The readers on real files of the Pozytywka format, where they are at hand."""

from pathlib import Path

import pytest

from infra.movielens import atomic_files
from segue.domain.errors import InvalidData
from segue.domain.times import DAY, parse_time
from segue.features.schema import load_schema
from training.catalogue import Popularity, encode_catalogue
from training.data import Summary, check, connect, ingest, open_data
from training.histories import read_plays
from training.protocol.temporal import earlier_split, prepare

SAMPLES = Path(__file__).parents[2].parent / "shared" / "data"

pytestmark = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason=f"the real data samples are not at {SAMPLES}"
)


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, Path]:
    quarantine = tmp_path_factory.mktemp("dirty") / "quarantine.jsonl"
    return check(SAMPLES / "pozytywka-dirty", quarantine=quarantine), quarantine


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("clean")
    ingest(SAMPLES / "pozytywka-50", workspace)
    return workspace


def test_clean_data_are_read_without_a_fault() -> None:
    summary = check(SAMPLES / "pozytywka-50")
    for file in summary.files.values():
        assert (file.repeats, file.quarantined, file.warnings) == (0, 0, {})
    assert summary.events_by_type == {
        "PLAY": 10_229,
        "SKIP": 3_761,
        "LIKE": 2_833,
        "ADVERTISEMENT": 2_497,
        "BUY_PREMIUM": 28,
    }
    assert (summary.tracks, summary.artists, summary.users) == (21_608, 10_657, 50)
    assert (summary.sessions, summary.unknown_plays) == (596, 0)


def test_every_fault_of_dirty_data_is_counted(dirty: tuple[Summary, Path]) -> None:
    files = dirty[0].files
    assert files["tracks"].file is None
    assert files["artists"].reasons == {"id not an id": 91}
    assert files["users"].quarantined == 0
    assert files["sessions"].reasons == {
        "event_type missing": 1_333,
        "user_id missing": 1_309,
        "track_id missing": 1_060,
    }
    assert (files["sessions"].read, files["sessions"].repeats) == (26_347, 1)


def test_adverts_without_a_track_are_events(dirty: tuple[Summary, Path]) -> None:
    assert dirty[0].events_by_type["ADVERTISEMENT"] > 3_000


def test_every_faulty_row_is_in_quarantine_once(dirty: tuple[Summary, Path]) -> None:
    summary, quarantine = dirty
    rows = quarantine.read_bytes().splitlines()
    assert len(rows) == sum(file.quarantined for file in summary.files.values()) == 3_574 + 91


def test_training_refuses_data_without_tracks(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="holds no tracks"):
        ingest(SAMPLES / "pozytywka-dirty", tmp_path)


def test_a_cutoff_divides_the_plays(workspace: Path) -> None:
    with connect(workspace, threads=1) as connection:
        [(cutoff,)] = connection.execute("SELECT MAX(time) - 2592000000 FROM plays").fetchall()
        encoded = encode_catalogue(connection, load_schema(), Popularity(connection, cutoff))
        _, plays = read_plays(connection, encoded.catalogue)
        seen = plays.known_at(cutoff, 30)
        outcomes, _ = plays.completed_in(cutoff, cutoff + 30 * DAY)
        [(before, after)] = connection.execute(
            "SELECT COUNT(*) FILTER (time < $1 AND time >= $1 - 2592000000),"
            " COUNT(DISTINCT (user_id, track_id)) FILTER (time >= $1 AND completed) FROM plays",
            [cutoff],
        ).fetchall()
    assert len(seen) == before > 1_000
    # The last play of all begins at the very end of the thirty days, which do not include it.
    assert after - 1 <= len(outcomes) <= after


def test_millions_of_events_are_read_to_the_last() -> None:
    summary = check(SAMPLES / "pozytywka-1000")
    sessions = summary.files["sessions"]
    assert (sessions.read, sessions.repeats, sessions.quarantined) == (3_173_490, 98, 0)
    assert (summary.users, summary.sessions) == (1_000, 556_917)


@pytest.mark.parametrize(
    ("name", "cutoff", "plays", "judged"),
    [
        ("lastfm-1k", "2014-05-02", 1_185_982, 664),
        ("30music", "2014-04-02", 630_906, 2_965),
    ],
)
def test_real_listening_is_read_whole_and_can_be_split(
    tmp_path: Path, name: str, cutoff: str, plays: int, judged: int
) -> None:
    if not (SAMPLES / name).is_dir():
        pytest.skip(f"{name} is not at {SAMPLES}")
    opened = open_data(SAMPLES / name, tmp_path, split="temporal")
    assert opened.summary.plays == opened.summary.completed_plays == plays
    assert sum(file.quarantined + file.repeats for file in opened.summary.files.values()) == 0
    time = parse_time(f"{cutoff}T00:00:00Z")
    with connect(tmp_path, threads=1) as connection:
        _, split = prepare(connection, load_schema(opened.schema), time)
        earlier = earlier_split(split, seed=1)
    assert len(split.judged) == judged
    assert (split.artists >= 0).all()
    assert len(earlier.judged) > judged / 2
    assert earlier.plays.time.max() < earlier.cutoff < split.cutoff


def test_lists_of_a_given_split_are_read_whole(tmp_path: Path) -> None:
    opened = open_data(SAMPLES / "lastfm", tmp_path, split="given")
    train, test = opened.summary.files["train"], opened.summary.files["test"]
    assert (train.kept, test.kept) == (42_135, 10_533)
    assert (train.read, test.read) == (train.kept, test.kept)
    assert (opened.summary.tracks, opened.summary.listeners) == (4_489, 1_880)
    with connect(tmp_path, threads=1) as connection:
        [(most,)] = connection.execute(
            "SELECT MAX(n) FROM (SELECT COUNT(*) AS n FROM plays GROUP BY user_id, track_id)"
        ).fetchall()
    assert most == 19  # more than 2 to the 18th times


def test_movielens_is_read_whole(tmp_path: Path) -> None:
    try:
        with atomic_files(None) as folder:
            summary = open_data(folder, tmp_path, split="temporal").summary
    except InvalidData as error:
        pytest.skip(str(error))
    assert (summary.tracks, summary.users, summary.plays) == (1_682, 943, 100_000)
    # 34,174 ratings of 4, and 21,201 of 5.
    assert summary.completed_plays == 55_375
    assert sum(file.quarantined for file in summary.files.values()) == 0
