"""Which files an epoch's archive consists of, as batches come and go."""

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.adapters.archive.manifest import File, Manifest
from segue.experiments.records import Exposure, Record
from segue.experiments.tally import Tally

FULL = 32_768
LARGEST_BATCH = 5_000
SIZES = st.lists(st.integers(1, 9) | st.integers(1, LARGEST_BATCH), max_size=300)


def file(first: int, last: int, records: int) -> File:
    return File(f"{first}-{last}", first, last, records, "")


def merged(manifest: Manifest) -> Manifest:
    """As noting the latest batch leaves it."""
    small = manifest.to_merge()
    if not small:
        return manifest
    large = file(small[0].first, small[-1].last, sum(it.records for it in small))
    return manifest.with_file(small, large)


def sizes(manifest: Manifest) -> list[int]:
    return [it.records for it in manifest.files]


def grown(batches: list[int]) -> Manifest:
    manifest = Manifest()
    for batch, records in enumerate(batches, start=1):
        manifest = merged(manifest.with_batch(file(batch, batch, records), Tally()))
    return manifest


def test_eight_files_of_an_order_of_magnitude_become_one() -> None:
    assert sizes(grown([1] * 7)) == [1] * 7
    assert sizes(grown([1] * 8)) == [8]
    assert sizes(grown([1] * 63)) == [8] * 7 + [1] * 7
    assert sizes(grown([1] * 64)) == [64]
    assert sizes(grown([1_000] * 20)) == [5_000] * 4


def test_a_small_file_does_not_stay_between_large_ones() -> None:
    assert sizes(grown([1, 1_000])) == [1_001]
    assert sizes(grown([1_000, 1])) == [1_000, 1]
    assert sizes(grown([1_000, 1, 1_000])) == [1_000, 1_001]


def test_a_full_file_is_never_touched_again() -> None:
    manifest = grown([1_000] * 33)
    assert sizes(manifest) == [33_000]
    for batch in range(34, 100):
        manifest = merged(manifest.with_batch(file(batch, batch, 1_000), Tally()))
        assert manifest.files[0] == file(1, 33, 33_000)


def test_a_file_that_an_erasure_made_less_than_full_takes_no_other_full_one_along() -> None:
    files = (file(1, 9, FULL - 1), file(10, 19, FULL), file(20, 29, FULL), file(30, 30, 7))
    assert not replace(Manifest(), files=files).to_merge()


@given(SIZES)
def test_each_batch_is_in_one_file_and_files_are_few(batches: list[int]) -> None:
    manifest = grown(batches)
    covered = [batch for it in manifest.files for batch in range(it.first, it.last + 1)]
    assert covered == list(range(1, len(batches) + 1))
    for it in manifest.files:
        assert it.records == sum(batches[it.first - 1 : it.last])
    records = sum(batches)
    assert len(manifest.files) <= records / FULL + 7 * 5
    assert all(size < FULL + LARGEST_BATCH for size in sizes(manifest))


@given(SIZES)
def test_a_batch_is_rewritten_as_often_as_the_number_of_records_has_digits(
    batches: list[int],
) -> None:
    manifest, rewritten = Manifest(), Counter[int]()
    for batch, records in enumerate(batches, start=1):
        added = manifest.with_batch(file(batch, batch, records), Tally())
        for it in added.to_merge():
            rewritten.update(range(it.first, it.last + 1))
        manifest = merged(added)
    digits = math.log(max(sum(batches), 1), 8)
    assert max(rewritten.values(), default=0) <= min(digits, 5) + 1


@given(SIZES, st.data())
def test_what_erasures_leave_is_in_order_and_found_by_batch(
    batches: list[int], data: st.DataObject
) -> None:
    manifest = grown(batches)
    for it in manifest.files:
        left = data.draw(st.sampled_from([0, 1, it.records]))
        manifest = manifest.with_file([it], replace(it, records=left) if left else None)
    batch = len(batches) + 1
    manifest = manifest.with_batch(file(batch, batch, 1), Tally())
    assert list(manifest.files) == sorted(manifest.files, key=lambda it: it.first)
    manifest = merged(manifest)
    for batch in range(1, manifest.batch + 1):
        holding = [it for it in manifest.files if it.first <= batch <= it.last]
        assert manifest.file_of(batch) in (holding or [None])
        assert len(holding) <= 1


def test_every_change_is_another_revision() -> None:
    record = Record(Exposure("1", "A", "m", "b", ("t",), 0, 0), True, 1)
    tally = Tally.of([record])
    added = Manifest().with_batch(file(1, 1, 1), tally)
    assert added == Manifest(1, 1, False, (file(1, 1, 1),), tally)
    assert added.with_file([], None) == replace(added, revision=2)
    assert added.with_file(added.files, None) == replace(added, revision=2, files=())
    assert added.file_of(None) is None


@pytest.mark.parametrize("batch", [0, 3])
def test_no_file_holds_a_batch_that_never_was(batch: int) -> None:
    assert grown([5, 5]).file_of(batch) is None
