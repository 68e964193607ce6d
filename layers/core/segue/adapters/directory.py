"""Bundles that were opened from a folder, loaded as a whole."""

import numpy as np

from segue.domain.errors import BundleCorrupt
from segue.domain.plays import Play
from segue.domain.users import User
from segue.features.listeners import history_of
from segue.models.bundle import Bundle, read_manifest
from segue.models.model import Listener
from segue.models.registry import load_model


def load_whole(bundle: Bundle) -> Bundle:
    """Load what is read of a bundle lazily, so that nothing of another one gets in.

    Raises BundleCorrupt.
    """
    # Cached properties: they are read here, the descriptions as far as mapping them goes.
    _ = bundle.catalogue, bundle.descriptions
    for model_id in bundle.manifest.models:
        load_model(model_id, bundle)
    # Another bundle may have taken its place since it was verified.
    if read_manifest(bundle.path).version != bundle.version:
        raise BundleCorrupt(f"{bundle.path}: was replaced while it was being read")
    return bundle


def rehearse(bundle: Bundle) -> None:
    """Let every model score a listener, which what cannot run does not survive.

    Raises BundleCorrupt.
    """
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
