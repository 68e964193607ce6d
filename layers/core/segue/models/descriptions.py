"""Reads what a bundle holds for people to read."""

from collections.abc import Iterator
from dataclasses import fields

from segue.domain.descriptions import Descriptions
from segue.domain.labels import Label, Labels
from segue.domain.texts import Texts
from segue.domain.words import WordIndex
from segue.models.bundle import Bundle


def read_descriptions(bundle: Bundle) -> Descriptions:
    """The descriptions of the tracks. Raises BundleCorrupt."""
    described = bundle.schema.described
    numbers = [feature.name for feature in described if feature.kind == "numeric"]
    others = [feature for feature in described if feature.kind != "numeric"]
    return Descriptions(
        titles=_texts(bundle, "titles"),
        title_words=_words(bundle, "title_words"),
        artist_names=_texts(bundle, "artist_names"),
        artist_words=_words(bundle, "artist_words"),
        years=bundle.array("descriptions/years.npy"),
        numbers=dict(zip(numbers, bundle.array("descriptions/numbers.npy"), strict=True)),
        labels=dict(zip((feature.name for feature in others), _labels(bundle), strict=True)),
        lists=frozenset(feature.name for feature in others if feature.kind == "multi_hot"),
    )


def _words(bundle: Bundle, name: str) -> WordIndex:
    parts = (field.name for field in fields(WordIndex))
    return WordIndex(*(bundle.array(f"descriptions/{name}_{part}.npy") for part in parts))


def _texts(bundle: Bundle, name: str) -> Texts:
    content, starts = (bundle.array(f"descriptions/{name}{part}.npy") for part in ("", "_starts"))
    return Texts(content, starts)


def _labels(bundle: Bundle) -> Iterator[Labels[Label]]:
    """Column after column: the offsets of each begin where those of the one before end."""
    tracks = len(bundle.catalogue)
    offsets = bundle.array("descriptions/label_offsets.npy")
    numbers = bundle.array("descriptions/label_numbers.npy")
    for place, names in enumerate(bundle.json("descriptions/labels.json")):
        own = offsets[place * tracks : (place + 1) * tracks + 1]
        yield Labels(tuple(names), own, numbers)
