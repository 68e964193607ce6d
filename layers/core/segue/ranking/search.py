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
    popularity = bundle.catalogue.popularity
    # Half a character is in no name.
    text = text.encode(errors="replace").decode().strip()
    if not text:
        return best(popularity, limit, forbidden).tracks
    words = words_of(text)[:MAX_WORDS]
    found = np.empty(0, np.intp)
    for mistakes in (False, True):
        misfit = _misfit(words, bundle, mistakes=mistakes)
        _fit_ids(misfit, text, bundle.catalogue)
        fitting = np.flatnonzero(misfit < ABSENT)
        scores = popularity[fitting] - _STEP * misfit[fitting]
        found = best(scores, limit, forbidden, fitting).tracks
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
    misfit = np.zeros(len(bundle.catalogue), np.int16)
    for of_title, of_artist in zip(by_title, by_artist, strict=True):
        misfit += np.minimum(of_title, _of_tracks(of_artist, bundle.catalogue))
    misfit[_same(titles, by_title)] = _SAME
    same_artist = np.where(_same(artists, by_artist), np.int16(_SAME), np.int16(ABSENT))
    np.minimum(misfit, _of_tracks(same_artist, bundle.catalogue), out=misfit)
    return misfit


def _same(index: WordIndex, fits: list[NDArray[np.int16]]) -> NDArray[np.bool_]:
    """(texts,) whether a text has all the words that were typed, and no others."""
    same: NDArray[np.bool_] = index.lengths == len(fits)
    for one in fits:
        same &= one == WHOLE
    return same


def _of_tracks(of_artists: NDArray[np.int16], catalogue: Catalogue) -> NDArray[np.int16]:
    """(tracks,) what their artists have; ABSENT for tracks of no artist, whose number is -1."""
    values: NDArray[np.int16] = np.append(of_artists, np.int16(ABSENT))
    return values.take(catalogue.artists, mode="wrap")


def _fit_ids(misfit: NDArray[np.int16], text: str, catalogue: Catalogue) -> None:
    """Let the tracks fit whose id the text is or begins."""
    if len(text) >= LEAST_OF_ID:
        own = catalogue.beginning_with(text)
        misfit[own] = np.minimum(misfit[own], PREFIX)
    (position,) = catalogue.positions([text])
    if position >= 0:
        misfit[position] = _SAME
