"""Objects of the local stack, across its starts."""

from pathlib import Path

import pytest

from infra.local.environment import local_settings
from tests.releases import running

# Enough for the stack to save a snapshot as it stops, and to begin a new journal.
MUCH = 1_100_000


def test_what_is_deleted_stays_so_when_the_stack_has_saved_and_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in local_settings("unused").items():
        monkeypatch.setenv(name, value)
    state = tmp_path / "state"
    with running(state) as stores:
        s3, bucket = stores.stack.s3, stores.stack.bucket
        for key in ("one", "many", "kept"):
            s3.put_object(Bucket=bucket, Key=key, Body=bytes(MUCH))
        s3.delete_object(Bucket=bucket, Key="one")
        stores.stack.objects.delete(["many"])
    with running(state) as stores:
        assert [it.key for it in stores.stack.objects.all_listed("")] == ["kept"]
    files = {it.name for it in (state / "s3").rglob("*") if it.is_file()}
    assert files == {"kept", "kept.meta.json"}
