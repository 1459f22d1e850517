"""An archive as training and filling use it: standardised films, observed cells, withheld cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import dask.array
import numpy as np
import torch
import xarray as xr

from geogan.archive.observed import MaskCache, ObservedMasks
from geogan.archive.regressors import Place, read_with_regressors
from geogan.archive.screening import Screen, Screened, read_screened
from geogan.archive.standardiser import Standardiser
from geogan.archive.withheld import Withheld, turns, withhold
from geogan.compute.chunk_groups import ChunkGroups, plan_groups
from geogan.compute.extent import Extent
from geogan.compute.streaming import read_values, stored_chunks
from geogan.fields.circle import stretches, taken
from geogan.fields.covariates import Covariates
from geogan.fields.field import Field
from geogan.fields.marks import hide_unreadable
from geogan.fields.observation_error import check_errors
from geogan.fields.regression import Term
from geogan.fields.valid_range import valid_limits
from geogan.fields.variables import split_variables
from geogan.operators.errors import InputError
from geogan.prior import Film
from geogan.settings import TrainConfig


class Loaded(NamedTuple):
    """A part of an archive in memory, in units of the field; arrays have shape (T, C, h, w)."""

    extent: Extent
    values: np.ndarray  # float32, NaN where not observed
    withheld: np.ndarray  # True where withheld
    error: np.ndarray | float | None  # standard deviation of the observation errors, if known
    varying: np.ndarray | None = None  # standardised covariates that change in time

    def part(self, t: slice | np.ndarray, y: slice, x: slice) -> Loaded:
        """Return a smaller part, or some of its dates; on a periodic grid it may cross the seam."""
        dates, *cells = (_moved(part, whole.start) for part, whole in zip((t, y, x), self.extent))
        values, withheld = (taken(part[dates], *cells) for part in (self.values, self.withheld))  # type: ignore[arg-type]
        error = taken(self.error[dates], *cells) if isinstance(self.error, np.ndarray) else self.error  # type: ignore[arg-type]
        varying = None if self.varying is None else taken(self.varying[dates], *cells)  # type: ignore[arg-type]
        return Loaded(Extent(t, y, x), values, withheld, error, varying)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Archive:
    """A gappy field, and the means to read standardised films of it.

    Attributes
    ----------
    field : DataArray, shape (T, C, H, W)
        The observations, NaN where there are none; lazy or not. A single map has ``T = 1``, a field without bands
        ``C = 1``.
    domain : ndarray of bool, shape (H, W)
        True where the field exists.
    standardiser : Standardiser
        Transforms values into anomalies.
    days : ndarray of float64, shape (T,)
        Dates in days.
    phase : ndarray of float64, shape (T,), or None
        Day of the year of each date.
    withheld : Withheld, optional
        Observations that films do not show; None to show all.
    independent : bool
        Whether the dates are independent samples.
    limits : (ndarray, ndarray), shape (C, 1, 1) each, optional
        Lowest and highest valid value of each band, by its attributes; reconstructions are clipped to them.
    is_periodic : bool
        Whether the last column touches the first; columns of a part may then lie beyond either end, as
        :mod:`geogan.fields.circle` counts them.
    origin : (int, int)
        Row and column of the model's grid at which the field begins.
    covariates : Covariates, optional
        Known beside the field: of them the regression of the standardiser and the inputs of the networks are made.
    error : DataArray, shape (T, C, H, W), or float, optional
        Standard deviation of the observation errors, in units of the field; None if it is not known.
    screen : Screen, optional
        Decides which observations are left out when the archive is read.
    memory : int
        Bytes of float32 that may be in memory: a larger archive is read in groups of chunks, of at most a quarter of it
        each.
    masks : ObservedMasks
        Observed cells of the field.
    """

    field: xr.DataArray
    domain: np.ndarray
    standardiser: Standardiser
    days: np.ndarray
    phase: np.ndarray | None
    withheld: Withheld | None = None
    independent: bool = False
    limits: tuple[np.ndarray, np.ndarray] | None = None
    origin: tuple[int, int] = (0, 0)
    covariates: Covariates | None = None
    error: xr.DataArray | float | None = None
    is_periodic: bool = False
    screen: Screen | None = None
    memory: int = TrainConfig.memory
    masks: ObservedMasks = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        # Masks that were read serve a changed archive too, if its field and domain are the same.
        if self.masks is None or self.masks.field is not self.field or self.masks.domain is not self.domain:
            object.__setattr__(self, "masks", ObservedMasks(self.field, self.domain))

    @classmethod
    def of(cls, field: Field, standardiser: Standardiser, *, memory: int = TrainConfig.memory) -> Archive:
        """Return the archive of a field with its domain and known error.

        Raises
        ------
        InputError
            If the climatology has a seasonal cycle and the field has no dates.
        """
        assert field.domain is not None
        if field.day_of_year is None and len(standardiser.coefficients) > 1:
            raise InputError(
                f"the climatology changes with the season, and {field.name} has no dates; give it a "
                "time coordinate of dates"
            )
        return cls(
            field.stacked,
            field.domain,
            standardiser,
            field.days,
            field.day_of_year,
            independent=field.axes.independent,
            limits=_limits(field.array, field.bands),
            error=field.error,
            is_periodic=field.is_periodic,
            memory=memory,
        )

    @property
    def bands(self) -> int:
        """Number of bands of the field."""
        return self.field.shape[1]

    @property
    def is_image(self) -> bool:
        """Whether the samples are images, whose values lie within [-1, 1]."""
        return self.independent and self.limits is not None and np.all(np.abs(self.limits) == 1).item()

    @property
    def streamed(self) -> bool:
        """Whether films are read from the store of the archive."""
        return self.field.chunks is not None

    @property
    def most_values(self) -> int:
        """Number of values that may be in memory."""
        return self.memory // 4

    def held(self) -> Archive:
        """Return the archive loaded into memory, if it is small enough."""
        is_read = self.covariates is None or self.covariates.is_held
        if self.field.size > self.most_values or (not self.streamed and is_read):
            return self
        error = _loaded(self.error) if isinstance(self.error, xr.DataArray) and self.streamed else self.error
        covariates = None if self.covariates is None else self.covariates.held()
        field = _loaded(self.field) if self.streamed else self.field
        return replace(self, field=field, error=error, covariates=covariates)

    def suspicious(self, values: np.ndarray, t: slice, y: slice, x: slice) -> np.ndarray:
        """Return the cells that the screen leaves out of values in units of the field, (t, C, h, w) bool."""
        assert self.screen is not None
        seen = np.isfinite(values) & self.sea(y, x)
        anomaly = self.anomalies(np.where(seen, values, self.standardiser.neutral), t, y, x)
        return self.screen.suspicious(np.where(seen, anomaly, np.nan), independent=self.independent)

    def channels(
        self,
        t: slice | np.ndarray,
        y: slice = slice(None),
        x: slice = slice(None),
        *,
        varying: np.ndarray | None = None,
    ) -> np.ndarray | None:
        """Return the channels of the covariates on some dates, rows and columns, (T, K, h, w); None without covariates.

        Parameters
        ----------
        t : slice or ndarray of int
        y, x : slice
        varying : ndarray of float32, shape (T, V, h, w), optional
            Covariates that change in time, if they were read already.

        Raises
        ------
        InputError
            If a covariate has no value in the domain.
        """
        if self.covariates is None:
            return None
        domain, phase = self.sea(y, x), None if self.phase is None else self.phase[t]
        if varying is None:
            varying = self.covariates.read_varying(t, y, x, domain)
        return self.covariates.films(phase, domain, y, x, dates=len(self.days[t]), varying=varying)

    def regressors(self, t: slice | np.ndarray, y: slice = slice(None), x: slice = slice(None)) -> np.ndarray | None:
        """Return the channels that the regression of the standardiser needs; None without a regression."""
        return None if self.standardiser.regression is None else self.channels(t, y, x)

    def anomalies(
        self, values: np.ndarray, t: slice | np.ndarray, y: slice = slice(None), x: slice = slice(None)
    ) -> np.ndarray:
        """Return unitless anomalies of values in units of the field on some dates, rows and columns, (T, C, h, w)."""
        phase = None if self.phase is None else self.phase[t]
        return self.standardiser.forward(values, phase, y, x, channels=self.regressors(t, y, x))

    def in_units(
        self, anomaly: np.ndarray, t: slice | np.ndarray, y: slice = slice(None), x: slice = slice(None)
    ) -> np.ndarray:
        """Return the field of anomalies on some dates, rows and columns, (T, C, h, w), in units of the field."""
        phase = None if self.phase is None else self.phase[t]
        return self.standardiser.inverse(anomaly, phase, y, x, channels=self.regressors(t, y, x))

    def with_regressors(
        self, places: Sequence[Place], terms: Sequence[Term]
    ) -> tuple[list[tuple[Film, np.ndarray]], list[Term], list[float]]:
        """Return films with regressors from which a climatology was subtracted, as from the field.

        See :func:`geogan.archive.regressors.read_with_regressors`.
        """
        return read_with_regressors(self, places, terms)

    def screened(self) -> Archive:
        """Return the archive without the observations that its screen leaves out; itself if it has no screen.

        An archive that fits into memory is screened at once, a larger one when it is read.
        """
        if self.screen is None:
            return self
        archive = self.held()
        field = archive.field
        if field.chunks is None:
            data: Any = archive._screened_values()
        else:
            source = Screened(field.data, archive.suspicious, is_periodic=self.is_periodic)
            data = dask.array.from_array(source, chunks=field.chunks, name=False, meta=np.empty((0,) * 4, field.dtype))
        return replace(archive, field=field.copy(data=data), screen=None)

    def _screened_values(self) -> np.ndarray:
        """Return the screened values of a field in memory, computed for some dates at a time."""
        count, (height, width) = len(self.field), self.domain.shape
        step = max(1, (self.most_values // 4) // self.field[0].size)

        def read(t: slice, y: slice, x: slice) -> np.ndarray:
            return taken(np.asarray(self.field[t].values), y, x)

        dates = (slice(start, min(start + step, count)) for start in range(0, count, step))
        return np.concatenate([self.read_screened(t, slice(0, height), slice(0, width), read) for t in dates])

    def read_screened(
        self, t: slice, y: slice, x: slice, read: Callable[[slice, slice, slice], np.ndarray]
    ) -> np.ndarray:
        """Return the values of a part without the observations that the screen leaves out, (t, C, h, w).

        Parameters
        ----------
        t, y, x : slice
        read : callable
            ``read(t, y, x)`` returns the values of a part in units of the field; it is called with a larger part,
            because neighbours decide too. On a periodic grid that part may go beyond either end.
        """
        return read_screened(read, self.suspicious, (t, y, x), self.field.shape, is_periodic=self.is_periodic)

    def errors(self, dates: slice) -> np.ndarray | float:
        """Return the standard deviation of the observation errors, in units of the field; 0 if it is not known."""
        return read_values(self.error, dates) if isinstance(self.error, xr.DataArray) else self.error or 0.0

    def withholding(self, share_seen: np.ndarray, *, seed: int) -> Archive:
        """Return the archive with some observations withheld, see :func:`geogan.archive.withheld.withhold`."""
        rule = withhold(
            self.seen, share_seen, seed=seed, independent=self.independent, read_ahead=self.masks.read_ahead
        )
        return replace(self, withheld=rule)

    def seen(self, date: int) -> np.ndarray:
        """Return the observed cells of a date, withheld or not, (C, H, W) bool."""
        return self.masks.at(date)

    def hidden_by_turning(self) -> list[np.ndarray]:
        """Return the observed cells that a single scene's own gaps hide when they are turned, each (C, H, W) bool.

        One array for each turn that hides something; without the turn that withholds cells, and without those cells.
        """
        hidden, withheld = turns(self.seen(0), self.withheld), self.hidden(0)
        return hidden if withheld is None else [cells & ~withheld for cells in hidden]

    def hidden(self, date: int) -> np.ndarray | None:
        """Return the withheld cells of a date, (C, H, W) bool, or None if there are none."""
        if self.withheld is None or self.withheld.sources[date, 0] < 0:
            return None
        if date not in self._hidden:
            # If two threads compute the same mask, only time is lost.
            hidden = self.withheld.hidden(date, self.seen)
            assert hidden is not None
            self._hidden.store(date, hidden)
            return hidden
        return self._hidden[date]

    @cached_property
    def _hidden(self) -> MaskCache:
        return MaskCache()

    def find_hidden(self) -> None:
        """Compute all withheld cells in one pass, which decodes each chunk once.

        Film by film, whole maps would be read for each of them.
        """
        if self.withheld is None or not self.streamed:
            return
        dates = np.array([date for date in self.withheld.dates if int(date) not in self._hidden], int)
        for some in np.array_split(dates, len(dates) // 64 + 1):
            self.masks.read_ahead([*some, *self.withheld.sources[some].ravel()])
            for date in some.tolist():
                self.hidden(date)

    def chunk_groups(self, least: tuple[int, int, int]) -> ChunkGroups | None:
        """Return groups of chunks that hold ``least`` dates, rows and columns; None if the archive is in memory."""
        if self.field.chunks is None:
            return None
        chunks, most = stored_chunks(self.field), (self.most_values // 4) // self.bands
        return plan_groups(chunks, least, most=most, is_periodic=self.is_periodic)

    def load(self, t: slice | np.ndarray, y: slice, x: slice) -> Loaded:
        """Read a part of the archive, or some dates of it.

        Raises
        ------
        InputError
            If it cannot be read, or observation errors are invalid.
        """
        values = self._stored(self.field, t, y, x, dtype=np.float32)
        withheld = np.zeros(values.shape, bool)
        for row, date in enumerate(np.arange(len(self.days))[t].tolist()):
            hidden = self.hidden(date)
            if hidden is not None:
                withheld[row] = taken(hidden, y, x)
        varying = None if self.covariates is None else self.covariates.read_varying(t, y, x, self.sea(y, x))
        if not isinstance(self.error, xr.DataArray):
            return Loaded(Extent(t, y, x), values, withheld, self.error, varying)  # type: ignore[arg-type]
        error, name = self._stored(self.error, t, y, x), str(self.error.name or "the error variable")
        values = hide_unreadable(values, error)
        check_errors(values, error, called=name, name=str(self.field.name or "the field"))
        return Loaded(Extent(t, y, x), values, withheld, error, varying)  # type: ignore[arg-type]

    def _stored(
        self, field: xr.DataArray, t: slice | np.ndarray, y: slice, x: slice, *, dtype: Any = None
    ) -> np.ndarray:
        """Return values as they are stored; those on either side of the seam are read separately."""
        parts = [read_values(field, t, y, part, dtype=dtype) for part in stretches(x, self.domain.shape[1])]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, -1)

    def spans(self, x: slice) -> bool:
        """Return whether some columns go once round the globe, so that the last touches the first."""
        width = self.domain.shape[1]
        return self.is_periodic and (x.start is None or x.stop - x.start == width)

    def sea(self, y: slice = slice(None), x: slice = slice(None)) -> np.ndarray:
        """Return the domain at some rows and columns, (h, w) bool."""
        return taken(self.domain, y, x)

    def read(
        self,
        t: slice | np.ndarray,
        y: slice = slice(None),
        x: slice = slice(None),
        *,
        within: Loaded | None = None,
    ) -> Film:
        """Return the film at ``t``, ``y``, ``x``: values, mask, withheld cells, domain, days, errors and covariates.

        Parameters
        ----------
        t : slice or ndarray of int
            Consecutive dates, or numbers of some dates in increasing order.
        y, x : slice
            Rows and columns.
        within : Loaded, optional
            A part of the archive in memory that contains the film; by default the film is read from the field.

        Returns
        -------
        Film
            float32. ``values`` holds withheld observations too; ``mask`` is 1 where observed and not withheld.

        Raises
        ------
        InputError
            If it cannot be read, or observation errors are invalid.
        """
        _, raw, withheld, error, varying = self.load(t, y, x) if within is None else within.part(t, y, x)
        phase = None if self.phase is None else self.phase[t]
        domain = self.sea(y, x)
        observed = np.isfinite(raw) & domain
        filled = np.where(observed, raw, self.standardiser.neutral)
        channels = self.channels(t, y, x, varying=varying)
        anomaly = self.standardiser.forward(filled, phase, y, x, channels=channels)
        np.copyto(anomaly, 0, where=~observed)
        uncertainty = None
        if error is not None:
            uncertainty = _tensor(np.where(observed, self.standardiser.uncertainty(error, filled), 0))
        return Film(
            values=_tensor(anomaly),
            mask=_tensor(observed & ~withheld),
            withheld=_tensor(observed & withheld),
            domain=_tensor(domain),
            days=torch.from_numpy(self.days[t]),
            place=torch.tensor([y.start or 0, x.start or 0]),
            covariates=None if channels is None else torch.from_numpy(channels),
            uncertainty=uncertainty,
        )


def _limits(source: xr.DataArray, bands: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the valid range of each band, rounded inwards to float32; None if no band has one."""
    variables = split_variables(source)
    ends = np.array([valid_limits(variable) for variable in variables])
    if np.isinf(ends).all():
        return None
    ends = np.broadcast_to(ends, (bands, 2)) if len(variables) == 1 else ends
    with np.errstate(over="ignore"):
        low, high = ends.T.astype(np.float32)
    low = np.where(low < ends[:, 0], np.nextafter(low, np.float32(np.inf)), low)
    high = np.where(high > ends[:, 1], np.nextafter(high, np.float32(-np.inf)), high)
    return low[:, None, None], high[:, None, None]


def _moved(part: slice | np.ndarray, start: int) -> slice | np.ndarray:
    return slice(part.start - start, part.stop - start) if isinstance(part, slice) else part - start


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32, copy=False))


def _loaded(field: xr.DataArray) -> xr.DataArray:
    # Each chunk is stored into its place: if Dask gathered them, the field would be in memory twice.
    whole = np.empty(field.shape, np.float32)
    dask.array.store(field.data.astype(np.float32), whole, lock=False, scheduler="threads")
    return field.copy(data=whole)
