"""Experiments in S3 tell which epoch runs and which ran, though writers are killed or race."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from segue.adapters.archive import S3Archive
from segue.adapters.experiments import S3ExperimentStore
from segue.adapters.objects import Objects
from segue.domain.errors import StoreUnavailable
from segue.experiments.epoch import Epoch, EpochId, Side
from segue.experiments.experiment import DEFAULT, Figure, Guardrail
from segue.experiments.records import Exposure, Record
from tests.integration.conftest import Aws

FIRST = Epoch(replace(DEFAULT, guardrails=(Guardrail(Figure.LATENCY, 50),)), "bundle 1")
SECOND = FIRST.following("bundle 2")
THIRD = SECOND.following("bundle 2")


@pytest.fixture
def objects(aws: Aws) -> Objects:
    return Objects(aws.s3, aws.names["Bucket"])


@pytest.fixture
def store(objects: Objects) -> S3ExperimentStore:
    return S3ExperimentStore(objects)


def tag(store: S3ExperimentStore) -> str:
    running = store.running("default")
    assert running
    return running[1]


def saved(store: S3ExperimentStore, *epochs: Epoch) -> None:
    for epoch in epochs:
        assert store.save(epoch, tag(store) if epoch.number > 1 else None)


def test_an_experiment_that_was_never_saved_does_not_run(store: S3ExperimentStore) -> None:
    assert store.running("default") is None
    assert store.epoch("default", 1) is None
    assert store.all_running() == []
    assert store.all_epochs() == []


def test_every_epoch_that_ran_is_found_as_it_was(store: S3ExperimentStore) -> None:
    saved(store, FIRST, SECOND, THIRD)
    assert store.running("default") == (THIRD, tag(store))
    assert [store.epoch("default", number) for number in range(5)] == [
        None,
        FIRST,
        SECOND,
        THIRD,
        None,
    ]
    assert store.epoch("another", 1) is None


def test_every_epoch_of_every_experiment_is_listed_once(store: S3ExperimentStore) -> None:
    another = replace(FIRST, experiment=replace(DEFAULT, name="another"))
    saved(store, FIRST, SECOND, THIRD)
    assert store.save(another, None)
    found = store.all_epochs()
    assert sorted(found, key=lambda epoch: epoch.id) == [another, FIRST, SECOND, THIRD]


def test_all_running_are_listed_without_what_else_lies_beside_them(
    store: S3ExperimentStore, objects: Objects
) -> None:
    another = replace(FIRST, experiment=replace(DEFAULT, name="another"))
    saved(store, FIRST, SECOND)
    assert store.save(another, None)
    archive = S3Archive(objects)
    for side in Side:
        epoch = EpochId("default", 1, side)
        record = Record(Exposure("1", "A", "m", "b", ("t",), 0, 0), True, 1)
        archive.add(archive.read(epoch), [record])
    assert [epoch for epoch, _ in store.all_running()] == [another, SECOND]


def test_whoever_has_seen_another_version_changes_nothing(store: S3ExperimentStore) -> None:
    saved(store, FIRST)
    old = tag(store)
    saved(store, SECOND)
    assert not store.save(replace(SECOND, bundle="another"), old)
    assert not store.save(replace(FIRST, bundle="another"), None)
    assert not store.save(replace(FIRST, experiment=replace(DEFAULT, name="another")), old)
    assert [epoch for epoch, _ in store.all_running()] == [SECOND]
    assert store.epoch("default", 1) == FIRST


@pytest.mark.parametrize("aws", ["moto"], indirect=True)
def test_of_two_who_change_at_once_one_does(
    aws: Aws, store: S3ExperimentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(store, FIRST)
    old, put = tag(store), aws.s3.put_object

    def meanwhile(**arguments: Any) -> Any:
        monkeypatch.setattr(aws.s3, "put_object", put)
        saved(store, SECOND, THIRD)
        return put(**arguments)

    monkeypatch.setattr(aws.s3, "put_object", meanwhile)
    assert not store.save(replace(SECOND, bundle="another"), old)
    assert [store.epoch("default", number) for number in (1, 2, 3)] == [FIRST, SECOND, THIRD]


class Killed(BaseException):
    """The process ends here; nothing catches it."""


@pytest.mark.parametrize("aws", ["moto"], indirect=True)
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_change_that_is_killed_at_a_write_leaves_no_gap(
    aws: Aws, store: S3ExperimentStore, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    saved(store, FIRST)
    for kill_at in (1, 2):
        with monkeypatch.context() as patch:
            patch.setattr(aws.s3, "put_object", killing(aws.s3.put_object, kill_at, done=done))
            with pytest.raises(Killed):
                store.save(SECOND, tag(store))
        running = store.running("default")
        assert running
        assert running[0] == (SECOND if done and kill_at == 2 else FIRST)
        assert store.epoch("default", 1) == FIRST
    if not done:
        saved(store, SECOND)
    assert store.epoch("default", 1) == FIRST
    assert store.epoch("default", 2) == SECOND


def killing(put: Callable[..., Any], kill_at: int, *, done: bool) -> Callable[..., Any]:
    """The process ends at this write, counted from 1: before it, or when it is done."""
    writes = 0

    def killed(**arguments: Any) -> Any:
        nonlocal writes
        writes += 1
        if writes == kill_at and not done:
            raise Killed
        answer = put(**arguments)
        if writes == kill_at:
            raise Killed
        return answer

    return killed


@pytest.mark.parametrize("aws", ["moto"], indirect=True)
def test_an_experiment_that_cannot_be_read_is_named(
    store: S3ExperimentStore, objects: Objects
) -> None:
    objects.put("ab/default/experiment.json", b'{"name": "default"}', "application/json")
    with pytest.raises(StoreUnavailable, match=r"ab/default/experiment\.json"):
        store.running("default")
