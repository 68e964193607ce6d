"""What a release of Segue leaves behind, kept small, for the later ones to read.

``python -m tests.releases`` writes ``tests/earlier/{version}.tar.xz``, once for each release::

    bundle/          models, trained on little; with rounded numbers, to be small
    tables.jsonl     the items of all tables, as DynamoDB exports them, after their table's id
    bucket/          the bucket's objects
    state/           of the local stack: a snapshot, and a journal of what came after it
    lake/            two days of events
    expected.json    what the release itself reads of all this
"""

import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import msgspec
import numpy as np

import segue
from infra.local import stack
from infra.local.environment import PREFIX, TEMPLATE, point_aws_at
from infra.local.imported import note_import
from infra.process import listen
from infra.restore.names import TableName
from infra.restore.stack import Stack
from infra.template import create_resources, load
from segue.adapters.aws import dynamodb_client, s3_client
from segue.adapters.bundles import POINTER_KEY, S3Bundles
from segue.adapters.digests import Digests
from segue.adapters.dynamodb import DynamoUserStore
from segue.adapters.experiments import S3ExperimentStore
from segue.adapters.objects import JSON
from segue.domain.added import AddedTrack
from segue.domain.events import Event, EventType
from segue.domain.plays import Play
from segue.domain.times import DAY, LATEST, Window
from segue.domain.users import User
from segue.experiments.epoch import Epoch, EpochId, Side
from segue.experiments.experiment import DEFAULT
from segue.experiments.layers import Layer
from segue.experiments.records import Exposure, Impression, Pending, Record
from segue.features.listeners import history_of
from segue.models.bundle import MANIFEST, Bundle, manifest_bytes
from segue.models.model import Listener
from segue.models.pointer import Pointer
from segue.models.registry import load_model
from segue.services.compaction import Compactor

FOLDER = Path(__file__).parent / "earlier"

_NOW = 1_662_000_000_000
_USERS = ("ala", "ben", "coco")
_REPLAY, _LIVE = EpochId("default", 1, Side.REPLAY), EpochId("default", 1, Side.LIVE)
# So many large writes are enough for the local stack to save a snapshot as it stops.
_MUCH = 4
_LARGE = 50_000
_IMPORTED: dict[str, object] = {"folder": "data", "files": {"tracks.jsonl": [1, 2]}}


def written_releases() -> list[str]:
    """The releases whose leavings are kept."""
    return sorted(it.name.removesuffix(".tar.xz") for it in FOLDER.glob("*.tar.xz"))


