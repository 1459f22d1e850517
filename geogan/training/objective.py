"""The terms of the objective: plain functions of tensors, each citing its equation.

The equations are those of Pajot, de Bézenac and Gallinari (ICLR 2019). Squares are taken in units of
``scale``: the standard deviation of the first guess's own error, or 1 for the paper's form.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

from geogan.fields.trust import trust as trust
from geogan.operators.operator import Observation


def prior_generator(score_measured_again: Tensor) -> Tensor:
    """Return the prior term of G, ``-log D(y_hat)``: the non-saturating form of equation 8.

    Parameters
    ----------
    score_measured_again : Tensor, shape (B,)
        The discriminator's logits for measurements of reconstructions.
    """
    return softplus(-score_measured_again).mean()


def prior_discriminator(score_real: Tensor, score_measured_again: Tensor) -> Tensor:
    """Return the loss of D, ``-log D(y) - log(1 - D(y_hat))``, equation 8 and Algorithm 1.

    D compares measurements with measurements: it never sees a reconstruction.
    """
    return softplus(-score_real).mean() + softplus(score_measured_again).mean()


def r1_penalty(score_real: Tensor, real: Tensor) -> Tensor:
    """Return half of the mean squared norm of the gradient of D at real measurements.

    Not in the paper (Mescheder, Geiger, Nowozin 2018, R1): it takes the place of a spectral norm.

    Parameters
    ----------
    score_real : Tensor, shape (B,)
        Logits of ``real``.
    real : Tensor, shape (B, T, C, H, W)
        With ``requires_grad``.
    """
    (gradient,) = torch.autograd.grad(score_real.sum(), real, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean() / 2


def likelihood(measured: Observation, again: Observation, scale: Tensor | float = 1.0) -> Tensor:
    """Return the likelihood term, equation 9: ``||y_hat - F(G(y_hat); theta)||^2`` per observed cell.

    Parameters
    ----------
    measured : Observation
        ``y_hat``, a simulated measurement of the reconstruction.
    again : Observation
        Its reconstruction, measured with the same theta.
    scale : Tensor or float
        Unit of the differences.
    """
    return masked_square(measured.values, again.values, measured.mask, scale)


def withheld(reconstruction: Tensor, values: Tensor, hidden: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """Return the withheld term: the weighted mean square error on observations hidden from the generator.

    Not in the paper. Hidden observations are real measurements, under a gap that was drawn independently of them. So in
    every cell the best reconstruction is the conditional mean, for any weights.

    Parameters
    ----------
    reconstruction, values : Tensor, shape (B, T, C, H, W)
    hidden : Tensor, shape (B, T, C, H, W)
        Weight of each cell, 0 where it was not hidden; see :func:`confidence`.
    scale : Tensor or float
        Unit of the differences.
    """
    return masked_square(reconstruction, values, hidden, scale)


def paired(reconstruction: Tensor, clean: Tensor, domain: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """Return the regression on clean fields of the paper's paired variant: the mean square error on the domain.

    Parameters
    ----------
    reconstruction, clean : Tensor, shape (B, T, C, H, W)
    domain : Tensor, shape (B, 1, 1, H, W)
        1 where the field exists.
    scale : Tensor or float
        Unit of the differences.
    """
    return masked_square(reconstruction, clean, domain.expand(clean.shape), scale)


def recorrupted(reconstruction: Tensor, again: Tensor, mask: Tensor, noise: float) -> Tensor:
    """Return the withheld term of noisy values without gaps: the mean square error against independent noise.

    Not in the paper; see :mod:`geogan.training.recorruption`. The best answer is the conditional mean of ``F(x)``. In
    units of the noise the gradient of the term is of order one.

    Parameters
    ----------
    reconstruction : Tensor, shape (B, T, C, H, W)
        ``F(G(y + alpha n))``, without noise.
    again : Tensor, shape (B, T, C, H, W)
        ``y - n / alpha``.
    mask : Tensor, shape (B, T, C, H, W)
        1 where shown.
    noise : float
        Standard deviation of the noise of ``y``.
    """
    return masked_square(reconstruction, again, mask, noise)


def fair_crps(members: Tensor, values: Tensor, hidden: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """Return the withheld term of an ensemble: its fair continuous ranked probability score on hidden observations.

    Not in the paper. ``mean |x_i - y| - 1/2 mean_{i != j} |x_i - x_j|``: because the second mean is over pairs of
    different members, the expected score does not depend on their number (Ferro 2014). It is least for draws from the
    conditional distribution of ``y``, so the spread is learned from measurements alone.

    Parameters
    ----------
    members : Tensor, shape (M, B, T, C, H, W)
        At least two, drawn independently.
    values, hidden, scale
        Those of :func:`withheld`.
    """
    count = len(members)
    if count < 2:
        raise ValueError(f"an ensemble needs at least two members, got {count}")
    distance = (members - values).abs().mean(0)
    for first in range(count):
        for second in range(first):
            distance = distance - (members[first] - members[second]).abs() / (count * (count - 1))
    return (hidden * distance / scale).sum() / hidden.sum().clamp_min(1)


def error_likelihood(
    std: Tensor, square: Tensor, hidden: Tensor, scale: Tensor | float = 1.0, noise: Tensor | float = 0.0
) -> Tensor:
    """Return the loss of a predicted error: the normal negative log-likelihood ``log std + square / (2 std^2)``.

    Not in the paper. For any distribution of the errors it is least where ``std^2`` is the mean of ``square``.

    Parameters
    ----------
    std : Tensor, shape (B, T, C, H, W)
        Predicted standard deviation of the reconstruction's error.
    square : Tensor, shape (B, T, C, H, W)
        Square of its error, without gradient.
    hidden : Tensor, shape (B, T, C, H, W)
        1 where an observation was hidden.
    scale : Tensor or float
        Unit of both.
    noise : Tensor or float
        Known standard deviation of the errors of the observations; ``std`` then excludes them.
    """
    variance = std * std
    if not isinstance(noise, float) or noise > 0:
        variance = variance + noise * noise
    # The unit is taken out of the sum, which saves a pass over all cells forward and backward.
    total, unit = hidden.sum(), torch.as_tensor(scale, device=std.device).log()
    twice = (hidden * (torch.log(variance) + square / variance)).sum() - 2 * unit * total
    return twice / (2 * total.clamp_min(1))


def confidence(kept: Tensor) -> Tensor:
    """Return weights for the withheld term that grow with the share of cells shown nearby, over all frames of a window.

    Deep in a large gap the error is large for every network, and its noise dominates the gradient. Weights like an
    inverse variance do not move the optimum and reduce the noise of the gradient.

    Parameters
    ----------
    kept : Tensor, shape (B, T, C, H, W)
        1 where shown.

    Returns
    -------
    Tensor, shape (B, 1, 1, H, W)
        Between 0.05 and 1.05.
    """
    share = kept.flatten(1, 2).mean(1, keepdim=True)
    for axis in (-2, -1):
        share = _means_around(share.transpose(axis, -1)).transpose(axis, -1)
    return share[:, None] + 0.05


def _means_around(x: Tensor) -> Tensor:
    """Return means of nine cells along the last axis, fewer at its ends: differences of sums, quicker than pooling."""
    cells = 9
    ends = (cells // 2 + 1, cells // 2)
    sums, counts = (pad(part, ends).cumsum(-1) for part in (x, torch.ones_like(x[0, 0, :1])))
    return (sums[..., cells:] - sums[..., :-cells]) / (counts[..., cells:] - counts[..., :-cells])


def masked_square(a: Tensor, b: Tensor, where: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """Return the mean of ``((a - b) / scale)^2`` where ``where`` is 1; 0 if it is 1 nowhere."""
    return (where * (a - b).square()).sum() / (scale * scale * where.sum().clamp_min(1))
