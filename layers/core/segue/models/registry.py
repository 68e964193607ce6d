"""The models there are. Adding one is its own file, its name in ``names``, and one line here."""

from segue.domain.errors import UnknownModel
from segue.models.autoencoder import Autoencoder
from segue.models.bundle import Bundle
from segue.models.classifier import Classifier
from segue.models.hybrid.model import Hybrid
from segue.models.model import Model
from segue.models.names import NAMES
from segue.models.popularity import Popularity

REGISTRY: dict[int, tuple[str, type[Model]]] = {
    0: (NAMES[0], Popularity),
    1: (NAMES[1], Autoencoder),
    2: (NAMES[2], Classifier),
    3: (NAMES[3], Hybrid),
}


def model_name(model_id: int, bundle: Bundle) -> str:
    """The name of a model that the bundle carries. Raises UnknownModel naming those there are."""
    if model_id not in REGISTRY or model_id not in bundle.manifest.models:
        known = (
            f"{number} ({name})"
            for number, (name, _) in REGISTRY.items()
            if number in bundle.manifest.models
        )
        raise UnknownModel(f"there is no model {model_id}; there are {', '.join(known)}")
    return REGISTRY[model_id][0]


def load_model(model_id: int, bundle: Bundle) -> Model:
    """The model, loaded once for each opened bundle. Raises UnknownModel and BundleCorrupt."""
    model_name(model_id, bundle)
    return bundle.derived(REGISTRY[model_id][1])
