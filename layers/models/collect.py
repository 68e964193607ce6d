"""Copies a bundle into the models layer: the manifest and the files it names, nothing else."""

import json
import shutil
import sys
from hashlib import sha256
from pathlib import Path


def collect(bundle: Path, layer: Path) -> None:
    """Copy, checking every file. Exits with one line if the bundle cannot be deployed."""
    manifest = bundle / "manifest.json"
    if not manifest.is_file():
        sys.exit(f"{manifest} is missing: segue train --data DIR --out layers/models/bundle")
    for name, entry in json.loads(manifest.read_bytes())["files"].items():
        source, target = bundle / name, layer / name
        if not source.is_file() or sha256(source.read_bytes()).hexdigest() != entry["sha256"]:
            sys.exit(f"{source} is missing or damaged: train anew with segue train")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    shutil.copyfile(manifest, layer / manifest.name)


if __name__ == "__main__":
    collect(Path(sys.argv[1]), Path(sys.argv[2]))
