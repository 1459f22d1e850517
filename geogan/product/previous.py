"""Use a finished product as the beginning of a longer one.

The longer product is written beside the finished one. Regions that are equal in both are taken over: chunk files of a
Zarr store are shared, not copied. The finished product is neither moved nor changed until the longer one replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import zarr

from geogan.compute.streaming import PART_VALUES
from geogan.fields.dates import days
from geogan.fields.field import Field
from geogan.fields.grids import difference
from geogan.fields.storage import Storage
from geogan.fields.variables import split_variables, variables_of
from geogan.files.attributes import FILL, INPUTS, PRODUCT
from geogan.files.plain_file import parse_json
from geogan.files.schema import FillText, check
from geogan.operators.errors import InputError
from geogan.product.checksums import from_text
from geogan.product.chunk_store import ChunkStore, Region, layout
from geogan.product.output import check_output, mark_of
from geogan.product.partial import clear_leftovers

# Settings of a fill that must be equal in both products, and how a sentence names them.
_EQUAL_SETTINGS = {
    "model": "with the model {}",
    "variable": "from the variable {}",
    "members": "with --members {}",
    "max_error": "with --max-error {}",
    "keep_observed": "with --keep-observed {}",
    "seed": "with --seed {}",
    "where": "with --where {}",
    "screen": "with the screening threshold {}",
}
# Difference, in days, within which two dates are one: dates are stored as decimal numbers.
_SAME_DATE = 1e-6


class SharedDates(NamedTuple):
    """Number of dates of a product, and how many of them, from the first on, are also the first of the archive."""

    dates: int
    common: int


@dataclass(frozen=True)
class PreviousProduct:
    """A finished product that an append continues.

    Attributes
    ----------
    path : Path
    settings : dict
        Settings of the fill that made it (`geogan.files.schema.FillText`).
    mark : str
        Value of its attribute ``geogan_product``.
    names : tuple of str
        Its variables.
    source : str or None
        State of the archive that it was made from, as `geogan.io.describe_source` returns it.
    sums : ndarray of uint32 or None
        Checksums of the dates that its regions read, region after region; None if it does not store them.
    files : ndarray of uint32 or None
        State of the file of each date of the archive; None if it does not store them.
    """

    path: Path
    settings: dict[str, Any]
    mark: str
    names: tuple[str, ...]
    source: str | None = None
    sums: np.ndarray | None = None
    files: np.ndarray | None = None

    @classmethod
    def open(cls, path: Path, *, clear: bool = False) -> PreviousProduct:
        """Read the attributes of a finished product.

        Parameters
        ----------
        path : Path
        clear : bool
            First remove what a killed process left beside it; the lock of the product must be free.

        Raises
        ------
        InputError
            If the product does not exist, does not store the settings of its fill, or, with ``clear``, is being written
            by another process.
        """
        if clear:
            clear_leftovers(path)
            check_output(path, overwrite=True)
        if not path.exists():
            raise InputError(f"{path} does not exist, so nothing can be appended to it; leave --append out to make it")
        with _opened(path) as dataset:
            try:
                settings = parse_json(dataset.attrs[FILL])
                check(FillText, settings)
            except (KeyError, ValueError, TypeError, AttributeError):
                raise InputError(
                    f"{path} does not store the settings it was filled with, so nothing can be appended to it; fill it "
                    "anew with --overwrite"
                ) from None
            names = tuple(str(name) for name, array in dataset.data_vars.items() if array.ndim)
            inputs = _parse_inputs(dataset.attrs.get(INPUTS))
            return cls(path, settings, str(dataset.attrs[PRODUCT]), names, *inputs)

    @classmethod
    def find(cls, path: Path) -> PreviousProduct | None:
        """Return the finished product at a path, None if there is none; first remove what a killed process left.

        Parameters and errors are those of `open`.
        """
        clear_leftovers(path)
        return cls.open(path, clear=True) if path.exists() else None

    def is_current(self) -> bool:
        """Return whether this product is still the one at its path."""
        return mark_of(self.path) == self.mark

    def region_sums(self, reads: Sequence[slice]) -> dict[int, np.ndarray] | None:
        """Return the checksums of the dates that each region read, by number of the region.

        Parameters
        ----------
        reads : sequence of slice
            Dates of the archive that each region read.

        Returns
        -------
        sums : dict of ndarray of uint32 or None
            None if the product does not store them or was divided into other regions.
        """
        stops = np.cumsum([read.stop - read.start for read in reads])
        if self.sums is None or len(self.sums) != stops[-1]:
            return None
        return dict(enumerate(np.split(self.sums, stops[:-1])))

    def check_continued(self, settings: Mapping[str, Any], chosen: Field) -> SharedDates:
        """Check that a longer product continues this one, and return how many dates they share.

        Parameters
        ----------
        settings : mapping
            Settings of the longer product's fill.
        chosen : Field
            Dates of the archive that the longer product is to hold.

        Returns
        -------
        SharedDates
            Dates that came late, between those of this product, end the dates in common.

        Raises
        ------
        InputError
            If model, settings, variable or grid differ, or if a date of this product is not among the dates.
        """
        array, axes = chosen.array, chosen.axes
        if axes.time is None:
            raise InputError(f"{array.name} has no dates, so nothing can be appended; leave --append out")
        for name, words in _EQUAL_SETTINGS.items():
            if self.settings.get(name) != settings.get(name):
                then, now = (words.format(values.get(name, "none")) for values in (self.settings, settings))
                raise InputError(
                    f"{self.path} was filled {then}, and not {now}; give the same, or fill it anew with --overwrite"
                )
        variable = variables_of(chosen)[0]
        with _opened(self.path) as dataset:
            filled_name = next(name for name in self.names if f"{name}_source" in self.names)
            sample = dataset[filled_name]
            if set(sample.dims) != set(variable.array.dims) or difference(variable.with_array(sample), variable):
                raise InputError(
                    f"{self.path} has another grid than {array.name} now has; give the same grid, or another output"
                )
            old_days, new_days = days(sample, axes), chosen.days
            if not _are_among(old_days, new_days):
                raise InputError(
                    f"the dates of {array.name} do not include the {len(old_days)} of {self.path}; give the "
                    "archive that has grown, or fill it anew with --overwrite"
                )
            is_equal = np.abs(old_days - new_days[: len(old_days)]) <= _SAME_DATE
            return SharedDates(len(old_days), len(old_days) if is_equal.all() else int(is_equal.argmin()))

    def revised(self, chosen: Field, dates: slice) -> list[int]:
        """Return the dates whose observations have changed since this product was filled.

        For a product without checksums, as earlier versions of geogan wrote it.

        Parameters
        ----------
        chosen : Field
            Dates of the archive that the longer product is to hold.
        dates : slice
            Dates to compare.

        Raises
        ------
        InputError
            If the product does not store the observations either.
        """
        revised, time = set[int](), chosen.axes.time
        assert time is not None
        if not self.settings["keep_observed"]:
            raise InputError(
                f"{self.path} stores neither checksums nor observations of its archive, so whether the archive has "
                "changed since is unknown; fill it anew with --overwrite"
            )
        with _opened(self.path) as dataset:
            for field in split_variables(chosen.array):
                if field.name not in self.names:
                    continue
                size = max(1, PART_VALUES // (field.size // field.sizes[time]))
                for start in range(dates.start, dates.stop, size):
                    part = {time: slice(start, min(start + size, dates.stop))}
                    now = field.isel(part).transpose(time, ...).compute(scheduler="synchronous")
                    then = dataset[[field.name, f"{field.name}_source"]].isel(part).transpose(*now.dims)
                    was_observed = then[f"{field.name}_source"].values == 0
                    is_same = np.isclose(now.values, then[field.name].values) | ~was_observed
                    is_same &= np.isfinite(now.values) == was_observed
                    revised |= {start + row for row, cells in enumerate(is_same) if not cells.all()}
        return sorted(revised)

    def choose_storages(
        self, chosen: Sequence[Storage], floats: Sequence[Storage], names: Sequence[str]
    ) -> tuple[Storage, ...]:
        """Choose storages for the longer product that equal those of this one, so that regions can be shared.

        Parameters
        ----------
        chosen : sequence of Storage
            Storages that suit the longer product alone.
        floats : sequence of Storage
            Storages as floats, which can hold the values of any packing.
        names : sequence of str
            Their variables.

        Raises
        ------
        InputError
            If the packing of this product cannot hold the values of the longer one.
        """
        storages = []
        with _opened(self.path, is_decoded=False) as dataset:
            for name, *candidates in zip(names, chosen, floats, strict=True):
                candidates.append(candidates[1]._replace(encoding=candidates[1].encoding | {"_FillValue": np.nan}))
                wanted = _packing(dataset[name])
                equal = [storage for storage in candidates if _packing(_stored_as(storage)) == wanted]
                if not equal:
                    raise _other_packing(name, self.path)
                storages.append(equal[0])
        return tuple(storages)

    def copy_to(self, store: ChunkStore, regions: Sequence[Region]) -> None:
        """Put regions of this product into the store of a longer one, and flush them to the disk.

        Chunk files are shared where both products are Zarr stores of one layout; otherwise stored numbers are copied.

        Parameters
        ----------
        store : ChunkStore
        regions : sequence of mapping of str to slice
            Whole chunks of both products.

        Raises
        ------
        InputError
            If the two products are packed differently.
        OSError
            If the disk is full or read-only.
        """
        if self.path.is_dir() and all(layout(self.path, name) == layout(store.path, name) for name in self.names):
            store.link(self.path, regions, self.names)
            return
        with _opened(self.path, is_decoded=False) as old, _opened(store.path, is_decoded=False) as new:
            for name in self.names:
                if _packing(old[name]) != _packing(new[name]):
                    raise _other_packing(name, self.path)
                array = zarr.open_array(store.path / name, mode="r+", config={"write_empty_chunks": True})
                for region in regions:
                    spans = store.spans(name, region)
                    array[tuple(spans.values())] = old[name].isel(spans).transpose(*spans).values
                    store.flush(name, region)


def _are_among(old: np.ndarray, new: np.ndarray) -> bool:
    """Return whether each of the old dates is one of the new ones, in their order."""
    if len(old) > len(new):
        return False
    if np.abs(old - new[: len(old)]).max() <= _SAME_DATE:
        return True
    if (np.diff(new) <= 0).any():
        return False
    place = np.clip(np.searchsorted(new, old - _SAME_DATE), 0, len(new) - 1)
    return bool((np.abs(new[place] - old) <= _SAME_DATE).all())


def _parse_inputs(text: Any) -> tuple[str | None, np.ndarray | None, np.ndarray | None]:
    """Decode what `geogan.product.product.Product.inputs` encoded; None for each part if it is damaged."""
    try:
        inputs = parse_json(text)
        source, files = inputs["source"], inputs.get("files")
        states = None if files is None else from_text(files)
        return source if isinstance(source, str) else None, from_text(inputs["sums"]), states
    except (ValueError, TypeError, KeyError, AttributeError):
        return None, None, None


def _opened(path: Path, *, is_decoded: bool = True) -> xr.Dataset:
    options: dict[str, Any] = {"decode_timedelta": False} if is_decoded else {"decode_cf": False}
    if path.is_dir():
        return xr.open_dataset(path, engine="zarr", chunks=None, consolidated=False, **options)
    return xr.open_dataset(path, engine="netcdf4", chunks=None, **options)


def _stored_as(storage: Storage) -> xr.DataArray:
    """Return a variable with the type and the attributes of a storage, without values."""
    return xr.DataArray(np.zeros((), storage.encoding["dtype"]), attrs=storage.encoding)


def _packing(raw: xr.DataArray) -> list[str]:
    """Return the type and the packing attributes of an undecoded variable, for comparison."""
    numbers = [raw.attrs.get(key) for key in ("scale_factor", "add_offset", "_FillValue")]
    # As text, so that NaN equals NaN; by way of a float, because the text of a float32 is shorter than that of the same
    # number in JSON.
    return [str(raw.dtype), *("none" if number is None else str(float(number)) for number in numbers)]


def _other_packing(name: str, path: Path) -> InputError:
    return InputError(f"{name} of {path} has another packing than the archive now has; fill it anew with --overwrite")
