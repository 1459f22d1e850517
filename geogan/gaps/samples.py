"""Some real gaps, and some that a fitted operator draws, to be looked at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from geogan.fields.cell_size import cell_size
from geogan.fields.field import Field
from geogan.gaps.operator_fit import check_hides, read_masks
from geogan.operators.parse import describe, parse


class GapSamples(NamedTuple):
    """Masks of whole frames.

    Attributes
    ----------
    text : str
        The fitted operator.
    real, drawn : ndarray of bool, shape (N, H, W)
        True where observed, and outside the domain False.
    domain : ndarray of bool, shape (H, W)
    """

    text: str
    real: np.ndarray
    drawn: np.ndarray
    domain: np.ndarray


def gap_samples(field: Field, domain: np.ndarray, operator: str, *, count: int = 4, seed: int = 0) -> GapSamples:
    """Return real masks of dates spread over a record, and as many drawn ones.

    Parameters
    ----------
    field : Field
    domain : ndarray of bool, shape (H, W)
    operator : str
        It is fitted to the gaps of the field; parameters that are given are kept.
    count : int
    seed : int

    Raises
    ------
    InputError
        If the field has no gaps, or the operator cannot be fitted.
    """
    observed, starts, _ = read_masks(field, domain)
    parsed = parse(operator).on_grid(cell_size(field)).around(field.is_periodic)
    check_hides(parsed)
    fitted = parsed.fitted(observed, domain, seed=seed)
    dates = starts[np.unique(np.linspace(0, len(starts) - 1, count).astype(int))]
    shape = (len(dates), 1, 1, *domain.shape)
    theta = fitted.sample(shape, generator=torch.Generator().manual_seed(seed))
    drawn = fitted.apply(torch.ones(shape), theta).mask[:, 0, 0].numpy() > 0
    return GapSamples(describe(fitted.around(False)), observed[dates], drawn & domain, domain)
