"""All peers by name."""

from collections.abc import Mapping

from training.peers.closed_form import Ease, GraphFilter
from training.peers.factors import Als, Bpr
from training.peers.long_form import LightFm, SasRec
from training.peers.neighbours import BM25Neighbours, CosineNeighbours
from training.peers.original import OriginalAutoencoder, OriginalClassifier
from training.peers.peer import Peer
from training.peers.simple import (
    CataloguePopularity,
    OwnHistory,
    Popularity,
    Random,
    RecentPopularity,
)

_SHORT: tuple[type[Peer], ...] = (
    Random,
    Popularity,
    RecentPopularity,
    CataloguePopularity,
    OwnHistory,
    CosineNeighbours,
    BM25Neighbours,
    Ease,
    Als,
    Bpr,
    GraphFilter,
    OriginalAutoencoder,
    OriginalClassifier,
)
_LONG: tuple[type[Peer], ...] = (LightFm, SasRec)

PEERS: Mapping[str, type[Peer]] = {peer.name: peer for peer in (*_SHORT, *_LONG)}
SHORT = tuple(peer.name for peer in _SHORT)
# These need the packages of requirements.txt beside this file.
LONG = tuple(peer.name for peer in _LONG)
