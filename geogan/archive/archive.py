"""An archive as training and filling see it: standardised pieces, what was seen, what is withheld."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import dask.array
import numpy as np
import torch
import xarray as xr

from geogan.archive.observed import KeptMasks, Masks
from geogan.archive.screening import CELLS, DATES, Screen, Screened, hide, widened
from geogan.archive.standardiser import Standardiser
from geogan.archive.withheld import Withheld, withhold
from geogan.compute.regions import REGION_VALUES, Region, Regions, plan_regions
from geogan.compute.streaming import read_piece, stored_chunks
from geogan.fields.circle import stretches, taken
from geogan.fields.covariates import Covariates
from geogan.fields.field import Field
from geogan.fields.marks import hide_unreadable
from geogan.fields.observation_error import check_errors
from geogan.fields.valid_range import valid_limits
from geogan.fields.variables import split_variables
from geogan.operators.errors import InputError
from geogan.prior import Film

# Archives up to this many values (256 MiB) are held in memory while training; longer ones are read region by region.
IN_MEMORY = 2**26


class Loaded(NamedTuple):
    """A region of an archive as it was read; (T, C, h, w), in the field's units."""

    region: Region
    values: np.ndarray  # float32, NaN where unseen
    held: np.ndarray  # True where withheld
    error: np.ndarray | float | None  # standard deviation of the values' errors, where it is known

    def part(self, t: slice | np.ndarray, y: slice, x: slice) -> Loaded:
        """A smaller region of this one, or some of its dates; across the seam of one that goes round the globe."""
        dates, *place = (_moved(part, own.start) for part, own in zip((t, y, x), self.region))
        values, held = (taken(part[dates], *place) for part in (self.values, self.held))  # type: ignore[arg-type]
        error = taken(self.error[dates], *place) if isinstance(self.error, np.ndarray) else self.error  # type: ignore[arg-type]
        return Loaded(Region(t, y, x), values, held, error)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Archive:
    """A gappy field with what is needed to read standardised pieces of it.

    Attributes
    ----------
    field : DataArray, shape (T, C, H, W)
        As measured, NaN where unseen; lazy or not. A single map has ``T = 1``, a field without bands ``C = 1``.
    domain : ndarray of bool, shape (H, W)
        True where the field exists.
    standardiser : Standardiser
        What turns values into anomalies.
    days : ndarray of float64, shape (T,)
    phase : ndarray of float64, shape (T,), or None
        Day of the year of each date.
    withheld : Withheld, optional
        What pieces must not show; None to show all.
    independent : bool
        Whether the dates are no dates but samples that have nothing to do with each other.
    limits : (ndarray, ndarray), shape (C, 1, 1) each, optional
        Lowest and highest value of each band that its attributes call valid; reconstructions lie between them.
    is_periodic : bool
        Whether the last column touches the first; columns of a piece may then lie beyond either end, as
        :mod:`geogan.fields.circle` counts them.
    origin : (int, int)
        Row and column of the model's grid at which the field's begins.
    covariates : Covariates, optional
        What networks are shown beside the field.
    error : DataArray, shape (T, C, H, W), or float, optional
        Standard deviation of the observations' errors, in the field's units; None where it is not known.
    screen : Screen, optional
        Which observations are to be left out when the archive is read.
    masks : Masks
        Where the field was observed.
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
    masks: Masks = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        # What was read already serves an archive that differs in other things.
        if self.masks is None or self.masks.field is not self.field or self.masks.domain is not self.domain:
            object.__setattr__(self, "masks", Masks(self.field, self.domain))

    @classmethod
    def of(cls, field: Field, standardiser: Standardiser) -> Archive:
        """Make the archive of a field with its domain and known error.

        Raises
        ------
        InputError
            Where the climatology has seasons and the field no dates.
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
        )

    @property
    def bands(self) -> int:
        """Bands of the field."""
        return self.field.shape[1]

    @property
    def is_image(self) -> bool:
        """Whether the samples are images, whose values lie within [-1, 1]."""
        return self.independent and self.limits is not None and np.all(np.abs(self.limits) == 1).item()

    @property
    def streamed(self) -> bool:
        """Whether pieces are read from where the archive is stored."""
        return self.field.chunks is not None

    def held(self) -> Archive:
        """The archive in memory, where it is small enough."""
        if not self.streamed or too_long(self.field):
            return self
        error = _in_memory(self.error) if isinstance(self.error, xr.DataArray) else self.error
        return replace(self, field=_in_memory(self.field), error=error)

    def suspicious(self, values: np.ndarray, t: slice, y: slice, x: slice) -> np.ndarray:
        """Find what the screen leaves out of a piece in the field's units, (t, C, h, w)."""
        assert self.screen is not None
        phase = None if self.phase is None else self.phase[t]
        seen = np.isfinite(values) & self.sea(y, x)
        anomaly = self.standardiser.forward(np.where(seen, values, self.standardiser.neutral), phase, y, x)
        return self.screen.suspicious(np.where(seen, anomaly, np.nan), independent=self.independent)

    def screened(self) -> Archive:
        """Return the archive without what its screen leaves out; itself where it has none.

        What is in memory, or small enough for it, is screened at once; else it is when it is read.
        """
        if self.screen is None:
            return self
        archive = self.held()
        field = archive.field
        if field.chunks is None:
            height, width = archive.domain.shape
            whole, (around, inside) = (
                slice(0, height),
                widened(slice(0, width), width, CELLS, is_periodic=self.is_periodic),
            )
            # Some dates at a time, with those beside them.
            parts, step = [], max(1, REGION_VALUES // field[0].size)
            for start in range(0, len(field), step):
                wide, inner = widened(slice(start, min(start + step, len(field))), len(field), DATES)
                values = taken(np.asarray(field[wide].values), whole, around)
                parts.append(hide(values, archive.suspicious(values, wide, whole, around))[inner, ..., inside])
            data: Any = np.concatenate(parts)
        else:
            source = Screened(field.data, archive.suspicious, is_periodic=self.is_periodic)
            data = dask.array.from_array(
                source,
                chunks=field.chunks,
                name=False,
                meta=np.empty((0,) * 4, field.dtype),
            )
        return replace(archive, field=field.copy(data=data), screen=None)

    def errors(self, dates: slice) -> np.ndarray | float:
        """Standard deviation of the observations' errors, in the field's units; 0 where it is not known."""
        return read_piece(self.error, dates) if isinstance(self.error, xr.DataArray) else self.error or 0.0

    def withholding(self, share_seen: np.ndarray, *, seed: int) -> Archive:
        """The archive with some of its observations withheld."""
        chosen = withhold(
            self.seen, share_seen, seed=seed, independent=self.independent, read_ahead=self.masks.read_ahead
        )
        return replace(self, withheld=chosen)

    def seen(self, date: int) -> np.ndarray:
        """What was observed on a date, (C, H, W) bool, withheld or not."""
        return self.masks.at(date)

    def hidden(self, date: int) -> np.ndarray | None:
        """What is withheld on a date, (C, H, W) bool, or None where nothing is."""
        if self.withheld is None or self.withheld.sources[date, 0] < 0:
            return None
        if date not in self._hidden:
            # One that takes part in a race of two threads loses nothing but time.
            hidden = self.withheld.hidden(date, self.seen)
            assert hidden is not None
            self._hidden.keep(date, hidden)
            return hidden
        return self._hidden[date]

    @cached_property
    def _hidden(self) -> KeptMasks:
        return KeptMasks()

    def find_hidden(self) -> None:
        """Find out all that is withheld, each chunk decoded once: piece by piece would read whole maps for each."""
        if self.withheld is None or not self.streamed:
            return
        dates = np.array([date for date in self.withheld.dates if int(date) not in self._hidden], int)
        for some in np.array_split(dates, len(dates) // 64 + 1):
            self.masks.read_ahead([*some, *self.withheld.sources[some].ravel()])
            for date in some.tolist():
                self.hidden(date)

    def regions(self, least: tuple[int, int, int]) -> Regions | None:
        """Regions that hold blocks of ``least`` dates, rows and columns; None where the archive is in memory."""
        if self.field.chunks is None:
            return None
        chunks, most = stored_chunks(self.field), REGION_VALUES // self.bands
        return plan_regions(chunks, least, most=most, is_periodic=self.is_periodic)

    def load(self, t: slice | np.ndarray, y: slice, x: slice) -> Loaded:
        """Read a region, or some dates of it."""
        raw = self._stored(self.field, t, y, x, dtype=np.float32)
        held = np.zeros(raw.shape, bool)
        for row, date in enumerate(np.arange(len(self.days))[t].tolist()):
            hidden = self.hidden(date)
            if hidden is not None:
                held[row] = taken(hidden, y, x)
        if not isinstance(self.error, xr.DataArray):
            return Loaded(Region(t, y, x), raw, held, self.error)  # type: ignore[arg-type]
        error, called = self._stored(self.error, t, y, x), str(self.error.name or "the error variable")
        raw = hide_unreadable(raw, error)
        check_errors(raw, error, called=called, name=str(self.field.name or "the field"))
        return Loaded(Region(t, y, x), raw, held, error)  # type: ignore[arg-type]

    def _stored(
        self, field: xr.DataArray, t: slice | np.ndarray, y: slice, x: slice, *, dtype: Any = None
    ) -> np.ndarray:
        """Values of a piece as they are stored, each side of the seam read for itself."""
        parts = [read_piece(field, t, y, part, dtype=dtype) for part in stretches(x, self.domain.shape[1])]
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
        """Return the film at ``t``, ``y``, ``x``: values, mask, withheld, domain, days and what is known beside them.

        Parameters
        ----------
        t : slice or ndarray of int
            Consecutive dates, or numbers of some dates in increasing order.
        y, x : slice
            Rows and columns.
        within : Loaded, optional
            A region that is in memory and contains the film; by default the film is read from the field.

        Returns
        -------
        Film
            float32. ``values`` holds withheld observations too; ``mask`` is 1 where observed and not withheld.
        """
        _, raw, held, error = self.load(t, y, x) if within is None else within.part(t, y, x)
        phase = None if self.phase is None else self.phase[t]
        domain = self.sea(y, x)
        observed = np.isfinite(raw) & domain
        there = np.where(observed, raw, self.standardiser.neutral)
        anomaly = self.standardiser.forward(there, phase, y, x)
        np.copyto(anomaly, 0, where=~observed)
        uncertainty = None
        if error is not None:
            uncertainty = np.where(observed, self.standardiser.uncertainty(error, there), 0).astype(np.float32)
        covariates = None
        if self.covariates is not None:
            covariates = torch.from_numpy(self.covariates.films(phase, domain, y, x, dates=len(raw)))
        return Film(
            values=torch.from_numpy(anomaly.astype(np.float32, copy=False)),
            mask=torch.from_numpy((observed & ~held).astype(np.float32)),
            withheld=torch.from_numpy((observed & held).astype(np.float32)),
            domain=torch.from_numpy(domain.astype(np.float32)),
            days=torch.from_numpy(self.days[t]),
            covariates=covariates,
            uncertainty=None if uncertainty is None else torch.from_numpy(uncertainty),
        )


def too_long(field: xr.DataArray) -> bool:
    """Whether a field is too long to be held in memory, and lies on disk."""
    return field.chunks is not None and field.size > IN_MEMORY


def _limits(source: xr.DataArray, bands: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The valid range of each band, rounded inwards to float32; None where none is bounded."""
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


def _in_memory(field: xr.DataArray) -> xr.DataArray:
    # Chunk by chunk into its place: gathered by Dask, all of it would be there twice.
    whole = np.empty(field.shape, np.float32)
    dask.array.store(field.data.astype(np.float32), whole, lock=False, scheduler="threads")
    return field.copy(data=whole)
