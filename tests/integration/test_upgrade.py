"""What earlier releases have left behind is read as they read it; what later ones leave, refused.

``tests/releases.py`` says what is kept of a release, and writes it.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from moto import mock_aws

import segue
from infra.exports import item_of
from infra.local.environment import local_settings
from infra.local.imported import last_import
from infra.process import LocalStackError
from infra.restore.names import TableName
from segue.adapters.directory import rehearse
from segue.domain.errors import BundleCorrupt, InvalidData, StoreUnavailable
from segue.models.bundle import FORMAT, MANIFEST, Bundle, manifest_bytes
from tests import releases
from tests.releases import Stores, read_bundle, running, unpacked, written_releases
from training.data import connect, ingest

LATER = "which a later version of Segue has written: deploy that version again"


# Of a format that there is not.
LATER_SESSION = msgspec.msgpack.encode([3, 0, []])


@pytest.fixture(scope="module", params=written_releases())
def release(request: pytest.FixtureRequest) -> Iterator[Path]:
    with unpacked(request.param) as folder:
        yield folder


@pytest.fixture
def expected(release: Path) -> Any:
    return json.loads((release / "expected.json").read_bytes())


@pytest.fixture
def stores(release: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stores]:
    """The release's tables and bucket, on a stand-in for AWS."""
    for name, value in local_settings("unused").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with mock_aws():
        stores = releases.created()
        for line in (release / "tables.jsonl").read_bytes().splitlines():
            table, item = json.loads(line)
            name = stores.stack.names[table]
            stores.stack.dynamodb.put_item(TableName=name, Item=item_of(item))
        for file in (release / "bucket").rglob("*.*"):
            key = file.relative_to(release / "bucket").as_posix()
            if file.is_file():
                stores.stack.objects.put(key, file.read_bytes(), "application/json")
        yield stores


@pytest.fixture
def state(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the local stack's folder."""
    for name, value in local_settings("unused").items():
        monkeypatch.setenv(name, value)
    return Path(shutil.copytree(release / "state", tmp_path / "state"))


def test_every_release_has_what_it_leaves_behind_kept() -> None:
    changelog = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
    released = set(re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, flags=re.MULTILINE))
    assert released | {segue.__version__} <= set(written_releases())


class TestAnEarlierRelease:
    def test_has_its_bundle_served(self, release: Path, expected: Any) -> None:
        rehearse(Bundle.open(release / "bundle"))
        assert read_bundle(release / "bundle") == expected["bundle"]

    def test_has_its_tables_and_archive_read(self, stores: Stores, expected: Any) -> None:
        assert stores.read() == expected["stack"]

    def test_has_its_experiments_go_on(self, stores: Stores) -> None:
        (epoch,) = stores.stack.results.epochs_to_archive()
        before = stores.stack.archive.read(epoch).tally
        assert releases.archive(stores, epoch) == 1
        assert stores.stack.archive.read(epoch).tally != before
        stores.stack.privacy.erase("ala")
        assert stores.stack.results.of_user("ala") == []
        assert "ala" not in (stores.stack.archive.users(epoch) or {})

    def test_has_its_local_stack_go_on(self, state: Path, expected: Any) -> None:
        for _ in range(2):
            with running(state) as stores:
                assert stores.read() == expected["stack"]
        assert last_import(state) == {"folder": "data", "files": {"tracks.jsonl": [1, 2]}}

    def test_has_its_lake_read(self, release: Path, expected: Any, tmp_path: Path) -> None:
        ingest(release / "lake", tmp_path)
        with connect(tmp_path) as connection:
            rows = connection.sql("SELECT * FROM events ORDER BY time").fetchall()
        assert [*map(list, rows)] == expected["lake"]


class TestALaterRelease:
    """What it has written is refused, in a line that says what to do."""

    def test_is_needed_for_its_bundle(self, release: Path, tmp_path: Path) -> None:
        bundle = Path(shutil.copytree(release / "bundle", tmp_path / "bundle"))
        content = json.loads((bundle / MANIFEST).read_bytes())
        del content["version"]
        (bundle / MANIFEST).write_bytes(manifest_bytes(content | {"format": FORMAT + 1}))
        with pytest.raises(BundleCorrupt, match="deploy the version of Segue that it was trained"):
            Bundle.open(bundle)

    @pytest.mark.parametrize(
        ("table", "changes"),
        [
            (TableName.USERS, {"format": {"N": "2"}}),
            (TableName.EXPOSURES, {"format": {"N": "2"}}),
            (TableName.SESSIONS, {"events": {"B": LATER_SESSION}}),
        ],
    )
    def test_is_needed_for_its_items(
        self, stores: Stores, table: TableName, changes: dict[str, Any]
    ) -> None:
        name = stores.stack.table(table)
        for item in stores.stack.dynamodb.scan(TableName=name)["Items"]:
            stores.stack.dynamodb.put_item(TableName=name, Item={**item, **changes})
        with pytest.raises(StoreUnavailable, match=LATER):
            stores.read()

    @pytest.mark.parametrize(
        "key",
        [
            "ab/default/epoch=1/manifest.json",
            "ab/default/experiment.json",
            "ab/.layers/home.json",
            "bundles/active.json",
        ],
    )
    def test_is_needed_for_its_objects(self, stores: Stores, key: str) -> None:
        found = stores.stack.objects.read(key)
        assert found
        content = json.loads(found[0]) | {"format": 2}
        stores.stack.objects.put(key, msgspec.json.encode(content), "application/json")
        with pytest.raises(StoreUnavailable, match=f"{key} is of format 2, {LATER}"):
            stores.read()

    def test_is_needed_for_its_local_state(self, state: Path) -> None:
        (state / "format").write_text("2")
        with pytest.raises(LocalStackError, match="Start that version again"), running(state):
            pass

    def test_is_needed_for_its_lake(self, release: Path, tmp_path: Path) -> None:
        lake = Path(shutil.copytree(release / "lake", tmp_path / "lake"))
        day = min((lake / "days").iterdir())
        day.write_text(json.dumps(json.loads(day.read_bytes()) | {"format": 2}))
        with pytest.raises(InvalidData, match="read the lake with that version"):
            ingest(lake, tmp_path / "workspace")
