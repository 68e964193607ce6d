"""docs/privacy.md says what the stack keeps of a listener, and for how long."""

import re

import pytest

from infra.template import BUCKET, TABLE, Template
from segue.adapters import exposures
from segue.domain.times import DAY
from tests.stacks import whole
from tests.unit.conftest import ROOT

PAGE = (ROOT / "docs/privacy.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def template() -> Template:
    return whole()


@pytest.fixture(scope="module")
def kept() -> dict[str, str]:
    """How long what is there is kept, by what the table's first column begins with."""
    rows = re.findall(r"^\|([^|]+)\|[^|]+\|([^|]*)\|[^|]*\|[^|]*\|$", PAGE, flags=re.MULTILINE)
    return {where.replace("`", "").strip(): how_long.strip() for where, how_long in rows}


def days(text: str) -> int:
    return int(text.partition(" ")[0])


def test_every_table_is_there(template: Template, kept: dict[str, str]) -> None:
    assert {it for it in kept if it in template.resources(TABLE)} == set(template.resources(TABLE))


def test_every_folder_of_the_bucket_is_there(template: Template, kept: dict[str, str]) -> None:
    texts = [(ROOT / name).read_text() for name in ("template.yaml", "stacks/lake.yaml")]
    folders = {it for text in texts for it in re.findall(r"\$\{Bucket(?:\.Arn)?\}/(\w+/)", text)}
    assert folders >= {"ab/", "lists/", "lake/", "bundles/", "exports/"}
    assert {it.split(" ")[0] for it in kept if "in the bucket" in it} == folders


def test_what_expires_does_so_when_the_page_says(template: Template, kept: dict[str, str]) -> None:
    (bucket,) = template.resources(BUCKET).values()
    rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
    expiring = {it["Prefix"]: it["ExpirationInDays"] for it in rules if "ExpirationInDays" in it}
    told = {it.split(" ")[0]: days(kept[it]) for it in kept if it.split(" ")[0] in expiring}
    assert told == expiring
    (versions,) = [it for it in rules if "NoncurrentVersionExpiration" in it]
    noncurrent = versions["NoncurrentVersionExpiration"]["NoncurrentDays"]
    assert days(kept["versions of objects"]) == noncurrent
    assert f"after {max(expiring.values()) + noncurrent} days" in PAGE


def test_logs_are_kept_as_long_as_the_page_says(template: Template, kept: dict[str, str]) -> None:
    for group in template.resources("AWS::Logs::LogGroup").values():
        retention = group["Properties"]["RetentionInDays"]
        dev, prod = (template.resolve(retention, {"Stage": it}) for it in ("dev", "prod"))
        assert kept["logs"] == f"{dev} days, in prod {prod}"
    (queue,) = template.resources("AWS::SQS::Queue").values()
    assert days(kept["DeadLetters"]) * DAY == queue["Properties"]["MessageRetentionPeriod"] * 1_000


def test_marks_of_erasures_and_the_recovery_of_tables(
    template: Template, kept: dict[str, str]
) -> None:
    assert days(kept["ExposuresTable, marks"]) * DAY == exposures._ERASURE_KEPT
    for table in template.resources(TABLE).values():
        recovery = table["Properties"]["PointInTimeRecoverySpecification"]
        # Without a period of its own, DynamoDB's is 35 days.
        assert recovery == {"PointInTimeRecoveryEnabled": True}
    assert days(kept["recovery of tables"]) == 35


def test_whatever_proves_a_measure_is_there() -> None:
    named = re.findall(r"`(tests/[\w/.]+)`", PAGE)
    assert named
    assert [it for it in named if not (ROOT / it).is_file()] == []
