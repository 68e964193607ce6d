"""Lists for everybody in a data folder, made by several processes: ``segue batch``.

::

    batch.json                  the order: what the lists are, and of how many files
    00000-of-00016.parquet ...  a row for each user, as ``segue.adapters.lists`` writes it

A file is there when it is whole. So a run that was stopped goes on where it was.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from zlib import crc32

import numpy as np
from threadpoolctl import threadpool_limits

from infra.progress import Report, silent
from segue.adapters.lists import encode, file_name
from segue.domain.errors import InvalidData, SegueError
from segue.domain.times import format_time
from segue.domain.users import User
from segue.features.listeners import History
from segue.models.bundle import SCHEMA_TEXT, Bundle
from segue.models.model import Listener
from segue.models.registry import load_model, model_name
from segue.ports import Shard, UserList
from segue.services.batch import lists_of
from training.data import connect, ingest
from training.histories import history_at, read_plays
from training.users import read_users

_ORDER = "batch.json"
_PARTIAL = ".partial"
_ARRAYS = tuple(field.name for field in fields(History))


class WorkerKilled(SegueError):
    """A process was killed. What is done is done, and the next run goes on from there."""


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """``lists`` were written into so many ``files``; ``skipped_files`` were there already."""

    bundle: str
    model: str
    as_of: str
    lists: int
    files: int
    skipped_files: int


class FolderLists:
    """The files in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, shard: Shard) -> bool:
        """Whether the file is there."""
        return (self._folder / file_name(shard)).is_file()

    def add(self, shard: Shard, lists: Iterable[UserList]) -> int:
        """Write the file aside, and let it take its name when it is safe on the disk."""
        body, rows = encode(lists)
        _write_whole(self._folder / file_name(shard), body)
        return rows


def batch_folder(
    data: Path,
    bundle: Path,
    out: Path,
    *,
    model_id: int,
    k: int,
    as_of: int | None = None,
    shards: int,
    workers: int,
    progress: Report = silent,
) -> BatchSummary:
    """Write the lists of everybody who has a profile or a play in the data folder.

    as_of: the moment that they are made for; None: right after the last event. A user's shard
    follows from their id, so it stays the same when others come.

    Raises InvalidData for a folder that cannot be read, or an ``out`` that holds other lists,
    UnknownModel, BundleError, and WorkerKilled.
    """
    opened = Bundle.open(bundle)
    days = load_model(model_id, opened).history_days
    with TemporaryDirectory(prefix="segue-batch-") as temporary:
        workspace = Path(temporary)
        reading = partial(progress, "reading the data")
        schema = opened.path / SCHEMA_TEXT
        summary = ingest(data, workspace, reading, needs=("sessions",), schema=schema)
        if as_of is None:
            assert summary.last_event is not None  # sessions are needed
            as_of = summary.last_event + 1
        order = Shard(out.name, model_id, k, as_of, 0, shards)
        _claim(out, order, opened)
        parts = _parts(_write_histories(workspace, opened, as_of, days), shards)
        todo = {
            shard: parts[shard.number]
            for shard in (replace(order, number=number) for number in range(shards))
            if not FolderLists(out).has(shard)
        }
        making = partial(progress, "making lists")
        lists = _run(todo, _Work(bundle, workspace, out), workers, making)
    return BatchSummary(
        opened.version,
        model_name(model_id, opened),
        format_time(as_of),
        lists,
        len(todo),
        shards - len(todo),
    )


def _claim(out: Path, order: Shard, bundle: Bundle) -> None:
    """Note what the folder is for. Raises InvalidData where it is for something else."""
    noted = {
        "bundle": bundle.version,
        "model": order.model_id,
        "k": order.k,
        "as_of": format_time(order.as_of),
        "shards": order.of,
    }
    file = out / _ORDER
    out.mkdir(parents=True, exist_ok=True)
    if file.is_file():
        there = json.loads(file.read_bytes())
        if differing := [name for name, value in noted.items() if there.get(name) != value]:
            raise InvalidData(
                f"{file}: the lists there have another {differing[0]}, "
                f"{there.get(differing[0])} and not {noted[differing[0]]}; name another folder"
            )
    elif any(it.suffix != _PARTIAL for it in out.iterdir()):
        raise InvalidData(f"{out} holds something else; name an empty or a new folder")
    else:
        _write_whole(file, json.dumps(noted, indent=2).encode())


@dataclass(frozen=True, slots=True)
class _Place:
    """A user, and where their plays are among those of all."""

    user: User
    start: int
    end: int


def _write_histories(workspace: Path, bundle: Bundle, as_of: int, days: int) -> list[_Place]:
    """Leave everybody's plays as arrays in the workspace, for the processes to map."""
    with connect(workspace) as connection:
        ids, plays = read_plays(connection, bundle.catalogue)
        profiles = read_users(connection)
    known = plays.known_at(as_of, days)
    history = history_at(known, as_of)
    for name in _ARRAYS:
        np.save(workspace / f"{name}.npy", getattr(history, name))
    ends = np.searchsorted(known.user, np.arange(len(ids) + 1)).tolist()
    users = [profiles.pop(it, User(it)) for it in ids.tolist()]
    played = [_Place(*it) for it in zip(users, ends[:-1], ends[1:], strict=True)]
    return played + [_Place(user, 0, 0) for user in profiles.values()]


@dataclass(frozen=True, slots=True)
class _Work:
    """Where a process finds the bundle and the plays, and puts the lists."""

    bundle: Path
    workspace: Path
    out: Path

    def run(self, shard: Shard, places: Sequence[_Place]) -> int:
        """Write the lists of a shard; how many."""
        histories = _histories(self.workspace)
        listeners = (Listener(it.user, histories.only(slice(it.start, it.end))) for it in places)
        with threadpool_limits(1, "blas"):
            lists = lists_of(listeners, shard, _bundle(self.bundle))
            return FolderLists(self.out).add(shard, lists)


@cache
def _bundle(path: Path) -> Bundle:
    return Bundle.open(path)


@cache
def _histories(workspace: Path) -> History:
    """The plays of all."""
    arrays = {it: np.load(workspace / f"{it}.npy", mmap_mode="r") for it in _ARRAYS}
    return History(**{name: np.asarray(array) for name, array in arrays.items()})


def _parts(places: Iterable[_Place], shards: int) -> list[list[_Place]]:
    parts: list[list[_Place]] = [[] for _ in range(shards)]
    for place in places:
        parts[crc32(place.user.user_id.encode()) % shards].append(place)
    return parts


def _run(
    todo: Mapping[Shard, Sequence[_Place]], work: _Work, workers: int, progress: "partial[None]"
) -> int:
    """Make the lists of these shards; how many there are."""
    done, total = 0, sum(map(len, todo.values()))
    progress(done, total)
    with _processes(workers) as pool:
        futures = [pool.submit(work.run, shard, places) for shard, places in todo.items()]
        for future in as_completed(futures):
            done += future.result()
            progress(done, total)
    return done


@contextmanager
def _processes(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that share nothing with this one. What is not begun is left when one fails."""
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_end_with_parent
    )
    try:
        yield pool
    except BrokenProcessPool:
        raise WorkerKilled(
            "a process was killed, perhaps for want of memory; run the command again, and it goes "
            "on from there"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Have this process end when the one that began it does, be it killed."""
    parent = parent_process()
    assert parent is not None  # it is called in a child alone

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _write_whole(file: Path, body: bytes) -> None:
    """Write the file, or nothing of it, whatever stops it."""
    draft = file.with_name(f"{file.name}{_PARTIAL}")
    with draft.open("wb") as opened:
        opened.write(body)
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)
