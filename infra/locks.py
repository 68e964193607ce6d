"""Completes a lock that has PyTorch: ``python -m infra.locks training/requirements.txt``.

PyPI's build of it for Linux is CUDA's. Its libraries go into a list of their own,
``training/cuda.txt``, so that only whoever has that build installs them. The builds for CPUs alone
are served by an index of PyTorch's: the lock takes in their checksums, from ``training/cpu.txt``.
"""

import re
import sys
from pathlib import Path

TRAINING = Path(__file__).parents[1] / "training"

_CUDA = re.compile("nvidia-|cuda-|triton")


def completed(lock: str, cpu_builds: str) -> tuple[str, str]:
    """The lock with CPU builds and without CUDA's libraries, and those.

    ``cpu_builds``: a line for each, its SHA-256 and its file's name. Of those of another version
    than the lock's, none is taken.
    """
    requirements = re.split(r"\n(?=\S)", lock.strip())
    kept = [_with_builds(it, cpu_builds) for it in requirements if not _CUDA.match(it)]
    return _joined(kept), _joined([it for it in requirements if _CUDA.match(it)])


def _with_builds(requirement: str, cpu_builds: str) -> str:
    pin, *hashes = requirement.split(" \\\n")
    for line in cpu_builds.splitlines():
        checksum, file = line.split()
        name, version = file.split("+")[0].split("-")
        if pin.split()[0] == f"{name}=={version}":
            hashes.append(f"    --hash=sha256:{checksum}")
    return " \\\n".join([pin, *sorted(set(hashes))])


def _joined(requirements: list[str]) -> str:
    return "".join(f"{it}\n" for it in requirements)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        lock, cuda = completed(path.read_text(), (TRAINING / "cpu.txt").read_text())
        path.write_text(lock)
        (TRAINING / "cuda.txt").write_text(cuda)
