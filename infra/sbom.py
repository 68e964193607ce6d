"""Lists the components of what ``sam build`` has left: ``sbom.py BUILD FILE``, as CycloneDX.

It reads the layers and not the locks, from which the build takes parts away: what it names is
deployed, and what is deployed it names. It runs in the environment of the SAM command line.
"""

import json
import re
import sys
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import distributions
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL


def components(build: Path) -> Iterator[Component]:
    """Each package of each layer, and the models."""
    for layer in sorted(build.glob("*Layer")):
        for package in distributions(path=[str(layer / "python")]):
            name = re.sub("[-_.]+", "-", package.metadata["Name"]).lower()
            yield Component(
                type=ComponentType.LIBRARY,
                name=name,
                version=package.version,
                purl=PackageURL("pypi", name=name, version=package.version),
                properties=[Property(name="segue:layer", value=layer.name)],
            )
        if (manifest := layer / "bundle" / "manifest.json").is_file():
            yield _models(manifest.read_bytes(), layer.name)


def _models(manifest: bytes, layer: str) -> Component:
    """The bundle, by its manifest, which has the checksum of every other file."""
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name="segue-bundle",
        version=json.loads(manifest)["version"],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256(manifest).hexdigest())],
        properties=[Property(name="segue:layer", value=layer)],
    )


def main(build: Path, file: Path) -> None:
    """Write the list. Exits with one line where nothing was built."""
    found = list(components(build))
    if not found:
        sys.exit(f"{build} holds no layers: run `sam build` first")
    bom = Bom(components=found)
    bom.metadata.component = Component(type=ComponentType.APPLICATION, name="segue")
    bom.register_dependency(bom.metadata.component, found)
    file.write_text(JsonV1Dot6(bom).output_as_string(indent=2), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
