"""Sparse sampling: observations at scattered stations only."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.operator import Observation, Operator, Theta, dated_generator, masked
from geogan.operators.parameters import check_parameters


@dataclass(frozen=True)
class SparseSampling(Operator):
    """Observe a random share of the cells: stations, buoys, argo floats.

    Parameters
    ----------
    fraction : float
        Probability that a cell holds a station, in (0, 1].
    fixed : bool
        True: the stations have fixed positions through a film (moorings). False: they are drawn for each frame (floats,
        ships).

    Raises
    ------
    InputError
        If ``fraction`` is not in (0, 1].

    Examples
    --------
    >>> import torch
    >>> operator = SparseSampling(fraction=0.1, fixed=True)
    >>> stations = operator.sample((1, 2, 1, 40, 50), generator=torch.Generator().manual_seed(0))
    >>> bool((stations[:, 0] == stations[:, 1]).all())
    True
    """

    fraction: float = 0.05
    fixed: bool = False

    def __post_init__(self) -> None:
        check_parameters(self, "sparse_sampling")
        if not 0 < self.fraction <= 1:
            raise InputError(
                f"fraction of sparse_sampling must lie in (0, 1], got {self.fraction}; give the share of the "
                "cells that are observed, such as 0.05"
            )

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw the stations: a boolean tensor (B, T, 1, H, W), True where observed."""
        batch, frames, _, height, width = shape
        drawn = 1 if self.fixed else frames
        uniform = torch.rand((batch, drawn, 1, height, width), generator=generator, device=generator.device)
        return (uniform < self.fraction).expand(batch, frames, 1, height, width)

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Return ``x`` at the stations, 0 elsewhere; shapes (B, T, C, H, W)."""
        assert isinstance(theta, Tensor)
        return masked(x, theta)

    def at(self, size: tuple[int, int], step: float, *, seed: int, channels: int = 1) -> Theta:
        """Return the stations of one date; fixed stations are the same at every date."""
        # Fixed stations must not depend on the date.
        return self.sample((1, 1, channels, *size), generator=dated_generator(seed, *([] if self.fixed else [step])))
