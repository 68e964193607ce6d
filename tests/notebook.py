"""Runs a notebook and keeps what its cells show: ``python -m tests.notebook docs/day.ipynb``."""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

# Sockets of the file system, which nobody else reaches, in place of ports.
_CONFIG = Config(KernelManager={"transport": "ipc"})


def run_notebook(path: Path, out: Path) -> None:
    """Write the notebook to ``out`` with all outputs. Raises CellExecutionError where one fails."""
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    NotebookClient(notebook, config=_CONFIG, record_timing=False, timeout=None).execute()
    nbformat.write(notebook, out)


if __name__ == "__main__":
    # Where `segue` is.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    source, *target = map(Path, sys.argv[1:])
    run_notebook(source, *target or [source])
