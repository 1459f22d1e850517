"""Blur of an instrument as a linear operator on the cells of a domain, and its adjoint.

A blurred observation is a weighted mean of the field around its cell (*normalised convolution*, Knutsson and Westin
1993, *Normalized and differential convolution*, CVPR):

    (K x)_i = sum_k w_k d_(i+k) x_(i+k) / sum_k w_k d_(i+k)

with the point spread ``w`` and the domain ``d``: cells outside the domain or the grid have no weight. It is what
``geogan corrupt`` does to a field. Products are taken in Fourier space.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from geogan.operators.operator import Operator


@dataclass(frozen=True)
class PointSpread:
    """Weights of the cells around a cell in its measured value.

    Attributes
    ----------
    weights : tuple of tuple of float
        Rows of weights, not negative; both sides are odd, and the sum is 1.

    Raises
    ------
    ValueError
        If a side is even, or a weight is negative.

    Examples
    --------
    >>> PointSpread.of(torch.ones(1, 3)).tensor
    tensor([[0.3333, 0.3333, 0.3333]], dtype=torch.float64)
    """

    weights: tuple[tuple[float, ...], ...] = field(repr=False)

    def __post_init__(self) -> None:
        rows, columns = self.tensor.shape
        if rows % 2 == 0 or columns % 2 == 0 or bool((self.tensor < 0).any()):
            raise ValueError(f"a point spread needs odd sides and no negative weight, got {rows} x {columns} weights")

    @classmethod
    def of(cls, kernel: Tensor) -> PointSpread:
        """Return the point spread of a kernel (kh, kw), which is divided by its sum."""
        kernel = kernel.double() / kernel.double().sum()
        return cls(tuple(tuple(row) for row in kernel.tolist()))

    @classmethod
    def of_operator(cls, operator: Operator) -> PointSpread | None:
        """Return the point spread of an operator; None if it does not blur."""
        kernel = operator.point_spread()
        return None if kernel is None or kernel.numel() == 1 else cls.of(kernel)

    @property
    def tensor(self) -> Tensor:
        """The weights, (kh, kw), float64."""
        return torch.tensor(self.weights, dtype=torch.float64)

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns from a cell to the farthest ones in its measured value."""
        return len(self.weights) // 2, len(self.weights[0]) // 2

    @property
    def is_symmetric(self) -> bool:
        """Whether the weights are the same in a mirror along either axis."""
        return all(torch.allclose(self.tensor.flip(axis), self.tensor, rtol=0, atol=1e-12) for axis in (0, 1))

    @property
    def is_even(self) -> bool:
        """Whether the weights are the same on the opposite sides of the centre."""
        return torch.allclose(self.tensor.flip(0, 1), self.tensor, rtol=0, atol=1e-12)

    @property
    def mirrored(self) -> PointSpread:
        """The point spread with its columns in reverse order."""
        return PointSpread(tuple(row[::-1] for row in self.weights))

    @property
    def twice(self) -> Tensor:
        """Weights of the covariance of the field in that of its measurements, by lag: (2 kh - 1, 2 kw - 1), float64."""
        (rows, columns), kernel = self.reach, self.tensor[None, None]
        padding = (2 * rows, 2 * columns)
        return torch.nn.functional.conv2d(kernel, kernel, padding=padding)[0, 0]

    def on(self, domain: Tensor, *, is_periodic: bool = False) -> Blur:
        """Return the blur on the cells of a domain (..., H, W), of its type and on its device."""
        height, width = domain.shape[-2:]
        rows, columns = self.reach
        sides = (next_fast_len(height + rows, True), width if is_periodic else next_fast_len(width + columns, True))
        spectrum = _spectrum(self, sides, domain.dtype).to(domain.device)
        plain = Blur(domain, domain, spectrum, sides)
        # Rounding of the transforms may leave something outside a domain without neighbours.
        inside = plain.correlated(domain)
        return plain._replace(inverse=torch.where(domain > 0, domain / inside.clamp_min(1e-6), 0.0))


class Blur(NamedTuple):
    """A point spread on the cells of a domain.

    Examples
    --------
    >>> blur = PointSpread.of(torch.ones(1, 3)).on(torch.tensor([[1.0, 1.0, 1.0, 0.0, 1.0]]))
    >>> blur.measured(torch.tensor([[3.0, 6.0, 0.0, 9.0, 2.0]])).round(decimals=3)
    tensor([[4.5000, 3.0000, 3.0000, 0.0000, 2.0000]])
    """

    domain: Tensor  # (..., H, W)
    inverse: Tensor  # 1 / sum of the weights inside the domain; 0 outside
    spectrum: Tensor  # of the weights
    sides: tuple[int, int]  # of the padded frames

    def correlated(self, x: Tensor, *, is_adjoint: bool = False) -> Tensor:
        """Return ``sum_k w_k x_(i+k)``, or with ``w_(-k)`` for the adjoint, of frames (..., H, W)."""
        spectrum = self.spectrum if is_adjoint else self.spectrum.conj()
        product = torch.fft.rfft2(x, s=self.sides).mul_(spectrum)
        return torch.fft.irfft2(product, s=self.sides)[..., : x.shape[-2], : x.shape[-1]]

    def measured(self, x: Tensor) -> Tensor:
        """Return ``K x``, 0 outside the domain."""
        return self.correlated(x * self.domain) * self.inverse

    def adjoint(self, y: Tensor) -> Tensor:
        """Return ``K' y``, 0 outside the domain."""
        return self.correlated(y * self.inverse, is_adjoint=True) * self.domain

    def weighted(self, weight: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the product with ``K' weight K``."""
        return lambda x: self.adjoint(weight * self.measured(x))


@lru_cache(maxsize=64)
def _spectrum(spread: PointSpread, sides: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Return the Fourier transform of the weights with their centre in the first cell."""
    kernel, frame = spread.tensor, torch.zeros(sides, dtype=torch.float64)
    rows, columns = ((torch.arange(size) - size // 2) % side for size, side in zip(kernel.shape, sides, strict=True))
    # A kernel wider than the circle meets itself: the weights of one cell add up.
    frame.index_put_((rows[:, None], columns[None]), kernel, accumulate=True)
    return torch.fft.rfft2(frame.to(dtype))


def measured(prior: Any, x: Tensor, domain: Tensor) -> Tensor:
    """Return what observations of a field measure: the field, blurred if the prior's observations are.

    Parameters
    ----------
    prior : Prior
    x : Tensor, shape (..., B, T, C, H, W)
        A field, or members of one.
    domain : Tensor, shape (H, W) or (B, H, W)
    """
    if prior.blur is None:
        return x
    cells = domain.to(x)
    cells = cells if cells.ndim == 2 else cells[:, None, None]
    return prior.blur.on(cells, is_periodic=prior.is_periodic).measured(x)
