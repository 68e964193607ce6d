"""How much memory a bundle takes once requests have been answered from it."""

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from infra.benchmarks.listeners import MadeUp, recommender
from segue.models.bundle import Bundle
from segue.services.recommend import Query

_KIB = 1_024


def memory_growth(bundle: Path, listeners: list[MadeUp]) -> Mapping[str, int]:
    """By how many bytes a fresh process grows when it opens the bundle and every one of its models
    answers every listener: ``VmRSS`` in all, and of that ``RssAnon``, what is not a mapped file."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_grow, bundle, listeners).result()


def array_bytes(bundle: Path) -> int:
    """Bytes of all arrays of a bundle but those that no recommendation reads."""
    files = (file for file in bundle.rglob("*.npy") if file.parent.name != "descriptions")
    return sum(np.load(file, mmap_mode="r").nbytes for file in files)


def _grow(path: Path, listeners: list[MadeUp]) -> dict[str, int]:
    before = _resident()
    bundle = Bundle.open(path)
    service = recommender(bundle, listeners)
    for model in bundle.manifest.models:
        for one in listeners:
            service.recommend(Query(one.user.user_id, model))
    after = _resident()
    return {name: after[name] - before[name] for name in after}


def _resident() -> dict[str, int]:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) * _KIB for name in ("VmRSS", "RssAnon")}
