"""A finished product as the beginning of a longer one.

The longer one is written beside it, as every product is. Regions that are the same in both are taken over: files of a
Zarr store are shared, not copied. What is there is neither moved nor written to until the longer one takes its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from geogan.compute.streaming import PART_VALUES
from geogan.fields.axes import Axes
from geogan.fields.dates import days
from geogan.fields.field import Field
from geogan.fields.grids import difference
from geogan.fields.storage import Storage
from geogan.fields.variables import is_joined, split_variables
from geogan.files.plain_file import parse_json
from geogan.files.schema import FillText, check
from geogan.io.encoding import MARK, READ, TOLD
from geogan.operators.errors import InputError
from geogan.product.checksums import as_text, from_text
from geogan.product.chunk_store import ChunkStore, Region, layout

# What must be the same in both, and what it is called.
_SAME = {
    "model": "with the model {}",
    "variable": "from the variable {}",
    "members": "with --members {}",
    "max_error": "with --max-error {}",
    "keep_observed": "with --keep-observed {}",
    "seed": "with --seed {}",
    "where": "with --where {}",
    "screen": "with the screening threshold {}",
}


@dataclass(frozen=True)
class Older:
    """A finished product that is to be continued.

    Attributes
    ----------
    path : Path
    told : dict
        What it was filled with.
    mark : str
        Its digest.
    names : tuple of str
        Its variables.
    source : str or None
        State of the archive that it was made from, as `geogan.product.store_state.describe` gives it.
    sums : ndarray of uint32 or None
        Checksums of the dates that its regions read, one region after another; None where it does not keep them.
    """

    path: Path
    told: dict[str, Any]
    mark: str
    names: tuple[str, ...]
    source: str | None = None
    sums: np.ndarray | None = None

    @classmethod
    def of(cls, path: Path) -> Older:
        """Read what a product says of itself.

        Raises
        ------
        InputError
            Where it is not there, or does not say what it was filled with.
        """
        if not path.exists():
            raise InputError(f"{path} does not exist, so nothing can be appended to it; leave --append out to make it")
        with _opened(path) as dataset:
            try:
                told = parse_json(dataset.attrs[TOLD])
                check(FillText, told)
            except (KeyError, ValueError, TypeError, AttributeError):
                raise InputError(
                    f"{path} does not say with what it was filled, so nothing can be appended to it; fill it anew with "
                    "--overwrite"
                ) from None
            names = tuple(str(name) for name, array in dataset.data_vars.items() if array.ndim)
            source, sums = _read(dataset.attrs.get(READ))
            return cls(path, told, str(dataset.attrs[MARK]), names, source, sums)

    def sums_of(self, reads: Sequence[slice]) -> dict[int, np.ndarray] | None:
        """Checksums of what each of its regions read, by number.

        Parameters
        ----------
        reads : sequence of slice
            Dates of the archive that each region read.

        Returns
        -------
        sums : dict of ndarray of uint32 or None
            None where it does not keep them, or was cut otherwise.
        """
        stops = np.cumsum([read.stop - read.start for read in reads])
        if self.sums is None or len(self.sums) != stops[-1]:
            return None
        return dict(enumerate(np.split(self.sums, stops[:-1])))

    @property
    def filled(self) -> str:
        """Name of the first variable that was filled."""
        return next(name for name in self.names if f"{name}_source" in self.names)

    def check(self, told: Mapping[str, Any], chosen: xr.DataArray, axes: Axes) -> int:
        """Whether a longer product of those dates continues this one.

        Parameters
        ----------
        told : mapping
            What the longer one is filled with.
        chosen : DataArray, shape (time, [band,] y, x)
            The archive's dates that it is to hold.
        axes : Axes

        Returns
        -------
        dates : int
            How many of them are here.

        Raises
        ------
        InputError
            Where model, settings, variable or grid differ, the dates do not begin with those here, or what was observed
            on them has changed.
        """
        if axes.time is None:
            raise InputError(f"{chosen.name} has no dates, so nothing can be appended; leave --append out")
        for name, words in _SAME.items():
            if self.told.get(name) != told.get(name):
                then, now = (words.format(each.get(name, "none")) for each in (self.told, told))
                raise InputError(
                    f"{self.path} was filled {then}, and not {now}; give the same, or fill it anew with --overwrite"
                )
        fields, alone = split_variables(chosen), axes if not is_joined(chosen) else axes._replace(band=None)
        with _opened(self.path) as dataset:
            sample = dataset[self.filled]
            if set(sample.dims) != set(fields[0].dims) or difference(Field(sample, alone), Field(fields[0], alone)):
                raise InputError(
                    f"{self.path} is on another grid than {chosen.name} now is; give the same grid, or another output"
                )
            own, theirs = days(sample, axes), days(chosen, axes)
            if len(own) > len(theirs) or np.abs(own - theirs[: len(own)]).max() > 1e-6:
                raise InputError(
                    f"the dates of {chosen.name} do not begin with the {len(own)} of {self.path}; give the archive "
                    "that has grown, or fill it anew with --overwrite"
                )
            return len(own)

    def revised(self, chosen: xr.DataArray, axes: Axes, dates: slice) -> list[int]:
        """Dates on which what was observed is not what it was when they were filled.

        For a product that keeps no checksums, as earlier versions of geogan wrote them.

        Parameters
        ----------
        chosen : DataArray, shape (time, [band,] y, x)
            Those dates of the archive that the longer product is to hold.
        axes : Axes
        dates : slice
            Where to look.

        Raises
        ------
        InputError
            If the product does not keep what was observed either.
        """
        found = set[int]()
        if not self.told["keep_observed"]:
            raise InputError(
                f"{self.path} keeps neither checksums nor observations of what it was filled from, so nothing tells "
                "whether the archive has changed since; fill it anew with --overwrite"
            )
        with _opened(self.path) as dataset:
            for field in split_variables(chosen):
                if field.name not in self.names:
                    continue
                size = max(1, PART_VALUES // (field.size // field.sizes[axes.time]))
                for start in range(dates.start, dates.stop, size):
                    part = {axes.time: slice(start, min(start + size, dates.stop))}
                    now = field.isel(part).transpose(axes.time, ...).compute(scheduler="synchronous")
                    one = dataset[[field.name, f"{field.name}_source"]].isel(part).transpose(*now.dims)
                    seen = one[f"{field.name}_source"].values == 0
                    same = np.isclose(now.values, one[field.name].values) | ~seen
                    same &= np.isfinite(now.values) == seen
                    found |= {start + row for row, whole in enumerate(same) if not whole.all()}
        return sorted(found)

    def follow(self, chosen: Sequence[Storage], floats: Sequence[Storage], names: Sequence[str]) -> tuple[Storage, ...]:
        """Choose how the longer product is stored: as this one, so that its regions are taken over bit for bit.

        Parameters
        ----------
        chosen : sequence of Storage
            What suits the longer product alone.
        floats : sequence of Storage
            The same as floats, which hold whatever codes do.
        names : sequence of str
            Their variables.

        Raises
        ------
        InputError
            Where the packing of this product does not hold the values of the longer one.
        """
        followed = []
        with _opened(self.path, decoded=False) as dataset:
            for name, *candidates in zip(names, chosen, floats, strict=True):
                candidates.append(candidates[1]._replace(encoding=candidates[1].encoding | {"_FillValue": np.nan}))
                own = _packing(dataset[name])
                same = [storage for storage in candidates if _packing(_stored_as(storage)) == own]
                if not same:
                    raise InputError(
                        f"{name} of {self.path} is packed otherwise than the archive now is; fill it anew with "
                        "--overwrite"
                    )
                followed.append(same[0])
        return tuple(followed)

    def lend(self, store: ChunkStore, regions: Sequence[Region]) -> None:
        """Put regions of this product into a longer one's store; when this returns, they are on the disk itself.

        Parameters
        ----------
        store : ChunkStore
        regions : sequence of mapping of str to slice
            Whole chunks of both.

        Raises
        ------
        InputError
            Where numbers are packed otherwise here and there.
        OSError
            If the disk is full, or may not be written to.
        """
        if self.path.is_dir() and all(layout(self.path, name) == store.layout(name) for name in self.names):
            store.adopt(self.path, regions, self.names)
            return
        with _opened(self.path, decoded=False) as here, _opened(store.path, decoded=False) as there:
            for name in self.names:
                if _packing(here[name]) != _packing(there[name]):
                    raise InputError(
                        f"{name} of {self.path} is packed otherwise than the archive now is; fill it anew with "
                        "--overwrite"
                    )
                array = zarr.open_array(store.path / name, mode="r+", config={"write_empty_chunks": True})
                for region in regions:
                    spans = store.spans(name, region)
                    array[tuple(spans.values())] = here[name].isel(spans).transpose(*spans).values
                    store.flush(name, region)

    def put_back(self, filled: xr.Dataset, time: str, region: Region, dates: int) -> xr.Dataset:
        """A region of a longer product with the values that its first dates have here.

        Parameters
        ----------
        filled : Dataset
        time : str
            Dimension of the dates.
        region : mapping of str to slice
            Where ``filled`` stands.
        dates : int
            How many dates of the whole are as they were.
        """
        start = region[time].start
        count = min(dates, region[time].stop) - start
        if count <= 0:
            return filled
        result = filled.copy(deep=True)
        with _opened(self.path) as dataset:
            for name in self.names:
                old = dataset[name].isel({**region, time: slice(start, start + count)})
                result[name][{time: slice(0, count)}] = old.transpose(*result[name].dims).values
        return result


def read_text(source: str | None, sums: Iterable[np.ndarray]) -> str:
    """Encode what a product says of what it was made from.

    Parameters
    ----------
    source : str or None
        State of the archive.
    sums : iterable of ndarray of uint32
        Checksums of the dates that each region read, in the order of their numbers.
    """
    return json.dumps({"source": source, "sums": as_text(sums)})


def _read(text: Any) -> tuple[str | None, np.ndarray | None]:
    """Decode what :func:`read_text` encoded; nothing is known where it is damaged."""
    try:
        kept = parse_json(text)
        source = kept["source"]
        return source if isinstance(source, str) else None, from_text(kept["sums"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None, None


def _opened(path: Path, *, decoded: bool = True) -> xr.Dataset:
    options: dict[str, Any] = {"decode_timedelta": False} if decoded else {"decode_cf": False}
    if path.is_dir():
        return xr.open_dataset(path, engine="zarr", chunks=None, consolidated=False, **options)
    return xr.open_dataset(path, engine="netcdf4", chunks=None, **options)


def _stored_as(storage: Storage) -> xr.DataArray:
    """A variable of that type and with those attributes, without values."""
    return xr.DataArray(np.zeros((), storage.encoding["dtype"]), attrs=storage.encoding)


def _packing(raw: xr.DataArray) -> list[str]:
    numbers = [raw.attrs.get(key) for key in ("scale_factor", "add_offset", "_FillValue")]
    # As text, for NaN; but not of a float32, whose text is shorter than that of the same number in JSON.
    return [str(raw.dtype), *("none" if number is None else str(float(number)) for number in numbers)]
