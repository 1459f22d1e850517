"""A trained model: all that is needed to fill, and to say how good it is."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
import xarray as xr

from geogan.archive.screening import Screen
from geogan.archive.standardiser import Standardiser
from geogan.archive.withheld import Withheld
from geogan.fields.covariates import Covariates
from geogan.fields.field import Field
from geogan.fields.grids import Misfit, part_around, part_of, places_of, span
from geogan.fields.units import same_units
from geogan.model.calibration import Calibration
from geogan.model.networks import ErrorNet, Generator
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator
from geogan.prior.archive_covariance import Prior
from geogan.prior.gaussian import GaussianPrior


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model.

    Attributes
    ----------
    network : Generator or None
        The generator with its best averaged weights; None for the first guess alone.
    prior : Prior or None
        Solved for the first guess; None for none.
    operator : Operator
        The measurement process it was trained for, fitted.
    standardiser : Standardiser
    domain : ndarray of bool, shape (H, W)
    withheld : Withheld
        What was set aside, never trained on.
    frames : int
        Frames of a window.
    variable, units : str
        Of the field it was trained on; several variables with commas between.
    y, x : ndarray or None
        Coordinates that index the grid's dimensions, where there are any.
    calendar : str or None
        CF calendar of the dates it was trained on; None where they are no dates, or the model is of an earlier format.
    kinds : dict of str
        ``{"y": "latitude", "x": "longitude"}`` where those two are geographic.
    places : dict of ndarray
        Coordinates of the grid beside those two, as in :data:`geogan.fields.grids.Places`.
    precision : str
        Of the network's arithmetic.
    scores : dict
        Errors on the withheld clouds, and what they were measured with.
    settings : dict
        How it was trained, as JSON can hold it.
    bands, band_units : tuple of str
        Names of the bands, where they have any, and their units, where each has its own: those of several variables.
    error : ErrorNet or None
        Predicts the error, where observations could be withheld to learn it from.
    calibration : Calibration
        What the predicted error is corrected by.
    covariates : Covariates or None
        What the networks are shown beside the field.
    observation_error : float, str or None
        Standard deviation of the observations' errors, in the field's units, or the variable that holds each one's;
        None where it is not known.
    screen : Screen or None
        What its anomalies are like, and from where on an observation is left out; None where that is not known.
    smoothing : int
        Steps by which members' deviations are smoothed, as in :func:`geogan.model.member_smoothing.smoothed`.
    """

    network: Generator | None
    prior: Prior | None
    operator: Operator
    standardiser: Standardiser
    domain: np.ndarray
    withheld: Withheld
    frames: int
    variable: str
    units: str
    y: np.ndarray | None
    x: np.ndarray | None
    precision: str = "float32"
    scores: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    bands: tuple[str, ...] = ()
    band_units: tuple[str, ...] = ()
    error: ErrorNet | None = None
    calibration: Calibration = Calibration()
    covariates: Covariates | None = None
    observation_error: float | str | None = None
    smoothing: int = 0
    calendar: str | None = None
    kinds: dict[str, str] = field(default_factory=dict)
    places: dict[str, np.ndarray] = field(default_factory=dict)
    screen: Screen | None = None

    @property
    def exact(self) -> bool:
        """Whether observations are taken for the field's own values."""
        return self.operator.exact and self.observation_error is None

    def on(self, device: torch.device | None) -> Model:
        """The model with its network on a device; itself where that is nothing to do."""
        learned = [each for each in (self.network, self.error) if each is not None]
        if device is None or all(each.scale.device == device for each in learned):
            return self
        return replace(
            self,
            network=None if self.network is None else copy.deepcopy(self.network).to(device),
            error=None if self.error is None else copy.deepcopy(self.error).to(device),
        )

    def prior_of(self, y: slice, x: slice, *, is_periodic: bool = False) -> Prior | None:
        """Return the prior on some rows and columns of the grid.

        Parameters
        ----------
        y, x : slice
            Columns may lie beyond either end of a grid that goes round the globe.
        is_periodic : bool
            Whether the last of the columns touches the first.
        """
        if self.prior is None or isinstance(self.prior, GaussianPrior):
            return None if self.prior is None else self.prior.around(is_periodic)
        return self.prior.part(y, x, (self.domain.shape[0], self.domain.shape[1]))

    def check_finite(self) -> None:
        """Refuse a model with parameters that are not finite: it would fill every gap with NaN.

        Raises
        ------
        InputError
            With the names of those parameters.
        """
        found = []
        for name, network in (("network", self.network), ("error", self.error)):
            if network is not None:
                found += [f"{name}.{key}" for key, value in network.state_dict().items() if not _is_finite(value)]
        inside = self.standardiser.coefficients[..., self.domain]
        numbers: dict[str, Any] = {
            "standardiser.coefficients": inside,
            "standardiser.scale": self.standardiser.scale,
            "observation_error": self.observation_error if isinstance(self.observation_error, float | int) else 0.0,
            "smoothing": self.smoothing,
        }
        numbers |= {f"operator.{key}": value for key, value in self.operator.state().items()}
        parts = {"calibration": self.calibration} | ({} if self.prior is None else {"prior": self.prior})
        for name, part in parts.items():
            numbers |= {f"{name}.{each.name}": getattr(part, each.name) for each in fields(part)}
        if self.covariates is not None:
            numbers["covariates"] = self.covariates.maps[..., self.domain]
        found += [name for name, value in numbers.items() if not _is_finite(value)]
        if found:
            shown = ", ".join(found[:3]) + f" and {len(found) - 3} more" * (len(found) > 3)
            raise InputError(f"the model holds numbers that are not finite, in {shown}; train it again")
        if not (self.standardiser.scale > 0).all():
            raise InputError("the model holds a standardiser.scale that is not positive; train it again")

    def place(self, source: Field) -> tuple[slice, slice]:
        """Where on the model's grid a field lies: rows and columns.

        On a grid that goes round the globe longitudes are compared modulo 360 degrees, and columns may go on beyond the
        last one, as :mod:`geogan.fields.circle` counts them: a field may begin at another meridian, or lie across the
        seam.

        Raises
        ------
        InputError
            Where units, bands or grid differ: the climatology belongs to its cells, so another grid has none.
        """
        axes, own, count, names = source.axes, len(self.standardiser.scale), source.bands, source.band_names
        if self.band_units and names != self.bands:
            raise InputError(
                f"the model was trained on the variables {', '.join(self.bands)} together, but {source.name} was "
                f"given; give all of them, in this order: --variable {self.variable}"
            )
        if count != own or (self.bands and names and names != self.bands):
            trained, given = (
                " ".join([f"{size} band{'s' * (size > 1)}", f"({', '.join(listed)})" * bool(listed)]).strip()
                for size, listed in ((own, self.bands), (count, names))
            )
            raise InputError(
                f"the model was trained on {trained} of {self.variable}, but {source.name} has {given}; "
                "give the same bands in the same order"
            )
        wanted, called = self.band_units or (self.units,) * own, self.bands if self.band_units else (source.name,) * own
        for band, (name, units) in enumerate(zip(called, source.band_units, strict=True)):
            if not same_units(units, wanted[band]):
                raise InputError(
                    f"the model was trained on {name if self.band_units else self.variable} in "
                    f"{wanted[band] or 'no units'}, but {name} is in {units or 'no units'}; convert it, or train on it"
                )
        ours = self._places()
        theirs, shape = places_of(source), (self.domain.shape[0], self.domain.shape[1])
        size = source.grid
        found = part_of(ours, shape, theirs, size)
        if isinstance(found, Misfit):
            turned = part_around(ours, shape, theirs, size)
            found = found if isinstance(turned, Misfit) else turned
        if not isinstance(found, Misfit):
            return found
        kind, axis = found
        dim = (axes.y, axes.x)[axis]
        if kind == "size":
            raise InputError(
                f"the model's grid has {shape[axis]} cells along {dim}, but {source.name} has {size[axis]}; fill the "
                "grid it was trained on, or train on this one"
            )
        if kind == "other":
            raise InputError(
                f"{source.name} has the coordinates {', '.join(theirs)} and the model's grid {', '.join(ours)}, which "
                "cannot be compared; give the field with the coordinates that it was trained with"
            )
        other = theirs.get(kind)
        if other is None:
            other = next(values for values in theirs.values() if values.size == values.shape[axis])
        name = {"y": axes.y, "x": axes.x}.get(kind, kind)
        raise InputError(
            f"{name} of {source.name} ({span(other)}, {size[axis]} cells) is not part of the model's grid "
            f"({span(ours[kind])}, {shape[axis]} cells); fill the grid it was trained on, or train on this one"
        )

    def _places(self) -> dict[str, np.ndarray]:
        """Coordinates of the grid by kind."""
        found = dict(self.places)
        for side, values in (("y", self.y), ("x", self.x)):
            if values is not None:
                column = values[:, None] if side == "y" else values[None]
                found |= {kind: column for kind in (side, self.kinds.get(side)) if kind is not None}
        return found


def _is_finite(value: Any) -> bool:
    """Whether all numbers of a tensor, an array, or a sequence of numbers are finite; True for anything else."""
    if isinstance(value, torch.Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value).all())
    try:
        array = np.asarray(value)
    except ValueError:
        return True
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _numbers(source: xr.DataArray, name: str) -> np.ndarray | None:
    if name not in source.coords or source[name].dtype.kind not in "fiu":
        return None
    return source[name].values.astype(np.float64)


def grid_of(source: Field) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Coordinates of a field's grid along y and x, where there are any."""
    return _numbers(source.array, source.axes.y), _numbers(source.array, source.axes.x)
