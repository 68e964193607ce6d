"""Runs peers from here: each in a process of its own, those of the long form by their own Python.

The environment of the long form is the folder .venv-peers beside the package, as the other
environments of the project are. It is made on first use, from requirements.txt and, where that can
be built, sansa.txt, and made again when the first or the Python changes.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from segue.domain.errors import InvalidData
from training.peers.registry import LONG
from training.peers.runner import FAILURES, done, note_failure, read_notes
from training.progress import Progress

_ROOT = Path(__file__).parents[2]
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_SANSA = Path(__file__).with_name("sansa.txt")
# PyTorch: the small build for CPUs, where an index of this machine has it; else PyPI's.
_TORCH_CPU, _TORCH_PYPI = (_ROOT / "training" / f"torch-{it}.txt" for it in ("cpu", "pypi"))
ENVIRONMENT = _ROOT / ".venv-peers"

# The package comes last on the path, so that whatever lies beside it hides nothing of the
# environment that runs it.
_START = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
    "runpy.run_module('training.peers', run_name='__main__', alter_sys=True)"
)


def run_peers(
    work: Path, names: Sequence[str], k: int, progress: Progress
) -> Mapping[str, Mapping[str, str]]:
    """Write the lists of these peers into ``work``, as ``training.peers.runner`` says.

    Returns why some have none: split by split, peer by peer. A peer that brings its process down
    is among them. What libraries print goes to ``<peer>.log`` there. Raises InvalidData where the
    environment of the long form cannot be made.
    """
    pythons = {name: Path(sys.executable) for name in names}
    if missing := [name for name in names if name in LONG and not _has_all(work, name, k)]:
        progress("environment of the long form", 0, 1)
        pythons |= dict.fromkeys(missing, peers_python())
        progress("environment of the long form", 1, 1)
    for name, python in pythons.items():
        if not _has_all(work, name, k):
            _run(work, name, k, python, progress)
    return read_notes(work / FAILURES)


def peers_python(environment: Path = ENVIRONMENT, requirements: Path = _REQUIREMENTS) -> Path:
    """The Python of the long form; makes its environment where there is none that fits."""
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    stamp = environment / "made-from"
    wanted = f"{sys.version}\n{hashlib.sha256(requirements.read_bytes()).hexdigest()}\n"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted and python.exists():
        return python
    shutil.rmtree(environment, ignore_errors=True)
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    hashed = (*pip, "--require-hashes", "--no-deps", "--requirement")
    _install([sys.executable, "-m", "venv", environment])
    _install([*hashed, requirements])
    try:
        _install([*hashed, _TORCH_CPU])
    except InvalidData:
        _install([*hashed, _TORCH_PYPI])
    # Without it, SANSA says what it lacks, and the others run.
    with suppress(InvalidData):
        _install([*hashed, _SANSA])
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _install(command: Sequence[str | Path]) -> None:
    result = subprocess.run(  # noqa: S603 - the project's own command
        command, capture_output=True, text=True, check=False
    )
    if result.returncode:
        said = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
        errors = [line for line in said if "error" in line.lower()] or said[-1:] or ["no reason"]
        version = ".".join(map(str, sys.version_info[:3]))
        raise InvalidData(
            f"LightFM and eSASRec cannot be installed for Python {version} ({errors[0].strip()}); "
            "leave out the long form"
        )


def _splits(work: Path) -> list[str]:
    return sorted(path.name for path in (work / "splits").iterdir())


def _has_all(work: Path, name: str, k: int) -> bool:
    return all(done(work, split, name, k) for split in _splits(work))


def _run(work: Path, name: str, k: int, python: Path, progress: Progress) -> None:
    command = [str(part) for part in (python, "-P", "-c", _START, _ROOT, work, name, "--k", k)]
    splits = _splits(work)
    with (work / f"{name}.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(  # noqa: S603 - the project's own command
            command, stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                step = json.loads(line)
                share = splits.index(step["split"]) + step["done"] / step["total"]
                progress(name, round(100 * share), 100 * len(splits))
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
            process.stdout.close()
    _note_missing(work, name, k, process.returncode)


def _note_missing(work: Path, name: str, k: int, status: int) -> None:
    """Every split whose lists the process did not come to write is a failure, whatever its status:
    PyTorch Lightning answers a signal by ending with 0."""
    reason = f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
    noted = read_notes(work / FAILURES)
    for split in _splits(work):
        if not done(work, split, name, k) and name not in noted.get(split, {}):
            note_failure(work, split, name, f"{reason}; see {name}.log")
