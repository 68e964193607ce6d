"""Model 1: a denoising autoencoder over the catalogue's features, trained and written down."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import mse_loss, normalize

from segue.features.encoder import Encoder
from segue.models.autoencoder import UNPLAYED, neighbourhood_totals
from segue.models.bundle import LATENTS
from training.catalogue import EncodedCatalogue
from training.counts import Counts
from training.export import BLOCK, BundleWriter
from training.models.density import density_network
from training.models.networks import Balance, DenoisingAutoencoder, LatentSpace
from training.progress import Curve, Progress

EPOCHS = 12
PATIENCE = 4
BATCH = 256
LEARNING_RATE = 4e-3
# From the weights of the last bundle on.
EPOCHS_ON, LEARNING_RATE_ON = 2, 4e-4
WEIGHT_DECAY = 1e-5
# Both kinds of noise at once: inputs are jittered, and whole groups of them go missing, so that
# the latent space tells from the sound what the genres may be, and from the artist what the sound.
JITTER = 0.2
MISSING = 0.15
HELD_OUT = 0.1
# Beside the weights, in their file.
HELD_OUT_IDS = "held_out"


@dataclass(frozen=True)
class AutoencoderState:
    """What the next training goes on from: the weights of encoder and decoder by name, and the ids
    of the tracks that were held out, which it must not learn from either."""

    weights: Mapping[str, Tensor]
    held_out: NDArray[np.bytes_]


@dataclass(frozen=True)
class TrainedAutoencoder:
    """The latent space; the tracks' prior, (tracks,) float32; how training and held-out loss went;
    and what the next training goes on from.

    The losses are the share of the inputs' variance that the reconstruction misses.
    """

    space: LatentSpace
    prior: NDArray[np.float32]
    curve: Curve
    state: AutoencoderState


def train_autoencoder(
    counts: Counts,
    encoded: EncodedCatalogue,
    device: torch.device,
    progress: Progress,
    last: AutoencoderState | None = None,
) -> TrainedAutoencoder:
    """Fit on nine tenths of the tracks that are out, and keep what does best on the rest. counts:
    at the cut-off. last: where an earlier training ended, to go on from there in a few epochs."""
    known, groups = encoded.past.features, input_groups(encoded.encoder)
    ids = encoded.catalogue.ids[encoded.released]
    order, held = _order(ids, last)
    space, weights, curve = fit_space(known, groups, order, held, device, progress, last)
    state = AutoencoderState(weights, ids[order[:held].numpy()])
    return TrainedAutoencoder(space, prior(counts.ended), curve, state)


def _order(ids: NDArray[np.bytes_], last: AutoencoderState | None) -> tuple[Tensor, int]:
    """The rows in random order, those that are held out first; and how many these are. Tracks that
    the last training has not seen are learnt from."""
    order = torch.randperm(len(ids), device="cpu")
    if last is None:
        return order, int(HELD_OUT * len(ids))
    held = torch.from_numpy(np.isin(ids, last.held_out))[order]
    return torch.cat([order[held], order[~held]]), int(held.sum())


def input_groups(encoder: Encoder) -> NDArray[np.int64]:
    """(track_width,) which group an input belongs to: all numbers and categories are one group,
    and so is each feature that lists labels."""
    groups: list[int] = []
    for feature in encoder.track:
        alone = feature.feature.kind in ("multi_hot", "hashed")
        groups += [max(groups, default=0) + 1 if alone else 0] * feature.width
    return np.unique(groups, return_inverse=True)[1]


def prior(plays: NDArray[np.int64]) -> NDArray[np.float32]:
    """(tracks,) how much a track is favoured among equally near ones: the square root of its plays
    in the last month and one more. So what is hot comes first, but what nobody has played yet, and
    is near, comes before what is hot and far."""
    favoured: NDArray[np.float32] = np.sqrt(UNPLAYED + plays).astype(np.float32)
    return favoured


def fit_space(
    features: NDArray[np.float16],
    groups: NDArray[np.int64],
    order: Tensor,
    held: int,
    device: torch.device,
    progress: Progress,
    last: AutoencoderState | None,
) -> tuple[LatentSpace, dict[str, Tensor], Curve]:
    """features: (tracks, track_width). groups: (track_width,). order: (tracks,), of which the first
    ``held`` are held out. The weights are those of encoder and decoder."""
    raw = torch.from_numpy(features.astype(np.float32))
    balance = Balance(raw, torch.from_numpy(groups))
    groups_ = torch.from_numpy(groups).to(device)
    rows = balance(raw).to(device)
    order = order.to(device)
    kept = rows[order[held:]]
    # Both losses are of as many tracks.
    checked, learnt = (rows[order[:held]], kept[:held]) if held else (rows, rows)
    network = DenoisingAutoencoder(rows.shape[1]).to(device)
    epochs, rate = EPOCHS, LEARNING_RATE
    curve = Curve(PATIENCE)
    if last is not None:
        epochs, rate = EPOCHS_ON, LEARNING_RATE_ON
        network.load_state_dict(last.weights)
        curve.begin(_loss(network, learnt), _loss(network, checked), network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        _epoch(network, optimizer, kept, groups_)
        schedule.step()
        curve.add(_loss(network, learnt), _loss(network, checked), network)
        progress("autoencoder", epoch + 1, epochs)
        if curve.finished:
            break
    progress("autoencoder", epochs, epochs)
    curve.restore(network)
    network.cpu()
    return _latent_space(balance, network, rows.cpu()), network.state_dict(), curve


def _epoch(
    network: DenoisingAutoencoder, optimizer: torch.optim.Optimizer, rows: Tensor, groups: Tensor
) -> None:
    network.train()
    spread = rows.std(0)
    for batch in _batches(rows):
        jittered = batch + JITTER * spread * torch.randn_like(batch)
        present = torch.rand(len(batch), int(groups.max()) + 1, device=rows.device) > MISSING
        loss = mse_loss(network(jittered * present[:, groups]), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _batches(rows: Tensor) -> Iterator[Tensor]:
    for positions in torch.randperm(len(rows)).split(BATCH):
        yield rows[positions.to(rows.device)]


@torch.no_grad()
def _loss(network: DenoisingAutoencoder, rows: Tensor) -> float:
    network.eval()
    missed = (network(rows) - rows).square().sum().item()
    return float(missed / max(rows.square().sum().item(), 1e-12))


@torch.no_grad()
def _latent_space(balance: Balance, network: DenoisingAutoencoder, rows: Tensor) -> LatentSpace:
    """Turned so that the leading coordinates hold as much of all points as so many can."""
    latents = network.encoder(rows)
    centre = latents.mean(0)
    points = normalize(latents - centre, dim=1)
    axes = torch.linalg.eigh(points.T @ points).eigenvectors.flip(1)
    return LatentSpace(nn.Sequential(balance, network.encoder), centre, axes).eval()


@torch.no_grad()
def write_autoencoder(
    writer: BundleWriter, trained: TrainedAutoencoder, features: NDArray[np.float16]
) -> None:
    """The encoder, what it makes of the catalogue, the network that answers requests, and what the
    next training goes on from."""
    rows = torch.from_numpy(features)
    latents = torch.cat([trained.space(block.float()) for block in rows.split(BLOCK)])
    # Half as many bytes; what follows goes by the rounded numbers that serving reads.
    latents = latents.half()
    writer.array(LATENTS, latents.numpy())
    writer.array("autoencoder/prior.npy", trained.prior)
    totals = neighbourhood_totals(latents.numpy(), trained.prior, np.arange(len(latents)))
    writer.array("autoencoder/totals.npy", totals)
    inputs = {"features": rows[:2].float()}
    writer.network("autoencoder/encoder.onnx", trained.space, inputs, ("latents",))
    writer.bytes("autoencoder/density.onnx", density_network())
    weights = {name: value.numpy() for name, value in trained.state.weights.items()}
    writer.weights("autoencoder", {**weights, HELD_OUT_IDS: trained.state.held_out})
