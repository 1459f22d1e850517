"""The terms of the objective: plain functions of tensors, each citing its equation.

The equations are those of Pajot, de Bézenac and Gallinari (ICLR 2019). Squares are taken in units of
``scale``: the standard deviation of the first guess's own error, or 1 where there is none, which is the
paper's form.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from geogan.operators.operator import Observation


def prior_generator(score_measured_again: Tensor) -> Tensor:
    """Prior term for G, ``-log D(y_hat)``: the non-saturating form of equation 8.

    Parameters
    ----------
    score_measured_again : Tensor, shape (B,)
        The discriminator's logits for measurements of reconstructions.
    """
    return softplus(-score_measured_again).mean()


def prior_discriminator(score_real: Tensor, score_measured_again: Tensor) -> Tensor:
    """What D descends: ``-log D(y) - log(1 - D(y_hat))``, equation 8 and Algorithm 1.

    Measurements are compared with measurements: D never sees a reconstruction.
    """
    return softplus(-score_real).mean() + softplus(score_measured_again).mean()


def likelihood(measured: Observation, again: Observation, scale: Tensor | float = 1.0) -> Tensor:
    """Likelihood term, equation 9: ``||y_hat - F(G(y_hat); theta)||^2`` per observed cell.

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
    """Withheld term: mean square error on observations that were hidden from the generator.

    Not in the paper. The hidden cells are real measurements, and their gap was drawn independently of
    them, so this is an unbiased estimate of the reconstruction's error in such gaps.
    """
    return masked_square(reconstruction, values, hidden, scale)


def masked_square(a: Tensor, b: Tensor, where: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """Mean of ``((a - b) / scale)^2`` where ``where`` is 1; 0 where that is nowhere."""
    difference = (a - b) / scale
    return (where * difference * difference).sum() / where.sum().clamp_min(1)
