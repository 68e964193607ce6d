"""Finds texts by their words, with some of the letters missing or wrong."""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.domain.insertion import Insertion

# A word is told from others by so many bytes.
WIDTH = 24
# Words of so many letters may have so many mistakes.
_LETTERS_FOR_MISTAKES = ((8, 2), (4, 1))

# How well a text fits a word: it has the word; it has one that begins with it; it has one that
# begins nearly so, with one more for each mistake; or it does not fit.
WHOLE, PREFIX, ABSENT = 0, 1, 1_000

_WORD = re.compile(r"\w+")
# Letters that no normal form takes apart, as they are typed without the key for them.
_PLAIN = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe"}
    | {"\N{LATIN SMALL LETTER DOTLESS I}": "i"}
    | dict.fromkeys("'\N{RIGHT SINGLE QUOTATION MARK}\N{MODIFIER LETTER APOSTROPHE}")
)


def words_of(text: str) -> list[str]:
    """The different words of a text, in order, without case, accents and apostrophes."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text.casefold())
        text = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return list(dict.fromkeys(_WORD.findall(text.casefold().translate(_PLAIN))))


@dataclass(frozen=True, slots=True)
class WordIndex:
    """Which texts have a word.

    words: (words,) bytes, ascending, cut off at WIDTH. starts: (words + 1,) int32. numbers:
    (entries,) int32; the texts with word w are ``numbers[starts[w]:starts[w + 1]]``. lengths:
    (texts,) uint8, how many different words each text has, 255 being the most.
    """

    words: NDArray[np.bytes_]
    starts: NDArray[np.int32]
    numbers: NDArray[np.int32]
    lengths: NDArray[np.uint8]

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> "WordIndex":
        """Index the texts by number."""
        entries: dict[bytes, list[int]] = {}
        lengths = []
        for number, text in enumerate(texts):
            own = dict.fromkeys(_key(word) for word in words_of(text or ""))
            lengths.append(min(len(own), 255))
            for word in own:
                entries.setdefault(word, []).append(number)
        words = sorted(entries)
        counts = [len(entries[word]) for word in words]
        return cls(
            np.array(words, f"S{WIDTH}"),
            np.cumsum([0, *counts], dtype=np.int32),
            np.fromiter((it for word in words for it in entries[word]), np.int32, sum(counts)),
            np.array(lengths, np.uint8),
        )

    def inserted(self, insertion: Insertion, new: "WordIndex") -> "WordIndex":
        """These texts and new ones between them."""
        words = np.union1d(self.words, new.words)
        word = np.concatenate([_repeated(self, words), _repeated(new, words)])
        of_old = insertion.numbers(self.numbers)
        numbers = np.concatenate([of_old, insertion.new[new.numbers].astype(np.int32)])
        order = np.lexsort((numbers, word))
        starts = np.cumsum([0, *np.bincount(word, minlength=len(words))], dtype=np.int32)
        return WordIndex(words, starts, numbers[order], insertion.rows(self.lengths, new.lengths))

    def fits(self, word: str, *, mistakes: bool) -> NDArray[np.int16]:
        """(texts,) WHOLE, PREFIX and so on to ABSENT; mistakes: whether any are forgiven."""
        found = np.full(len(self.lengths), ABSENT, np.int16)
        # The better overwrites the worse.
        if mistakes:
            for distance, places in self._near(word):
                found[self._texts(places)] = PREFIX + distance
        key = _key(word)
        first = bisect_left(self.words, key)
        after = bisect_left(self.words, key + b"\xff")
        found[self.numbers[self.starts[first] : self.starts[after]]] = PREFIX
        if first < after and self.words[first] == key:
            found[self.numbers[self.starts[first] : self.starts[first + 1]]] = WHOLE
        return found

    def _texts(self, places: NDArray[np.intp]) -> NDArray[np.int32]:
        """The texts with any of the words in these places."""
        slices = [self.numbers[self.starts[place] : self.starts[place + 1]] for place in places]
        return np.concatenate([np.empty(0, np.int32), *slices])

    def _near(self, word: str) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """The places of the words that begin with nearly this one, most mistakes first."""
        most = next((most for least, most in _LETTERS_FOR_MISTAKES if len(word) >= least), 0)
        if most:
            distances = prefix_distances(self.words, _key(word), most)
            for distance in range(most, 0, -1):
                yield distance, np.flatnonzero(distances == distance)


def _repeated(index: WordIndex, words: NDArray[np.bytes_]) -> NDArray[np.intp]:
    """(entries,) the place among the words of that which an entry is of."""
    return np.repeat(np.searchsorted(words, index.words), np.diff(index.starts))


def prefix_distances(words: NDArray[np.bytes_], wanted: bytes, most: int) -> NDArray[np.uint8]:
    """(words,) by how many mistakes the nearest beginning of each word differs from the wanted one;
    any number beyond ``most`` where it is more than that.

    A mistake is a byte left out, added, exchanged for another one, or swapped with its neighbour
    (optimal string alignment). The table of distances is filled in for all words at once, and only
    so far from its diagonal as ``most`` mistakes can lead.
    """
    width = min(len(wanted) + most, words.itemsize)
    letters = words.view(np.uint8).reshape(len(words), words.itemsize)
    columns = np.ascontiguousarray(letters[:, :width].T)
    # A row has, by length, the distances of the words' beginnings from one of what is wanted.
    before: _Row = {}
    last: _Row = {length: _all(words, length) for length in range(min(most, width) + 1)}
    left = np.arange(len(words))
    for length in range(1, len(wanted) + 1):
        row: _Row = {0: _all(words, length)} if length <= most else {}
        for end in range(max(1, length - most), min(length + most, width) + 1):
            row[end] = _least(row, last, before, columns, wanted[:length], end)
        before, last = last, row
        if length == most + 2:
            # By now most words are too far off, and distances never fall.
            near = np.flatnonzero(_nearest(last) <= most)
            left, columns = left[near], columns[:, near]
            before, last = ({end: it[near] for end, it in row.items()} for row in (before, last))
    distances = _all(words, most + 1)
    distances[left] = _nearest(last)
    return distances


_Row = dict[int, NDArray[np.uint8]]


def _nearest(row: _Row) -> NDArray[np.uint8]:
    nearest: NDArray[np.uint8] = np.minimum.reduce(list(row.values()))
    return nearest


def _all(words: NDArray[np.bytes_], distance: int) -> NDArray[np.uint8]:
    return np.full(len(words), distance, np.uint8)


def _least(
    row: _Row, last: _Row, before: _Row, columns: NDArray[np.uint8], wanted: bytes, end: int
) -> NDArray[np.uint8]:
    """(words,) the distances of their first ``end`` bytes from what is wanted so far."""
    distance: NDArray[np.uint8] = last[end - 1] + (columns[end - 1] != wanted[-1])
    for added in (last.get(end), row.get(end - 1)):
        if added is not None:
            np.minimum(distance, added + np.uint8(1), out=distance)
    if end - 2 in before:
        swapped = (columns[end - 2] == wanted[-1]) & (columns[end - 1] == wanted[-2])
        np.minimum(distance, before[end - 2] + np.uint8(1), out=distance, where=swapped)
    return distance


def _key(word: str) -> bytes:
    return word.encode()[:WIDTH]
