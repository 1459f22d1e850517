"""How figures of maps are drawn: the options that they share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geogan.operators.choices import choice
from geogan.operators.errors import InputError
from geogan.plotting.colours import named_colours
from geogan.plotting.map_view import PROJECTIONS

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

_FINEST = 2400


@dataclass(frozen=True)
class MapStyle:
    """How a figure of maps is drawn.

    Parameters
    ----------
    projection : str, optional
        ``"plate-carree"``, ``"mercator"``, ``"lambert"``, ``"polar"``, ``"equal-earth"``, ``"grid"`` (that of the
        field) or ``"none"`` (plain axes). By default one that suits the place.
    limits : (float, float), optional
        Values at the ends of the colours, in the unit of the field. By default the 2nd and 98th percentiles.
    colormap : str or Colormap, optional
        Name of a colour map of Matplotlib or cmocean. By default one that suits the quantity.
    log : bool, optional
        Whether colours are logarithmic. By default they are for concentrations and amounts that span decades.
    dpi : int
        Dots per inch of the file.

    Raises
    ------
    InputError
        If a name is unknown, limits do not increase, or dpi is not from 10 to 2400.

    Examples
    --------
    >>> MapStyle(limits=(12, 24), dpi=300).dpi
    300
    >>> MapStyle(limits=(24, 12))
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: limits must increase, got (24, 12); give the smaller value first
    """

    projection: str | None = None
    limits: tuple[float, float] | None = None
    colormap: "str | Colormap | None" = None
    log: bool | None = None
    dpi: int = 150

    def __post_init__(self) -> None:
        if self.projection is not None:
            object.__setattr__(self, "projection", choice(self.projection, PROJECTIONS, "projection"))
        if self.limits is not None:
            check_limits(self.limits)
            if self.log and self.limits[0] <= 0:
                raise InputError(
                    f"logarithmic colours need positive limits, got {self.limits}; give a smaller value above 0"
                )
        if isinstance(self.colormap, str):
            object.__setattr__(self, "colormap", named_colours(self.colormap))
        if isinstance(self.dpi, bool) or not isinstance(self.dpi, int) or not 10 <= self.dpi <= _FINEST:
            raise InputError(f"dpi must be a whole number from 10 to {_FINEST}, got {self.dpi!r}; 300 suits print")


def check_limits(limits: tuple[float, float]) -> None:
    """Check that limits are two finite numbers that increase.

    Raises
    ------
    InputError
        If they are not.
    """
    if len(limits) != 2 or not np.isfinite(limits).all():
        raise InputError(f"limits must be two numbers, got {limits}; give the smaller and the larger value")
    if not limits[0] < limits[1]:
        raise InputError(f"limits must increase, got {limits}; give the smaller value first")
