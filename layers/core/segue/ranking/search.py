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

    Each word that is typed has to begin a word of the title or of the artist's name. Where too few
    tracks are found so, those follow in which it only nearly does.
    """
    catalogue = bundle.catalogue
    if not text.strip():
        return best(catalogue.popularity, limit, forbidden).tracks
    words = words_of(text)[:MAX_WORDS]
    found = np.empty(0, np.intp)
    for mistakes in (False, True):
        misfit = _misfit(words, bundle, mistakes=mistakes)
        _fit_ids(misfit, text.strip(), catalogue)
        scores = catalogue.popularity - _STEP * misfit
        scores[misfit >= ABSENT] = -np.inf
        found = best(scores, limit, forbidden).tracks
        if len(found) == limit:
            break
    return found


def _misfit(words: list[str], bundle: Bundle, *, mistakes: bool) -> NDArray[np.int16]:
    """(tracks,) how badly the words fit, added up; ABSENT or more where one does not at all."""
    titles, artists = bundle.descriptions.title_words, bundle.descriptions.artist_words
    if not words:
        return np.full(len(bundle.catalogue), ABSENT, np.int16)
    by_title = [titles.fits(word, mistakes=mistakes) for word in words]
    by_artist = [artists.fits(word, mistakes=mistakes) for word in words]
    # The last place is for tracks of no artist.
    of_artist = [np.append(fits, ABSENT)[bundle.catalogue.artists] for fits in by_artist]
    misfit: NDArray[np.int16] = np.minimum(by_title[0], of_artist[0])
    for title, artist in zip(by_title[1:], of_artist[1:], strict=True):
        misfit += np.minimum(title, artist)
    misfit[_same(titles, by_title)] = _SAME
    same_artist = np.append(_same(artists, by_artist), False)
    misfit[same_artist[bundle.catalogue.artists]] = _SAME
    return misfit


def _same(index: WordIndex, fits: list[NDArray[np.int16]]) -> NDArray[np.bool_]:
    """(texts,) whether a text has all the words that were typed, and no others."""
    same: NDArray[np.bool_] = np.maximum.reduce(fits) == WHOLE
    same &= index.lengths == len(fits)
    return same


def _fit_ids(misfit: NDArray[np.int16], text: str, catalogue: Catalogue) -> None:
    """Let the tracks fit whose id the text is or begins."""
    if len(text) >= LEAST_OF_ID:
        own = catalogue.beginning_with(text)
        misfit[own] = np.minimum(misfit[own], PREFIX)
    (position,) = catalogue.positions([text])
    if position >= 0:
        misfit[position] = _SAME
