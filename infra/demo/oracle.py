"""The demo data's truth as a contender of an evaluation: a ceiling for all others."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from infra.demo.truth import TRUTH_FILE, Oracle
from segue.domain.catalogue import Catalogue
from segue.features.encoder import FloatArray
from training.evaluation.options import Contender
from training.protocol.lists import Lists, lists_of
from training.protocol.split import Split


def oracle_of(directory: Path) -> Contender | None:
    """Ranks by what every listener truly likes; None where the folder has no truth."""
    if not (directory / TRUTH_FILE).is_file():
        return None
    oracle = Oracle(directory)

    def recommend(split: Split, catalogue: Catalogue, k: int) -> Lists:
        return lists_of(split, _scores(oracle, split, catalogue), k)

    return recommend


def _scores(oracle: Oracle, split: Split, catalogue: Catalogue) -> Iterator[FloatArray]:
    """A track of the truth that the catalogue lacks is left out, and one it has besides, too."""
    places = catalogue.positions(oracle.track_ids)
    known = places >= 0
    for position in split.judged:
        scores = np.full(split.tracks, -np.inf, np.float32)
        truth = oracle.scores(int(split.users[position]), int(split.cutoff))
        scores[places[known]] = truth[known]
        yield scores
