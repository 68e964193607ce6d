"""All peers by name."""

from collections.abc import Mapping

from training.peers.closed_form import Ease, EaseLogCounts, GraphFilter
from training.peers.factors import Als, Bpr
from training.peers.long_form import ESasRec, LightFm, LightFmMetadata, SasRec
from training.peers.neighbours import BM25Neighbours, CosineNeighbours, UserNeighbours
from training.peers.original import OriginalAutoencoder, OriginalClassifier
from training.peers.peer import Peer
from training.peers.sansa import Sansa
from training.peers.simple import (
    ArtistTracks,
    CataloguePopularity,
    MonthPopularity,
    OwnHistory,
    OwnPlays,
    Popularity,
    Random,
    RecentPopularity,
)

_SHORT: tuple[type[Peer], ...] = (
    Random,
    Popularity,
    MonthPopularity,
    RecentPopularity,
    CataloguePopularity,
    OwnHistory,
    OwnPlays,
    ArtistTracks,
    CosineNeighbours,
    BM25Neighbours,
    UserNeighbours,
    Ease,
    EaseLogCounts,
    Als,
    Bpr,
    GraphFilter,
    OriginalAutoencoder,
    OriginalClassifier,
)
_LONG: tuple[type[Peer], ...] = (LightFm, LightFmMetadata, SasRec, ESasRec, Sansa)

PEERS: Mapping[str, type[Peer]] = {peer.name: peer for peer in (*_SHORT, *_LONG)}
SHORT = tuple(peer.name for peer in _SHORT)
# These need the packages of requirements.txt beside this file, the last those of sansa.txt.
LONG = tuple(peer.name for peer in _LONG)