@contextmanager
def unpacked(release: str) -> Iterator[Path]:
    """The folder of a release, as long as the context lasts."""
    with TemporaryDirectory() as folder:
        with tarfile.open(FOLDER / f"{release}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder)


@dataclass(frozen=True)
class Stores:
    """The tables and the bucket of a stack, written in every way there is, and read."""

    stack: Stack

    @property
    def users(self) -> DynamoUserStore:
        return DynamoUserStore(self.stack.dynamodb, self.stack.table(TableName.USERS))

    @property
    def experiments(self) -> S3ExperimentStore:
        return S3ExperimentStore(self.stack.objects)

    def fill(self, bundle: str) -> None:
        """Histories, profiles, experiments at every stage, layers, the active bundle."""
        for user in _USERS:
            self.stack.sessions.put(_plays(user, range(200, 0, -40), "imported"))
            self.stack.sessions.append(
                event._replace(recommendation_id="list") for event in _plays(user, [3, 2], "sent")
            )
            digests = Digests(self.stack.dynamodb, self.stack.table(TableName.SESSIONS))
            digest, window = digests.open(user), Window(_NOW - 400 * DAY, _NOW - 8 * DAY)
            events = self.stack.sessions.events(user, window)
            digests.replace(user, type(digest)(digest.version, window, events))
            self.users.put(User(user, ("rock", "pop"), user == "ala", {"city": "Łódź", "age": 31}))
            self.stack.results.add(_LIVE, Pending(_exposure(user), _NOW + DAY))
            self.stack.results.add(_REPLAY, _record(user))
        first = Pending(_exposure("ala"), _NOW + DAY)
        self.stack.results.show(_LIVE, first, Impression(_NOW + 5, ("t2", "t9")))
        archive(self, _REPLAY)
        self.stack.results.add(_REPLAY, _record("dan"))
        self.stack.track_store.set_available("t9", available=False)
        self.stack.track_store.add(AddedTrack("new", {"name": "New", "energy": 0.5}))
        epoch = Epoch(DEFAULT, bundle)
        assert self.experiments.save(epoch, None)
        running = self.experiments.running(DEFAULT.name)
        assert running
        assert self.experiments.save(epoch.following(bundle), running[1])
        assert self.experiments.save_layer(Layer("home"), None)
        pointer = Pointer().moved(bundle, _NOW)
        self.stack.objects.put(POINTER_KEY, msgspec.json.encode(pointer), JSON)

    def read(self) -> Any:
        """All that a stack can be asked for, as JSON has it."""
        window, archive = Window(0, LATEST), self.stack.archive
        sessions, results = self.stack.sessions, self.stack.results
        found = {
            "events": {user: sorted(sessions.events(user, window)) for user in _USERS},
            "histories": {user: sorted(sessions.history(user, window)) for user in _USERS},
            "users": self.users.search("", 9),
            "unavailable": sorted(self.stack.track_store.changes().unavailable),
            "added": self.stack.track_store.changes().added,
            "results": {user: results.of_user(user) for user in (*_USERS, "dan")},
            "archives": [archive.read(epoch).tally for epoch in (_REPLAY, _LIVE)],
            "archived": archive.users(_REPLAY),
            "records": sorted(archive.records(_REPLAY, 1), key=lambda it: it.exposure.user_id),
            "experiments": self.experiments.versions(DEFAULT.name),
            "layers": [layer for layer, _ in self.experiments.layers()],
            "active": S3Bundles(self.stack.s3, self.stack.bucket).active(),
        }
        return json.loads(msgspec.json.encode(found))


def archive(stores: Stores, epoch: EpochId) -> int:
    """Archive what is settled; how many records."""
    return Compactor(stores.stack.results, stores.stack.archive).compact(epoch)


def read_bundle(folder: Path) -> dict[str, list[str]]:
    """The five best tracks by each model, for a listener of the catalogue's first tracks."""
    bundle = Bundle.open(folder)
    cutoff, catalogue = bundle.manifest.cutoff, bundle.catalogue
    heard = catalogue.track_ids(np.arange(3))
    plays = [
        Play("0", track, cutoff - DAY * place, True, False) for place, track in enumerate(heard, 1)
    ]
    listener = Listener(User("0"), history_of(plays, catalogue, cutoff))
    scores = {str(it): load_model(it, bundle).score(listener) for it in bundle.manifest.models}
    return {
        model: list(catalogue.track_ids(np.argsort(-score, kind="stable")[:5]))
        for model, score in scores.items()
    }


def _plays(user: str, days: Any, session: str) -> list[Event]:
    """One so many days ago each, in a session of its own."""
    return [
        Event(user, f"{session} {day}", _NOW - day * DAY, EventType.PLAY, f"t{day}") for day in days
    ]


def _exposure(user: str) -> Exposure:
    return Exposure(
        *(user, "A", "hybrid", "bundle", ("t1", "t2"), _NOW, _NOW),
        before=0.5,
        traits={"premium": "no"},
        figures={"latency": 7.5},
    )


def _record(user: str) -> Record:
    return Record(_exposure(user), user == "ala", _NOW + DAY, positions=(1,))


def write_release(target: Path) -> None:
    """Write what this very version leaves behind."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        expected = {"bundle": _write_bundle(folder), "stack": _write_stack(folder)}
        _write_lake(folder / "lake")
        expected["lake"] = [*map(list, _lake_rows())]
        (folder / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True))
        target.parent.mkdir(exist_ok=True)
        with tarfile.open(target, "w:xz", preset=9) as archive:
            for path in sorted(folder.iterdir()):
                archive.add(path, path.name)


def _write_bundle(folder: Path) -> dict[str, list[str]]:
    from infra.demo import generate
    from training.export import PLOTS, TRAINING
    from training.train import train

    with TemporaryDirectory() as data:
        generate(Path(data), listeners=20, tracks=600)
        train(Path(data), folder / "bundle", progress=lambda *_: None)
    # Serving reads neither.
    for name in (PLOTS, TRAINING):
        shutil.rmtree(folder / "bundle" / name)
    _round_numbers(folder / "bundle")
    return read_bundle(folder / "bundle")


def _round_numbers(bundle: Path) -> None:
    """Keep what compresses well of the numbers, and note the checksums of that."""
    import onnx
    from onnx import numpy_helper

    for file in bundle.rglob("*.onnx"):
        network = onnx.load(file)
        for weights in network.graph.initializer:
            rounded = _rounded(numpy_helper.to_array(weights))
            weights.CopyFrom(numpy_helper.from_array(rounded, weights.name))
        onnx.save(network, file)
    for file in bundle.rglob("*.npy"):
        np.save(file, _rounded(np.load(file)))
    content = json.loads((bundle / MANIFEST).read_bytes())
    del content["version"]
    for name, entry in content["files"].items():
        body = (bundle / name).read_bytes()
        entry |= {"sha256": sha256(body).hexdigest(), "size": len(body)}
    (bundle / MANIFEST).write_bytes(manifest_bytes(content))


def _rounded(array: Any) -> Any:
    """A large array to one digit behind the point. Of a small one, ratios matter."""
    if array.dtype.kind != "f" or array.nbytes < _LARGE:
        return array
    return np.round(array, 1).astype(array.dtype)


def _write_stack(folder: Path) -> Any:
    """Fill a local stack, and keep its state, its items and its objects."""
    state = folder / "state"
    with running(state) as stores:
        key: Any = {"key": {"S": "much"}}
        table = stores.stack.table(TableName.TRACKS)
        for _ in range(_MUCH):
            filler = {"filler": {"B": bytes(300_000)}}
            stores.stack.dynamodb.put_item(TableName=table, Item=key | filler)
        stores.stack.dynamodb.delete_item(TableName=table, Key=key)
    with running(state) as stores:
        stores.fill(Bundle.open(folder / "bundle").version)
        for entry in stores.stack.objects.all_listed(""):
            file = folder / "bucket" / entry.key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes((stores.stack.objects.read(entry.key) or (b"", ""))[0])
        _write_tables(stores.stack, folder / "tables.jsonl")
        read = stores.read()
    note_import(state, _IMPORTED)
    shutil.rmtree(state / "tables/work", ignore_errors=True)
    for leftover in ("stack.log", "stack.lock", "serve.lock"):
        (state / leftover).unlink(missing_ok=True)
    return read


@contextmanager
def running(state: Path) -> Iterator[Stores]:
    """The stores of a local stack that runs on this folder."""
    state.mkdir(exist_ok=True)
    with listen(0, "--stack-port") as listener, stack.running(state, listener) as url:
        point_aws_at(url)
        yield created()


def created() -> Stores:
    """The stores on the tables and the bucket that the environment leads to."""
    dynamodb, s3 = dynamodb_client(), s3_client()
    return Stores(Stack(dynamodb, s3, create_resources(load(TEMPLATE), dynamodb, s3, PREFIX)))


def _write_tables(stack: Stack, file: Path) -> None:
    with file.open("wb") as lines:
        for table in TableName:
            for item in stack.dynamodb.scan(TableName=stack.table(table))["Items"]:
                lines.write(msgspec.json.encode([table.logical_id, item]) + b"\n")


def _lake_rows() -> list[tuple[str, str, int, str, str]]:
    day = _NOW // DAY * DAY
    return [("ala", "s", day + place * DAY, "PLAY", "t1") for place in (0, 1)]


def _write_lake(lake: Path) -> None:
    names = "user_id, session_id, time, type, track_id"
    for row in _lake_rows():
        day = np.datetime64(row[2], "ms").astype("datetime64[D]")
        file = lake / f"events/day={day}/0.parquet"
        file.parent.mkdir(parents=True)
        rows = f"SELECT * FROM (VALUES {row}) AS t({names})"
        duckdb.execute(f"COPY ({rows}) TO '{file}' (FORMAT parquet)")
        (lake / "days").mkdir(exist_ok=True)
        content = {"day": str(day), "events": 1, "files": [str(file.relative_to(lake))]}
        (lake / f"days/{day}.json").write_text(json.dumps(content))
    (lake / "tracks.jsonl").write_text('{"id": "t1"}\n')


if __name__ == "__main__":
    written = FOLDER / f"{segue.__version__}.tar.xz"
    write_release(written)
    print(f"{written}: {written.stat().st_size:,} bytes")
