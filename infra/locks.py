"""Parts PyTorch from a lock: ``python -m infra.locks training/requirements.txt``.

PyPI's build of it for Linux is CUDA's, with gigabytes of libraries. All of that goes into a list of
its own, ``training/torch-pypi.txt``, which only those install who cannot have a build for CPUs
alone, from ``training/torch-cpu.txt``. (One list of both will not do: pip takes PyPI's then.)
"""

import re
import sys
from pathlib import Path

PYPI = Path(__file__).parents[1] / "training" / "torch-pypi.txt"

_TORCH = re.compile("torch==|nvidia-|cuda-|triton==")


def parted(lock: str) -> tuple[str, str]:
    """The lock without PyTorch and CUDA's libraries, and those."""
    requirements = re.split(r"\n(?=\S)", lock.strip())
    rest = [it for it in requirements if not _TORCH.match(it)]
    return _joined(rest), _joined([it for it in requirements if _TORCH.match(it)])


def _joined(requirements: list[str]) -> str:
    return "".join(f"{it}\n" for it in requirements)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        lock, torch = parted(Path(name).read_text())
        Path(name).write_text(lock)
        PYPI.write_text(torch)
