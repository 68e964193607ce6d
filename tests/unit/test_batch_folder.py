"""``segue batch``: lists for everybody in a data folder, by processes that may be killed."""

import multiprocessing
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest

from infra.batch import BatchSummary, WorkerKilled, batch_folder
from infra.memory import (
    FixedClock,
    MemoryModelStore,
    MemorySessionStore,
    MemoryTrackStore,
    MemoryUserStore,
)
from infra.process import SEGUE
from segue.domain.errors import InvalidData, UnknownModel
from segue.domain.events import Event, EventType
from segue.models.bundle import Bundle
from segue.models.names import NAMES
from segue.services.recommend import Query, Recommender
from tests.bundles import LISTENERS
from tests.unit.test_batch import assert_same
from training.data import connect, ingest
from training.users import read_users

K, SHARDS = 10, 8
Make = Callable[..., BatchSummary]


@pytest.fixture
def make(data_path: Path, bundle_path: Path, tmp_path: Path) -> Make:
    def make(**changed: Any) -> BatchSummary:
        options = {"model_id": 2, "k": K, "shards": SHARDS, "workers": 1} | changed
        return batch_folder(data_path, bundle_path, tmp_path / "lists", **options)

    return make


@pytest.fixture(scope="module")
def recommender(
    data_path: Path, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Recommender:
    """The service over the same data, right after its last event."""
    workspace = tmp_path_factory.mktemp("workspace")
    ingest(data_path, workspace)
    with connect(workspace) as connection:
        users = read_users(connection)
        rows = connection.execute(
            "SELECT user_id, session_id, time, type, track_id FROM events"
        ).fetchall()
    sessions = MemorySessionStore()
    sessions.put(Event(*row[:3], EventType(row[3]), row[4]) for row in rows)
    clock = FixedClock(max(row[2] for row in rows) + 1)
    models = MemoryModelStore(bundle)
    return Recommender(sessions, MemoryUserStore(users), models, MemoryTrackStore(), clock)


def written(folder: Path) -> list[tuple[Any, ...]]:
    files = f"{folder}/*.parquet"
    with duckdb.connect() as connection:
        return connection.execute(
            "SELECT user_id, tracks, scores, model FROM read_parquet(?)", [files]
        ).fetchall()


@pytest.mark.parametrize("model_id", NAMES)
def test_everybody_has_the_list_that_the_service_would_answer(
    make: Make, recommender: Recommender, tmp_path: Path, model_id: int
) -> None:
    summary = make(model_id=model_id)
    assert (summary.lists, summary.files, summary.skipped_files) == (LISTENERS, SHARDS, 0)
    rows = written(tmp_path / "lists")
    assert Counter(row[0] for row in rows) == Counter(map(str, range(101, 101 + LISTENERS)))
    for user_id, tracks, scores, model in rows:
        answer = recommender.recommend(Query(user_id, model_id, K))
        assert_same(tracks, scores, answer.tracks, answer.scores)
        assert model == answer.model


def test_a_stopped_run_goes_on_where_it_was(make: Make, tmp_path: Path) -> None:
    make()
    before = {file: file.read_bytes() for file in (tmp_path / "lists").iterdir()}
    lost, *kept = sorted((tmp_path / "lists").glob("*.parquet"))
    lost.replace(lost.with_name(f"{lost.name}.partial"))
    times = [file.stat().st_mtime_ns for file in kept]
    summary = make()
    assert (summary.files, summary.skipped_files) == (1, SHARDS - 1)
    assert {file: file.read_bytes() for file in (tmp_path / "lists").iterdir()} == before
    assert [file.stat().st_mtime_ns for file in kept] == times


def test_a_killed_process_loses_nothing_and_leaves_nobody_with_two_lists(
    make: Make, tmp_path: Path
) -> None:
    def kill(phase: str, done: int, total: int) -> None:
        if phase == "making lists" and 0 < done < total:
            for process in multiprocessing.active_children():
                process.kill()

    with pytest.raises(WorkerKilled, match="run the command again"):
        make(model_id=3, shards=32, progress=kill)
    done = len(list((tmp_path / "lists").glob("*.parquet")))
    assert 0 < done < 32
    assert make(model_id=3, shards=32).skipped_files == done
    rows = written(tmp_path / "lists")
    assert Counter(row[0] for row in rows) == Counter(map(str, range(101, 101 + LISTENERS)))


def test_a_killed_run_leaves_no_process_behind_and_the_next_one_goes_on(
    make: Make, data_path: Path, bundle_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "lists"
    options = f"--data {data_path} --bundle {bundle_path} --out {out} --k {K} --shards 64"
    with subprocess.Popen([*SEGUE, "batch", *options.split()], stdout=subprocess.DEVNULL) as run:
        while not [*out.glob("*.parquet")]:
            assert run.poll() is None
            time.sleep(0.01)
        children = psutil.Process(run.pid).children(recursive=True)
        run.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    make(model_id=3, shards=64)
    assert Counter(row[0] for row in written(out)) == Counter(map(str, range(101, 101 + LISTENERS)))


def test_whoever_is_killed_at_the_very_beginning_can_begin_again(
    make: Make, tmp_path: Path
) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "batch.json.partial").write_text("{")
    assert make().lists == LISTENERS


def test_a_folder_of_other_lists_is_left_alone(make: Make, tmp_path: Path) -> None:
    make()
    with pytest.raises(InvalidData, match="another k, 10 and not 11; name another folder"):
        make(k=11)
    with pytest.raises(InvalidData, match="another shards"):
        make(shards=SHARDS + 1)


def test_a_folder_of_something_else_is_left_alone(make: Make, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "thesis.txt").touch()
    with pytest.raises(InvalidData, match="holds something else"):
        make()


def test_a_model_that_there_is_not_is_named(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="there is no model 9"):
        make(model_id=9)
    assert not (tmp_path / "lists").exists()
