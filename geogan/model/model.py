"""A trained model: all that filling and the report of its errors need."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr

from geogan.archive import Screen, Standardiser, Withheld
from geogan.fields.covariates import Covariates
from geogan.fields.field import Field
from geogan.fields.geography import geographic_kind
from geogan.fields.grids import Misfit, part_around, part_of, places_of, span
from geogan.fields.units import same_units
from geogan.fields.variables import is_joined
from geogan.model.calibration import Calibration
from geogan.model.member_noise import SQUARE, draws_at
from geogan.model.networks import ErrorModel, Generator
from geogan.model.reconstruct import Networks, Reconstruction, fill_film
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator
from geogan.operators.wording import counted
from geogan.prior import Film, GaussianPrior, Prior


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model.

    Attributes
    ----------
    network : Generator or None
        The generator with its best averaged weights; None for the first guess alone.
    prior : Prior or None
        Prior of the first guess; None for no first guess.
    operator : Operator
        The fitted measurement process that the model was trained for.
    standardiser : Standardiser
    domain : ndarray of bool, shape (H, W)
    withheld : Withheld
        Observations that were withheld from training.
    frames : int
        Frames of a window.
    variable, units : str
        Name and units of the training field; several variables with commas between.
    y, x : ndarray or None
        Index coordinates of the grid, if there are any.
    calendar : str or None
        CF calendar of the training dates; None without dates, or in a model of an earlier format.
    kinds : dict of str
        ``{"y": "latitude", "x": "longitude"}`` if those two are geographic.
    places : dict of ndarray
        Further coordinates of the grid, as in :data:`geogan.fields.grids.Places`.
    precision : str
        Arithmetic of the networks.
    scores : dict
        Errors on the withheld clouds, and how they were measured.
    settings : dict
        Settings of the training, in values of JSON.
    bands, band_units : tuple of str
        Names of the bands, if they have any, and their units, if each has its own (several variables).
    error : ErrorNet, SpreadTable or None
        Predicts the error; None if no observations could be withheld for its training. A model without a generator has
        the table of its Gaussian posterior.
    calibration : Calibration
        Correction of the predicted error.
    covariates : Covariates or None
        Additional inputs of the networks.
    observation_error : float, str or None
        Standard deviation of the observation errors, in units of the field, or the name of the variable that holds
        them; None if it is not known.
    screen : Screen or None
        Location and scales of the anomalies, and the threshold for outliers; None if not known.
    smoothing : int
        Smoothing steps of the members' deviations, as in :func:`geogan.model.member_smoothing.smoothed`.
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
    error: ErrorModel | None = None
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
        """Whether observations are taken as exact values of the field."""
        return self.operator.exact and self.observation_error is None

    def on(self, device: torch.device | None) -> Model:
        """Return the model with its networks on a device; itself if they are there."""
        networks = [network for network in (self.network, self.error) if network is not None]
        if device is None or all(network.scale.device == device for network in networks):
            return self
        return replace(
            self,
            network=None if self.network is None else copy.deepcopy(self.network).to(device),
            error=None if self.error is None else copy.deepcopy(self.error).to(device),
        )

    @property
    def networks(self) -> Networks:
        """The networks and how they are applied, for :func:`geogan.model.reconstruct.fill_film`."""
        return Networks(self.network, self.error, self.smoothing, getattr(torch, self.precision))

    def prior_of(self, y: slice, x: slice, *, is_periodic: bool = False) -> Prior | None:
        """Return the prior on some rows and columns of the grid.

        Parameters
        ----------
        y, x : slice
            Rows and columns; columns may lie beyond either end of a periodic grid.
        is_periodic : bool
            Whether the last of these columns touches the first.
        """
        if self.prior is None or isinstance(self.prior, GaussianPrior):
            return None if self.prior is None else self.prior.around(is_periodic)
        return self.prior.part(y, x, (self.domain.shape[0], self.domain.shape[1])).around(is_periodic)

    def fill(
        self,
        film: Film,
        y: slice,
        x: slice,
        *,
        members: int = 1,
        seed: int = 0,
        device: torch.device | None = None,
        dates: slice = slice(None),
        is_periodic: bool = False,
    ) -> Reconstruction:
        """Fill a film on some rows and columns of the grid.

        Parameters
        ----------
        film : Film
            As in :func:`geogan.model.reconstruct.fill_film`.
        y, x : slice
            Rows and columns of the grid; columns may lie beyond either end of a periodic grid.
        members : int
            Ensemble members: 1 for none, else they come in antithetic pairs, one more for an odd number.
        seed : int
            Seed of the members' noise, which depends only on seed, cell and date.
        device : torch.device, optional
            Device of the networks.
        dates : slice
            Frames to fill.
        is_periodic : bool
            Whether the last of these columns touches the first.
        """
        noise, prior = None, self.prior_of(y, x, is_periodic=is_periodic)
        if members > 1:
            draw = partial(draws_at, film.days.numpy(), bands=film.values.shape[1], pairs=-(-members // 2), seed=seed)
            noise = torch.from_numpy(draw(y, x, width=self.domain.shape[1]))
            if prior is not None:
                # Coefficients of modes belong to a date, not to a cell: all tiles see those of cells below the grid.
                row = -(-self.domain.shape[0] // SQUARE) * SQUARE
                below = slice(row, row + 1)
                prior = prior.with_draws(
                    lambda count: torch.from_numpy(draw(below, slice(0, count))[0, :, None, ..., 0, :])
                )
        return fill_film(self.networks, prior, film, noise=noise, device=device, dates=dates, is_periodic=is_periodic)

    def check_finite(self) -> None:
        """Refuse a model with parameters that are not finite, which would fill every gap with NaN.

        Raises
        ------
        InputError
            Names these parameters.
        """
        names = []
        for name, network in (("network", self.network), ("error", self.error)):
            if network is not None:
                names += [f"{name}.{key}" for key, value in network.state_dict().items() if not _is_finite(value)]
        inside = self.standardiser.coefficients[..., self.domain]
        numbers: dict[str, Any] = {
            "standardiser.coefficients": inside,
            "standardiser.fine": self.standardiser.of_field.coefficients[..., self.domain],
            "standardiser.scale": self.standardiser.scale,
            "observation_error": self.observation_error if isinstance(self.observation_error, float | int) else 0.0,
            "smoothing": self.smoothing,
        }
        numbers |= {f"operator.{key}": value for key, value in self.operator.state().items()}
        parts = {"calibration": self.calibration} | ({} if self.prior is None else {"prior": self.prior})
        for name, part in parts.items():
            numbers |= {f"{name}.{entry.name}": getattr(part, entry.name) for entry in fields(part)}
        if self.covariates is not None:
            numbers["covariates"] = self.covariates.maps[..., self.domain]
            numbers["covariates.turns"] = 0.0 if self.covariates.turns is None else self.covariates.turns
        if self.standardiser.regression is not None:
            numbers["regression.coefficients"] = self.standardiser.regression.coefficients
        names += [name for name, value in numbers.items() if not _is_finite(value)]
        if names:
            shown = ", ".join(names[:3]) + f" and {len(names) - 3} more" * (len(names) > 3)
            raise InputError(f"the model holds numbers that are not finite, in {shown}; train it again")
        if not (self.standardiser.scale > 0).all():
            raise InputError("the model holds a standardiser.scale that is not positive; train it again")

    @staticmethod
    def labels_of(field: Field) -> dict[str, Any]:
        """Return what a model keeps of the labels of a field, by attribute: names, units, coordinates and domain."""
        array, axes = field.array, field.axes
        sides = {
            side: geographic_kind(array[dim]) for side, dim in (("y", axes.y), ("x", axes.x)) if dim in array.coords
        }
        kinds = {side: kind for side, kind in sides.items() if kind is not None}
        return {
            "domain": field.domain,
            "variable": str(array.name or "field"),
            "units": str(array.attrs.get("units", "")),
            "y": _numbers(array, axes.y),
            "x": _numbers(array, axes.x),
            "bands": field.band_names,
            "band_units": field.band_units if is_joined(array) else (),
            "calendar": field.calendar,
            "kinds": kinds,
            "places": {kind: at for kind, at in places_of(field).items() if kind not in ("y", "x", *kinds.values())},
        }

    def place(self, source: Field) -> tuple[slice, slice]:
        """Return the rows and columns of the model's grid that a field covers.

        On a periodic grid longitudes are compared modulo 360 degrees, and columns may lie beyond the last one, as
        :mod:`geogan.fields.circle` counts them: a field may begin at another meridian, or cross the seam.

        Raises
        ------
        InputError
            If units, bands or grid differ: the climatology belongs to the cells of the model's grid.
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
        part = part_of(ours, shape, theirs, size)
        if isinstance(part, Misfit):
            turned = part_around(ours, shape, theirs, size)
            part = part if isinstance(turned, Misfit) else turned
        if not isinstance(part, Misfit):
            return part
        kind, axis = part
        dim = (axes.y, axes.x)[axis]
        if kind == "size":
            raise InputError(
                f"the model's grid has {counted(shape[axis], 'cell')} along {dim}, but {source.name} has "
                f"{size[axis]}; fill the grid it was trained on, or train on this one"
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
            f"{name} of {source.name} ({span(other)}, {counted(size[axis], 'cell')}) is not part of the model's grid "
            f"({span(ours[kind])}, {counted(shape[axis], 'cell')}); fill the grid it was trained on, or train on this "
            "one"
        )

    def _places(self) -> dict[str, np.ndarray]:
        """Return the coordinates of the grid by kind."""
        places = dict(self.places)
        for side, values in (("y", self.y), ("x", self.x)):
            if values is not None:
                column = values[:, None] if side == "y" else values[None]
                places |= {kind: column for kind in (side, self.kinds.get(side)) if kind is not None}
        return places


def _is_finite(value: Any) -> bool:
    """Return whether all numbers of a tensor, an array or a sequence are finite; True for anything else."""
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
