"""A Gaussian prior that knows its place: a Markov field that varies in space, and modes of the archive.

    x = amplitude * (gain * u + P' a)

``u`` is the field of :mod:`geogan.prior.gaussian` with a factor on each coupling between neighbouring cells: a factor
of 4 doubles the length there. ``gain`` makes its standard deviation what was observed. ``P`` are patterns of the whole
grid, such as the maps of crops that grow alike. Their coefficients ``a`` are Ornstein-Uhlenbeck processes of variance 1
(:mod:`geogan.prior.modes`). Memory is a few numbers for each cell, so grids may have any size
(:mod:`geogan.prior.fit_local`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from geogan.fields.circle import columns
from geogan.fields.trust import trust
from geogan.operators.errors import InputError
from geogan.prior import multigrid
from geogan.prior.archive_covariance import ArchivePrior
from geogan.prior.gaussian import EASY_NOISE, LEAST_ACCURACY, GaussianPrior
from geogan.prior.modes import ModeSystem

# Maps of a band: factors of the couplings along y and x, and the gain.
MAPS = 3
# Largest number of modes.
MOST_MODES = 64


@dataclass(frozen=True, eq=False)
class LocalPrior:
    """A Gaussian field whose covariance differs from place to place.

    Parameters
    ----------
    maps : Tensor, shape (C, 3, H, W) or (B, C, 3, H, W)
        Of each band: factors of the coupling of a cell with its neighbour below and with that on the right, and the
        gain; all positive. The last column's neighbour on the right is the first one.
    modes : Tensor, shape (C, K, H, W) or (B, C, K, H, W)
        Patterns of each band, relative to ``amplitude``; ``K`` may be 0.
    mode_persistence : float
        e-folding time of the coefficients of the modes, in days.
    length, persistence, noise, aspect, detail, amplitude, is_periodic
        Parameters of the Markov field, as in :class:`geogan.prior.gaussian.GaussianPrior`.
    draws : Tensor, shape (M, B, T, C, K), optional
        Standard normal noise of the coefficients for :meth:`members`; by default it is made from their other noise.

    Raises
    ------
    InputError
        If maps and modes do not belong together, or a parameter is out of range.
    """

    # It is not the same in a mirror; but a window may be cut anywhere, since it knows its place.
    stationary: ClassVar[bool] = False
    # Their observations are not blurred.
    blur: ClassVar[None] = None
    needs_whole_grid: ClassVar[bool] = False

    maps: Tensor
    modes: Tensor
    mode_persistence: float
    length: float
    persistence: float
    noise: float
    aspect: float = 1.0
    detail: float = 1.0
    amplitude: float = 1.0
    is_periodic: bool = False
    draws: Tensor | None = None

    def __post_init__(self) -> None:
        maps, modes = self.maps.shape, self.modes.shape
        if maps[-3] != MAPS or modes[-3] > MOST_MODES or maps[:-3] != modes[:-3] or maps[-2:] != modes[-2:]:
            raise InputError(
                f"maps of a local prior must have the shape (bands, {MAPS}, rows, columns) and modes that of at most "
                f"{MOST_MODES} maps, got {tuple(maps)} and {tuple(modes)}"
            )
        if not self.mode_persistence > 0:
            raise InputError(f"mode_persistence of a local prior must be positive, got {self.mode_persistence}")
        assert self.markov  # checks the other parameters

    @property
    def markov(self) -> GaussianPrior:
        """The Markov field with couplings and gain 1."""
        return GaussianPrior(
            length=self.length,
            persistence=self.persistence,
            noise=self.noise,
            aspect=self.aspect,
            detail=self.detail,
            amplitude=self.amplitude,
            is_periodic=self.is_periodic,
        )

    @property
    def extent(self) -> str:
        """The covariance in space, in words."""
        modes = self.modes.shape[-3]
        varies = bool((self.maps[..., :2, :, :] != 1).any())
        parts = [f"length {self.length:.1f} cells" + ", local" * varies, f"{modes} modes beside it" * (modes > 0)]
        return ", ".join(part for part in parts if part)

    @property
    def reach(self) -> float:
        """The longest e-folding time of a part, in days."""
        return max(self.persistence, self.mode_persistence) if self.modes.shape[-3] else self.persistence

    def around(self, is_periodic: bool) -> LocalPrior:
        """Return the field on columns that go once round the globe, or on columns that do not."""
        return self if self.is_periodic == is_periodic else replace(self, is_periodic=is_periodic)

    def with_draws(self, make: Callable[[int], Tensor]) -> LocalPrior:
        """Return the field with the noise of the coefficients of its modes.

        Parameters
        ----------
        make : callable
            Returns the noise for a number of modes, as in ``draws``.
        """
        count = self.modes.shape[-3]
        return replace(self, draws=make(count)) if count else self

    def part(self, y: slice, x: slice, shape: tuple[int, int]) -> LocalPrior:
        """Return the field on a part of its grid of ``shape``; the part may cross the seam."""
        at = columns(x, shape[1])
        return replace(self, maps=self.maps[..., y, at], modes=self.modes[..., y, at])

    def at(self, place: Tensor, size: tuple[int, ...]) -> LocalPrior:
        """Return the field on windows of a size.

        Parameters
        ----------
        place : Tensor of int64, shape (B, 2)
            First row and column of each window; columns are counted modulo the grid's.
        size : (int, int)
            Rows and columns of a window.
        """
        shape = (self.maps.shape[-2], self.maps.shape[-1])
        parts = [
            self.part(slice(row, row + size[0]), slice(column, column + size[1]), shape)
            for row, column in place.tolist()
        ]
        maps, modes = (torch.stack(each) for each in ([part.maps for part in parts], [part.modes for part in parts]))
        return replace(self, maps=maps, modes=modes)

    def map(
        self,
        values: Tensor,
        mask: Tensor,
        domain: Tensor,
        days: Tensor,
        *,
        tolerance: float = 1e-3,
        rounds: int = 100,
        start: Tensor | None = None,
        uncertainty: Tensor | None = None,
    ) -> Tensor:
        """Return the posterior mean; see :meth:`geogan.prior.gaussian.GaussianPrior.map`."""
        solver = _Solver.of(self, values, mask, domain, days, uncertainty)
        return solver.field(solver.mean(values, tolerance, rounds, start))

    def members(
        self,
        values: Tensor,
        mask: Tensor,
        domain: Tensor,
        days: Tensor,
        *,
        noise: Tensor,
        tolerance: float = 1e-3,
        loose: float = 0.02,
        rounds: int = 100,
        uncertainty: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the posterior mean and exact draws of the posterior's deviations from it.

        See :meth:`geogan.prior.gaussian.GaussianPrior.members`.
        """
        solver = _Solver.of(self, values, mask, domain, days, uncertainty)
        mean = solver.field(solver.mean(values, tolerance, rounds, None))
        draws = self._mode_noise(noise)
        deviations = [
            self.amplitude * solver.field(solver.deviation(field_noise, data_noise, draw, loose, rounds))
            for field_noise, data_noise, draw in zip(noise[0], noise[1], draws)
        ]
        return mean, torch.stack(deviations) if deviations else values.new_empty(0, *values.shape)

    def _mode_noise(self, noise: Tensor) -> Tensor:
        """Return the noise of the coefficients, (M, B, T, C, K)."""
        if self.draws is not None:
            return self.draws.to(noise)
        _, pairs, batch, frames, bands = noise.shape[:5]
        seed = int(noise[0, ..., 0, 0].double().sum().view(torch.int64)) if noise.numel() else 0
        generator = torch.Generator().manual_seed(seed)
        return torch.randn((pairs, batch, frames, bands, self.modes.shape[-3]), generator=generator).to(noise)

    def covariance(self, domain: Tensor, *, band: int = 0) -> Tensor:
        """Return the covariance in space of one date as a dense matrix in float64, for small grids.

        Parameters
        ----------
        domain : Tensor, shape (H, W)
        band : int
            Number of the band.

        Returns
        -------
        covariance : Tensor, shape (H * W, H * W)
        """
        inside, cells = domain.double().flatten(), domain.numel()
        factors = _factors(self.maps[None, band : band + 1].double(), self.is_periodic)
        system = self.markov.system(
            torch.zeros(1, 1, *domain.shape).double(), domain.double()[None], torch.zeros(1), factors
        )
        grid = system.grids[0]
        units = torch.eye(cells, dtype=torch.float64).view(cells, 1, *domain.shape) * domain
        precision = multigrid.apply_root(grid, multigrid.apply_root(grid, units, grid.diagonal), grid.rough_diagonal)
        covariance = torch.linalg.inv(precision.view(cells, cells) + torch.diag(1 - inside)) * inside * inside[:, None]
        gain = self.maps[band, 2].double().flatten()
        patterns = self.modes[band].double().flatten(1) * inside
        return self.amplitude**2 * (gain * covariance * gain[:, None] + patterns.mT @ patterns)


