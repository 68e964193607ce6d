"""The one encoder: from columns of raw values to the matrices that every model sees.

Training fits it on the catalogue and writes it into the bundle; serving reads it from there. What
it does to a value is written here and nowhere else.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import shake_128

import numpy as np
from numpy.typing import NDArray

from segue.domain.errors import InvalidData
from segue.features.schema import Feature, Schema

Columns = Mapping[str, Sequence[object]]
FloatArray = NDArray[np.float32]

# A standardised value beyond this is a fault of the data more often than a property of the track.
_CLIP = 5.0

# Anything beyond is no measurement, and its square would overflow the scale.
_GREATEST = 1e15


@dataclass(frozen=True, slots=True)
class FeatureEncoder:
    """One feature, fitted. ``labels`` are its inputs' names, ``mean`` and ``scale`` its units."""

    feature: Feature
    labels: tuple[str | int, ...] = ()
    mean: float = 0.0
    scale: float = 1.0

    @property
    def width(self) -> int:
        """Number of inputs."""
        if self.feature.kind == "hashed":
            return self.feature.size
        return 1 if self.feature.kind == "numeric" else len(self.labels)

    def encode(self, values: Sequence[object]) -> FloatArray:
        """Shape (len(values), width)."""
        if self.feature.kind == "numeric":
            given = numbers_of(self.feature, values)
            standard = (np.where(np.isnan(given), self.mean, given) - self.mean) / self.scale
            return np.clip(standard, -_CLIP, _CLIP).astype(np.float32)[:, None]
        if self.feature.kind == "hashed":
            return _hashed(values, self.feature.size)
        place = {label: column for column, label in enumerate(self.labels)}
        matrix = np.zeros((len(values), self.width), np.float32)
        for row, value in enumerate(values):
            for label in labels_of(self.feature, value):
                column = place.get(label)
                if column is not None:
                    matrix[row, column] = 1.0
        return matrix


@dataclass(frozen=True, slots=True)
class Encoder:
    """All features of tracks and of users, fitted, in the order of the schema."""

    schema: Schema
    track: tuple[FeatureEncoder, ...]
    user: tuple[FeatureEncoder, ...]

    @property
    def track_width(self) -> int:
        """Inputs of a track."""
        return sum(encoder.width for encoder in self.track)

    @property
    def user_width(self) -> int:
        """Inputs of a user's profile."""
        return sum(encoder.width for encoder in self.user)

    def encode_tracks(self, columns: Columns) -> FloatArray:
        """Shape (tracks, track_width). Raises InvalidData where a column is absent."""
        return _encode(self.track, columns)

    def encode_users(self, columns: Columns) -> FloatArray:
        """Shape (users, user_width). Raises InvalidData where a column is absent."""
        return _encode(self.user, columns)

    def to_json(self) -> dict[str, object]:
        """What was fitted, to go into the bundle; the schema goes there as its own file."""
        return {"track": [_state(e) for e in self.track], "user": [_state(e) for e in self.user]}

    @classmethod
    def from_json(
        cls, schema: Schema, state: Mapping[str, Sequence[Mapping[str, object]]]
    ) -> "Encoder":
        """Read what ``to_json`` wrote. Raises InvalidData where the two do not fit."""
        return cls(
            schema,
            _restore(schema.track, state.get("track", ())),
            _restore(schema.user, state.get("user", ())),
        )


def fit_encoder(schema: Schema, tracks: Columns, users: Columns) -> Encoder:
    """Fit means, scales and vocabularies. Raises InvalidData where a column is absent."""
    return Encoder(
        schema,
        tuple(_fit(feature, _column(tracks, feature)) for feature in schema.track),
        tuple(_fit(feature, _column(users, feature)) for feature in schema.user),
    )


def _fit(feature: Feature, values: Sequence[object]) -> FeatureEncoder:
    if feature.kind == "numeric":
        given = numbers_of(feature, values)
        known = given[~np.isnan(given)]
        if known.size == 0:
            return FeatureEncoder(feature)
        return FeatureEncoder(feature, mean=float(known.mean()), scale=float(known.std()) or 1.0)
    if feature.kind == "hashed":
        return FeatureEncoder(feature)
    if feature.kind == "categorical":
        return FeatureEncoder(feature, feature.values)
    counts = Counter(label for value in values for label in labels_of(feature, value))
    # Ties in frequency fall to the alphabet, so that the same data gives the same inputs.
    ranked = sorted(counts, key=lambda label: (-counts[label], str(label)))
    return FeatureEncoder(feature, tuple(sorted(ranked[: feature.size], key=str)))


def _encode(encoders: Sequence[FeatureEncoder], columns: Columns) -> FloatArray:
    parts = [encoder.encode(_column(columns, encoder.feature)) for encoder in encoders]
    rows = len(next(iter(columns.values()), ()))
    return np.hstack(parts) if parts else np.zeros((rows, 0), np.float32)


def _column(columns: Columns, feature: Feature) -> Sequence[object]:
    try:
        return columns[feature.source]
    except KeyError:
        raise InvalidData(f"the data has no column {feature.source!r}") from None


def numbers_of(feature: Feature, values: Sequence[object]) -> NDArray[np.float64]:
    """(len(values),) the values of a numeric feature; NaN where one is missing or no number."""
    return np.array([_number(feature, value) for value in values], np.float64)


def _number(feature: Feature, value: object) -> float:
    if feature.read == "year" and isinstance(value, str):
        value = value[:4]
    if value is None or not isinstance(value, str | int | float):
        return float("nan")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return float("nan")
    return number if abs(number) <= _GREATEST else float("nan")


def _hashed(values: Sequence[object], size: int) -> FloatArray:
    """(len(values), size): each label a point of its own on the unit sphere, as its hash has it.

    Two of them are nearly at right angles, so that even thousands can be told apart by fewer inputs
    (a random projection, as of Johnson and Lindenstrauss), those too that no catalogue had before.
    """
    labels = [str(value) if isinstance(value, str | int) else "" for value in values]
    points = {label: _signs(label, size) for label in dict.fromkeys(labels)}
    # No label is no direction, not one that all tracks without a label share.
    points[""] = np.zeros(size)
    return np.array([points[label] for label in labels], np.float32).reshape(-1, size)


def _signs(label: str, size: int) -> NDArray[np.float64]:
    bits = np.unpackbits(np.frombuffer(shake_128(label.encode()).digest(-(-size // 8)), np.uint8))
    signs: NDArray[np.float64] = (2.0 * bits[:size] - 1) / size**0.5
    return signs


def labels_of(feature: Feature, value: object) -> Sequence[str | int]:
    """The labels that a value of any other feature consists of."""
    if feature.kind in ("categorical", "hashed"):
        return [value] if isinstance(value, str | int) else []
    labels = value if isinstance(value, list | tuple) else ()
    return [label for label in labels if isinstance(label, str)]


def _state(encoder: FeatureEncoder) -> dict[str, object]:
    return {
        "name": encoder.feature.name,
        "labels": list(encoder.labels),
        "mean": encoder.mean,
        "scale": encoder.scale,
    }


def _restore(
    features: Sequence[Feature], states: Sequence[Mapping[str, object]]
) -> tuple[FeatureEncoder, ...]:
    if [feature.name for feature in features] != [state.get("name") for state in states]:
        raise InvalidData("the fitted encoder belongs to another feature schema")
    return tuple(
        FeatureEncoder(feature, tuple(state["labels"]), float(state["mean"]), float(state["scale"]))  # type: ignore[arg-type]
        for feature, state in zip(features, states, strict=True)
    )
