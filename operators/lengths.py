"""Lengths in km, and orbits, which become cells and angles where the grid of a field is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.operator import CellSize, Observation, Operator, Theta, rounded
from geogan.operators.orbits import orbit_of


class Kilometres(NamedTuple):
    """A length of an operator, in km."""

    value: float

    def __str__(self) -> str:
        return f"{repr(self.value).removesuffix('.0')}km"


@dataclass(frozen=True)
class OnGround(Operator):
    """An operator with lengths in km or an orbit; `on_grid` returns the operator that measures.

    Parameters
    ----------
    base : Operator
        With its other parameters.
    given : tuple of (str, float)
        Names of the parameters in km, and their values.
    orbit : str
        Name of an orbit, for `geogan.operators.orbits.orbit_of`; empty without one.

    Examples
    --------
    >>> from geogan.operators.footprint import Footprint
    >>> OnGround(Footprint(), (("fwhm", 50.0),)).on_grid(CellSize(10.0, 5.0))
    Footprint(fwhm=10.0, across=5.0, angle=90.0)
    """

    base: Operator
    given: tuple[tuple[str, float], ...]
    orbit: str = ""

    @property
    def noise(self) -> float:
        """Standard deviation of the noise."""
        return self.base.noise

    @property
    def masks(self) -> bool:
        """Whether the operator hides cells."""
        return self.base.masks

    @property
    def blurs(self) -> bool:
        """Whether the operator blurs."""
        return self.base.blurs

    @property
    def channelwise(self) -> bool:
        """Whether gaps differ between channels."""
        return self.base.channelwise

    def on_grid(self, cells: CellSize | None) -> Operator:
        """Return the operator with its lengths in cells.

        Raises
        ------
        InputError
            If the size of cells (for an orbit, the latitude) is not known, a length is out of its range in cells, or
            the satellite does not come to the latitude of the field.
        """
        if cells is None or (self.orbit and cells.latitude is None):
            self._refuse()
        base, lengths = self.base, dict(self.given)
        if self.orbit:
            base, orbital = base.on_orbit(orbit_of(self.orbit), cells, lengths)  # type: ignore[attr-defined]
            lengths = lengths | orbital
        return base.in_cells(lengths, cells)

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Refuse to draw: the size of cells is not known."""
        self._refuse()

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Refuse to measure: the size of cells is not known."""
        self._refuse()

    def fitted(self, observed: np.ndarray, domain: np.ndarray, *, seed: int = 0) -> OnGround:
        """Refuse to fit: the size of cells is not known."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        if self.orbit:
            raise InputError(
                f"orbit={self.orbit} needs a field with latitudes and longitudes; give coordinates, or angle and "
                "distance of the tracks in cells"
            )
        name, value = self.given[0]
        raise InputError(
            f"{name}={Kilometres(value)} needs a field with latitudes and longitudes, or with coordinates in m or km; "
            f"give coordinates, or {name} in cells"
        )


def grid_angle(angle: float, *, rows: float, columns: float) -> float:
    """Return an angle from the columns in a grid, of an angle from the columns on the ground, in degrees.

    Parameters
    ----------
    angle : float
    rows, columns : float
        Distance of rows and of columns.

    Examples
    --------
    >>> round(grid_angle(45.0, rows=1.0, columns=0.5), 1)
    63.4
    """
    return rounded(math.degrees(math.atan(math.tan(math.radians(angle)) * rows / columns)))
