"""How large what Lambda unpacks for a prediction is."""

from collections.abc import Iterator
from pathlib import Path

from infra.benchmarks.figures import Figure
from infra.local.environment import TEMPLATE
from infra.template import load
from segue.models.bundle import MANIFEST, Bundle

BUILD = Path(".aws-sam/build")
# MB of the function and its layers.
TARGET = 120.0

_FUNCTION, _MODELS = "PredictFunction", "ModelsLayer"


def measure_size(bundle: Bundle, build: Path = BUILD) -> Iterator[Figure]:
    """The function and its layers as ``sam build`` left them, with this bundle; nothing where it
    was not run."""
    folders = {_FUNCTION, *load(TEMPLATE).layers(_FUNCTION)} - {_MODELS}
    if not all((build / folder).is_dir() for folder in folders):
        return
    # Of the bundle, the layer takes what is served.
    served = [bundle.path / name for name in (MANIFEST, *bundle.manifest.files)]
    size = sum(path.stat().st_size for path in served)
    size += sum(_bytes(build / folder) for folder in folders)
    yield Figure.of("unzipped, predict's function and layers", "MB", [size / 1e6], target=TARGET)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
