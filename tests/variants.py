"""Further bundles, made of the one that was trained."""

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from segue.models.bundle import MANIFEST, Bundle, manifest_bytes


def variant(bundle: Path, target: Path, seed: int) -> Bundle:
    """A bundle like another one, but for what is popular: it recommends other tracks."""
    shutil.copytree(bundle, target)
    file = target / "catalogue/popularity.npy"
    np.save(file, np.random.default_rng(seed).permutation(np.load(file)))
    return seal(target, seed=seed)


def seal(folder: Path, **changes: Any) -> Bundle:
    """Write a manifest that fits what the files are by now."""
    content = json.loads((folder / MANIFEST).read_bytes()) | changes
    del content["version"]
    for name, entry in content["files"].items():
        data = (folder / name).read_bytes()
        entry |= {"bytes": len(data), "sha256": sha256(data).hexdigest()}
    (folder / MANIFEST).write_bytes(manifest_bytes(content))
    return Bundle.open(folder)
