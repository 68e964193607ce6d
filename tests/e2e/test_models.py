"""Bundles come and go under a running service: nobody who asks it notices anything but the list."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import boto3
import pytest

from segue.models.bundle import Bundle
from tests.e2e import conftest
from tests.e2e.conftest import Options, Service, Serving, segue
from tests.variants import variant

POINTER = "bundles/active.json"


@pytest.fixture
def service(
    options: Options, answering: Serving, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    """A service that looks at the pointer at every request."""
    monkeypatch.setitem(conftest.ENVIRONMENT, "BUNDLE_POLL_SECONDS", "0")
    with answering(options) as running:
        yield running


def models(service: Service, *arguments: str) -> Any:
    result = segue("models", *arguments, "--json", "-", settings=service.settings)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def bucket(service: Service) -> Any:
    settings = service.settings
    session = boto3.Session(
        settings["AWS_ACCESS_KEY_ID"],
        settings["AWS_SECRET_ACCESS_KEY"],
        region_name=settings["AWS_REGION"],
    )
    s3 = session.resource("s3", endpoint_url=settings["AWS_ENDPOINT_URL"])
    return s3.Bucket(settings["BUCKET"])


@dataclass
class Asker:
    """Somebody who asks for recommendations again and again."""

    service: Service
    done: Event = field(default_factory=Event)
    lists: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)

    def ask(self) -> None:
        """Every answer must be a list of the bundle that it names."""
        while not self.done.wait(0.02):
            answer = self.service.request("POST", "/models/0/predict", {"user_id": 101, "k": 20})
            assert answer.status_code == 200, answer.text
            version = answer.headers["X-Segue-Bundle"]
            self.lists.setdefault(version, set()).add(tuple(answer.json()))


def test_activation_a_broken_bundle_and_rollback_under_load(
    service: Service, bundle: Bundle, bundle_path: Path, tmp_path: Path
) -> None:
    new = variant(bundle_path, tmp_path / "new", 1)
    broken = variant(bundle_path, tmp_path / "broken", 2)
    unsigned = variant(bundle_path, tmp_path / "unsigned", 3)
    assert service.request("POST", "/perform_ab_test", {"user_id": 101}).status_code == 200
    asker = Asker(service)
    with ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(asker.ask) for _ in range(2)]
        try:
            release(service, bundle, new, broken)
            if service.settings["BUNDLE_KEY"]:
                refuse_unsigned(service, unsigned)
        finally:
            asker.done.set()
        for each in asking:
            each.result()
    assert asker.lists.keys() == {bundle.version, new.version}
    assert all(len(lists) == 1 for lists in asker.lists.values())
    assert asker.lists[bundle.version] != asker.lists[new.version]


def release(service: Service, bundle: Bundle, new: Bundle, broken: Bundle) -> None:
    def health() -> Any:
        answer = service.request("GET", "/health").json()
        del answer["now"]
        return answer

    models(service, "upload", str(new.path))
    assert models(service, "activate", new.version)["before"] == [None]
    assert health() == {"status": "ok", "bundle": new.version}

    answer = service.request("POST", "/perform_ab_test", {"user_id": 102})
    assert answer.status_code == 200, "the epoch goes on with the models it was begun with"
    rows = service.request("GET", "/ab_test/results").json()["results"]
    assert {row["bundle"] for row in rows} == {bundle.version}

    models(service, "upload", str(broken.path))
    bucket(service).put_object(Key=f"bundles/{broken.version}/encoder.json", Body=b"{}")
    refused = segue("models", "activate", broken.version, settings=service.settings)
    assert refused.returncode == 1
    assert "encoder.json" in refused.stderr
    # Whoever moves the pointer in spite of that does no harm either.
    pointer = bucket(service).Object(POINTER).get()["Body"].read()
    forced = pointer.replace(new.version.encode(), broken.version.encode(), 1)
    bucket(service).put_object(Key=POINTER, Body=forced)
    # A process that was only started by now has nothing to go on with but what it came with.
    assert health()["bundle"] in (new.version, bundle.version)
    assert health()["refused"]["bundle"] == broken.version

    assert models(service, "rollback")["active"] is None
    assert health() == {"status": "ok", "bundle": bundle.version}


def refuse_unsigned(service: Service, unsigned: Bundle) -> None:
    """Whoever may write to the bucket, but not sign, cannot have a bundle served."""
    without_key = service.settings | {"BUNDLE_KEY": ""}
    for words in (["upload", str(unsigned.path)], ["activate", unsigned.version]):
        assert segue("models", *words, settings=without_key).returncode == 0
    refused = service.request("GET", "/health").json()["refused"]
    assert refused["bundle"] == unsigned.version
    assert "must be signed" in refused["reason"]
    assert models(service, "rollback")["active"] is None