Prior = GaussianPrior | ArchivePrior | LocalPrior


def _factors(maps: Tensor, is_periodic: bool) -> multigrid.Factors:
    """Return the factors of the couplings of maps (B, C, 3, H, W), folded to (B * C, 1, ...)."""
    folded = maps.flatten(0, 1)
    across = folded[:, 1:2] if is_periodic else folded[:, 1:2, :, :-1]
    return multigrid.Factors(folded[:, :1, :-1], across)


@dataclass(frozen=True, eq=False)
class _Solver:
    """The linear system of some observations, for ``x / gain``."""

    system: multigrid.System
    gain: Tensor  # (B * C, 1, H, W)
    modes: ModeSystem | None
    shape: torch.Size  # (B, T, C, H, W) of the values
    accuracy: float

    @classmethod
    def of(
        cls, prior: LocalPrior, values: Tensor, mask: Tensor, domain: Tensor, days: Tensor, uncertainty: Tensor | None
    ) -> _Solver:
        if uncertainty is not None:
            mask = trust(mask, uncertainty, prior.noise * prior.amplitude)
        maps, patterns = (
            (part if part.ndim == 5 else part.expand(len(values), *part.shape)).to(values)
            for part in (prior.maps, prior.modes)
        )
        gain = maps[:, :, 2].flatten(0, 1)[:, None]
        batch = domain if domain.ndim == 3 else domain.expand(len(values), *domain.shape)
        markov = prior.markov
        system = markov.system(_fold(mask) * gain.square(), batch, days, _factors(maps, prior.is_periodic))
        modes = None
        if patterns.shape[2]:
            slow = replace(markov, persistence=prior.mode_persistence)
            times = days if days.ndim == 1 else days.repeat_interleave(values.shape[2], 0)
            coefficients = slow.time_precision(times, values)
            modes = ModeSystem.of(system, patterns.flatten(0, 1) / gain, coefficients)
        accuracy = max(LEAST_ACCURACY, min(1.0, (prior.noise / EASY_NOISE) ** 2))
        return cls(system, gain, modes, values.shape, accuracy)

    def mean(self, values: Tensor, tolerance: float, iterations: int, start: Tensor | None) -> Tensor:
        """Return the posterior mean of values (B, T, C, H, W); as all results, of ``x / gain``, folded."""
        grid = self.system.grids[0]
        first = None if start is None else _fold(start) / self.gain * grid.domain
        return self._solve(grid.weight * (_fold(values) / self.gain), first, self.accuracy * tolerance, iterations)

    def deviation(
        self, field_noise: Tensor, data_noise: Tensor, mode_noise: Tensor, tolerance: float, iterations: int
    ) -> Tensor:
        """Return a draw of the deviations, of standard normal noise."""
        perturbation = multigrid.draw_spatial(self.system, _fold(field_noise))
        perturbation = multigrid.apply_time_root(self.system.frames, perturbation)
        if self.modes is not None:
            perturbation = self.modes.disturbed(perturbation, mode_noise.transpose(1, 2).flatten(0, 1))
        right = self.system.grids[0].weight.sqrt() * _fold(data_noise) + perturbation
        return self._solve(right, None, self.accuracy * tolerance, iterations)

    def _solve(self, right: Tensor, start: Tensor | None, tolerance: float, iterations: int) -> Tensor:
        weighted: Callable[[Tensor], Tensor] | None = None
        correction: Callable[[Tensor], Tensor] | None = None
        if self.modes is not None:
            weighted, correction = partial(self.modes.weighted, self.system.grids[0]), self.modes.corrected
            # The residual hardly shows the modes, which are smooth: the solver would stop before it has found them.
            start = self.modes.corrected(right) if start is None else start
        return multigrid.solve(
            self.system,
            right,
            start=start,
            tolerance=tolerance,
            iterations=iterations,
            weighted=weighted,
            correction=correction,
        )

    def field(self, solution: Tensor) -> Tensor:
        """Return the field of a solution, (B, T, C, H, W)."""
        return (self.gain * solution).unflatten(0, (self.shape[0], self.shape[2])).transpose(1, 2)


def _fold(x: Tensor) -> Tensor:
    """Reshape (B, T, C, H, W) to (B * C, T, H, W)."""
    return x.transpose(1, 2).flatten(0, 1)
