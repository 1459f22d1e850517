"""Layers of spectral norm 1 with orthogonal initial weights."""

from __future__ import annotations

from typing import TypeVar

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def spectral(layer: Layer) -> Layer:
    """Initialise a layer orthogonally, with bias 0, and divide its weight by its spectral norm at each use.

    The norm is tracked by one power iteration at each use in training mode (Miyato et al., *Spectral Normalization for
    Generative Adversarial Networks*, ICLR 2018). If a layer is used several times with the same weights,
    ``torch.nn.utils.parametrize.cached()`` around the uses computes it once.

    Parameters
    ----------
    layer : Conv2d or Linear
        Changed in place, and returned. Its weight is stored in ``layer.parametrizations.weight.original``.

    Examples
    --------
    >>> import torch
    >>> layer = spectral(nn.Linear(6, 4))
    >>> torch.linalg.matrix_norm(layer.weight, 2).round(decimals=3).item()
    1.0
    """
    # The parametrisation replaces the weight: an initialiser after it would write into a temporary tensor.
    nn.init.orthogonal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    spectral_norm(layer)
    return layer
