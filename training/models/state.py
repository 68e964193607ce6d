"""Where a training ended, as its bundle keeps it: ``segue train --from BUNDLE`` goes on from there.

The encoder and the hybrid's gates are what is served. What serving does not need, such as the
decoder, lies in ``training/<model>.npz`` of the bundle: in no layer, in no upload, and never looked
at by ``Bundle.open``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.domain.errors import BundleError, InvalidData
from segue.domain.times import format_time
from segue.features.encoder import Encoder
from segue.features.schema import Schema
from segue.models.bundle import Bundle
from segue.models.hybrid.gates import Gates
from segue.models.hybrid.model import read_gates
from training.export import TRAINING
from training.models.autoencoder import HELD_OUT_IDS, AutoencoderState

_IN_FULL = "leave out --from to train in full"


@dataclass(frozen=True)
class State:
    """Where training goes on; None stands for what is fitted in full.

    version, cutoff: of the last bundle. continuations: how many trainings have gone on since the
    last one in full, this one included. classifier: its weights by name.
    """

    version: str = ""
    cutoff: int | None = None
    continuations: int = 0
    encoder: Encoder | None = None
    autoencoder: AutoencoderState | None = None
    classifier: Mapping[str, Tensor] | None = None
    gates: Gates | None = None

    def seed(self, seed: int) -> int:
        """The seed itself for a training in full; else another one for each continuation, or all of
        them would draw the same listeners and noise."""
        if not self.continuations:
            return seed
        return int(np.random.SeedSequence((seed, self.continuations)).generate_state(1)[0])

    def refuse_earlier(self, cutoff: int) -> None:
        """Raises InvalidData where the last bundle has learnt from what such a cut-off forbids."""
        if self.cutoff is not None and cutoff < self.cutoff:
            raise InvalidData(
                f"bundle {self.version} has learnt from all before {format_time(self.cutoff)}, and "
                f"the cut-off {format_time(cutoff)} is earlier: name a later one, or {_IN_FULL}"
            )


BEGINNING = State()


def read_state(path: Path, schema: Schema) -> State:
    """Where the training of a bundle ended. Raises InvalidData where there is no such bundle, where
    it is damaged, or of another version of Segue or another feature schema than this one."""
    try:
        return _state_of(Bundle.open(path), schema)
    except (BundleError, InvalidData) as error:
        raise InvalidData(f"{error}; {_IN_FULL}") from error


def _state_of(bundle: Bundle, schema: Schema) -> State:
    if bundle.schema.hash != schema.hash:
        raise InvalidData(f"{bundle.path}: was trained with another feature schema than the data's")
    content = bundle.manifest.content
    metrics = {model["name"]: model["metrics"] for model in content["models"]}
    autoencoder = classifier = gates = None
    if "autoencoder" in metrics:
        weights = _weights(bundle, "autoencoder")
        held_out = weights.pop(HELD_OUT_IDS)
        autoencoder = AutoencoderState(_tensors(weights), held_out)
    if "classifier" in metrics:
        classifier = _tensors(_weights(bundle, "classifier"))
    if "train_loss" in metrics["hybrid"]:
        gates = _gates(bundle)
    times = content.get("continued", {}).get("times", 0)
    return State(
        bundle.version,
        bundle.manifest.cutoff,
        times + 1,
        bundle.encoder,
        autoencoder,
        classifier,
        gates,
    )


def _gates(bundle: Bundle) -> Gates:
    """In memory: the files may be those that are replaced."""
    gates = read_gates(bundle)
    return Gates(**{one.name: getattr(gates, one.name).copy() for one in fields(Gates)})


def _weights(bundle: Bundle, name: str) -> dict[str, NDArray[Any]]:
    file = f"{TRAINING}/{name}.npz"
    entry = bundle.manifest.content.get("training_files", {}).get(file)
    if entry is None:
        raise InvalidData(f"{bundle.path}: does not say where the training of the {name} ended")
    try:
        content = (bundle.path / file).read_bytes()
    except OSError as error:
        raise InvalidData(f"{bundle.path / file}: {error.strerror}") from error
    if sha256(content).hexdigest() != entry["sha256"]:
        raise InvalidData(f"{bundle.path / file}: its checksum is not the manifest's")
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def _tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
