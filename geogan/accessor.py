"""Accessors ``da.geogan`` and ``ds.geogan``: methods of xarray objects that call functions of geogan.

Importing this module registers both accessors. ``import geogan`` imports it through `geogan.registration`.
"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from geogan.operators.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from geogan.operators.operator import Operator
    from geogan.plotting import MapStyle
    from geogan.reconstructor import Reconstructor


@xr.register_dataarray_accessor("geogan")
class FieldAccessor:
    """Methods of a field, ``DataArray.geogan``.

    Examples
    --------
    >>> import geogan.accessor
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> gappy = synthetic_sst(days=2, size=24).sst.geogan.corrupt("remove_pixel:p=0.5", seed=1)
    >>> gappy.geogan.coverage().dims
    ('time',)
    """

    def __init__(self, field: xr.DataArray) -> None:
        self._field = field

    def corrupt(self, operator: "str | Sequence[str] | Operator" = "cloud_mask", *, seed: int = 0) -> xr.DataArray:
        """Return the field as an operator would measure it; see `geogan.corruption.corrupt`."""
        from geogan.corruption import corrupt

        return corrupt(self._field, operator, seed=seed)

    def fill(
        self,
        model: str | Path | None = None,
        *,
        operator: "str | Sequence[str] | Operator | None" = None,
        domain: "np.ndarray | xr.DataArray | xr.Dataset | str | None" = None,
        error: xr.DataArray | None = None,
        covariates: "Mapping[Hashable, xr.DataArray] | xr.Dataset | None" = None,
        keep_observed: bool | None = None,
        members: int = 1,
        max_error: float | Sequence[float] | None = None,
        seed: int = 0,
        screen: bool | float | None = None,
        device: str = "auto",
    ) -> xr.Dataset:
        """Fill the gaps with the run in the folder ``model``; see `geogan.reconstructor.Reconstructor.fill`.

        Without a model a Gaussian is fitted to the field and calibrated, as ``Reconstructor(network=None)`` does;
        ``operator`` and ``domain`` are those of `geogan.reconstructor.Reconstructor`, and all ``covariates`` are used.
        A model finds its own among them.
        """
        chosen: dict[str, Any] = {} if screen is None else {"screen": screen}
        fitted = chosen if operator is None else chosen | {"operator": operator}
        names = () if covariates is None or model is not None else tuple(map(str, covariates))
        reconstructor = _reconstructor(model, domain=domain, seed=seed, device=device, covariates=names, **fitted)
        if model is None:
            reconstructor.fit(self._field, domain=domain, error=error, covariates=covariates)
        return reconstructor.fill(
            self._field,
            error=error,
            covariates=covariates,
            keep_observed=keep_observed,
            members=members,
            max_error=max_error,
            seed=seed,
            **chosen,
        )

    def plot(
        self,
        *,
        date: str | float | np.datetime64 | None = None,
        band: str | int | None = None,
        ax: "Axes | None" = None,
        cmap: "str | Colormap | None" = None,
        limits: tuple[float, float] | None = None,
        coast: bool = True,
        domain: xr.DataArray | None = None,
        style: "MapStyle | None" = None,
    ) -> "Axes":
        """Draw one date and band as a map; see `geogan.plot_field` and `geogan.fields.selection`."""
        from geogan.fields.selection import select_band, select_date
        from geogan.io import as_field
        from geogan.plotting import MapStyle as Style
        from geogan.plotting import plot_field

        return plot_field(
            select_band(select_date(as_field(self._field), date), band).array,
            ax=ax,
            cmap=cmap,
            limits=limits,
            coast=coast,
            domain=domain,
            style=Style() if style is None else style,
        )

    def coverage(self, *, domain: xr.DataArray | None = None) -> xr.DataArray:
        """Return the share of the domain under gaps for each date; see `geogan.coverage.coverage`."""
        from geogan.coverage import coverage

        return coverage(self._field, domain=domain)


@xr.register_dataset_accessor("geogan")
class DatasetAccessor:
    """Methods of a dataset with a field, or of a filled product, ``Dataset.geogan``.

    If the dataset has several measured variables, each method needs ``variable``: one name, or several that are
    joined into one field. A fill chooses the variables of the model.

    Examples
    --------
    >>> import geogan.accessor
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> sea = synthetic_sst(days=2, size=24)
    >>> sorted(sea.geogan.corrupt("remove_pixel:p=0.5").data_vars)
    ['sea_mask', 'sst']
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    def corrupt(
        self,
        operator: "str | Sequence[str] | Operator" = "cloud_mask",
        *,
        variable: str | Sequence[str] | None = None,
        seed: int = 0,
    ) -> xr.Dataset:
        """Return the dataset with its field as an operator would measure it; see `geogan.corruption.corrupt`."""
        from geogan.corruption import corrupt
        from geogan.fields.variables import split_variables

        gappy = split_variables(corrupt(self._field(variable), operator, seed=seed))
        return self._dataset.assign({str(field.name): field for field in gappy})

    def fill(
        self,
        model: str | Path | None = None,
        *,
        variable: str | Sequence[str] | None = None,
        operator: "str | Sequence[str] | Operator | None" = None,
        domain: "np.ndarray | xr.DataArray | xr.Dataset | str | None" = None,
        error: "str | Sequence[str] | xr.DataArray | xr.Dataset | None" = None,
        covariates: "str | Sequence[str]" = (),
        keep_observed: bool | None = None,
        members: int = 1,
        max_error: float | Sequence[float] | None = None,
        seed: int = 0,
        screen: bool | float | None = None,
        device: str = "auto",
    ) -> xr.Dataset:
        """Fill the gaps of the field; see `geogan.reconstructor.Reconstructor.fill`.

        Of several measured variables the model's own are filled by default, where the dataset has them. ``error``
        names the variables with the error of each observation, or holds them; a model that was trained with such
        errors finds them under the names that they had. Without a model a Gaussian is fitted to the field and
        calibrated, as ``Reconstructor(network=None)`` does; ``operator`` and ``domain`` are those of
        `geogan.reconstructor.Reconstructor`, and ``covariates`` names variables of the dataset, or covariates that
        are computed. A model finds its own covariates in the dataset.
        """
        chosen: dict[str, Any] = {} if screen is None else {"screen": screen}
        fitted = chosen if operator is None else chosen | {"operator": operator}
        if covariates and model is not None:
            raise InputError(f"the model {model} has covariates of its own, but covariates were given; leave them out")
        reconstructor = _reconstructor(model, domain=domain, seed=seed, device=device, covariates=covariates, **fitted)
        if model is not None:
            stated = reconstructor.model_.observation_error
            if error is None and isinstance(stated, str):
                error = self._names_present(stated)
            if variable is None:
                variable = self._names_present(reconstructor.model_.variable)
        elif variable is None and covariates:
            variable = self._without(covariates)
        field = self._field(variable)
        known = error if error is None or isinstance(error, xr.DataArray | xr.Dataset) else self._field(error)
        if model is None:
            reconstructor.fit(field, domain=domain, error=known, covariates=self._dataset)
        return reconstructor.fill(
            field,
            error=known,
            covariates=self._dataset,
            keep_observed=keep_observed,
            members=members,
            max_error=max_error,
            seed=seed,
            **chosen,
        )

    def plot(
        self,
        *,
        variable: str | None = None,
        date: str | float | np.datetime64 | None = None,
        band: str | int | None = None,
        truth: xr.DataArray | None = None,
        path: str | Path | None = None,
        panels: Sequence[str] | None = None,
        style: "MapStyle | None" = None,
    ) -> "Figure":
        """Draw the observed field, the filled field, and the error or source of each cell of a filled product.

        See `geogan.plot_reconstruction`.
        """
        from geogan.fields.source_flags import observed_part
        from geogan.plotting import MapStyle as Style
        from geogan.plotting import plot_reconstruction

        filled = self._field(variable)
        if f"{filled.name}_source" not in self._dataset:
            raise InputError(
                f"the dataset has no {filled.name}_source, so it is no filled product; draw its field with "
                f"dataset[{str(filled.name)!r}].geogan.plot()"
            )
        source, std = self._dataset[f"{filled.name}_source"], self._dataset.get(f"{filled.name}_std")
        return plot_reconstruction(
            observed_part(filled, source),
            filled,
            truth=truth,
            source=source,
            std=std,
            date=date,
            band=band,
            path=path,
            panels=panels,
            style=Style() if style is None else style,
        )

    def coverage(
        self, *, variable: str | Sequence[str] | None = None, domain: xr.DataArray | None = None
    ) -> xr.DataArray:
        """Return the share of the domain under gaps for each date; see `geogan.coverage.coverage`."""
        from geogan.coverage import coverage

        return coverage(self._field(variable), domain=domain)

    def _field(self, variable: str | Sequence[str] | None) -> xr.DataArray:
        """Return one variable, or several joined into one field; by default the only measured variable."""
        from geogan.fields.measured import choose_variable
        from geogan.io import as_field

        return as_field(self._dataset, choose_variable(self._dataset) if variable is None else variable).array

    def _without(self, covariates: "str | Sequence[str]") -> str:
        """Return the only measured variable that is no covariate."""
        from geogan.fields.covariates import named
        from geogan.fields.measured import choose_variable

        return choose_variable(self._dataset.drop_vars(named(covariates), errors="ignore"))

    def _names_present(self, names: str) -> str | list[str] | None:
        """Return the names of variables, given with commas between; None if the dataset lacks one of them."""
        from geogan.fields.variables import named_variables

        if names in self._dataset:
            return names
        several = named_variables(names)
        return several if all(name in self._dataset for name in several) else None


def _reconstructor(
    model: str | Path | None,
    *,
    domain: Any,
    seed: int,
    device: str,
    covariates: "str | Sequence[str]" = (),
    operator: "str | Sequence[str] | Operator | None" = None,
    screen: bool | float = False,
) -> "Reconstructor":
    """Return the reconstructor of a run, or one without a network that is still to be fitted.

    Raises
    ------
    InputError
        If a domain or an operator is given for a model, which has its own.
    """
    from geogan.reconstructor import Reconstructor

    if model is None:
        chosen: dict[str, Any] = {} if operator is None else {"operator": operator}
        return Reconstructor(network=None, covariates=covariates, screen=screen, seed=seed, device=device, **chosen)
    for what, given in (("a domain", domain), ("an operator", operator)):
        if given is not None:
            raise InputError(f"the model {model} has {what} of its own, but {what} was given; leave one of them out")
    return Reconstructor.load(model, device=device)
