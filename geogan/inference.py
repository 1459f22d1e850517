"""Fill a block in memory: the first guess, then the generator over every window of frames."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from geogan.gaussian import GaussianPrior
from geogan.networks import Generator

# Cells that go through the generator at a time.
CELLS = 400_000


def reconstruct(
    network: Generator | None,
    values: Tensor,
    mask: Tensor,
    guess: Tensor,
    domain: Tensor,
    *,
    precision: torch.dtype = torch.float32,
) -> Tensor:
    """Reconstruct every frame of a block from the window around it.

    Parameters
    ----------
    network : Generator or None
        The generator; None returns the first guess.
    values, mask, guess : Tensor, shape (T, C, H, W)
        What was seen, where, and the first guess.
    domain : Tensor, shape (H, W)
    precision : torch.dtype
        Of the network's arithmetic.

    Returns
    -------
    field : Tensor, shape (T, C, H, W)
        A frame is the mean of what the windows that hold it say of it.
    """
    if network is None:
        return guess
    frames, length = network.frames, len(values)
    if length < frames:
        raise ValueError(f"a block needs at least the {frames} frames of a window, got {length}")
    starts = torch.arange(length - int(frames) + 1)
    rows = starts[:, None] + torch.arange(frames)
    total = torch.zeros_like(guess)
    count = torch.zeros(length, 1, 1, 1, device=guess.device, dtype=guess.dtype)
    cells = values[0].numel() * frames
    batch = max(1, CELLS // cells)
    place = domain.expand(1, 1, 1, *domain.shape)
    with torch.no_grad(), torch.autocast(guess.device.type, precision, enabled=precision != torch.float32):
        for part in rows.split(batch):
            part = part.to(guess.device)
            said = network(values[part], mask[part], guess[part], place.expand(len(part), -1, -1, -1, -1))
            total.index_add_(0, part.flatten(), said.float().flatten(0, 1).to(total.dtype))
            count += torch.bincount(part.flatten(), minlength=length).view_as(count)
    return total / count


def fill_block(
    network: Generator | None,
    prior: GaussianPrior | None,
    values: np.ndarray,
    observed: np.ndarray,
    domain: np.ndarray,
    days: np.ndarray,
    *,
    device: torch.device | None = None,
    precision: torch.dtype = torch.float32,
    tolerance: float = 1e-3,
) -> np.ndarray:
    """Fill a block of anomalies, NumPy in and out.

    Parameters
    ----------
    network : Generator or None
        The generator; None for the first guess alone.
    prior : GaussianPrior or None
        None for no first guess (zeros).
    values, observed : ndarray of float32, shape (T, C, H, W)
    domain : ndarray of float32, shape (H, W)
    days : ndarray of float64, shape (T,)

    Returns
    -------
    ndarray of float32, shape (T, C, H, W)
    """
    device = device or torch.device("cpu")
    y, mask, sea = (torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in (values, observed, domain))
    guess = torch.zeros_like(y)
    with torch.no_grad():
        if prior is not None:
            guess = prior.map(y[None], mask[None], sea, torch.from_numpy(days).to(device), tolerance=tolerance)[0]
        return reconstruct(network, y, mask, guess, sea, precision=precision).cpu().numpy()
