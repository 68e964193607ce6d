"""Bundles that were opened from a folder, tried out."""

import numpy as np

from segue.domain.errors import BundleCorrupt
from segue.domain.plays import Play
from segue.domain.users import User
from segue.features.listeners import history_of
from segue.models.bundle import Bundle
from segue.models.model import Listener
from segue.models.registry import load_model


def rehearse(bundle: Bundle) -> None:
    """Read everything, and let every model score a listener: what cannot be read or run is refused.

    Raises BundleCorrupt.
    """
    bundle.verify()
    _ = bundle.descriptions
    cutoff, catalogue = bundle.manifest.cutoff, bundle.catalogue
    plays = [
        Play("0", track, cutoff - 1, True, False) for track in catalogue.track_ids(np.arange(1))
    ]
    listener = Listener(User("0"), history_of(plays, catalogue, cutoff))
    for model_id in bundle.manifest.models:
        try:
            scores = load_model(model_id, bundle).score(listener)
        except Exception as error:  # ONNX Runtime's own exceptions share no public base
            raise BundleCorrupt(f"model {model_id}: {type(error).__name__}: {error}") from error
        if scores.shape != (len(catalogue),) or np.isnan(scores).any():
            raise BundleCorrupt(f"model {model_id}: does not give every track a score")
