"""Where MovieLens-100k comes from: RecBole, a library of recommenders, carries it in its wheel."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile, ZipFile

from segue.domain.errors import InvalidData

REQUIREMENT = "recbole==1.2.1"
_MEMBER = "recbole/dataset_example/ml-100k/ml-100k"
_SUFFIXES = (".inter", ".item", ".user")
_TIMEOUT_S = 300


@contextmanager
def atomic_files(source: Path | None) -> Iterator[Path]:
    """A folder with the atomic files: ``source`` itself, or what a wheel of RecBole holds.

    None: the wheel that pip downloads. Raises InvalidData where there is none, or none with them.
    """
    if source is not None and source.is_dir():
        yield source
        return
    with TemporaryDirectory(prefix="segue-movielens-") as name:
        folder = Path(name)
        _unpack(source or _download(folder), folder)
        yield folder


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    try:
        subprocess.run(  # noqa: S603  # nothing here comes from outside
            [*command, "--quiet", "--dest", folder, REQUIREMENT],
            check=True,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
        return next(folder.glob("*.whl"))
    except subprocess.TimeoutExpired:
        why = f"no end after {_TIMEOUT_S} seconds"
    except subprocess.CalledProcessError as error:
        why = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
    raise InvalidData(
        f"pip could not download {REQUIREMENT} ({why}); name a wheel or a folder with --source"
    )


def _unpack(wheel: Path, folder: Path) -> None:
    try:
        with ZipFile(wheel) as archive:
            for suffix in _SUFFIXES:
                content = archive.read(_MEMBER + suffix)
                (folder / f"ml-100k{suffix}").write_bytes(content)
    except BadZipFile as error:
        raise InvalidData(f"{wheel} is no wheel: {error}") from None
    except KeyError as error:
        raise InvalidData(f"{wheel} does not hold MovieLens-100k: {error.args[0]}") from None
