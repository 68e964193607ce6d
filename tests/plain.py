"""Models in plain PyTorch, as their definitions read: what is served has to give the same."""

import torch
from torch import Tensor, nn

from segue.models.autoencoder import CONCENTRATION


class TasteDensity(nn.Module):
    """How likely a listener's interests lead to each track.

    Each interest i, of weight w_i, leads to its neighbours, and never to itself, with chances that
    fall with the angle (a von Mises-Fisher kernel) and grow with the track's prior p_t:
    ``P(t|i) = p_t exp(c cos(t, i)) / sum_{s != i} p_s exp(c cos(s, i))`` with c = CONCENTRATION.
    ``score(t) = log sum_{i != t} w_i P(t|i)``. An interest shares out its own weight and no more,
    be its neighbourhood crowded or empty, and a track that several interests lead to comes first.
    """

    def forward(self, latents: Tensor, prior: Tensor, interests: Tensor, weights: Tensor) -> Tensor:
        """latents (tracks, LATENT), prior (tracks,), interests (n,) positions, weights (n,) ->
        scores (tracks,)."""
        kernel = torch.exp(CONCENTRATION * (latents[interests] @ latents.T))
        kernel = kernel.scatter(1, interests.unsqueeze(1), 0.0)
        reach = (weights / (kernel @ prior)).unsqueeze(0) @ kernel
        return torch.log(prior * reach.squeeze(0))
