"""Opens a data folder of any form: all end in a workspace, with which the same code goes on."""

import shutil
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from segue.domain.errors import InvalidData
from training.data.forms import folder_schema, form_of, is_given
from training.data.given import ingest_given
from training.data.ingest import ingest
from training.data.intake import Progress
from training.data.movielens import convert_movielens
from training.data.summary import Summary
from training.data.workspace import QUARANTINE


@dataclass(frozen=True, slots=True)
class OpenedData:
    """What is in the workspace now.

    schema: the feature schema that goes with the data. cutoff: the only one that there is,
    milliseconds since 1970 UTC, where the data are divided by a given split; else None.
    """

    summary: Summary
    schema: Path
    cutoff: int | None


def open_data(
    folder: Path,
    workspace: Path,
    *,
    split: Literal["temporal", "given"],
    progress: Progress | None = None,
) -> OpenedData:
    """Read a data folder of any form into ``workspace``, as ``ingest`` does.

    Raises InvalidData where the folder cannot be read, or not be divided as ``split`` says.
    """
    schema = folder_schema(folder)
    if split == "given":
        summary, cutoff = ingest_given(folder, workspace, progress)
        return OpenedData(summary, schema, cutoff)
    if is_given(folder):
        raise InvalidData(f"{folder} has no times to split by: it holds a given split alone")
    summary = _read(folder, workspace, progress, needs=("tracks", "sessions"))
    return OpenedData(summary, schema, None)


def check(
    folder: Path, *, quarantine: Path | None = None, progress: Progress | None = None
) -> Summary:
    """Say what ``folder`` holds; what cannot be used is written to the file ``quarantine``.

    Unlike ``ingest`` it is content with any one of the four tables. Raises InvalidData where the
    folder has none, or a file cannot be read.
    """
    with TemporaryDirectory(prefix="segue-check-") as name:
        summary = _read(folder, Path(name), progress, needs=())
        if quarantine is not None:
            quarantine.parent.mkdir(parents=True, exist_ok=True)
            partial = quarantine.with_name(f"{quarantine.name}.partial")
            shutil.copyfile(Path(name) / QUARANTINE, partial)
            partial.replace(quarantine)
    return summary


def _read(
    folder: Path, workspace: Path, progress: Progress | None, *, needs: Collection[str]
) -> Summary:
    match form_of(folder):
        case "given":
            return ingest_given(folder, workspace, progress)[0]
        case "atomic":
            with TemporaryDirectory(prefix="segue-") as name:
                converted = Path(name) / "data"
                convert_movielens(folder, converted)
                schema = folder_schema(folder)
                summary = ingest(converted, workspace, progress, needs=needs, schema=schema)
            return replace(summary, folder=str(folder))
        case "tables":
            return ingest(folder, workspace, progress, needs=needs)
