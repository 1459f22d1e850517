"""Modes: patterns whose coefficients vary in time, beside a Markov field, solved together with it.

With the Markov field ``u`` of precision ``Q = Q_t (x) Q_s``, patterns ``P`` (one row a mode) and coefficients ``a`` of
precision ``Q_a`` in time, the field is ``x = u + P' a``. Its precision is that of the Markov field less a matrix of low
rank (Woodbury):

    Q - Q P' inv(B) P Q,    B = Q_a + P Q P'

``B`` couples the coefficients of neighbouring dates only, so products with the precision cost a few projections on the
modes beside the stencils of the Markov field. In directions of the modes that precision is far smaller than ``Q``. The
preconditioner therefore adds to the V-cycle the solution in the space of the modes,
``P' inv(Q_a + P W P') P``, where ``W`` is the precision of the observations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from geogan.prior import multigrid


class ModeSystem(NamedTuple):
    """The modes of a linear system, prepared for products; arrays of coefficients have shape (B, T, K), in float64."""

    patterns: Tensor  # (B, K, A) P, on the A cells of the grid
    sharpened: Tensor  # (B, K, A) P Q_s
    frames: multigrid.Frames  # Q_t
    coefficients: multigrid.Frames  # Q_a
    coupled: BlockTridiagonal  # B
    observed: BlockTridiagonal  # Q_a + P W P'

    @classmethod
    def of(cls, system: multigrid.System, patterns: Tensor, coefficients: multigrid.Frames) -> ModeSystem:
        """Return the modes of a system.

        Parameters
        ----------
        system : System
            Of the Markov field and the observations.
        patterns : Tensor, shape (B, K, H, W)
        coefficients : Frames
            Precision of the coefficients in time, the same for each mode.
        """
        grid, frames = system.grids[0], system.frames
        patterns = (patterns * grid.domain).contiguous()
        sharpened = multigrid.apply_root(grid, patterns, grid.diagonal)
        sharpened = multigrid.apply_root(grid, sharpened, grid.rough_diagonal)
        flat, sharp = patterns.flatten(2), sharpened.flatten(2)
        energy = (flat.double() @ sharp.double().mT)[:, None]  # (B, 1, K, K)
        own, between = (part[..., 0, 0].double()[..., None, None] for part in (coefficients.diagonal, coefficients.off))
        diagonal, off = (part[..., 0, 0].double()[..., None, None] for part in (frames.diagonal, frames.off))
        weight, units = grid.weight.flatten(2), torch.eye(flat.shape[1], dtype=torch.float64, device=flat.device)
        # Mode by mode: all products of two modes in each cell would not fit into memory.
        seen = [(weight * flat[:, mode, None]) @ flat.mT for mode in range(flat.shape[1])]
        information = torch.stack(seen, 2).double()
        return cls(
            patterns=flat,
            sharpened=sharp,
            frames=frames,
            coefficients=coefficients,
            coupled=BlockTridiagonal.of(own * units + diagonal * energy, between * units + off * energy),
            observed=BlockTridiagonal.of(own * units + information, (between * units).expand_as(information[:, 1:])),
        )

    def weighted(self, grid: multigrid.Grid, x: Tensor) -> Tensor:
        """Return ``(W - Q P' inv(B) P Q) x``, (B, T, H, W)."""
        energy = self._in_time(_projected(x, self.sharpened))
        return grid.weight * x - self._spread(self._in_time(self.coupled.solve(energy)), self.sharpened).view_as(x)

    def corrected(self, residual: Tensor) -> Tensor:
        """Return the solution in the space of the modes, (B, T, H, W)."""
        projected = self.observed.solve(_projected(residual, self.patterns))
        return self._spread(projected, self.patterns).view_as(residual)

    def disturbed(self, prior: Tensor, noise: Tensor) -> Tensor:
        """Return the perturbation of the right-hand side for a draw of the posterior, (B, T, H, W).

        Parameters
        ----------
        prior : Tensor, shape (B, T, H, W)
            Noise of covariance ``Q``.
        noise : Tensor, shape (B, T, K)
            Standard normal noise of the coefficients.
        """
        drawn = multigrid.apply_time_root(self.coefficients, noise.unsqueeze(2))[:, :, 0].double()
        drawn = drawn - _projected(prior, self.patterns)
        return prior + self._spread(self._in_time(self.coupled.solve(drawn)), self.sharpened).view_as(prior)

    def _in_time(self, coefficients: Tensor) -> Tensor:
        """Return the product with ``Q_t``."""
        diagonal, off = (part[..., 0].double() for part in (self.frames.diagonal, self.frames.off))
        product = diagonal * coefficients
        product[:, :-1] += off * coefficients[:, 1:]
        product[:, 1:] += off * coefficients[:, :-1]
        return product

    @staticmethod
    def _spread(coefficients: Tensor, patterns: Tensor) -> Tensor:
        """Return the sum of patterns (B, K, A) with coefficients (B, T, K)."""
        return coefficients.to(patterns) @ patterns


def _projected(x: Tensor, patterns: Tensor) -> Tensor:
    """Return the products of a field (B, T, H, W) with patterns (B, K, A), (B, T, K)."""
    # In float64: where modes are large, products with Q and with its correction differ by a millionth.
    return x.flatten(2).double() @ patterns.double().mT


class BlockTridiagonal(NamedTuple):
    """The factors of a symmetric positive definite matrix whose blocks couple neighbouring dates only."""

    roots: Sequence[Tensor]  # T Cholesky factors (B, K, K)
    shares: Sequence[Tensor]  # T - 1 matrices (B, K, K): pivots' inverses times the blocks beside them

    @classmethod
    def of(cls, diagonal: Tensor, off: Tensor) -> BlockTridiagonal:
        """Return the factors of a matrix of blocks ``diagonal`` (B, T, K, K) and symmetric ``off`` (B, T - 1, K, K)."""
        roots, shares = [torch.linalg.cholesky(diagonal[:, 0])], []
        for t in range(off.shape[1]):
            shares.append(torch.cholesky_solve(off[:, t], roots[-1]))
            roots.append(torch.linalg.cholesky(diagonal[:, t + 1] - off[:, t] @ shares[-1]))
        return cls(roots, shares)

    def solve(self, right: Tensor) -> Tensor:
        """Return the solution for a right-hand side (B, T, K), by block elimination along the dates.

        Examples
        --------
        >>> one = torch.ones(1, 2, 1, 1, dtype=torch.float64)
        >>> BlockTridiagonal.of(2 * one, -one[:, :1]).solve(one[..., 0]).flatten().numpy().round(3).tolist()
        [1.0, 1.0]
        """
        parts = [right[:, :1].mT]
        for t, share in enumerate(self.shares):
            parts.append(right[:, t + 1 : t + 2].mT - share.mT @ parts[t])
        for t in range(len(parts) - 1, -1, -1):
            parts[t] = torch.cholesky_solve(parts[t], self.roots[t])
            if t + 1 < len(parts):
                parts[t] = parts[t] - self.shares[t] @ parts[t + 1]
        return torch.cat(parts, 2).mT
