"""What to recommend to someone who has not played anything in the window."""

import numpy as np

from segue.domain.catalogue import Catalogue
from segue.domain.users import User
from segue.features.encoder import FloatArray

# Popularity is at most 1, so every track of a favourite genre comes before all others.
FAVOURITE = 2.0


def cold_start_scores(user: User, catalogue: Catalogue) -> FloatArray:
    """(tracks,) the most popular tracks of the favourite genres first, then the most popular."""
    scores = catalogue.popularity.copy()
    favourites = [catalogue.genres[g] for g in user.favourite_genres if g in catalogue.genres]
    if favourites:
        of_favourites = np.zeros(len(scores), np.bool_)
        of_favourites[np.concatenate(favourites)] = True
        scores[of_favourites] += FAVOURITE
    return scores
