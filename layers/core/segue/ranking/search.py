"""Search: the tracks whose title, artist or id is what somebody typed, or nearly so."""

import numpy as np
from numpy.typing import NDArray

from segue.domain.catalogue import Catalogue
from segue.domain.words import ABSENT, PREFIX, WHOLE, WordIndex, words_of
from segue.models.bundle import Bundle
from segue.models.ranked import Forbidden, best

# More words than a title and its artist have tell nothing new, and each takes its time.
MAX_WORDS = 12
# With fewer letters a great many ids begin by chance.
LEAST_OF_ID = 4
# A title, an artist or an id as it was typed comes before what has all the words, and more.
_SAME = -1
# Popularity is at most 1, so it only decides among tracks that fit as well.
_STEP = np.float32(2)


def search(
    text: str, bundle: Bundle, limit: int, forbidden: Forbidden | None = None
) -> NDArray[np.intp]:
    """The positions of at most ``limit`` tracks, those that fit best first, and of these the most
    popular; the most popular of all, where nothing is typed.

    Each word that is typed has to begin a word of the title or of the artist's name. Where no track
    is found so, words that begin none may have mistakes, and any may if all words are known.
    """
    # Half a character is in no name.
    text = text.encode(errors="replace").decode().strip()
    if not text:
        return best(bundle.catalogue.popularity, limit, forbidden).tracks
    words = words_of(text)[:MAX_WORDS]
    fits = [_fits(word, bundle, mistakes=False) for word in words]
    found = _best(text, fits, bundle, limit, forbidden)
    if len(found) or not words:
        return found
    known = [any((fit < ABSENT).any() for fit in both) for both in fits]
    for place, word in enumerate(words):
        if all(known) or not known[place]:
            fits[place] = _fits(word, bundle, mistakes=True)
    return _best(text, fits, bundle, limit, forbidden)


# How well each title and each artist's name fits a word.
_Fits = tuple[NDArray[np.int16], NDArray[np.int16]]


def _fits(word: str, bundle: Bundle, *, mistakes: bool) -> _Fits:
    descriptions = bundle.descriptions
    return (
        descriptions.title_words.fits(word, mistakes=mistakes),
        descriptions.artist_words.fits(word, mistakes=mistakes),
    )


def _best(
    text: str, fits: list[_Fits], bundle: Bundle, limit: int, forbidden: Forbidden | None
) -> NDArray[np.intp]:
    misfit = _misfit(fits, bundle)
    _fit_ids(misfit, text, bundle.catalogue)
    fitting = np.flatnonzero(misfit < ABSENT)
    scores = bundle.catalogue.popularity[fitting] - _STEP * misfit[fitting]
    return best(scores, limit, forbidden, fitting).tracks


def _misfit(fits: list[_Fits], bundle: Bundle) -> NDArray[np.int16]:
    """(tracks,) how badly the words fit, added up; ABSENT or more where one does not at all."""
    catalogue, descriptions = bundle.catalogue, bundle.descriptions
    if not fits:
        return np.full(len(catalogue), ABSENT, np.int16)
    misfit = np.zeros(len(catalogue), np.int16)
    for title, artist in fits:
        misfit += np.minimum(title, catalogue.of_artists(artist, np.int16(ABSENT)))
    misfit[_same(descriptions.title_words, [title for title, _ in fits])] = _SAME
    same_artist = _same(descriptions.artist_words, [artist for _, artist in fits])
    if same_artist.any():
        values = np.where(same_artist, np.int16(_SAME), np.int16(ABSENT))
        np.minimum(misfit, catalogue.of_artists(values, np.int16(ABSENT)), out=misfit)
    return misfit


def _same(index: WordIndex, fits: list[NDArray[np.int16]]) -> NDArray[np.bool_]:
    """(texts,) whether a text has all the words that were typed, and no others."""
    same: NDArray[np.bool_] = index.lengths == len(fits)
    for one in fits:
        same &= one == WHOLE
    return same


def _fit_ids(misfit: NDArray[np.int16], text: str, catalogue: Catalogue) -> None:
    """Let the tracks fit whose id the text is or begins."""
    if len(text) >= LEAST_OF_ID:
        own = catalogue.beginning_with(text)
        misfit[own] = np.minimum(misfit[own], PREFIX)
    (position,) = catalogue.positions([text])
    if position >= 0:
        misfit[position] = _SAME
