"""The bundle: everything that serving needs of a training run, in one folder, checked byte by byte.

Every file is mapped when the bundle is opened, so that whatever takes its place afterwards, nothing
of another bundle is served. Its checksum is looked at before the first byte of it is used.

::

    manifest.json          version, schema hash, cut-off, data summary, models and their metrics,
                           and the SHA-256 of every other file
    card.md                what the bundle is, in words
    schema.toml            the feature schema, as it was written
    schema.json            the same, as it is read: this takes a fraction of the time
    encoder.json           means, scales and vocabularies, as fitted
    catalogue/*.npy        ids, explicit flags, popularity, features, artists, genres with tracks
    descriptions/*.npy     for people alone: titles, artists' names, and the words of both; years
                           and other values before they are encoded
    <model>/*.onnx, *.npy  the network that answers a request, and the arrays it runs over

Some arrays follow from others, such as the genres of each track. Serving maps these, too. Otherwise
every process would make them at its first request.

Beside these lie ``plots``, for people, and ``training``, for ``segue train --from``. Serving reads
neither.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from mmap import ACCESS_READ, MADV_DONTNEED, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.errors import BundleCorrupt, BundleMissing, InvalidData
from segue.domain.genres import TrackGenres, genre_numbers, genre_offsets
from segue.domain.times import parse_time
from segue.features.encoder import Encoder, FloatArray
from segue.features.schema import Schema, schema_of

# A list of ids does not wait for them.
if TYPE_CHECKING:
    from segue.domain.added import AddedTrack
    from segue.domain.descriptions import Descriptions, TrackCard

FORMAT = 9
MANIFEST = "manifest.json"
SCHEMA, SCHEMA_TEXT = "schema.json", "schema.toml"
LATENTS = "autoencoder/latents.npy"
TRACK_GENRE_OFFSETS = "catalogue/track_genre_offsets.npy"
TRACK_GENRE_NUMBERS = "catalogue/track_genre_numbers.npy"
# A bundle weighs what these do.
_LARGE = (".npy", ".onnx")

T = TypeVar("T")


class Manifest(NamedTuple):
    """What a bundle says of itself. ``content`` is the JSON object as it stands in the file."""

    content: Mapping[str, Any]

    @property
    def version(self) -> str:
        return str(self.content["version"])

    @property
    def cutoff(self) -> int:
        """Nothing at or after this moment, in milliseconds since 1970 UTC, was trained on."""
        return parse_time(self.content["cutoff"])

    @property
    def models(self) -> Mapping[int, Mapping[str, Any]]:
        """Name, metrics and so on of each model, by its number."""
        return {int(model["id"]): model for model in self.content["models"]}

    @property
    def files(self) -> Mapping[str, Mapping[str, Any]]:
        """SHA-256 and size of every file, by its path in the bundle."""
        files: Mapping[str, Mapping[str, Any]] = self.content["files"]
        return files


class Bundle:
    """An opened bundle. Arrays are mapped, not read: a request touches only the rows it needs.

    Whatever is read of it raises BundleCorrupt, naming the file, where that is not as it was
    written.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._mapped: dict[str, mmap] = {}
        self._verified: set[str] = set()
        self._arrays: dict[str, NDArray[Any]] = {}
        self._derived: dict[Any, Any] = {}

    @classmethod
    def open(cls, path: Path) -> "Bundle":
        """Map and verify every file. Raises BundleMissing or BundleCorrupt, naming the file at
        fault."""
        bundle = cls.mapped(path)
        bundle.verify()
        return bundle

    @classmethod
    def mapped(cls, path: Path) -> "Bundle":
        """Map every file, and verify those that are not large; each of the others is when it is
        first used, so that nobody waits for what is not asked for. Raises as ``open`` does."""
        written = _read_manifest(path)
        bundle = cls(path, parse_manifest(written, str(path / MANIFEST)))
        for name in bundle.manifest.files:
            bundle._map(name)
        # Another bundle may have taken its place meanwhile.
        if _read_manifest(path) != written:
            raise BundleCorrupt(f"{path}: was replaced while it was being read")
        for name in bundle.manifest.files:
            if not name.endswith(_LARGE):
                bundle._content(name)
        bundle.refuse_other_schema()
        return bundle

    def verify(self) -> None:
        """Compare every file that was not yet used with its checksum. Raises BundleCorrupt."""
        for name in self.manifest.files:
            self._content(name)

    def refuse_other_schema(self) -> None:
        """Raises BundleCorrupt where the bundle was trained for another version of Segue."""
        if self.schema.hash != self.manifest.content["schema_hash"]:
            raise BundleCorrupt(
                f"{self.path / SCHEMA}: the bundle was trained with another feature schema "
                "or encoder than this version of Segue has; train it anew"
            )

    @property
    def version(self) -> str:
        return self.manifest.version

    @cached_property
    def schema(self) -> Schema:
        try:
            return schema_of(self.json(SCHEMA))
        except InvalidData as error:
            raise BundleCorrupt(f"{self.path / SCHEMA}: {error}") from error

    @cached_property
    def encoder(self) -> Encoder:
        try:
            return Encoder.from_json(self.schema, self.json("encoder.json"))
        except InvalidData as error:
            raise BundleCorrupt(f"{self.path / 'encoder.json'}: {error}") from error

    @cached_property
    def features(self) -> NDArray[np.float16]:
        """(tracks, track_width), the encoded catalogue."""
        return self.array("catalogue/features.npy")

    @cached_property
    def latents(self) -> FloatArray:
        """(tracks, LATENT), the autoencoder's; of width 0 where the bundle carries none."""
        if LATENTS not in self.manifest.files:
            return np.zeros((len(self.catalogue), 0), np.float32)
        # Stored in half precision; products of it are slow.
        return self.array(LATENTS).astype(np.float32)

    @cached_property
    def catalogue(self) -> Catalogue:
        names = self.json("catalogue/genres.json")
        offsets = self.array("catalogue/genre_offsets.npy")
        tracks = self.array("catalogue/genre_tracks.npy")
        return Catalogue(
            ids=self.array("catalogue/ids.npy"),
            explicit=self.array("catalogue/explicit.npy"),
            popularity=self.array("catalogue/popularity.npy"),
            artists=self.array("catalogue/artists.npy"),
            genres={
                name: tracks[start:end]
                for name, start, end in zip(names, offsets[:-1], offsets[1:], strict=True)
            },
            artist_ids=self.array("catalogue/artist_ids.npy"),
        )

    @cached_property
    def track_genres(self) -> TrackGenres:
        """The catalogue's genres, by track."""
        catalogue = self.catalogue
        return TrackGenres(
            tuple(catalogue.genres),
            self.precomputed(TRACK_GENRE_OFFSETS, lambda: genre_offsets(catalogue)),
            self.precomputed(TRACK_GENRE_NUMBERS, lambda: genre_numbers(catalogue)),
        )

    @cached_property
    def descriptions(self) -> "Descriptions":
        """What people read of the tracks. No model does, so it is mapped when somebody asks."""
        from segue.models.descriptions import read_descriptions

        return read_descriptions(self)

    def cards(self, positions: NDArray[np.integer]) -> "tuple[TrackCard, ...]":
        """The tracks at these positions as people see them."""
        from segue.domain.descriptions import card_of

        return tuple(
            card_of(track, self.catalogue, self.track_genres, self.descriptions)
            for track in positions.tolist()
        )

    def json(self, name: str) -> Any:
        """The parsed content of a JSON file."""
        return json.loads(self._content(name)[:])

    def array(self, name: str) -> NDArray[Any]:
        """The array of a .npy file, not to be written to."""
        if name not in self._arrays:
            content = self._content(name)
            try:
                self._arrays[name] = _array_in(content)
            except ValueError as error:
                raise BundleCorrupt(f"{self.path / name}: {error}") from error
        return self._arrays[name]

    def extended(self, added: "Sequence[AddedTrack]") -> "Bundle":
        """The bundle with the added tracks that it does not have itself, as if it had been trained
        with them. Made once for as long as these are the same."""
        if not added:
            return self
        # Most requests need not wait for it to be imported.
        from segue.models.extended import LastExtended

        return self.derived(LastExtended).by(added)

    def precomputed(self, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """An array that follows from others of the bundle, as ``make`` makes it. Training stores it
        under this name; of a bundle without it, it is made."""
        return self.array(name) if name in self.manifest.files else make()

    def derived(self, make: Callable[["Bundle"], T]) -> T:
        """What ``make`` makes of this bundle: made once, and gone when the bundle is."""
        if make not in self._derived:
            self._derived[make] = make(self)
        made: T = self._derived[make]
        return made

    def session(self, name: str) -> ort.InferenceSession:
        """A network of the bundle, ready to run on one thread."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        content = self._content(name)[:]
        try:
            return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions share no public base
            raise BundleCorrupt(f"{self.path / name}: {error}") from error

    def _content(self, name: str) -> mmap:
        """The bytes of a file, verified."""
        content = self._map(name)
        # To read behind the end of a file that has been cut short would end the process.
        if content.size() < len(content):
            raise BundleCorrupt(f"{self.path / name}: has been cut short")
        if name not in self._verified:
            if sha256(content).hexdigest() != self.manifest.files[name]["sha256"]:
                raise BundleCorrupt(f"{self.path / name}: its checksum is not the manifest's")
            # Of what was looked at, only what is used shall stay in memory.
            content.madvise(MADV_DONTNEED)
            self._verified.add(name)
        return content

    def _map(self, name: str) -> mmap:
        if name not in self._mapped:
            file = self.path / name
            try:
                with file.open("rb") as opened:
                    self._mapped[name] = mmap(opened.fileno(), 0, access=ACCESS_READ)
            except (OSError, ValueError) as error:  # the latter of an empty file
                raise BundleCorrupt(f"{file}: {error}") from error
        return self._mapped[name]


def read_manifest(path: Path) -> Manifest:
    """Read and check a bundle's manifest alone. Raises BundleMissing or BundleCorrupt."""
    return parse_manifest(_read_manifest(path), str(path / MANIFEST))


def _read_manifest(path: Path) -> bytes:
    file = path / MANIFEST
    try:
        return file.read_bytes()
    except OSError as error:
        raise BundleMissing(f"{file}: no bundle here ({error.strerror})") from error


def parse_manifest(raw: bytes, file: str) -> Manifest:
    """Check a manifest; ``file`` is where it was read. Raises BundleCorrupt."""
    try:
        content = json.loads(raw)
        version = content.pop("version")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleCorrupt(f"{file}: not a manifest") from error
    # The text itself is compared, so that not even a changed blank goes unnoticed.
    if raw != manifest_bytes(content) or version != content_version(content):
        raise BundleCorrupt(f"{file}: was changed after it had been written")
    if content.get("format") != FORMAT:
        raise BundleCorrupt(
            f"{file}: format {content.get('format')}, expected {FORMAT}: train it anew, or deploy "
            "the version of Segue that it was trained with"
        )
    return Manifest({"version": version, **content})


def manifest_bytes(content: Mapping[str, Any]) -> bytes:
    """The one way to write a manifest; ``version`` is added, it follows from the rest."""
    full = {"version": content_version(content), **content}
    return (json.dumps(full, indent=2, sort_keys=True) + "\n").encode()


def content_version(content: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that stand for this very content, and so for all the files."""
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _array_in(content: mmap) -> NDArray[Any]:
    """The array of a .npy file, over its bytes. Raises ValueError for what is none."""
    content.seek(0)
    np.lib.format.read_magic(content)
    shape, by_column, dtype = np.lib.format.read_array_header_1_0(content)
    return np.ndarray(shape, dtype, content, content.tell(), order="F" if by_column else "C")
