"""Bundles in the bucket: uploaded whole or not at all, activated by one, served by all."""

import io
import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from threading import Event as Signal
from typing import Any
from zipfile import ZipFile

import boto3
import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from infra.cli import app
from infra.memory import (
    FixedClock,
    MemorySessionStore,
    MemoryTrackStore,
    MemoryUserStore,
)
from infra.models import Depot, publish_layer
from segue.adapters import bundles
from segue.adapters.bundles import POINTER_KEY, S3Bundles
from segue.adapters.model_store import ActiveModelStore
from segue.domain.errors import (
    BundleCorrupt,
    BundleMissing,
    InvalidData,
    StaleVersion,
    StoreUnavailable,
)
from segue.domain.events import Event, EventType
from segue.features import schema
from segue.models.bundle import MANIFEST, Bundle
from segue.ports import Refused
from segue.services.recommend import Query, Recommender
from tests.integration.conftest import Aws
from tests.variants import variant

both = pytest.mark.parametrize("aws", ["moto", "local stack"], indirect=True)
moto = pytest.mark.parametrize("aws", ["moto"], indirect=True)


@pytest.fixture(scope="module")
def variants(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    root = tmp_path_factory.mktemp("variants")
    return [variant(bundle_path, root / str(seed), seed) for seed in range(3)]


@pytest.fixture
def bucket(aws: Aws) -> Depot:
    return Depot(aws.s3, aws.names["Bucket"])


def released(aws: Aws, *uploaded: Bundle) -> Depot:
    """The bucket with these bundles in it."""
    found = Depot(aws.s3, aws.names["Bucket"])
    for bundle in uploaded:
        found.upload(bundle.path)
    return found


def key(bundle: Bundle, name: str) -> str:
    return f"bundles/{bundle.version}/{name}"


def put(aws: Aws, name: str, body: bytes) -> None:
    aws.s3.put_object(Bucket=aws.names["Bucket"], Key=name, Body=body)


def store(
    aws: Aws, own: Path, told: list[Refused] | None = None, poll: float = 0
) -> ActiveModelStore:
    """What a function serves from; it looks at the pointer at every request."""
    told = [] if told is None else told
    return ActiveModelStore(S3Bundles(aws.s3, aws.names["Bucket"]), own, poll, told.append)


class TestUpload:
    @both
    def test_brings_every_file_once(self, aws: Aws, bucket: Depot, bundle: Bundle) -> None:
        files = len(bundle.manifest.files)
        first, again = bucket.upload(bundle.path), bucket.upload(bundle.path)
        assert (first.version, first.sent, first.there) == (bundle.version, files, 0)
        assert (again.sent, again.there) == (0, files)
        (found,) = bucket.released()
        assert found.manifest
        assert found.manifest.content == bundle.manifest.content

    @both
    def test_sends_again_what_is_damaged(self, aws: Aws, bucket: Depot, bundle: Bundle) -> None:
        bucket.upload(bundle.path)
        size = bundle.manifest.files["encoder.json"]["bytes"]
        put(aws, key(bundle, "encoder.json"), b"x" * size)
        put(aws, key(bundle, "schema.json"), b"")
        assert bucket.upload(bundle.path).sent == 2
        assert bucket.activate(bundle.version).active.version == bundle.version

    @moto
    def test_goes_on_where_it_was_stopped(
        self, aws: Aws, bucket: Depot, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        send, left = aws.s3.put_object, iter(range(5))

        def failing(**arguments: Any) -> Any:
            if next(left, None) is None:
                raise ClientError({"Error": {"Code": "SlowDown"}}, "PutObject")
            return send(**arguments)

        with monkeypatch.context() as patch:
            patch.setattr(aws.s3, "put_object", failing)
            with pytest.raises(StoreUnavailable, match="SlowDown"):
                bucket.upload(bundle.path)
        (found,) = bucket.released()
        assert "not uploaded to its end" in found.fault
        with pytest.raises(BundleMissing):
            bucket.activate(bundle.version)
        assert bucket.upload(bundle.path).there == 5
        assert bucket.activate(bundle.version).active.version == bundle.version

    @moto
    def test_refuses_what_the_functions_would_refuse(
        self, aws: Aws, bucket: Depot, bundle: Bundle, tmp_path: Path
    ) -> None:
        copy = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
        (copy / "encoder.json").write_bytes(b"{}")
        with pytest.raises(BundleCorrupt, match=r"encoder\.json"):
            bucket.upload(copy)
        assert bucket.released() == []


class TestActivate:
    @both
    def test_moves_the_pointer_and_rolls_back_step_by_step(
        self, aws: Aws, variants: list[Bundle]
    ) -> None:
        bucket = released(aws, *variants)
        first, second, third = (bundle.version for bundle in variants)
        for version in (first, second, third, third):
            assert bucket.activate(version).active.version == version
        went_back = [bucket.roll_back().active.version for _ in range(3)]
        assert went_back == [second, first, None]
        with pytest.raises(InvalidData, match="nothing to roll back to"):
            bucket.roll_back()
        assert bucket.activate(second).before[0].version is None

    @moto
    def test_takes_the_deployed_one_too(self, aws: Aws, variants: list[Bundle]) -> None:
        bucket = released(aws, variants[0])
        bucket.activate(variants[0].version)
        assert bucket.activate(None).active.version is None
        assert bucket.roll_back().active.version == variants[0].version

    @moto
    @pytest.mark.parametrize("version", ["", "latest", "../active", "0123456789AB"])
    def test_refuses_what_is_no_version(self, aws: Aws, bucket: Depot, version: str) -> None:
        with pytest.raises(InvalidData, match="no version"):
            bucket.activate(version)

    @both
    @pytest.mark.parametrize("damage", ["missing", "changed"])
    def test_refuses_a_bundle_that_is_not_whole(
        self, aws: Aws, bundle: Bundle, damage: str
    ) -> None:
        bucket, name = released(aws, bundle), "classifier/head.onnx"
        if damage == "missing":
            aws.s3.delete_object(Bucket=aws.names["Bucket"], Key=key(bundle, name))
        else:
            put(aws, key(bundle, name), b"x" * bundle.manifest.files[name]["bytes"])
        with pytest.raises(BundleCorrupt, match=name):
            bucket.activate(bundle.version)
        assert bucket.pointer().active.version is None

    @moto
    def test_refuses_a_bundle_of_another_schema(
        self, aws: Aws, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bucket = released(aws, bundle)
        monkeypatch.setattr(schema, "LAYOUT", 2)
        with pytest.raises(BundleCorrupt, match="another feature schema or encoder"):
            bucket.activate(bundle.version)

    @moto
    def test_refuses_a_manifest_under_another_version(
        self, aws: Aws, variants: list[Bundle]
    ) -> None:
        first, second = variants[:2]
        bucket = released(aws, first)
        put(aws, key(first, MANIFEST), (second.path / MANIFEST).read_bytes())
        with pytest.raises(BundleCorrupt, match=second.version):
            bucket.activate(first.version)

    @both
    def test_of_several_at_once_one_wins_and_the_others_know(
        self, aws: Aws, variants: list[Bundle]
    ) -> None:
        bucket = released(aws, *variants)
        everybody_looked = [Signal() for _ in variants]

        def contend(place: int) -> str | None:
            mine = Depot(aws.s3, aws.names["Bucket"])
            looked = mine._pointer

            def look_and_wait() -> Any:
                found = looked()
                everybody_looked[place].set()
                assert all(signal.wait(60) for signal in everybody_looked)
                return found

            mine._pointer = look_and_wait  # type: ignore[method-assign]
            with suppress(StaleVersion):
                return mine.activate(variants[place].version).active.version
            return None

        with ThreadPoolExecutor(len(variants)) as threads:
            won = [it for it in threads.map(contend, range(len(variants))) if it]
        assert [bucket.pointer().active.version] == won
        assert len(bucket.pointer().before) == 1

    @moto
    def test_a_move_whose_answer_was_lost_counts(
        self, aws: Aws, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bucket, send = released(aws, bundle), aws.s3.put_object

        def lost(**arguments: Any) -> Any:
            send(**arguments)
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")

        monkeypatch.setattr(aws.s3, "put_object", lost)
        assert bucket.activate(bundle.version).active.version == bundle.version


class TestServing:
    @both
    def test_follows_the_pointer_and_reads_no_body_twice(
        self, aws: Aws, bundle: Bundle, variants: list[Bundle]
    ) -> None:
        bucket = released(aws, *variants[:2])
        serving = store(aws, bundle.path)
        assert serving.current().version == bundle.version
        for each in variants[:2]:
            bucket.activate(each.version)
            assert serving.current().version == each.version
            assert serving.current().version == each.version
        bucket.roll_back()
        assert serving.current().version == variants[0].version

    @moto
    def test_a_fetch_that_was_cut_short_goes_on(
        self, aws: Aws, bundle: Bundle, variants: list[Bundle], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        released(aws, variants[0]).activate(variants[0].version)
        told: list[Refused] = []
        serving, get, keys = store(aws, bundle.path, told), aws.s3.get_object, []

        def failing(**arguments: Any) -> Any:
            keys.append(arguments["Key"])
            if len(keys) == 8:
                raise ClientError({"Error": {"Code": "SlowDown"}}, "GetObject")
            return get(**arguments)

        monkeypatch.setattr(bundles, "STREAMS", 1)
        monkeypatch.setattr(aws.s3, "get_object", failing)
        assert serving.current().version == bundle.version
        assert told == [Refused(variants[0].version, "bundles: SlowDown")]
        assert serving.current().version == variants[0].version
        files = [each for each in keys if each.startswith(f"bundles/{variants[0].version}/")]
        twice = {each for each in files if files.count(each) > 1}
        assert twice == {key(variants[0], MANIFEST), keys[7]}

    @moto
    def test_a_large_file_arrives_by_range_and_goes_on_where_it_was_stopped(
        self, aws: Aws, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        released(aws, bundle)
        largest = max(bundle.manifest.files.values(), key=lambda it: it["bytes"])["bytes"]
        monkeypatch.setattr(bundles, "RANGE_BYTES", largest // 5)
        source, get = S3Bundles(aws.s3, aws.names["Bucket"]), aws.s3.get_object
        asked: list[tuple[str, str]] = []
        for killed_after in (12, 12, 12, None):
            calls = iter(range(killed_after or 1_000))

            def some(calls: Iterator[int] = calls, **arguments: Any) -> Any:
                if next(calls, None) is None:
                    raise ClientError({"Error": {"Code": "SlowDown"}}, "GetObject")
                asked.append((arguments["Key"], arguments.get("Range", "")))
                return get(**arguments)

            monkeypatch.setattr(aws.s3, "get_object", some)
            with pytest.raises(StoreUnavailable) if killed_after else nullcontext():
                source.fetch(bundle.version, tmp_path)
        assert Bundle.open(tmp_path).version == bundle.version
        assert not [*tmp_path.rglob("*.part")]
        ranges = {each for each in asked if key(bundle, MANIFEST) not in each}
        assert max(Counter(name for name, _ in ranges).values()) > 5
        # Only what was on its way when it was stopped is asked for again.
        assert len([it for it in asked if it in ranges]) <= len(ranges) + 3 * bundles.STREAMS

    @moto
    def test_what_a_killed_process_had_fetched_is_gone_on_with(
        self,
        aws: Aws,
        bundle: Bundle,
        variants: list[Bundle],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        version = variants[0].version
        released(aws, variants[0]).activate(version)
        killed = subprocess.Popen([sys.executable, "-c", ""])
        killed.wait()
        left = tmp_path / f"segue-bundles-{killed.pid}-x"
        shutil.copytree(variants[0].path, left / "incoming" / version)
        name = "encoder.json"
        whole = left / "incoming" / version / name
        # One file was whole, but for its name; of another one half had arrived.
        whole.rename(whole.with_name(f"{name}.part"))
        half = left / "incoming" / version / "classifier/factors.npy"
        half.with_name(f"{half.name}.part").write_bytes(half.read_bytes()[:500])
        half.unlink()
        get, asked = aws.s3.get_object, Counter[tuple[str, str]]()

        def counted(**arguments: Any) -> Any:
            asked[arguments["Key"], arguments.get("Range", "").split("-")[0]] += 1
            return get(**arguments)

        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.setattr(aws.s3, "get_object", counted)
        assert store(aws, bundle.path).current().version == version
        assert {*asked} == {
            (POINTER_KEY, ""),
            (key(variants[0], MANIFEST), ""),
            (key(variants[0], "classifier/factors.npy"), "bytes=500"),
        }
        assert not left.exists()

    @moto
    @pytest.mark.parametrize("change", [lambda it: it[:-1], lambda it: it[:1], lambda it: it[::-1]])
    def test_a_file_whose_ranges_are_of_two_objects_is_refused_and_fetched_anew(
        self,
        aws: Aws,
        bundle: Bundle,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        change: Callable[[bytes], bytes],
    ) -> None:
        released(aws, bundle)
        name, get = "encoder.json", aws.s3.get_object
        content = (bundle.path / name).read_bytes()
        monkeypatch.setattr(bundles, "RANGE_BYTES", len(content) // 3 + 1)
        monkeypatch.setattr(bundles, "STREAMS", 1)

        def replaced(**arguments: Any) -> Any:
            answer = get(**arguments)
            if arguments["Key"] == key(bundle, name):
                put(aws, key(bundle, name), change(content))
            return answer

        source = S3Bundles(aws.s3, aws.names["Bucket"])
        with monkeypatch.context() as patch:
            patch.setattr(aws.s3, "get_object", replaced)
            with pytest.raises(BundleCorrupt, match=r"encoder\.json"):
                source.fetch(bundle.version, tmp_path)
        assert not (tmp_path / name).exists()
        put(aws, key(bundle, name), content)
        source.fetch(bundle.version, tmp_path)
        assert Bundle.open(tmp_path).version == bundle.version

    @moto
    def test_a_fetch_does_not_take_for_ever(
        self, aws: Aws, bundle: Bundle, variants: list[Bundle], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        released(aws, variants[0]).activate(variants[0].version)
        serving = store(aws, bundle.path)
        monkeypatch.setattr(bundles, "FETCH_SECONDS", -math.inf)
        assert serving.current().version == bundle.version
        refused = serving.refused()
        assert refused
        assert "does not arrive in time" in refused.reason

    @moto
    def test_what_is_damaged_behind_the_pointer_is_refused(
        self, aws: Aws, bundle: Bundle, variants: list[Bundle]
    ) -> None:
        released(aws, variants[0]).activate(variants[0].version)
        put(aws, key(variants[0], "encoder.json"), b"{}")
        serving = store(aws, bundle.path)
        assert serving.current().version == bundle.version
        assert serving.refused() == Refused(
            variants[0].version,
            f"{key(variants[0], 'encoder.json')}: its checksum is not the manifest's",
        )

    @moto
    @pytest.mark.parametrize("body", [b"", b"[]", b'{"active": {"version": 1}}'])
    def test_what_is_no_pointer_moves_nothing(self, aws: Aws, bundle: Bundle, body: bytes) -> None:
        put(aws, POINTER_KEY, body)
        serving = store(aws, bundle.path)
        assert serving.current().version == bundle.version
        refused = serving.refused()
        assert refused
        assert POINTER_KEY in refused.reason

    @moto
    def test_no_file_of_a_bundle_leads_out_of_it(self, aws: Aws, bundle: Bundle) -> None:
        for name in ("../x", "/etc/x", "a/../../x", ""):
            with pytest.raises(BundleCorrupt, match="no file of a bundle"):
                bundles.file_key(bundle.version, name)


class TestUnderLoad:
    """Requests go on while bundles come and go, broken ones among them."""

    @pytest.fixture
    def listeners(self, bundle: Bundle) -> tuple[MemorySessionStore, MemoryUserStore]:
        sessions = MemorySessionStore()
        tracks = bundle.catalogue.ids[:5].astype(str)
        for place, track in enumerate(tracks):
            time = bundle.manifest.cutoff - (place + 1) * 1_000_000
            sessions.put([Event("1", "s", time, EventType.PLAY, track)])
        return sessions, MemoryUserStore()

    @moto
    def test_every_answer_is_that_of_the_one_bundle_it_names(
        self,
        aws: Aws,
        bundle: Bundle,
        variants: list[Bundle],
        listeners: tuple[MemorySessionStore, MemoryUserStore],
    ) -> None:
        bucket, serving = released(aws, *variants), store(aws, bundle.path, poll=0.05)
        recommender = Recommender(
            *listeners, serving, MemoryTrackStore(), FixedClock(bundle.manifest.cutoff)
        )
        query = Query("1", 0, k=20)
        expected = {
            each.version: recommender.recommend(query, each).tracks for each in (bundle, *variants)
        }
        done = Signal()

        def ask() -> list[tuple[str, tuple[str, ...]]]:
            answers = []
            while not done.wait(0.005):
                answer = recommender.recommend(query)
                answers.append((answer.bundle, answer.tracks))
            return answers

        with ThreadPoolExecutor(3) as threads:
            asking = [threads.submit(ask) for _ in range(3)]
            try:
                release_and_break(aws, bucket, serving, variants)
            finally:
                done.set()
            answers = [answer for each in asking for answer in each.result()]
        assert {version for version, _ in answers} == set(expected)
        assert all(expected[version] == tracks for version, tracks in answers)


def release_and_break(
    aws: Aws, bucket: Depot, serving: ActiveModelStore, variants: list[Bundle]
) -> None:
    """Activate one after the other; point at what is broken; go all the way back."""
    for each in variants:
        bucket.activate(each.version)
        assert serving.current(fresh=True).version == each.version
    whole = aws.s3.get_object(Bucket=aws.names["Bucket"], Key=POINTER_KEY)["Body"].read()
    broken = "0123456789ab"
    put(aws, f"bundles/{broken}/{MANIFEST}", b"{}")
    for pointer in (b"{", whole.replace(variants[-1].version.encode(), broken.encode())):
        put(aws, POINTER_KEY, pointer)
        assert serving.current(fresh=True).version == variants[-1].version
        assert serving.refused()
    for before in (*variants[-2::-1], None):
        assert bucket.roll_back().active.version == (before.version if before else None)
        serving.current(fresh=True)


class TestLayer:
    @moto
    def test_holds_what_opt_should_hold_and_is_published_once(
        self, aws: Aws, bundle: Bundle, tmp_path: Path
    ) -> None:
        client, name = boto3.client("lambda"), aws.names["Bucket"]
        arn = publish_layer(client, aws.s3, name, bundle.path, "segue-models")
        assert publish_layer(client, aws.s3, name, bundle.path, "segue-models") == arn
        (version,) = client.list_layer_versions(LayerName="segue-models")["LayerVersions"]
        assert version["LayerVersionArn"] == arn
        assert version["CompatibleRuntimes"] == ["python3.13"]
        body = aws.s3.get_object(Bucket=name, Key=key(bundle, "layer.zip"))["Body"].read()
        ZipFile(io.BytesIO(body)).extractall(tmp_path)
        assert Bundle.open(tmp_path / "bundle").version == bundle.version


class TestCommands:
    """The whole way, as an operator walks it."""

    @pytest.fixture
    def run(self, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        monkeypatch.setenv("BUCKET", aws.names["Bucket"])

        def run_command(*arguments: str | Path) -> Any:
            words = ["models", *(str(word) for word in arguments), "--json", "-"]
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 0, result.stderr
            return json.loads(result.stdout)

        return run_command

    @moto
    def test_upload_activate_list_roll_back(
        self, aws: Aws, run: Any, bundle: Bundle, variants: list[Bundle]
    ) -> None:
        first, second = bundle.version, variants[0].version
        uploaded = run("upload", bundle.path, "--layer", "segue-models")
        assert uploaded["version"] == first
        assert uploaded["layer"].endswith(":layer:segue-models:1")
        run("upload", variants[0].path)
        assert run("activate", first)["before"] == [None]
        assert run("activate", second)["before"] == [first, None]
        listed = run("list")
        assert listed["active"] == second
        assert {each["version"]: each["active"] for each in listed["bundles"]} == {
            first: False,
            second: True,
        }
        for each in listed["bundles"]:
            assert each["cutoff"] == bundle.manifest.content["cutoff"]
            assert [model["name"] for model in each["models"]][-1] == "hybrid"
        assert run("rollback")["active"] == first
        assert run("activate", "deployed")["active"] is None

    @moto
    def test_the_list_for_people_marks_the_active_one(
        self, aws: Aws, run: Any, bundle: Bundle
    ) -> None:
        run("upload", bundle.path)
        run("activate", bundle.version)
        put(aws, "bundles/0123456789ab/schema.json", b"")
        lines = CliRunner().invoke(app, ["models", "list"]).stdout.splitlines()
        assert lines[0] == "  deployed"
        assert [line[:14] for line in lines[1:]] == [f"* {bundle.version}", "  0123456789ab"]
        assert "not uploaded to its end" in lines[2]


def test_a_bucket_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BUCKET", raising=False)
    result = CliRunner().invoke(app, ["models", "list"])
    assert result.exit_code == 1
    assert "--bucket" in result.stderr
