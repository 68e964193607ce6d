"""Training of model 1: a denoising autoencoder over the catalogue's features."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import mse_loss

from training.networks import DenoisingAutoencoder, LatentSpace
from training.progress import Curve, Progress

EPOCHS = 40
PATIENCE = 4
BATCH = 1024
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-5
# Both kinds of noise at once: inputs are jittered, and a share of them goes missing.
JITTER = 0.2
MISSING = 0.15
HELD_OUT = 0.1


@dataclass(frozen=True)
class TrainedAutoencoder:
    """The latent space, and how training and held-out loss went, epoch by epoch."""

    space: LatentSpace
    curve: Curve


def train_autoencoder(
    features: NDArray[np.float16], device: torch.device, progress: Progress
) -> TrainedAutoencoder:
    """Fit on nine tenths of the tracks, (tracks, track_width), and stop by the loss on the rest."""
    rows = torch.from_numpy(features.astype(np.float32)).to(device)
    order = torch.randperm(len(rows), device="cpu").to(device)
    held_out, kept = order.split([held := int(HELD_OUT * len(rows)), len(rows) - held])
    network = DenoisingAutoencoder(rows.shape[1]).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    curve = Curve(PATIENCE)
    for epoch in range(EPOCHS):
        train_loss = _epoch(network, optimizer, rows[kept])
        curve.add(train_loss, _loss(network, rows[held_out] if held else rows), network)
        progress("autoencoder", epoch + 1, EPOCHS)
        if curve.finished:
            break
    progress("autoencoder", EPOCHS, EPOCHS)
    curve.restore(network)
    return TrainedAutoencoder(_latent_space(network, rows), curve)


def _epoch(network: DenoisingAutoencoder, optimizer: torch.optim.Optimizer, rows: Tensor) -> float:
    network.train()
    total = 0.0
    for batch in _batches(rows):
        loss = mse_loss(network(_with_noise(batch)), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
    return total / len(rows)


def _batches(rows: Tensor) -> Iterator[Tensor]:
    for positions in torch.randperm(len(rows)).split(BATCH):
        yield rows[positions.to(rows.device)]


def _with_noise(batch: Tensor) -> Tensor:
    present = torch.rand_like(batch) > MISSING
    return (batch + JITTER * torch.randn_like(batch)) * present


@torch.no_grad()
def _loss(network: DenoisingAutoencoder, rows: Tensor) -> float:
    network.eval()
    return mse_loss(network(rows), rows).item()


@torch.no_grad()
def _latent_space(network: DenoisingAutoencoder, rows: Tensor) -> LatentSpace:
    centre = network.encoder(rows).mean(0)
    return LatentSpace(network.encoder, centre).cpu().eval()
