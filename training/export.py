"""Writes a bundle: ONNX files, arrays, the catalogue that all models share, and the manifest."""

import json
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.domain.catalogue import Catalogue
from segue.domain.descriptions import Descriptions
from segue.domain.errors import InvalidData
from segue.domain.genres import TrackGenres
from segue.domain.labels import Label, Labels
from segue.models.bundle import (
    FORMAT,
    MANIFEST,
    SCHEMA,
    SCHEMA_TEXT,
    TRACK_GENRE_NUMBERS,
    TRACK_GENRE_OFFSETS,
    manifest_bytes,
)
from training.catalogue import EncodedCatalogue

# What is in the folder of a bundle without being served.
PLOTS, TRAINING = "plots", "training"
# Rows of the catalogue at a time, so that memory is for the results.
BLOCK = 65536

# Inputs and outputs whose length is fixed.
_VECTORS = "listener", "factors"


class BundleWriter:
    """Collects the files of a bundle, and puts it in place whole or not at all.

    A context manager: leave it without ``place`` and nothing has happened. Raises InvalidData
    where ``out`` holds anything but an older bundle.
    """

    def __init__(self, out: Path) -> None:
        # A link is followed, so that the bundle goes to where it leads.
        self._out = out = out.resolve()
        if out.exists() and not _may_be_replaced(out):
            raise InvalidData(f"{out} holds something else than a bundle; it is left as it is")
        out.parent.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def text(self, name: str, text: str) -> None:
        """Write a text file."""
        self._place(name).write_text(text, encoding="utf-8")

    def bytes(self, name: str, content: bytes) -> None:
        """Write a file as it is."""
        self._place(name).write_bytes(content)

    def array(self, name: str, array: NDArray[Any]) -> None:
        """Write an array as .npy."""
        np.save(self._place(name), np.ascontiguousarray(array), allow_pickle=False)

    def weights(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write what the next training goes on from as .npz; serving does not have it."""
        np.savez(self._place(f"{TRAINING}/{name}.npz"), allow_pickle=False, **arrays)

    def network(
        self, name: str, module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]
    ) -> None:
        """Export a module to ONNX; the first axis of all but a single vector is free."""
        _export(module, inputs, outputs, self._place(name))

    def seal(self, content: Mapping[str, Any]) -> None:
        """Write the manifest: over everything that serving needs and, apart from it, over what the
        next training goes on from. Plots are for people alone."""
        files = sorted(path for path in self.path.rglob("*.*") if _is_served(path, self.path))
        kept = {"files": self._entries(files)}
        if training := sorted((self.path / TRAINING).glob("*.*")):
            kept["training_files"] = self._entries(training)
        manifest = manifest_bytes({**content, "format": FORMAT, **kept})
        (self.path / MANIFEST).write_bytes(manifest)

    def place(self) -> None:
        """Put the sealed bundle in its place."""
        self.path.chmod(0o755)
        _replace(self.path, self._out)

    def _entries(self, files: Sequence[Path]) -> dict[str, Any]:
        return {path.relative_to(self.path).as_posix(): _entry(path) for path in files}

    def _place(self, name: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _export(
    module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], path: Path
) -> None:
    """Export by way of TorchScript.

    PyTorch's newer exporter makes the same graphs, but takes seconds to load, and more for each.
    """
    free = [name for name in (*inputs, *outputs) if name not in _VECTORS]
    with warnings.catch_warnings():
        # It warns that it is the older one, and of positions that occur twice, which none here do.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            path,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: {0: name} for name in free},
            dynamo=False,
        )


def write_catalogue(writer: BundleWriter, encoded: EncodedCatalogue, schema_text: str) -> None:
    """The parts of the bundle that all models share."""
    catalogue = encoded.catalogue
    writer.text(SCHEMA_TEXT, schema_text)
    writer.text(SCHEMA, _json(encoded.encoder.schema.to_json()))
    writer.text("encoder.json", _json(encoded.encoder.to_json()))
    writer.array("catalogue/ids.npy", catalogue.ids)
    writer.array("catalogue/explicit.npy", catalogue.explicit)
    writer.array("catalogue/popularity.npy", catalogue.popularity)
    writer.array("catalogue/artists.npy", catalogue.artists)
    writer.array("catalogue/artist_ids.npy", catalogue.artist_ids)
    writer.array("catalogue/features.npy", encoded.features)
    _write_genres(writer, catalogue)


def write_descriptions(writer: BundleWriter, descriptions: Descriptions) -> None:
    """What people read of the tracks."""
    tracks = len(descriptions.titles)
    for name in ("titles", "artist_names"):
        texts = getattr(descriptions, name)
        writer.array(f"descriptions/{name}.npy", texts.content)
        writer.array(f"descriptions/{name}_starts.npy", texts.starts)
    for name in ("title_words", "artist_words"):
        index = getattr(descriptions, name)
        for part in fields(index):
            writer.array(f"descriptions/{name}_{part.name}.npy", getattr(index, part.name))
    writer.array("descriptions/years.npy", descriptions.years)
    numbers = list(descriptions.numbers.values())
    writer.array("descriptions/numbers.npy", np.array(numbers, np.float32).reshape(-1, tracks))
    _write_labels(writer, list(descriptions.labels.values()))


def _write_labels(writer: BundleWriter, columns: Sequence[Labels[Label]]) -> None:
    """Column behind column, the offsets running on."""
    offsets, numbers = [np.zeros(1, np.int32)], [np.empty(0, np.int32)]
    for column in columns:
        offsets.append(offsets[-1][-1] + column.offsets[1:])
        numbers.append(column.numbers)
    writer.text("descriptions/labels.json", _json([column.names for column in columns]))
    writer.array("descriptions/label_offsets.npy", np.concatenate(offsets))
    writer.array("descriptions/label_numbers.npy", np.concatenate(numbers))


def _write_genres(writer: BundleWriter, catalogue: Catalogue) -> None:
    tracks = list(catalogue.genres.values())
    offsets = np.cumsum([0, *(len(positions) for positions in tracks)], dtype=np.int64)
    writer.text("catalogue/genres.json", _json(list(catalogue.genres)))
    writer.array("catalogue/genre_offsets.npy", offsets)
    writer.array("catalogue/genre_tracks.npy", np.concatenate([np.empty(0, np.int32), *tracks]))
    by_track = TrackGenres.of(catalogue)
    writer.array(TRACK_GENRE_OFFSETS, by_track.offsets)
    writer.array(TRACK_GENRE_NUMBERS, by_track.numbers)


def _json(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def _may_be_replaced(out: Path) -> bool:
    return out.is_dir() and ((out / MANIFEST).is_file() or not any(out.iterdir()))


def _is_served(path: Path, root: Path) -> bool:
    apart = {root / PLOTS, root / TRAINING}
    return path.is_file() and path.name != MANIFEST and apart.isdisjoint(path.parents)


def _entry(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": sha256(data).hexdigest()}


def _replace(new: Path, out: Path) -> None:
    """Put ``new`` in the place of ``out``. A folder cannot be replaced in one step, so the old one
    steps aside first: if the machine stops in between, both are there under hidden names."""
    old = out.with_name(f".{out.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    new.rename(out)
    shutil.rmtree(old, ignore_errors=True)
